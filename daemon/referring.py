"""What Mai herself gives to a person, and no department: nobody is left who could do it, or nobody has in time. Pure.

    a contract and all its backups have had it      → fallback
    a department's budget for the day is spent      → budget
    a department was late, and who asked has time   → deadline
    it is not clear which department is meant       → doubt

The result that she would have told is kept with the question (`escalation.raised`, `held`). A person's answer takes its place,
and goes on as a department's would: held against the contract, back to who asked, or into the answer to the client. Without
one, when his time is over, the result goes on as it is.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from mai.agents.body import Fields
from mai.agents.decider import Send
from mai.agents.effects import cut
from mai.agents.escalating import ENDED, TEXT_CHARS, TRIED_CHARS, UP, VERBS, bounded
from mai.agents.escalation_messages import Cause, Escalate, Plea, Try
from mai.agents.events import Event
from mai.agents.messages import Result, Task
from mai.agents.plain import readable
from mai.agents.triggers import LEAST_MS, TO
from mai.daemon.desk import Asked, Holding, MaiState, Request
from mai.daemon.parking import Row
from mai.daemon.records import ContractEnded, PartPlan, RequestEnded

if TYPE_CHECKING:
    from mai.daemon.escalations import EscalationAnswered
    from mai.daemon.mai import MaiDecider

MINE: Final = f"{UP}m"  # ends the id of what Mai has given to a person herself
UNANSWERED: Final = "{}; a person was asked, and has not answered in time"


def instead(mai: "MaiDecider", body: Result, came: Result, now_ms: int) -> list[Event | Send]:
    """A person is asked before the result of a task of hers goes on; nothing if none is. `came`: what its department said."""
    from mai.daemon import escalations, returning

    holding, asked = holder(mai, body.task), returning.asked(mai, body.task)
    why = cause(mai, body.task, body, holding, now_ms)
    if not why or holding is None or asked is None:
        return []
    question = _question(asked, body, _plea(mai, body, came, why, now_ms), holding.deadline_ms)
    return escalations.parked(mai, question, mai.address, now_ms, held=body)


def unclear(mai: "MaiDecider", of: Asked | Request, why: str, question: str, now_ms: int) -> list[Event | Send]:
    """A person is asked which department a request is for; nothing if none is, and the client is asked back."""
    from mai.daemon import escalations

    settings = mai.mandate.organisation.escalation
    if not question or settings.doubt != "person" or of.asker == mai.address or mai.state.parking.count(of.request):
        return []
    me = mai.address
    plea = Plea(me, readable(question), "doubt", (Try(me, VERBS["doubt"], readable(why, TRIED_CHARS), now_ms),))
    body = Escalate(f"{of.request}{MINE}", of.request, of.request, of.asker, "", of.text[:TEXT_CHARS], {}, plea, of.deadline_ms)
    return escalations.parked(mai, body, me, now_ms)


def holder(mai: "MaiDecider", task: str) -> Holding | None:
    """Who has a task of hers, by its first id."""
    turn, amended = mai.state.turns.get(task), mai.state.amended.get(task)
    return mai.holding(turn.ident if turn else amended.ident if amended else task)


def cause(mai: "MaiDecider", task: str, body: Result, holding: Holding | None, now_ms: int) -> Cause:
    """Why a person is to be asked; "" if none is."""
    request, rows = mai.state.requests.get(body.request), mai.state.parking
    if request is None or holding is None or body.request in mai.state.cancellations or request.asker == mai.address:
        return ""
    settings = mai.mandate.organisation.escalation
    before = any(
        first_of(row.body) == task for row in rows.of(body.request)
    )  # persons have been asked, and that is what they said
    if before or rows.count(body.request) >= settings.per_request:
        return ""
    why: Cause = ""
    if body.state == "escalated" and not body.changed:
        turn = mai.state.turns.get(task)
        why = "fallback" if turn and turn.switched else "budget"
    elif body.state == "expired" and (settings.person_s or holding.deadline_ms - now_ms >= LEAST_MS):
        why = "deadline"
    return why if why and settings.level(why) == "person" else ""


def first_of(body: Escalate) -> str:
    """The task of Mai's, by its first id, that an escalation was for."""
    from mai.daemon.escalations import root

    return root(body.id)


