"""Databases of departments, read by root as their owners: nothing of root's is left beside them, and no path leads elsewhere."""

import os
import sqlite3 as plainly
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mai.daemon import own_copy

OWNER = 12345 if os.geteuid() == 0 else os.geteuid()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[int]:
    """A department's directory, which is its own, with a database that has a log and is not open."""
    directory = tmp_path / "files"
    directory.mkdir()
    with closing(plainly.connect(directory / "notes.db")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript("CREATE TABLE notes(note); INSERT INTO notes VALUES('kept'), ('too')")
    for path in (directory, *directory.iterdir()):
        os.chown(path, OWNER, OWNER)
    descriptor = os.open(directory, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def copied(files: int, name: str, target: Path) -> str | None:
    """Copy it."""
    file = os.open(name, os.O_RDONLY, dir_fd=files)
    try:
        return own_copy.copied(name, files, file, target)
    finally:
        os.close(file)


def test_it_comes_whole_and_leaves_its_owner_everything(files: int, tmp_path: Path) -> None:
    """The copy is one file with all rows; what lies beside the database is its owner's, and he can go on with it."""
    assert copied(files, "notes.db", tmp_path / "copy") == ""
    with closing(plainly.connect(f"{(tmp_path / 'copy').as_uri()}?mode=ro", uri=True)) as db:
        assert db.execute("SELECT note FROM notes").fetchall() == [("kept",), ("too",)]
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "files"]
    assert {path.stat().st_uid for path in (tmp_path / "files").iterdir()} == {OWNER}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is somebody else")
def test_who_reads_is_the_owner(files: int, tmp_path: Path) -> None:
    """Where the owner may not write, which root may, nothing is made beside the database, and it is left out."""
    os.chmod(tmp_path / "files", 0o500)
    assert copied(files, "notes.db", tmp_path / "copy") == own_copy.FAILED
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["notes.db"] and not (tmp_path / "copy").exists()


def test_a_link_in_its_place_leads_nowhere(files: int, tmp_path: Path) -> None:
    """A database that is another one by the time it is opened, by a link to another department's, is not copied."""
    other = tmp_path / "other.db"
    with closing(plainly.connect(other)) as db:
        db.executescript("CREATE TABLE secrets(secret); INSERT INTO secrets VALUES('theirs')")
    file = os.open("notes.db", os.O_RDONLY, dir_fd=files)
    (tmp_path / "files" / "notes.db").rename(tmp_path / "files" / "old.db")
    (tmp_path / "files" / "notes.db").symlink_to(other)
    assert own_copy.copied("notes.db", files, file, tmp_path / "copy") == own_copy.FAILED
    os.close(file)
    assert not (tmp_path / "copy").exists()


def test_a_database_whose_log_cannot_be_read_is_left_out(files: int, tmp_path: Path) -> None:
    """Its bytes alone would be an old copy, or none: that SQLite cannot open it does not make it something else."""
    with closing(plainly.connect(tmp_path / "files" / "notes.db")) as db:
        db.executescript("INSERT INTO notes VALUES('in the log')")
        for path in (tmp_path / "files").iterdir():
            os.chown(path, OWNER, OWNER)
        os.chmod(tmp_path / "files" / "notes.db-wal", 0)
        assert copied(files, "notes.db", tmp_path / "copy") == own_copy.FAILED
    assert not (tmp_path / "copy").exists()


def test_what_is_no_database_is_said_to_be_none(files: int, tmp_path: Path) -> None:
    """Bytes that only begin like a database are left to be copied as they are."""
    (tmp_path / "files" / "false.db").write_bytes(b"SQLite format 3\0" + b"and then something else" * 100)
    assert copied(files, "false.db", tmp_path / "copy") is None


def test_a_lock_that_is_held_for_ever_holds_up_nobody(files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A department that has locked its database: it is left out, and the reason is said."""
    monkeypatch.setattr(own_copy, "LEAST_S", 1)
    with closing(plainly.connect(tmp_path / "files" / "held.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE t(a)")
        os.chown(tmp_path / "files" / "held.db", OWNER, OWNER)
        db.execute("BEGIN EXCLUSIVE")
        db.execute("INSERT INTO t VALUES(1)")
        assert copied(files, "held.db", tmp_path / "copy") == own_copy.LOCKED
    assert not (tmp_path / "copy").exists()
