"""Incidents, as Mai passes them on: to the coordinators concerned, and to the department that heals; and its remedies. Pure.

    watchdog.told (incident) → incident.opened, and a request of her own with a task under `operations.incident`
    Remedy from an agent     → remedy.checked, then the order at the watchdog's door
    watchdog.told (remedy)   → remedy.ended, and Remedied to who asked

One case for each process: what comes while it is open, or soon after it and is no worse, is counted and opens none. Who was
given up opens one whenever none is open. If nobody heals what was given up, Mai has a person paged.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from mai.agents.body import Fields
from mai.agents.decider import Input, Send, crowded, sooner_ms
from mai.agents.events import Event
from mai.agents.healing import CONTRACT
from mai.agents.messages import Task
from mai.agents.order_messages import Notice, Release, Remedied, Remedy
from mai.agents.remedies import PREFIX, out_of_bounds, out_of_scope, process_of
from mai.daemon.cases import (
    CASES,
    INCIDENTS,
    SETTLED,
    Case,
    IncidentOpened,
    RemedyChecked,
    RemedyEnded,
    RemedyOrder,
    grave,
    guilty,
    lately,
    level,
    tried,
)
from mai.daemon.desk import LONGEST_ID, Healed, MaiState, ReleaseOrder, Wanted, origin
from mai.daemon.records import PartPlan, RequestAccepted, RequestEnded, RequestPlanned
from mai.daemon.releasing import ReleaseOrdered
from mai.daemon.told import Told

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

HEAL_MS: Final = 30_000  # for the operations department to do something
WINDOW_MS: Final = 60_000  # in which incidents of a process belong together
OLD_MS: Final = 300_000  # what Mai hears of so late is on record, and opens nothing
TEXT: Final = 400  # characters


def decide(mai: "MaiDecider", given: Wanted | Healed, now_ms: int) -> list[Event | Send]:
    """An agent wants a remedy; or a request of Mai's own has ended."""
    if isinstance(given, Wanted):
        return _check(mai, given, now_ms)
    return _closed(mai, given, now_ms)


# -- incidents
def heard(mai: "MaiDecider", told: Told, now_ms: int) -> list[Event | Send]:
    """What follows from a new record of the watchdog's."""
    if told.kind == "remedy":
        return _answered(mai, told)
    operations = mai.mandate.organisation.operations
    what, name = str(told.body.get("what", "")), told.process.partition("/")[2]
    if told.kind != "incident" or operations is None or what not in INCIDENTS or name in ("mai", operations.department):
        return []
    if told.at_ms < now_ms - OLD_MS or not told.process.startswith(f"{mai.mandate.client}/"):
        return []
    case = mai.state.healing.cases.get(told.process) or Case(told.process)
    entry = {"seq": told.seq, "at_ms": told.at_ms, **{key: told.body.get(key, "") for key in ("what", "text", "task", "bound")}}
    return _open(mai, case, (*case.recent, entry), told.body, now_ms)


def _open(mai: "MaiDecider", case: Case, recent: tuple[Fields, ...], body: Fields, now_ms: int) -> list[Event | Send]:
    """A request of Mai's own about a process, unless there is one, or has just been one that was no less grave."""
    state, found = mai.state, level(lately(recent, now_ms - WINDOW_MS))
    if case.request in state.requests or sum(one.request in state.requests for one in state.healing.cases.values()) >= CASES:
        return []
    if found <= case.level and found < SETTLED and now_ms - case.opened_ms < WINDOW_MS:
        return []
    operations = mai.mandate.organisation.operations
    assert operations is not None, "a case without [operations]"
    to = f"{mai.mandate.client}/{operations.department}"
    if crowded(state, to, mai.limits.queue):
        return []
    request = f"incident-{recent[-1]['at_ms']}-{recent[-1]['seq']}"
    until_ms = now_ms + min(HEAL_MS, int(mai.limits.request_s * 1000))
    given, own, contract = (
        _input(mai, case, recent, body, now_ms),
        mai.address,
        f"{operations.department}.{CONTRACT}",
    )
    text = f"{case.process} {given['what']}: {given['text']}"
    task = Task(f"{request}/1", request, own, contract, "", given, mai.limits.hops)
    part = PartPlan(operations.department, "", contract, given, "incidents go to the department that heals")
    return [
        IncidentOpened(
            request=request, process=case.process, what=given["what"], text=given["text"], level=found,
            at_ms=now_ms, seq=recent[-1]["seq"],
        ),
        RequestAccepted(request=request, asker=own, text=text, accepted_ms=now_ms, deadline_ms=until_ms),
        RequestPlanned(request=request, parts=(part,), why=""),
        Send(to, task.task, sooner_ms(now_ms, until_ms), task),
        *_notice(mai, request, case.process, given),
    ]  # fmt: skip


