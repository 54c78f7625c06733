"""What `mai doctor` looks at on this host; each check is a function that gives its findings, and changes nothing.

A check never raises for what it finds: what cannot be looked at is a finding as well.
"""

import ctypes
import os
import resource
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import pysqlite3 as sqlite3

from mai.agents import cells
from mai.sandbox import cgroup, landlock, ledger
from mai.sandbox.place import FORMAT, Place
from mai.sandbox.room import free_bytes

FLOOR_BYTES: Final = 64 << 20  # where no organisation says otherwise
FILES: Final = 4096  # descriptors that a process may need
CONNECTS: Final = 9  # the Landlock that holds connect() back from sockets that have a path
AGAIN_S: Final = 5.0  # that the clock may be behind what is on record
_TIME_ERROR: Final = 5  # adjtimex(2): not synchronized
REMOTE: Final = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "afs", "lustre", "fuse.sshfs", "fuse.s3fs")
FLEETING: Final = ("tmpfs", "ramfs")


class Finding(msgspec.Struct, frozen=True):
    """What one check has found."""

    check: str
    ok: bool
    says: str
    hint: str = ""


def kernel(place: Place) -> Iterator[Finding]:
    """The kernel, and what its Landlock holds."""
    release, abi, lacking = os.uname().release, landlock.abi(), landlock.lacking()
    if not abi:
        hint = "a kernel from 5.13 on with CONFIG_SECURITY_LANDLOCK, booted with landlock in lsm= (see /sys/kernel/security/lsm)"
        yield Finding("kernel", False, f"Linux {release} has no Landlock", hint)
        return
    says = f"Linux {release}, Landlock ABI {abi}" + "".join(f"; not held back: {one}" for one in lacking)
    if abi < CONNECTS:
        says += f"; that nobody connects to others' sockets by their path is the namespaces' affair until ABI {CONNECTS}"
    yield Finding("kernel", not lacking, says, "a kernel from 6.12 on" if lacking else "")


def programs(place: Place) -> Iterator[Finding]:
    """What holds the programs of agents and tools, beside their department's walls."""
    said = cells.lacking()
    hint = "what is missing above is missing for them, too: departments without commands and servers are not concerned"
    yield Finding("programs", not said, said.partition(f"; {cells.LOOK}")[0] or "each in a cell of its own", hint if said else "")


def groups(place: Place) -> Iterator[Finding]:
    """Is a part of the tree of cgroups ours?"""
    found = cgroup.delegated()
    have = found.controllers() if found else []
    if found and not have:  # nobody of ours has prepared it yet
        have = [name for name in cgroup.CONTROLLERS if name in (found.root / "cgroup.controllers").read_text().split()]
    yield bounded(have)


def bounded(have: list[str]) -> Finding:
    """By what the kernel bounds each process; of a daemon that runs, by what it says itself."""
    missing = [name for name in cgroup.CONTROLLERS if name not in have]
    says = f"bounds {', '.join(have)} of each process" if have else "no cgroup bounds a process with all that it starts"
    if missing:
        says += f"; not delegated to us: {', '.join(missing)}"
    hint = "run it as a service with Delegate=cpu memory pids (etc/mai.service), on a host whose cgroups are of version 2"
    return Finding("cgroup", not missing, says, hint if missing else "")


def library(place: Place) -> Iterator[Finding]:
    """SQLite."""
    fits = sqlite3.sqlite_version_info >= ledger.OLDEST_SQLITE
    oldest = ".".join(map(str, ledger.OLDEST_SQLITE))
    hint = "" if fits else f"pip install 'pysqlite3>=0.6.1': before {oldest} SQLite can lose committed records"
    yield Finding("sqlite", fits, f"SQLite {sqlite3.sqlite_version}", hint)


def room(place: Place) -> Iterator[Finding]:
    """Free space below the state directory."""
    free, floor = free_bytes(_there(place.state)), _floor_bytes(place)
    low = free < 2 * floor
    hint = "make room: below the floor new requests are refused (limits.free_bytes)" if low else ""
    yield Finding("room", not low, f"{free >> 20} MiB free for {place.state}, the floor is {floor >> 20} MiB", hint)


def disk(place: Place) -> Iterator[Finding]:
    """The file system below the state directory."""
    where, kind, options = _mount(_there(place.state))
    if kind in REMOTE:
        hint = "put the state on a disk of this host: SQLite's log in shared memory does not work over a network"
        yield Finding("file system", False, f"{place.state} is on {kind} ({where})", hint)
    elif "ro" in options.split(","):
        yield Finding("file system", False, f"{where} is mounted read-only", "mount it for writing, or name another with --state")
    elif kind in FLEETING:
        hint = "for trying that is well; for work name a directory on a disk with --state or MAI_STATE"
        yield Finding("file system", False, f"{place.state} is on {kind}: nothing of it outlives a restart of the host", hint)
    else:
        yield Finding("file system", True, f"{kind} at {where}")


