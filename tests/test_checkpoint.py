"""Checkpoints: what is kept elsewhere finds out what nothing in the state directory can tell."""

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pysqlite3 as sqlite3
import pytest
from click.testing import CliRunner, Result
from nacl.signing import VerifyKey

from mai.cli import main
from mai.daemon.book import Book
from mai.daemon.checkpoint import read, take
from mai.daemon.verify import Report, render, verify
from mai.sandbox.errors import UsageFault
from mai.sandbox.place import Place
from mai.sandbox.signing import Signer
from tests.test_heads import sign
from tests.test_verify import MAI, SALES, anew, first, tamper
from tests.wired import Wired


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Wired]:
    """A company that has answered a request, and whose watchdog has signed."""
    company = Wired(tmp_path / "one").asked("r1")
    sign(company.place)
    yield company
    company.close()


def kept(place: Place, file: Path) -> Path:
    """A checkpoint of now."""
    file.write_text(take(place)[1])
    return file


def against(place: Place, file: Path) -> Report:
    """What verify says with it."""
    return verify(place, against=read(file))


def rewritten(seq: int) -> Callable[[sqlite3.Connection], None]:
    """A record changed, and the chain behind it computed anew."""

    def change(db: sqlite3.Connection) -> None:
        db.execute("UPDATE journal SET at_ns = at_ns + 1 WHERE seq = ?", (seq,))
        anew(db, seq)

    return change


def mai(place: Place, *words: str) -> Result:
    """The command."""
    return CliRunner().invoke(main, ["--state", str(place.state), *words])


def test_a_checkpoint_is_a_signed_note(company: Wired) -> None:
    """Somebody else's program, with the public key alone, can check it: computed here as c2sp.org/signed-note says."""
    checkpoint, note = take(company.place)
    text, _, line = note.rpartition("\n\n")
    dash, name, signature = line.strip().split(" ")
    data, public = base64.b64decode(signature), bytes.fromhex(Signer(company.place.watchdog).public)
    assert dash == "\u2014" and data[:4] == hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    VerifyKey(public).verify(f"{text}\n".encode(), data[4:])
    key_line = f"key {name}+{data[:4].hex()}+{base64.b64encode(bytes([1]) + public).decode()}"
    heads = [f"{process} {seq} {digest}" for process, (seq, digest) in sorted(checkpoint.heads.items())]
    assert text.splitlines() == ["mai-checkpoint-v1", f"at {checkpoint.at}", key_line, *heads]
    assert list(checkpoint.heads) == company.place.processes()


def test_a_company_that_went_on_fits(company: Wired, tmp_path: Path) -> None:
    """Its own checkpoints of every time hold, however much has come since."""
    files = [kept(company.place, tmp_path / "1")]
    company.asked("r2", "r3")
    files.append(kept(company.place, tmp_path / "2"))
    sign(company.place)
    assert all(against(company.place, file).sound for file in files)
    assert verify(company.place, [SALES], against=read(files[0])).sound


def test_a_state_directory_replaced_by_an_older_copy_is_found(company: Wired, tmp_path: Path) -> None:
    """Sound in itself, with the watchdog's journal and key: only the checkpoint tells, and where each journal ends."""
    older = Place(tmp_path / "older")
    shutil.copytree(company.place.state, older.state)
    company.asked("r2")
    sign(company.place)
    file = kept(company.place, tmp_path / "file")
    assert verify(older).sound
    report = against(older, file)
    for process in older.processes():
        first(report, process, "the journal ends with record ", f"({file}) has record ", "it was cut, or is an older copy")


@pytest.mark.parametrize("with_key", [True, False])
def test_a_state_directory_written_anew_is_found(company: Wired, tmp_path: Path, with_key: bool) -> None:
    """Another past of the same company, sound in itself, signed anew with the same key or another one."""
    file = kept(company.place, tmp_path / "file")
    other = Wired(tmp_path / "two").asked("r1", "r2").close().place
    if with_key:
        shutil.copy(company.place.watchdog / "signing.key", other.watchdog / "signing.key")
    sign(other)
    assert verify(other, state=True).sound
    report = against(other, file)
    for process in other.processes():
        first(report, process, "is not the one that the checkpoint of")
    keys = [finding for finding in report.findings if "has signed nothing here" in finding.what]
    assert len(keys) == (not with_key)


def test_one_record_written_anew_by_who_has_the_key_is_found(company: Wired, tmp_path: Path) -> None:
    """The watchdog's last record is changed, its chain and what it signs are in order: the checkpoint has another one."""
    sign(company.place)
    file = kept(company.place, tmp_path / "file")
    tamper(company.place, "watchdog", rewritten(2))
    sign(company.place)
    assert verify(company.place).sound
    first(against(company.place, file), "watchdog", "record 2 is not the one that the checkpoint", "written anew")


