"""What Mai grants departments of a request's budget, and what she counts of it herself. Pure.

Hand-ons, steps and calls of tools happen in the departments. With each task Mai grants a part of what is left of the request's
limits (`budget.granted`, in the commit of the sending): with an ask the half; parts that are planned together get the same each,
and as much stays for what they will ask of others. What was not used comes back with the result (`budget.returned`). What is
granted and what is used never exceed the limit together. Asks for contracts and questions to models she counts as they pass.
"""

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from mai.agents.allowance import WORDS, BudgetStopped, with_chain
from mai.agents.amounts import UNBOUNDED, Amounts
from mai.agents.budget_scope import RequestLimits
from mai.agents.decider import Input, Send
from mai.agents.events import Event, register
from mai.agents.messages import Result, Task
from mai.daemon import loops
from mai.daemon.desk import Grant, Granted, MaiState, Returned
from mai.daemon.records import ContractChecked, ErrandChecked

if TYPE_CHECKING:
    from mai.agents.errand_messages import Think
    from mai.daemon.mai import MaiDecider

NOTHING: Final = Amounts()


class BudgetGranted(Event, frozen=True, kw_only=True):
    """A department may take so much for a task."""

    kind: ClassVar[str] = "budget.granted"
    request: str
    task: str
    to: str  # the process
    allow: Amounts


class BudgetReturned(Event, frozen=True, kw_only=True):
    """The task has ended, and so much was used."""

    kind: ClassVar[str] = "budget.returned"
    request: str
    task: str
    used: Amounts


register(BudgetGranted, BudgetReturned)


def bounded(limits: RequestLimits, amounts: Amounts) -> Amounts:
    """The same where there is a limit, and no bound where there is none."""
    return Amounts(
        max(0, amounts.hops) if limits.hops else UNBOUNDED,
        max(0, amounts.steps) if limits.steps else UNBOUNDED,
        max(0, amounts.tool_calls) if limits.tool_calls else UNBOUNDED,
    )


def left(mai: "MaiDecider", request: str) -> Amounts:
    """What is neither used nor granted."""
    known, limits = mai.state.granted.get(request) or Granted(request), mai.limits.request
    free = Amounts(limits.hops, limits.steps, limits.tool_calls) - known.used
    for grant in known.open.values():
        free -= grant.allow
    return bounded(limits, free)


# -- decide
def unburdened(given: Input) -> Input:
    """A result without what it says of budgets: that is for Mai, not for who asked."""
    if isinstance(given, Returned) and given.body.used is not None:
        return msgspec.structs.replace(given, body=msgspec.structs.replace(given.body, used=None))
    return given


def account(mai: "MaiDecider", given: Input, found: list[Event | Send]) -> list[Event | Send]:
    """The same, with what comes back before it, and what each task is granted on record before its sending."""
    if not mai.limits.request.granted:
        return found
    back = _returned(mai, given.peer, given.body) if isinstance(given, Returned) else []
    tasks = [one for one in found if isinstance(one, Send) and isinstance(one.body, Task) and one.body.allow is None]
    if not tasks:
        return [*back, *found]
    free = left(mai, tasks[0].body.request) + (_given_back(mai, back[0]) if back else NOTHING)  # type: ignore[union-attr]
    share = free.share(len(tasks) + 1)
    granted: list[Event | Send] = [*back]
    for one in found:
        if one in tasks and isinstance(one, Send) and isinstance(one.body, Task):
            share = share.at_most(free)
            free = bounded(mai.limits.request, free - share)
            granted.append(BudgetGranted(request=one.body.request, task=one.body.task, to=one.to, allow=share))
            granted.append(msgspec.structs.replace(one, body=msgspec.structs.replace(one.body, allow=share)))
        else:
            granted.append(one)
    return granted


def _returned(mai: "MaiDecider", peer: str, body: Result) -> list[Event | Send]:
    """What a department says that it has used, as far as it was granted."""
    known = mai.state.granted.get(body.request)
    grant = known.open.get(body.task) if known else None
    if grant is None or grant.to != peer:
        return []
    used = NOTHING if body.used is None else body.used.at_most(grant.allow)
    return [BudgetReturned(request=body.request, task=body.task, used=used)]


def _given_back(mai: "MaiDecider", event: Event | Send) -> Amounts:
    assert isinstance(event, BudgetReturned)
    return mai.state.granted[event.request].open[event.task].allow - event.used


def asks(mai: "MaiDecider", body: Task) -> BudgetStopped | None:
    """Has a request asked for as many contracts as it may?"""
    request, limit = mai.state.requests.get(body.request), mai.limits.request.asks
    if request is None or not limit or request.asks < limit:
        return None
    links = loops.chain(mai, body)
    chain = tuple(name for ask in links for name in (ask.asker, ask.contract))
    return _stopped(body.request, body.task, ("asks", limit, request.asks), chain)


def turns(mai: "MaiDecider", body: "Think") -> BudgetStopped | None:
    """Has a request asked models as often as it may?"""
    request, limit = mai.state.requests.get(body.request), mai.limits.request.turns
    if request is None or not limit or request.turns < limit:
        return None
    return _stopped(body.request, body.id, ("turns", limit, request.turns), (body.agent, f"the model {body.model}"))


def _stopped(request: str, task: str, counted: tuple[str, int, int], chain: tuple[str, ...]) -> BudgetStopped:
    what, limit, used = counted
    why = with_chain(f"the budget of the request is spent: {used} of {limit} {WORDS[what]}", chain)
    return BudgetStopped(
        request=request, task=task, agent="mai", what=what, scope="request", limit=limit, used=used, chain=chain, why=why
    )


# -- evolve
def fold(state: MaiState, event: Event) -> None:
    """Fold one fact, if it concerns what a request takes."""
    match event:
        case BudgetGranted():
            known = state.granted.get(event.request) or Granted(event.request)
            _keep(state, known, {**known.open, event.task: Grant(event.to, event.allow)})
        case BudgetReturned():
            known = state.granted.get(event.request) or Granted(event.request)
            known.used = known.used + event.used
            _keep(state, known, {task: grant for task, grant in known.open.items() if task != event.task})
        case ContractChecked(allowed=True, request=request) if request in state.requests:
            state.requests[request].asks += 1
            state.changed("request", request, state.requests[request])
        case ErrandChecked(allowed=True, service="models", request=request) if request in state.requests:
            state.requests[request].turns += 1
            state.changed("request", request, state.requests[request])


def _keep(state: MaiState, known: Granted, open_: dict[str, Grant]) -> None:
    known.open = open_
    state.granted[known.request] = known
    state.changed("granted", known.request, known)


def end(state: MaiState, request: str) -> None:
    """A request has ended: nobody asks for it any more."""
    if state.granted.pop(request, None):
        state.changed("granted", request, None)


def load(state: MaiState, rows: dict[str, bytes]) -> None:
    """From the rows of her state."""
    state.granted.update({request: msgspec.json.decode(data, type=Granted) for request, data in rows.items()})
