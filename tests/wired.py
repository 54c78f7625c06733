"""A company in one process: Mai and two departments with their own deciders, shells and ledgers, and lists for wires.

Nothing happens by itself: `turn` carries what has been sent and lets everybody work once, so that a test can look, or
kill a process, at every point. The workers' code is here as generators that give what a runner would.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from mai.agents import messages
from mai.agents.body import Fields
from mai.agents.contracts import Contracts
from mai.agents.decider import Decider, Input
from mai.agents.department import DepartmentDecider
from mai.agents.events import Begun, Event, Hopped, Interrupted, ProcessStarted, Remembered, Stepped
from mai.agents.inputs import Call, Report
from mai.agents.messages import Hello
from mai.agents.organisation import Agent, Contract, Department, Organisation, mandate
from mai.agents.sealing import Seals
from mai.agents.shell import Shell, now_ms
from mai.agents.state import Done, Step, Work
from mai.agents.table import Table
from mai.daemon import breach
from mai.daemon.desk import Asked, Passage, Request
from mai.daemon.mai import MaiDecider
from mai.daemon.quarters import furnish
from mai.daemon.records import PartPlan
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place
from tests.opened import OPEN

FRAME_BYTES = 1 << 20
DEADLINE_MS = 60_000

Code = Iterator[Event | Input]


def organisation(*clients: str) -> Organisation:
    """Marketing plans with what sales has in its pipeline."""
    pipeline = Contract(
        name="pipeline", about="Open deals", served_by="analyst", may_ask=("marketing",),
        request={"quarter": "int"}, reply={"total": "int"},
    )  # fmt: skip
    ranks = (Agent(name="board", rank="board"), Agent(name="coordinator", rank="coordinator"))
    planner = Agent(name="planner", rank="specialist", handler="w.py:planner")
    analyst = Agent(name="analyst", rank="specialist", handler="w.py:analyst")
    return Organisation(
        name="Wired", clients=clients or ("acme",), digest="0123456789abcdef",
        departments=(
            Department(name="marketing", charter="", agents=(*ranks, planner), memory=OPEN),
            Department(name="sales", charter="", agents=(*ranks, analyst), contracts=(pipeline,), memory=OPEN),
        ),
    )  # fmt: skip


def planner(hop: Hopped) -> Code:
    """Keeps the text, asks sales, answers."""
    yield Remembered(request=hop.request, task=hop.task, agent=hop.agent, level="agent", key="last", value=hop.text)
    yield stepped(hop, "remember", {"key": "last", "level": "agent", "value": hop.text})
    yield Call(hop.task, 2, "ask", {"to": "sales.pipeline", "text": "", "input": {"quarter": 2}})
    yield Report(hop.task, Done("answered", f"Start later: {hop.text}", {"total": 200}, "", "acme/marketing/planner", ()))


def analyst(hop: Hopped) -> Code:
    """Uses a tool, leaves a note in the client's memory, answers."""
    yield stepped(hop, "tool", {"tool": "sum_deals", "input": {"quarter": 2}}, 200)
    yield Call(hop.task, 2, "remember", {"key": "seen", "level": "client", "value": {"quarter": 2}})
    yield Report(hop.task, Done("answered", "200 in the pipeline", {"total": 200}, "", "acme/sales/analyst", ("sales",)))


def stepped(hop: Hopped, call: str, given: Fields, value: object = None) -> Stepped:
    """The first step of a worker, which takes nobody else."""
    return Stepped(request=hop.request, task=hop.task, agent=hop.agent, n=1, call=call, given=given, value=value)


WORKERS: dict[str, Callable[[Hopped], Code]] = {"planner": planner, "analyst": analyst}


