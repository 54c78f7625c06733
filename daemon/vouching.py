"""Calls that come to Mai and need an approval: each passes once, and no department is believed what she can see. Pure.

    persons had to say so       she has it on record herself
    the board had to            it is the department's word (`Word`): of just this call, of its own board, which is not the one
                                who asks, under these policies, and new; a board by rule she asks herself (agents/by_rule.py)

What code or a model has decided in there only its own journal says: `mai verify --deep` holds the one against the other.
"""

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from mai.agents import by_rule
from mai.agents.approval_messages import Word
from mai.agents.claim_messages import Claim
from mai.agents.decider import VIA_MAI
from mai.agents.effects import AGAIN
from mai.agents.errand_messages import Use
from mai.agents.events import Event
from mai.agents.messages import Task
from mai.agents.organisation import Department
from mai.agents.pleas import bound, claimed, digest_of
from mai.agents.policies import Act, Ruling
from mai.daemon.pending import ApprovalPassed

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider


class Passing(NamedTuple):
    """A call that comes to Mai, as its department has it."""

    request: str
    ident: str  # under which it came, without how often it was called again
    agent: str
    call: str  # ask, tool, conclude
    name: str
    arguments: str
    word: Word | None


def passing(body: Task | Use | Claim) -> Passing:
    """What of a message an approval is bound to."""
    match body:
        case Task():
            given = {"to": body.contract, "text": body.text, "input": body.input}
            return Passing(body.request, body.task, body.asker, "ask", body.contract, digest_of(given), body.word)
        case Claim():
            arguments = claimed(body.subject, body.attribute, body.digest, body.confidence)
            name = f"{body.subject} {body.attribute}"
            return Passing(body.request, body.id, body.agent, "conclude", name, arguments, body.word)
    task, via, number = body.id.rpartition(VIA_MAI)
    ident, given = f"{task}{via}{number.partition(AGAIN)[0]}", {"tool": body.tool.partition(".")[2], "input": body.input}
    return Passing(body.request, ident, body.agent, "tool", body.tool, digest_of(given), body.word)


def covered(mai: "MaiDecider", call: Passing, act: Act, ruling: Ruling) -> tuple[list[Event], str]:
    """What goes on record of a call that needs an approval, and why it may not pass; "" if it may."""
    wanted = (call.agent, call.name, call.arguments, ruling.clause, ruling.digest, mai.mandate.organisation.digest)
    for ident, one in mai.state.approving.given.get(call.request, {}).items():
        body = one.approval
        had = (body.agent, body.name, body.arguments, body.clause, body.policies, body.organisation)
        if had == wanted and one.passed in ("", call.ident):
            return [] if one.passed else [_passed(call, ident)], ""
    if ruling.verdict != "board" or ruling.four_eyes:
        return [], f"{call.name} was not approved: no person has said so"
    if why := _unsaid(mai, call, act):
        return [], f"{call.name} was not approved: {why}"
    assert call.word is not None, "who has approved nothing has said why"
    known = mai.state.approving.words.get(call.request, {})
    return [] if call.word.id in known else [_passed(call, call.word.id, call.word.by[0])], ""


def _passed(call: Passing, ident: str, by: str = "") -> ApprovalPassed:
    return ApprovalPassed(request=call.request, task=call.ident, agent=call.agent, approval=ident, by=by)


def _unsaid(mai: "MaiDecider", call: Passing, act: Act) -> str:
    """Why a department's word that its board approves this does not count; "" if it does."""
    word, department = call.word, mai.mandate.organisation.department(act.department)
    if word is None or department is None:
        return "its board has not said so"
    board = f"{mai.mandate.client}/{department.name}/{department.board.name}"
    if word.by != (board,):
        return f"it has to be {board} that says so, and {' and '.join(word.by)[:80]} does"
    if call.agent == board:
        return f"{board} itself asks for it"
    step = (word.task, word.n, word.count)
    binds = bound(call.agent, step, call.call, call.name, call.arguments, mai.mandate.organisation.digest)
    if word.id != binds or not call.ident.startswith((f"{word.task}.", f"{word.task}/")):
        return "what was approved is another call"
    if mai.state.approving.words.get(call.request, {}).get(word.id, call.ident) != call.ident:
        return "what was approved has been done already"
    return _otherwise(mai, department, replace(act, at_ms=_when(mai, call, word, act))) if not department.board.kind else ""


def _when(mai: "MaiDecider", call: Passing, word: Word, act: Act) -> int:
    """The moment that a board by rule has judged by: when it was asked, if that can be."""
    request = mai.state.requests.get(call.request)
    return word.at_ms if request and request.accepted_ms <= word.at_ms <= act.at_ms else act.at_ms


def _otherwise(mai: "MaiDecider", department: Department, act: Act) -> str:
    """What the board of a department says by rule, if that is no approval; "" if it is, or if it cannot be told here."""
    offsets = mai.mandate.organisation.offsets
    if act.what == "claim" and "value" not in act.arguments and by_rule.hangs_on(department, offsets, act, "value"):
        return ""
    said = by_rule.decide(department, offsets, act)
    return "" if said.word == "approve" else f"its board does not approve that: {said.note}"
