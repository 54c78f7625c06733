"""Claims that contradict each other, as Mai decides about them: who is asked, what they have said, what is ruled. Pure.

The boards of the departments that claim are asked first, each with the others' claims as far as those may leave. Then the
organisation's precedence decides (agents/precedence.py), and where that does not, a person: a board that is undecided, late
or not to be had is on record as such, and never keeps a case. What was ruled is told to the departments; a board with code
that has lost is asked whether it accepts that. What waits for a case is resting.py's.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from mai.agents.claim_messages import CaseTold, Side, Weigh
from mai.agents.conflict_scope import Precedence, clause_for
from mai.agents.decider import Send
from mai.agents.events import Event, MessageRefused
from mai.agents.plain import readable
from mai.agents.precedence import choose, clause
from mai.daemon import policing, resting
from mai.daemon.desk import Holding, above, root_of
from mai.daemon.dispute import (
    BOARDS,
    LOST,
    MOST_OPEN,
    NOBODY,
    OPEN,
    PERSON,
    RULED,
    STANDING,
    WON,
    Case,
    Stand,
    Verdict,
    case_id,
    sides,
)
from mai.daemon.dispute_records import (
    Ask,
    Asserted,
    CaseAppealed,
    CaseAsked,
    CaseExpired,
    CaseOpened,
    CaseReopened,
    CaseRuled,
    CaseVoted,
    ClaimNoted,
    Counted,
    Disputed,
    Free,
    Look,
    Ordered,
    Voted,
)

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

SHARE: Final = 2 / 3  # of what is left of a request's time the boards may take
WHY: Final = 500  # characters
CONFIRMED: Final = "nobody has decided the appeal in time: what was ruled stands"


def decide(mai: "MaiDecider", given: Disputed | Free | Look, now_ms: int) -> list[Event | Send]:
    """What follows from a claim, a vote, a person's word, a case that is open, and one that no longer is."""
    cases, found = mai.state.conflicts.cases, list[Event | Send]()
    match given:
        case Asserted():
            found = _asserted(mai, given, now_ms)
        case Voted():
            found = _voted(mai, given, now_ms)
        case Ask(case=ident) if cases[ident].state == OPEN:
            found = _ask(mai, cases[ident], now_ms)
        case Counted(case=ident) if cases[ident].state == OPEN:
            found = _settle(mai, cases[ident], now_ms)
        case Ordered(case=ident) if ident in cases:
            found = _ordered(mai, cases[ident], given, now_ms)
        case Free() | Look():
            found = resting.freed(mai, given, now_ms)
    return found


def expire(mai: "MaiDecider", now_ms: int) -> list[Event | Send]:
    """Cases whose time is over: the boards', a person's, or their own."""
    found: list[Event | Send] = []
    for case in mai.state.conflicts.due(now_ms):
        if mai.state.conflicts.validity_ms(case) <= now_ms:
            why = "the ruling was valid until now" if case.state == RULED else "no two sides of it are valid any longer"
            found += [CaseExpired(request=case.id, at_ms=now_ms, why=why), *_told_open(mai, case)]
        elif case.owner == BOARDS:
            found += _settle(mai, case, now_ms)
        elif case.appealed and case.ruling:
            found += _rule(mai, case, case.ruling.digest, now_ms, by=mai.address, why=CONFIRMED)
        else:
            found.append(_person(mai, case, now_ms, "nobody has ruled in time, and is asked again"))
    return found


# -- claims
def _asserted(mai: "MaiDecider", given: Asserted, now_ms: int) -> list[Event | Send]:
    """A department tells of a claim: how it stands, and whom it contradicts."""
    body, peer, conflicts = given.body, given.peer, mai.state.conflicts
    rank = mai.table.rank(peer.partition("/")[2], body.agent.rpartition("/")[2])
    if not body.agent.startswith(f"{peer}/") or not rank or body.id in conflicts.claims:
        return [MessageRefused(peer=peer, why="out of place", detail=f"{peer} tells of a claim of {body.agent[:80]!r}")]
    judged, why = policing.claim(mai, body)
    if why:
        return [*judged, MessageRefused(peer=peer, why="not allowed", detail=readable(f"the claim {body.id}: {why}", WHY))]
    return [*judged, *_taken(mai, given, rank, now_ms)]


def _taken(mai: "MaiDecider", given: Asserted, rank: str, now_ms: int) -> list[Event | Send]:
    """A claim that may be made."""
    body, peer, conflicts = given.body, given.peer, mai.state.conflicts
    stand = Stand(
        body.id, peer, body.agent, rank, body.request, body.subject, body.attribute, body.digest, body.confidence, body.from_ms,
        body.until_ms, body.at_ms, shown=body.shown, value=body.value if body.shown else None, why=body.why, grounds=body.grounds,
        rests=body.rests, under=_under(mai, peer, body.task),
    )  # fmt: skip
    case = conflicts.cases.get(case_id(body.subject, body.attribute))
    if stand.until_ms <= now_ms:
        return [_noted(body.task, stand)]
    if case is not None and case.state == RULED and case.ruling and case.ruling.until_ms > now_ms:
        return _after_ruling(mai, case, stand, body.task, now_ms)
    if case is not None and case.state == OPEN:
        return _joins(mai, case, stand, body.task, now_ms)
    return _first(mai, stand, body.task, now_ms)


