"""Departments that take no new tasks: nothing is sent to one that is held, and what has waited goes when it is freed. Pure."""

from mai.agents.events import Event, Sent
from mai.agents.messages import Task
from mai.daemon.desk import first
from mai.daemon.held import FAILED, SWITCHED, DepartmentFreed, DepartmentHeld, TaskHeld, name_of
from mai.daemon.invariant_undoing import said
from mai.daemon.invariants import Handler, Invariant, Notes


class Holds(Invariant):
    """The holds of one client, as Mai's journal has them."""

    law = "holds"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.held: dict[str, tuple[int, str]] = {}  # department -> the record, and how
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
            "request.ended": self._ended,
            "request.cancelled": self._ended,
        }

    def _held(self, seq: int, event: Event) -> None:
        assert isinstance(event, DepartmentHeld)
        self.held[event.department] = seq, event.how
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
        if self.held.get(name_of(event.to), (0, FAILED))[1] in (FAILED, SWITCHED):
            self.found(seq, f"record {seq} lets {event.task} wait for {event.to}, which is not held")
        self.waiting[first(event.task)] = seq, event

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        if not isinstance(event.body, Task):
            return
        self.dues.settle(("sent", event.body.task))
        before, how = self.held.get(name_of(event.to), (0, FAILED))
        if how not in (FAILED, SWITCHED):
            self.found(seq, f"record {seq} sends {event.body.task} to {event.to}, which is {how}", before)

    def _over(self, seq: int, event: Event) -> None:
        task = first(said(event, "task"))
        self.waiting.pop(task, None)
        self.dues.settle(("over", task))

    def _ended(self, seq: int, event: Event) -> None:
        """Its parts are over; what other departments asked for it ends by itself, unless an operator has cancelled it."""
        name = said(event, "request")
        for task, (_, one) in list(self.waiting.items()):
            if one.request == name and (event.kind == "request.cancelled" or task.rpartition("/")[0] == name):
                self._over(seq, one)

    def under_way(self) -> dict[str, int]:
        """Tasks that wait."""
        return {"held tasks": len(self.waiting)}
