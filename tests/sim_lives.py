"""The lives of simulated processes: the production restart policy says who is started, and a process may die at any point.

What a dead process still tries to do fails: its ledger is closed and what it had not committed rolled back, its wires are cut,
each further point raises. Workers' code and tools may swallow that, as they swallow what they like; it does them no good.
"""

from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Any

from mai.agents.department import ATTEMPTS
from mai.agents.process import DepartmentProcess
from mai.daemon.case import Beat, Case, Ended, Event, Moment, Phase, Rules, Spawned
from mai.daemon.gateway import Gateway
from mai.daemon.policy import decide
from mai.sandbox.place import Place
from tests.sim_clients import Clients
from tests.sim_host import Host
from tests.sim_letters import Letters
from tests.sim_person import Person
from tests.sim_wires import Network

MAI = "acme/mai"
RULES = Rules()


class Crash(BaseException):
    """A process ends here. Whatever it still tries to do fails."""


class Violation(AssertionError):
    """What must never be."""


class Life:
    """One life of a process. `fuse`: it dies at the so-manieth point that it reaches; 0: it does not."""

    def __init__(self, name: str, pid: int) -> None:
        self.name, self.pid = name, pid
        self.process: Any = None
        self.dead = ""  # where
        self.fuse = 0
        self.stopped_until_s = 0.0


class Lives(Host):
    """All processes of a world, and the watchdog's memory of them."""

    random: Random
    random_of_code: Random
    place: Place
    network: Network
    clients: Clients
    person: Person
    letters: Letters
    faulty: bool
    kill_share: float

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names
        self.aim = ""  # a point at which the first one to come there dies
        self.lives: dict[str, Life] = {}
        self.cases = dict.fromkeys(names, Case())
        self.spawns: deque[str] = deque()
        self.acting: Life | None = None
        self.counts: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        self.mark = b""  # of whose code was running, when the last process died
        self.killers: Counter[bytes] = Counter()  # tasks that have killed their process
        self.found: list[str] = []  # what must not be, seen on the way: workers' code may swallow what is raised in it

    def told(self, what: str, who: str) -> None:
        """Into the log."""
        raise NotImplementedError

    def violated(self, what: str) -> None:
        """This must never be."""
        self.found.append(what)
        raise Violation(what)

    def reached(self, point: str) -> None:
        """A process is at a point: it may be its last."""
        life = self.acting
        assert life is not None, "code runs that belongs to no process"
        self.points[point] += 1
        if point == "start.opened":
            self.disk.keep_empty(life.name)
        if life.dead:
            raise Crash(life.dead)
        if point == "die" or (point == self.aim and not self.counts[f"die {point}"]):
            self.strike(life, point)
        if life.fuse:
            life.fuse -= 1
            if not life.fuse:
                self.strike(life, point)

    def heartbeat(self, name: str, state: str) -> None:
        """Goes to the watchdog's policy."""
        if state in ("replaying", "ready", "draining"):
            phase: Phase = state  # type: ignore[assignment]  # one of the three
            self.policy(name, Beat(phase))

    def policy(self, name: str, event: Event) -> None:
        """The watchdog's policy decides."""
        gate = name == MAI or self.cases[MAI].state == "ready"
        moment = Moment(self.now_s, self.random_of_code.random(), gate, RULES)
        verdict = decide(self.cases[name], event, moment)
        self.cases[name] = verdict.case
        for action in verdict.actions:
            if action == "spawn":
                self.spawns.append(name)
            elif life := self.lives.get(name):
                self.told(action, name)
                self.kill(life)

    @property
    def now_s(self) -> float:
        """The monotonic clock."""
        return self.now_ns / 1e9 - 1_799_000_000

    def start(self, name: str) -> None:
        """A process begins."""
        if name in self.lives:
            self.violated(f"{name} is started while it runs")
        self.pid += 1
        life = self.lives[name] = Life(name, self.pid)
        self.told("start", name)
        self.starting = name
        self.policy(name, Spawned(self.pid))
        if self.faulty and self.random.random() < self.kill_share:
            life.fuse = self.random.randrange(1, 12)
        self.act(life, lambda: self._make(life))

    def _make(self, life: Life) -> None:
        kind = Gateway if life.name == MAI else DepartmentProcess
        life.process = kind(self.place, life.name)

    def act(self, life: Life, does: Callable[[], object]) -> None:
        """Let a process do something, to its end if that comes."""
        self.acting = life
        try:
            does()
        except Violation:
            raise
        except (Crash, Exception) as error:
            if not life.dead and not self.found:
                raise Violation(f"{life.name} broke: {error!r}") from error
        self.acting = None
        if self.found:
            raise Violation(self.found[0])
        if life.dead:
            self.bury(life)

    def strike(self, life: Life, where: str) -> None:
        """The process ends here, in the midst of what it does."""
        life.dead = where
        mark = self.place.home(life.name) / "running"
        self.mark = mark.read_bytes() if mark.exists() else b""
        self.told("die", f"{life.name} at {where}")
        if where == "die":
            self.killers[self.mark] += 1
            if self.killers[self.mark] > ATTEMPTS:
                self.violated(f"{self.mark.rstrip(bytes(1)).decode()} has killed its process {ATTEMPTS + 1} times")
        self.counts[f"die {where}"] += 1
        self.disk.pull(life.name)
        self.network.gone(life.name)
        if life.name == MAI:
            self.clients.mai_gone()
            self.person.mai_gone()
            self.letters.mai_gone()
        raise Crash(where)

    def bury(self, life: Life) -> None:
        """It is gone: the mark of its workers stays as it was, and the watchdog hears of it."""
        mark = self.place.home(life.name) / "running"
        if self.mark and mark.exists():
            mark.write_bytes(self.mark)
        del self.lives[life.name]
        self.policy(life.name, Ended(life.pid, "was killed"))

    def kill(self, life: Life) -> None:
        """End a process between two turns."""
        self.act(life, lambda: self.strike(life, "between turns"))
