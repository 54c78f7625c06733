"""What strikes: each function is one fault of a kind, drawn by a seeded hand, and says what it did in a `Struck`."""

import random
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from mai.sandbox import traps
from mai.sandbox.points import POINTS
from tests.chaos_company import Company, gone, send
from tests.chaos_strace import Trace
from tests.chaos_world import DEPARTMENTS, HEARTBEAT_S, INSIDE, MAI

LOOK_S = 0.005
PRESENT_S = 20.0  # for a victim to run, or to be gone
REACHED_S = 4.0  # for a point or a system call to come
AT_START = tuple(name for name in POINTS if name.startswith("start."))
ELSEWHERE = ("keys.", "spool.", "rotation.", "retention.", "erase.")  # test_keys.py, test_spool.py …
AT_WORK = tuple(name for name in POINTS if not name.startswith(("start.", *ELSEWHERE)))
KILLING_CALLS = (*("pwrite64", "write", "fsync", "sendto") * 4, "fdatasync", "sendmsg")  # the last two hardly ever come
FAILING_CALLS = (*(("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("fsync", "EIO"), ("fsync", "ENOSPC")) * 4, ("fdatasync", "EIO"))
EVERYBODY = (*INSIDE, "watchdog", "supervisor")


class Struck(NamedTuple):
    """What a fault did: processes killed, other faults, and at what, "" if it came to nothing."""

    kills: int = 0
    others: int = 0
    what: str = ""


Fault = Callable[[Company, random.Random], Struck]


def until(look: Callable[[], bool], wait_s: float) -> bool:
    """Did it become true in time?"""
    end_s = time.monotonic() + wait_s
    while not look():
        if time.monotonic() > end_s:
            return False
        time.sleep(LOOK_S)
    return True


def pid_of(company: Company, name: str) -> int:
    """The pid of a process, as soon as there is one; 0 if none comes."""
    found = 0

    def look() -> bool:
        nonlocal found
        found = company.pids().get(name, 0)
        return bool(found)

    until(look, PRESENT_S)
    return found


def kill(company: Company, *names: str) -> Struck:
    """SIGKILL for these, at once."""
    pids = [pid for name in names if (pid := pid_of(company, name))]
    killed = [pid for pid in pids if send(pid, signal.SIGKILL)]
    until(lambda: all(map(gone, killed)), PRESENT_S)
    return Struck(kills=len(killed), what="+".join(names))


def places(points: tuple[str, ...]) -> list[tuple[str, str]]:
    """Every process and point that go together."""
    found = []
    for point in points:
        stem = point.partition(".")[0]
        if point == "start.resumed":
            found += [(name, point) for name in DEPARTMENTS]
        elif stem in ("effect", "undo"):
            found += [(name, point) for name in DEPARTMENTS if name != "acme/post"]
        elif stem == "door":
            found.append((MAI, point))
        else:
            found += [(name, point) for name in INSIDE]
    return found


# -- the kinds
def at_point(company: Company, chance: random.Random) -> Struck:
    """A process dies at a named point of its work, or of its start."""
    points = AT_START if chance.random() < 0.25 else AT_WORK
    name, point = chance.choice(places((chance.choice(points),)))
    return strike(company, name, point, chance.randrange(1, 6) if point in AT_WORK else 1)


def strike(company: Company, name: str, point: str, nth: int, *others: int, number: signal.Signals = signal.SIGKILL) -> Struck:
    """Let a process die at a point, with others if these pids are given; for a point of its start it dies before as well."""
    pid, before = pid_of(company, name), 0
    traps.order(company.points, name, point, nth, number, 0, *others)
    if point in AT_START and pid:
        before = kill(company, name).kills
    if not until(lambda: not traps.waits(company.points, name), PRESENT_S if point in AT_START else REACHED_S):
        traps.withdraw(company.points, name)
        return Struck(kills=before)
    return Struck(kills=before + 1 + len(others), what=point)


def at_random(company: Company, chance: random.Random) -> Struck:
    """A process dies at no particular moment: the watchdog and the supervisor too."""
    return kill(company, chance.choice(EVERYBODY if chance.random() < 0.5 else INSIDE))


def at_call(company: Company, chance: random.Random) -> Struck:
    """A process dies as it enters its nth call of the system."""
    name, call = chance.choice((*INSIDE, "watchdog")), chance.choice(KILLING_CALLS)
    trace = Trace(pid_of(company, name), call, f"signal=KILL:when={chance.randrange(1, 9)}", company.directory)
    until(lambda: trace.ended, REACHED_S)
    return Struck(int(trace.end()), 0, call)


def failing(company: Company, chance: random.Random) -> Struck:
    """A write or fsync fails: the process has to end, and to come back."""
    name, (call, error) = chance.choice((*INSIDE, "watchdog")), chance.choice(FAILING_CALLS)
    trace = Trace(pid_of(company, name), call, f"error={error}:when={chance.randrange(1, 9)}", company.directory)
    until(lambda: trace.ended or trace.injected, REACHED_S)
    if trace.injected:
        until(lambda: trace.ended, 0.5)
    return Struck(0, int(trace.end()), f"{call} {error}")


def in_pairs(company: Company, chance: random.Random) -> Struck:
    """Two die at once: at one moment, or the one takes the other along at a point, or dies while it records the other's death."""
    if chance.random() < 0.2:
        return at_the_record(company, chance)
    first, second = chance.choice((("watchdog", MAI), ("supervisor", "watchdog"), ("watchdog", "acme/vault"), (MAI, "acme/tools"),
                                   (MAI, "acme/branch"), ("acme/branch", "acme/vault"), (MAI, "acme/models")))  # fmt: skip
    if first in INSIDE and chance.random() < 0.6:
        name, point = chance.choice([place for place in places(AT_WORK) if place[0] == first])
        if other := pid_of(company, second):
            return strike(company, name, point, chance.randrange(1, 4), other)
    return kill(company, first, second)


def at_the_record(company: Company, chance: random.Random) -> Struck:
    """A process dies, and the watchdog while it puts that on record."""
    point = chance.choice(("commit.before", "commit.inside", "commit.after"))
    traps.order(company.points, "watchdog", point, 1, signal.SIGKILL, 0)
    found = kill(company, chance.choice(INSIDE))
    if not until(lambda: not traps.waits(company.points, "watchdog"), REACHED_S):
        traps.withdraw(company.points, "watchdog")
        return found
    return Struck(found.kills + 1, 0, f"{found.what}, {point}")


def in_recovery(company: Company, chance: random.Random) -> Struck:
    """A process dies, and its next lives die while they start, up to three times."""
    name = chance.choice(INSIDE)
    found = kill(company, name)
    for _ in range(chance.randrange(1, 4)):
        mine = [point for who, point in places(AT_START) if who == name]
        point = chance.choice((*mine, "receive.before", "commit.before"))
        more = strike_next(company, name, point)
        found = Struck(found.kills + more, 0, "again")
    return found


def strike_next(company: Company, name: str, point: str) -> int:
    """Let the life that begins now die at a point; 0 if it did not come there."""
    traps.order(company.points, name, point, 1, signal.SIGKILL, 0)
    if until(lambda: not traps.waits(company.points, name), REACHED_S):
        return 1
    traps.withdraw(company.points, name)
    return 0


def everything(company: Company, chance: random.Random) -> Struck:
    """All die at once; or the supervisor alone, whose children the kernel kills."""
    if chance.random() < 0.4:
        return kill(company, "supervisor")
    pids = list(company.pids().values())
    chance.shuffle(pids)
    killed = [pid for pid in pids if send(pid, signal.SIGKILL)]
    until(lambda: all(map(gone, killed)), PRESENT_S)
    return Struck(kills=len(killed), what="all")


def stopped(company: Company, chance: random.Random) -> Struck:
    """A process stands still: past the deadline of who is in a hurry, or past what the watchdog allows; then it is woken."""
    name = chance.choice(EVERYBODY if chance.random() < 0.4 else INSIDE)
    long = name in INSIDE and chance.random() < 0.3
    pause_s = HEARTBEAT_S + 0.5 + chance.random() if long else chance.choice((0.2, 0.5, 1.5))
    pid = pid_of(company, name)
    if name in INSIDE and chance.random() < 0.5:
        point = chance.choice([point for who, point in places(AT_WORK) if who == name])
        struck = strike(company, name, point, 1, number=signal.SIGSTOP)
        if not struck.what:
            return struck
    elif not send(pid, signal.SIGSTOP):
        return Struck()
    until(lambda: gone(pid), pause_s)
    send(pid, signal.SIGCONT)
    return Struck(others=1, what="long" if long else "short")


KINDS: dict[str, Fault] = {
    "at a named point": at_point,
    "at a system call": at_call,
    "at any moment": at_random,
    "two at once": in_pairs,
    "while it recovers": in_recovery,
    "everything": everything,
    "standing still": stopped,
    "failing disk": failing,
}
NEED_STRACE = ("at a system call", "failing disk")