class Desk:
    """One process: its shell, and the workers' code that is under way."""

    def __init__(self, company: "Wired", process: str) -> None:
        self.company, self.process = company, process
        client, department = process.split("/")
        part = mandate(company.organisation, client, department)
        self.ledger = Ledger(company.place.ledger(process), process)
        fault, table = Contracts(part.organisation).fault, Table(part.organisation)
        self.decider: Decider = (
            MaiDecider(part, table, fault)
            if department == "mai"
            else DepartmentDecider(part, table, lambda text, among: list(among), fault)
        )
        self.shell = Shell(
            self.ledger, self.decider, company.organisation.digest, self._send,
            seen=self._seen, noticed=lambda peer, body: None, answers=department == "mai",
            seals=Seals(part, self.ledger) if company.sealed else None,
        )  # fmt: skip
        self.ready: deque[Code] = deque()
        self.waiting: dict[str, Code] = {}  # by task

    def start(self) -> None:
        """As a process does: load the state, journal the start, greet Mai; open tasks begin again."""
        state = self.decider.state
        for noun, type_, into in (("task", Work, "work"), ("request", Request, "requests"), ("passage", Passage, "passages")):
            for key, data in self.ledger.load(noun).items():
                getattr(state, into)[key] = msgspec.json.decode(data, type=type_)
        for key, data in self.ledger.load("step").items():
            task, _, n = key.rpartition("/")
            state.steps.setdefault(task, {})[int(n)] = msgspec.json.decode(data, type=Step)
        if isinstance(self.decider, MaiDecider):
            breach.load(self.decider.state, self.ledger.load(breach.NOUN))
        self.shell.restore()
        digest = self.decider.policies.digest if isinstance(self.decider, DepartmentDecider) else ""
        libraries = {"msgspec": "0"} if self.company.sealed else {}  # a life that names them seals
        started = ProcessStarted(
            process=self.process, version="0", organisation="0123456789abcdef", pid=1, policies=digest, libraries=libraries
        )
        self.shell.apply(started)
        if not self.process.endswith("/mai"):
            self._resume()
            self.shell.tell(self.mai, Hello(state.link(self.mai).received, self.ledger.boot))

    @property
    def mai(self) -> str:
        """The client's Mai."""
        return f"{self.process.split('/')[0]}/mai"

    def _resume(self) -> None:
        for work in list(self.decider.state.work.values()):
            if work.agent in self.company.workers:
                self.shell.apply(Interrupted(request=work.request, task=work.task, agent=work.agent))
                steps = self.decider.state.steps.get(work.task, {})
                hop = next(event for event in self.company.hops if event.task == work.task)
                code = (item for item in list(self.company.workers[work.agent](hop)) if getattr(item, "n", 9) not in steps)
                if all(step.done for step in steps.values()):
                    self.ready.append(code)
                else:
                    self.waiting[work.task] = code

    def _send(self, peer: str, frame: bytes) -> bool:
        self.company.frames.append((self.process, peer, frame))
        return True

    def _seen(self, event: Event) -> None:
        match event:
            case Hopped(agent=name) if name in self.company.workers:
                self.company.hops.append(event)
                begun = Begun(request=event.request, task=event.task, agent=name, attempt=1, code="c0de")
                self.ready.append(item for items in ((begun,), self.company.workers[name](event)) for item in items)
            case Stepped(task=task) if task in self.waiting:
                self.ready.append(self.waiting.pop(task))

    def work(self) -> None:
        """The workers' code has its turn."""
        while self.ready:
            code = self.ready.popleft()
            for item in code:
                if getattr(item, "task", "") not in self.decider.state.work:
                    break  # it has ended meanwhile, and its code with it
                if isinstance(item, Event):
                    self.shell.apply(item)
                    continue
                if isinstance(item, Call):
                    self.waiting[item.task] = code
                self.shell.feed(item)
                if isinstance(item, Call):
                    break


class Wired:
    """The whole company, in one state directory; `sealed`: each decision has its seal, as in production."""

    workers = WORKERS

    def __init__(self, directory: Path, *clients: str, sealed: bool = False) -> None:
        self.sealed = sealed
        self.organisation = organisation(*clients)
        self.place = Place(directory / "state", directory / "run")
        self.place.prepare()
        furnish(self.place, self.organisation)
        self.frames: deque[tuple[str, str, bytes]] = deque()
        self.hops: list[Hopped] = []
        self.desks = {process: Desk(self, process) for process in self.organisation.processes()}
        for desk in self.desks.values():
            desk.start()
        self.settle()

    def ask(self, request: str, text: str = "plan the campaign", client: str = "acme") -> None:
        """The client asks; marketing gets it."""
        until_ms = now_ms() + DEADLINE_MS
        plan = (PartPlan("marketing", text, "", {}, "the test says so"),)
        self.desks[f"{client}/mai"].shell.feed(Asked(request, f"{client}/client", text, until_ms, False, plan))

    def asked(self, *requests: str) -> "Wired":
        """Ask, and let everybody work until all is answered."""
        for request in requests:
            self.ask(request)
            self.settle()
        return self

    def turn(self) -> bool:
        """Carry what was sent, let everybody work, commit; false if nothing was left to do."""
        frames, self.frames = self.frames, deque()
        for sender, to, frame in frames:
            if to in self.desks:
                self.desks[to].shell.receive(sender, messages.decode(frame, FRAME_BYTES))
        for desk in self.desks.values():
            desk.work()
            desk.shell.commit(all_of_it=True)
        return bool(self.frames or frames)

    def settle(self) -> None:
        """Until nothing is on its way."""
        while self.turn():
            pass

    def kill(self, process: str) -> None:
        """What it has not committed is lost, and what was on its way to it."""
        self.desks.pop(process).ledger.close()
        self.frames = deque(frame for frame in self.frames if process not in frame[:2])

    def start(self, process: str) -> None:
        """Its next life."""
        self.desks[process] = Desk(self, process)
        self.desks[process].start()

    def close(self) -> "Wired":
        """End all processes; their ledgers stay."""
        for desk in self.desks.values():
            desk.ledger.close()
        return self


def bare(directory: Path, *processes: str) -> Place:
    """A state directory with empty ledgers, where a test writes the journals itself."""
    place = Place(directory / "state", directory / "run")
    place.prepare()
    for process in processes:
        place.home(process).mkdir(parents=True)
        Ledger(place.ledger(process), process).close()
    return place


def write(path: Path, process: str, *events: Event) -> None:
    """Add facts to a ledger as its own process would, in one commit."""
    ledger = Ledger(path, process)
    for event in events:
        columns = {name: getattr(event, name, "") for name in ("request", "task", "agent")}
        ledger.append(event.kind, msgspec.json.encode(event), **columns)
    ledger.commit()
    ledger.close()


def waited(look: Callable[[], bool], what: str, patience_s: float = 60.0) -> None:
    """Look again and again until it is so."""
    end_s = time.monotonic() + patience_s
    while not look():
        assert time.monotonic() < end_s, f"in vain: {what}"
        time.sleep(0.005)