def _noted(
    task: str, stand: Stand, how: str = STANDING, case: str = "", *, replaces: tuple[str, ...] = (), why: str = ""
) -> ClaimNoted:
    kept = msgspec.structs.replace(stand, state=how, case=case)
    return ClaimNoted(request=stand.request, task=task, agent=stand.agent, claim=kept, replaces=replaces, why=why)


def _under(mai: "MaiDecider", peer: str, task: str) -> tuple[str, ...]:
    """The tasks of Mai's whose answers rest on what is claimed for this one; none if it is not open with who claims."""
    holding = mai.holding(root_of(task))
    return above(task) if holding is not None and holding.process == peer else ()


def _first(mai: "MaiDecider", stand: Stand, task: str, now_ms: int) -> list[Event | Send]:
    """There is no case about this: does it contradict what stands?"""
    others = [
        one for one in mai.state.conflicts.about(stand.subject, stand.attribute)
        if one.state == STANDING and one.until_ms > now_ms and one.from_ms < stand.until_ms and stand.from_ms < one.until_ms
    ]  # fmt: skip
    replaced = tuple(one.id for one in others if _replaces(stand, one))
    against = [one for one in others if one.id not in replaced and one.digest != stand.digest]
    if not against:
        return [_noted(task, stand, replaces=replaced)]
    if mai.state.conflicts.open >= MOST_OPEN:
        return [_noted(task, stand, LOST, why=f"{MOST_OPEN} cases are open, which is the limit")]
    ident = case_id(stand.subject, stand.attribute)
    along = [one.id for one in others if one.id not in replaced]
    opened = CaseOpened(
        request=ident, subject=stand.subject, attribute=stand.attribute, claims=(*along, stand.id), of=stand.request, at_ms=now_ms
    )
    return [_noted(task, stand, OPEN, ident, replaces=replaced), opened]


def _replaces(new: Stand, old: Stand) -> bool:
    """Has an agent changed its mind, or done the same task once more? Where an answer waits that rests on it, it may not."""
    return new.agent == old.agent and not old.under


def _joins(mai: "MaiDecider", case: Case, stand: Stand, task: str, now_ms: int) -> list[Event | Send]:
    """One more claim of an open case: who is asked is asked anew if it is of another side, or another department."""
    ours = mai.state.conflicts.of(case)
    noted = _noted(task, stand, OPEN, case.id)
    if any(one.digest == stand.digest for one in ours) and any(one.process == stand.process for one in ours):
        return [noted]
    if case.owner == PERSON:
        return [noted]  # who reads it sees the new side
    return [noted, CaseReopened(request=case.id, claim=stand.id, of=stand.request, at_ms=now_ms)]


def _after_ruling(mai: "MaiDecider", case: Case, stand: Stand, task: str, now_ms: int) -> list[Event | Send]:
    """It repeats what has won, or is what has lost; or it contradicts the ruling, and the case is open again."""
    ruling = case.ruling
    assert ruling is not None, "a case without a ruling is not ruled"
    if stand.digest == ruling.digest:
        return [_noted(task, stand, WON, case.id)]
    if stand.digest in ruling.lost:
        ours = mai.state.conflicts.of(case)
        told = [] if any(one.process == stand.process for one in ours) else _told(mai, case, ruling, [stand], stand.id)
        return [_noted(task, stand, LOST, case.id), *told]
    reopened = CaseReopened(request=case.id, claim=stand.id, of=stand.request, at_ms=now_ms)
    return [_noted(task, stand, OPEN, case.id), reopened, *_told_open(mai, case)]


# -- asking
def _ask(mai: "MaiDecider", case: Case, now_ms: int) -> list[Event | Send]:
    """Both boards, or the one; an appeal is a person's."""
    if case.appealed:
        return [_person(mai, case, now_ms, "a ruling was appealed against")]
    departments = list(dict.fromkeys(one.department for one in mai.state.conflicts.of(case)))
    deadline_ms = _until_ms(mai, case, now_ms)
    tasks = {f"{case.id}/{case.asked + n}": name for n, name in enumerate(departments, 1)}
    asked = CaseAsked(request=case.id, owner=BOARDS, tasks=tasks, deadline_ms=deadline_ms, at_ms=now_ms)
    found: list[Event | Send] = [asked]
    for task, name in tasks.items():
        process = f"{mai.mandate.client}/{name}"
        if why := mai.closed(process):
            found.append(_absent(case, task, name, why, now_ms))
        else:
            found.append(Send(process, task, deadline_ms, _weigh(mai, case, task, name, deadline_ms)))
    return found


