"""A board or coordinator of kind `model`: it chooses whom a free text goes to, and a board rules on what comes back.

Where the organisation leaves no choice (who serves a contract) the model is not asked. What the rules forbid it cannot
allow; where it is not to be had, the built-in behaviour of the rank decides, and the refused step says so. It is asked
once for a choice and once for a ruling: that is its bound in turns. What a policy wants a board to approve is a task of its own.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents import approvals, behaviour, standby, talk
from mai.agents.body import Fields, Outcome
from mai.agents.context import Answer, Assignment, Context, Refusal, Reply
from mai.agents.data_scope import nameless
from mai.agents.plain import readable
from mai.agents.replies import ModelReply
from mai.agents.state import Done, Work
from mai.agents.talk import Brief, Unclear

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

CHOOSE: Final = "Choose who gets the task in the data: `to` is one of them."
RULE: Final = "Rule on the question in the data. `ruling` is one of the choices; say why in one sentence."
APPROVE: Final = (
    "Decide about the call in the data, which waits for you: `decision` is approve, deny, or person, who decides then; "
    "say why in one sentence."
)
NOBODY: Final = "nobody"
MOST_HANDS: Final = 24  # that a model chooses among
ABOUT_CHARS: Final = 200  # of what is said of each
REASON_CHARS: Final = 500


async def rule(ctx: Context, brief: Brief, question: str, choices: Sequence[str], spent: int, **evidence: Any) -> tuple[str, str]:
    """A model's choice and its reason; the first of the choices if the model gives none, and why. Raises nothing.

    `spent`: tokens that the task has used before.
    """
    lines = [talk.line(f"the {name}", **talk.shown(name, value)) for name, value in evidence.items()]
    asked = talk.line("your department", question=question, choices=[*choices])
    messages = [talk.system(brief, RULE), talk.user(*lines, asked)]
    chosen, reason, _ = await _chosen(ctx, brief, messages, "ruling", [*choices], spent=spent)
    return chosen or choices[0], reason


async def lead(ctx: Context, task: Assignment, brief: Brief, decider: "DepartmentDecider", work: Work) -> Reply | Answer:
    """Hand a task on to whom it fits, to the next one if that fails; a board signs the reply. Raises Refusal."""
    if work.approves:
        return await approve(ctx, task, brief)
    return await Leader(ctx, task, brief, decider, work).lead()


async def approve(ctx: Context, task: Assignment, brief: Brief) -> Answer:
    """A board's decision about a call that waits for it. Raises Refusal where the model gives none."""
    call: Fields = {key: value for key, value in task.input[approvals.KEY].items() if key not in ("id", "expires_ms")}
    lines = [talk.line(f"the call's {name}", **talk.shown(name, value)) for name, value in call.items()]
    messages = [talk.system(brief, APPROVE), talk.user(*lines)]
    chosen, reason, _ = await _chosen(ctx, brief, messages, "decision", [*approvals.WORDS])
    if not chosen:
        raise Refusal(reason, "failed")
    return Answer(reason, {"decision": chosen, "note": reason})


