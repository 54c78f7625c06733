"""Policies as the organisation file says them: `[[policies]]`, and `[[departments.NAME.policies]]`. Pure.

A policy names what it is about (tools, contracts or claims), who it is about (departments, ranks, agents; none named: all),
what must hold of the call (`when`, see comparisons.py) and what is said of it then. policies.py holds a call against them.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, get_args

from msgspec import Meta, field
from msgspec.structs import replace

from mai.agents.comparisons import fits
from mai.agents.doors import Role
from mai.agents.parts import Name, Part, Word

Verdict = Literal["allow", "deny", "board", "person"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
When = Annotated[dict[str, object], Meta(title="when")]  # field -> operator -> constant, as comparisons.py reads them


class Policy(Part, frozen=True, kw_only=True):
    """One rule. Of the organisation's tools, contracts and agents it says the department, too: `support.refund`."""

    name: Word
    verdict: Verdict
    tools: tuple[str, ...] = ()  # "support.refund", "support.*", "*"; in a department "refund" or "*"
    contracts: tuple[str, ...] = ()  # that are asked for: "sales.order", "sales.*", "*"
    claims: tuple[str, ...] = ()  # attributes: "risk", "risk_*", "*"
    departments: tuple[Name, ...] = ()  # of the organisation's: whose agents it is about; "client" asks for contracts, too
    ranks: tuple[Literal["board", "coordinator", "specialist", "operator"], ...] = ()
    agents: tuple[str, ...] = ()  # "support/refund-desk"; in a department "refund-desk"
    when: When = field(default_factory=dict)  # comparisons that all must hold
    why: str = ""  # what who was denied is told
    four_eyes: bool = False  # board, person: two must approve
    expires_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] = (
        0.0  # how long an approval is waited for; 0: until the task's deadline
    )
    approvers: Role = "operator"  # person: the role at Mai's door that may approve


def widened(policy: Policy, department: str) -> Policy:
    """A department's own policy as the organisation would write it."""
    tools = tuple(f"{department}.{tool}" for tool in policy.tools)
    return replace(policy, tools=tools, agents=tuple(f"{department}/{agent}" for agent in policy.agents))


def concerning(policies: Iterable[Policy], department: str) -> tuple[Policy, ...]:
    """The organisation's policies as far as they can match what an agent of this department does."""
    found = []
    for policy in policies:
        if policy.departments and department not in policy.departments:
            continue
        tools = tuple(tool for tool in policy.tools if fits(tool.partition(".")[0], department))
        agents = tuple(agent for agent in policy.agents if agent.partition("/")[0] == department)
        if (tools or policy.contracts or policy.claims) and (agents or not policy.agents):
            found.append(replace(policy, tools=tools, agents=agents, departments=(department,) if policy.departments else ()))
    return tuple(found)
