"""A board or coordinator of kind `model`: it chooses whom a task goes to, and a board rules on what comes back.

Where the organisation leaves no choice (who serves a contract) the model is not asked. What the rules forbid it cannot
allow; where it is not to be had, the built-in behaviour of the rank decides, and the refused step says so.
"""

from typing import Any

from mai.agents import talk
from mai.agents.context import Assignment, Context, Refusal, Reply
from mai.agents.messages import Fields
from mai.agents.plain import readable
from mai.agents.talk import Brief, Unclear

CHOOSE = "Choose who gets the task in the data: `to` is one of them."
RULE = "Rule on the question in the data. `ruling` is one of the choices; say why in one sentence."


async def rule(ctx: Context, brief: Brief, question: str, choices: tuple[str, ...], **evidence: Any) -> tuple[str, str]:
    """A model's choice and its reason; the first of the choices if the model gives none. Raises nothing."""
    form = talk.choice("ruling", [*choices])
    messages = [talk.system(brief, RULE), talk.data("your department", question=question, choices=[*choices], **evidence)]
    return await _chosen(ctx, messages, form, "ruling", [*choices])


async def lead(ctx: Context, task: Assignment, brief: Brief, hands: list[str]) -> Reply:
    """Hand a task on to the best of `hands`, to the next one if that fails; a board signs the reply. Raises Refusal."""
    if not hands:
        raise Refusal(f"nobody in {brief.department} fits {task.contract or readable(task.text, 80)!r}")
    order = await _order(ctx, task, brief, hands)
    reply = await _first(ctx, order if brief.agent.rank == "coordinator" else order[:1])
    if brief.agent.rank == "board":
        await _sign(ctx, task, brief, reply)
    return reply


async def _order(ctx: Context, task: Assignment, brief: Brief, hands: list[str]) -> list[str]:
    """Those who may have it, the model's choice first."""
    if task.contract or len(hands) == 1:
        return hands
    messages = [talk.system(brief, CHOOSE), talk.data(task.asker, task=task.text, to=hands)]
    chosen, _ = await _chosen(ctx, messages, talk.choice("to", hands), "to", hands)
    return [chosen, *(name for name in hands if name != chosen)]


async def _first(ctx: Context, hands: list[str]) -> Reply:
    """The reply of the first who does not fail; a refusal is an answer."""
    for left, name in zip(reversed(range(len(hands))), hands, strict=True):
        try:
            reply: Reply = await ctx.hand(name)
            return reply
        except Refusal as refusal:
            if refusal.state == "refused" or not left:
                raise
    raise AssertionError("the last one either answers or fails")


async def _sign(ctx: Context, task: Assignment, brief: Brief, reply: Reply) -> None:
    """The board's last look: the contract first, which no model can overrule. Raises Refusal."""
    if task.contract and (why := ctx.reply_fault(reply.value)):
        raise Refusal(f"{brief.department} withholds a reply that breaks {task.contract}: {why}", "failed")
    given: Fields = {"task": task.contract or task.text, "input": task.input, "reply": reply.value, "text": reply.text}
    ruling, reason = await rule(ctx, brief, "May this reply leave the department?", ("sign", "withhold"), **given)
    if ruling == "withhold":
        raise Refusal(f"the board of {brief.department} withholds the reply: {readable(reason, 300) or 'it gives no reason'}")


async def _chosen(ctx: Context, messages: list[Fields], form: Fields, key: str, options: list[str]) -> tuple[str, str]:
    try:
        value = talk.read((await ctx.model(messages, schema=form)).text)
    except (Refusal, Unclear) as error:
        return options[0], f"the model was not to be had: {error}"
    if value.get(key) not in options:
        return options[0], "the model chose none of them"
    return str(value[key]), readable(str(value.get("reason", "")), 500)
