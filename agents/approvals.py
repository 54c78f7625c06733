"""Approvals, as a department decides about them: a step whose call a policy wants approved waits, then is done or refused. Pure.

What is said is bound to one call by a digest: of agent, task and step, of what is called and with what, and of the organisation.
The board is asked first where the policy names it, by a task of its own, which ends by its code, its model, or the department's
rules; where it leaves the call to a person, decides nothing,
fails or is too late, the organisation's `undecided` says what that means: a person is asked at Mai, or it is denied. Nothing is
taken for an approval but an approval. What was asked or approved under another organisation is judged anew.
"""

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from mai.agents import by_rule as rules
from mai.agents import judging
from mai.agents.approval_messages import Approval, Decided
from mai.agents.approval_records import (
    ApprovalAsked,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalReferred,
    ApprovalUsed,
)
from mai.agents.body import Fields
from mai.agents.claim_scope import for_persons
from mai.agents.decider import Send
from mai.agents.effects import cut
from mai.agents.events import Event, Hopped, Stepped
from mai.agents.inputs import Back, Call, Judged, Outdated, Pleading, Said
from mai.agents.plain import readable
from mai.agents.pleas import Plea, approving, arguments_of, binding, deciding, name_of, shown_of, waiting, waits_for
from mai.agents.policies import Ruling
from mai.agents.state import Done, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

__all__ = ("ask", "by_rule", "decide", "due", "left", "ruled", "settle", "used", "waits_for")

KEY: Final = "approval"  # in the input of a board's task
ASKS: Final = "Decide about the call in `approval`: approve, deny, or leave it to a person."
WORDS: Final = ("approve", "deny", "person")  # a board's `decision`
LONGEST: Final = 1000  # characters of a note
NESTED: Final = "it is a part of deciding about another call, and cannot wait for an approval itself"
LATE: Final = "nobody has decided in time"
HOW: Final = {"left": "leaves it to a person", "undecided": "decides nothing", "approved": "approves it"}


def decide(decider: "DepartmentDecider", given: Pleading) -> list[Event | Send]:
    """What follows from a policy's verdict, from persons' word, or from another organisation."""
    match given:
        case Said(body=body):
            return settle(decider, body)
        case Judged(task=task) if work := decider.state.work.get(task):  # else it has ended meanwhile
            return ask(decider, work, given.call, given.ruling)
        case Outdated():
            return outdated(decider, given)
    return []


# -- a step is to wait
def ask(decider: "DepartmentDecider", work: Work, call: Call, ruling: Ruling) -> list[Event | Send]:
    """Who has to approve the call is asked."""
    asked = _asked(decider, work, call, ruling)
    plea = Plea(work, call.n, call.call, call.given, approving(asked))
    if deciding(decider.state, work):
        return [asked, *_denied(decider, plea, "organisation", (), NESTED)]
    if ruling.verdict == "board":
        return [asked, *_to_board(decider, plea)]
    return [asked, _to_persons(decider, plea)]


def _asked(decider: "DepartmentDecider", work: Work, call: Call, ruling: Ruling) -> ApprovalAsked:
    before = decider.state.steps.get(work.task, {}).get(call.n)
    longest_s = ruling.expires_s or decider.mandate.organisation.approvals.expires_s
    until_ms = min(work.deadline_ms, decider.now_ms + int(longest_s * 1000)) if longest_s else work.deadline_ms
    asked = ApprovalAsked(
        request=work.request, task=work.task, agent=work.agent, n=call.n, call=call.call, given=call.given, id="",
        name=name_of(decider.own.name, call.call, call.given),
        arguments=arguments_of(call.call, call.given), organisation=decider.mandate.organisation.digest,
        verdict=ruling.verdict, clause=ruling.clause, policies=ruling.digest, why=ruling.why,
        persons=2 if ruling.four_eyes else 1, approvers=ruling.approvers, requester=work.asker,
        count=before.approval.count + 1 if before and before.approval else 1, at_ms=decider.now_ms, expires_ms=until_ms,
    )  # fmt: skip
    return replace(asked, id=binding(asked, decider.address(work.agent)))


