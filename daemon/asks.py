"""What the client asks for under a contract and a policy wants approved: its part waits at Mai, and goes out or not. Pure.

    policy.judged → approval.asked → the board of who serves the contract (`Consult`, `Opinion`), or persons (approval.raised)
    approval.referred | approval.decided → approval.used and the task, in one commit | the part's end | approval.expired

The same records as of a department's call, bound in the same way: to this contract, text and input, in this part of this request,
under this organisation. A board that does not decide, is not to be had, or is late falls to the organisation's `undecided`.
"""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import replace

from mai.agents.approval_messages import Approval, Consult, Opinion
from mai.agents.approval_records import ApprovalAsked, ApprovalDecided, ApprovalExpired, ApprovalReferred, ApprovalUsed
from mai.agents.approvals import HOW, LATE, LONGEST
from mai.agents.decider import Input, Send
from mai.agents.effects import cut
from mai.agents.events import Event, MessageRefused
from mai.agents.messages import Task
from mai.agents.plain import readable
from mai.agents.pleas import approving, arguments_of, binding
from mai.agents.policies import Act, Ruling
from mai.daemon import policing
from mai.daemon.desk import Asked, Holding, MaiState, Request
from mai.daemon.pending import ASK, QUESTION, ApprovalClosed, ApprovalRaised, ApprovalVoted, Ask, Pending, asked_of
from mai.daemon.records import PartAnswer, PartEnded, PartPlan, RequestEnded

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

Fact = ApprovalAsked | ApprovalReferred | ApprovalDecided | ApprovalUsed | ApprovalExpired
FACTS: Final = (ApprovalAsked, ApprovalReferred, ApprovalDecided, ApprovalUsed, ApprovalExpired)
DENIAL: Final = "the board decides nothing ({}), which is a denial here"


class Opined(Input, frozen=True):
    """A board says something of what the client asks for."""

    peer: str
    body: Opinion


class Outdated(Input, frozen=True):
    """A part waits for an approval that was asked for under another organisation."""

    task: str


class Gate(NamedTuple):
    """What goes on record of a part; then it goes out, or waits, or the request is refused for `why`."""

    events: list[Event | Send]
    goes: bool = False
    why: str = ""


def decide(mai: "MaiDecider", given: Opined | Outdated, now_ms: int) -> list[Event | Send]:
    """What follows from a board's word, or from another organisation."""
    return _opined(mai, given, now_ms) if isinstance(given, Opined) else _anew(mai, given.task, now_ms)


# -- a part
def at(mai: "MaiDecider", of: Asked | Request, body: Task, now_ms: int) -> Gate:
    """What the policies make of a part of a request."""
    if not body.contract:
        return Gate([], goes=True)
    act = policing.part(mai, body, now_ms)
    ruling = mai.policing.rule(act)
    if ruling.allowed:
        return Gate([], goes=True)
    judged = policing.judged(mai, body.request, body.task, act, ruling)
    if ruling.verdict not in policing.WAITS:
        return Gate([judged], why=ruling.why)
    asked, ask = _asked(mai, of, body, act, ruling)
    return _waits(mai, ask, act, ruling, [judged, asked])


def _waits(mai: "MaiDecider", ask: Ask, act: Act, ruling: Ruling, noted: list[Event | Send]) -> Gate:
    """Who is asked; where that is nobody the part has not begun, so that it could end: who begins it refuses the request."""
    if ruling.verdict == "person":
        return Gate([*noted, _to_persons(mai, ask)])
    if not (why := mai.closed(mai.server(ask.name))):
        return Gate([*noted, _to_board(mai, ask, act.subject)])
    if mai.mandate.organisation.approvals.undecided == "person":
        return Gate([*noted, *_refer(mai, ask, "undecided", why)])
    denied = DENIAL.format(why)
    return Gate([*noted, _decided(ask, False, "organisation", (), denied, act.at_ms)], why=f"{ruling.why}; {denied}")


