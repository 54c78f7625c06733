"""How a worker's code has ended: what it returned or raised, as the end of its task."""

from typing import Any

import msgspec

from mai.agents import escalating, triggers
from mai.agents.body import Outcome
from mai.agents.bounded import TooLong
from mai.agents.context import Answer, Context, Divergence, Escalation, Refusal, Reply
from mai.agents.department import DepartmentDecider
from mai.agents.escalation_messages import Cause
from mai.agents.given import Told, Unheard
from mai.agents.handlers import show
from mai.agents.plain import NotPlain, plain, readable, said
from mai.agents.state import Done, Work


class Endings:
    """The ends of one department's tasks, as their code gives them."""

    def __init__(self, decider: DepartmentDecider, value_bytes: int) -> None:
        """`value_bytes`: what an answer may hold as JSON."""
        self.decider, self.value_bytes = decider, value_bytes

    def done(self, work: Work, state: Outcome, text: str = "", value: dict[str, Any] | None = None, reason: str = "") -> Done:
        """An end in the name of the agent of this work."""
        sources = (self.decider.own.name,) if state == "answered" else ()
        return Done(state, text, value or {}, readable(reason), self.decider.address(work.agent), sources)

    def up(self, work: Work, cause: Cause, reason: str) -> Done:
        """It goes to those above, and not by a word of its code."""
        return msgspec.structs.replace(self.done(work, "escalated", reason=reason), cause=cause)

    def told(self, context: Context, returned: Any) -> Done | None:
        """What those above have answered, if that is the end: its code did not look at it, or has returned it, or nothing."""
        if context.unheard or returned is None or isinstance(returned, Told):
            return escalating.answered(self.decider.state, context.work, context.unheard)
        return None

    def answered(self, work: Work, returned: Any) -> Done:
        """The result that a worker's code returned, if it is one."""
        match returned:
            case Reply() if self._leads(work):  # of whom it was handed on to
                return Done("answered", returned.text, returned.value, "", returned.by, returned.sources)
            case Answer():
                answer = returned
            case str():
                answer = Answer(returned)
            case dict():
                answer = Answer("", returned)
            case _:
                reason = f"{work.agent} returned {type(returned).__name__}; it has to return an Answer, a str or a dict"
                return self.done(work, "failed", reason=reason)
        try:
            kept = msgspec.convert(plain({"text": answer.text, "value": answer.value}, self.value_bytes), Answer)
        except (NotPlain, msgspec.ValidationError) as error:
            return self.done(work, "failed", reason=f"{work.agent} returned what cannot be an answer: {error}")
        return self.done(work, "answered", kept.text, kept.value)

    def same(self, context: Context, done: Done) -> Done:
        """How the code ended, unless it did other things than before the interruption: then nobody can rely on that."""
        if context.diverged:
            return self.up(context.work, "difference", context.diverged)
        missed = context.missed()
        if missed and done.state != "failed":
            return self.up(context.work, "difference", f"it has {done.state} too early: {missed}")
        return msgspec.structs.replace(done, reason=f"{done.reason}; {missed}") if missed else done

    def _leads(self, work: Work) -> bool:
        """Is it our own code that works on this, which returns another's reply as it was? A user's code signs its own."""
        agent = self.decider.own.agent(work.agent)
        return agent is not None and agent.kind == "model"

    def failed(self, work: Work, error: BaseException) -> Done:
        """The end of a worker's code by an exception."""
        state: Outcome = "failed"
        match error:
            case Refusal(n=int() as n) if cause := triggers.cause(self.decider, work, n):
                return self.up(work, cause, str(error.reason))
            case Refusal(state="refused" | "expired" as how):
                state, reason = how, str(error.reason)
            case Refusal():
                reason = str(error.reason)
            case Escalation():
                state, reason = "escalated", str(error)
            case Divergence():
                state, reason = "escalated", str(error)
            case Unheard(args=(int() as n,)) if told := escalating.answered(self.decider.state, work, n):
                return told
            case TooLong():
                reason = f"{work.agent} worked {self.decider.limits.turn_s:g} s without a step, which is its limit"
            case _:
                show(error)
                reason = f"{work.agent} failed: {said(error)}"
        return self.done(work, state, reason=reason)