def _absent(case: Case, task: str, name: str, why: str, now_ms: int) -> CaseVoted:
    return CaseVoted(
        request=case.id, task=task, department=name, claim="", state="refused", why=readable(why, WHY), by="", at_ms=now_ms
    )


def holding(mai: "MaiDecider", task: str) -> Holding | None:
    """Who is asked about a case by this question, and is waited for."""
    case = mai.state.conflicts.cases.get(task.rpartition("/")[0])
    name = case.tasks.get(task) if case else None
    return Holding(f"{mai.mandate.client}/{name}", case.id, case.until_ms) if case and name else None


def _until_ms(mai: "MaiDecider", case: Case, now_ms: int) -> int:
    """How long the boards have: less if a request waits for them whose time is short."""
    waiting = {task.partition("/")[0] for task in mai.state.conflicts.tasks(case)}
    ends = [request.deadline_ms for name in waiting if (request := mai.state.requests.get(name))]
    settle_ms = int(mai.mandate.organisation.conflicts.settle_s * 1000)
    return now_ms + max(1, min([settle_ms, *(int((end - now_ms) * SHARE) for end in ends if end > now_ms)]))


def _weigh(mai: "MaiDecider", case: Case, task: str, name: str, deadline_ms: int) -> Weigh:
    seen = tuple(_seen(mai, side, name) for side in sides(mai.state.conflicts, case))
    return Weigh(task, case.id, deadline_ms, case.subject, case.attribute, seen)


def _seen(mai: "MaiDecider", side: Side, name: str) -> Side:
    """A claim as another department's board may see it."""
    if side.department == name or mai.scopes.shows(side.department) == "result":
        return side
    return msgspec.structs.replace(side, agent="", why="", grounds=())


def _person(mai: "MaiDecider", case: Case, now_ms: int, why: str) -> CaseAsked:
    until_ms = now_ms + int(mai.mandate.organisation.conflicts.person_s * 1000)
    return CaseAsked(request=case.id, owner=PERSON, deadline_ms=until_ms, at_ms=now_ms, why=readable(why, WHY))


def _voted(mai: "MaiDecider", given: Voted, now_ms: int) -> list[Event | Send]:
    body, name = given.body, given.peer.partition("/")[2]
    case = mai.state.conflicts.cases.get(body.request)
    board = mai.mandate.organisation.department(name)
    if case is None or not body.task.startswith(f"{case.id}/") or board is None or body.by != f"{given.peer}/{board.board.name}":
        return [MessageRefused(peer=given.peer, why="out of place", detail=f"{given.peer} votes in {body.request[:80]!r}")]
    known = not body.claim or body.claim in case.claims
    why = body.why if known else f"it votes for {body.claim[:80]!r}, which is no claim of the case"
    waited = case.tasks.get(body.task) == name and (case.state == RULED or (case.owner == BOARDS and name not in case.votes))
    return [
        CaseVoted(
            request=case.id, task=body.task, department=name, claim=body.claim if known else "", state=body.state,
            why=readable(why, WHY), by=body.by, at_ms=now_ms, late=not waited,
        )
    ]  # fmt: skip


# -- ruling
def clause_of(mai: "MaiDecider", case: Case) -> Precedence:
    """The clause of the organisation's that a case falls under."""
    organisation = mai.mandate.organisation
    names = {one.department for one in mai.state.conflicts.of(case)}
    own = organisation.department(next(iter(names))) if len(names) == 1 else None
    return clause_for(case.attribute, own.precedence if own else (), organisation.conflicts.precedence)


def _settle(mai: "MaiDecider", case: Case, now_ms: int) -> list[Event | Send]:
    """The boards have voted, or their time is over."""
    conflicts, found = mai.state.conflicts, clause_of(mai, case)
    known = sides(conflicts, case)
    number = {side.claim: side.side for side in known}
    votes = {name: number.get(vote.claim, 0) for name, vote in case.votes.items()}
    side, criterion = choose(found.by, known, votes, len(set(case.tasks.values())))
    said = _said(case)
    if not side:
        return [_person(mai, case, now_ms, f"{found.name} leaves it open; {said}")]
    digest = conflicts.digests(case)[side - 1]
    by = mai.address
    return _rule(mai, case, digest, now_ms, by=by, why=said, under=clause(found.name, criterion))


def _said(case: Case) -> str:
    """How the boards have voted, in words."""
    silent = [name for name in dict.fromkeys(case.tasks.values()) if name not in case.votes]
    voted = [f"{name} for {one.claim}" if one.claim else f"{name} undecided ({one.why})" for name, one in case.votes.items()]
    return readable("; ".join([*voted, *(f"{name} did not answer in time" for name in silent)]), WHY)