class Leader:
    """One task of such a board or coordinator. What the built-in behaviour would do is asked of behaviour.py."""

    def __init__(self, ctx: Context, task: Assignment, brief: Brief, decider: "DepartmentDecider", work: Work) -> None:
        self.ctx, self.task, self.brief, self.decider = ctx, task, brief, decider
        self.work = msgspec.structs.replace(work, tried=())  # as it was at its beginning, in each life
        self.board = brief.agent.rank == "board"
        self.tokens = 0  # that its questions have taken

    async def lead(self) -> Reply:
        """Until somebody has done it. Raises Refusal."""
        reply = await self._handed(await self._first())
        if self.board:
            await self._sign(reply)
        return reply

    # -- to whom
    async def _first(self) -> str:
        """Whom it goes to first. Raises Refusal."""
        fitting = behaviour.hands(self.decider, self.work)
        if self.task.contract:
            chosen = fitting[0] if fitting else ""
        else:
            chosen = await self._choose(fitting)
        if not chosen:
            raise Refusal(behaviour.nobody(self.decider, self.work).reason)
        return chosen

    async def _choose(self, fitting: list[str]) -> str:
        """The model's choice among those below; where the words of the text fit nobody it may say so, too."""
        others = [name for name in self._below() if name not in fitting]
        hands = [*fitting, *others][:MOST_HANDS]
        options = hands if fitting else [*hands, NOBODY]
        if len(options) == 1:
            return options[0]
        lines = [
            *talk.asked(self.task.asker, "", self.task.text, self.task.input),
            talk.line("your department", to=self._about(hands)),
        ]
        messages = [talk.system(self.brief, CHOOSE), talk.user(*lines)]
        chosen, _, self.tokens = await _chosen(self.ctx, self.brief, messages, "to", options)
        return "" if chosen == NOBODY and not fitting else chosen or next(iter(fitting), "")

    def _below(self) -> list[str]:
        """All to whom it may hand on what comes from above: a board its coordinators, a coordinator those who report to it."""
        table, own = self.decider.table, self.decider.own.name
        allowed = [name for name in table.receivers(own, self.work.agent) if name != self.work.sender]
        if self.board:
            return [name for name in allowed if table.rank(own, name) == "coordinator"]
        return [name for name in allowed if table.coordinator_of(own, name) == self.work.agent]

    def _about(self, names: Sequence[str]) -> Mapping[str, str]:
        found = [agent for name in names if (agent := self.decider.own.agent(name))]
        return {one.name: readable("; ".join(filter(None, [one.charter, *one.skills])), ABOUT_CHARS) for one in found}

    # -- by whom
    async def _handed(self, to: str) -> Reply:
        """The reply of the first who does not fail; a refusal is an answer."""
        while True:
            self.work.tried = (*self.work.tried, to)
            try:
                reply: Reply | None = await self.ctx.hand(to)
                assert reply is not None, "what was handed on and has not failed has a reply"
                return reply
            except Refusal as refusal:
                to = self._next(refusal)
                if to and refusal.changed:
                    raise Refusal(behaviour.KEPT.format(refusal.reason), "failed") from None
                if not to:
                    if reply := await self._given_up(refusal):
                        return reply
                    raise

    async def _given_up(self, refusal: Refusal) -> Reply | None:
        """Nobody is left: what was given up, or what all have failed at, goes up, and those above may answer. Raises Refusal."""
        work = self.decider.state.work.get(self.task.task)
        if work and work.switched and not self.board and refusal.state in ("failed", "expired", "escalated"):
            said = "; ".join((*work.switched, f"{self.work.tried[-1]}: {refusal.reason}"))
            return await self.ctx.escalate(readable(standby.USED_UP.format(said)))  # type: ignore[no-any-return]
        if refusal.state == "escalated":
            return await self.ctx.escalate(refusal.reason)  # type: ignore[no-any-return]
        return None

    def _next(self, refusal: Refusal) -> str:
        """Who may take over; "" for nobody. A board leaves that to its coordinators."""
        if self.board:
            return ""
        ends: dict[str, Outcome] = {"failed": "failed", "expired": "expired", "escalated": "escalated"}
        done = Done(ends.get(refusal.state, "refused"), "", {}, refusal.reason, "", ())
        names = behaviour.follow_ups(self.decider, self.work, done)
        return next((name for name in names if name not in (*self.work.tried, self.work.agent)), "")

    # -- the board's last look
    async def _sign(self, reply: Reply) -> None:
        """The contract first, which no model can overrule. Raises Refusal."""
        task, name = self.task, self.brief.department
        if why := self.ctx.reply_fault(reply.value):
            raise Refusal(f"{name} withholds a reply that breaks {task.contract}: {nameless(why, task.contract)}", "failed")
        if self._changed(reply):
            return  # a ruling would come too late: what was done is done, and the client has to know
        asked = {"task": task.contract, "input": task.input} if task.contract else {"task": task.text}
        given: Fields = {"task": asked, "reply": {"text": reply.text, "value": reply.value, "by": reply.by}}
        question, choices = "May this reply leave the department?", ("sign", "withhold")
        ruling, reason = await rule(self.ctx, self.brief, question, choices, self.tokens, **given)
        if ruling == "withhold":
            raise Refusal(f"the board of {name} withholds the reply: {readable(reason, 300) or 'it gives no reason'}")

    def _changed(self, reply: Reply) -> bool:
        """Has anything been changed for this reply, or may it have been, in another department?"""
        work = self.decider.state.work.get(self.task.task)
        return work is None or work.changed or bool({*reply.sources} - {self.brief.department})


async def _chosen(
    ctx: Context, brief: Brief, messages: list[Fields], key: str, options: list[str], *, spent: int = 0
) -> tuple[str, str, int]:
    """The model's choice, its reason, and what it took; "" and why there is none. With `spent` it keeps within its tokens."""
    schema = talk.choice(key, options)
    room = brief.agent.tokens - spent - talk.size_of(messages, schema)
    if room < talk.LEAST_TOKENS:
        return "", f"the question has no room within the {brief.agent.tokens} tokens of a task", 0
    try:
        reply: ModelReply = await ctx.model(messages, schema=schema, output_tokens=room if room < brief.output_tokens else 0)
    except Refusal as fault:
        return "", f"the model was not to be had: {fault}", 0
    chosen, reason = _read(reply, key, options)
    return chosen, reason, reply.usage.tokens


def _read(reply: ModelReply, key: str, options: list[str]) -> tuple[str, str]:
    """What a model has chosen, and its reason; "" and why it is no choice."""
    if reply.advice:
        return "", "the model only advises"
    try:
        value = talk.read(reply.text)
    except Unclear as fault:
        return "", f"the answer of the model cannot be used: {fault}"
    if reply.finish == "length" or value.get(key) not in options:
        return "", "the model chose none of them"
    return str(value[key]), readable(str(value.get("reason", "")), REASON_CHARS)
