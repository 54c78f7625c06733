"""What Mai's facts about claims do to her state. Pure."""

import msgspec

from mai.agents.decider import Input
from mai.agents.events import Event
from mai.daemon.desk import MaiState
from mai.daemon.dispute import (
    EXPIRED,
    LOST,
    MOST_CASES,
    MOST_CLAIMS,
    MOST_LINES,
    NOBODY,
    OPEN,
    RULED,
    STANDING,
    WON,
    Ballot,
    Case,
    Line,
    Stand,
    Withheld,
)
from mai.daemon.dispute_records import (
    Ask,
    CaseAppealed,
    CaseAsked,
    CaseExpired,
    CaseOpened,
    CaseReopened,
    CaseRuled,
    CaseVoted,
    ClaimNoted,
    Counted,
    Free,
    Look,
    Ordered,
)


def fold(state: MaiState, event: Event, seq: int) -> list[Input]:
    """Fold one fact; returns what has to be decided because of it."""
    if isinstance(event, ClaimNoted):
        _noted(state, event, seq)
        return []
    if isinstance(event, CaseOpened):
        case = state.conflicts.cases.get(event.request) or Case(
            event.request, event.subject, event.attribute, event.at_ms, seq=seq
        )
        return _opened(state, case, event.claims, Line(event.at_ms, "opened", event.of))
    case = state.conflicts.cases[event.request]  # type: ignore[attr-defined]  # all of a case have it
    return _of_case(state, case, event)


def _of_case(state: MaiState, case: Case, event: Event) -> list[Input]:
    following: list[Input] = []
    match event:
        case CaseReopened():
            case.ruling, case.appealed = None, False
            following = _opened(state, case, (*case.claims, event.claim), Line(event.at_ms, "reopened", event.of))
        case CaseAsked():
            _asked(case, event)
        case CaseVoted():
            following = _voted(case, event)
        case CaseRuled():
            following = _ruled(state, case, event)
        case CaseAppealed():
            case.appealed = True
            _again(state, case)
            _line(case, Line(event.at_ms, "appealed", event.by, event.why))
            following = [Ask(case.id)]
        case CaseExpired():
            following = _expired(state, case, event)
    _kept(state, case)
    return following


# -- claims
def _noted(state: MaiState, event: ClaimNoted, seq: int) -> None:
    conflicts = state.conflicts
    for ident in event.replaces:
        if ident in conflicts.claims:
            conflicts.drop(ident)
            state.changed("claim", ident, None)
    stand = msgspec.structs.replace(event.claim, seq=seq)
    conflicts.put(stand)
    state.changed("claim", stand.id, stand)
    if (case := conflicts.cases.get(stand.case)) and stand.id not in case.claims:
        case.claims = (*case.claims, stand.id)
        _kept(state, case)
    if len(conflicts.claims) > MOST_CLAIMS:
        _make_room(state)


def _make_room(state: MaiState) -> None:
    conflicts = state.conflicts
    for stand in conflicts.claims.values():
        case = conflicts.cases.get(stand.case)
        if not stand.under and (case is None or case.state == EXPIRED):
            conflicts.drop(stand.id)
            state.changed("claim", stand.id, None)
            return


def _set(state: MaiState, stand: Stand, how: str, case: str) -> None:
    stand.state, stand.case = how, case
    state.changed("claim", stand.id, stand)


# -- cases
def _opened(state: MaiState, case: Case, claims: tuple[str, ...], line: Line) -> list[Input]:
    conflicts = state.conflicts
    if case.id not in conflicts.cases or case.state != OPEN:
        conflicts.open += 1
    conflicts.cases[case.id] = case
    if case.state == EXPIRED:  # of the former dispute only the history is left
        case.claims, case.ruling, case.appealed = (), None, False
    case.claims = tuple(dict.fromkeys((*case.claims, *claims)))
    _again(state, case, counted=True)
    _line(case, line)
    _kept(state, case)
    if len(conflicts.cases) > MOST_CASES:
        oldest = next((one for one in conflicts.cases.values() if one.state == EXPIRED), None)
        if oldest is not None:
            del conflicts.cases[oldest.id]
            state.changed("conflict", oldest.id, None)
    return [Ask(case.id)]


def _again(state: MaiState, case: Case, *, counted: bool = False) -> None:
    """It is open, once more: nobody has said anything to it yet."""
    if not counted and case.state != OPEN:
        state.conflicts.open += 1
    case.state, case.owner, case.deadline_ms, case.tasks, case.votes = OPEN, NOBODY, 0, {}, {}
    for stand in state.conflicts.of(case):
        _set(state, stand, OPEN, case.id)


