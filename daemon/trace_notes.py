"""Which records of a request stand in its tree as a note of their own, and which need no line. Pure.

Every kind of record that names a request is either folded (trace_folding.py), or one of these two; a test says so.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from mai.daemon.summary import summary

Body = dict[str, Any]


class Told(NamedTuple):
    """A kind of record that is told as it is: what it is about, and of which of them."""

    what: str
    when: Callable[[Body], bool] = bool
    of_request: bool = False  # it stands with the whole, not with its task


NOTES: Final[dict[str, Told]] = {
    "fallback.switched": Told("fallback"),
    "breaker.probed": Told("fallback"),
    "target.left": Told("fallback"),
    "cover.given": Told("fallback", lambda b: b["ident"] != b["task"]),
    "guard.stopped": Told("guard"),
    "budget.stopped": Told("budget"),
    "budget.nearly": Told("budget"),
    "shift.assigned": Told("hand-over"),
    "shift.waits": Told("hand-over"),
    "task.handed": Told("hand-over"),
    "task.suspected": Told("crash"),
    "approval.referred": Told("approval"),
    "approval.voted": Told("approval"),
    "policy.judged": Told("policy", lambda b: b.get("verdict") != "allow"),
    "escalation.parked": Told("escalation"),
    "request.pending": Told("escalation", of_request=True),
    "claim.noted": Told("conflict", lambda b: b["claim"].get("state", "standing") != "standing"),
    "answer.returned": Told("conflict"),
    "case.opened": Told("conflict", of_request=True),
    "case.reopened": Told("conflict", of_request=True),
    "case.asked": Told("conflict", of_request=True),
    "case.voted": Told("conflict", of_request=True),
    "case.ruled": Told("conflict", of_request=True),
    "case.appealed": Told("conflict", of_request=True),
    "case.expired": Told("conflict", of_request=True),
    "incident.opened": Told("incident", of_request=True),
    "remedy.checked": Told("remedy"),
    "remedy.ended": Told("remedy"),
    "tool.doubted": Told("doubt"),
    "tool.queried": Told("doubt"),
    "inbound.taken": Told("voice", of_request=True),
    "inbound.waits": Told("voice", of_request=True),
    "voice.said": Told("voice", of_request=True),
    "voice.sent": Told("voice", of_request=True),
    "cancel.ended": Told("cancelled", of_request=True),
}

PASSED: Final[dict[str, str]] = {
    "cancel.taken": "each of its tasks says that it stops",
    "decision": "its number stands with what it seals",
    "claim": "its step says it",
    "memory.written": "its step says it",
    "memory.forgotten": "its step says it",
    "tool.counted": "it counts",
    "budget.granted": "it counts",
    "budget.returned": "it counts",
    "breaker.noted": "who stands in has a record of his own",
    "approval.raised": "its department has asked for it",
    "approval.used": "its step says it",
    "approval.closed": "its department says why",
    "approval.passed": "its step says it",
    "approval.announced": "a command has told persons of it",
    "escalation.announced": "a command has told persons of it",
    "incident.noted": "what died stands with its task",
    "doubt.raised": "its step says it",
    "doubt.resolved": "its department says it",
    "release.ordered": "its department says it",
    "release.answered": "its department says it",
    "ruling.told": "the case says it",
    "call.ended": "Mai's end of the errand says it",
}


def noted(kind: str, body: Body) -> tuple[str, bool, str] | None:
    """What a record is about, whether it stands with the whole request, and its words; None if it has no note."""
    if (told := NOTES.get(kind)) is None or not told.when(body):
        return None
    return told.what, told.of_request, summary(kind, body)
