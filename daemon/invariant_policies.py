"""Policies: no effect without a verdict that lets it, and nothing is done against one. Pure.

A department says with each start by which policies it judges (`process.started`); of journals from before there were any, which
do not, nothing is asked. Mai puts on record only what she does not allow: then nothing may go on of it.
"""

from mai.agents.events import EffectIntent, Ended, Event, ProcessStarted, Stepped
from mai.agents.judging import PolicyJudged
from mai.daemon.invariants import Handler, Invariant, Notes

WAITS = ("board", "person")  # verdicts after which it may still be done: when somebody has approved it


class Judged(Invariant):
    """The verdicts of one department, and what was done after them."""

    law = "policies"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.policies = ""  # of the present life
        self.last: dict[str, dict[int, tuple[int, str]]] = {}  # task -> step -> the record of its last verdict, and what that was

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            ProcessStarted.kind: self._started,
            PolicyJudged.kind: self._judged,
            EffectIntent.kind: self._intent,
            Stepped.kind: self._stepped,
            Ended.kind: self._ended,
        }

    def _started(self, seq: int, event: Event) -> None:
        assert isinstance(event, ProcessStarted)
        self.policies = event.policies

    def _judged(self, seq: int, event: Event) -> None:
        assert isinstance(event, PolicyJudged)
        if self.policies and event.policies != self.policies:
            what = f"record {seq} judges {event.name} by the policies {event.policies}, and the process has {self.policies}"
            self.found(seq, what)
        if event.task:
            self.last.setdefault(event.task, {})[event.n] = seq, event.verdict

    def _intent(self, seq: int, event: Event) -> None:
        assert isinstance(event, EffectIntent)
        if not self.policies:
            return
        judged, verdict = self.last.get(event.task, {}).get(event.n, (0, ""))
        what = f"record {seq} is the intent of {event.tool} (key {event.key})"
        if not verdict:
            self.found(seq, f"{what}, and no policy has let it")
        elif verdict == "deny":
            self.found(seq, f"{what}, which is denied", judged)
        elif verdict in WAITS and not event.approval:
            self.found(seq, f"{what}, which nobody has approved", judged)

    def _stepped(self, seq: int, event: Event) -> None:
        assert isinstance(event, Stepped)
        verdict_seq, verdict = self.last.get(event.task, {}).get(event.n, (0, ""))
        if verdict == "deny" and not event.refused:
            self.found(seq, f"record {seq} gives step {event.n} of {event.task} a result, and it is denied", verdict_seq)

    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, Ended)
        self.last.pop(event.task, None)


class JudgedAtMai(Invariant):
    """What Mai has judged and not allowed goes no further."""

    law = "policies"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.denied: dict[str, int] = {}  # a message's id -> the record of its verdict, until it is refused

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            PolicyJudged.kind: self._judged,
            "contract.checked": self._checked,
            "errand.checked": self._checked,
        }

    def _judged(self, seq: int, event: Event) -> None:
        assert isinstance(event, PolicyJudged)
        if event.verdict not in ("allow", *WAITS):
            self.denied[event.task] = seq

    def _checked(self, seq: int, event: Event) -> None:
        task: str = getattr(event, "task", "")
        if (denied := self.denied.pop(task, 0)) and getattr(event, "allowed", False):
            self.found(seq, f"record {seq} lets {task} go on, which is denied", denied)