def _asked(mai: "MaiDecider", of: Asked | Request, body: Task, act: Act, ruling: Ruling) -> tuple[ApprovalAsked, Ask]:
    now_ms, known = act.at_ms, mai.state.approving.asks.get(body.task)
    longest_s = ruling.expires_s or mai.mandate.organisation.approvals.expires_s
    until_ms = min(of.deadline_ms, now_ms + int(longest_s * 1000)) if longest_s else of.deadline_ms
    given = {"to": body.contract, "text": body.text, "input": body.input}
    asked = ApprovalAsked(
        request=body.request, task=body.task, agent=policing.CLIENT, n=0, call="ask", given=given, id="", name=body.contract,
        arguments=arguments_of("ask", given), organisation=mai.mandate.organisation.digest, verdict=ruling.verdict,
        clause=ruling.clause, policies=ruling.digest, why=ruling.why, persons=2 if ruling.four_eyes else 1,
        approvers=ruling.approvers, requester=act.requester, count=known.one.count + 1 if known else 1, at_ms=now_ms,
        expires_ms=until_ms,
    )  # fmt: skip
    asked = replace(asked, id=binding(asked, _client(mai)))
    return asked, Ask(body.task, body.request, asked.name, given, of.by, of.uid, approving(asked))


def _client(mai: "MaiDecider") -> str:
    return f"{mai.mandate.client}/{policing.CLIENT}/{policing.CLIENT}"


def _names(ask: Ask) -> dict[str, Any]:
    return {"request": ask.request, "task": ask.task, "agent": policing.CLIENT, "n": 0, "id": ask.one.id}


# -- the board of who serves it
def _to_board(mai: "MaiDecider", ask: Ask, subject: str) -> Send:
    one = ask.one
    body = Consult(
        f"{ask.task}{QUESTION}{one.count}", ask.request, one.id, _client(mai), one.name, ask.given["input"], ask.given["text"],
        one.requester, subject, one.clause, one.why, one.at_ms, one.expires_ms,
    )  # fmt: skip
    return Send(mai.server(ask.name), body.task, ask.until_ms, body)


def holding(mai: "MaiDecider", task: str) -> Holding | None:
    """Who is asked about a part by this question, and is waited for."""
    ask = mai.state.approving.asks.get(asked_of(task))
    if ask is None or ask.one.at != "board" or task != f"{ask.task}{QUESTION}{ask.one.count}":
        return None
    return Holding(mai.server(ask.name), ask.request, ask.until_ms)


def _opined(mai: "MaiDecider", given: Opined, now_ms: int) -> list[Event | Send]:
    body, peer = given.body, given.peer
    ask = mai.state.approving.asks.get(asked_of(body.task))
    department = mai.mandate.organisation.department(peer.partition("/")[2])
    if department is None or body.by != f"{peer}/{department.board.name}" or (ask and mai.server(ask.name) != peer):
        return [MessageRefused(peer=peer, why="out of place", detail=f"{peer} says something of {body.task[:80]!r}")]
    if ask is None or ask.one.id != body.id or ask.one.at != "board":
        return [_late(body, now_ms)]
    return _ruled(mai, ask, body, now_ms)


def _ruled(mai: "MaiDecider", ask: Ask, body: Opinion, now_ms: int) -> list[Event | Send]:
    """What the board's word means for the part."""
    note = readable(body.note, LONGEST)
    match body.word:
        case "approve" if ask.one.persons > 1:
            return _refer(mai, ask, "approved", note, by=body.by)
        case "approve":
            return _approved(mai, ask, "board", (body.by,), note, now_ms)
        case "deny":
            return _denied(mai, ask, "board", (body.by,), note, now_ms)
        case "person":
            return _refer(mai, ask, "left", note, by=body.by)
    return _undecided(mai, ask, note or "it says nothing", now_ms)


def _late(body: Opinion, now_ms: int) -> ApprovalDecided:
    return ApprovalDecided(
        request=body.request, task=asked_of(body.task), agent=policing.CLIENT, n=0, id=body.id,
        approved=body.word == "approve", who="board", by=(body.by,), note=readable(body.note, LONGEST), at_ms=now_ms,
        late="nothing waits for it any more",
    )  # fmt: skip


def _undecided(mai: "MaiDecider", ask: Ask, why: str, now_ms: int) -> list[Event | Send]:
    if mai.mandate.organisation.approvals.undecided == "person":
        return _refer(mai, ask, "undecided", why)
    return _denied(mai, ask, "organisation", (), DENIAL.format(why), now_ms)


