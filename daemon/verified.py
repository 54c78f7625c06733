"""What `mai verify` remembers, so that the next run reads only what is new: how far each journal was found sound.

STATE/verified holds it, or a file that `--since` names. It saves time and is no evidence: who may write the state directory
may write that file, too. An old record that was changed since is found by a run that reads everything (`--full`), and another
past by a file that lies elsewhere. No walled process sees it. Its digest tells that a disk has changed it; whether others than
its owner may write it is looked at as well.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

import msgspec

from mai.sandbox import durable
from mai.sandbox.errors import UsageFault
from mai.sandbox.place import Place

NAME: Final = "verified"
TITLE: Final = b"mai-verified-v1"
MOST_BYTES: Final = 1 << 30  # of the file
MOST_WAITING: Final = 20_000  # messages of one direction of a link that the other end's journal was not held against yet

Row = tuple[int, str]  # number and digest of a record


class Way(msgspec.Struct, frozen=True):
    """One direction of a link, as one end's journal has it."""

    count: int  # so many messages were held against the other end
    good: int  # this end's record of the last of them
    waits: tuple[Row, ...] = ()  # its records of those behind


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far one journal was read and found sound, and what is needed to go on."""

    seq: int
    digest: str
    at_ns: int  # of that record
    sent: dict[str, Way] = {}  # by peer
    received: dict[str, Way] = {}
    acked: dict[str, tuple[int, int]] = {}  # peer -> how far, by which record
    vouched: int = 0  # heads that the watchdog has signed fit up to this record


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was found sound of a state directory."""

    at_ms: int = 0  # when
    full_ms: int = 0  # when a run that read everything has ended
    marks: dict[str, Mark] = {}  # by process
    rounds: tuple[int, ...] = ()  # times (ms) of the newest signatures
    lives: tuple[int, ...] = ()  # those of them with which a life of the watchdog began, and the one in which the first is
    life: str = ""  # the last of them
    erased: dict[str, int] = {}  # clients, with the watchdog's record of their erasure
    keys: tuple[str, ...] = ()  # public keys of signed heads


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A run that reads everything, as far as it has come; nothing was found by then."""

    began_ms: int
    reached: Verified
    files: tuple[str, ...] = ()  # processes whose file and tables were looked at
    blobs: dict[str, str] = {}  # by process: the address up to which its blobs were


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    verified: Verified = Verified()
    part: Part | None = None


class Changed(Exception):
    """The file is there and is not what was written; says in which way."""


class File:
    """The file where it is remembered. Nothing is lost with it but time."""

    def __init__(self, place: Place, path: Path | None = None) -> None:
        """`path`: another than the state directory's own, which belongs to an installation and is not made in a copy of one."""
        self.path = path or place.state / NAME
        self._own = path is None
        self._kept = not self._own or place.lock.exists()

    def read(self) -> Memory:
        """What is remembered; nothing if there is no file. Raises Changed, OSError."""
        try:
            data = durable.read(self.path, MOST_BYTES)
        except FileNotFoundError:
            return Memory()
        except UsageFault as fault:
            raise Changed(fault.sentence) from None
        if self._own:
            self._look()
        title, _, text = data.partition(b"\n")
        if title != TITLE + b" " + hashlib.sha256(text).hexdigest().encode():
            raise Changed(f"{self.path} is not what was written: its digest differs")
        try:
            return msgspec.json.decode(text, type=Memory)
        except msgspec.MsgspecError as error:
            raise Changed(f"{self.path} cannot be read: {error}") from None

    def _look(self) -> None:
        """May nobody but its owner, whom we trust, write it?"""
        found = self.path.lstat()
        trusted = (0, os.geteuid(), self.path.parent.stat().st_uid)
        if found.st_uid not in trusted or stat.S_IMODE(found.st_mode) & 0o022:
            raise Changed(f"{self.path} may be written by others than its owner")

    def write(self, memory: Memory) -> None:
        """Replace it. Raises OSError."""
        if self._kept:
            text = msgspec.json.encode(memory)
            durable.write(self.path, TITLE + b" " + hashlib.sha256(text).hexdigest().encode() + b"\n" + text)


def of_clients(verified: Verified, clients: set[str]) -> Verified:
    """Without the marks of some clients."""
    return msgspec.structs.replace(
        verified, marks={process: mark for process, mark in verified.marks.items() if process.partition("/")[0] not in clients}
    )


def fits(marks: dict[str, Mark]) -> set[str]:
    """The clients whose marks fit together: both ends of a link have as many messages behind them."""
    wrong = set()
    for process, mark in marks.items():
        for peer, way in mark.sent.items():
            other = marks[peer].received.get(process) if peer in marks else None
            if way.count != (other.count if other else 0):
                wrong.add(process.partition("/")[0])
        for peer, way in mark.received.items():
            if way.count and (peer not in marks or process not in marks[peer].sent):
                wrong.add(process.partition("/")[0])
    return {process.partition("/")[0] for process in marks} - wrong