def _input(mai: "MaiDecider", case: Case, recent: tuple[Fields, ...], body: Fields, now_ms: int) -> Fields:
    """What the contract `incident` takes: what failed, what was replayed, what waits, what was tried."""
    near = lately(recent, now_ms - WINDOW_MS)
    worst = grave(near or recent[-1:])
    task, deaths = guilty(near)
    department = mai.mandate.organisation.department(case.process.partition("/")[2])
    contracts = department.contracts if department else ()
    return {
        "process": case.process, "what": str(worst["what"]), "text": str(worst["text"])[:TEXT],
        "bound": str(worst.get("bound", "")), "incidents": sum(one["what"] == "death" for one in near),
        "alike": sum(one["what"] == worst["what"] for one in near),
        "task": task, "guilty": deaths,
        "waits": len(mai.state.transit(case.process).waiting), "replayed": _int(body.get("replayed")),
        "department": department is not None, "backup": any(getattr(one, "backups", ()) for one in contracts),
        "tried": tried(case, now_ms),
    }  # fmt: skip


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _notice(mai: "MaiDecider", request: str, process: str, given: Fields) -> list[Event | Send]:
    """To the department itself, for its coordinators; it takes it when it is there again."""
    if not given["department"] or crowded(mai.state, process, mai.limits.queue):
        return []
    told = [given[key] for key in ("what", "text", "waits", "replayed")]
    return [Send(process, f"{request}!", 0, Notice(f"{request}!", request, process, *told))]


def ended(state: MaiState, event: RequestEnded) -> list[Input]:
    """A request of Mai's own about an incident has ended."""
    case = next((one for one in state.healing.cases.values() if one.request == event.request), None)
    return [Healed(case.process, event.state == "answered")] if case else []


def _closed(mai: "MaiDecider", given: Healed, now_ms: int) -> list[Event | Send]:
    """What was given up and not healed is a person's; what has come since may open the next case."""
    case = mai.state.healing.cases[given.process]
    if case.level >= SETTLED and not given.well:
        return _page(mai, case, now_ms)
    since = tuple(one for one in case.recent if one["seq"] > case.seq)
    return _open(mai, case, case.recent, {}, now_ms) if level(since) else []


def _page(mai: "MaiDecider", case: Case, now_ms: int) -> list[Event | Send]:
    own, ident = mai.address, f"{case.request}!page"
    if ident in mai.state.healing.orders:
        return []
    why = f"{case.process} was given up, and nobody has healed it: see mai trace {case.request}"
    return [
        RemedyChecked(
            request=case.request, task=ident, agent=own, asking=own, remedy="page", target=case.process,
            why=why, allowed=True, rule="what nobody heals is a person's", deadline_ms=now_ms + HEAL_MS,
        )
    ]  # fmt: skip


# -- remedies
def _check(mai: "MaiDecider", wanted: Wanted, now_ms: int) -> list[Event | Send]:
    """The verdict on what an agent wants done; its order goes out when that is committed."""
    body, state = wanted.body, mai.state
    if body.id in state.healing.orders or len(body.id) > LONGEST_ID:
        return []
    holding = mai.holding(origin(body.id))
    until_ms = min(wanted.deadline_ms, holding.deadline_ms) if holding else wanted.deadline_ms
    target = process_of(mai.mandate.client, body.target)
    if holding is None or (holding.process, holding.request) != (wanted.peer, body.request):
        why = f"{wanted.peer} has no open task that {body.id[:80]!r} could be a part of"
    else:
        why = _why_not(mai, wanted.peer, body, target)
    why = why or ("it came after its deadline" if until_ms <= now_ms else "")
    checked = RemedyChecked(
        request=body.request, task=body.id, agent=body.agent, asking=wanted.peer, remedy=body.remedy, target=target,
        given=body.given, why=body.why, allowed=not why, rule=why or f"in the scope of {body.agent}", deadline_ms=until_ms,
    )  # fmt: skip
    return [checked] if checked.allowed else [checked, _back(wanted.peer, body.id, body.request, refused=why)]


