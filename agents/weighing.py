"""A board that is asked by Mai about claims that contradict each other, and what it says to that. Pure.

    Weigh, the board has code (python, a program, a model) → a task of its own, and with its end a Vote
    Weigh, the board has none                              → a Vote at once: by its department's precedence, else its own claim
    CaseTold                                                  → ruling.told

A board that fails, refuses, is late or names no claim of the case is undecided: Mai hears why.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from mai.agents import allowance, claims
from mai.agents.body import Fields, Outcome
from mai.agents.claim_messages import CaseTold, Side, Vote, Weigh
from mai.agents.conflict_scope import BUILT_IN, VOTES, clause_for
from mai.agents.decider import Send
from mai.agents.events import Event, Hopped
from mai.agents.inputs import Asks
from mai.agents.messages import Task
from mai.agents.plain import readable
from mai.agents.precedence import choose
from mai.agents.state import Done, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

WHY: Final = 500  # characters
ASKED: Final = "Mai asks the board which of these claims about {} {} stands (case {})"
TOLD: Final = "Mai asks the board whether it accepts a ruling about {} {} (case {}): {}"


def decide(decider: "DepartmentDecider", given: Asks, now_ms: int) -> list[Event | Send]:
    """What follows from Mai's word about a case."""
    if isinstance(given.body, CaseTold):
        return claims.told(decider, given.body, now_ms)
    body, board = given.body, decider.own.board
    if body.task in decider.state.work:
        return []
    if not decider.coded(board.name, ""):
        return [_vote(decider, body, "answered", *_by_rule(decider, body))]
    if why := decider.full():
        return [_vote(decider, body, "refused", "", why)]
    if body.deadline_ms <= now_ms:
        return [_vote(decider, body, "expired", "", "the question came after its deadline")]
    return _begun(decider, body, now_ms)


def _begun(decider: "DepartmentDecider", body: Weigh, now_ms: int) -> list[Event | Send]:
    """A task for the board's code, if the department may take one more today."""
    admitted = allowance.admit(decider, Task(body.task, body.request, decider.mai, "", "", {}, 0), body.deadline_ms, now_ms)
    if stopped := admitted.stopped:
        return [stopped, _vote(decider, body, "refused", "", stopped.why)]
    return [msgspec.structs.replace(_hopped(decider, body, now_ms), deadline_ms=admitted.until_ms)]


def _hopped(decider: "DepartmentDecider", body: Weigh, now_ms: int) -> Hopped:
    board = decider.own.board
    told = {"ruling": body.ruling, "winner": body.winner} if body.ruling else {}
    case: Fields = {
        "case": body.request, "subject": body.subject, "attribute": body.attribute, **told,
        "claims": [msgspec.to_builtins(msgspec.structs.asdict(_own(decider, side))) for side in body.sides],
    }  # fmt: skip
    words = TOLD if body.ruling else ASKED
    return Hopped(
        request=body.request, task=body.task, parent="", sender="mai", agent=board.name, asker=decider.mai, contract="",
        text=words.format(body.subject, body.attribute, body.request, body.ruling), input=case, deadline_ms=body.deadline_ms,
        hops=decider.limits.hops, rule=decider.table.hop(decider.own.name, "mai", board.name).rule, at_ms=now_ms,
        case=body.request,
    )  # fmt: skip


def _own(decider: "DepartmentDecider", side: Side) -> Side:
    """A claim of the department's own is shown to its board whole."""
    kept = decider.state.claims.get(side.claim)
    return msgspec.structs.replace(side, shown=True, value=kept.value, why=kept.why) if kept else side


def _by_rule(decider: "DepartmentDecider", body: Weigh) -> tuple[str, str]:
    """What a board without code votes for, and why; "" if nothing tells."""
    if body.ruling:
        return body.winner, "a board without code accepts what was ruled"
    clause = clause_for(body.attribute, decider.own.precedence)
    if clause is not BUILT_IN:
        side, criterion = choose([one for one in clause.by if one != VOTES], body.sides, {}, 0)
        if not side:
            return "", f"{clause.name}: nothing of it tells"
        return _of(body, side), f"{clause.name}: {criterion}"
    own = {one.side for one in body.sides if one.department == decider.own.name}
    if len(own) == 1:
        return _of(body, own.pop()), "it stands by what its department has concluded"
    return "", "its department has no precedence for this"


def _of(body: Weigh, side: int) -> str:
    return next(one.claim for one in body.sides if one.side == side)


def vote(decider: "DepartmentDecider", work: Work, done: Done) -> Send:
    """How a board's task about a case has ended, as its vote."""
    named = str(done.value.get("claim", "")) if done.state == "answered" else ""
    known = [str(one["claim"]) for one in work.input["claims"]]
    why = str(done.value.get("why", "")) or done.text or done.reason
    if named and named not in known:
        named, why = "", f"it names {named[:80]!r}, which is no claim of the case"
    why = why or ("" if named else "it is undecided")
    board = decider.address(work.agent)
    body = Vote(work.task, work.request, done.state, named, readable(why, WHY), board)
    return Send(decider.mai, f"{work.task}=", 0, body)


def _vote(decider: "DepartmentDecider", body: Weigh, state: Outcome, claim: str, why: str) -> Send:
    board = decider.address(decider.own.board.name)
    return Send(decider.mai, f"{body.task}=", 0, Vote(body.task, body.request, state, claim, readable(why, WHY), board))