# -- the board
def _to_board(decider: "DepartmentDecider", plea: Plea) -> list[Event | Send]:
    """The board gets a task of its own, and half of the time that there is; whoever it leaves it to has the rest."""
    board, work, one, now_ms = decider.own.board, plea.work, plea.one, decider.now_ms
    if work.agent == board.name:
        return _refer(decider, plea, "left", "the board itself asks for it")
    if why := decider.full():
        return _undecided(decider, plea, why)
    task_ms = int((board.task_s or decider.limits.task_s) * 1000)
    hopped = Hopped(
        request=work.request, task=f"{work.task}.{work.children + 1}", parent=work.task, sender=work.agent, agent=board.name,
        asker=decider.address(work.agent), contract="", text=ASKS, input={KEY: told(decider, plea)},
        deadline_ms=now_ms + min(task_ms, max(1, (one.expires_ms - now_ms) // 2)), hops=work.hops,
        rule=f"the policy {one.clause} wants the board's approval", watch=work.watch, step=plea.n, at_ms=now_ms, approves=one.id,
    )  # fmt: skip
    return [hopped]


def told(decider: "DepartmentDecider", plea: Plea) -> Fields:
    """What a board is told of a call."""
    work, one, agent = plea.work, plea.one, decider.own.agent(plea.work.agent)
    return {
        "id": one.id, "call": plea.call, "name": one.name, "input": shown_of(plea.call, plea.given),
        "agent": decider.address(work.agent), "rank": agent.rank if agent else "",
        "requester": one.requester, "policy": one.clause, "why": one.why,
        "task": {"contract": work.contract, "text": work.text, "input": work.input}, "expires_ms": one.expires_ms,
    }  # fmt: skip


def ruled(decider: "DepartmentDecider", back: Back) -> list[Event | Send]:
    """The board's task has ended: what that means for the call."""
    plea, done = waiting(decider.state, back.task, back.step), back.done
    if plea is None or plea.one.id != back.approves or plea.one.at != "board":
        return []
    word, note = heard(done)
    if word == "approve" and plea.one.persons > 1:
        return _refer(decider, plea, "approved", note, by=done.by)
    match word:
        case "approve":
            return _approved(decider, plea, "board", (done.by,), note)
        case "deny":
            return _denied(decider, plea, "board", (done.by,), note)
        case "person":
            return _refer(decider, plea, "left", note, by=done.by)
    return _undecided(decider, plea, note)


def heard(done: Done) -> tuple[str, str]:
    """What a board says, and why: approve, deny, person; "" if it decides nothing."""
    if done.state == "escalated":
        return "person", readable(done.reason, LONGEST)
    if done.state != "answered":
        return "", readable(f"its task was {done.state}: {done.reason}", LONGEST)
    word, note = done.value.get("decision"), done.value.get("note", "")
    if word not in WORDS:
        return "", f"its answer has no `decision` that is one of {', '.join(WORDS)}"
    return str(word), readable(note if isinstance(note, str) and note else done.text, LONGEST)


def by_rule(decider: "DepartmentDecider", work: Work) -> Done:
    """What a board without code says: as its department's rules say; where there are none, that a person has to decide."""
    from mai.agents import consulting  # which asks us

    plea, board = waiting(decider.state, work.parent, work.step), decider.address(work.agent)
    if plea is None and work.parent:
        return Done("refused", "", {}, "nothing waits for it any more", board, ())
    if plea is None:
        said = consulting.ruled(decider, work)
    else:
        act = judging.act_of(decider, plea, plea.one.at_ms)
        said = rules.decide(decider.own, decider.mandate.organisation.offsets, act)
    if not said.word:
        return Done("refused", "", {}, said.note, board, ())
    return Done("answered", said.note, {"decision": said.word, "note": said.note}, "", board, (decider.own.name,))


def _undecided(decider: "DepartmentDecider", plea: Plea, why: str) -> list[Event | Send]:
    """No decision of the board's: never silence, but what the organisation says."""
    if decider.mandate.organisation.approvals.undecided == "person":
        return _refer(decider, plea, "undecided", why)
    return _denied(decider, plea, "organisation", (), f"the board decides nothing ({why}), which is a denial here")


def _refer(decider: "DepartmentDecider", plea: Plea, how: str, why: str, *, by: str = "") -> list[Event | Send]:
    """A person is asked; one fewer where the board is the first of two."""
    board, one = by or decider.address(decider.own.board.name), plea.one
    persons = one.persons - (how == "approved")
    referred = ApprovalReferred(**plea.names, by=board, how=how, why=why, persons=persons)
    said = readable(f"{one.why}; {board} {HOW[how]}{': ' * bool(why)}{why}", LONGEST)
    return [referred, _to_persons(decider, plea._replace(one=replace(one, persons=persons, why=said)))]


# -- persons
def _to_persons(decider: "DepartmentDecider", plea: Plea, over: str = "") -> Send:
    """Mai is told that persons have to approve it; or that nobody has to, any more."""
    work, one = plea.work, plea.one
    shown = cut(for_persons(decider.own, decider.scopes, plea.call, plea.given))
    body = Approval(
        one.id, work.request, work.task, plea.n, decider.address(work.agent), plea.call, one.name,
        None if over else shown, one.arguments, one.organisation, one.clause, one.policies,
        one.at_ms, one.expires_ms, one.persons, one.approvers, one.requester, one.why, over,
    )  # fmt: skip
    return Send(decider.mai, f"{work.task}/{plea.n}@{one.count}{'.' * bool(over)}", 0, body)


def settle(decider: "DepartmentDecider", body: Decided) -> list[Event | Send]:
    """What persons have said goes on record, and the step goes on or is refused, if it still waits for just that."""
    plea = waiting(decider.state, body.task, body.n)
    if plea is None or plea.one.id != body.id or plea.one.at != "person":
        return [_late(decider, body, "nothing waits for it any more")]
    if plea.one.expires_ms <= decider.now_ms:
        return [_late(decider, body, "it came after its deadline"), *_expire(plea), *_over(decider, plea, LATE)]
    decide = _approved if body.approved else _denied
    return decide(decider, plea, "person", body.by, body.note)


def _late(decider: "DepartmentDecider", body: Decided, why: str) -> ApprovalDecided:
    return ApprovalDecided(
        request=body.request, task=body.task, agent=body.agent.rpartition("/")[2], n=body.n, id=body.id, approved=body.approved,
        who="person", by=body.by, note=body.note, at_ms=decider.now_ms, late=why,
    )  # fmt: skip


# -- decided
def _approved(decider: "DepartmentDecider", plea: Plea, who: str, by: tuple[str, ...], note: str) -> list[Event | Send]:
    return [_decided(decider, plea, who, by, note)]


def _denied(decider: "DepartmentDecider", plea: Plea, who: str, by: tuple[str, ...], note: str) -> list[Event | Send]:
    named = f"{' and '.join(by)} denies it{': ' * bool(note)}" if by else ""
    decided = replace(_decided(decider, plea, who, by, note), approved=False)
    return [decided, _refused(plea, f"{named}{note}")]


def _decided(decider: "DepartmentDecider", plea: Plea, who: str, by: tuple[str, ...], note: str) -> ApprovalDecided:
    one = plea.one
    return ApprovalDecided(
        **plea.names, approved=True, who=who, by=(*one.by, *by), note=readable(note, LONGEST), clause=one.clause,
        policies=one.policies, at_ms=decider.now_ms,
    )  # fmt: skip


def _refused(plea: Plea, why: str, state: str = "") -> Stepped:
    work, why = plea.work, readable(f"{plea.one.name} was not approved: {why}")
    return Stepped(request=work.request, task=work.task, agent=work.agent, n=plea.n, call=plea.call, refused=why, state=state)


def used(plea: Plea) -> ApprovalUsed:
    """What is on the disk before the call that was approved."""
    return ApprovalUsed(**plea.names, name=plea.one.name, arguments=plea.one.arguments)


# -- time, ends, and other organisations
def due(decider: "DepartmentDecider") -> list[Event | Send]:
    """Approvals that nobody has given in time: their steps are refused. Those of tasks that end now end with them."""
    found: list[Event | Send] = []
    for key in decider.state.approvals.due(decider.now_ms):
        task, _, n = key.rpartition("/")
        plea = waiting(decider.state, task, int(n))
        if plea and plea.work.deadline_ms > decider.now_ms:
            found += [*_expire(plea), *_over(decider, plea, LATE)]
    return found


def _expire(plea: Plea) -> list[Event | Send]:
    return [ApprovalExpired(**plea.names, why=LATE), _refused(plea, LATE, "expired")]


def _over(decider: "DepartmentDecider", plea: Plea, why: str) -> list[Event | Send]:
    """Mai hears that nobody waits any more, if she was asked."""
    return [_to_persons(decider, plea, why)] if plea.one.at == "person" else []


def left(decider: "DepartmentDecider", work: Work) -> list[Event | Send]:
    """What has to be on record of the approvals of a task before its end."""
    found: list[Event | Send] = []
    for n in decider.state.steps.get(work.task, {}):
        if plea := waiting(decider.state, work.task, n):
            why = LATE if work.deadline_ms <= decider.now_ms else "its task has ended"
            found += [ApprovalExpired(**plea.names, why=why), *_over(decider, plea, why)]
    return found


def outdated(decider: "DepartmentDecider", given: Outdated) -> list[Event | Send]:
    """The organisation is another one than when this was asked for: nobody's word counts for that any more."""
    plea = waiting(decider.state, given.task, given.n)
    if plea is None or plea.one.organisation == decider.mandate.organisation.digest:
        return []
    why = f"the organisation is not {plea.one.organisation} any more; the call is judged anew"
    return [ApprovalExpired(**plea.names, why=why, again=True), *_over(decider, plea, why)]
