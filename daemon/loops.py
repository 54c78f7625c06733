"""Loop guards at Mai: departments that ask each other's contracts to and fro, for one request. Pure.

Which ask derives from which is said by its id; a chain is made of the passages that wait for each other, from the request's
own part on. What a department sees of its own chains is agents/guards.py.
"""

from typing import TYPE_CHECKING, NamedTuple

from mai.agents.body import Fields
from mai.agents.guards import Guard, GuardStopped, ancestors, said
from mai.agents.messages import Task
from mai.daemon.desk import first

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider


class Ask(NamedTuple):
    """Who has asked for what."""

    asker: str
    contract: str
    text: str
    input: Fields


def chain(mai: "MaiDecider", body: Task) -> list[Ask]:
    """The asks that wait for this one, outermost first, itself last."""
    found: list[Ask] = []
    names = [first(name) for name in ancestors(body.task)[:-1]]
    if (request := mai.state.requests.get(body.request)) and (part := mai.part(request, names[0] if names else "")):
        found.append(Ask(request.asker, part.contract or part.department, part.text, part.input))
    for name in names:
        if (passage := mai.state.passages.get(name)) and (asked := passage.body):
            found.append(Ask(asked.asker, passage.contract, asked.text, asked.input))
    return [*found, Ask(body.asker, body.contract, body.text, body.input)]


def judge(mai: "MaiDecider", body: Task) -> GuardStopped | None:
    """What goes round in circles; None if nothing does."""
    guards, asks = mai.mandate.organisation.guards, chain(mai, body)
    here = [one for one in asks if one.contract == body.contract]
    same = sum((one.text, one.input) == (body.text, body.input) for one in here)
    if same >= guards.same:
        return _stopped(body, asks, "same", same, guards.same)
    if len(here) >= guards.returns:
        return _stopped(body, asks, "returns", len(here), guards.returns)
    return None


def exhausted(mai: "MaiDecider", body: Task) -> GuardStopped:
    """No hop is left."""
    return _stopped(body, chain(mai, body), "hops", mai.limits.hops, mai.limits.hops)


def _stopped(body: Task, asks: list[Ask], guard: Guard, count: int, limit: int) -> GuardStopped:
    names = tuple(name for ask in asks for name in (ask.asker, ask.contract))
    return GuardStopped(
        request=body.request, task=body.task, agent="mai", guard=guard, chain=names, count=count, limit=limit,
        why=said(guard, names, count),
    )  # fmt: skip
