"""When a process is started, stopped, aborted, started again and given up: one table, states by events. Pure.

The rule of the whole: what is wanted and what is are kept apart, and every event and tick compares them. A cell of the
table says what follows: the next case, what to do (`Action`), and what to put on record (`Note`). A combination that is
not in the table changes nothing. Time and chance come in with each event, in a `Moment`.

The intensity (so many deaths in such a time) is OTP's, supervisor:add_restart/3; wanted beside actual is s6's.
"""

from collections.abc import Callable

import msgspec

from mai.daemon.case import (
    ALIVE,
    EX_CONFIG,
    EX_TEMPFAIL,
    Beat,
    Case,
    Ended,
    Event,
    Floods,
    Idle,
    Measured,
    Moment,
    Note,
    Reset,
    Restart,
    Rules,
    Spawned,
    Start,
    State,
    Stop,
    Tick,
    Unspawned,
    Verdict,
    Wake,
    due_s,
    limit_s,
    silent_since_s,
)
from mai.daemon.weighing import weigh

FLOODING = "flooding"
SPARED_S = 0.5  # until the silence of who lacks a processor is judged again

Cell = Callable[[Case, Event, Moment], Verdict]


def decide(case: Case, event: Event, moment: Moment) -> Verdict:
    """What follows from an event in a state; nothing if the table has no cell for it."""
    cell = TABLE.get((case.state, type(event)))
    return cell(case, event, moment) if cell else Verdict(case)


def delay_s(attempt: int, chance: float, rules: Rules) -> float:
    """Before restart number `attempt` in a row (from 0): nothing, then doubling up to the cap; jitter takes up to half."""
    if attempt == 0:
        return 0.0
    whole = min(rules.longest_delay_s, rules.first_delay_s * 2.0 ** min(attempt - 1, 62))
    return whole * (1.0 - chance / 2.0)


def excuse(case: Case, gap_s: float) -> Case:
    """Nobody could be heard for so long (we were stopped, or the machine slept): silence in it does not count."""
    return msgspec.structs.replace(case, heard_s=case.heard_s + gap_s, since_s=case.since_s + gap_s)


# -- what the cells are made of
def to(case: Case, state: State, moment: Moment, **changes: object) -> Case:
    """The same case in another state."""
    return msgspec.structs.replace(case, state=state, since_s=moment.now_s, **changes)


def spawn(case: Case, moment: Moment, **changes: object) -> Verdict:
    """Start it, unless it has to wait for another; Mai comes before her departments."""
    if not moment.gate:
        return Verdict(to(case, "waiting", moment, pid=0, asleep=False, **changes))
    return launch(case, moment, asleep=False, **changes)


def launch(case: Case, moment: Moment, **changes: object) -> Verdict:
    """Start it if it is its turn, or when it is."""
    if not moment.turn:
        return Verdict(to(case, "queued", moment, pid=0, why="", **changes))
    begun = to(case, "starting", moment, pid=0, begun_s=moment.now_s, ready_s=0.0, why="", **changes)
    return Verdict(begun, ("spawn",))


def go(case: Case, event: Event, moment: Moment) -> Verdict:
    """It waits for nothing but its turn."""
    return launch(case, moment) if moment.turn else Verdict(case)


def fresh(case: Case, event: Event, moment: Moment) -> Verdict:
    """Start it with a clean record."""
    return spawn(case, moment, wanted=True, deaths=(), early=0, attempt=0)


def open_gate(case: Case, event: Event, moment: Moment) -> Verdict:
    return spawn(case, moment) if moment.gate else Verdict(case)


def retry(case: Case, event: Event, moment: Moment) -> Verdict:
    if moment.now_s < case.retry_s:
        return Verdict(case)
    return launch(case, moment)


def put_off(case: Case, event: Event, moment: Moment) -> Verdict:
    """Not its fault, so not a death."""
    retry_s = moment.now_s + moment.rules.put_off_s
    return Verdict(to(case, "backoff", moment, retry_s=retry_s, why="the supervisor does not answer"))