def _refer(mai: "MaiDecider", ask: Ask, how: str, why: str, *, by: str = "") -> list[Event | Send]:
    """A person is asked; one fewer where the board is the first of two."""
    department = mai.mandate.organisation.department(ask.name.partition(".")[0])
    board = by or (f"{mai.server(ask.name)}/{department.board.name}" if department else "")
    persons = ask.one.persons - (how == "approved")
    referred = ApprovalReferred(**_names(ask), by=board, how=how, why=readable(why, LONGEST), persons=persons)
    said = readable(f"{ask.one.why}; {board} {HOW[how]}{': ' * bool(why)}{why}", LONGEST)
    return [referred, _to_persons(mai, replace(ask, one=replace(ask.one, persons=persons, why=said)))]


# -- persons
def _to_persons(mai: "MaiDecider", ask: Ask) -> ApprovalRaised:
    one = ask.one
    body = Approval(
        one.id, ask.request, ask.task, 0, _client(mai), "ask", one.name, cut(ask.given["input"]), one.arguments, one.organisation,
        one.clause, one.policies, one.at_ms, one.expires_ms, one.persons, one.approvers, one.requester, one.why,
    )  # fmt: skip
    return ApprovalRaised(
        request=ask.request,
        task=ask.task,
        agent=body.agent,
        process=mai.address,
        id=ask.task,
        by=ask.by,
        uid=ask.uid,
        approval=body,
    )


def said(  # noqa: PLR0917
    mai: "MaiDecider", one: Pending, approved: bool, by: tuple[str, ...], note: str, now_ms: int
) -> list[Event | Send]:
    """Persons have said enough of it."""
    ask = mai.state.approving.asks.get(one.approval.task)
    if ask is None or ask.one.id != one.approval.id:
        return []
    return (_approved if approved else _denied)(mai, ask, "person", by, note, now_ms)


# -- decided
def _decided(ask: Ask, approved: bool, who: str, by: tuple[str, ...], note: str, now_ms: int) -> ApprovalDecided:  # noqa: PLR0917
    return ApprovalDecided(
        **_names(ask), approved=approved, who=who, by=(*ask.one.by, *by), note=readable(note, LONGEST), clause=ask.one.clause,
        policies=ask.one.policies, at_ms=now_ms,
    )  # fmt: skip


def _approved(  # noqa: PLR0917
    mai: "MaiDecider", ask: Ask, who: str, by: tuple[str, ...], note: str, now_ms: int
) -> list[Event | Send]:
    """It goes out, in the commit of the word."""
    decided = _decided(ask, True, who, by, note, now_ms)
    request, part = _part(mai, ask)
    if request is None or part is None:
        return [decided]
    given = mai.hand_out(request, mai.task(request, part, ask.task), part.department, now_ms)
    if why := mai.unsendable(given):
        return [decided, ApprovalExpired(**_names(ask), why=why), *_ends(mai, ask, "refused", why, now_ms)]
    return [decided, ApprovalUsed(**_names(ask), name=ask.name, arguments=ask.one.arguments), *given]


def _denied(  # noqa: PLR0917
    mai: "MaiDecider", ask: Ask, who: str, by: tuple[str, ...], note: str, now_ms: int
) -> list[Event | Send]:
    named = f"{' and '.join(by)} denies it{': ' * bool(note)}" if by else ""
    return [_decided(ask, False, who, by, note, now_ms), *_ends(mai, ask, "refused", f"{named}{note}", now_ms)]


def _part(mai: "MaiDecider", ask: Ask) -> tuple[Request | None, PartPlan | None]:
    request = mai.state.requests.get(ask.request)
    return request, mai.part(request, ask.task) if request else None


def _ends(mai: "MaiDecider", ask: Ask, state: str, why: str, now_ms: int) -> list[Event | Send]:
    """The part's end without its task, and what follows from that."""
    request, part = _part(mai, ask)
    if request is None or part is None:
        return []
    reason = readable(f"{ask.name} was not approved: {why}")
    answer = PartAnswer(part.department, part.text, state, "", {}, reason, mai.address, ())
    ended = PartEnded(request=request.request, task=ask.task, answer=answer)
    return [ended, *mai.whole_of(request, {**request.answers, ask.task: answer}, now_ms)]


