"""The restart policy: one table, tried cell by cell and with thousands of random histories."""

import itertools
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.daemon.case import (
    ALIVE,
    NO_LACK,
    STATES,
    Beat,
    Case,
    Ended,
    Event,
    Floods,
    Idle,
    Lack,
    Measured,
    Moment,
    Reset,
    Restart,
    Rules,
    Spawned,
    Start,
    State,
    Stop,
    Tick,
    Unspawned,
    Wake,
    due_s,
)
from mai.daemon.policy import TABLE, decide, delay_s, excuse

RULES = Rules(sleep_s=60.0)
T = 1000.0  # the clock of these tests


def at(now_s: float = T, *, gate: bool = True, chance: float = 0.0, turn: bool = True, lack: Lack = NO_LACK) -> Moment:
    """A moment."""
    return Moment(now_s, chance, gate, RULES, turn, lack)


def running(state: State = "ready", **changes: object) -> Case:
    """A process that has been in this state, and ready, for a minute."""
    case = Case(state=state, pid=7, since_s=T - 60, heard_s=T, ready_s=T - 60)
    return msgspec.structs.replace(case, **changes)


def crash(how: str = "terminated by SIGSEGV", code: int = -1, pid: int = 7) -> Ended:
    """An end that nobody asked for."""
    return Ended(pid, how, code)


def test_every_row_of_the_table_is_of_a_known_state_and_event() -> None:
    """The table holds no row that can never be reached by a misspelt state or a foreign event."""
    assert {state for state, _ in TABLE} <= set(STATES)
    assert {event for _, event in TABLE} <= set(get_args(Event))


@pytest.mark.parametrize("state", STATES)
def test_every_state_obeys_an_operator(state: State) -> None:
    """In every state a stop is remembered, and after it a start is: no order is lost on a process that is between two states."""
    unwanted = decide(running(state, wanted=state != "stopped"), Stop(), at()).case
    assert not unwanted.wanted
    assert decide(unwanted, Start(), at()).case.wanted


def test_the_first_death_is_followed_by_a_start_at_once() -> None:
    """One death of a process that was ready costs no delay at all."""
    verdict = decide(running(), crash(), at())
    assert verdict.actions == ("spawn",)
    assert verdict.case.state == "starting" and verdict.case.pid == 0
    assert [note.what for note in verdict.notes] == ["death"]


