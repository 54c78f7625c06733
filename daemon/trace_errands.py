"""What was asked of models and of tools with network for a request, as Mai and the service have it: tries and costs. Pure."""

from typing import Any, Final, NamedTuple

from mai.agents.decider import VIA_MAI
from mai.agents.effects import AGAIN
from mai.daemon.tree import OPEN, Step, Try

Body = dict[str, Any]
KINDS: Final = (
    "errand.checked", "errand.ended", "call.taken", "attempt.begun", "attempt.ended", "model.request", "model.response",
    "tool.begun", "tool.ended",
)  # fmt: skip


class Whose(NamedTuple):
    """The step that an errand belongs to."""

    task: str
    n: int


class Errands:
    """All of one request, by their ids."""

    def __init__(self) -> None:
        self.found: dict[str, Step] = {}

    def add(self, kind: str, ident: str, body: Body, at_ms: float, record: str) -> bool:
        """Fold a record; false if it is about none."""
        if kind not in KINDS:
            return False
        step = self.found.setdefault(ident, Step(0, "", "", at_ms))
        match kind:
            case "errand.checked":
                step.call, step.what = "model" if body["service"] == "models" else "tool", body["what"]
                step.started_ms, step.record = at_ms, record
                step.state, step.note = (OPEN, "") if body["allowed"] else ("refused", body["rule"])
            case "errand.ended":
                self._ended(step, body, at_ms, record)
            case "attempt.begun" | "tool.begun":
                self._begun(step, kind, body, at_ms)
            case "model.request" if step.tries:
                step.tries[-1].request, step.tries[-1].url = record, body["url"]
            case "model.response" if step.tries:
                step.tries[-1].status = body["status"]
            case "attempt.ended" | "tool.ended":
                if step.tries:
                    _close(step.tries[-1], body, at_ms)
        return True

    def _ended(self, step: Step, body: Body, at_ms: float, record: str) -> None:
        usage = body.get("usage") or {}
        step.ms, step.record, step.by = round(at_ms - step.started_ms, 3), record, body.get("by", "")
        step.state = "done" if body["state"] == "answered" else body["state"]
        step.note = body.get("reason", "") or step.by
        step.input_tokens, step.output_tokens = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
        step.cost_nano = usage.get("cost_nano", 0)

    def _begun(self, step: Step, kind: str, body: Body, at_ms: float) -> None:
        if step.tries and step.tries[-1].ms is None:  # the process died over the last one
            last = step.tries[-1]
            last.ms, last.why = round(at_ms - last.at_ms, 3), last.why or "the process died meanwhile"
        step.tries.append(Try(at_ms, f"{body['provider']}/{body['model']}" if kind == "attempt.begun" else body["tool"]))


def _close(last: Try, body: Body, at_ms: float) -> None:
    usage = body.get("usage") or {}
    last.ms, last.why = round(at_ms - last.at_ms, 3), body.get("why") or body.get("refused", "")
    last.tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
    last.cost_nano = usage.get("cost_nano", 0)


def whose(ident: str) -> Whose:
    """The task and the step that asked, by the errand's id; no step: it is Mai's own."""
    task, _, number = ident.rpartition(VIA_MAI)
    n = number.partition(AGAIN)[0]
    return Whose(task, int(n)) if task and n.isdecimal() else Whose("", 0)
