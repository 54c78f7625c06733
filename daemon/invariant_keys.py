"""Who speaks to Mai does so with a key that is his at that moment. Pure."""

from mai.agents.events import Event, Received
from mai.daemon.invariants import Handler, Invariant, Notes
from mai.daemon.keyed import KeysKnown, KeySpoken


class Keys(Invariant):
    """The keys of one client, as Mai's journal has them. A journal of an earlier version says nothing of them."""

    law = "keys"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.known: tuple[int, dict[str, str]] = (0, {})  # the record, fingerprint -> process
        self.spoken: dict[str, str] = {}  # process -> fingerprint

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {KeysKnown.kind: self._known, KeySpoken.kind: self._spoken, Received.kind: self._received}

    def _known(self, seq: int, event: Event) -> None:
        assert isinstance(event, KeysKnown)
        self.known = seq, event.known

    def _spoken(self, seq: int, event: Event) -> None:
        assert isinstance(event, KeySpoken)
        before, known = self.known
        if known.get(event.key) != event.process:
            whose = known.get(event.key) or "nobody"
            self.found(seq, f"record {seq} hears {event.process} with the key {event.key}, which is {whose}'s", before)
        self.spoken[event.process] = event.key

    def _received(self, seq: int, event: Event) -> None:
        """A message was taken: was the key good that its sender spoke with last?"""
        assert isinstance(event, Received)
        before, known = self.known
        if before and known.get(self.spoken.get(event.sender, "")) != event.sender:
            self.found(seq, f"record {seq} takes a message of {event.sender}, whose key is not good any more", before)
