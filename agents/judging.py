"""What a department makes of the policies: each act of its agents is judged before it is done. Pure.

On record (`policy.judged`, before anything happens) is each verdict on what has an effect, and each that does not allow. What is
refused by a policy ends its step with that as the reason; the code may go on.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from mai.agents.body import Fields
from mai.agents.events import Event, register
from mai.agents.leaves import subject
from mai.agents.organisation import Tool
from mai.agents.pleas import Plea
from mai.agents.policies import Act, Ruling, judge
from mai.agents.state import Undo, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider


class PolicyJudged(Event, frozen=True, kw_only=True):
    """What the policies say of something that is about to be done. A tool's effect follows only on a verdict that lets it."""

    kind: ClassVar[str] = "policy.judged"
    request: str
    task: str
    agent: str
    n: int = 0  # the step; 0 at Mai, whose `task` is the message's id
    what: str  # tool, contract, claim, undo
    name: str
    effect: str = "none"
    verdict: str
    clause: str = ""
    policies: str  # their digest
    why: str = ""


register(PolicyJudged)


def tool_act(decider: "DepartmentDecider", work: Work, tool: Tool, given: Fields, now_ms: int) -> Act:
    """The use of one of the department's tools."""
    by = _by(decider, work, now_ms)
    return Act(what="tool", name=f"{decider.own.name}.{tool.name}", effect=tool.effect, arguments=given, **by)


def contract_act(decider: "DepartmentDecider", work: Work, name: str, given: Fields, now_ms: int) -> Act:
    """The ask for another department's contract."""
    return Act(what="contract", name=name, arguments=given, **_by(decider, work, now_ms))


def claim_act(decider: "DepartmentDecider", work: Work, given: Fields, now_ms: int) -> Act:
    """A conclusion: {"subject", "attribute", "value", "confidence"}."""
    by = {**_by(decider, work, now_ms), "subject": str(given["subject"])}
    return Act(what="claim", name=str(given["attribute"]), arguments=given, **by)


def act_of(decider: "DepartmentDecider", plea: Plea, at_ms: int) -> Act:
    """What waits for an approval, as it was judged."""
    match plea.call:
        case "ask":
            return contract_act(decider, plea.work, str(plea.given["to"]), plea.given["input"], at_ms)
        case "conclude":
            return claim_act(decider, plea.work, plea.given, at_ms)
    tool = next((one for one in decider.own.tools if one.name == plea.given["tool"]), Tool(name=plea.given["tool"]))
    return tool_act(decider, plea.work, tool, plea.given["input"], at_ms)


def undo_act(decider: "DepartmentDecider", undo: Undo, tool: Tool, given: Fields, now_ms: int) -> Act:
    """The undoing of what an agent's tool did for a request that was cancelled; nobody knows any more who asked for that."""
    agent = decider.own.agent(undo.agent)
    return Act(
        what="tool", name=f"{decider.own.name}.{tool.name}", department=decider.own.name, agent=undo.agent,
        rank=agent.rank if agent else "", effect=tool.effect, arguments=given, at_ms=now_ms,
    )  # fmt: skip


def _by(decider: "DepartmentDecider", work: Work, now_ms: int) -> dict[str, Any]:
    """Who does it, for whom, about what, and when."""
    root, agent = root_of(decider, work), decider.own.agent(work.agent)
    return {
        "department": decider.own.name, "agent": work.agent, "rank": agent.rank if agent else "",
        "requester": requester(root.asker), "subject": subject_of(decider, root), "at_ms": now_ms,
    }  # fmt: skip


def root_of(decider: "DepartmentDecider", work: Work) -> Work:
    """The task that Mai gave to the department, of which this one is a part."""
    while above := decider.state.work.get(work.parent):
        work = above
    return work


def requester(asker: str) -> str:
    """For whom it is, by who asked the department: `acme/sales/analyst` is sales, `acme/client` the client."""
    parts = asker.split("/")
    return parts[1] if len(parts) > 1 else asker


def subject_of(decider: "DepartmentDecider", root: Work) -> str:
    """Of whom or what the task is, by its contract; "" if that does not say."""
    contract = decider.scopes.contract(root.contract)
    value = root.input.get(contract.subject) if contract and contract.subject else None
    return subject(contract.subject, value) if contract and value is not None else ""


def on_record(act: Act, ruling: Ruling) -> bool:
    """Does this verdict go on record by itself?"""
    return act.effect != "none" or not ruling.allowed


def judged(work: Work | None, n: int, act: Act, ruling: Ruling) -> PolicyJudged:
    """The record of a verdict; without a work it is of no open task."""
    return PolicyJudged(
        request=work.request if work else "", task=work.task if work else "", agent=act.agent, n=n,
        what=act.what, name=act.name, effect=act.effect,
        verdict=ruling.verdict, clause=ruling.clause, policies=ruling.digest, why=ruling.why,
    )  # fmt: skip


def rule(decider: "DepartmentDecider", act: Act) -> Ruling:
    """What the policies say of an act, as they are now."""
    return judge(decider.policies, act)
