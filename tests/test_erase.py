"""`mai client erase`: nothing of the client is left, whoever dies on the way, and the certificate of it cannot be changed."""

import hashlib
import json
import os
import pty
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mai.daemon import certificate as papers
from mai.daemon.backup import MANIFEST, Manifest
from mai.daemon.book import Book
from mai.daemon.certificate import Certificate
from mai.daemon.destroying import Destroyed, destroy, heads, measure
from mai.daemon.erasing import NOUN, Erasure
from mai.daemon.restore import read
from mai.sandbox.errors import LedgerFault, UsageFault
from mai.sandbox.place import Place
from mai.sandbox.signing import Signer
from mai.sandbox.traps import order
from tests.small import HANDLERS, MAI, PATIENCE_S, Daemon, environment, running, until
from tests.test_clients import asked, client, listed, others, settled, verified

MARKER = "tulip-secret-4711"
TELLTALE = HANDLERS.replace(
    "async def desk(ctx, task):\n",
    f'''async def desk(ctx, task):
    await ctx.remember("{MARKER}", "{MARKER}", level="department")
    if task.input["order"] == 13:
        print("{MARKER} was printed", flush=True)
        raise ValueError("{MARKER} went wrong")
    if task.input["order"] == 14:
        import os, sys
        sys.stderr.write("{MARKER} was the last word\\\\n")
        sys.stderr.flush()
        os._exit(3)
''',
).replace(
    "def pay(files, order, *, key):\n", f'def pay(files, order, *, key):\n    (files / "{MARKER}").write_text("{MARKER}")\n'
)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Up and ready, with a client beta beside acme."""
    with running(tmp_path) as made:
        client(made, "add", "beta")
        yield made


def holding(root: Path, *words: str) -> list[str]:
    """The files below that hold one of these words, or are called so."""
    found = []
    for path in root.rglob("*"):
        text = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        if any(word.encode() in text or word in path.name for word in words):
            found.append(str(path.relative_to(root)))
    return found


def certificate_of(daemon: Daemon, name: str = "beta") -> Path:
    """The one certificate of a client."""
    (path,) = (daemon.place.state / "certificates").glob(f"{name}-*.json")
    return path


def sound(daemon: Daemon, path: Path) -> dict[str, Any]:
    """A certificate that is checked, as scripts read it."""
    ran = daemon.mai("client", "certificate", str(path), "--json")
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout))


# -- the whole, against real processes
def test_nothing_is_left(tmp_path: Path) -> None:
    """Of requests, ids, memory, errors, last words, file names: no byte below the state directory; the other is as it was."""
    daemon = Daemon(tmp_path)
    (daemon.file.parent / "small.py").write_text(TELLTALE)
    daemon.up()
    try:
        client(daemon, "add", "beta")
        assert asked(daemon, "beta", "Refund order 7", f"{MARKER}-7")["state"] == "answered"
        asked(daemon, "beta", f"What of {MARKER}?", "b8")
        asked(daemon, "beta", "Refund order 13", "b13")
        dying = subprocess.Popen(
            daemon.command("ask", "beta", "Refund order 14", "--id", "b14"), env=environment(), stdout=-3, stderr=-3
        )
        until(lambda: [1 for _, body in daemon.journal("watchdog", "incident") if MARKER in body["text"]], "it died")
        dying.kill()
        dying.wait()
        asked(daemon, "acme", "What are your hours?", "a1")
        until(lambda: "beta/support" in daemon.status(), "there")
        assert len(holding(daemon.place.state, MARKER)) > 5
        before = {name: pids for name, pids in others(daemon).items() if name != "watchdog"}
        told = client(daemon, "erase", "beta", "--yes", "--timeout", "1")
        assert told["state"] == "erased" and holding(daemon.place.state, MARKER) == []
        assert os.listdir(daemon.place.state / "clients") == ["acme"] and not (daemon.place.run / "beta").exists()
        assert others(daemon) | {"watchdog": []} == before | {"watchdog": []}
        assert [one["name"] for one in client(daemon, "list")["erased"]] == ["beta"]
        found = sound(daemon, daemon.place.state / told["certificate"])
        assert found["trusted"] and {one["process"] for one in found["journals"]} == {"beta/mai", "beta/support", "beta/finance"}
        assert "(erased with its client)" in daemon.mai("incidents", "beta").stdout
        verified(daemon)
        daemon.down()
        assert holding(daemon.place.state, MARKER) == []
    finally:
        daemon.mai("down")


def test_the_name_begins_with_nothing(daemon: Daemon) -> None:
    """Added again after it was erased: no request, no file, no memory of before, and all journals are sound; and once more."""
    for number in range(2):
        assert asked(daemon, "beta", f"Refund order {number}", "b1")["state"] == "answered"
        until(lambda: daemon.journal("watchdog", "heads.signed"), "heads are signed")
        client(daemon, "erase", "beta", "--yes")
        assert listed(daemon) == ({"acme": "file"}, [])
        client(daemon, "add", "beta")
        assert len(daemon.journal("beta/mai", "request.accepted")) == 0
    assert len(client(daemon, "list")["erased"]) == 2
    verified(daemon)
    daemon.down()
    daemon.up()
    verified(daemon)


@pytest.mark.parametrize("point", ["commit.before", "commit.after"])
def test_the_watchdog_dies_amid_it(tmp_path: Path, point: str) -> None:
    """At each of its commits: it is erased by the next one, with a certificate of all; or was not begun, and is whole."""
    points, daemon = tmp_path / "points", Daemon(tmp_path)
    points.mkdir()
    ran = daemon.mai("up", "--detach", str(daemon.file), MAI_POINTS=str(points))
    assert ran.returncode == 0, ran.stderr
    try:
        for nth in (1, 2, 3):
            client(daemon, "add", "beta")
            asked(daemon, "beta", "Refund order 7", "b7")
            client(daemon, "remove", "beta")
            heads_then = {one.process: one.head for one in heads(daemon.place, "beta")}
            order(points, "watchdog", point, nth, signal.SIGKILL, 0)
            daemon.mai("client", "erase", "beta", "--yes")
            until(lambda: settled(daemon), "it is over")
            if (daemon.place.state / "clients" / "beta").exists():
                begun = [body for _, body in daemon.journal("watchdog", "erasing") if body.get("step") == "begun"]
                assert len(begun) == len(daemon.journal("watchdog", "erased")), "it was on record, and did not come to its end"
                assert asked_again(daemon)
                heads_then = {}
                client(daemon, "erase", "beta", "--yes")
            path = certificate_of(daemon)
            found = sound(daemon, path)
            if heads_then:
                assert {one["process"]: one["head"] for one in found["journals"]} == heads_then
            assert {"clients/beta/mai/ledger.db", "clients/beta/seal"} <= {one["path"] for one in found["files"]}
            assert not list(path.parent.glob("*.draft"))
            path.unlink()
        verified(daemon)
    finally:
        daemon.mai("down")


def asked_again(daemon: Daemon) -> bool:
    """Is what it had still there?"""
    client(daemon, "add", "beta")
    return bool(daemon.journal("beta/mai", "request.ended"))


def test_an_erasure_that_was_begun_ends_before_the_name_is_used(daemon: Daemon) -> None:
    """All dies in the middle of it, and somebody has put the client into the file meanwhile: it begins with nothing."""
    asked(daemon, "beta", "Refund order 7", "b7")
    client(daemon, "remove", "beta")
    daemon.down()
    place, now = daemon.place, Erasure("beta", "root", 1_700_000_000_000, "destroying")
    files: dict[str, Destroyed] = {}
    list(measure(place, "beta", files))
    made = Certificate(client="beta", by="root", asked_ms=now.asked_ms, journals=heads(place, "beta"), files=list(files.values()))
    papers.put(papers.draft(papers.path_of(place, "beta", now.asked_ms)), made)
    book = Book(place.ledger("watchdog"))
    book.enter("erasing", {"process": "beta/mai", "step": "measured", "by": "root"}, (NOUN, "", msgspec.to_builtins(now)))
    book.flush(0.0)
    book.close()
    steps = destroy(place, "beta", files)
    for _ in range(4):
        next(steps)
    steps.close()
    daemon.file.write_text(daemon.file.read_text().replace('["acme"]', '["acme", "beta"]'))
    daemon.up()
    assert listed(daemon)[0] == {"acme": "file", "beta": "file"}
    assert len(sound(daemon, certificate_of(daemon))["files"]) == len(files)
    assert daemon.journal("beta/mai", "request.ended") == []
    verified(daemon)


def test_what_is_refused(daemon: Daemon) -> None:
    """A client that runs, one that is not there, a pipe without --yes, another name than the client's: nothing is done."""
    ran = daemon.mai("client", "erase", "beta")
    assert ran.returncode == 2 and "--yes" in ran.stderr
    for name in ("gamma", "../watchdog", "*"):
        assert daemon.mai("client", "erase", name, "--yes").returncode == 2
    assert typed(daemon, "beta", "beta\n") == 4, "it still runs"
    client(daemon, "remove", "beta")
    assert typed(daemon, "beta", "acme\n") == 4
    assert (daemon.place.state / "clients" / "beta" / "mai" / "ledger.db").exists()
    assert typed(daemon, "beta", "beta\n") == 0
    assert not (daemon.place.state / "clients" / "beta").exists()


