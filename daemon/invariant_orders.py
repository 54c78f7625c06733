"""What a person orders and is asked, between Mai and the departments: each order goes out once, each has one answer. Pure.

in doubt: effect.unknown and a Doubt → doubt.raised … doubt.resolved and a Resolve → effect.resolved
quarantine: release.ordered and a Release → one Released → release.answered
"""

from mai.agents.events import EffectUnknown, Event, MessageRefused, Received, Sent
from mai.daemon.invariant_undoing import named, said
from mai.daemon.invariants import Handler, Invariant, Notes


class Orders(Invariant):
    """Mai's half."""

    law = "orders"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.doubts: dict[str, tuple[int, str]] = {}  # key -> its record, and the process that told of it

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            Sent.kind: self._sent,
            MessageRefused.kind: self._refused,
            "doubt.raised": self._raised,
            "doubt.resolved": self._resolved,
            "release.ordered": self._ordered,
            "release.answered": self._answered,
        }

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        body, peer = event.body, event.sender
        if named(body, "Doubt") and not (getattr(body, "known", False) and said(body, "key") not in self.doubts):
            self.dues.owe(
                ("raised", said(body, "key"), peer), seq, f"{peer} tells of the doubt {said(body, 'key')}: nobody notes it"
            )
        elif named(body, "Released"):
            self.dues.owe(("answered", said(body, "id"), peer), seq, f"{peer} answers {said(body, 'id')}, and nobody notes it")

    def _refused(self, seq: int, event: Event) -> None:
        assert isinstance(event, MessageRefused)
        self.dues.drop(lambda key: key[0] in ("raised", "answered") and key[2] == event.peer)

    def _raised(self, seq: int, event: Event) -> None:
        key, process = said(getattr(event, "doubt", None), "key"), said(event, "process")
        if not self.dues.settle(("raised", key, process)):
            self.found(seq, f"record {seq} notes the doubt {key}, and nobody has just told of it")
        self.doubts[key] = seq, process

    def _resolved(self, seq: int, event: Event) -> None:
        key = said(event, "key")
        if (known := self.doubts.pop(key, None)) is None:
            self.found(seq, f"record {seq} resolves {key}, which is not, or no longer, in doubt")
        else:
            self.dues.owe(("Resolve", key), seq, f"{key} is resolved, and {known[1]} is not told")

    def _ordered(self, seq: int, event: Event) -> None:
        order = said(getattr(event, "order", None), "order")
        self.dues.owe(("Release", order), seq, f"{said(event, 'task')} is to be released, and nobody is told")

    def _answered(self, seq: int, event: Event) -> None:
        order = said(event, "order")
        before = len(self.dues)
        self.dues.drop(lambda key: key[:2] == ("answered", order))
        if len(self.dues) == before:
            self.found(seq, f"record {seq} says what became of the order {order}, and nobody has just told")

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        for name, field in (("Resolve", "key"), ("Release", "id")):
            if named(event.body, name) and not self.dues.settle((name, what := said(event.body, field))):
                self.found(seq, f"record {seq} sends a {name} of {what} to {event.to}, and nobody has just ordered it")

    def under_way(self) -> dict[str, int]:
        """Doubts that wait for a person."""
        return {"doubts": len(self.doubts)}


class Ordered(Invariant):
    """A department's half."""

    law = "orders"

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            Sent.kind: self._sent,
            EffectUnknown.kind: self._unknown,
            "effect.resolved": self._resolved,
        }

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        if named(event.body, "Resolve"):
            key = said(event.body, "key")
            self.dues.owe(("resolved", key), seq, f"a person has resolved {key}, and it stays in doubt")
        elif named(event.body, "Release"):
            order = said(event.body, "id")
            self.dues.owe(("Released", order), seq, f"the order {order} was received, and is not answered")

    def _resolved(self, seq: int, event: Event) -> None:
        self.dues.settle(("resolved", said(event, "key")))

    def _unknown(self, seq: int, event: Event) -> None:
        """Unless it may simply be repeated a person is asked; journals that are older than that question have no `why`."""
        if said(event, "why") and said(event, "effect") != "idempotent":
            self.dues.owe(("Doubt", said(event, "key")), seq, f"{said(event, 'key')} is in doubt, and no person is asked")

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        if named(event.body, "Doubt"):
            self.dues.settle(("Doubt", said(event.body, "key")))
        elif named(event.body, "Released") and not self.dues.settle(("Released", order := said(event.body, "id"))):
            self.found(seq, f"record {seq} answers the order {order}, and nobody has just given it")
