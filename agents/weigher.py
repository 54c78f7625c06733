"""A board of kind `model` that is asked about a case: it chooses a claim, or says that it cannot."""

from typing import Final

from mai.agents import leader
from mai.agents.context import Answer, Assignment, Context
from mai.agents.talk import Brief

UNDECIDED: Final = "undecided"
WHICH: Final = "These claims contradict each other. Which one stands, by its grounds? Say undecided if they do not tell."
ACCEPT: Final = "This was ruled. Name the claim that won if you accept that, another one if you appeal."


async def weigh(ctx: Context, task: Assignment, brief: Brief) -> Answer:
    """The model's choice as a board's vote; where it is not to be had it is undecided, with the reason."""
    choices = (UNDECIDED, *(str(one["claim"]) for one in task.input["claims"]))
    ruling = task.input.get("ruling", "")
    shown = {name: task.input[name] for name in ("subject", "attribute", "claims", "ruling") if name in task.input}
    claim, why = await leader.rule(ctx, brief, ACCEPT if ruling else WHICH, choices, 0, case=shown)
    return Answer(why, {"claim": "" if claim == UNDECIDED else claim, "why": why})