def typed(daemon: Daemon, name: str, text: str) -> int:
    """`mai client erase` on a terminal, where a person types this: its exit status."""
    terminal, other = pty.openpty()
    with subprocess.Popen(
        daemon.command("client", "erase", name), env=environment(TERM="xterm"), stdin=other, stdout=other, stderr=other
    ) as process:
        os.close(other)
        os.write(terminal, text.encode())
        while select.select([terminal], [], [], PATIENCE_S)[0]:
            try:
                if not os.read(terminal, 1 << 16):
                    break
            except OSError:  # the end of a terminal
                break
    os.close(terminal)
    return process.returncode


def test_a_restore_says_what_it_brings_back(daemon: Daemon, tmp_path: Path) -> None:
    """A backup from before an erasure: its client is there again, and the certificates, also of the backup's own, are kept."""
    client(daemon, "add", "gamma")
    client(daemon, "erase", "gamma", "--yes")
    assert daemon.mai("backup", str(tmp_path / "copy")).returncode == 0
    client(daemon, "erase", "beta", "--yes")
    daemon.down()
    ran = daemon.mai("restore", "--replace", str(tmp_path / "copy"))
    assert ran.returncode == 0 and "beta was erased since" in ran.stderr and "gamma" not in ran.stderr
    daemon.up()
    assert listed(daemon)[0] == {"acme": "file", "beta": "added"}
    assert [one["name"] for one in client(daemon, "list")["erased"]] == ["beta", "gamma"]
    verified(daemon)
    manifest = tmp_path / "copy" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"path": "clients.json"', '"path": "../clients.json"'))
    made = msgspec.json.decode(manifest.read_bytes(), type=Manifest)
    manifest.write_bytes(msgspec.json.encode(msgspec.structs.replace(made, digest=made.sum())))
    with pytest.raises(LedgerFault, match="does not lie in a backup"):
        read(tmp_path / "copy")


