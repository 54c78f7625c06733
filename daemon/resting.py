"""Answers that rest on claims: none goes on while such a claim is open, none at all that has lost. Pure.

    a part's answer, or a reply between departments, rests on an open claim → answer.held, until its case is ruled
    … on a lost one → answer.returned: the task once more to its board, with the ruling; after that a refusal with the reason

An answer rests on what was concluded for its task, for all that was asked of other departments for it, and on the claims
that those name as their grounds. What was answered for a part before the case was opened is looked at again before the
client hears of it.
"""

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import msgspec

from mai.agents.decider import Send, sooner_ms
from mai.agents.events import Event, register
from mai.agents.messages import Result
from mai.agents.plain import readable
from mai.daemon.desk import CORRECTED, Amended, Holding, MaiState, Request, tasks
from mai.daemon.dispute import LOST, OPEN, PERSON, Case, Stand, Withheld
from mai.daemon.dispute_folding import detach
from mai.daemon.dispute_records import Free, Look
from mai.daemon.records import ContractEnded, PartAnswer, PartEnded

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

RESTS: Final = ("answered", "refused")  # also a refusal may say what was concluded
UNDECIDED: Final = "it rests on what is undecided: {} ({}) is in dispute between {} (case {}), and {} decides"
REFUSED: Final = "it rests on a claim that has lost: {}"
RULING: Final = "{} {} = {} has won the case {} ({}; {}){}"
AGAIN: Final = "your reply rests on {}'s claim about {} {}, which has lost: {}; answer by what was ruled, or refuse"


class AnswerHeld(Event, frozen=True, kw_only=True):
    """An answer rests on claims of open cases, and waits for them; without `body` its part had ended."""

    kind: ClassVar[str] = "answer.held"
    request: str
    task: str
    cases: tuple[str, ...]
    body: Result | None = None


class AnswerReturned(Event, frozen=True, kw_only=True):
    """An answer does not go on, for what it rests on. With `again` its board has the task once more; else it has no other."""

    kind: ClassVar[str] = "answer.returned"
    request: str
    task: str
    process: str
    claims: tuple[str, ...]
    cases: tuple[str, ...]
    why: str
    again: str = ""


register(AnswerHeld, AnswerReturned)


class Gate(NamedTuple):
    """What follows for an answer: these; and this goes on, if anything does."""

    found: list[Event | Send]
    body: Result | None


class Waits(NamedTuple):
    """What follows for all answers of a request, and whether they are not to be told as they are."""

    found: list[Event | Send]
    instead: bool


def gate(mai: "MaiDecider", body: Result, holding: Holding | None, now_ms: int) -> Gate:
    """May an answer to a task of Mai's (by its first id) go on?"""
    if body.state not in RESTS or body.by == mai.address or holding is None:
        return Gate([], body)
    lost, open_ = _unsound(mai.state, body.task)
    if lost:
        return _returned(mai, body, holding, lost, now_ms)
    if not open_:
        return Gate([], body)
    held, cases = mai.state.conflicts.withheld.get(body.task), tuple(dict.fromkeys(one.case for one in open_))
    if held is not None and set(cases) <= set(held.cases):
        return Gate([], None)  # it waits for another case yet
    return Gate([AnswerHeld(request=body.request, task=body.task, cases=cases, body=body)], None)


def _unsound(state: MaiState, task: str) -> tuple[list[Stand], list[Stand]]:
    """What an answer rests on and must not: claims that have lost, and open ones."""
    found = state.conflicts.rested(task)
    return [one for one in found if one.state == LOST], [one for one in found if one.state == OPEN]


def _returned(mai: "MaiDecider", body: Result, holding: Holding, lost: list[Stand], now_ms: int) -> Gate:
    again = None if body.changed else _again(mai, body.task, holding, lost, now_ms)
    record = _record(mai, body.request, body.task, holding.process, lost, again=again)
    if again:
        return Gate([record, again], None)
    reason = readable(f"{REFUSED.format(_short(mai, body.task, lost[0]))}{'; what was done for it stands' * body.changed}")
    refused = msgspec.structs.replace(body, state="refused", text="", value={}, reason=reason, sources=(), by=mai.address)
    return Gate([record], refused)


