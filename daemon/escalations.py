"""Escalations as Mai keeps them: a row each from the department's word until a person has answered, or nobody waits. Pure.

    Escalate → escalation.raised and request.pending, what waits gets more time (Parked) → one of
    escalation.answered  a person has answered, or refused → Ruled
    escalation.ended     expired (→ Ruled), or withdrawn: its task has ended

What a person says goes to the department over the link, in the transaction of its record: so it is said once, and arrives
once, whoever dies in between. A row stays until its request has ended: who asks later is told how it went.
"""

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from mai.agents.body import Fields, Outcome
from mai.agents.decider import VIA_MAI, Input, Send, sooner_ms
from mai.agents.effects import cut
from mai.agents.escalating import UP
from mai.agents.escalation_messages import Escalate, Parked, Ruled, Withdrawn
from mai.agents.events import Event, MessageRefused, register
from mai.agents.messages import Result
from mai.agents.plain import readable
from mai.daemon import referring
from mai.daemon.desk import MaiState, first, origin
from mai.daemon.parking import NOUN, Row
from mai.daemon.pending import TRIES

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

OWNER: Final = "person"
AFTER_MS: Final = 2000  # that each rank between a person and the client has for the answer
UNAWAITED: Final = "nobody waits for it"


class EscalationRaised(Event, frozen=True, kw_only=True):
    """A person has to answer: what, for whom, and until when."""

    kind: ClassVar[str] = "escalation.raised"
    request: str
    task: str
    agent: str  # who could not do it
    process: str
    id: str
    at_ms: int
    due_ms: int
    body: Escalate
    more: dict[str, int] = msgspec.field(default_factory=dict)  # tasks of Mai's that wait for it -> until when from now on
    held: Result | None = None  # of a task of hers that she gives to a person herself: what she tells without an answer


class RequestPending(Event, frozen=True, kw_only=True):
    """A client's request waits for a person; it is open until then."""

    kind: ClassVar[str] = "request.pending"
    request: str
    id: str  # of the escalation
    owner: str
    due_ms: int
    deadline_ms: int


class EscalationAnswered(Event, frozen=True, kw_only=True):
    """A person has answered, or refused to."""

    kind: ClassVar[str] = "escalation.answered"
    request: str
    task: str
    id: str
    state: Outcome
    text: str = ""
    value: Fields = msgspec.field(default_factory=dict)
    reason: str = ""
    by: str
    uid: int
    role: str
    at_ms: int


class EscalationEnded(Event, frozen=True, kw_only=True):
    """Nobody has answered in time, or nobody waits for it any more."""

    kind: ClassVar[str] = "escalation.ended"
    request: str
    task: str
    id: str
    state: str  # expired, withdrawn
    reason: str
    at_ms: int


class EscalationAnnounced(Event, frozen=True, kw_only=True):
    """The command that tells persons of new escalations has ended, or is given up."""

    kind: ClassVar[str] = "escalation.announced"
    request: str
    task: str
    id: str
    well: bool
    text: str
    tries: int


EVENTS: Final = (EscalationRaised, RequestPending, EscalationAnswered, EscalationEnded, EscalationAnnounced)
register(*EVENTS)


class Pled(Input, frozen=True):
    """A department can do no more."""

    peer: str
    body: Escalate


class TakenBack(Input, frozen=True):
    """Nobody in a department waits for it any more."""

    peer: str
    body: Withdrawn


class Announced(Input, frozen=True):
    """How the announcing of one has ended."""

    id: str
    well: bool
    text: str
    tries: int


class Answering(Input, frozen=True):
    """A person answers an open escalation, or refuses to; who it is the socket says."""

    id: str
    state: Outcome
    text: str
    value: Fields
    reason: str
    user: str
    uid: int
    role: str


