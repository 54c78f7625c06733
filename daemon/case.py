"""What is remembered of a process, and what can happen to it: the nouns of the restart policy. Pure."""

from typing import Literal, NamedTuple, get_args

import msgspec

State = Literal[
    "waiting",  # wanted, but what it depends on is not ready yet
    "queued",  # to be started when it is its turn
    "starting",  # spawned, not heard of yet
    "replaying",  # folds its journal
    "ready",
    "draining",  # finishes what it has, takes nothing new
    "stopping",  # was told to stop
    "aborted",  # was silent for too long and got SIGABRT
    "backoff",  # died; will be started at `retry_s`
    "failed",  # given up, until somebody resets it
    "stopped",  # not wanted
]
Phase = Literal["replaying", "ready", "draining"]  # what a process says of itself
Action = Literal["spawn", "terminate", "abort", "kill"]
STATES: tuple[State, ...] = get_args(State)
ALIVE: tuple[State, ...] = ("starting", "replaying", "ready", "draining")
PHASES: tuple[Phase, ...] = ("replaying", "ready", "draining")
SHOWN: dict[State, str] = {  # the rest as they are
    "waiting": "starting", "queued": "starting", "stopping": "draining", "aborted": "draining"
}  # fmt: skip
EX_CONFIG = 78  # sysexits.h; mai.sandbox.life has it too, but is not pure
EX_TEMPFAIL = 75  # likewise


class Rules(msgspec.Struct, frozen=True):
    """The figures of the policy."""

    heartbeat_s: float = 5.0  # silent for longer: hung
    start_s: float = 30.0  # from the spawn to the first word
    abort_s: float = 1.0  # from SIGABRT to SIGKILL
    settled_s: float = 1.0  # ready for that long: the next death is a new story
    first_delay_s: float = 0.1  # of the second restart in a row; the first one is at once
    longest_delay_s: float = 30.0
    early_deaths: int = 5  # in a row before READY
    deaths: int = 30  # within …
    period_s: float = 60.0
    patience: float = 6.0  # times the limit may be silent who only lacks a processor
    put_off_s: float = 0.5  # when the supervisor does not answer
    memory_bytes: int = 0  # resident, with its children; 0: no bound, as for the next two
    descriptors: int = 0
    cpu_cores: float = 0.0
    cpu_s: float = 10.0  # over which these are counted
    stuck_s: float = 0.0  # with work and without progress for longer: stuck
    sleep_s: float = 0.0  # without work for so long: it may sleep; 0: it may not


class Lack(NamedTuple):
    """What a silent process did with the time, as far as the kernel tells; see lack.py."""

    waited_s: float = 0.0  # for a processor
    ran_s: float = 0.0


NO_LACK = Lack()


class Moment(NamedTuple):
    """What a decision may know beside its case."""

    now_s: float  # monotonic
    chance: float = 0.0  # in [0, 1)
    gate: bool = True  # what it depends on is ready
    rules: Rules = Rules()
    turn: bool = True  # one more may start now, and it is the next one; see starts.py
    lack: Lack = NO_LACK


class Case(msgspec.Struct, frozen=True):
    """All that is remembered of one process."""

    wanted: bool = True
    state: State = "waiting"
    pid: int = 0
    since_s: float = 0.0  # in this state
    begun_s: float = 0.0  # when this life was asked for
    heard_s: float = 0.0
    ready_s: float = 0.0  # when it became ready; 0: not in this life
    deaths: tuple[float, ...] = ()  # within the period
    early: int = 0  # deaths in a row before READY
    attempt: int = 0  # restarts in a row without having been settled
    retry_s: float = 0.0
    asleep: bool = False  # stopped, or being stopped, until the next message for it; it is wanted all the same
    why: str = ""  # it is in this state, if that needs a reason
    warned: tuple[str, ...] = ()  # of what there was a word of warning: memory, descriptors, cpu, stuck
    spared_s: float = 0.0  # it lacked a processor: its silence is judged again then
    starved_s: float = float("-inf")  # when that was last put on record


# -- events
class Tick(NamedTuple):
    """Time has passed."""


class Spawned(NamedTuple):
    """It runs under this pid, since `age_s`."""

    pid: int
    age_s: float = 0.0


class Unspawned(NamedTuple):
    """The supervisor did not answer: nothing is known."""


class Beat(NamedTuple):
    """It said how it is."""

    phase: Phase


class Ended(NamedTuple):
    """The process of this pid (0: it could not even be spawned) is gone; `how` is for people."""

    pid: int
    how: str
    code: int = -1  # the exit code; -1: a signal, or unknown
    asked: bool = False  # the supervisor was told to stop it, by us or by supervisorctl
    rested: bool = False  # its last word was that it leaves nothing undone


class Idle(NamedTuple):
    """It has had nothing to do for so long, and nobody else of its client is about to give it something."""

    idle_s: float


class Wake(NamedTuple):
    """There is something for it, if it sleeps."""


class Floods(NamedTuple):
    """Its Mai cannot keep it from flooding her."""


class Start(NamedTuple):
    """An operator wants it to run."""


class Stop(NamedTuple):
    """An operator, or the end of everything, wants it not to run."""


class Restart(NamedTuple):
    """An operator wants it to run anew."""


class Reset(NamedTuple):
    """An operator forgives its deaths, and wants it to run."""


class Measured(NamedTuple):
    """What it takes, as far as there are bounds, and for how long it has had work and made no progress."""

    memory_bytes: int = 0
    descriptors: int = 0
    cpu_cores: float = 0.0
    idle_s: float = 0.0


Event = Tick | Spawned | Unspawned | Beat | Ended | Start | Stop | Restart | Reset | Measured | Idle | Wake | Floods


class Note(NamedTuple):
    """For the record: `what` is death, hung, starved, near, stuck, bloated, floods, failed or external (by supervisorctl)."""

    what: str
    text: str
    bound: str = ""  # which one it was ended at


class Verdict(NamedTuple):
    """What follows from an event."""

    case: Case
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()


def due_s(case: Case, rules: Rules) -> float:
    """When a tick could make a difference, on the clock of `Moment.now_s`."""
    match case.state:
        case "backoff":
            return case.retry_s
        case "aborted":
            return case.since_s + rules.abort_s
        case "starting" | "replaying" | "ready" | "draining":
            return max(silent_since_s(case) + limit_s(case, rules), case.spared_s)
        case _:
            return float("inf")


def silent_since_s(case: Case) -> float:
    """Its last word; before the first one, its start."""
    return case.since_s if case.state == "starting" else case.heard_s


def limit_s(case: Case, rules: Rules) -> float:
    """For how long it may be silent."""
    return rules.start_s if case.state == "starting" else rules.heartbeat_s