def _record(
    mai: "MaiDecider", request: str, task: str, process: str, claims: list[Stand], *, again: Send | None = None, why: str = ""
) -> AnswerReturned:
    cases = tuple(dict.fromkeys(one.case for one in claims if one.case))
    return AnswerReturned(
        request=request, task=task, process=process, claims=tuple(one.id for one in claims), cases=cases,
        why=readable(why or _ruling(mai, claims[0])), again=again.id if again else "",
    )  # fmt: skip


def _again(mai: "MaiDecider", task: str, holding: Holding, lost: list[Stand], now_ms: int) -> Send | None:
    """The task for the same board, with the ruling; None if it is not to have it once more."""
    from mai.daemon import returning  # which asks us

    request = mai.state.requests.get(task.partition("/")[0])
    asked = returning.asked(mai, task)
    if request is None or asked is None or request.request in mai.state.cancellations or holding.deadline_ms <= now_ms:
        return None
    if task in request.again or task in mai.state.turns or task in mai.state.amended:
        return None
    one = lost[0]
    said = AGAIN.format(one.department, one.subject, one.attribute, _ruling(mai, one))
    ident = f"{task}{CORRECTED}1"
    return Send(
        holding.process, ident, sooner_ms(now_ms, holding.deadline_ms),
        msgspec.structs.replace(asked, task=ident, correction=readable(said)),
    )  # fmt: skip


def _ruling(mai: "MaiDecider", lost: Stand) -> str:
    """What was ruled, as far as it may leave who has won."""
    case = mai.state.conflicts.cases.get(lost.case)
    if case is None or case.ruling is None:
        return "it does not stand"
    won = next((one for one in mai.state.conflicts.of(case) if one.digest == case.ruling.digest and one.shown), None)
    value = msgspec.json.encode(won.value).decode()[:200] if won else "another value"
    return RULING.format(lost.subject, lost.attribute, value, case.id, case.ruling.clause, case.ruling.why, "")


def _short(mai: "MaiDecider", task: str, lost: Stand) -> str:
    """The same for who has asked: another department hears which case it was, and no more."""
    return f"case {lost.case}" if task in mai.state.passages else _ruling(mai, lost)


# -- the whole of a request
def waits(mai: "MaiDecider", request: Request, answers: dict[str, PartAnswer], now_ms: int) -> Waits:
    """What has to happen before these answers of all parts may be told to the client, or instead of it."""
    mine = mai.address
    found: list[Event | Send] = []
    sound, waiting = dict(answers), False
    for task, part in zip(tasks(request.request, request.parts), request.parts, strict=True):
        answer = answers[task]
        lost, open_ = _unsound(mai.state, task) if answer.state in RESTS and answer.by != mine else ([], [])
        process = f"{mine.partition('/')[0]}/{part.department}"
        if open_ and not lost and request.deadline_ms <= now_ms:
            why = undecided(mai, open_[0])
            found.append(_record(mai, request.request, task, process, open_, why=why))
            sound[task] = _instead(part.department, part.text, "expired", why, mine)
        elif lost:
            holding = Holding(process, request.request, request.deadline_ms)
            again = _again(mai, task, holding, lost, now_ms)
            found += [_record(mai, request.request, task, process, lost, again=again), *([again] if again else [])]
            waiting = waiting or again is not None
            if not again:
                sound[task] = _instead(part.department, part.text, "refused", REFUSED.format(_ruling(mai, lost[0])), mine)
                found.append(PartEnded(request=request.request, task=task, answer=sound[task]))
        elif open_:
            waiting = True
            if task not in mai.state.conflicts.withheld:
                cases = tuple(dict.fromkeys(one.case for one in open_))
                found.append(AnswerHeld(request=request.request, task=task, cases=cases))
    if waiting or not found:
        return Waits(found, waiting)
    parts = tuple(sound[task] for task in tasks(request.request, request.parts))
    return Waits([*found, mai.whole(request, parts, now_ms)], True)