# -- time, ends, and other organisations
def expire(mai: "MaiDecider", now_ms: int, once: set[str]) -> list[Event | Send]:
    """Boards whose time is over, and approvals that nobody has given; those of requests that end now end with them.

    `once`: requests of which a part ends in this look. Another waits for the next one, which knows of the first: together they
    may be the whole.
    """
    found: list[Event | Send] = []
    for task in mai.state.approving.asked.due(now_ms):
        ask = mai.state.approving.asks[task]
        request = mai.state.requests.get(ask.request)
        if request is None or request.deadline_ms <= now_ms or request.request in once:
            continue
        if ask.one.expires_ms <= now_ms:
            follows = [ApprovalExpired(**_names(ask), why=LATE), *_ends(mai, ask, "expired", LATE, now_ms)]
        else:
            follows = _undecided(mai, ask, "it did not answer in time", now_ms)
        once.update(one.request for one in follows if isinstance(one, PartEnded))
        found += follows
    return found


def ending(mai: "MaiDecider", found: list[Event | Send], now_ms: int) -> list[Event | Send]:
    """The same; what waits for an approval of a request that ends in it is over on record before that end."""
    gone = {one.request for one in found if isinstance(one, RequestEnded)}
    settled = {one.task for one in found if isinstance(one, ApprovalDecided | ApprovalExpired) and not getattr(one, "late", "")}
    over = [ask for ask in mai.state.approving.asks.values() if ask.request in gone and ask.task not in settled] if gone else []
    shut = {one.approval for one in found if isinstance(one, ApprovalClosed | ApprovalVoted)}
    for ask in over:
        request = mai.state.requests.get(ask.request)
        why = LATE if request and request.deadline_ms <= now_ms else "its request has ended"
        end = next(n for n, one in enumerate(found) if isinstance(one, RequestEnded) and one.request == ask.request)
        found = [
            *found[:end],
            ApprovalExpired(**_names(ask), why=why),
            *(_closed(mai, ask, why, now_ms) if ask.one.id not in shut else []),
            *found[end:],
        ]
    return found


def _closed(mai: "MaiDecider", ask: Ask, why: str, now_ms: int) -> list[Event | Send]:
    """Persons need say nothing of it any more, if they were asked."""
    if ask.one.id not in mai.state.approving.rows:
        return []
    closed = ApprovalClosed(
        request=ask.request, task=ask.task, agent=_client(mai), approval=ask.one.id, why=why, at_ms=now_ms
    )  # fmt: skip
    return [closed]


def _anew(mai: "MaiDecider", task: str, now_ms: int) -> list[Event | Send]:
    """The organisation is another one: what was asked or said under the old one counts no more."""
    ask = mai.state.approving.asks.get(task)
    if ask is None or ask.one.organisation == mai.mandate.organisation.digest:
        return []
    why = f"the organisation is not {ask.one.organisation} any more; the call is judged anew"
    request, part = _part(mai, ask)
    if request is None or part is None:
        return []
    body = mai.task(request, part, task)
    gate = at(mai, request, body, now_ms)
    given = mai.hand_out(request, body, part.department, now_ms) if gate.goes else []
    refused = gate.why or mai.unsendable(given)
    expired = ApprovalExpired(**_names(ask), why=why, again=not gate.goes and not refused)
    follows = [*gate.events, *_ends(mai, ask, "refused", refused, now_ms)] if refused else [*gate.events, *given]
    return [expired, *_closed(mai, ask, why, now_ms), *follows]


# -- evolve
def fold(state: MaiState, event: Fact) -> None:
    """Fold one fact."""
    if isinstance(event, ApprovalAsked):
        request = state.requests.get(event.request)
        by, uid = (request.by, request.uid) if request else ("", -1)
        _keep(state, Ask(event.task, event.request, event.name, event.given, by, uid, approving(event)))
        return
    ask = state.approving.asks.get(event.task)
    if ask is None or ask.one.id != event.id:
        return
    match event:
        case ApprovalReferred():
            one = replace(ask.one, at="person", persons=event.persons)
            _keep(state, replace(ask, one=replace(one, by=(event.by,)) if event.how == "approved" else one))
        case ApprovalDecided(late="", approved=False) | ApprovalUsed():
            _drop(state, ask)
        case ApprovalExpired(again=False):
            _drop(state, ask)
        case ApprovalExpired():
            _keep(state, replace(ask, one=replace(ask.one, at="over")))


def ended(state: MaiState, task: str) -> None:
    """A part has ended: nothing waits for it."""
    if ask := state.approving.asks.get(task):
        _drop(state, ask)


def _keep(state: MaiState, ask: Ask) -> None:
    state.approving.ask(ask)
    state.changed(ASK, ask.task, ask)


def _drop(state: MaiState, ask: Ask) -> None:
    state.approving.unask(ask.task)
    state.changed(ASK, ask.task, None)
