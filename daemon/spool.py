"""A channel's spool: a directory into which files are put, as into a maildir, and from which Mai takes each exactly once.

    tmp/   where a file is written
    new/   where it is put when it is whole, by rename
    cur/   what was taken
    bad/   what was refused, and beside each NAME.why

What is taken, or refused, is on the disk first, with the file's name, number, size and time; only then the file is moved, which
is on record as well. So after a death at any moment the record says of each file in new/ whether it was taken.
Whoever wrote a file is its owner. What lies in new/ may be anything: nothing is followed, waited for, or read beyond its bound.
"""

import contextlib
import hashlib
import os
import pwd
import re
import stat
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mai.agents.channels import Channel
from mai.agents.shell import now_ms
from mai.daemon.intake import Bearer, Bringing
from mai.daemon.rights import AT_MAI, role_for
from mai.daemon.spooled import Spooled, SpoolMoved, SpoolRefused
from mai.daemon.voice_records import Filed
from mai.sandbox.errors import Refused, UsageFault
from mai.sandbox.peer import Peer
from mai.sandbox.place import Place
from mai.sandbox.points import reach

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

LOOK_S: Final = 0.25  # between two looks: walled processes may not watch directories
FULL_S: Final = 1.0  # where there was no room for what lies there
MOST: Final = 32  # files of one channel in one turn
SEEN: Final = 4096  # names that are looked at
SETTLED_NS: Final = 200_000_000  # a file that was written so lately may not be whole
NAME: Final = re.compile(r"[A-Za-z0-9_=+@%,:~!-][A-Za-z0-9_.=+@%,:~!-]{0,149}")
OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
KINDS: Final = ((stat.S_ISLNK, "a link"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISDIR, "a directory"), (stat.S_ISSOCK, "a socket"))


class Unready(Exception):
    """A file that is not to be taken yet, or is gone."""


class Spools:
    """The spools of one client's channels."""

    def __init__(self, gateway: "Gateway", place: Place) -> None:
        self._gateway = gateway
        channels = [channel for channel in gateway.organisation.channels if channel.spool]
        self._spools = {channel.name: (channel, place.spool(gateway.client, channel.name)) for channel in channels}
        self._due_s = 0.0  # when to look again
        self._moved: list[Spooled] = []  # since the last commit; their records are due
        self._stuck: set[str] = set()  # files that cannot be moved: not tried again in this life

    @property
    def any(self) -> bool:
        """Is there a spool at all? Then its Mai does not sleep."""
        return bool(self._spools)

    def wait_ms(self, wait_ms: int) -> int:
        """The wait of the loop, but no longer than until the next look."""
        return min(wait_ms, max(0, int((self._due_s - time.monotonic()) * 1000))) if self._spools else wait_ms

    def work(self) -> None:
        """Note what was moved, and take what has come."""
        for one in self._moved:
            self._gateway.shell.apply(SpoolMoved(channel=one.channel, file=one.file, to=one.to))
        self._moved.clear()
        if not self._spools or time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + LOOK_S
        for channel, directory in self._spools.values():
            try:
                self._look(channel, directory)
            except Refused:  # no room now: all of it stays where it is
                self._due_s = time.monotonic() + FULL_S

    def after(self) -> None:
        """What is on record by now may be moved."""
        for key, one in self._gateway.decider.state.spooled.items():
            if one in self._moved or key in self._stuck or one.channel not in self._spools:
                continue
            try:
                _move(self._spools[one.channel][1], one)
                self._moved.append(one)
            except OSError:
                self._stuck.add(key)
        if self._moved:
            self._due_s = 0.0  # their records are due in the next turn

    # -- taking
    def _look(self, channel: Channel, directory: Path) -> None:
        """Take what lies in new/, in the order of names. Raises Refused."""
        with contextlib.suppress(FileNotFoundError):
            names = sorted(islice((one for one in os.listdir(os.fsencode(directory / "new")) if one[:1] != b"."), SEEN))
            for raw in names[:MOST]:
                self._take(channel, directory / "new", raw)

    def _take(self, channel: Channel, new: Path, raw: bytes) -> None:
        name = safe(raw)
        try:
            found = os.lstat(os.path.join(os.fsencode(new), raw))
        except OSError:
            return
        file = Filed(name, *numbers(found))
        if f"{channel.name}/{name}" in self._gateway.decider.state.spooled:
            return  # it is on record, and waits to be moved
        try:
            bearer = self._bearer(channel, found)
            data = read(new, raw, channel.message_bytes)
            sender = "" if channel.parse == "mail" else bearer.user
            brought = Bringing(channel=channel, data=data, sender=sender, file=file)
            receipt = self._gateway.intake.take(brought, bearer)
        except Unready:
            return
        except UsageFault as fault:
            self._refuse(channel, file, found, "bad", fault.sentence)
            return
        reach("spool.taken")
        if f"{channel.name}/{name}" not in self._gateway.decider.state.spooled:
            self._refuse(channel, file, found, "cur", f"it was delivered before, as {receipt['message']}")

    def _refuse(self, channel: Channel, file: Filed, found: os.stat_result, to: str, why: str) -> None:
        user = _user(found.st_uid)
        self._gateway.shell.apply(
            SpoolRefused(channel=channel.name, file=file, to=to, why=why[:500], user=user, uid=found.st_uid, at_ms=now_ms())
        )

    def _bearer(self, channel: Channel, found: os.stat_result) -> Bearer:
        """Who has put it there, and under which role he may. Raises UsageFault."""
        guard = self._gateway.reception.guard
        peer = Peer(0, found.st_uid, _groups(found.st_uid))
        rights = guard.roll.rights(peer)
        role = role_for(rights, AT_MAI["deliver"], self._gateway.client) if rights else ""
        if rights is None or not role or not (rights.everything or guard.may_deliver(channel, peer)):
            raise UsageFault(f"its owner {_user(found.st_uid)} may not deliver on {channel.name}")
        return Bearer(rights.user, found.st_uid, role)


