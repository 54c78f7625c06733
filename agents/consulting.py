"""A board that is asked by Mai about what the client asks of its department, and a policy wants approved. Pure.

    Consult → a task of its own, as about a call of the department's (approvals.py): by code, a model, or rules → Opinion

A board that fails, refuses, is late or says none of the words is undecided: Mai hears why.
"""

from typing import TYPE_CHECKING, Final

from mai.agents import allowance, approvals, by_rule
from mai.agents.approval_messages import Consult, Opinion
from mai.agents.decider import Send
from mai.agents.events import Event, Hopped
from mai.agents.inputs import Consulted
from mai.agents.messages import Task
from mai.agents.policies import Act
from mai.agents.state import Done, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

CLIENT: Final = "client"


def decide(decider: "DepartmentDecider", given: Consulted, now_ms: int) -> list[Event | Send]:
    """What follows from Mai's question."""
    body, board = given.body, decider.own.board
    if body.task in decider.state.work:
        return []
    if why := decider.full():
        return [_opinion(decider, body, "refused", why)]
    if given.deadline_ms <= now_ms:
        return [_opinion(decider, body, "expired", "the question came after its deadline")]
    admitted = allowance.admit(decider, _task(body), given.deadline_ms, now_ms)
    if stopped := admitted.stopped:
        return [stopped, _opinion(decider, body, "refused", stopped.why)]
    told = {
        "id": body.id, "call": "ask", "name": body.name, "input": body.input, "agent": body.agent, "rank": CLIENT,
        "requester": body.requester, "subject": body.subject, "policy": body.policy, "why": body.why,
        "task": {"contract": body.name, "text": body.text, "input": body.input}, "expires_ms": body.expires_ms,
        "at_ms": body.at_ms,
    }  # fmt: skip
    hopped = Hopped(
        request=body.request, task=body.task, parent="", sender="mai", agent=board.name, asker=body.agent, contract="",
        text=approvals.ASKS, input={approvals.KEY: told}, deadline_ms=admitted.until_ms, hops=decider.limits.hops,
        rule=f"the policy {body.policy} wants the board's approval", at_ms=now_ms, approves=body.id,
    )  # fmt: skip
    return [hopped]


def _task(body: Consult) -> Task:
    """The question as a task that counts among those of the day."""
    return Task(body.task, body.request, body.agent, "", body.text, {}, 0)


def ruled(decider: "DepartmentDecider", work: Work) -> by_rule.Decided:
    """What a board without code says, by its department's rules."""
    told = work.input[approvals.KEY]
    act = Act(
        what="contract", name=told["name"], department=CLIENT, agent=CLIENT, rank=CLIENT, requester=told["requester"],
        subject=told["subject"], arguments=told["input"], at_ms=told["at_ms"],
    )  # fmt: skip
    return by_rule.decide(decider.own, decider.mandate.organisation.offsets, act)


def opinion(decider: "DepartmentDecider", work: Work, done: Done) -> Send:
    """How a board's task about such a call has ended."""
    word, note = approvals.heard(done)
    board = decider.address(work.agent)
    body = Opinion(work.task, work.request, work.approves, done.state, word, note, board)
    return Send(decider.mai, f"{work.task}=", 0, body)


def _opinion(decider: "DepartmentDecider", body: Consult, state: str, why: str) -> Send:
    board = decider.address(decider.own.board.name)
    opinion = Opinion(body.task, body.request, body.id, state, "", why, board)  # type: ignore[arg-type]  # a Literal
    return Send(decider.mai, f"{body.task}=", 0, opinion)