def _instead(department: str, text: str, state: str, why: str, mine: str) -> PartAnswer:
    return PartAnswer(department, text, state, "", {}, readable(why), mine, ())


def undecided(mai: "MaiDecider", one: Stand) -> str:
    """What the client hears of an answer whose claims nobody has decided about in time."""
    case = mai.state.conflicts.cases[one.case]
    names = " and ".join(dict.fromkeys(stand.department for stand in mai.state.conflicts.of(case)))
    return UNDECIDED.format(case.subject, case.attribute, names, case.id, whose(case))


def whose(case: Case) -> str:
    """Who decides a case now, in words."""
    return "a person" if case.owner == PERSON else "their boards"


def late(mai: "MaiDecider", task: str) -> str:
    """Why an answer did not go on in time, if it waited for a case; "" if it did not."""
    held = mai.state.conflicts.withheld.get(task)
    if held is None:
        return ""
    open_ = _unsound(mai.state, task)[1]
    if task in mai.state.passages:
        return f"its answer waits for the case {held.cases[0]}"
    return undecided(mai, open_[0]) if open_ else ""


# -- once a case is settled
def freed(mai: "MaiDecider", given: Free | Look, now_ms: int) -> list[Event | Send]:
    """An answer that waited, or the answers of a request, are looked at again."""
    from mai.daemon import returning, wording

    if isinstance(given, Free):
        held = mai.state.conflicts.withheld.get(given.task)
        return returning.ends(mai, held.body, now_ms) if held and held.body else []
    request = mai.state.requests.get(given.request)
    if request is None or not request.parts or wording.errand_of(request.request) in mai.state.errands:
        return []  # with the model's words it is looked at
    if len(request.answers) == len(request.parts):
        return mai.whole_of(request, request.answers, now_ms)
    found: list[Event | Send] = []
    for task, answer in request.answers.items():
        part = mai.part(request, task)
        lost = _unsound(mai.state, task)[0] if answer.state in RESTS and answer.by != mai.address else []
        holding = Holding(f"{mai.mandate.client}/{part.department}", request.request, request.deadline_ms) if part else None
        if lost and holding and (again := _again(mai, task, holding, lost, now_ms)):
            found += [_record(mai, request.request, task, holding.process, lost, again=again), again]
    return found


# -- evolve
def fold(state: MaiState, event: AnswerHeld | AnswerReturned) -> None:
    """Fold one fact."""
    request = state.requests.get(event.request)
    if isinstance(event, AnswerHeld):
        state.conflicts.withheld[event.task] = held = Withheld(event.task, event.request, event.cases, event.body)
        state.changed("withheld", event.task, held)
        if request and event.body is None:
            request.plain = True  # its parts were ready once, and a model has words for them once
            state.changed("request", request.request, request)
        return
    end(state, event.task)
    if request is not None:
        if request.answers.pop(event.task, None) is not None:
            request.plain = True
        state.changed("request", request.request, request)
    if event.again:
        once_more(state, event.task, event.again)


def passed(state: MaiState, event: ContractEnded) -> None:
    """A task between departments has ended: if there was no reply, who asked has got nothing that was concluded for it."""
    if event.state not in RESTS:
        detach(state, event.task)


def once_more(state: MaiState, task: str, again: str) -> None:
    """A department has a task once more, under another id."""
    state.amended[task] = amended = Amended(task, again)
    state.changed("amended", task, amended)
    detach(state, task)
    if (request := state.requests.get(task.rpartition("/")[0])) and task not in request.again:
        request.again = (*request.again, task)
        state.changed("request", request.request, request)


def end(state: MaiState, task: str) -> None:
    """An answer waits no longer."""
    if state.conflicts.withheld.pop(task, None):
        state.changed("withheld", task, None)
