"""The heads of journals, as the watchdog signs them: where each journal ended, at a time. Pure.

A process says with its heartbeat where its journal ends (number and digest of the last record that the disk has). At least
every `sign_s` seconds the watchdog signs what is new of that, all in one record of its own journal: from then on who
rewrites, cuts or exchanges a journal is found out by `mai verify`, be it the process itself. What happens to records before
they are signed is seen by nobody but those who have had messages from them (witness.py).
"""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import msgspec

KIND: Final = "heads.signed"
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
LARGEST: Final = (1 << 63) - 1  # a number that SQLite can hold

Head = tuple[int, str]  # number and digest (64 hexadecimal digits) of a journal's last record


class HeadsSigned(msgspec.Struct, frozen=True, kw_only=True):
    """Where these journals ended. `signature` is over `statement`."""

    kind: ClassVar[str] = KIND
    at_ms: int
    heads: dict[str, Head]  # by process; the watchdog's own is the record before this one
    key: str  # the public key
    signature: str = ""

    def statement(self) -> bytes:
        """What is signed: a line for each head, so that no encoder's habits matter."""
        lines = [f"{process} {seq} {digest}" for process, (seq, digest) in sorted(self.heads.items())]
        return "\n".join(("mai-heads-v1", str(self.at_ms), self.key, *lines, "")).encode()


class Heads:
    """What the processes have said of their journals, and what of it is signed."""

    def __init__(self, signed: Mapping[str, Sequence[int | str]]) -> None:
        """`signed`: what was signed last, by process, as number and digest."""
        self._signed: dict[str, Head] = {process: (int(seq), str(digest)) for process, (seq, digest) in signed.items()}
        self._said: dict[str, Head] = dict(self._signed)
        self._astray: set[str] = set()  # whose present life has another journal than was there before
        self._due_s = 0.0

    def hear(self, process: str, seq: int, digest: str) -> str:
        """Take what a heartbeat says, which may be anything; returns what is wrong with it, "" if that is nothing.

        Nothing that a life says after something was wrong is signed: it is told once, and the true journal may be put back.
        """
        if not 0 < seq <= LARGEST or not DIGEST.fullmatch(digest) or process in self._astray:
            return ""
        before_seq, before = self._said.get(process, (0, ""))
        wrong = ""
        if seq < before_seq:
            wrong = f"its journal ends with record {seq}, and ended with record {before_seq}: it was cut, or is an older copy"
        elif seq == before_seq and digest != before:
            wrong = f"record {seq} of its journal is not the one that it was: the journal was written anew"
        if wrong:
            self._astray.add(process)
        else:
            self._said[process] = (seq, digest)
        return wrong

    def begin(self, process: str) -> None:
        """Another life of it: judged anew."""
        self._astray.discard(process)

    def known(self, client: str) -> list[str]:
        """The processes of a client of which there is something."""
        return [process for process in self._said if process.partition("/")[0] == client]

    def forget(self, process: str) -> None:
        """Its journal is no more; who has its name later begins anew."""
        self._said.pop(process, None)
        self._astray.discard(process)
        self._signed.pop(process, None)

    def due(self, now_s: float, every_s: float, *, now: bool = False) -> dict[str, Head]:
        """The heads that are new, once in so many seconds, or `now`; empty if there is nothing to sign."""
        fresh = {process: head for process, head in self._said.items() if self._signed.get(process) != head}
        if not fresh or (now_s < self._due_s and not now):
            return {}
        self._due_s = now_s + every_s
        self._signed.update(fresh)
        return fresh
