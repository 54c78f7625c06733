"""How an answer leaves on a channel: by a contract of the channel's department that a built-in operator serves with its tool.

So it is a task like any other: it goes down the ranks, its effect's intent is on record, and what holds for effects holds for it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from mai.agents.channels import CARRIER, CARRY, HANDLER, OUT, Channel
from mai.agents.given import Refusal
from mai.agents.organisation import Agent, Contract, Department, Organisation

if TYPE_CHECKING:
    from mai.agents.context import Assignment, Context

CHARTER: Final = "Carries answers out on the channels of its department, as Mai words them."
REPLY: Final[dict[str, object]] = {"carried": "str"}


def equipped(organisation: Organisation) -> Organisation:
    """The organisation with a carrier in each department whose channels have a tool."""
    out = [channel for channel in organisation.channels if channel.tool]
    departments = (_with(one, [channel for channel in out if channel.department == one.name]) for one in organisation.departments)
    return replace(organisation, departments=tuple(departments)) if out else organisation


def _with(department: Department, channels: Iterable[Channel]) -> Department:
    if not channels:
        return department
    tools = tuple(dict.fromkeys(channel.tool for channel in channels))
    carrier = Agent(name=CARRIER, rank="operator", kind="python", handler=HANDLER, charter=CHARTER, tools=tools)
    contracts = tuple(
        Contract(
            name=f"{CARRY}{channel.name}", about=f"Carry an answer out on the channel {channel.name}", served_by=CARRIER,
            may_ask=(), request=OUT, reply=REPLY,
        )
        for channel in channels
    )  # fmt: skip
    return replace(department, agents=(*department.agents, carrier), contracts=(*department.contracts, *contracts))


async def carry(ctx: "Context", task: "Assignment", channels: tuple[Channel, ...]) -> dict[str, str]:
    """Call the channel's tool with as much of the answer as it takes."""
    channel = next((one for one in channels if task.contract == f"{one.department}.{CARRY}{one.name}"), None)
    if channel is None:
        raise Refusal("the carrier carries answers out for Mai, and takes no other task")
    tools = {str(one["name"]): one for one in await ctx.describe_tools()}
    takes = tools.get(channel.tool, {}).get("schema", {}).get("properties", {})
    await ctx.tool(channel.tool, **{name: value for name, value in task.input.items() if name in takes})
    return {"carried": str(task.input["message"])}
