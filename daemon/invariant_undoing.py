"""A cancelled request in one department: told once, all its tasks stopped, each effect undone at most once, answered once. Pure.

Cancel → cancel.taken, task.cancelled for each open task → undo.planned → undo.intent → undo.done | undo.unknown → cancel.ended
and one Cancelled to Mai
"""

from typing import Any

from mai.agents.events import Event, Received, Sent
from mai.daemon.invariants import End, Handler, Invariant, Notes

AGAIN = ("none", "idempotent")  # tools that may be called again


class OpenCancel:
    """A request that is being stopped, and what of it is still to be undone."""

    __slots__ = ("planned", "seq", "todo")

    def __init__(self, seq: int) -> None:
        self.seq, self.planned = seq, 0
        self.todo: dict[str, tuple[int, int]] = {}  # effect's key -> attempts, and the record of the last


class Undoing(Invariant):
    """The cancelled requests of one department."""

    law = "cancel"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.open: dict[str, OpenCancel] = {}

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            Sent.kind: self._sent,
            "cancel.taken": self._taken,
            "task.cancelled": self._stopped,
            "undo.planned": self._planned,
            "undo.intent": self._intent,
            "undo.done": self._undone,
            "undo.unknown": self._undone,
            "cancel.ended": self._ended,
        }

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        if named(event.body, "Cancel") and (request := said(event.body, "request")) not in self.open:
            self.dues.owe(("taken", request), seq, f"{request} is cancelled, and nothing is stopped")

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        if named(event.body, "Cancelled") and not self.dues.settle(("told", request := said(event.body, "request"))):
            self.found(seq, f"record {seq} says that {request} was stopped, and nothing has just ended that")

    def _taken(self, seq: int, event: Event) -> None:
        request = said(event, "request")
        if not self.dues.settle(("taken", request)):
            self.found(seq, f"record {seq} stops {request}, and nobody has just cancelled it")
        self.open[request] = OpenCancel(seq)
        for task in getattr(event, "stopped", ()):
            self.dues.owe(("task", task), seq, f"{request} is cancelled, and its task {task} is not stopped")

    def _stopped(self, seq: int, event: Event) -> None:
        self.dues.settle(("task", said(event, "task")))

    def _planned(self, seq: int, event: Event) -> None:
        if (one := self._of_open(seq, event)) is None:
            return
        if one.planned:
            self.found(seq, f"record {seq} is one more plan of what to undo", one.planned)
        one.planned = seq
        one.todo = {undo.key: (0, 0) for undo in getattr(event, "effects", ()) if not undo.state}

    def _intent(self, seq: int, event: Event) -> None:
        key, attempt, effect = said(event, "undoes"), getattr(event, "attempt", 1), said(event, "effect")
        if (one := self._of_open(seq, event)) is None:
            return
        if key not in one.todo:
            self.found(seq, f"record {seq} undoes {key}, which is not, or no longer, to be undone", one.planned)
            return
        before, last = one.todo[key]
        if before and effect not in AGAIN:
            self.found(seq, f"record {seq} undoes {key} again by a tool that is {effect}", last)
        elif attempt != before + 1:
            self.found(seq, f"record {seq} undoes {key} for the time {attempt}, after {before}", last)
        one.todo[key] = attempt, seq

    def _undone(self, seq: int, event: Event) -> None:
        if (one := self._of_open(seq, event)) and one.todo.pop(said(event, "undoes"), None) is None:
            self.found(seq, f"record {seq} says what became of undoing {said(event, 'undoes')}: that is known, or not planned")

    def _ended(self, seq: int, event: Event) -> None:
        if (one := self._of_open(seq, event)) is None:
            return
        request = said(event, "request")
        if one.todo:
            what = f"record {seq} ends the cancellation of {request}, and {next(iter(one.todo))} is not undone"
            self.found(seq, what, one.planned)
        del self.open[request]
        self.dues.owe(("told", request), seq, f"{request} is stopped, and Mai is not told")

    def _of_open(self, seq: int, event: Event) -> OpenCancel | None:
        request = said(event, "request")
        one = self.open.get(request)
        if one is None:
            self.found(seq, f"record {seq} is a {event.kind} of {request}, which is not being cancelled")
        return one

    def close(self, end: End) -> None:
        """Nothing is owed, nothing is half undone at rest."""
        super().close(end)
        for request, one in self.open.items():
            self.left_open(end, one.seq, f"the cancellation of {request}", 0)

    def under_way(self) -> dict[str, int]:
        """Cancellations that are not finished."""
        return {"cancellations": len(self.open)}


def named(body: object, name: str) -> bool:
    """Is a message of this kind?"""
    return type(body).__name__ == name


def said(what: Any, field: str) -> str:
    """A field of a message or an event."""
    return str(getattr(what, field, ""))
