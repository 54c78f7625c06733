"""Who is told of what is new and waits for persons: by staying at Mai's door, or by the command that announces it."""

import time
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from mai.agents.decider import Input
from mai.daemon.crier import AT_ONCE, Cried, Crier
from mai.daemon.door import Caller, Reply
from mai.sandbox.errors import Refused

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

MOST: Final = 32  # that stay, of each kind


class Sight(Protocol):
    """What they look at: approvals, or escalations."""

    word: str  # the key of the replies

    def command(self) -> tuple[str, ...]:
        """What announces new ones; empty if nothing does."""

    def all(self) -> Reply:
        """What waits already."""

    def told(self, ident: str) -> Reply | None:
        """One of them, as scripts read it; None if it waits no more."""

    def unannounced(self) -> Iterable[str]:
        """Those that wait, and that no command has been told of."""

    def announced(self, how: Cried) -> Input:
        """That goes on record."""


class Onlookers:
    """Those of one kind."""

    def __init__(self, gateway: "Gateway", sight: Sight) -> None:
        self._sight, self._callers = sight, list[Caller]()
        self._fresh: list[str] = []  # of this turn
        self._crier = Crier(gateway.place.door, gateway.client, sight.word, bool(sight.command()))

    def add(self, caller: Caller) -> Reply:
        """Somebody stays; what waits already. Raises Refused."""
        self._callers = [one for one in self._callers if not one.gone]
        if len(self._callers) >= MOST:
            raise Refused(f"{MOST} others follow already, which is the limit", "close one of them")
        self._callers.append(caller)
        return self._sight.all()

    def note(self, ident: str) -> None:
        """There is a new one."""
        if self._callers:
            self._fresh.append(ident)

    def after(self) -> None:
        """The turn is committed: tell of what is new and still waits."""
        found = [one for ident in self._fresh if (one := self._sight.told(ident))]
        for caller in self._callers if found else ():
            caller.answer({self._sight.word: found}, True)
        self._fresh.clear()
        now_s = time.monotonic()
        if self._crier.ready(now_s):
            told = (self._sight.told(ident) for ident in self._sight.unannounced())
            self._crier.cry(list(islice(filter(None, told), AT_ONCE)), now_s)

    def heard(self) -> list[Input]:
        """What the command has come to."""
        return [self._sight.announced(how) for how in self._crier.listen(time.monotonic())]

    def close(self) -> None:
        """Hang up."""
        self._crier.close()
