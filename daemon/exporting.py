"""`mai client export`: all that one client has, at one moment, for whoever is to have it: to keep, read, or go on with elsewhere.

Its ledgers are one consistent cut (backup.py). With them go the mandates and what its departments keep in `files/`: SQLite
databases as each is at a moment of its own, other files as they are read. Not in it: keys, whoever has them could speak for
the client; the organisation file and the watchdog's journal, which are about others too. The copy is verified where it lies, and
the verdict stands in the manifest.
"""

import contextlib
import errno
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from mai.daemon import deep, own_copy
from mai.daemon.backup import MANIFEST, File, Manifest, Progress, copied, quiet, whole, write
from mai.daemon.reader import chosen
from mai.sandbox.durable import sha256
from mai.sandbox.errors import MaiError, UsageFault
from mai.sandbox.place import Place

PACKED: Final = (".tar", ".tar.gz", ".tgz")
MAGIC: Final = b"SQLite format 3\0"
PREPARED: Final = "prepared"
HARMLESS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
BESIDE: Final = ("-wal", "-shm", "-journal")  # of a database, which is copied without them


class Verdict(msgspec.Struct, frozen=True):
    """What `mai verify --deep` says of the copy."""

    sound: bool
    records: int
    findings: tuple[str, ...] = ()


class Export(Manifest, frozen=True, kw_only=True):
    """What an export holds, and what of the client's files was left out, and why."""

    client: str
    left_out: tuple[str, ...] = ()
    verdict: Verdict


def export(place: Place, client: str, target: Path, progress: Progress = quiet) -> Export:
    """Copy a client that runs, or was removed, into a new directory or tar file. Raises MaiError."""
    if target.exists():
        raise UsageFault(f"{target} exists", "name a directory or file that does not; each export has its own")
    processes = [process for process in chosen(place, client) if process.partition("/")[0] == client]
    if not processes:
        raise UsageFault(f"{client} is no client", "look at: mai client list")
    directory = target.with_name(f"{target.name}.d") if packed(target) else target
    with whole(directory) as part:
        made = _laid_down(place, client, processes, part, progress)
    if packed(target):
        pack(directory, target)
    return made


def packed(path: Path) -> bool:
    """Is this to be one file?"""
    return path.name.endswith(PACKED)


def _laid_down(place: Place, client: str, processes: list[str], part: Path, progress: Progress) -> Export:
    made = copied(place, processes, part, progress, common=())
    own, left_out = _own_files(place, processes, part, progress)
    report = deep.check(Place(part), progress=progress)
    verdict = Verdict(report.sound, report.records, tuple(f"{one.process}: {one.what}" for one in report.findings))
    whole_made = Export(
        made_ms=made.made_ms, version=made.version, format=made.format, held_ms=made.held_ms, ledgers=made.ledgers,
        files=(*made.files, *own), client=client, left_out=tuple(left_out), verdict=verdict,
    )  # fmt: skip
    done = msgspec.structs.replace(whole_made, digest=whole_made.sum())
    write(part / MANIFEST, msgspec.json.format(msgspec.json.encode(done), indent=1))
    return done


def _own_files(place: Place, processes: list[str], part: Path, progress: Progress) -> tuple[list[File], list[str]]:
    """What departments keep in files of their own."""
    found, left_out = list[File](), list[str]()
    for process in processes:
        for path, above in _walk(place.home(process)):
            shown = str(path.relative_to(place.state))
            progress(shown, 0, 1)
            if why := _copy(path, above, part / shown):
                left_out.append(f"{shown}: {why}")
            else:
                found.append(File(path=shown, bytes=(part / shown).stat().st_size, sha256=sha256(part / shown)))
    return found, left_out


def _walk(home: Path) -> Iterator[tuple[Path, int]]:
    """Each file of a department, with its directory's descriptor; and the word that its directory was prepared."""
    for directory, inside, names, above in os.fwalk(home, follow_symlinks=False):
        if Path(directory) == home:
            inside[:] = [name for name in inside if name == "files"]
            names = [name for name in names if name == PREPARED]  # noqa: PLW2901
        for name in sorted(names):
            if not any(name.endswith(end) and name.removesuffix(end) in names for end in BESIDE):
                yield Path(directory, name), above


def _copy(path: Path, above: int, target: Path) -> str:
    """Copy one file of the directory `above`, if it is no link, which may lead to another's; why it is left out, or ""."""
    try:
        descriptor = os.open(path.name, HARMLESS, dir_fd=above)
    except OSError as error:
        return "a link" if error.errno == errno.ELOOP else str(error.strerror)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return "neither file nor directory"
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if file.read(len(MAGIC)) == MAGIC:
            why = own_copy.copied(path.name, above, descriptor, target)
            if why is not None:
                return why
        file.seek(0)
        with target.open("wb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
        target.chmod(0o600)
    return ""


# -- one file
def pack(directory: Path, target: Path) -> None:
    """Make one file of it. Raises MaiError."""
    part = target.with_name(f"{target.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w" if target.name.endswith(".tar") else "w:gz") as tar:
                tar.add(directory, arcname=target.name.partition(".")[0])
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
    except OSError as error:
        raise MaiError(f"{target} cannot be written: {error.strerror}", "make room, or name another") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        part.unlink(missing_ok=True)


def _fill(room: Path, tar: tarfile.TarFile) -> None:
    """Unpack the files and directories of a tar, and nothing that leads out. Raises TarError, OSError.

    By hand, because the filters of `extractall` came with Python 3.11.4, and some of the distributions' are older.
    """
    for member in tar:
        target = Path(os.path.normpath(room / member.name))
        if not (member.isreg() or member.isdir()) or not target.is_relative_to(room):
            raise tarfile.TarError(f"{member.name!r} is no file or directory in it")
        (target if member.isdir() else target.parent).mkdir(mode=0o700, parents=True, exist_ok=True)
        if (source := tar.extractfile(member)) is not None:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with source, os.fdopen(descriptor, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)


@contextlib.contextmanager
def unpacked(path: Path, beside: Path) -> Iterator[Path]:
    """The directory of a backup or an export, for a while, if it is one file. Raises UsageFault."""
    if not path.is_file():
        yield path
        return
    room = beside.with_name(f"{beside.name}.unpacked")
    shutil.rmtree(room, ignore_errors=True)
    try:
        room.mkdir(mode=0o700, parents=True)
        with tarfile.open(path) as tar:
            _fill(room, tar)
        inside = [one for one in room.iterdir() if (one / MANIFEST).is_file()]
        yield inside[0] if inside else room
    except (tarfile.TarError, OSError) as error:
        raise UsageFault(
            f"{path} cannot be unpacked: {error}", "name what `mai client export` has made, or a directory"
        ) from error
    finally:
        shutil.rmtree(room, ignore_errors=True)