def rest(case: Case, event: Event, moment: Moment) -> Verdict:
    return Verdict(to(case, "stopped", moment, wanted=False, pid=0, why="", asleep=False))


def forgive(case: Case, event: Event, moment: Moment) -> Verdict:
    return Verdict(msgspec.structs.replace(case, deaths=(), early=0, attempt=0))


def want(case: Case, event: Event, moment: Moment) -> Verdict:
    return Verdict(msgspec.structs.replace(case, wanted=not isinstance(event, Stop), asleep=False))


def doze(case: Case, event: Event, moment: Moment) -> Verdict:
    """It had nothing to do for long enough: it is stopped until there is something."""
    assert isinstance(event, Idle)
    if not 0 < moment.rules.sleep_s <= event.idle_s:
        return Verdict(case)
    return Verdict(to(case, "stopping", moment, asleep=True, why=""), ("terminate",))


def rouse(case: Case, event: Event, moment: Moment) -> Verdict:
    return spawn(case, moment, deaths=(), early=0, attempt=0) if case.asleep else Verdict(case)


def stay_up(case: Case, event: Event, moment: Moment) -> Verdict:
    """It is not asleep yet, or nobody knows that it is not any more."""
    return Verdict(msgspec.structs.replace(case, asleep=False))


def lie(case: Case, event: Event, moment: Moment) -> Verdict:
    """It sleeps, and is not wanted any more."""
    return rest(case, event, moment) if case.asleep else Verdict(case)


def terminate(case: Case, event: Event, moment: Moment) -> Verdict:
    wanted = not isinstance(event, Stop)
    return Verdict(to(case, "stopping", moment, wanted=wanted, asleep=False, why=""), ("terminate",))


def begin(case: Case, event: Event, moment: Moment) -> Verdict:
    """It runs: as we asked, or found running by a new watchdog, or started by supervisorctl."""
    assert isinstance(event, Spawned)
    if case.pid == event.pid:
        return Verdict(case)
    known = event.age_s < moment.rules.start_s  # an older one should have spoken long ago: the shorter limit holds
    begun = to(
        case, "starting" if known else "replaying", moment, pid=event.pid, wanted=True, ready_s=0.0, warned=(), spared_s=0.0
    )
    begun = msgspec.structs.replace(
        begun, since_s=moment.now_s - event.age_s if known else moment.now_s, heard_s=moment.now_s,
        begun_s=moment.now_s - event.age_s,
    )  # fmt: skip
    external = case.state in ("stopped", "failed", "backoff")
    begun = msgspec.structs.replace(begun, asleep=case.asleep and not external)
    return Verdict(begun, (), (Note("external", f"process {event.pid} was started from outside"),) if external else ())


def hear(case: Case, event: Event, moment: Moment) -> Verdict:
    """It speaks: it is alive, and says in which state it is."""
    assert isinstance(event, Beat)
    if case.state == event.phase:
        return Verdict(msgspec.structs.replace(case, heard_s=moment.now_s))
    ready_s = case.ready_s or (moment.now_s if event.phase == "ready" else 0.0)
    early = 0 if event.phase == "ready" else case.early
    return Verdict(to(case, event.phase, moment, heard_s=moment.now_s, ready_s=ready_s, early=early))


def listen(case: Case, event: Event, moment: Moment) -> Verdict:
    """Nobody may be silent for longer than the limit of its state: SIGABRT, which leaves a traceback. Who only lacks a processor
    is given time: to end it, and start it again, would take even more of what there is too little of.
    """
    if not case.pid or moment.now_s <= due_s(case, moment.rules):
        return Verdict(case)
    silent_s = moment.now_s - silent_since_s(case)
    text = f"process {case.pid} was silent for {silent_s:.1f} s while {case.state}"
    if is_starved(silent_s, limit_s(case, moment.rules), moment):
        return _spare(case, moment, f"{text}, and waited for a processor for {moment.lack.waited_s:.1f} s of that")
    return Verdict(to(case, "aborted", moment, why="hung"), ("abort",), (Note("hung", text),))


