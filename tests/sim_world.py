"""One seed, one world: the production processes of one client, from their loops down to their ledgers, under every fault at once.

The processes are those of daemon/gateway.py and agents/process.py; only what they stand on is simulated (sim_host.py). A
world goes one step after another, each drawn from its seed: a process has a turn, a client asks, a process dies at one of its
points, a wire breaks, the machine sleeps. The production restart policy says who comes back, and when. At last it is
quiet: no more faults, all must come to rest within a bound, and then the invariants are checked (sim_checks.py).
"""

from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pysqlite3 as sqlite3

from mai.agents import messages
from mai.agents.link import HELD_BACK
from mai.agents.messages import Ack, Complaint, Hello
from mai.agents.organisation import SERVICES
from mai.agents.retention_scope import Retention
from mai.daemon.case import Reset, Tick, due_s
from mai.daemon.held import name_of
from mai.daemon.policy import excuse
from mai.sandbox.archive import Archive
from mai.sandbox.bounds import ALL
from mai.sandbox.place import Place
from mai.sandbox.proof import NAME, digest
from mai.sandbox.record import Record
from tests import sim_company
from tests.sim_clients import PROOF, Clients, Knocking, Plans
from tests.sim_host import hosted
from tests.sim_letters import CHANNEL, Letters, look
from tests.sim_lives import MAI, RULES, Crash, Life, Lives, Violation
from tests.sim_outside import Outside
from tests.sim_person import Person
from tests.sim_watchdog import Records
from tests.sim_wires import Dealer, Network, Router

FAULTY_STEPS = (40, 260)
MOST_STEPS = 12_000  # until it has to be at rest
SOON_MS = 10_000  # what is due by then is waited for
MOST_S = 300.0  # and that is long before the later deadlines
MOST_DEATHS = 25
HEAD = "SELECT digest FROM journal ORDER BY seq DESC LIMIT 1"
ALL_READY = {"socket": 1, "monitor": 1, "planning": 1, "door": 1}
Log = list[tuple[object, ...]]


