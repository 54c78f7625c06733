"""Contracts that stand in for another: who has a task of Mai's now, and who gets it when he fails. Pure.

Of a contract with `backups` each task is given out in turns, and each turn is on record (`cover.given`) before it is sent:

    the department is given up, or the breaker open  → the first backup that may be asked has the first turn
    failed, expired, escalated, and nothing changed  → the next one, under an id of its own (`R/1b1`, `R/1.2.m4b1`)
    no answer within its half of the time            → the same, if nothing there can change anything
    nobody is left                                   → escalated, with what speaks against each

Late answers of an earlier turn find nobody who waits. Askers see the one id that they know.
"""

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import msgspec

from mai.agents import breaker, fallback
from mai.agents.breaker import SLOW_SHARE, How
from mai.agents.decider import Send, crowded, sooner_ms
from mai.agents.events import Escalated, Event, register
from mai.agents.fallback import FallbackSwitched
from mai.agents.messages import Result, Task
from mai.agents.organisation import Contract, Organisation
from mai.agents.plain import readable
from mai.daemon import held, policing, referring, subjects
from mai.daemon.desk import BACKUP, MaiState, Turn
from mai.daemon.dispute_folding import detach

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

FAILED: Final = ("failed", "expired", "escalated")
USED_UP: Final = "no department is left that could do it: {}"
KEPT: Final = "{}; no other is asked, because something was changed for it, or may have been, and would be done again"


class CoverGiven(Event, frozen=True, kw_only=True):
    """A contract's turn at a task begins; `ident` is the task's id there. The first one keeps what was asked."""

    kind: ClassVar[str] = "cover.given"
    request: str
    task: str  # as who asks knows it
    ident: str
    contract: str
    asking: str = ""  # the department, or "client"
    at_ms: int = 0
    until_ms: int = 0  # of this turn
    deadline_ms: int = 0  # of the whole
    body: Task | None = None


register(CoverGiven)


class Verdict(NamedTuple):
    """What becomes of a result: these events first; then, unless it goes on elsewhere, this result to who asked."""

    events: list[Event | Send]
    result: Result | None


# -- what the organisation says
def contract_of(organisation: Organisation, name: str) -> Contract | None:
    """A contract by its full name."""
    department = organisation.department(name.partition(".")[0])
    return department.contract(name.partition(".")[2]) if department else None


def chain(organisation: Organisation, name: str) -> list[str]:
    """All that could stand in for a contract, in their order: its backups, then theirs."""
    found: list[str] = []
    queue = [name]
    while queue:
        contract = contract_of(organisation, queue.pop(0))
        for backup in contract.backups if contract else ():
            if backup not in (name, *found):
                found.append(backup)
                queue.append(backup)
    return found


def backed(mai: "MaiDecider", name: str) -> bool:
    """Has a contract backups?"""
    contract = contract_of(mai.mandate.organisation, name) if name else None
    return contract is not None and bool(contract.backups)


def harmless(organisation: Organisation, name: str) -> bool:
    """Can nothing be changed for this contract? No tool of its department, or of those that it may ask, has an effect."""
    seen: set[str] = set()
    queue = [name.partition(".")[0]]
    while queue:
        own = queue.pop()
        department = organisation.department(own)
        if own in seen or department is None:
            continue
        seen.add(own)
        if any(tool.effect != "none" for tool in department.tools):
            return False
        queue += [other.name for other in organisation.departments if any(own in one.may_ask for one in other.contracts)]
    return True


def gives_up(organisation: Organisation, left: str, to: str) -> str:
    """What an answer may lack that comes under another contract."""
    found = contract_of(organisation, to)
    if found is None or found.quality:
        return found.quality if found else ""
    return f"{to} ({found.about}) answers instead of {left}" if found.about else f"{to} answers instead of {left}"


# -- a turn
def give(mai: "MaiDecider", body: Task, asking: str, deadline_ms: int, now_ms: int) -> list[Event | Send]:
    """The first turn at a task whose contract has backups: to who may be asked now; else to whom it was asked of."""
    organisation, spoken, judged = mai.mandate.organisation, list[str](), list[Event | Send]()
    for name in (body.contract, *chain(organisation, body.contract)):
        if name != body.contract and not _may(mai, name, asking, body):
            continue
        if why := _shut(mai, name, now_ms):
            spoken.append(f"{name}: {why}")
            continue
        turn = _turn(mai, body, asking, name, 1 if spoken else 0, deadline_ms, now_ms)
        if name != body.contract and (barred := policing.backup(mai, turn, now_ms)):
            judged.append(barred)
            continue
        switched = [_receipt(mai, turn, body.contract, name, spoken[0].partition(": ")[2], now_ms)] if spoken else []
        return [*judged, *switched, *_given(mai, turn, body, now_ms)]
    return [*judged, *_given(mai, _turn(mai, body, asking, body.contract, 0, deadline_ms, now_ms), body, now_ms)]