def _asked(case: Case, event: CaseAsked) -> None:
    if case.state == OPEN:
        case.owner, case.deadline_ms = event.owner, event.deadline_ms
    case.asked += len(event.tasks)
    if event.tasks:
        case.until_ms = event.deadline_ms
        case.tasks, case.votes = dict(event.tasks), {} if case.state == OPEN else case.votes
    who = ", ".join(dict.fromkeys(event.tasks.values())) or event.owner
    _line(case, Line(event.at_ms, "asked", who, event.why))


def _voted(case: Case, event: CaseVoted) -> list[Input]:
    said = f"{event.department}: {event.claim or 'undecided'}"
    _line(case, Line(event.at_ms, "voted late" if event.late else "voted", said, event.why))
    if event.late:
        return []
    if case.state == RULED:
        if case.ruling and event.claim in case.ruling.losers and not case.appealed:
            return [Ordered(case.id, "", event.why, event.by)]
        return []
    case.votes[event.department] = Ballot(event.claim, event.state, event.why, event.by)
    return [Counted(case.id)] if set(case.votes) >= set(case.tasks.values()) else []


def _ruled(state: MaiState, case: Case, event: CaseRuled) -> list[Input]:
    state.conflicts.open -= case.state == OPEN
    ruling = event.ruling
    case.state, case.owner, case.deadline_ms, case.ruling, case.tasks = RULED, NOBODY, 0, ruling, {}
    for stand in state.conflicts.of(case):
        _set(state, stand, WON if stand.digest == ruling.digest else LOST, case.id)
    _line(case, Line(ruling.at_ms, f"ruled for {ruling.winner}", ruling.by, f"{ruling.clause}; {ruling.why}"))
    return _freed(state, case)


def _expired(state: MaiState, case: Case, event: CaseExpired) -> list[Input]:
    """What nobody had ruled: who is still valid stands by himself, who is not has lost what rests on him."""
    was_open = case.state == OPEN
    state.conflicts.open -= was_open
    case.state, case.owner, case.deadline_ms, case.tasks = EXPIRED, NOBODY, 0, {}
    for stand in state.conflicts.of(case) if was_open else ():
        _set(state, stand, STANDING if stand.until_ms > event.at_ms else LOST, case.id)
    _line(case, Line(event.at_ms, "expired", "", event.why))
    return _freed(state, case) if was_open else []


def _freed(state: MaiState, case: Case) -> list[Input]:
    """What waited for a case, and the requests whose parts rest on it."""
    conflicts = state.conflicts
    waiting = [task for task, one in conflicts.withheld.items() if case.id in one.cases and one.body]
    requests = sorted({task.partition("/")[0] for task in conflicts.tasks(case)})
    return [*(Free(task) for task in waiting), *(Look(request) for request in requests if request in state.requests)]


def _line(case: Case, line: Line) -> None:
    case.history = (*case.history, line)[-MOST_LINES:]
    case.lines += 1


def _kept(state: MaiState, case: Case) -> None:
    state.changed("conflict", case.id, case)
    state.conflicts.plan(case)


# -- what rests on claims
def detach(state: MaiState, task: str) -> None:
    """Somebody begins a task of Mai's anew: no answer to it rests on what was claimed for it before."""
    for stand in state.conflicts.leave(task):
        state.changed("claim", stand.id, stand)


def over(state: MaiState, task: str) -> None:
    """A part of a request is over, and told: nothing waits for what was claimed for it."""
    for stand in state.conflicts.forget(task):
        state.changed("claim", stand.id, stand)


def load(state: MaiState, claims: dict[str, bytes], cases: dict[str, bytes], withheld: dict[str, bytes]) -> None:
    """From the rows of her state."""
    for stand in sorted((msgspec.json.decode(data, type=Stand) for data in claims.values()), key=lambda one: one.seq):
        state.conflicts.put(stand)
    for case in sorted((msgspec.json.decode(data, type=Case) for data in cases.values()), key=lambda one: one.seq):
        state.conflicts.cases[case.id] = case
        state.conflicts.open += case.state == OPEN
        state.conflicts.plan(case)
    for key, data in withheld.items():
        state.conflicts.withheld[key] = msgspec.json.decode(data, type=Withheld)
