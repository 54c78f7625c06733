"""Calls that wait for persons, as Mai decides about them: kept until they have said enough, are too late, or nobody waits. Pure.

Who made the client's request says nothing about what is done for it; where the policy wants four eyes, two users with different
numbers approve; one who denies is enough. The last word goes to the department in the transaction in which the row goes: so it is
said once, and arrives once, whoever dies in between. Names are for people: who is who is a matter of numbers.
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from mai.agents.approval_messages import Approval, Decided
from mai.agents.decider import Send
from mai.agents.events import Event, MessageRefused
from mai.daemon import asks
from mai.daemon.desk import MaiState, origin
from mai.daemon.pending import (
    GIVEN,
    NOUN,
    SETTLED,
    TRIES,
    WORD,
    Announced,
    ApprovalAnnounced,
    ApprovalClosed,
    ApprovalPassed,
    ApprovalRaised,
    ApprovalVoted,
    Given,
    Passed,
    Pending,
    Pleaded,
    Settled,
    Vote,
    Voting,
)

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

EXPIRED = "nobody has decided in time"


def decide(
    mai: "MaiDecider", given: Pleaded | Voting | Announced | asks.Opined | asks.Outdated, now_ms: int
) -> list[Event | Send]:
    """What follows from a department's word, a person's, the command's end, and of what the client asks for."""
    match given:
        case Pleaded():
            return _pleaded(mai, given, now_ms)
        case Voting():
            return _voted(mai, given, now_ms)
        case Announced():
            return _announced(mai, given)
        case asks.Opined() | asks.Outdated():
            return asks.decide(mai, given, now_ms)


# -- the department
def _pleaded(mai: "MaiDecider", given: Pleaded, now_ms: int) -> list[Event | Send]:
    body, peer = given.body, given.peer
    if not body.agent.startswith(f"{peer}/"):
        return [MessageRefused(peer=peer, why="out of place", detail=f"{peer} wants an approval of {body.agent[:80]!r}")]
    known = mai.state.approving.rows.get(body.id)
    if body.over:
        return [closed(known, body.over, now_ms)] if known and known.process == peer else []
    if known is not None:
        return []
    if why := _out_of_place(mai, peer, body) or (EXPIRED if body.expires_ms <= now_ms else ""):
        return [_answer(peer, given.id, _decided(body, False, (), why, now_ms))]
    request = mai.state.requests[body.request]
    raised = ApprovalRaised(
        request=body.request, task=body.task, agent=body.agent, process=peer, id=given.id, by=request.by, uid=request.uid,
        approval=body,
    )  # fmt: skip
    return [raised]


def _out_of_place(mai: "MaiDecider", peer: str, body: Approval) -> str:
    """Why nobody is asked about this; "" if somebody is."""
    holding = mai.holding(_root(body.task))
    if body.request not in mai.state.requests or holding is None or (holding.process, holding.request) != (peer, body.request):
        return "its request has ended"
    return ""


def _root(task: str) -> str:
    """The task of Mai's that a department's task derives from."""
    return origin(f"{task}.m0")


def _answer(process: str, message: str, body: Decided) -> Send:
    return Send(process, f"{message}=", 0, body)


def _decided(body: Approval, approved: bool, by: tuple[str, ...], note: str, now_ms: int) -> Decided:
    return Decided(body.id, body.request, body.task, body.n, body.agent, approved, by, note, now_ms)


def closed(one: Pending, why: str, now_ms: int) -> ApprovalClosed:
    """Nobody has to say anything of this any more."""
    body = one.approval
    return ApprovalClosed(request=body.request, task=body.task, agent=body.agent, approval=body.id, why=why, at_ms=now_ms)


# -- persons
def why_not(one: Pending, vote: Vote) -> str:
    """Why this user may not say this now, in a sentence; "" if he may."""
    if one.approval.expires_ms <= vote.at_ms:
        return "it is too late: nobody waits for it any more"
    if vote.approved and vote.uid == one.uid:
        return f"{vote.user} has made the request that it is for: who asks does not approve"
    if vote.approved and any(other.uid == vote.uid for other in one.votes):
        return f"{vote.user} has approved it already: the policy wants another pair of eyes"
    return ""