def _turn(mai: "MaiDecider", body: Task, asking: str, name: str, n: int, deadline_ms: int, now_ms: int) -> Turn:  # noqa: PLR0917
    ident = f"{body.task}{BACKUP}{n}" if n else body.task
    return Turn(body.task, body.request, asking, body.contract, name, ident, now_ms, deadline_ms, deadline_ms, body, n)


def _may(mai: "MaiDecider", name: str, asking: str, body: Task) -> bool:
    """May who asks ask this of that contract?"""
    why = (
        mai.fault(name, "request", body.input) or mai.scopes.untold(name, body.input) or subjects.strange(mai, name, asking, body)
    )
    return mai.table.contract(asking, name).allowed and not why


def _shut(mai: "MaiDecider", name: str, now_ms: int) -> str:
    """Why a contract is not to be asked now; "" if it may be."""
    if (why := mai.state.watched.failed.get(_process(mai, name))) is not None:
        return f"its department was given up{': ' * bool(why)}{why}"
    process, queue = _process(mai, name), mai.limits.queue
    if why := crowded(mai.state, process, queue) or held.shut(mai.state, process, queue) or held.away(mai.state, process):
        return why
    known = breaker.of(mai.state.breakers, fallback.key("contract", name))
    return "" if known.lets(now_ms) else f"not asked after {known.evidence()}"


def _process(mai: "MaiDecider", contract: str) -> str:
    return f"{mai.mandate.client}/{contract.partition('.')[0]}"


def _given(mai: "MaiDecider", turn: Turn, body: Task, now_ms: int) -> list[Event | Send]:
    """On record, and on its way. Who has backups behind it leaves half of the time to them."""
    more = [one for one in chain(mai.mandate.organisation, turn.contract) if one not in (*turn.tried, turn.now)]
    until_ms = now_ms + (turn.deadline_ms - now_ms) // 2 if more else turn.deadline_ms
    kept = msgspec.structs.replace(body, task=turn.ident, contract=turn.now)
    waits_ms = until_ms if harmless(mai.mandate.organisation, turn.now) else turn.deadline_ms
    given = CoverGiven(
        request=turn.request, task=turn.task, ident=turn.ident, contract=turn.now, asking=turn.asking, at_ms=now_ms,
        until_ms=waits_ms, deadline_ms=turn.deadline_ms, body=body if turn.task not in mai.state.turns else None,
    )  # fmt: skip
    probe = fallback.probe(mai.state, "contract", turn.now, turn.ident, request=turn.request, task=turn.task)
    return [*probe, given, Send(_process(mai, turn.now), turn.ident, sooner_ms(now_ms, until_ms), kept)]


def _receipt(mai: "MaiDecider", turn: Turn, name: str, to: str, evidence: str, now_ms: int, *, tried: bool = False) -> Event:  # noqa: PLR0917
    return FallbackSwitched(
        request=turn.request, task=turn.task, what="contract", name=name, to=to, evidence=fallback.evidence(evidence),
        gives_up=gives_up(mai.mandate.organisation, name, to), at_ms=now_ms, tried=tried,
    )  # fmt: skip


# -- its end
def came(mai: "MaiDecider", turn: Turn, body: Result, now_ms: int) -> Verdict:
    """Who has the task has answered: on to the next one, or back to who asked."""
    noted = _noted(mai, turn, body, now_ms)
    result = msgspec.structs.replace(body, task=turn.task)
    if result.state not in FAILED:
        return Verdict(list(noted), result)
    if result.changed and _next(mai, turn, now_ms)[1]:
        return Verdict(list(noted), msgspec.structs.replace(result, reason=readable(KEPT.format(result.reason or result.state))))
    if result.changed:
        return Verdict(list(noted), result)
    return _on(mai, turn, result, noted, now_ms)


def _on(mai: "MaiDecider", turn: Turn, result: Result, noted: list[Event], now_ms: int) -> Verdict:
    """The next one's turn; or nobody is left, and those above are told so."""
    reason = result.reason or result.state
    judged, name = _next(mai, turn, now_ms)
    if name:
        after = _after(turn, name)
        receipt = _receipt(mai, turn, turn.now, name, reason, now_ms, tried=True)
        return Verdict([*noted, *judged, receipt, *_given(mai, after, turn.body, now_ms)], None)
    if not turn.switched:
        return Verdict([*noted, *judged], result)
    said = readable(USED_UP.format("; ".join((*turn.switched, f"{turn.now}: {reason}"))))
    escalated = Escalated(request=turn.request, task=turn.task, agent="mai", reason=said)
    return Verdict([*noted, *judged, escalated], msgspec.structs.replace(result, state="escalated", reason=said))


def _after(turn: Turn, name: str) -> Turn:
    """The turn of the next one."""
    ident = f"{turn.task}{BACKUP}{turn.n + 1}"
    return msgspec.structs.replace(turn, tried=(*turn.tried, turn.now), now=name, n=turn.n + 1, ident=ident)