def _why_not(mai: "MaiDecider", peer: str, body: Remedy, target: str) -> str:
    """Why an agent may not have this done; "" if it may."""
    organisation, client = mai.mandate.organisation, mai.mandate.client
    operations = organisation.operations
    if operations is None or peer != f"{client}/{operations.department}":
        return f"{peer} does not heal: that is the operations department's"
    department = organisation.department(operations.department)
    agent = department.agent(body.agent.rpartition("/")[2]) if department else None
    if agent is None or body.agent != f"{peer}/{agent.name}" or f"{PREFIX}{body.remedy}" not in agent.tools:
        return f"{body.agent[:80]} may not use {PREFIX}{body.remedy[:40]}"
    if body.request in mai.state.cancellations:
        return "its request was cancelled"
    if len(mai.state.healing.orders) >= mai.limits.queue:
        return f"{mai.limits.queue} remedies are open, which is the limit; ask again later"
    processes = frozenset(name for name in organisation.processes() if name.startswith(f"{client}/"))
    return out_of_scope(operations, client, body.remedy, target, processes) or out_of_bounds(operations, body.remedy, body.given)


def _back(peer: str, ident: str, request: str, value: object = None, refused: str = "", *, doubt: bool = False) -> Send:
    return Send(peer, f"{ident}=", 0, Remedied(ident, request, value, refused, doubt))


def _answered(mai: "MaiDecider", told: Told) -> list[Event | Send]:
    """The watchdog says what it has done; what it has taken back of a quarantine, Mai's own order takes back."""
    state, text = str(told.body.get("state", "")), str(told.body.get("text", ""))
    order = mai.state.healing.orders.get(str(told.body.get("id", "")))
    if order is not None and state in ("done", "refused"):
        return _over(mai, order, state, text)
    return _release(mai, told) if state == "undone" and told.body.get("remedy") == "quarantine" else []


def _release(mai: "MaiDecider", told: Told) -> list[Event | Send]:
    given, request = told.body.get("given") or {}, str(told.body.get("request", ""))
    order = ReleaseOrder(f"{told.body['id']}!"[-64:], told.process, request, str(given.get("task", "")), "retry", "watchdog")
    body = Release(order.order, order.request, order.task, order.how, order.by)
    return [
        ReleaseOrdered(request=order.request, task=order.task, order=order),
        Send(order.process, f"{order.task}^{order.order}", 0, body),
    ]


def _over(mai: "MaiDecider", order: RemedyOrder, state: str, text: str) -> list[Event | Send]:
    ended_ = RemedyEnded(request=order.request, task=order.id, state=state, text=text)
    if order.asking == mai.address:
        return [ended_]
    value = {"state": state, "text": text}
    refused = "" if state == "done" else text or state
    return [ended_, _back(order.asking, order.id, order.request, value, refused, doubt=state == "expired")]


def expire(mai: "MaiDecider", now_ms: int) -> list[Event | Send]:
    """What the watchdog has not answered in time."""
    late = [order for order in mai.state.healing.orders.values() if order.deadline_ms <= now_ms]
    return [one for order in late for one in _over(mai, order, "expired", "the watchdog did not answer before the deadline")]


def load(state: MaiState, cases: dict[str, bytes], orders: dict[str, bytes]) -> None:
    """From the rows of her state."""
    state.healing.cases.update({key: msgspec.json.decode(data, type=Case) for key, data in cases.items()})
    state.healing.orders.update({key: msgspec.json.decode(data, type=RemedyOrder) for key, data in orders.items()})