def _rule(
    mai: "MaiDecider", case: Case, digest: str, now_ms: int, *,
    by: str, why: str, under: str = "a person", claim: str = "", uid: int = -1, role: str = "",
) -> list[Event | Send]:  # fmt: skip
    """The ruling, and its way to the departments."""
    ours = mai.state.conflicts.of(case)
    won = [one for one in ours if one.digest == digest]
    lost = [one for one in ours if one.digest != digest]
    until_ms = max(one.until_ms for one in won)
    if not claim and case.ruling and case.ruling.digest == digest:
        under, claim = case.ruling.clause, case.ruling.winner
    ruling = Verdict(
        claim or won[0].id, tuple(one.id for one in lost), digest, tuple(dict.fromkeys(one.digest for one in lost)), under,
        readable(why, WHY), by, until_ms, now_ms,
    )  # fmt: skip
    ruled = CaseRuled(request=case.id, ruling=ruling, votes=dict(case.votes), uid=uid, role=role)
    return [ruled, *_told(mai, case, ruling, ours), *_accept(mai, case, ruling, lost, now_ms)]


def _told(mai: "MaiDecider", case: Case, ruling: Verdict, to: list[Stand], mark: str = "") -> list[Send]:
    """The departments hear of a ruling; the value that has won as far as it may leave who claims it."""
    won = next((one for one in mai.state.conflicts.of(case) if one.digest == ruling.digest and one.shown), None)
    body = CaseTold(
        "", case.id, case.subject, case.attribute, False, ruling.winner, ruling.losers, ruling.digest, ruling.lost,
        won is not None, won.value if won else None, ruling.clause, ruling.why, ruling.by, ruling.until_ms,
    )  # fmt: skip
    return _each(case, body, to, mark)


def _told_open(mai: "MaiDecider", case: Case) -> list[Send]:
    """The departments hear that a ruling is no longer in force."""
    if case.ruling is None:
        return []
    body = CaseTold("", case.id, case.subject, case.attribute, open=True)
    return _each(case, body, mai.state.conflicts.of(case))


def _each(case: Case, body: CaseTold, to: list[Stand], mark: str = "") -> list[Send]:
    """A message for each department; `mark`: what its id derives from, if no line of the case's history follows."""
    found = []
    for process in dict.fromkeys(one.process for one in to):
        ident = f"{case.id}!{mark or case.lines}/{process.partition('/')[2]}"
        found.append(Send(process, ident, 0, msgspec.structs.replace(body, id=ident)))
    return found


def _accept(mai: "MaiDecider", case: Case, ruling: Verdict, lost: list[Stand], now_ms: int) -> list[Event | Send]:
    """Boards with code that have lost are asked whether they accept that: once, for an appeal is once."""
    if case.appealed:
        return []
    departments = [mai.mandate.organisation.department(name) for name in dict.fromkeys(one.department for one in lost)]
    coded = [one.name for one in departments if one and one.board.kind and not mai.closed(f"{mai.mandate.client}/{one.name}")]
    if not coded:
        return []
    until_ms = now_ms + int(mai.mandate.organisation.conflicts.settle_s * 1000)
    tasks = {f"{case.id}/{case.asked + n}": name for n, name in enumerate(coded, 1)}
    said = readable(f"{ruling.winner} has won, {ruling.clause}; {ruling.why}", WHY)
    asked = CaseAsked(request=case.id, owner=NOBODY, tasks=tasks, deadline_ms=until_ms, at_ms=now_ms, why="do they accept that?")
    weighs = [
        msgspec.structs.replace(_weigh(mai, case, task, name, until_ms), ruling=said, winner=ruling.winner)
        for task, name in tasks.items()
    ]
    return [
        asked,
        *(Send(f"{mai.mandate.client}/{name}", one.task, until_ms, one) for one, name in zip(weighs, coded, strict=True)),
    ]


# -- a person
def _ordered(mai: "MaiDecider", case: Case, given: Ordered, now_ms: int) -> list[Event | Send]:
    """A person rules, or appeals; a board appeals. Who asks at the door has seen to it that it may be done."""
    if given.claim:
        stand = mai.state.conflicts.claims.get(given.claim)
        if case.state != OPEN or stand is None or given.claim not in case.claims:
            return []
        return _rule(
            mai, case, stand.digest, now_ms, by=given.by, why=given.why, claim=given.claim, uid=given.uid, role=given.role
        )
    if case.state != RULED or case.appealed:
        return []
    appealed = CaseAppealed(request=case.id, by=given.by, uid=given.uid, role=given.role, why=given.why, at_ms=now_ms)
    return [appealed, *_told_open(mai, case)]
