"""`mai restore`: a backup becomes a state directory again, after every byte of it was held against its manifest.

What was accepted after the backup is gone. With `replace` the old state stays beside, and as far as its ledgers can be read it
is said which requests those are. Keys are not in a backup: whoever reads one could speak as any process of the client; new
ones are made at the next start, and nothing depends on the old ones.
"""

import shutil
import time
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pysqlite3 as sqlite3

from mai.daemon import certificate as papers
from mai.daemon.backup import MANIFEST, Manifest, synced
from mai.daemon.exporting import Export, unpacked
from mai.daemon.records import RequestAccepted
from mai.sandbox.archive import Archive
from mai.sandbox.bounds import Bounds
from mai.sandbox.durable import sha256, sync
from mai.sandbox.errors import LedgerFault, MaiError, Refused, UsageFault
from mai.sandbox.ledger import connect
from mai.sandbox.lock import holder
from mai.sandbox.place import FORMAT, Place

NAMED = 1000  # requests that are told one by one


class Restored(msgspec.Struct, frozen=True):
    """What was done: where the old state lies now ("" if there was none), and which requests only that one has."""

    state: str
    made_ms: int
    ledgers: int
    records: int
    kept: str
    gone: dict[str, list[str]]  # client -> requests accepted after the backup, as far as the old ledgers can tell
    gone_unknown: tuple[str, ...]  # clients whose old ledger cannot be read, or is not there
    again: dict[str, str] = {}  # clients that were erased since the backup, and are there again: the certificates


def read(directory: Path) -> Manifest:
    """The manifest of a backup, with every file held against it. Raises UsageFault, LedgerFault."""
    try:
        data = (directory / MANIFEST).read_bytes()
        of_client = "verdict" in msgspec.json.decode(data, type=dict[str, Any])
        made: Manifest = msgspec.json.decode(data, type=Export if of_client else Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageFault(f"{directory} is no backup: {error}", "name a directory that `mai backup` has made") from None
    if made.digest != made.sum():
        raise LedgerFault(f"{directory / MANIFEST} was changed: its digest does not fit", "take another backup")
    if made.format > FORMAT:
        raise LedgerFault(f"the backup is of format {made.format}, this version reads up to {FORMAT}", "install a newer version")
    for kept in (*made.ledgers, *made.files):
        path = directory / kept.path
        if Path(kept.path).is_absolute() or ".." in Path(kept.path).parts:
            raise LedgerFault(f"the manifest names {kept.path!r:.80}, which does not lie in a backup", "do not use it")
        if not path.is_file():
            raise LedgerFault(f"{path} is missing from the backup", "take another backup")
        if path.stat().st_size != kept.bytes or sha256(path) != kept.sha256:
            raise LedgerFault(f"{path} is not what was backed up: its digest differs", "take another backup")
    return made


def restore(directory: Path, place: Place, *, replace: bool = False) -> Restored:
    """Make the state directory from a backup or an export; with `replace` an old one is moved aside. Raises MaiError."""
    with unpacked(directory, place.state) as found:
        return _restored(found, place, replace=replace)


def _restored(directory: Path, place: Place, *, replace: bool) -> Restored:
    made = read(directory)
    if pid := holder(place.state):
        raise Refused(f"a daemon runs in {place.state} (process {pid})", "stop it first: mai down")
    there = place.state.exists() and any(place.state.iterdir())
    if there and not replace:
        raise Refused(f"{place.state} is not empty", "name another with --state, or say --replace: the old one is kept beside it")
    part, aside = place.state.with_name(f"{place.state.name}.part"), Path()
    shutil.rmtree(part, ignore_errors=True)
    gone, unknown = _gone(made, place) if there else ({}, ())
    again = _erased_since(made, place)
    try:
        _lay_out(directory, made, part)
        if papers.directory(place).is_dir():  # what was erased stays on record
            shutil.copytree(papers.directory(place), part / papers.directory(place).name, dirs_exist_ok=True)
        if there:
            aside = place.state.with_name(f"{place.state.name}.replaced-{time.strftime('%Y%m%d-%H%M%S')}")
            place.state.rename(aside)
        elif place.state.exists():
            place.state.rmdir()
        part.rename(place.state)
        sync(place.state.parent)
    except OSError as error:
        raise MaiError(f"{place.state} cannot be made: {error.strerror}", "make room, or set its rights") from error
    records = sum(kept.seq for kept in made.ledgers)
    return Restored(str(place.state), made.made_ms, len(made.ledgers), records, str(aside) if there else "", gone, unknown, again)


def _lay_out(directory: Path, made: Manifest, part: Path) -> None:
    part.mkdir(mode=0o700, parents=True)
    for kept in (*made.ledgers, *made.files):
        target = part / kept.path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(directory / kept.path, target)
        target.chmod(0o600)
    (part / "format").write_text(f"{made.format}\n")
    synced(part)


def _erased_since(made: Manifest, place: Place) -> dict[str, str]:
    """Clients of the backup that the state directory of now has certificates of, made later."""
    clients = {kept.process.partition("/")[0] for kept in made.ledgers}
    known = [one for one in papers.known(place) if one["name"] in clients and one["at_ms"] > made.made_ms]
    return {one["name"]: one["certificate"] for one in known}


def _gone(made: Manifest, place: Place) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Which requests the ledgers that are there have, and the backup has not."""
    found: dict[str, list[str]] = {}
    unknown: list[str] = []
    for kept in made.ledgers:
        client, _, department = kept.process.partition("/")
        if department != "mai":
            continue
        try:
            found[client] = _accepted(place.ledger(kept.process), kept.seq)
        except (LedgerFault, sqlite3.Error):
            unknown.append(client)
    return {client: requests for client, requests in found.items() if requests}, tuple(unknown)


def _accepted(path: Path, after: int) -> list[str]:
    if not path.exists():
        raise LedgerFault(f"{path} is gone")
    db = connect(path, write=False)
    try:
        wanted = Bounds(after, kinds=frozenset({RequestAccepted.kind}))
        return [one.request for one in islice(Archive(db, path.parent).whole(wanted), NAMED)]
    finally:
        db.close()
