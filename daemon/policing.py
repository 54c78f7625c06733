"""Mai's half of the policies: she judges what departments ask for once more, and what the client asks under a contract. Pure.

A department has judged by itself before it asks. She does not trust that: who the agent is, for whom and about what it works she
takes from the organisation and from what she has on record herself. Her verdicts go on record if they do not allow.
"""

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from mai.agents.body import Fields
from mai.agents.claim_messages import Claim
from mai.agents.errand_messages import Use
from mai.agents.events import Event
from mai.agents.judging import PolicyJudged, requester
from mai.agents.leaves import subject
from mai.agents.messages import Task
from mai.agents.policies import Act, Code, Ruling, code_of, judge, unsure
from mai.daemon import vouching
from mai.daemon.desk import Turn, first, origin, root_of

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
        return judge(self._code(act.department), act)

    def unsure(self, act: Act, field: str) -> bool:
        """Does it depend on this field, which is not known here, what they say of an act?"""
        code = self._code(act.department)
        return unsure(code.clauses, act, code.offsets, field)

    def _code(self, department: str) -> Code:
        if department not in self._codes:
            self._codes[department] = code_of(self._mai.mandate, department)
        return self._codes[department]


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


def claim(mai: "MaiDecider", body: Claim) -> tuple[list[Event], str]:
    """The same of a claim, as it was made. Where a policy compares a value that does not leave its department she cannot tell."""
    by = {**_by(mai, body.agent, body.task, body.at_ms, of=root_of(body.task)), "subject": body.subject}
    given: Fields = {"subject": body.subject, "attribute": body.attribute, "confidence": body.confidence}
    act = Act(what="claim", name=body.attribute, arguments={**given, "value": body.value} if body.shown else given, **by)
    if not body.shown and mai.policing.unsure(act, "value"):
        return [], ""
    return _judged(mai, body, body.id, act)


def part(mai: "MaiDecider", body: Task, now_ms: int) -> Act:
    """A contract that the client asks for, in a part of a request; what becomes of it is said in asks.py."""
    return Act(
        what="contract", name=body.contract, department=CLIENT, agent=CLIENT, rank=CLIENT, requester=requester(body.asker),
        subject=_subject(mai, body.contract, body.input), arguments=body.input, at_ms=now_ms,
    )  # fmt: skip


def backup(mai: "MaiDecider", turn: Turn, now_ms: int) -> PolicyJudged | None:
    """The verdict on a contract that stands in for another, if it does not allow that: nobody waits for its approval."""
    body = replace(turn.body, task=turn.ident, contract=turn.now)
    if turn.asking == CLIENT:
        act = part(mai, body, now_ms)
    else:
        by = _by(mai, body.asker, body.task, now_ms)
        act = Act(what="contract", name=body.contract, arguments=body.input, **by)
    ruling = mai.policing.rule(act)
    return None if ruling.allowed else judged(mai, turn.request, turn.ident, act, ruling)


def _by(mai: "MaiDecider", agent: str, ident: str, now_ms: int, *, of: str = "") -> dict[str, Any]:
    """Who does it by his address, and for whom and about what by the task of hers that it is a part of."""
    _, name, agent = (*agent.split("/"), "")[:3]  # whatever a department says
    department = mai.mandate.organisation.department(name)
    found = department.agent(agent) if department else None
    asker, contract, given = _task(mai, first(of or origin(ident)))
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


def _judged(mai: "MaiDecider", body: Task | Use | Claim, task: str, act: Act) -> tuple[list[Event], str]:
    ruling = mai.policing.rule(act)
    if ruling.allowed:
        return [], ""
    if ruling.verdict in WAITS:  # what has to be approved a department sends when it is
        passed, why = vouching.covered(mai, vouching.passing(body), act, ruling)
        if not why:
            return passed, ""
        ruling = replace(ruling, why=why)
    return [judged(mai, body.request, task, act, ruling)], ruling.why


def judged(mai: "MaiDecider", request: str, task: str, act: Act, ruling: Ruling) -> PolicyJudged:
    """The record of a verdict that does not allow."""
    return PolicyJudged(
        request=request, task=task, agent=f"{mai.mandate.client}/{act.department}/{act.agent}", what=act.what, name=act.name,
        effect=act.effect, verdict=ruling.verdict, clause=ruling.clause, policies=ruling.digest, why=ruling.why,
    )  # fmt: skip