def is_starved(silent_s: float, most_s: float, moment: Moment) -> bool:
    """Did it wait for a processor for most of its silence? Who has had one for a fifth of what it may be silent is at something
    else than it should: on a busy machine it waits as well.
    """
    waited_s, ran_s = moment.lack
    return waited_s >= silent_s / 2 and ran_s < most_s / 5 and silent_s < most_s * moment.rules.patience


def _spare(case: Case, moment: Moment, text: str) -> Verdict:
    known = moment.now_s < case.starved_s + moment.rules.period_s
    spared = msgspec.structs.replace(case, spared_s=moment.now_s + SPARED_S, starved_s=case.starved_s if known else moment.now_s)
    return Verdict(spared, (), () if known else (Note("starved", text),))


def weighed(case: Case, event: Event, moment: Moment) -> Verdict:
    """It takes too much, which ends it as if it hung; or nearly; or it has work and does nothing."""
    assert isinstance(event, Measured)
    found = weigh(case, event, moment.rules)
    notes = [Note("near", f"process {case.pid} {text}") for text in found.near if not found.over]
    notes += [Note("stuck", f"process {case.pid} {found.stuck}")] if found.stuck else []
    if found.over:
        note = Note("bloated", f"process {case.pid} {found.over}", found.bound)
        return Verdict(to(case, "aborted", moment, why="bloated"), ("abort",), (*notes, note))
    return Verdict(msgspec.structs.replace(case, warned=found.warned), (), tuple(notes))


def condemn(case: Case, event: Event, moment: Moment) -> Verdict:
    """It is ended, with a traceback, and not started again: it would go on."""
    text = f"process {case.pid} floods its Mai, also when it is not heard"
    return Verdict(to(case, "aborted", moment, why=FLOODING), ("abort",), (Note("floods", text),))


def finish_off(case: Case, event: Event, moment: Moment) -> Verdict:
    """It did not die of SIGABRT: it is stopped, or deep in the kernel."""
    if moment.now_s < case.since_s + moment.rules.abort_s:
        return Verdict(case)
    return Verdict(to(case, "aborted", moment), ("kill",))


def left(case: Case, event: Event, moment: Moment) -> Verdict:
    """It was told to stop, and did; by now it may be wanted again. Who was to sleep sleeps if there is nothing that it left."""
    assert isinstance(event, Ended)
    if _stale(case, event):
        return Verdict(case)
    if case.wanted and case.asleep and event.code == 0 and event.rested:
        return Verdict(to(case, "stopped", moment, pid=0))
    return spawn(case, moment, deaths=(), early=0, attempt=0) if case.wanted else rest(case, event, moment)


def died(case: Case, event: Event, moment: Moment) -> Verdict:
    """Nobody told it to stop, unless by supervisorctl: start it again at once, later, or not at all."""
    assert isinstance(event, Ended)
    if _stale(case, event):
        return Verdict(case)
    if event.asked and case.asleep:  # by a watchdog before us
        return left(case, event, moment)
    if event.asked or not case.wanted:
        note = Note("external", f"process {event.pid} was stopped from outside: {event.how}")
        return Verdict(rest(case, event, moment).case, (), (note,) if case.wanted else ())
    case, note = _bury(case, event, moment)
    if reason := _hopeless(case, event, moment.rules):
        return Verdict(to(case, "failed", moment, pid=0, why=reason), (), (note, Note("failed", reason)))
    if wait_s := delay_s(case.attempt, moment.chance, moment.rules):
        why = f"{event.how}; again in {wait_s:.1f} s"
        changed = to(case, "backoff", moment, pid=0, attempt=case.attempt + 1, retry_s=moment.now_s + wait_s, why=why)
        return Verdict(changed, (), (note,))
    return launch(case, moment, attempt=1)._replace(notes=(note,))


