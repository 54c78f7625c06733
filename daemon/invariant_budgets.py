"""Budgets: nothing derives from a task beyond what was granted with it, a grant comes back once, stops refuse. Pure."""

from mai.agents.allowance import BudgetStopped, ToolCounted
from mai.agents.amounts import Amounts
from mai.agents.approval_messages import Opinion
from mai.agents.claim_messages import Vote
from mai.agents.events import Ended, Event, Hopped, HopRefused, Sent, Stepped
from mai.agents.markers import marked
from mai.agents.messages import Result
from mai.daemon.granting import BudgetGranted, BudgetReturned
from mai.daemon.invariants import Handler, Invariant, Notes
from mai.daemon.records import ContractChecked, ErrandChecked


class Top:
    """A task from Mai, with what it was granted."""

    __slots__ = ("allow", "hops", "seq", "tool_calls")

    def __init__(self, seq: int, allow: Amounts | None) -> None:
        self.seq, self.allow, self.hops, self.tool_calls = seq, allow, 0, 0


class Budgeted(Invariant):
    """The budgets of one process, a department's or Mai's."""

    law = "budgets"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.tops: dict[str, Top] = {}  # open tasks of a department -> that from which they derive
        self.granted: dict[str, tuple[int, Amounts]] = {}  # at Mai, by task

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Hopped.kind: self._hopped,
            ToolCounted.kind: self._called,
            Ended.kind: self._ended,
            BudgetGranted.kind: self._grants,
            BudgetReturned.kind: self._returns,
            BudgetStopped.kind: self._stopped,
            **dict.fromkeys((HopRefused.kind, Stepped.kind, ContractChecked.kind, ErrandChecked.kind, Sent.kind), self._refused),
        }

    def _hopped(self, seq: int, event: Event) -> None:
        assert isinstance(event, Hopped)
        top = self.tops.get(event.parent)
        if top is None or event.sender == "mai":
            self.tops[event.task] = Top(seq, event.allow)
            return
        self.tops[event.task] = top
        if not (event.up or event.approves):
            top.hops += 1
            self._held(seq, event.task, top, "hops")

    def _called(self, seq: int, event: Event) -> None:
        assert isinstance(event, ToolCounted)
        if top := self.tops.get(event.task):
            top.tool_calls += 1
            self._held(seq, event.task, top, "tool_calls")

    def _held(self, seq: int, task: str, top: Top, what: str) -> None:
        if top.allow is not None and getattr(top, what) > getattr(top.allow, what):
            most = getattr(top.allow, what)
            self.found(seq, f"record {seq} takes one more of the {what} for {task} than the {most} that were granted", top.seq)

    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, Ended)
        self.tops.pop(event.task, None)

    def _grants(self, seq: int, event: Event) -> None:
        assert isinstance(event, BudgetGranted)
        if before := self.granted.get(event.task):
            self.found(seq, f"record {seq} grants a budget for {event.task} once more", before[0])
        self.granted[event.task] = seq, event.allow

    def _returns(self, seq: int, event: Event) -> None:
        assert isinstance(event, BudgetReturned)
        before, allow = self.granted.pop(event.task, (0, Amounts()))
        if event.used != event.used.at_most(allow):
            self.found(seq, f"record {seq} has more used for {event.task} than was granted for it", before)

    def _stopped(self, seq: int, event: Event) -> None:
        assert isinstance(event, BudgetStopped)
        if event.used < event.limit:
            self.found(seq, f"record {seq} stops {event.task} at {event.used} of {event.limit} {event.what}")
        if event.what != "steps" and not marked(event.why):  # a step has no number, so no record, when it is refused
            self.dues.owe((event.task, event.why), seq, f"{event.task} is stopped, and nothing is refused because of it")

    def _refused(self, seq: int, event: Event) -> None:
        """It is refused in the words of the stop."""
        if not self.dues:
            return
        said = str(getattr(event, "rule", "") or getattr(event, "refused", ""))
        if isinstance(event, Sent):
            said = _why(event.body)
        self.dues.settle((str(getattr(event, "task", "")), said))


def _why(body: object) -> str:
    """Why a task, or a board's question, was not taken up."""
    match body:
        case Result(reason=why) | Opinion(note=why) | Vote(why=why):
            return why
    return ""
