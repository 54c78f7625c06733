"""Mai's half of the policies: she judges what departments ask for once more, and what the client asks under a contract. Pure.

A department has judged by itself before it asks. She does not trust that: who the agent is, for whom and about what it works she
takes from the organisation and from what she has on record herself. Her verdicts go on record if they do not allow.
"""

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from mai.agents.body import Fields
from mai.agents.errand_messages import Use
from mai.agents.events import Event
from mai.agents.judging import PolicyJudged, requester
from mai.agents.leaves import subject
from mai.agents.messages import Task
from mai.agents.policies import Act, Code, Ruling, code_of, judge
from mai.daemon import approving
from mai.daemon.desk import first, origin

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

WAITS = ("board", "person")
CLIENT = "client"  # who asks for contracts without being a department


class Policing:
    """The policies of all departments, each as they hold for it."""

    def __init__(self, mai: "MaiDecider") -> None:
        self._mai = mai
        self._codes: dict[str, Code] = {}

    def rule(self, act: Act) -> Ruling:
        """What they say of an act."""
        if act.department not in self._codes:
            self._codes[act.department] = code_of(self._mai.mandate, act.department)
        return judge(self._codes[act.department], act)


def use(mai: "MaiDecider", peer: str, body: Use, now_ms: int) -> tuple[list[Event], str]:
    """What goes on record of the use of a tool with hosts, and why it may not be; "" if it may."""
    name = peer.partition("/")[2]
    department = mai.mandate.organisation.department(name)
    tools = {f"{name}.{tool.name}": tool for tool in department.tools} if department else {}
    effect = tools[body.tool].effect if body.tool in tools else "opaque"
    by = _by(mai, body.agent, body.id, now_ms)
    return _judged(mai, body, body.id, Act(what="tool", name=body.tool, effect=effect, arguments=body.input, **by))


def ask(mai: "MaiDecider", body: Task, now_ms: int) -> tuple[list[Event], str]:
    """The same of a contract that a department asks for."""
    by = _by(mai, body.asker, body.task, now_ms)
    return _judged(mai, body, body.task, Act(what="contract", name=body.contract, arguments=body.input, **by))


def part(mai: "MaiDecider", body: Task, now_ms: int) -> tuple[list[Event], str]:
    """The same of a contract that the client asks for: of a part of the request."""
    if not body.contract:
        return [], ""
    act = Act(
        what="contract", name=body.contract, department=CLIENT, agent=CLIENT, rank=CLIENT, requester=requester(body.asker),
        subject=_subject(mai, body.contract, body.input), arguments=body.input, at_ms=now_ms,
    )  # fmt: skip
    return _judged(mai, body, body.task, act)


def _by(mai: "MaiDecider", agent: str, ident: str, now_ms: int) -> dict[str, Any]:
    """Who does it by his address, and for whom and about what by the task of hers that it is a part of."""
    _, name, agent = (*agent.split("/"), "")[:3]  # whatever a department says
    department = mai.mandate.organisation.department(name)
    found = department.agent(agent) if department else None
    asker, contract, given = _task(mai, first(origin(ident)))
    return {
        "department": name, "agent": agent, "rank": found.rank if found else "",
        "requester": requester(asker), "subject": _subject(mai, contract, given), "at_ms": now_ms,
    }  # fmt: skip


def _task(mai: "MaiDecider", task: str) -> tuple[str, str, Fields]:
    """Who asked for an open task of hers, under which contract, with what."""
    if turn := mai.state.turns.get(task):
        return turn.body.asker, turn.now, turn.body.input
    if passage := mai.state.passages.get(task):
        return passage.asking, passage.contract, passage.body.input if passage.body else {}
    request = mai.state.requests.get(task.rpartition("/")[0])
    plan = mai.part(request, task) if request else None
    return (request.asker, plan.contract, plan.input) if request and plan else ("", "", {})


def _subject(mai: "MaiDecider", name: str, given: Fields) -> str:
    contract = mai.scopes.contract(name)
    value = given.get(contract.subject) if contract and contract.subject else None
    return subject(contract.subject, value) if contract and value is not None else ""


def _judged(mai: "MaiDecider", body: Task | Use, task: str, act: Act) -> tuple[list[Event], str]:
    ruling = mai.policing.rule(act)
    if ruling.allowed:
        return [], ""
    if act.department != CLIENT and ruling.verdict in WAITS:  # what has to be approved a department sends when it is
        passed, why = approving.covered(mai, approving.passing(body), ruling)
        if not why:
            return passed, ""
        ruling = replace(ruling, why=why)
    judged = PolicyJudged(
        request=body.request, task=task, agent=f"{mai.mandate.client}/{act.department}/{act.agent}", what=act.what, name=act.name,
        effect=act.effect, verdict=ruling.verdict, clause=ruling.clause, policies=ruling.digest, why=ruling.why,
    )  # fmt: skip
    return [judged], ruling.why