# -- the certificate
@pytest.fixture
def paper(tmp_path: Path) -> Path:
    """A signed certificate."""
    (tmp_path / "watchdog").mkdir()
    files = [Destroyed("clients/beta/mai/ledger.db", 9, hashlib.sha256(b"x").hexdigest(), "overwritten")]
    made = Certificate(client="beta", by="root", asked_ms=1, destroyed_ms=2, journals=[], files=files)
    path = tmp_path / "beta.json"
    papers.put(path, papers.sign(made, Signer(tmp_path / "watchdog")))
    return path


def test_whatever_is_changed_is_detected(paper: Path) -> None:
    """Each value of it, a field more, a field less, a file less, the signature; as it was it is sound."""
    place = Place(paper.parent)
    assert papers.check(paper, papers.public_key(place)).trusted
    assert not papers.check(paper, "").trusted
    good = json.loads(paper.read_text())
    changed: dict[str, Any] = {"version": 2, "client": "acme", "by": "nobody", "asked_ms": 9, "destroyed_ms": 9, "files": []}
    changed |= {"journals": [{"process": "a", "seq": 1, "head": ""}], "method": "fire", "not_covered": [], "stays": "nothing"}
    changed |= {"key": "00" * 32, "signature": "00" * 64}
    assert set(changed) == set(good)
    for name, value in changed.items():
        paper.write_text(json.dumps(good | {name: value}))
        with pytest.raises(LedgerFault, match="was changed"):
            papers.check(paper, papers.public_key(place))
    bads: tuple[Any, ...] = (good | {"more": 1}, {name: value for name, value in good.items() if name != "files"}, [])
    for bad in bads:
        paper.write_text(json.dumps(bad))
        with pytest.raises(UsageFault, match="no certificate"):
            papers.check(paper, papers.public_key(place))