# -- decide
def decide(mai: "MaiDecider", given: Pled | TakenBack | Answering | Announced, now_ms: int) -> list[Event | Send]:
    """What follows from it."""
    match given:
        case Pled():
            return _raised(mai, given, now_ms)
        case TakenBack(peer=peer, body=body):
            row = mai.state.parking.rows.get(body.id)
            if row is None or row.state or row.process != peer:
                return []
            return [_ended(row, "withdrawn", body.why, now_ms)]
        case Answering():
            return _answered(mai, given, now_ms)
        case Announced():
            return _announced(mai, given)


def _announced(mai: "MaiDecider", given: Announced) -> list[Event | Send]:
    if (row := mai.state.parking.rows.get(given.id)) is None:
        return []
    announced = EscalationAnnounced(
        request=row.body.request, task=row.body.task, id=given.id, well=given.well, text=given.text, tries=given.tries
    )
    return [announced]


def _raised(mai: "MaiDecider", given: Pled, now_ms: int) -> list[Event | Send]:
    body, peer = given.body, given.peer
    if body.id in mai.state.parking.rows:
        return []  # the same, once more
    if not body.plea.agent.startswith(f"{peer}/") or not body.id.startswith(body.task + UP):
        return [MessageRefused(peer=peer, why="out of place", detail=f"{peer} escalates {body.id[:80]!r}, which is not its own")]
    holding = mai.holding(root(body.id))
    gone = body.request in mai.state.cancellations or body.request not in mai.state.requests
    if gone or holding is None or (holding.process, holding.request) != (peer, body.request):
        return [_ruled(body, peer, "refused", UNAWAITED)]
    if (count := mai.state.parking.count(body.request)) >= mai.mandate.organisation.escalation.per_request:
        return [_ruled(body, peer, "refused", f"persons were asked {count} times for this request, which is the limit")]
    return parked(mai, body, peer, now_ms)


def parked(mai: "MaiDecider", body: Escalate, asking: str, now_ms: int, *, held: Result | None = None) -> list[Event | Send]:
    """On record, and all who wait for it get more time if they have less: department by department, up to the client."""
    patient_ms = now_ms + int(mai.mandate.organisation.escalation.person_s * 1000)
    soon_ms = sooner_ms(now_ms, body.deadline_ms)
    due_ms, extends = max(soon_ms, patient_ms), patient_ms > soon_ms
    told, more, level_ms = list[Send](), dict[str, int](), due_ms
    process, task, ours = "" if asking == mai.address else asking, body.task, root(body.id)
    while ours:
        level_ms += AFTER_MS
        said = Parked(body.id, body.request, task, OWNER, due_ms, level_ms)
        told += [Send(process, f"{body.id}+{len(told)}", 0, said)] if process else []
        more[ours] = level_ms = level_ms + AFTER_MS
        passage = mai.state.passages.get(ours)
        process, task, ours = (passage.asking, ours.rpartition(VIA_MAI)[0], origin(ours)) if passage else ("", "", "")
    request = mai.state.requests[body.request]
    until_ms = max(request.deadline_ms, level_ms) if extends else request.deadline_ms
    raised = EscalationRaised(
        request=body.request, task=body.task, agent=body.plea.agent, process=asking, id=body.id, at_ms=now_ms, due_ms=due_ms,
        body=body, more=more if extends else {}, held=held,
    )  # fmt: skip
    pending = RequestPending(request=body.request, id=body.id, owner=OWNER, due_ms=due_ms, deadline_ms=until_ms)
    return [raised, pending, *(told if extends else ())]


def _answered(mai: "MaiDecider", given: Answering, now_ms: int) -> list[Event | Send]:
    """A person's answer; who brings it has seen to it that it is open and can be sent."""
    row = mai.state.parking.rows.get(given.id)
    if row is None or row.state:
        return []
    body = row.body
    said = EscalationAnswered(
        request=body.request, task=body.task, id=body.id, state=given.state, text=given.text, value=given.value,
        reason=given.reason, by=by(mai, given.user), uid=given.uid, role=given.role, at_ms=now_ms,
    )  # fmt: skip
    if referring.is_mine(mai, row):
        return [said, *referring.answered(mai, row, said, now_ms)]
    return [said, Send(row.process, f"{body.id}=", 0, order(mai, body, given))]