def _next(mai: "MaiDecider", turn: Turn, now_ms: int) -> tuple[list[Event], str]:
    """The first backup that has not had the task and may have it now, by the policies too; "" if there is none, or no time.

    What the policies bar goes on record: a backup is judged under its own name, and what was approved is the first one's.
    """
    judged: list[Event] = []
    if turn.deadline_ms <= now_ms or turn.request in mai.state.cancellations or turn.request not in mai.state.requests:
        return judged, ""
    for name in chain(mai.mandate.organisation, turn.contract):
        fresh = name not in (*turn.tried, turn.now) and _may(mai, name, turn.asking, turn.body)
        if not fresh or _shut(mai, name, now_ms):
            continue
        if (barred := policing.backup(mai, _after(turn, name), now_ms)) is None:
            return judged, name
        judged.append(barred)
    return judged, ""


def _noted(mai: "MaiDecider", turn: Turn, body: Result, now_ms: int) -> list[Event]:
    how, took_ms = _how(mai, turn, body, now_ms), now_ms - turn.since_ms
    if how is None:
        return []
    why = body.reason or body.state if how == "sick" else f"it took {took_ms} ms"
    return fallback.note(
        mai.state, "contract", turn.now, turn.ident, how=how, now_ms=now_ms, request=turn.request, task=turn.task, why=why
    )


def _how(mai: "MaiDecider", turn: Turn, body: Result, now_ms: int) -> How | None:
    """Well, slow or sick; None for who had too little time."""
    contract = contract_of(mai.mandate.organisation, turn.now)
    slow_s = contract.slow_s if contract and contract.slow_s else mai.limits.request_s / 2 * SLOW_SHARE
    slow = now_ms - turn.since_ms > slow_s * 1000
    match body.state:
        case "expired":
            return "sick" if slow else None
        case "failed" | "escalated":
            return "sick"
    return "slow" if slow and contract and contract.backups else "well"


# -- without an answer
def expire(mai: "MaiDecider", now_ms: int) -> list[Event | Send]:
    """Turns that have had their time, where nothing can have been changed; the end of the whole is Mai's own."""
    found: list[Event | Send] = []
    mai.overdue &= {turn.ident for turn in mai.state.turns.values()}
    for turn in mai.state.turns.values():
        if turn.deadline_ms <= now_ms:
            found += _noted(mai, turn, _silent(mai, turn, "did not answer before the deadline"), now_ms)
        elif turn.until_ms <= now_ms and turn.ident not in mai.overdue:
            waits = referring.waits(mai.state, turn.task) or turn.task in mai.state.conflicts.withheld  # it has answered
            going = [] if waits else _without(mai, turn, "did not answer within its time", now_ms)
            found += going
            if not going:
                mai.overdue.add(turn.ident)
    return found


def forsaken(mai: "MaiDecider", process: str, now_ms: int) -> list[Event | Send]:
    """A department was given up: the tasks that it has go on to others, where nothing can have been changed."""
    organisation = mai.mandate.organisation
    having = [one for one in mai.state.turns.values() if _process(mai, one.now) == process]
    waits = {one.task for one in having if one.task in mai.state.conflicts.withheld or referring.waits(mai.state, one.task)}
    turns = [one for one in having if harmless(organisation, one.now) and one.task not in waits]
    return [item for turn in turns for item in _without(mai, turn, "its department was given up", now_ms)]


def _without(mai: "MaiDecider", turn: Turn, why: str, now_ms: int) -> list[Event | Send]:
    """On to the next one without an answer; nothing if there is none: the one who has it may still answer."""
    verdict = came(mai, turn, _silent(mai, turn, why), now_ms)
    return verdict.events if verdict.result is None else []


def _silent(mai: "MaiDecider", turn: Turn, why: str) -> Result:
    return Result(turn.ident, turn.request, "expired", "", {}, f"{turn.now}: {why}", mai.address, (), False)


# -- evolve
def fold(state: MaiState, event: CoverGiven) -> None:
    """A turn begins."""
    before = state.turns.get(event.task)
    body = event.body or (before.body if before else None)
    if body is None:
        return
    n = int(event.ident.rpartition(BACKUP)[2]) if event.ident != event.task else 0
    tried = (*before.tried, before.now) if before else ()
    turn = Turn(
        event.task, event.request, event.asking, body.contract, event.contract, event.ident, event.at_ms, event.until_ms,
        event.deadline_ms, body, n, tried, before.switched if before else (),
    )  # fmt: skip
    state.turns[event.task] = turn
    state.changed("turn", event.task, turn)
    if before:
        detach(state, event.task)


def fold_switched(state: MaiState, event: FallbackSwitched) -> None:
    """What spoke against who had it."""
    fallback.fold(state, event)
    if turn := state.turns.get(event.task):
        turn.switched = (*turn.switched, f"{event.name}: {event.evidence}")
        state.changed("turn", event.task, turn)


def end(state: MaiState, task: str) -> None:
    """A task has ended, and with it the turn of who had it."""
    if turn := state.turns.pop(task, None):
        fallback.let_go(state, "contract", turn.now, turn.ident)
        state.changed("turn", task, None)


def load(state: MaiState, turns: dict[str, bytes], breakers: dict[str, bytes]) -> None:
    """From the rows of her state."""
    state.turns.update({key: msgspec.json.decode(data, type=Turn) for key, data in turns.items()})
    fallback.load(state, breakers)