# -- files
def safe(raw: bytes) -> str:
    """The name of a file as it goes on record, and under which it lies in cur/ or bad/."""
    name = raw.decode("ascii", "replace")
    return name if NAME.fullmatch(name) else f"strange-{hashlib.sha256(raw).hexdigest()[:32]}"


def numbers(found: os.stat_result) -> tuple[int, int, int]:
    """By what a file is known again, beside its name: number, size and time."""
    return found.st_ino, found.st_size, found.st_mtime_ns


def read(new: Path, raw: bytes, limit_bytes: int) -> bytes:
    """The bytes of a file that is whole. Raises Unready, UsageFault."""
    directory = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        file = os.open(raw, OPEN, dir_fd=directory)
    except FileNotFoundError:
        raise Unready from None
    except OSError as error:
        raise UsageFault(_unreadable(new, raw, error)) from None
    finally:
        os.close(directory)
    with os.fdopen(file, "rb") as opened:
        before = os.fstat(file)
        if why := _unfit(before, limit_bytes):
            raise UsageFault(why)
        if 0 <= time.time_ns() - before.st_mtime_ns < SETTLED_NS:
            raise Unready
        data = opened.read(limit_bytes + 1)
        if numbers(os.fstat(file)) != numbers(before) or len(data) != before.st_size:
            raise Unready  # somebody writes on
    return data


def _unfit(found: os.stat_result, limit_bytes: int) -> str:
    if not stat.S_ISREG(found.st_mode):
        return f"it is {next((what for fits, what in KINDS if fits(found.st_mode)), 'no file')}, and no file"
    if found.st_nlink != 1:
        return "it has another name elsewhere: it is written anew, not linked"
    if found.st_size > limit_bytes:
        return f"it has {found.st_size} bytes, the limit is {limit_bytes}"
    return ""


def _unreadable(new: Path, raw: bytes, error: OSError) -> str:
    with contextlib.suppress(OSError):
        if why := _unfit(os.lstat(os.path.join(os.fsencode(new), raw)), 1 << 62):
            return why
    if isinstance(error, PermissionError):
        return "Mai may not read it: files are written with mode 0644, the directory lets nobody else in"
    return f"it cannot be read: {error.strerror}"


def _move(directory: Path, one: Spooled) -> None:
    """Out of new/, if it is still there; what has come there under its name since then stays. Raises OSError."""
    new = os.fsencode(directory / "new")
    raw = next((name for name in os.listdir(new) if safe(name) == one.file.name), None)
    if raw is None:
        return
    path = os.path.join(new, raw)
    with contextlib.suppress(FileNotFoundError):
        if numbers(os.lstat(path)) != (one.file.inode, one.file.size, one.file.mtime_ns):
            return
        to = directory / one.to / one.file.name
        if os.path.lexists(to):
            to = to.with_name(f"{one.file.name}.{one.file.inode}")
        if one.why and one.to == "bad":
            to.with_name(f"{to.name}.why").write_text(f"{one.why}\n")
        reach("spool.moving")
        os.rename(path, to)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _groups(uid: int) -> frozenset[int]:
    """The groups of a user, as the host's lists have them."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    return frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