def test_a_changed_past_is_found_behind_a_head_that_fits(company: Wired, tmp_path: Path) -> None:
    """The record that the checkpoint names is untouched: what lies before it is held to it by the chain."""
    file = kept(company.place, tmp_path / "file")
    tamper(company.place, MAI, "UPDATE journal SET task = 'x' WHERE seq = 5")
    first(against(company.place, file), MAI, "record 5 was changed", "the last good one is 4")
    tamper(company.place, MAI, lambda db: anew(db, 5))
    said = [one.what for one in against(company.place, file).findings if one.process == MAI]
    assert any("is not the one that the checkpoint" in what for what in said)


def test_a_lost_ledger_is_found(company: Wired, tmp_path: Path) -> None:
    """With its marker, and although nobody else may know it."""
    file = kept(company.place, tmp_path / "file")
    company.close()
    for path in company.place.watchdog.glob("ledger*"):
        path.unlink()
    first(against(company.place, file), "watchdog", "the ledger of watchdog is gone: the checkpoint of")


def test_an_erased_client_is_not_missed(tmp_path: Path) -> None:
    """What the watchdog has destroyed since, on record, need not be there; what was erased before the checkpoint must."""
    company = Wired(tmp_path / "one", "acme", "beta").asked("r1")
    sign(company.place)
    file = kept(company.place, tmp_path / "file")
    company.close()
    shutil.rmtree(company.place.state / "clients" / "beta")
    assert not against(company.place, file).sound
    book = Book(company.place.ledger("watchdog"))
    book.enter("erased", {"process": "beta/mai"})
    book.flush(0.0)
    report = against(company.place, file)
    assert report.sound, render(report)


def changed(text: str, how: str) -> str:
    """A file that is not what was written."""
    lines = text.splitlines(keepends=True)
    match how:
        case "number":
            return text.replace(f"{MAI} ", f"{MAI} 1", 1)
        case "time":
            return text.replace("at 2", "at 1", 1)
        case "key":
            return text.replace(lines[2], "key mai-watchdog+00000000+AAAA\n")
        case "line":
            return text.replace(lines[3], "nonsense\n")
        case "signature":
            return "".join(lines[:-1])
        case _:
            return text[: len(text) // 2]


@pytest.mark.parametrize("how", ["number", "time"])
def test_a_changed_checkpoint_is_told(company: Wired, tmp_path: Path, how: str) -> None:
    """Its signature does not fit: what it says of the journals is then worth little, and that is said."""
    file = kept(company.place, tmp_path / "file")
    file.write_text(changed(file.read_text(), how))
    report = against(company.place, file)
    assert any("signature of the checkpoint" in finding.what for finding in report.findings)


@pytest.mark.parametrize("how", ["key", "line", "signature", "half"])
def test_what_is_no_checkpoint_is_refused(company: Wired, tmp_path: Path, how: str) -> None:
    """A file that cannot be read is no finding about the journals."""
    file = kept(company.place, tmp_path / "file")
    file.write_text(changed(file.read_text(), how))
    with pytest.raises(UsageFault, match="is no checkpoint"):
        read(file)
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    for path in (tmp_path / "bytes", tmp_path / "nowhere", tmp_path):
        with pytest.raises(UsageFault):
            read(path)


def test_the_commands(company: Wired, tmp_path: Path) -> None:
    """Exported to a file or to standard output, never over an older one; verified against, by status and in JSON."""
    place, file = company.place, tmp_path / "file"
    assert mai(place, "checkpoint", "export", str(file)).output == ""
    assert read(file).heads == take(place)[0].heads
    assert mai(place, "checkpoint", "export").output.startswith("mai-checkpoint-v1\n")
    again = mai(place, "checkpoint", "export", str(file))
    assert again.exit_code == 2 and "is there already" in again.output
    told: dict[str, Any] = json.loads(mai(place, "checkpoint", "export", "--json").output)
    assert tuple(told["heads"][SALES]) == read(file).heads[SALES] and told["note"]
    assert mai(place, "verify", "--against", str(file)).exit_code == 0
    tamper(place, SALES, rewritten(5))
    found = mai(place, "verify", "--against", str(file), "--json")
    assert found.exit_code == 1 and "checkpoint" in json.dumps(json.loads(found.output)["findings"])
    assert mai(place, "verify", "--against", str(tmp_path / "nowhere")).exit_code == 2
    empty = mai(Place(tmp_path / "empty"), "checkpoint", "export")
    assert empty.exit_code == 2 and "no ledger" in empty.output
    (place.watchdog / "signing.key").unlink()
    assert "nothing is signed" in mai(place, "checkpoint", "export").output
