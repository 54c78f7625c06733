"""What a request's tasks waited for: approvals, persons, departments that took nothing, cases in dispute. Pure.

Each becomes a step of its own, from the record with which the waiting began to the one with which it was over.
"""

from typing import Any, Final, NamedTuple

from mai.daemon.summary import inputs, short, verdict
from mai.daemon.tree import Step

Body = dict[str, Any]
KINDS: Final = (
    "approval.asked", "approval.decided", "approval.expired", "escalation.raised", "escalation.answered", "escalation.ended",
    "task.held", "answer.held",
)  # fmt: skip
ENDS_ANSWER: Final = ("part.ended", "contract.ended", "answer.returned")


class Wait(NamedTuple):
    """One of them, and whose."""

    task: str
    step: Step


class Waits:
    """All of one request, open and over."""

    def __init__(self) -> None:
        self.found: list[Wait] = []
        self._open: dict[str, Step] = {}

    def add(self, kind: str, body: Body, at_ms: float, record: str) -> bool:
        """Fold a record; false if it is about none."""
        match kind:
            case "approval.asked":
                what = f"{body['name']} {inputs((body.get('given') or {}).get('input'))}"
                self._begin(body["id"], body["task"], Step(0, "approval", what, at_ms, note=body.get("why", ""), record=record))
            case "approval.decided":
                if not body.get("late"):
                    state = "approved" if body["approved"] else "denied"
                    self._end(body["id"], at_ms, state, verdict(body), record=record, by=", ".join(body["by"]))
            case "approval.expired":
                self._end(body["id"], at_ms, "expired", body["why"], record=record)
            case "escalation.raised":
                what = f"to a person: {body['body']['plea']['reason']}"
                self._begin(body["id"], body["task"], Step(0, "escalation", what, at_ms, record=record))
            case "escalation.answered":
                self._end(
                    body["id"], at_ms, body["state"], body.get("text") or body.get("reason", ""), record=record, by=body["by"]
                )
            case "escalation.ended":
                self._end(body["id"], at_ms, body["state"], body["reason"], record=record)
            case "task.held":
                step = Step(0, "held", f"{short(body['to'])} takes no tasks", at_ms, record=record)
                self._begin(f"held {body['task']}", body["task"], step)
            case "answer.held":
                step = Step(0, "conflict", f"its answer rests on {', '.join(body['cases'])}", at_ms, record=record)
                self._begin(f"answer {body['task']}", body["task"], step)
            case _:
                return False
        return True

    def gone(self, task: str, at_ms: float, record: str) -> None:
        """A task has left Mai for its department."""
        self._end(f"held {task}", at_ms, "done", "", record=record)

    def answered(self, kind: str, task: str, at_ms: float, record: str) -> None:
        """The answer to a task goes on, or not."""
        if kind in ENDS_ANSWER:
            self._end(f"answer {task}", at_ms, "returned" if kind == "answer.returned" else "done", "", record=record)

    def _begin(self, name: str, task: str, step: Step) -> None:
        self._open[name] = step
        self.found.append(Wait(task, step))

    def _end(self, name: str, at_ms: float, state: str, note: str, *, record: str, by: str = "") -> None:
        if step := self._open.pop(name, None):
            step.ms, step.state, step.record, step.by = round(at_ms - step.started_ms, 3), state, record, by
            step.note = note or step.note
