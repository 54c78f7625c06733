"""Mai's watch over the objectives: she counts each end in its minute, and says when a budget burns too fast. Pure.

Her counts are folds of her journal, a row for each scope and minute, and reach back as far as the longest span. A record of a
part's end has no time of its own; it is counted in the latest minute that the journal has told, that is, while its
request is open, at most a request's time too early. `incident` is what leaves her: the entry for the watchdog's book.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from mai.agents.decider import Input, Send, Tick
from mai.agents.events import Event, register
from mai.daemon import outcomes
from mai.daemon.burn import MINUTE_MS, PACES, Tally, breached, days, kept, outdated, recovered_ms, within
from mai.daemon.desk import MaiState
from mai.daemon.outcomes import BAD, GOOD, End
from mai.daemon.pulse import Mark, Open, Pulse
from mai.daemon.records import RequestAccepted, RequestEnded
from mai.daemon.turned import DoorRefused, TurnedAway

OWN = "/mai"  # who asks what Mai asks herself: no end of hers is counted
NOUN = "objective"  # of the rows: minute/SCOPE/NUMBER, held/DEPARTMENT, delayed/REQUEST, breach/SCOPE/SPAN


class ObjectiveBreached(Event, frozen=True, kw_only=True):
    """The error budget of a client ("acme") or of a department ("acme/support") burns too fast, in this span and a short one."""

    kind: ClassVar[str] = "objective.breached"
    scope: str
    window_s: int  # the long span
    burn: float
    good: int
    bad: int
    objective: float  # the availability that was promised
    at_ms: int


class ObjectiveKept(Event, frozen=True, kw_only=True):
    """It does no longer."""

    kind: ClassVar[str] = "objective.kept"
    scope: str
    window_s: int
    burn: float
    at_ms: int


register(ObjectiveBreached, ObjectiveKept)


class Weigh(Input, frozen=True):
    """Something has changed that may breach an objective, or keep it again. Departments; "" for the whole client."""

    scopes: tuple[str, ...]


def fold(state: MaiState, event: Event) -> list[Input]:
    """Count what the fact ends, before it is folded itself; returns what to weigh because of it."""
    pulse = state.pulse
    _tell_time(state, event)
    found = list(outcomes.ends(state, pulse.marks, event))
    before = set(pulse.marks.delayed), dict(pulse.marks.held)
    outcomes.mark(state, pulse.marks, event)
    if (pulse.marks.delayed, pulse.marks.held) != before:
        _note_marks(state, *before)
    new = {end.department for end in found if _count(state, end)}
    match event:
        case ObjectiveBreached():
            _open(state, event)
        case ObjectiveKept():
            key = (_department(event.scope), event.window_s)
            pulse.breaches.pop(key, None)
            state.changed(NOUN, f"breach/{key[0]}/{key[1]}", None)
    return _to_weigh(pulse, {end.department for end in found if end.outcome in BAD}, new)


def _tell_time(state: MaiState, event: Event) -> None:
    """The latest minute. Only what is open, or leaves a count, may tell it: a new life knows it from these rows."""
    match event:
        case RequestAccepted() if not event.asker.endswith(OWN):
            at_ms = event.accepted_ms
        case RequestEnded() if (request := state.requests.get(event.request)) and not request.asker.endswith(OWN):
            at_ms = request.accepted_ms + event.elapsed_ms
        case DoorRefused():
            at_ms = event.at_ms
        case _:
            return
    state.pulse.minute = max(state.pulse.minute, at_ms // MINUTE_MS)


def _count(state: MaiState, end: End) -> bool:
    """Add it to its minute; true if it is the first there."""
    pulse = state.pulse
    minutes = pulse.minutes[end.department]
    first = pulse.minute not in minutes
    if first:
        for at in outdated(minutes, pulse.minute):
            del minutes[at]
            state.changed(NOUN, f"minute/{end.department}/{at}", None)
        minutes[pulse.minute] = Tally()
    one = minutes[pulse.minute]
    good, bad = end.outcome in GOOD, end.outcome in BAD
    one.good, one.bad, one.apart = (
        had + end.times * counts for had, counts in ((one.good, good), (one.bad, bad), (one.apart, not (good or bad)))
    )
    state.changed(NOUN, f"minute/{end.department}/{pulse.minute}", one)
    return first


def _note_marks(state: MaiState, delayed: set[str], held: dict[str, str]) -> None:
    marks = state.pulse.marks
    for request in delayed ^ marks.delayed:
        state.changed(NOUN, f"delayed/{request}", Mark("delayed") if request in marks.delayed else None)
    for department in held.keys() | marks.held.keys():
        how = marks.held.get(department)
        state.changed(NOUN, f"held/{department}", Mark(how) if how is not None else None)


def _open(state: MaiState, event: ObjectiveBreached) -> None:
    found = Open(event.scope, event.window_s, event.at_ms)
    key = (_department(event.scope), event.window_s)
    state.pulse.breaches[key] = found
    state.changed(NOUN, f"breach/{key[0]}/{key[1]}", found)


def _to_weigh(pulse: Pulse, bad: set[str], new: set[str]) -> list[Input]:
    """Only what may change something, because most ends do not: a bad end, and a minute that begins while a breach goes on."""
    opened = {scope for scope, _ in pulse.breaches}
    found = (new | bad) & opened
    for scope in bad:
        if any(breached(pulse.minutes[scope], pulse.minute, pulse.of(scope), pace) for pace in PACES):
            found.add(scope)
    return [Weigh(tuple(sorted(found)))] if found else []


def _department(scope: str) -> str:
    return scope.partition("/")[2]


# -- decide
def decide(pulse: Pulse, client: str, given: TurnedAway | Weigh | Tick, now_ms: int) -> list[Event | Send]:
    """Put on record who was turned away; or what is breached now and was not, or the other way round; at a Tick what goes on."""
    match given:
        case TurnedAway():
            return [DoorRefused(count=given.count, why=given.why, at_ms=now_ms)]
        case Weigh():
            return _weigh(pulse, client, given.scopes, now_ms)
    return _weigh(pulse, client, {scope for scope, _ in pulse.breaches}, now_ms)


def _weigh(pulse: Pulse, client: str, scopes: Iterable[str], now_ms: int) -> list[Event | Send]:
    minute = now_ms // MINUTE_MS
    found: list[Event | Send] = []
    for scope in sorted(scopes):
        name, objectives = f"{client}/{scope}" if scope else client, pulse.of(scope)
        for pace in PACES:
            minutes = pulse.minutes[scope]
            long = within(minutes, minute, pace.long_s)
            if (scope, pace.long_s) in pulse.breaches:
                if kept(minutes, minute, objectives, pace):
                    burn = round(long.burn(objectives), 2)
                    found.append(ObjectiveKept(scope=name, window_s=pace.long_s, burn=burn, at_ms=now_ms))
            elif burn := breached(minutes, minute, objectives, pace):
                found.append(
                    ObjectiveBreached(
                        scope=name,
                        window_s=pace.long_s,
                        burn=round(burn, 2),
                        good=long.good,
                        bad=long.bad,
                        objective=objectives.availability,
                        at_ms=now_ms,
                    )
                )
    return found


def due_ms(pulse: Pulse) -> list[int]:
    """When the breaches that go on end by themselves, if nothing more happens."""
    spans = {pace.long_s: pace for pace in PACES}
    return [recovered_ms(pulse.minutes[scope], spans[span_s]) for scope, span_s in pulse.breaches if span_s in spans]


def load(state: MaiState, rows: dict[str, bytes]) -> None:
    """Take the counts up again from their rows."""
    pulse = state.pulse
    for key, data in rows.items():
        what, _, rest = key.partition("/")
        name, _, number = rest.rpartition("/")
        match what:
            case "minute":
                pulse.minutes[name][int(number)] = msgspec.json.decode(data, type=Tally)
            case "held":
                pulse.marks.held[rest] = msgspec.json.decode(data, type=Mark).how
            case "delayed":
                pulse.marks.delayed.add(rest)
            case "breach":
                pulse.breaches[name, int(number)] = msgspec.json.decode(data, type=Open)
    known = [at for minutes in pulse.minutes.values() for at in minutes]
    open_ = [one.accepted_ms // MINUTE_MS for one in state.requests.values() if not one.asker.endswith(OWN)]
    pulse.minute = max((*known, *open_), default=0)


# -- what leaves her
def incident(event: Event) -> dict[str, Any] | None:
    """The incident that the watchdog is to put into its book because of this fact; None for all others."""
    match event:
        case ObjectiveBreached():
            promised = f"{event.objective * 100:g} %"
            text = (
                f"{event.bad} of {event.good + event.bad} requests of the last {days(event.window_s)} were bad, "
                f"{promised} is promised: the budget burns {event.burn:g} times too fast"
            )
        case ObjectiveKept():
            text = f"the budget of the last {days(event.window_s)} burns no longer too fast: {event.burn:g}"
        case _:
            return None
    what = "breach" if isinstance(event, ObjectiveBreached) else "recovered"
    process = event.scope if "/" in event.scope else f"{event.scope}/mai"
    return {"process": process, "what": what, "text": text, "scope": event.scope, "window_s": event.window_s, "burn": event.burn}