def _stale(case: Case, event: Event) -> bool:
    """An end that belongs to an earlier life."""
    return isinstance(event, Ended) and bool(event.pid) and bool(case.pid) and event.pid != case.pid


def _bury(case: Case, event: Ended, moment: Moment) -> tuple[Case, Note]:
    """Count a death, unless the disk was the cause: that is not held against it."""
    deaths = (*(at_s for at_s in case.deaths if at_s > moment.now_s - moment.rules.period_s), moment.now_s)
    settled = bool(case.ready_s) and moment.now_s - case.ready_s >= moment.rules.settled_s
    text = f"process {event.pid} {event.how} while {case.why if case.state == 'aborted' else case.state}"
    if event.code == EX_TEMPFAIL:
        return msgspec.structs.replace(case, attempt=max(1, case.attempt)), Note("death", text)
    counted = msgspec.structs.replace(
        case, deaths=deaths, early=0 if case.ready_s else case.early + 1, attempt=0 if settled else case.attempt
    )
    return counted, Note("death", text)


def _hopeless(case: Case, event: Ended, rules: Rules) -> str:
    """Why it is given up; "" if it is not."""
    if event.code == EX_CONFIG:
        return event.how
    if event.code == EX_TEMPFAIL:
        return ""  # however often: the disk is full, and it comes back by itself when there is room
    if case.state == "aborted" and case.why == FLOODING:
        return f"it flooded its Mai; {event.how}"
    if case.early >= rules.early_deaths:
        return f"died {case.early} times in a row before it was ready; last: {event.how}"
    if len(case.deaths) > rules.deaths:
        return f"died {len(case.deaths)} times within {rules.period_s:g} s; last: {event.how}"
    return ""


TABLE: dict[tuple[State, type[Event]], Cell] = {
    ("waiting", Tick): open_gate,
    ("waiting", Spawned): begin,
    ("waiting", Stop): rest,
    ("queued", Tick): go,
    ("queued", Spawned): begin,
    ("queued", Stop): rest,
    ("queued", Reset): forgive,
    **{(state, Spawned): begin for state in ALIVE},
    **{(state, Beat): hear for state in ALIVE},
    **{(state, Ended): died for state in ALIVE},
    **{(state, Measured): weighed for state in ALIVE},
    **{(state, Tick): listen for state in ALIVE},
    **{(state, Floods): condemn for state in ALIVE},
    **{(state, Stop): terminate for state in ALIVE},
    **{(state, Restart): terminate for state in ALIVE},
    **{(state, Reset): forgive for state in ALIVE},
    **{(state, Wake): stay_up for state in ALIVE},
    ("ready", Idle): doze,
    ("starting", Unspawned): put_off,
    ("stopping", Ended): left,
    ("stopping", Start): want,
    ("stopping", Stop): want,
    ("stopping", Restart): want,
    ("stopping", Reset): want,
    ("stopping", Wake): stay_up,
    ("aborted", Ended): died,
    ("aborted", Tick): finish_off,
    ("aborted", Stop): want,
    ("aborted", Start): want,
    ("aborted", Restart): want,
    ("aborted", Reset): want,
    ("backoff", Tick): retry,
    ("backoff", Spawned): begin,
    ("backoff", Start): fresh,
    ("backoff", Restart): fresh,
    ("backoff", Reset): fresh,
    ("backoff", Stop): rest,
    ("failed", Spawned): begin,
    ("failed", Start): fresh,
    ("failed", Restart): fresh,
    ("failed", Reset): fresh,
    ("failed", Stop): rest,
    ("stopped", Spawned): begin,
    ("stopped", Wake): rouse,
    ("stopped", Stop): lie,
    ("stopped", Start): fresh,
    ("stopped", Restart): fresh,
    ("stopped", Reset): fresh,
}
