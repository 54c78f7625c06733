"""The built-in medic: an agent of the operations department that heals by the rules of medicine.py."""

from typing import TYPE_CHECKING

from mai.agents.given import Refusal
from mai.agents.medicine import MOST_TRIES, Choice, choose
from mai.agents.remedies import PREFIX

if TYPE_CHECKING:
    from mai.agents.context import Assignment, Context


async def heal(ctx: "Context", task: "Assignment") -> dict[str, str]:
    """Use the first remedy that is let through; what is refused is not tried again."""
    incident, tried, refused = task.input, [str(one) for one in task.input.get("tried") or ()], ""
    if "process" not in incident:
        raise Refusal("the medic heals what Mai tells it of, and takes no other task")
    target = str(incident["process"])
    for _ in range(MOST_TRIES):
        choice = choose(incident, tried)
        if choice is None:
            break
        try:
            said = await ctx.tool(f"{PREFIX}{choice.remedy}", target=target, why=choice.why, **choice.given)
        except Refusal as refusal:
            tried, refused = [*tried, choice.remedy], str(refusal)
            continue
        return _did(target, choice, str((said or {}).get("text", "")))
    if refused:
        raise Refusal(f"no remedy was let through for {target}; the last: {refused}")
    return {"remedy": "", "target": target, "why": "what was done at once is enough", "text": ""}


def _did(target: str, choice: Choice, text: str) -> dict[str, str]:
    return {"remedy": choice.remedy, "target": target, "why": choice.why, "text": text}