def test_another_key_is_not_trusted(paper: Path, tmp_path: Path) -> None:
    """A whole certificate that somebody else has signed."""
    (tmp_path / "other").mkdir()
    papers.put(paper, papers.sign(papers.read(paper), Signer(tmp_path / "other")))
    with pytest.raises(LedgerFault, match="is signed with the key"):
        papers.check(paper, papers.public_key(Place(paper.parent)))
    command = [*MAI, "--state", str(paper.parent), "client", "certificate", str(paper)]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "is signed with the key" in ran.stderr


# -- files
@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A state directory with a client's files in it, some of them strange."""
    made = Place(tmp_path / "state")
    made.prepare()
    home = made.home("beta/sales")
    (home / "files" / "deep").mkdir(parents=True)
    made.sockets("beta").mkdir()
    (home / "files" / MARKER).write_text(MARKER)
    (home / "files" / "deep" / "large").write_bytes(b"x" * (3 << 20))
    with (home / "files" / "sparse").open("wb") as file:
        file.write(b"a" * 4096)
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(MARKER.encode())
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    os.link(outside / "precious", home / "files" / "linked")
    (home / "files" / "away").symlink_to(outside)
    os.mkfifo(home / "files" / "pipe")
    made.log("beta/sales").write_text(MARKER)
    (made.logs / "beta.sales.log.1").write_text(MARKER)
    (home / "files" / "deep").chmod(0)
    (made.state / "clients" / "beta2").mkdir()
    (made.state / "clients" / "beta2" / "kept").write_text("kept")
    (made.logs / "beta2.sales.log").write_text("kept")
    return made


def test_files_are_overwritten_and_only_the_clients(place: Place, tmp_path: Path) -> None:
    """Holes stay holes, links are not followed, what has another name elsewhere keeps its bytes; names are not told."""
    files: dict[str, Destroyed] = {}
    list(measure(place, "beta", files))
    held = os.open(place.home("beta/sales") / "files" / MARKER, os.O_RDONLY)
    written = sum(destroy(place, "beta", files))
    assert os.fstat(held).st_size == 0 and os.read(held, 100) == b""
    os.close(held)
    assert 3 << 20 < written < 5 << 20, "the hole was not filled"
    assert (tmp_path / "outside" / "precious").read_text() == "precious"
    assert not holding(place.state, MARKER) and not (place.state / "clients" / "beta").exists()
    assert (place.state / "clients" / "beta2" / "kept").exists() and (place.logs / "beta2.sales.log").exists()
    told = {one.path: one for one in files.values()}
    assert told["log/beta.sales.log"].sha256 == hashlib.sha256(MARKER.encode()).hexdigest()
    assert sorted(one.how for one in files.values()) == ["overwritten"] * 5 + ["unlinked"] * 3
    assert MARKER not in json.dumps(msgspec.to_builtins(list(files.values())))


@pytest.mark.parametrize("steps", range(0, 14, 2))
def test_whoever_comes_after_a_death_goes_on(place: Place, steps: int) -> None:
    """After any number of steps: what is left is destroyed, and what was known of the files stays as it was measured."""
    files: dict[str, Destroyed] = {}
    list(measure(place, "beta", files))
    before = {name: one.sha256 for name, one in files.items()}
    first = destroy(place, "beta", files)
    for _, _step in zip(range(steps), first, strict=False):
        pass
    first.close()
    list(destroy(place, "beta", files))
    list(destroy(place, "beta", files))
    assert not (place.state / "clients" / "beta").exists() and not holding(place.state, MARKER)
    assert {name: one.sha256 for name, one in files.items()} == before