def order(mai: "MaiDecider", body: Escalate, given: Answering) -> Ruled:
    """What goes to the department."""
    return Ruled(body.id, body.request, body.task, given.state, given.text, given.value, given.reason, by(mai, given.user))


def by(mai: "MaiDecider", user: str) -> str:
    """A person's address: what it says is signed with it."""
    return f"{mai.mandate.client}/{OWNER}/{user}"


def _ruled(body: Escalate, process: str, state: Outcome, reason: str) -> Send:
    mai = f"{process.partition('/')[0]}/mai"
    return Send(process, f"{body.id}=", 0, Ruled(body.id, body.request, body.task, state, "", {}, reason, mai))


def _ended(row: "Row", state: str, reason: str, now_ms: int) -> EscalationEnded:
    body = row.body
    return EscalationEnded(request=body.request, task=body.task, id=body.id, state=state, reason=reason, at_ms=now_ms)


def expire(mai: "MaiDecider", now_ms: int, once: set[str]) -> list[Event | Send]:
    """Those whom no person has answered in time.

    `once`: requests of which a task of hers ends in this look; another waits for the next one.
    """
    found: list[Event | Send] = []
    for row in mai.state.parking.late(now_ms):
        reason = readable(f"no person has answered in time (escalation {row.body.id}): {row.body.plea.reason}")
        if not referring.is_mine(mai, row):
            found += [_ended(row, "expired", reason, now_ms), _ruled(row.body, row.process, "expired", reason)]
        elif row.body.request not in once:
            once.add(row.body.request)
            found += [_ended(row, "expired", reason, now_ms), *referring.unanswered(mai, row, now_ms)]
    return found


def root(ident: str) -> str:
    """The task of Mai's from which an escalation derives: `R/1` for `R/1.2.1.e4`."""
    work = ident.rpartition(UP)[0]
    while "." in work and work.rpartition(".")[2].isdecimal():
        work = work.rpartition(".")[0]
    return first(work)


def speakers(state: MaiState, request: str) -> tuple[str, ...]:
    """Who has answered escalations of an open request: an answer may be signed by these persons."""
    return tuple(dict.fromkeys(row.by for row in state.parking.of(request) if row.by))


# -- evolve
def fold(state: MaiState, event: Event) -> bool:
    """Fold one fact; False if it is none of these."""
    match event:
        case EscalationRaised():
            _keep(state, Row(event.process, event.at_ms, event.due_ms, event.body, held=event.held))
            for task, deadline_ms in event.more.items():
                _extend(state, task, deadline_ms)
        case RequestPending(request=request):
            if request in state.requests:
                state.requests[request].deadline_ms = event.deadline_ms
                state.changed("request", request, state.requests[request])
        case EscalationAnnounced():
            if (row := state.parking.rows.get(event.id)) and (event.well or event.tries >= TRIES):
                row.announced = event.text
                _keep(state, row)
        case EscalationAnswered() | EscalationEnded():
            if row := state.parking.rows.get(event.id):
                _over(row, event)
                _keep(state, row)
        case _:
            return False
    return True


def _over(row: Row, event: EscalationAnswered | EscalationEnded) -> None:
    row.state, row.reason, row.ended_ms = event.state, event.reason, event.at_ms
    if isinstance(event, EscalationAnswered):
        row.text, row.value, row.by = event.text, cut(event.value), event.by


def _keep(state: MaiState, row: Row) -> None:
    state.parking.put(row)
    state.changed(NOUN, row.body.id, row)


def _extend(state: MaiState, task: str, deadline_ms: int) -> None:
    """What waits for a person at Mai has more time: a passage, and a turn, whose backups do not get it meanwhile."""
    if passage := state.passages.get(task):
        passage.deadline_ms = max(passage.deadline_ms, deadline_ms)
        state.changed("passage", task, passage)
    if turn := state.turns.get(task):
        turn.deadline_ms = max(turn.deadline_ms, deadline_ms)
        turn.until_ms = max(turn.until_ms, deadline_ms)
        state.changed("turn", task, turn)