class World(Lives):
    """All of one seed. `run` plays it; raises Violation."""

    def __init__(self, seed: int, directory: Path) -> None:
        super().__init__(sim_company.company().processes())
        self.seed, self.random, self.log = seed, Random(seed), Log()
        self.place = Place(directory)
        if seed % 3 == 0 and type(self) is World:  # some rotate their journals again and again
            self.retention = Retention(journal_records=60)
        for name in self.names:
            home = self.place.home(name)
            home.mkdir(parents=True, exist_ok=True)
            (home / NAME).write_text(digest(PROOF))
            for segment in home.glob("*.segment*"):  # of another world
                segment.unlink()
        self.random_of_code = Random(seed + 1)
        self.clients = Clients(self.random, self.told, self.look)
        self.network = Network(self.random, self.told, self.left, self.names[1:])
        self.bank = Outside(self.reached, self.mishap, self.intended)
        self.person = Person(self.random, self.bank, self.clients, self.look)
        self.letters = Letters(self.random, self.clients, self.place.spool("acme", CHANNEL), lambda message: look(self, message))
        self.plans = Plans(self.random)
        self.records_of_watchdog = Records(self.random, [name for name in self.names[1:] if name_of(name) not in SERVICES])
        self.faulty, self.steps, self.records = True, 0, 0
        self.heads: dict[str, str] = {}  # of the journals, at the end
        self.honest = self.random.random() < 0.5  # a wire as ZeroMQ's: it loses only what is under way when an end dies
        self.kill_share = self.random.choice([0.01, 0.03, 0.1])
        self.tool_share = self.random.choice([0, 0.1, 0.3])
        if self.honest:
            self.network.faults.lose = self.network.faults.swap = self.network.faults.double = 0

    # -- what the host is asked
    def chance(self) -> float:
        """For the workers' code."""
        return self.random_of_code.random()

    def noise(self, count: int) -> bytes:
        """For the ledgers' boots."""
        return self.random_of_code.randbytes(count)

    def dealer(self, name: str) -> Dealer:
        """A department's end of its wire."""
        return Dealer(self.network, name)

    def router(self) -> Router:
        """Mai's end."""
        return Router(self.network)

    def door(self) -> Knocking:
        """Mai's door."""
        return Knocking(self.clients)

    def planning(self) -> Plans:
        """Mai's planning; a new one in each life."""
        self.plans = Plans(self.random)
        return self.plans

    def mishap(self) -> str:
        """How a tool fails now."""
        if not self.faulty or self.random.random() >= self.tool_share:
            return ""
        how = self.random.choice(["fails", "late", "unsaid"])
        self.told("tool", how)
        return how

    # -- looking on
    def told(self, what: str, who: str) -> None:
        """Into the log."""
        self.counts[what] += 1
        self.log.append((self.steps, self.now_ns // 1_000_000 % 10_000_000, what, who))

    def committed(self, name: str, query: str, *given: object) -> Any:
        """What the disk of a process has, as another sees it."""
        db = self.disk.anchors[name]
        archive = Archive(db, self.place.home(name))
        if not archive.upto or "journal" not in query:
            row = db.execute(query, given).fetchone()
            return row[0] if row else None
        with closing(sqlite3.connect(":memory:")) as whole:  # with what has left the journal
            whole.execute(f"CREATE TABLE journal({', '.join(Record._fields)})")
            marks = ", ".join("?" * len(Record._fields))
            whole.executemany(f"INSERT INTO journal VALUES({marks})", archive.whole(ALL))
            row = whole.execute(query, given).fetchone()
        archive.close()
        return row[0] if row else None

    def left(self, sender: str, to: str, frame: bytes) -> None:
        """A frame leaves its process: what it says has to be on its disk."""
        if self.acting and self.acting.dead:
            raise Crash(self.acting.dead)
        envelope = messages.decode(frame, sim_company.company().limits.message_bytes)
        body = envelope.body
        if isinstance(body, Complaint) and body.why in HELD_BACK:
            self.told("held back", to)
        if isinstance(body, Hello | Ack):
            row = self.committed(sender, "SELECT value FROM state WHERE noun='link' AND key=?", to)
            received = msgspec.json.decode(row)["received"] if row else 0
            if body.received > received:
                self.violated(f"{sender} acknowledges {body.received} to {to}, its disk has {received}")
        if (envelope.head_seq, envelope.head) != (0, bytes(32)):
            digest = self.committed(sender, "SELECT digest FROM journal WHERE seq=?", envelope.head_seq)
            if digest != envelope.head:
                self.violated(f"{sender} sends {type(body).__name__} with record {envelope.head_seq}, which its disk has not")
        if not isinstance(body, Hello | Ack):
            self.log.append((self.steps, sender, "sends", type(body).__name__, envelope.lseq, to))

    def look(self, what: str, request: str) -> None:
        """A client is told something: it has to be on Mai's disk."""
        kind = TOLD.get(what, "request.ended")
        query = f"SELECT count(*) FROM journal WHERE kind=? AND {WHICH.get(what, 'request')}=?"
        if not self.committed(MAI, query, kind, request):
            self.violated(f"somebody is told that {request} is {what}, which is not on Mai's disk")
        self.told(what, request)

    def intended(self, key: str) -> None:
        """A tool acts: its intent has to be on the disk of its department."""
        assert self.acting is not None, "a tool that nobody calls"
        task, _, n = key.rpartition("/")
        query = "SELECT count(*) FROM journal WHERE kind='effect.intent' AND task=? AND body->>'n'=?"
        if not self.committed(self.acting.name, query, task, int(n)):
            self.violated(f"the effect {key} begins, and its intent is not on the disk")
        self.log.append((self.steps, self.acting.name, "acts", key))

    # -- steps
    def run(self) -> "World":
        """From the first start to the last check. Raises Violation."""
        before = getattr(Outside, "now", None)
        with hosted(self):
            Outside.now = self.bank
            for name in self.names:
                (self.place.home(name) / "running").unlink(missing_ok=True)  # another world's
            try:
                for _ in range(self.random.randrange(*FAULTY_STEPS)):
                    self.step()
                self.quiet()
                self.heads = {name: self.committed(name, HEAD).hex() for name in self.names}
                self.records = self.checked()
            finally:
                self.lives.clear()
                if before is not None:
                    Outside.now = before
        return self

    def checked(self) -> int:
        """All that has to be so at the end; how many records there are. Raises Violation."""
        from tests.sim_checks import check

        return check(self)

    def step(self) -> None:
        """One thing happens."""
        self.steps += 1
        self.now_ns += self.random.randrange(50_000, 2_000_000)
        if self.faulty:
            self.trouble()
        self.watch()
        for name in self.network.wires:
            if self.random.random() < 0.3:
                self.network.connect(name)
        able = [life for life in self.lives.values() if self.can(life)]
        if able:
            life = self.random.choice(able)
            self.act(life, lambda: self.turn(life))
        else:
            self.leap()

    def trouble(self) -> None:
        """Clients ask, and things go wrong."""
        random = self.random
        if random.random() < 0.15:
            self.clients.act()
        self.person.act()
        self.letters.act()
        self.records_of_watchdog.act()
        if random.random() < self.kill_share and self.counts["die"] < MOST_DEATHS:
            for _ in range(random.choice([1, 1, 1, 2])):
                if life := self.lives.get(random.choice(self.names)):
                    life.fuse = random.choice([random.randrange(1, 9), random.randrange(1, 60)])
        if not self.honest and random.random() < 0.02:
            self.network.cut(random.choice(self.names[1:]))
        if random.random() < (0.03 if self.honest else 0.01) and (life := self.lives.get(random.choice(self.names))):
            life.stopped_until_s = self.now_s + random.choice([0.05, 1.0, 3.0, 30.0])
            self.told("stop", life.name)
        if random.random() < 0.02 and (mai := self.lives.get(MAI)):  # she reads nothing, while others come and go
            mai.stopped_until_s = self.now_s + random.choice([0.02, 0.3, 1.0])
            self.told("stop", MAI)
            if life := self.lives.get(random.choice(self.names[1:])):
                life.fuse = random.randrange(1, 30)
        if random.random() < 0.003:
            self.sleep(random.choice([1.0, 20.0, 40.0]))

    def sleep(self, gap_s: float) -> None:
        """The whole machine sleeps; the watchdog notices that it could hear nobody."""
        self.told("sleep", f"{gap_s:g} s")
        self.now_ns += int(gap_s * 1e9)
        for name, case in self.cases.items():
            self.cases[name] = excuse(case, gap_s)

    def watch(self) -> None:
        """The watchdog looks, and starts who is to be started."""
        for name in self.names:
            if self.cases[name].state == "waiting" or due_s(self.cases[name], RULES) <= self.now_s:
                self.policy(name, Tick())
        if self.spawns:
            self.start(self.spawns.popleft())

    def can(self, life: Life) -> bool:
        """Has a process something to do?"""
        process = life.process
        if process is None or self.now_s < life.stopped_until_s:
            return False
        if self.network.waits_for(life.name) or process._beat_s <= self.now_s:
            return True
        if life.name == MAI and self.records_of_watchdog.new(process):
            return True
        if 0 < process.decider.next_deadline_ms() <= self.now_ns // 1_000_000:
            return True
        return bool(self.clients.knocking or self.plans.open) if life.name == MAI else bool(process.runner.busy)

    def turn(self, life: Life) -> None:
        """One turn of the process's own loop."""
        process = life.process
        if life.name == MAI:
            for told in self.records_of_watchdog.new(process):
                process.shell.feed(told)
        process._round(ALL_READY)
        if 0 < process.decider.next_deadline_ms() < self.now_ns // 1_000_000:  # a part's may be now
            self.violated(f"{life.name} leaves something open after its deadline")
        if process.halted:
            raise Violation(f"{life.name} halts: {process.halted}")

    def leap(self) -> None:
        """Nobody can do anything: until something is due."""
        if self.spawns:
            return
        ahead = [due_s(case, RULES) for case in self.cases.values()]
        for life in self.lives.values():
            if life.process is not None:
                deadline_s = life.process.decider.next_deadline_ms() / 1000 - 1_799_000_000
                due = min(life.process._beat_s, deadline_s) if deadline_s > 0 else life.process._beat_s
                ahead.append(max(life.stopped_until_s, due))
        self.now_ns += max(1_000_000, int((min(ahead) - self.now_s) * 1e9) + 1000)

    # -- the end
    def quiet(self) -> None:
        """No more faults: everybody comes back, every client insists on an answer, and all must come to rest."""
        self.told("quiet", "")
        self.person.appeals = False
        self.faulty = False
        self.network.faults.quiet()
        self.records_of_watchdog.rest()
        for life in self.lives.values():
            life.fuse, life.stopped_until_s = 0, 0.0
        for name in self.names:
            if self.cases[name].state == "failed":
                self.policy(name, Reset())
            if not self.honest and name != MAI:
                self.network.cut(name)
        self.rest()
        for wish in self.clients.wishes:
            self.clients.ask(wish)  # once more: it has to be the same answer
        self.rest()

    def rest(self) -> None:
        """Until nothing is left to be done."""
        until_s = self.now_s + MOST_S
        for _ in range(MOST_STEPS):
            self.step()
            self.clients.insist()
            self.letters.insist()
            self.person.call_back()
            if any(life.name == MAI and life.process and life.process.decider.state.doubts for life in self.lives.values()):
                self.person.resolve()
            if any(life.name == MAI and life.process and life.process.decider.state.approving for life in self.lives.values()):
                self.person.approve()
            if any(life.name == MAI and life.process and _waits(life.process.decider.state) for life in self.lives.values()):
                self.person.rule()
            if any(
                life.name == MAI and life.process and life.process.decider.state.parking.soonest_ms()
                for life in self.lives.values()
            ):
                self.person.solve()
            if self.now_s > until_s:
                raise Violation(f"it comes to rest by deadlines alone: {self.open()}")
            if not self.clients.knocking and self.at_rest():
                break
        else:
            raise Violation(f"it does not come to rest: {self.open()}")
        for _ in range(2):  # what was acknowledged is written with a heartbeat
            self.now_ns += 1_100_000_000
            for life in list(self.lives.values()):
                self.act(life, lambda life=life: self.turn(life))  # type: ignore[misc]

    def at_rest(self) -> bool:
        """Has everybody done all, and does everybody know it?"""
        return len(self.lives) == len(self.names) and self.network.still and not self.open()

    def open(self) -> list[str]:
        """What is not done yet."""
        found = [f"{name} is {self.cases[name].state}" for name in self.names if name not in self.lives]
        found += [f"the client has no answer to {wish.request}" for wish in self.clients.wishes if wish.answer is None]
        found += self.letters.open()
        for life in self.lives.values():
            state = life.process.decider.state if life.process else None
            if state is None:
                continue
            nouns = {noun: getattr(state, noun, ()) for noun in NOUNS}
            if life.name == MAI:  # what waits for its next try may do so for hours
                soon_ms = self.now_ns // 1_000_000 + SOON_MS
                nouns["carries"] = [key for key, one in state.carries.items() if one.asked or one.due_ms < soon_ms]
            found += [f"{life.name} has {noun} {key} open" for noun, keys in nouns.items() for key in keys]
            found += [
                f"{life.name} waits for {peer} to take {len(transit.waiting)} messages"
                for peer, transit in state.transits.items()
                if transit.waiting
            ]
        return found


def _waits(state: Any) -> bool:
    """Does a case wait for a person?"""
    return any(case.owner == "person" for case in state.conflicts.cases.values())


TOLD = {
    "accepted": "request.accepted", "resolved": "doubt.resolved", "cancelled": "request.cancelled", "voted": "approval.voted",
    "ruled": "case.ruled", "solved": "escalation.answered",
}  # fmt: skip
WHICH = {"resolved": "body->>'key'", "voted": "body->>'approval'", "solved": "body->>'id'"}
NOUNS = (
    "requests", "passages", "errands", "work", "doubts", "cancellations", "cancels", "undos", "waiting", "held", "approving",
    "carries", "spooled", "stalled",
)  # fmt: skip
