"""`mai client export`: one client as it was at one moment, whole, sound, without keys; and it goes on elsewhere."""

import io
import json
import os
import sqlite3 as plainly
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pysqlite3 as sqlite3
import pytest

from mai.daemon.backup import MANIFEST
from mai.daemon.exporting import unpacked
from mai.daemon.restore import read
from mai.sandbox.errors import LedgerFault, UsageFault
from tests.small import ORGANISATION, Daemon, running
from tests.test_clients import asked, client, load_on, verified

OTHERS = "nothing-of-acme"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Up, with a client beta that has asked something."""
    with running(tmp_path) as made:
        client(made, "add", "beta")
        assert asked(made, "beta", "Refund order 7", "b7")["state"] == "answered"
        asked(made, "acme", f"What of {OTHERS}?", OTHERS)
        yield made


def exported(daemon: Daemon, target: Path) -> dict[str, Any]:
    """`mai client export beta --json`, which must do well."""
    return client(daemon, "export", "beta", str(target))


def fresh(daemon: Daemon, tmp_path: Path) -> Daemon:
    """Another installation, with the same organisation for beta alone, and nothing in it."""
    (tmp_path / "elsewhere").mkdir()
    made = Daemon(tmp_path / "elsewhere", ORGANISATION.replace('["acme"]', '["beta"]'))
    (made.file.parent / "small.py").write_text((daemon.file.parent / "small.py").read_text())
    return made


def test_one_client_is_exported_while_all_work(daemon: Daemon, tmp_path: Path) -> None:
    """Under load: one moment, sound; no key, nothing of another client; on record; readable where it lies."""
    before = daemon.pids()
    with load_on(daemon) as states:
        made = exported(daemon, tmp_path / "copy")
    assert set(states) <= {"answered"} and daemon.pids() == before
    assert made["client"] == "beta" and made["verdict"]["sound"] and not made["left_out"]
    assert {one["process"] for one in made["ledgers"]} == {"beta/mai", "beta/support", "beta/finance"}
    there = {
        str(path.relative_to(tmp_path / "copy")): path.read_bytes() for path in (tmp_path / "copy").rglob("*") if path.is_file()
    }
    assert set(there) == {MANIFEST, "format", *(one["path"] for one in (*made["ledgers"], *made["files"]))}
    secrets = [daemon.place.home(f"beta/{name}") / "key" for name in ("mai", "support", "finance")]
    for name, data in there.items():
        assert OTHERS.encode() not in data and b"acme" not in data, name
        assert not any(path.read_bytes().split()[1] in data for path in secrets), name
    with closing(sqlite3.connect(tmp_path / "copy" / "clients" / "beta" / "finance" / "files" / "finance.db")) as db:
        assert db.execute('SELECT "order" FROM refunds').fetchall() == [(7,)]
    assert [body["by"] for _, body in daemon.journal("watchdog", "exported")]
    copy = ["--state", str(tmp_path / "copy")]
    for words in (["verify", "--deep"], ["trace", "b7"], ["tail", "beta"]):
        ran = daemon.mai(*copy, *words)
        assert ran.returncode == 0 and ran.stdout, ran.stderr
    assert read(tmp_path / "copy")


@pytest.mark.parametrize("name", ["beta", "beta.tar", "beta.tar.gz"])
def test_it_goes_on_elsewhere(daemon: Daemon, tmp_path: Path, name: str) -> None:
    """Exported after it was removed, as a directory or one file, restored into nothing: its answers and its files are there."""
    client(daemon, "remove", "beta")
    exported(daemon, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("beta")) == [name]
    other = fresh(daemon, tmp_path)
    ran = other.mai("restore", str(tmp_path / name))
    assert ran.returncode == 0, ran.stderr
    try:
        other.up()
        assert asked(other, "beta", "Refund order 7", "b7")["state"] == "answered"
        assert len(other.journal("beta/finance", "task.begun")) == 1, "it was not worked out again"
        told = asked(other, "beta", "Refund order 8", "b8")
        assert told["state"] == "answered", told
        verified(other)
    finally:
        other.mai("down")
    assert not list((tmp_path / "elsewhere").glob("*unpacked*"))


@pytest.mark.parametrize("what", ["a path that leads out", "an absolute path", "a link", "a device"])
def test_nothing_leads_out_of_what_is_unpacked(tmp_path: Path, what: str) -> None:
    """A tar that somebody has made is refused before anything of it lies elsewhere, and nothing of it is left."""
    outside = tmp_path / "outside"
    names = {"a path that leads out": "beta/../../outside", "an absolute path": str(outside)}
    member = tarfile.TarInfo(names.get(what, "beta/x"))
    if what == "a link":
        member.type, member.linkname = tarfile.SYMTYPE, "/"
    elif what == "a device":
        member.type, member.devmajor, member.devminor = tarfile.CHRTYPE, 1, 3
    with tarfile.open(tmp_path / "made.tar", "w") as tar:
        tar.addfile(member, io.BytesIO())
    with pytest.raises(UsageFault, match="no file or directory in it"), unpacked(tmp_path / "made.tar", tmp_path / "state"):
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["made.tar"]


def test_what_cannot_be_copied_is_named(daemon: Daemon, tmp_path: Path) -> None:
    """Links, which may lead to another client, and what is no file; a database with a log of writes comes whole."""
    files = daemon.place.home("beta/support") / "files"
    (files / "away").symlink_to(daemon.place.home("acme/mai"))
    (files / "book").symlink_to(daemon.place.ledger("acme/mai"))
    os.mkfifo(files / "pipe")
    (files / "false.db").write_bytes(b"SQLite format 3\0" + b"and then something else" * 100)
    with closing(plainly.connect(files / "notes.db")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE notes AS SELECT 'kept' AS note")
        db.commit()
        made = exported(daemon, tmp_path / "copy")
    assert sorted(one.partition("files/")[2] for one in made["left_out"]) == ["book: a link", "pipe: neither file nor directory"]
    copied = tmp_path / "copy" / "clients" / "beta" / "support" / "files"
    assert sorted(path.name for path in copied.iterdir()) == ["false.db", "notes.db"]
    assert (copied / "false.db").read_bytes() == (files / "false.db").read_bytes()
    with closing(plainly.connect(copied / "notes.db")) as db:
        assert db.execute("SELECT note FROM notes").fetchall() == [("kept",)]


def test_what_was_changed_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    """A byte of a file, and a word of the manifest; and nothing is written over."""
    exported(daemon, tmp_path / "copy")
    assert daemon.mai("client", "export", "beta", str(tmp_path / "copy")).returncode == 2
    assert daemon.mai("client", "export", "gamma", str(tmp_path / "none")).returncode == 2
    assert not (tmp_path / "none").exists()
    manifest = tmp_path / "copy" / MANIFEST
    good = manifest.read_text()
    manifest.write_text(good.replace('"sound": true', '"sound": false'))
    with pytest.raises(LedgerFault, match="was changed"):
        read(tmp_path / "copy")
    manifest.write_text(good)
    with (tmp_path / "copy" / json.loads(good)["files"][-1]["path"]).open("ab") as file:
        file.write(b"!")
    with pytest.raises(LedgerFault, match="is not what was backed up"):
        read(tmp_path / "copy")