def rights(place: Place) -> Iterator[Finding]:
    """Who else may look into the directories, and whose they are."""
    wrong = []
    for path in _private(place):
        try:
            found = path.lstat()
        except OSError as error:
            wrong.append(f"{path} cannot be looked at: {error.strerror}")
            continue
        others = 0o066 if stat.S_ISDIR(found.st_mode) else 0o077
        if found.st_mode & others and not stat.S_ISLNK(found.st_mode):
            wrong.append(f"{path} has the rights {stat.S_IMODE(found.st_mode):04o}")
    hint = "chmod go-rw on directories, chmod 600 on files" if wrong else ""
    says = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    yield Finding("rights", not wrong, says or "nobody else looks into the state", hint)


def versions(place: Place) -> Iterator[Finding]:
    """Whose state it is, and of which layout."""
    if not place.state.exists():
        yield Finding("state", True, f"{place.state} will be made by the first mai up")
        return
    owner, own = place.state.stat().st_uid, os.geteuid()
    found = (place.state / "format").read_text().strip() if (place.state / "format").exists() else "none"
    strange = not found.isdecimal() or int(found) > FORMAT
    if own not in (0, owner):
        hint = f"run this as user {owner}, or as root: what it finds is true for user {own} only"
        yield Finding("state", False, f"{place.state} belongs to user {owner}", hint)
    elif strange and found != "none":
        hint = "install the newer version again, or name another with --state"
        yield Finding("state", False, f"{place.state} is of format {found}, this version reads up to {FORMAT}", hint)
    else:
        yield Finding("state", True, f"{place.state}, format {found}")


def clock(place: Place) -> Iterator[Finding]:
    """Is it right, and does it go forward?"""
    newest = max((path.stat().st_mtime for path in _ledgers(place)), default=0.0)
    if newest > time.time() + AGAIN_S:
        says = f"the clock is {newest - time.time():.0f} s behind what is on record"
        yield Finding("clock", False, says, "deadlines are wall clock: set it right before the daemon is started (timedatectl)")
        return
    libc, buffer = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(512)
    state = libc.adjtimex(buffer)  # with no mode set it only reads
    synchronized = 0 <= state < _TIME_ERROR
    hint = "" if synchronized else "timedatectl set-ntp true, or chrony: deadlines and journals are wall clock"
    yield Finding("clock", synchronized, "synchronized" if synchronized else "nobody says that it is synchronized", hint)


def descriptors(place: Place) -> Iterator[Finding]:
    """How many files a process may have open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fits = hard == resource.RLIM_INFINITY or hard >= FILES
    shown = "without limit" if hard == resource.RLIM_INFINITY else str(hard)
    hint = "" if fits else f"raise it to {FILES}: LimitNOFILE= of the unit, or ulimit -Hn as root"
    yield Finding("descriptors", fits, f"{shown} for each process", hint)


CHECKS: Final[tuple[Callable[[Place], Iterator[Finding]], ...]] = (
    kernel, programs, groups, library, versions, room, disk, rights, clock, descriptors,
)  # fmt: skip


def look(place: Place) -> list[Finding]:
    """All of them."""
    found: list[Finding] = []
    for check in CHECKS:
        try:
            found += check(place)
        except OSError as error:
            found.append(
                Finding(check.__name__, False, f"cannot be looked at: {error}", "run this as the daemon's user, or as root")
            )
    return found


# -- where things lie
def _there(path: Path) -> Path:
    """The path, or what is there of it."""
    return path if path.exists() or path == path.parent else _there(path.parent)


def _ledgers(place: Place) -> list[Path]:
    names = ("", "-wal")
    return [path for process in place.processes() for name in names if (path := Path(f"{place.ledger(process)}{name}")).exists()]


def _private(place: Place) -> Iterator[Path]:
    """What nobody else may read."""
    if not place.state.exists():
        return
    yield place.state
    yield from sorted((place.state / "credentials").glob("*"))
    for process in place.processes():
        home = place.home(process)
        yield home
        yield from (path for name in ("ledger.db", "key", "key.next", "keys", "signing.key") if (path := home / name).exists())


def _floor_bytes(place: Place) -> int:
    from mai.agents.organisation import Organisation

    try:
        data = (place.supervisor / "organisation").read_bytes()
        return msgspec.msgpack.decode(data, type=Organisation).limits.free_bytes
    except (OSError, msgspec.MsgspecError):
        return FLOOR_BYTES


def _mount(path: Path) -> tuple[str, str, str]:
    """The mount that a path is on: where, of which kind, with which options."""
    best = ("/", "unknown", "")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        where, options = fields.split()[4:6]
        where = where.replace("\\040", " ")
        if path.resolve().is_relative_to(where) and len(where) >= len(best[0]):
            best = (where, rest.split()[0], options)
    return best
