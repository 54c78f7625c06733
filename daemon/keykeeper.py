"""Whom a Mai lets in, and with which key: the shell around keyed.py."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mai.agents.link import TOO_FAST
from mai.agents.shell import now_ms
from mai.daemon import keyed
from mai.daemon.refusals import Refusals
from mai.daemon.turns import Parcel
from mai.sandbox import keys
from mai.sandbox.points import reach

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway


class Keykeeper:
    """The keys of one Mai's process."""

    def __init__(self, gateway: "Gateway") -> None:
        self._mai = gateway

    def learn(self) -> None:
        """Put on record which keys are good, if that has changed."""
        if hand := self._mai.hand:
            known = {keys.fingerprint(public): name for public, name in hand.known.known.items()}
            for event in keyed.learned(self._mai.decider.state, keys.fingerprint(hand.own.public), known):
                self._mai.shell.apply(event)

    def look(self) -> None:
        """Other keys than those that she has read: her own to listen with, and those of others that are good."""
        before = self._mai.hand
        if (hand := self._mai.new_keys()) is None or before is None:
            return
        reach("keys.heeded")
        if hand.own != before.own:
            self._mai.router.serve(hand.own)
        if hand.known != before.known:
            self._mai.router.know(hand.known)
        self.learn()

    def let_in(self, refusals: Refusals, admits: Callable[[str], bool]) -> None:
        """Answer the handshakes that wait."""
        for owner, key in self._mai.router.authenticate(admits):
            if key:
                refusals.note(owner, "old key" if owner else "unknown key", key)
            else:
                refusals.note(owner, TOO_FAST, "it connects too often")

    def heard(self, parcel: Parcel) -> None:
        """A message came; with another key than the one before?"""
        for event in keyed.spoke(self._mai.decider.state, parcel.name, parcel.key, now_ms()):
            self._mai.shell.apply(event)
