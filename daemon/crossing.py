"""What crosses between departments: a board's ask for another's contract, held against who may ask and what may be said. Pure."""

from typing import TYPE_CHECKING

import msgspec

from mai.agents.allowance import BudgetStopped
from mai.agents.decider import VIA_MAI, Send, sooner_ms
from mai.agents.events import Event
from mai.agents.guards import GuardStopped
from mai.agents.messages import Task
from mai.daemon import cover, granting, loops, policing, subjects
from mai.daemon.desk import Crossing, Holding, origin
from mai.daemon.records import ContractChecked

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider


def decide(mai: "MaiDecider", crossing: Crossing, now_ms: int) -> list[Event | Send]:
    """What becomes of a department's ask for another's contract: a verdict on record, and the task or a refusal goes out."""
    body = crossing.body
    if body.task in mai.state.passages:
        return []
    holding = mai.holding(origin(body.task))
    until_ms = min(crossing.deadline_ms, holding.deadline_ms if holding else crossing.deadline_ms)
    verdict = mai.table.contract(crossing.peer.split("/")[1], body.contract)
    why = _why_not(mai, crossing, holding) if verdict.allowed else verdict.rule
    stopped = None if why else _stopped(mai, body)
    noted: list[Event] = [stopped] if stopped else []
    why = stopped.why if stopped else why
    if not why:
        noted, why = policing.ask(mai, body, now_ms)
    late = not why and until_ms <= now_ms
    passed = msgspec.structs.replace(body, hops=_hops(mai, body), ranked=(), allow=None, word=None)  # she says whom it is for
    checked = ContractChecked(
        request=body.request, task=body.task, asking=crossing.peer, contract=body.contract, allowed=not why and not late,
        rule=why or ("it came after its deadline" if late else verdict.rule), deadline_ms=until_ms,
        body=None if why or late else passed,
    )  # fmt: skip
    if not checked.allowed:
        return [*noted, checked, mai.result(crossing.peer, body, "expired" if late else "refused", checked.rule)]
    if cover.backed(mai, body.contract):
        return [*noted, checked, *cover.give(mai, passed, crossing.peer.split("/")[1], until_ms, now_ms)]
    return [*noted, checked, Send(mai.server(body.contract), body.task, sooner_ms(now_ms, until_ms), passed)]


def _stopped(mai: "MaiDecider", body: Task) -> GuardStopped | BudgetStopped | None:
    """What goes round in circles, or beyond what the request may take; None if nothing does."""
    if _hops(mai, body) <= 0:
        return loops.exhausted(mai, body)
    return loops.judge(mai, body) or granting.asks(mai, body)


def _why_not(mai: "MaiDecider", crossing: Crossing, holding: Holding | None) -> str:
    """Why what a department asks under a contract that is open to it may not go on; "" if it may."""
    body, peer = crossing.body, crossing.peer
    gone = body.request in mai.state.cancellations
    if gone or holding is None or (holding.process, holding.request) != (peer, body.request):
        return f"{peer} has no open task that {body.task[:80]!r} could be a part of"
    if body.request not in mai.state.requests:
        return "its request has ended, and nobody counts any more what is asked for it"
    if not body.asker.startswith(f"{peer}/"):
        return f"{peer} asks in the name of {body.asker[:80]!r}"
    if why := mai.fault(body.contract, "request", body.input) or _out_of_scope(mai, body, peer.partition("/")[2]):
        return why
    if len(mai.state.passages) >= mai.limits.queue:
        return f"{mai.limits.queue} requests between departments are open, which is the limit; ask again later"
    backed = cover.backed(mai, body.contract)
    return "" if backed else mai.closed(mai.server(body.contract))


def _out_of_scope(mai: "MaiDecider", body: Task, asking: str) -> str:
    """Why this subject is not told of to who asks, or these values are not theirs to give; "" if they are."""
    untold = mai.scopes.untold(body.contract, body.input) or subjects.strange(mai, body.contract, asking, body)
    return untold or mai.scopes.kept_back(asking, body.input)


def _hops(mai: "MaiDecider", body: Task) -> int:
    """How often a task may still be handed on: as it says, but never more than its way so far leaves."""
    return min(body.hops, mai.limits.hops - body.task.removeprefix(body.request).count(VIA_MAI))