def _voted(mai: "MaiDecider", given: Voting, now_ms: int) -> list[Event | Send]:
    """A person has said it; who asks has seen to it that he may."""
    one, vote = mai.state.approving.rows.get(given.id), given.vote
    if one is None or why_not(one, vote):
        return []
    body, last = one.approval, not vote.approved or one.left <= 1
    voted = ApprovalVoted(
        request=body.request, task=body.task, agent=body.agent, approval=body.id, approved=vote.approved, user=vote.user,
        uid=vote.uid, role=vote.role, note=vote.note, last=last, at_ms=now_ms,
    )  # fmt: skip
    if not last:
        return [voted]
    by = tuple(one.who for one in (*one.votes, vote) if one.approved == vote.approved)
    note = "; ".join(filter(None, (one.note for one in (*one.votes, vote))))
    if one.process == mai.address:
        return [voted, *asks.said(mai, one, vote.approved, by, note, now_ms)]
    return [voted, _answer(one.process, one.message, _decided(body, vote.approved, by, note, now_ms))]


# -- time
def expire(mai: "MaiDecider", now_ms: int) -> list[Event | Send]:
    """What nobody has decided in time; their departments refuse it by themselves."""
    rows = mai.state.approving.rows
    return [closed(rows[ident], EXPIRED, now_ms) for ident in mai.state.approving.deadlines.due(now_ms)]


def late(state: MaiState, request: str) -> str:
    """For why a part of a request has no answer in time: which approval it waited for; "" if it did not."""
    found = [state.approving.rows[ident] for ident in state.approving.of_request.get(request, ())]
    if not found:
        return ""
    body = min(found, key=lambda one: one.seq).approval
    waits = f"{body.name} waits for an approval that nobody has given"
    return f"no answer before the deadline: {waits}; see: mai approvals show {body.id[:16]}"


def _announced(mai: "MaiDecider", given: Announced) -> list[Event | Send]:
    one = mai.state.approving.rows.get(given.id)
    if one is None:
        return []
    body = one.approval
    announced = ApprovalAnnounced(
        request=body.request, task=body.task, approval=body.id, well=given.well, text=given.text, tries=given.tries
    )
    return [announced]


# -- evolve
def fold(state: MaiState, event: Event, seq: int) -> None:
    """Fold one fact."""
    match event:
        case ApprovalRaised():
            body = event.approval
            _keep(state, Pending(event.process, event.id, seq, event.by, event.uid, body))
        case ApprovalVoted() if one := state.approving.rows.get(event.approval):
            one = replace(one, votes=(*one.votes, vote_of(event)))
            if event.last:
                if event.approved and event.request in state.requests:
                    _give(state, Given(one.approval))
                _settle(state, one, Settled(one, "approved" if event.approved else "denied", event.at_ms))
            else:
                _keep(state, one)
        case ApprovalClosed() if one := state.approving.rows.get(event.approval):
            _settle(state, one, Settled(one, "over", event.at_ms, event.why))
        case ApprovalPassed():
            _passed(state, event)
        case ApprovalAnnounced() if (event.well or event.tries >= TRIES) and (one := state.approving.rows.get(event.approval)):
            _keep(state, replace(one, announced=event.text))


def ended(state: MaiState, request: str) -> None:
    """A request has ended: nothing passes for it any more."""
    for ident in state.approving.given.pop(request, ()):
        state.changed(GIVEN, ident, None)
    for ident in state.approving.words.pop(request, ()):
        state.changed(WORD, ident, None)


def _give(state: MaiState, one: Given) -> None:
    state.approving.give(one)
    state.changed(GIVEN, one.approval.id, one)


def _passed(state: MaiState, event: ApprovalPassed) -> None:
    if event.by:
        state.approving.words.setdefault(event.request, {})[event.approval] = event.task
        state.changed(WORD, event.approval, Passed(event.request, event.task))
    elif given := state.approving.given.get(event.request, {}).get(event.approval):
        _give(state, replace(given, passed=event.task))


def vote_of(event: ApprovalVoted) -> Vote:
    """What a person has said."""
    return Vote(event.user, event.uid, event.role, event.approved, event.note, event.at_ms)


def _keep(state: MaiState, one: Pending) -> None:
    state.approving.put(one)
    state.changed(NOUN, one.approval.id, one)


def _settle(state: MaiState, one: Pending, settled: Settled) -> None:
    state.approving.drop(one.approval.id)
    state.changed(NOUN, one.approval.id, None)
    state.changed(SETTLED, one.approval.id, settled)