def _plea(mai: "MaiDecider", body: Result, came: Result, why: Cause, now_ms: int) -> Plea:
    """Why a person is asked, with all that Mai knows to have been tried."""
    reason, last = readable(body.reason or body.state), readable(came.reason or came.state, TRIED_CHARS)
    turn = mai.state.turns.get(body.task)
    pairs = [one.partition(": ") for one in turn.switched] if turn else []
    tried = [Try(f"{mai.mandate.client}/{who}", "did not do it", readable(how, TRIED_CHARS), now_ms) for who, _, how in pairs]
    tried.append(Try(came.by, VERBS["budget" if why == "budget" else ENDED.get(came.state, "failure")], last, now_ms))
    tried.append(Try(mai.address, VERBS["fallback"], readable(reason, TRIED_CHARS), now_ms))
    return Plea(mai.address, reason, why, bounded(tuple(tried)))


def _question(asked: Task, body: Result, plea: Plea, deadline_ms: int) -> Escalate:
    task, shown, text = body.task, cut(asked.input), asked.text
    text = text if len(text) <= TEXT_CHARS else f"{text[:TEXT_CHARS]} … ({len(text)} characters)"
    given = shown if isinstance(shown, dict) else {"cut": shown}
    return Escalate(f"{task}{MINE}", body.request, task, asked.asker, asked.contract, text, given, plea, deadline_ms, final=True)


def is_mine(mai: "MaiDecider", row: Row) -> bool:
    """Did she ask herself?"""
    return row.process == mai.address


def waits(state: MaiState, task: str) -> bool:
    """Is a person asked about a task of hers, by its first id? Then nobody else gets it meanwhile."""
    row = state.parking.rows.get(f"{task}{MINE}")
    return row is not None and not row.state


# -- back
def answered(mai: "MaiDecider", row: Row, said: "EscalationAnswered", now_ms: int) -> list[Event | Send]:
    """A person's answer goes on as the department's would have; what that had changed stays on record."""
    from mai.daemon import returning

    if row.held is None:
        return _planned(mai, row, said, now_ms)
    held, holding = row.held, holder(mai, row.body.task)
    if holding is None or row.body.request in mai.state.cancellations:
        return []
    text = said.text
    if held.task in mai.state.passages:  # no more of it than of a department's
        text = mai.scopes.shown_text(returning.way_of(mai, holding, held.task), text)
    whole = Result(held.task, held.request, said.state, text, said.value, said.reason, said.by, (), held.changed)
    return returning.ends(mai, whole, now_ms)


def _planned(mai: "MaiDecider", row: Row, said: "EscalationAnswered", now_ms: int) -> list[Event | Send]:
    """The request goes to whom it is for, or is refused."""
    request = mai.state.requests.get(row.body.request)
    if request is None or request.parts or request.request in mai.state.cancellations:
        return []
    name = str(said.value.get(TO, ""))
    if said.state != "answered" or mai.mandate.organisation.department(name) is None:
        return mai.unplanned(request, row.body.plea.tried[-1].why, said.reason, now_ms)
    return mai.plan(request, (PartPlan(name, request.text, "", {}, f"{said.by} says that it is for {name}"),), now_ms)


def fault(mai: "MaiDecider", row: Row, value: Fields) -> str:
    """Why a person's answer to what she has asked herself may not go on; "" if it may."""
    from mai.daemon import returning

    if row.held is None and is_mine(mai, row):
        known = mai.mandate.organisation.department(str(value.get(TO, "")))
        return "" if known else "it does not say which department the request is for"
    holding = holder(mai, row.body.task) if row.held else None
    return mai.scopes.breach(returning.way_of(mai, holding, row.body.task), value, "") if holding else ""


def let_go(mai: "MaiDecider", found: list[Event | Send]) -> list[Event | Send]:
    """The same; and what a person was asked about between departments goes back as it is, where its request ends."""
    from mai.daemon import returning

    more: list[Event | Send] = []
    over = {one.task for one in found if isinstance(one, ContractEnded)}
    for ended in [one for one in found if isinstance(one, RequestEnded)]:
        for row in mai.state.parking.of(ended.request):
            passage = mai.state.passages.get(row.held.task) if row.held and not row.state else None
            if passage and row.held and passage.task not in over:
                more += returning.goes_back(mai, passage, row.held)
    return [*found, *more]


def unanswered(mai: "MaiDecider", row: Row, now_ms: int) -> list[Event | Send]:
    """Nobody has answered: the result that she had goes on, unless the whole is over as well."""
    from mai.daemon import returning

    holding, held = holder(mai, row.body.task), row.held
    if held is None:
        request = mai.state.requests.get(row.body.request)
        open_ = request is not None and not request.parts and request.deadline_ms > now_ms
        return mai.unplanned(request, row.body.plea.tried[-1].why, row.body.plea.reason, now_ms) if open_ and request else []
    if holding is None or holding.deadline_ms <= now_ms:
        return []
    return returning.ends(
        mai, msgspec.structs.replace(held, reason=readable(UNANSWERED.format(held.reason or held.state))), now_ms
    )