def test_deaths_in_a_row_wait_for_longer_and_longer() -> None:
    """Without having been ready for a while in between, each restart waits twice as long as the one before, up to the cap."""
    waits = [delay_s(attempt, 0.0, RULES) for attempt in range(12)]
    assert waits[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == RULES.longest_delay_s == delay_s(10_000, 0.0, RULES)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_only_shortens_and_at_most_halves(attempt: int, chance: float) -> None:
    """A delay lies between half of its figure and its figure, so that the cap holds and many do not start in step."""
    whole = delay_s(attempt, 0.0, RULES)
    assert whole / 2 <= delay_s(attempt, chance, RULES) <= whole <= RULES.longest_delay_s


def test_a_settled_process_starts_with_a_clean_record() -> None:
    """After it was ready for some time, its next death is a first death."""
    settled = running(ready_s=T - RULES.settled_s, attempt=8)
    hasty = running(ready_s=T - RULES.settled_s / 2, attempt=8)
    assert decide(settled, crash(), at()).actions == ("spawn",)
    assert decide(hasty, crash(), at()).case.state == "backoff"


def test_backoff_ends_at_its_time_and_not_before() -> None:
    """A tick starts the process when the delay is over, and `due_s` names that very moment."""
    case = decide(running(ready_s=T, attempt=3), crash(), at()).case
    assert case.state == "backoff" and case.retry_s == due_s(case, RULES) == T + 0.4
    assert decide(case, Tick(), at(case.retry_s - 0.001)).actions == ()
    assert decide(case, Tick(), at(case.retry_s)).actions == ("spawn",)


def die_young(times: int) -> tuple[Case, float]:
    """A process that dies so often before it is ready, started again by the policy each time."""
    case, now_s = decide(Case(), Tick(), at()).case, T
    for pid in range(1, times + 1):
        case = decide(case, Spawned(pid), at(now_s)).case
        case = decide(case, crash(pid=pid), at(now_s)).case
        if case.state == "backoff":
            now_s = case.retry_s
            case = decide(case, Tick(), at(now_s)).case
    return case, now_s


def test_who_never_gets_ready_is_given_up() -> None:
    """After five deaths in a row before READY a process is failed, with the reason, and not after four."""
    assert die_young(RULES.early_deaths - 1)[0].state == "starting"
    case, _ = die_young(RULES.early_deaths)
    assert case.state == "failed" and "before it was ready" in case.why and "SIGSEGV" in case.why


def test_being_ready_once_forgives_early_deaths() -> None:
    """Only deaths in a row count: READY in between begins a new row."""
    case, now_s = die_young(RULES.early_deaths - 1)
    case = decide(case, Spawned(50), at(now_s)).case
    case = decide(case, Beat("ready"), at(now_s)).case
    assert case.early == 0
    assert decide(case, crash(pid=50), at(now_s)).case.state != "failed"


def test_too_many_deaths_in_the_period_are_too_many() -> None:
    """However quickly it recovers, the 31st death within a minute is the last; older deaths do not count."""
    recent = tuple(T - 50 + i for i in range(RULES.deaths))
    assert decide(running(deaths=recent), crash(), at()).case.state == "failed"
    old = tuple(at_s - 60 for at_s in recent)
    assert decide(running(deaths=old), crash(), at()).case.deaths == (T,)


def test_a_fault_that_a_restart_cannot_mend_is_not_restarted() -> None:
    """Exit code 78 fails the process at once, and its last words are the reason."""
    verdict = decide(running("replaying", ready_s=0.0), crash("the ledger is of format 9", 78), at())
    assert verdict.actions == () and verdict.case.state == "failed"
    assert verdict.case.why == "the ledger is of format 9"
    assert [note.what for note in verdict.notes] == ["death", "failed"]


@pytest.mark.parametrize("event", [Start(), Reset(), Restart()])
def test_a_failed_process_is_revived_with_a_clean_record(event: Event) -> None:
    """Start, restart and reset all give a failed process its full number of attempts again."""
    case, now_s = die_young(RULES.early_deaths)
    verdict = decide(case, event, at(now_s))
    assert verdict.actions == ("spawn",)
    assert (verdict.case.early, verdict.case.attempt, verdict.case.deaths, verdict.case.why) == (0, 0, (), "")


@pytest.mark.parametrize("state", ["replaying", "ready", "draining"])
def test_silence_is_answered_with_abort_then_kill(state: State) -> None:
    """Beyond the heartbeat limit: SIGABRT, a second later SIGKILL, and a start when it is gone; never before the limit."""
    case = running(state, heard_s=T)
    limit_s = T + RULES.heartbeat_s
    assert decide(case, Tick(), at(limit_s)).actions == ()
    verdict = decide(case, Tick(), at(limit_s + 0.01))
    assert verdict.actions == ("abort",) and [note.what for note in verdict.notes] == ["hung"]
    aborted = verdict.case
    assert decide(aborted, Tick(), at(limit_s + 0.5)).actions == ()
    assert decide(aborted, Tick(), at(limit_s + 0.01 + RULES.abort_s)).actions == ("kill",)
    assert decide(aborted, crash(), at(limit_s + 1.1)).actions == ("spawn",)


@pytest.mark.parametrize(
    ("lack", "what"),
    [
        (NO_LACK, "hung"),  # it sleeps, is stopped, or the kernel does not tell
        (Lack(0.0, 5.0), "hung"),  # a loop without end
        (Lack(2.0, 3.0), "hung"),  # the same with something else on the machine
        (Lack(3.9, 1.1), "hung"),  # with three others on its processor
        (Lack(2.4, 0.0), "hung"),  # it waited, and then it did not
        (Lack(2.6, 0.0), "starved"),
        (Lack(4.9, 0.1), "starved"),
        (Lack(4.0, 0.9), "starved"),
    ],
)
@pytest.mark.parametrize("state", ["replaying", "ready", "draining"])
def test_who_only_lacks_a_processor_is_not_aborted(lack: Lack, what: str, state: State) -> None:
    """Silent a moment beyond its limit: what it did with the time decides, and it is on record in either case."""
    case = running(state, heard_s=T)
    verdict = decide(case, Tick(), at(T + RULES.heartbeat_s + 0.01, lack=lack))
    assert [note.what for note in verdict.notes] == [what]
    assert verdict.actions == (("abort",) if what == "hung" else ())
    assert verdict.case.state == ("aborted" if what == "hung" else state)


def silent(lack: Lack, heard_s: float = T) -> tuple[float, list[str]]:
    """After how long a silent process that does this with each five seconds is aborted, and what was put on record."""
    case, now_s, said = running(heard_s=heard_s), heard_s, list[str]()
    while case.state == "ready":
        now_s = max(now_s + 0.1, due_s(case, RULES))
        share = (now_s - heard_s) / RULES.heartbeat_s
        case, _, notes = decide(case, Tick(), at(now_s, lack=Lack(lack.waited_s * share, lack.ran_s * share)))
        said += [note.what for note in notes]
    return now_s - heard_s, said


def test_patience_with_who_lacks_a_processor_has_an_end() -> None:
    """Some times the limit; earlier if it has had a fifth of its limit by then, which is enough for a heartbeat."""
    after_s, said = silent(Lack(5.0, 0.0))
    assert RULES.patience * RULES.heartbeat_s <= after_s <= RULES.patience * RULES.heartbeat_s + 1 and said == ["starved", "hung"]
    after_s, said = silent(Lack(4.75, 0.25))
    assert 20.0 <= after_s <= 21.0 and said == ["starved", "hung"]
    assert silent(NO_LACK)[0] <= RULES.heartbeat_s + 0.11


def test_a_word_ends_it_and_it_is_on_record_once_in_a_while() -> None:
    """A machine that is too busy for long does not fill the journal, and the next silence is measured anew."""
    case, said = running(heard_s=T), []
    for second in range(0, 120, 6):
        case, actions, notes = decide(case, Tick(), at(T + second + 5.5, lack=Lack(5.0, 0.1)))
        assert not actions
        said += [note.what for note in notes]
        case = decide(case, Beat("ready"), at(T + second + 6)).case
    assert said == ["starved", "starved"]
    assert decide(case, Tick(), at(T + 120 + 5.5)).actions == ("abort",)


def test_a_start_may_lack_a_processor_too() -> None:
    """The limit of a start is as patient as that of a heartbeat."""
    case = running("starting", since_s=T, ready_s=0.0)
    late = at(T + RULES.start_s + 0.01, lack=Lack(RULES.start_s * 0.9, 1.0))
    assert decide(case, Tick(), late).actions == ()
    assert decide(case, Tick(), late._replace(lack=NO_LACK)).actions == ("abort",)


BOUNDS = Rules(memory_bytes=1000, descriptors=10, cpu_cores=2.0, stuck_s=30.0)


@pytest.mark.parametrize(
    ("measured", "whats", "state"),
    [
        (Measured(), (), "ready"),
        (Measured(memory_bytes=799, descriptors=7, cpu_cores=1.5, idle_s=30.0), (), "ready"),
        (Measured(memory_bytes=800), ("near",), "ready"),
        (Measured(descriptors=9, cpu_cores=1.7), ("near", "near"), "ready"),
        (Measured(idle_s=30.1), ("stuck",), "ready"),
        (Measured(memory_bytes=1000), ("bloated",), "aborted"),
        (Measured(cpu_cores=2.0, idle_s=31.0), ("stuck", "bloated"), "aborted"),
        (Measured(descriptors=10), ("bloated",), "aborted"),
    ],
)
def test_bounds_are_warned_of_and_then_kept(measured: Measured, whats: tuple[str, ...], state: State) -> None:
    """At four fifths there is a word, at the whole the end, which leaves a traceback as a hang does."""
    verdict = decide(running(), measured, at()._replace(rules=BOUNDS))
    assert tuple(note.what for note in verdict.notes) == whats
    assert verdict.case.state == state and verdict.actions == (("abort",) if state == "aborted" else ())
    unbound = decide(running(), measured, at())
    assert (unbound.case.state, unbound.notes) == ("ready", ())


def test_a_warning_is_given_once_until_it_is_well_again() -> None:
    """What goes up and down a little at four fifths is one story; a new life begins without."""
    moment, case, said = at()._replace(rules=BOUNDS), running(), []
    for used in (850, 790, 810, 699, 800, 999):
        case, _, notes = decide(case, Measured(memory_bytes=used), moment)
        said.append(len(notes))
    assert said == [1, 0, 0, 0, 1, 0] and case.warned == ("memory",)
    dead = decide(case, crash(), moment).case
    assert decide(dead, Spawned(8), moment).case.warned == ()


def test_who_died_of_its_bounds_is_said_to() -> None:
    """The record of the death does not call it hung."""
    over = decide(running(), Measured(memory_bytes=2000), at()._replace(rules=BOUNDS)).case
    (note,) = decide(over, crash("terminated by SIGABRT"), at()).notes
    assert note.text == "process 7 terminated by SIGABRT while bloated"


@pytest.mark.parametrize("state", ALIVE)
def test_who_floods_its_mai_is_ended_and_given_up(state: State) -> None:
    """With a traceback, and until an operator resets it; who does not run has nothing to be ended."""
    verdict = decide(running(state), Floods(), at())
    assert verdict.actions == ("abort",) and [note.what for note in verdict.notes] == ["floods"]
    over = decide(verdict.case, crash("terminated by SIGABRT"), at())
    assert (over.case.state, over.actions) == ("failed", ()) and "flooded its Mai" in over.case.why
    assert [note.what for note in over.notes] == ["death", "failed"]
    again = decide(over.case, Reset(), at())
    assert again.actions == ("spawn",) and not again.case.why
    assert decide(over.case, Floods(), at()) == (over.case, (), ())


def test_a_start_may_take_longer_than_a_heartbeat() -> None:
    """Before its first word a process has the longer limit of a start."""
    case = running("starting", since_s=T, ready_s=0.0)
    assert decide(case, Tick(), at(T + RULES.start_s)).actions == ()
    assert decide(case, Tick(), at(T + RULES.start_s + 0.01)).actions == ("abort",)


def test_time_in_which_nobody_could_be_heard_does_not_count() -> None:
    """A watchdog that was itself stopped for an hour blames nobody for it."""
    case = excuse(running(heard_s=T - 1), 3600.0)
    assert decide(case, Tick(), at(T + 3600)).actions == ()


def test_a_heartbeat_keeps_alive() -> None:
    """Each heartbeat moves the limit, without any other change."""
    case = decide(running(heard_s=T - 4), Beat("ready"), at()).case
    assert case == running(heard_s=T)


def test_a_department_waits_for_its_gate() -> None:
    """What depends on another is not started before that is ready, and is started by the first tick after it."""
    assert decide(Case(), Tick(), at(gate=False)).actions == ()
    assert decide(Case(), Tick(), at()).actions == ("spawn",)
    assert decide(Case(state="stopped", wanted=False), Start(), at(gate=False)).case.state == "waiting"


def test_a_crash_does_not_wait_for_the_gate() -> None:
    """A department that dies while its Mai is away is started all the same: it will connect when she is back."""
    assert decide(running(), crash(), at(gate=False)).actions == ("spawn",)


@pytest.mark.parametrize(
    ("case", "event"),
    [
        (Case(), Tick()),
        (running(), crash()),
        (running("aborted", why="hung"), crash()),
        (running("stopping"), Ended(7, "exit status 0", 0, asked=True)),
        (running("backoff", pid=0, retry_s=T, attempt=2), Tick()),
        (running("failed", pid=0), Reset()),
        (running("stopped", pid=0, wanted=False), Start()),
        (running("stopped", pid=0, asleep=True), Wake()),
    ],
)
def test_whoever_is_to_start_waits_for_its_turn(case: Case, event: Event) -> None:
    """While it is not its turn nothing is spawned, however often time passes; when it is, one tick does it."""
    waits, actions, _ = decide(case, event, at(turn=False))
    assert (waits.state, actions, waits.wanted) == ("queued", (), True)
    assert decide(waits, Tick(), at(T + 1e6, turn=False)) == (waits, (), ())
    begun, actions, _ = decide(waits, Tick(), at(T + 9))
    assert (begun.state, begun.begun_s, actions) == ("starting", T + 9, ("spawn",))
    assert decide(waits, Stop(), at()).case.state == "stopped"
    assert decide(waits, Spawned(9), at()).case.pid == 9


def test_a_stop_is_final_until_a_start() -> None:
    """A stopped process is terminated, stays down through any tick, and comes back only when it is wanted."""
    verdict = decide(running(), Stop(), at())
    assert verdict.actions == ("terminate",)
    stopped = decide(verdict.case, Ended(7, "exit status 0", 0, asked=True), at()).case
    assert stopped.state == "stopped" and not stopped.wanted
    assert decide(stopped, Tick(), at(T + 1e6)).actions == ()
    assert decide(stopped, Start(), at()).actions == ("spawn",)


def test_a_start_during_a_stop_is_not_forgotten() -> None:
    """Who is wanted again while it still stops is started as soon as it is gone."""
    stopping = decide(running(), Stop(), at()).case
    wanted = decide(stopping, Start(), at())
    assert wanted.actions == ()
    assert decide(wanted.case, Ended(7, "exit status 0", 0, asked=True), at()).actions == ("spawn",)


def test_a_stop_from_outside_is_respected() -> None:
    """`supervisorctl stop` counts as an operator's word: the process is not wanted any more, and it stands on record."""
    verdict = decide(running(), Ended(7, "exit status 0", 0, asked=True), at())
    assert verdict.case.state == "stopped" and not verdict.case.wanted and verdict.actions == ()
    assert [note.what for note in verdict.notes] == ["external"]
    again = decide(verdict.case, Spawned(8), at())
    assert again.case.wanted and again.case.pid == 8


def test_an_end_of_an_earlier_life_changes_nothing() -> None:
    """A late word about a process that has been replaced does not touch its successor."""
    assert decide(running(), crash(pid=6), at()).case == running()


def test_a_new_watchdog_adopts_what_runs() -> None:
    """What is found running is neither started nor stopped; its next heartbeat makes it ready, its silence is seen soon."""
    verdict = decide(Case(), Spawned(7, age_s=3600), at())
    assert verdict.actions == () and verdict.case.pid == 7
    assert decide(verdict.case, Beat("ready"), at()).case.state == "ready"
    assert decide(verdict.case, Tick(), at(T + RULES.heartbeat_s + 0.01)).actions == ("abort",)


def test_a_supervisor_that_does_not_answer_is_not_a_death() -> None:
    """A spawn that may not have happened is tried again, and counts against nobody."""
    case = decide(decide(Case(), Tick(), at()).case, Unspawned(), at()).case
    assert (case.state, case.early, case.deaths) == ("backoff", 0, ())
    assert decide(case, Tick(), at(case.retry_s)).actions == ("spawn",)


def test_who_has_been_idle_for_long_enough_sleeps_if_it_leaves_nothing() -> None:
    """Not before its time, and not where sleep is not allowed; it is still wanted, and the next message starts it."""
    assert decide(running(), Idle(59.9), at()) == (running(), (), ())
    assert not decide(running(), Idle(1e9), Moment(T)).actions
    case, actions, notes = decide(running(deaths=(T - 1,)), Idle(60.0), at())
    assert (case.state, case.asleep, case.wanted, actions, notes) == ("stopping", True, True, ("terminate",), ())
    case, actions, notes = decide(case, Ended(7, "exit status 0", 0, True, rested=True), at())
    assert (case.state, case.asleep, case.wanted, case.pid, actions, notes) == ("stopped", True, True, 0, (), ())
    assert decide(case, Tick(), at(T + 1e6)).case == case
    case, actions, _ = decide(case, Wake(), at())
    assert (case.state, case.asleep, case.deaths, actions) == ("starting", False, (), ("spawn",))


@pytest.mark.parametrize("end", [Ended(7, "end", 0, True), Ended(7, "end", -1, True, rested=True), Ended(7, "end", -1)])
def test_who_leaves_something_undone_does_not_sleep(end: Ended) -> None:
    """Or may have: then it is started again at once."""
    lying = decide(running(), Idle(60.0), at()).case
    case, actions, _ = decide(lying, end, at())
    assert (case.state, case.asleep, actions) == ("starting", False, ("spawn",))


@pytest.mark.parametrize("event", [Start(), Restart(), Reset(), Wake()])
def test_who_is_wanted_while_it_lies_down_comes_back(event: Event) -> None:
    """As soon as it is gone, or at once if it is."""
    lying = decide(decide(running(), Idle(60.0), at()).case, event, at()).case
    assert decide(lying, Ended(7, "end", 0, True, rested=True), at()).actions == ("spawn",)
    asleep = running("stopped", pid=0, asleep=True)
    assert decide(asleep, event, at()).actions == ("spawn",)
    assert decide(asleep, event, at(gate=False)).case.state == "waiting"


def test_a_sleeper_that_is_stopped_sleeps_no_more() -> None:
    """Whoever stops it for good is told so, and no message starts it."""
    case = decide(running("stopped", pid=0, asleep=True), Stop(), at()).case
    assert (case.state, case.asleep, case.wanted) == ("stopped", False, False)
    assert not decide(case, Wake(), at()).actions


EVENTS = st.sampled_from(
    [
        Tick(),
        Spawned(1),
        Spawned(2, 100.0),
        Unspawned(),
        *(Beat(phase) for phase in ("replaying", "ready", "draining")),
        *(Ended(pid, "end", code, asked) for pid, code, asked in itertools.product((0, 1, 2), (-1, 0, 78), (True, False))),
        Start(),
        Stop(),
        Restart(),
        Reset(),
        Idle(RULES.sleep_s),
        Wake(),
        Floods(),
        *(Ended(pid, "end", 0, True, rested=True) for pid in (1, 2)),
    ]
)


@given(st.lists(st.tuples(EVENTS, st.floats(0, 40), st.booleans(), st.booleans()), max_size=80))
def test_no_history_breaks_the_rules(history: list[tuple[Event, float, bool, bool]]) -> None:
    """Whatever happens in whatever order: one start at a time, none that is not wanted, a delay never beyond the cap."""
    case, now_s = Case(), T
    for event, pause_s, gate, turn in history:
        now_s += pause_s
        before = case
        case, actions, _ = decide(case, event, at(now_s, gate=gate, chance=0.5, turn=turn))
        assert len(actions) <= 1
        if "spawn" in actions:
            assert turn and case.state == "starting" and case.pid == 0 and case.wanted
        if actions and actions[0] in ("terminate", "abort", "kill"):
            assert before.state in (*ALIVE, "aborted")
        assert case.wanted is (case.state != "stopped" or case.asleep) or case.state in ("stopping", "aborted")
        assert case.wanted or not case.asleep
        if case.asleep and case.state == "stopped" and before.state != "stopped":
            assert isinstance(event, Ended) and event.rested and event.code == 0
        assert len(case.deaths) <= RULES.deaths + 1
        assert case.retry_s <= now_s + RULES.longest_delay_s
