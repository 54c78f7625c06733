"""Departments that take no new tasks: nothing is sent to one that is held, and what has waited goes when it is freed. Pure."""

from mai.agents.events import Event, Sent
from mai.agents.messages import Task
from mai.daemon.desk import first
from mai.daemon.held import DRAINING, FAILED, SWITCHED, DepartmentFreed, DepartmentHeld, TaskHeld, name_of
from mai.daemon.invariant_undoing import said
from mai.daemon.invariants import Handler, Invariant, Notes
from mai.daemon.records import RequestAccepted

FREE = (0, DepartmentHeld(department="", how=FAILED))  # as good as: nothing is sent to one that was given up, and none waits


class Holds(Invariant):
    """The holds of one client, as Mai's journal has them."""

    law = "holds"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.held: dict[str, tuple[int, DepartmentHeld]] = {}  # department -> the record, and what it says
        self.accepted_ms: dict[str, int] = {}  # open requests
        self.waiting: dict[str, tuple[int, TaskHeld]] = {}  # by the task's first id

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            DepartmentHeld.kind: self._held,
            DepartmentFreed.kind: self._freed,
            TaskHeld.kind: self._waits,
            Sent.kind: self._sent,
            "part.ended": self._over,
            "contract.ended": self._over,
            "cover.given": self._over,
            RequestAccepted.kind: self._accepted,
            "request.ended": self._ended,
            "request.cancelled": self._ended,
        }

    def _held(self, seq: int, event: Event) -> None:
        assert isinstance(event, DepartmentHeld)
        self.held[event.department] = seq, event
        if event.how == FAILED:
            for task, (_, one) in self._of(event.department):
                self.dues.owe(
                    ("over", task), seq, f"{one.task} waited for {event.department}, which was given up, and has no end"
                )

    def _freed(self, seq: int, event: Event) -> None:
        assert isinstance(event, DepartmentFreed)
        if self.held.pop(event.department, None) is None:
            self.found(seq, f"record {seq} frees {event.department}, which was not held")
        for task, (_, one) in self._of(event.department):
            del self.waiting[task]
            if one.deadline_ms > event.at_ms:
                self.dues.owe(
                    ("sent", one.task), seq, f"{one.task} waited for {event.department}, which is free, and was not sent"
                )

    def _of(self, department: str) -> list[tuple[str, tuple[int, TaskHeld]]]:
        return [(task, found) for task, found in self.waiting.items() if name_of(found[1].to) == department]

    def _waits(self, seq: int, event: Event) -> None:
        assert isinstance(event, TaskHeld)
        if self.held.get(name_of(event.to), FREE)[1].how in (FAILED, SWITCHED):
            self.found(seq, f"record {seq} lets {event.task} wait for {event.to}, which is not held")
        self.waiting[first(event.task)] = seq, event

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        if not isinstance(event.body, Task):
            return
        self.dues.settle(("sent", event.body.task))
        before, held = self.held.get(name_of(event.to), FREE)
        passes = held.how == DRAINING and self.accepted_ms.get(event.body.request, held.at_ms) < held.at_ms
        if held.how not in (FAILED, SWITCHED) and not passes:
            self.found(seq, f"record {seq} sends {event.body.task} to {event.to}, which is {held.how}", before)

    def _accepted(self, seq: int, event: Event) -> None:
        assert isinstance(event, RequestAccepted)
        self.accepted_ms[event.request] = event.accepted_ms

    def _over(self, seq: int, event: Event) -> None:
        task = first(said(event, "task"))
        self.waiting.pop(task, None)
        self.dues.settle(("over", task))

    def _ended(self, seq: int, event: Event) -> None:
        """Its parts are over; what other departments asked for it ends by itself, unless an operator has cancelled it."""
        name = said(event, "request")
        if event.kind == "request.ended":
            self.accepted_ms.pop(name, None)
        for task, (_, one) in list(self.waiting.items()):
            if one.request == name and (event.kind == "request.cancelled" or task.rpartition("/")[0] == name):
                self._over(seq, one)

    def under_way(self) -> dict[str, int]:
        """Tasks that wait."""
        return {"held tasks": len(self.waiting)}
