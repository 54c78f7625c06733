"""A realm: Mai's decider and those of her departments over lists for wires, played by a seed, with agents who try anything.

    realm = Realm(seed, hostile=True)
    realm.play()            # raises Violation as soon as something arrives that the organisation does not allow

Workers hop, ask, remember and answer at random, often what they must not. Some departments are hostile: what they send is
made up by the test and passes no code of ours. Sometimes Mai is: what she should have kept back reaches a department.
What may arrive is computed here once more, by other means (realm_law.py), from the organisation alone.
"""

from collections import Counter, deque
from random import Random
from typing import Any

import msgspec

from mai.agents.body import Fields
from mai.agents.contracts import Contracts
from mai.agents.decider import VIA_MAI, Decider, Input, Send, Tick
from mai.agents.department import DepartmentDecider
from mai.agents.events import Event, Received, Sent
from mai.agents.inputs import Call, Relieve, Report, Rostered
from mai.agents.memory_messages import Recall, Remember
from mai.agents.messages import Numbered, Result, Task
from mai.agents.organisation import Agent, mandate
from mai.agents.shift_messages import ShiftOrder
from mai.agents.state import Done, Work
from mai.agents.table import Table
from mai.daemon.desk import Asked, origin
from mai.daemon.escalations import Answering
from mai.daemon.mai import MaiDecider
from mai.daemon.records import PartPlan
from tests.realm_judged import Judging, judged
from tests.realm_law import Law
from tests.realm_organisations import KEPT, KEYS, NAMES, PLAIN, SUBJECTS, organisation, secret

MAI = "acme/mai"
STEPS = 60
START_MS = 1_000_000
LATER_MS = 1_000_000  # the deadline of a request, far away
_encoder = msgspec.msgpack.Encoder()
_bodies = msgspec.msgpack.Decoder(Numbered)


class Node:
    """One process: its decider, and its journal."""

    def __init__(self, realm: "Realm", name: str) -> None:
        self.realm, self.name = realm, name
        part = mandate(realm.organisation, "acme", name.partition("/")[2])
        fault, table = Contracts(part.organisation).fault, Table(part.organisation)
        self.decider: Decider
        if name == MAI:
            self.decider = self.mai = MaiDecider(part, table, fault)
        else:
            self.decider = self.department = DepartmentDecider(part, table, lambda text, among: list(among), fault)
        self.journal: list[Event] = []
        self.calls = 0  # of workers' code

    def feed(self, *inputs: Input) -> list[Event]:
        """Decide and fold, until nothing follows."""
        queue, came = deque(inputs), list[Event]()
        while queue:
            for item in self.decider.decide(queue.popleft(), self.realm.now_ms):
                event = self._sent(item) if isinstance(item, Send) else item
                came.append(event)
                queue.extend(self.apply(event))
        return came

    def apply(self, event: Event) -> list[Input]:
        """Onto the journal, and into the state."""
        self.journal.append(event)
        self.realm.law.look(self.name, event, self.realm.now_ms)
        return self.decider.evolve(event, len(self.journal))

    def _sent(self, send: Send) -> Sent:
        lseq = self.decider.state.link(send.to).sent + 1
        task, request = getattr(send.body, "task", ""), getattr(send.body, "request", "")
        self.realm.wire.append((self.name, send.to, send.body, send.deadline_ms))
        return Sent(to=send.to, lseq=lseq, id=send.id, request=request, task=task, deadline_ms=send.deadline_ms, body=send.body)

    def take(self, sender: str, body: Numbered, deadline_ms: int) -> list[Event]:
        """A message, as the shell takes it: screened, on record, folded, decided."""
        screened = self.decider.screen(sender, body)  # type: ignore[attr-defined]  # both have it
        received = Received(
            sender=sender, lseq=self.decider.state.link(sender).received + 1, id="", request=getattr(body, "request", ""),
            task=getattr(body, "task", ""), organisation="", deadline_ms=deadline_ms, head_seq=1, head="ab", body=screened,
        )  # fmt: skip
        self.apply(received)
        return [received, *self.feed(*self.decider.taken(received))]


class Realm(Judging):
    """All of them."""

    def __init__(self, seed: int, *, hostile: bool, escalates: bool = False, judges: bool = False) -> None:
        self.escalates = escalates  # its agents do, and persons answer
        self.judges = judges  # it has policies, its agents claim something, and persons decide
        self.chance = chance = Random(seed)
        self.organisation = judged(chance, organisation(chance)) if judges else organisation(chance)
        self.names = [department.name for department in self.organisation.departments]
        self.hostile = {name for name in self.names if hostile and chance.random() < 0.4}
        self.law = Law(self.organisation, self.hostile)
        self.now_ms = START_MS
        self.wire: deque[tuple[str, str, Numbered, int]] = deque()
        self.nodes = {name: Node(self, name) for name in (MAI, *(f"acme/{name}" for name in self.names))}
        self.requests = self.lies = 0
        self.forged: list[Task] = []  # asks that hostile departments have made up
        self.answered: Counter[str] = Counter()  # escalations, by persons

    def play(self) -> "Realm":
        """All steps. Raises Violation."""
        for _ in range(STEPS + 40 * self.judges):
            self.step()
        while self.wire:
            self.deliver()
        return self

    def step(self) -> None:
        """One thing happens."""
        kinds, weights = ["deliver", "work", "ask", "lie", "let through", "late", "person"], [9, 9, 2, 3, 1, 0.3, 0.9]
        more = {"answer": 1.0 * self.escalates, "decide": 1.2 * self.judges}
        chosen = {one: weight for one, weight in more.items() if weight}
        kind = self.chance.choices([*kinds, *chosen], [*weights, *chosen.values()])[0]
        match kind:
            case "deliver" if self.wire:
                self.deliver()
            case "work":
                self.work()
            case "ask":
                self.ask()
            case "lie" if self.hostile:
                self.lie()
            case "let through":
                self.let_through()
            case "answer":
                self.answer()
            case "decide":
                self.decides()
            case "late":
                self.now_ms += 20_000
                for node in self.nodes.values():
                    node.feed(Tick())
            case "person":
                self.person()
        for name in self.names:
            if name not in self.hostile:
                self.nodes[f"acme/{name}"].feed(Relieve())  # as the runner does before each turn

    def person(self) -> None:
        """Somebody says of an agent that it is on, off or paused."""
        name = self.chance.choice(self.names)
        department = self.organisation.department(name)
        if name in self.hostile or department is None:
            return
        workers = [agent.name for agent in department.agents if agent.rank in ("specialist", "operator")]
        until_ms = self.chance.choice([0, 0, self.now_ms + 30_000])
        how = self.chance.choice(["on", "off", "pause", "", ""])
        body = ShiftOrder("o", self.chance.choice(workers), how, until_ms, "ann", 1, at_ms=self.now_ms)
        self.nodes[f"acme/{name}"].feed(Rostered(body))

    def deliver(self) -> None:
        """The next message arrives; what is for a hostile department is only looked at."""
        sender, to, body, deadline_ms = self.wire.popleft()
        body = _bodies.decode(_encoder.encode(body))
        self.law.arrives(sender, to, body)
        if to.partition("/")[2] in self.hostile:
            return
        self.law.before()
        self.law.answered(to, body, self.nodes[to].take(sender, body, deadline_ms))

    # -- what happens by itself
    def ask(self) -> None:
        """The client asks a department, sometimes under a contract."""
        self.requests += 1
        name = self.chance.choice(self.names)
        request, who = f"R{self.requests}", self.chance.choice(SUBJECTS)
        department = self.organisation.department(name)
        assert department is not None
        text, contract, given = f"things of {who}", "", Fields()
        offered = [one for one in department.contracts if "client" in one.may_ask]
        if offered and self.chance.random() < 0.5:
            found = self.chance.choice(offered)
            contract, given = f"{name}.{found.name}", self.values(found.request, name, right=True)
        part = PartPlan(name, text, contract, given, "")
        self.nodes[MAI].feed(Asked(request, "acme/client", text, self.now_ms + LATER_MS, False, (part,)))

    def answer(self) -> None:
        """A person answers what was escalated, or refuses it."""
        if rows := list(self.nodes[MAI].mai.state.parking.open()):
            row, state = self.chance.choice(rows), self.chance.choice(["answered", "refused"])
            text, reason = ("so be it", "") if state == "answered" else ("", "no")
            self.answered[row.body.id] += 1
            self.nodes[MAI].feed(Answering(row.body.id, state, text, {}, reason, "ann", 1, "operator"))  # type: ignore[arg-type]

    def work(self) -> None:
        """An agent's code does something."""
        open_ = [
            (node, work)
            for name in self.names if name not in self.hostile
            for node in [self.nodes[f"acme/{name}"]]
            for work in node.department.state.work.values() if self._coded(node, work)
        ]  # fmt: skip
        if not open_:
            return
        node, work = self.chance.choice(open_)
        given = self._call(node, work)
        self.law.tries(node.name, work, given, node.feed(given))

    def _coded(self, node: Node, work: Work) -> bool:
        waits = [step for step in node.department.state.steps.get(work.task, {}).values() if not step.done]
        return node.department.coded(work.agent, work.contract, work.plea) and not waits and not work.given_up

    def _call(self, node: Node, work: Work) -> Call | Report:
        chance, name = self.chance, node.department.own.name
        node.calls += 1
        n = len(node.department.state.steps.get(work.task, {})) + 1
        kinds, more = ["report", "contract", "agent", "hand", "recall", "remember"], ["escalate"] * self.escalates
        more += ["conclude"] * self.judges
        match chance.choices([*kinds, *more], [6, 4, 2, 1, 1, 1, *([1] * self.escalates), *([2] * self.judges)])[0]:
            case "contract":
                contract = self._any_contract(name)
                found = self.organisation.department(contract.partition(".")[0])
                offered = found.contract(contract.partition(".")[2]) if found else None
                given = self.values(offered.request if offered else {}, name, right=chance.random() < 0.8)
                return Call(work.task, n, "ask", {"to": contract, "text": chance.choice(["", "please"]), "input": given})
            case "agent":
                return Call(work.task, n, "ask", {"to": self._any_agent(node), "text": "things", "input": {}})
            case "hand":
                return Call(work.task, n, "hand", {"to": self._any_agent(node)})
            case "escalate" | "conclude" as call:
                return self.concludes(work, n) if call == "conclude" else Call(work.task, n, call, {"reason": "too hard"})
            case "recall" | "remember" as call:
                given = {"key": chance.choice(KEYS), "level": "client"}
                kept = {"value": self.value(name)} if call == "remember" else {}
                return Call(work.task, n, call, {**given, **kept})
        return Report(work.task, self._done(node, work))

    def _any_contract(self, asking: str) -> str:
        """Mostly one that is open to who asks."""
        open_ = [name for name, contract in self.law.contracts.items() if asking in contract.may_ask]
        if open_ and self.chance.random() < 0.8:
            return self.chance.choice(open_)
        return f"{self.chance.choice(NAMES)}.c{self.chance.randrange(4)}"

    def _any_agent(self, node: Node) -> str:
        agents: tuple[Agent, ...] = node.department.own.agents
        return self.chance.choice([*(agent.name for agent in agents), "mai", "nobody"])

    def _done(self, node: Node, work: Work) -> Done:
        name, chance = node.department.own.name, self.chance
        contract = node.department.own.contract(work.contract.partition(".")[2]) if node.department.owns(work.contract) else None
        declared = contract.reply if contract else {"sum": "int"}
        value = self.values(declared, name, right=chance.random() < 0.6, typed=contract is not None)
        if "who" in value and "who" in work.input:
            value["who"] = work.input["who"]
        text = chance.choice(["", "done", f"it is {secret(name)}"]) if self._kept_inside(name, work.asker) else "done"
        by = f"acme/{name}/{work.agent}"
        return Done("answered", text, value, "", by, (name,))

    def _kept_inside(self, name: str, asker: str) -> bool:
        """Does the text of an answer to this asker stay in the department?"""
        own = self.organisation.department(name)
        assert own is not None
        return asker.split("/")[1] in self.names and not (own.leaves.text and own.shows == "result")

    # -- values
    def values(self, declared: Fields, department: str, *, right: bool, typed: bool = True) -> Fields:
        """Values for a declaration; if not `right` with fields too many, and the department's secret where it must not leave."""
        made = {name: self._of(kind, department, right) for name, kind in declared.items()}
        if not right:
            for name in self.chance.sample((*KEPT, "extra", *PLAIN), self.chance.randrange(1, 3)):
                made.setdefault(name, self.kept(department, name, typed=typed))
        return made

    def kept(self, department: str, name: str, *, typed: bool = False) -> int:
        """What stands in a field that may not leave: the secret. In others there is nothing to be kept."""
        own = self.organisation.department(department)
        assert own is not None
        return secret(department) if typed or name in own.leaves.withheld else 5

    def _of(self, kind: object, department: str, right: bool) -> Any:
        match kind:
            case "int":
                return self.chance.choice(SUBJECTS)
            case "str":
                return self.chance.choice(["a", "b"])
        name = self.chance.choice(KEPT)
        return {"deep": [1]} if right else {"deep": [{name: self.kept(department, name)}]}

    def value(self, department: str) -> Any:
        """Something to remember: plain, or in a field that may be withheld."""
        salary, iban = self.kept(department, "salary"), str(self.kept(department, "iban"))
        return self.chance.choice([1, "a", {"salary": salary}, {"deep": {"iban": iban}}])

    # -- lies
    def lie(self) -> None:
        """A hostile department sends Mai something of its own making."""
        name, chance = self.chance.choice(sorted(self.hostile)), self.chance
        peer, mai = f"acme/{name}", self.nodes[MAI].mai
        own = [task for task in self._tasks() if (holding := mai.holding(task)) and holding.process == peer]
        task = chance.choice([*own, *own, *self._tasks(), "R0/1", "nothing"])
        self.lies += 1
        request = task.partition("/")[0]
        more = ["claim", "ask"] if self.judges else []
        match chance.choices(["result", "task", "recall", "remember", *more], [6, 4, 1, 1, *([2, 8] if more else [])])[0]:
            case "result":
                body: Numbered = self._false_result(name, task, request)
            case "task":
                contract = self._any_contract(name)
                found = self.organisation.department(contract.partition(".")[0])
                offered = found.contract(contract.partition(".")[2]) if found else None
                given = self.values(offered.request if offered else {}, name, right=chance.random() < 0.7)
                ident = f"{task}.{chance.randrange(3)}{VIA_MAI}{chance.randrange(9)}"
                asker = chance.choice(
                    [f"{peer}/hand0", f"{peer}/hand0", "acme/client", f"acme/{chance.choice(self.names)}/board"]
                )
                body = Task(ident, request, asker, contract, "", given, chance.choice([9, 9, 0, 10**9]))
            case "ask" if ask := self.lies_of_asks(self, peer, own):
                body = ask
            case "claim" | "ask":
                body = self.lies_of_claims(peer, task, self._anybody(peer))
            case "recall":
                body = Recall(f"{task}{VIA_MAI}{self.lies}", self._anybody(peer), chance.choice(KEYS))
            case _:
                body = Remember(f"{task}{VIA_MAI}{self.lies}", self._anybody(peer), chance.choice(KEYS), self.value(name))
        self.wire.append((peer, MAI, body, self.now_ms + chance.choice([0, 9_000, 9_000])))

    def _false_result(self, name: str, task: str, request: str) -> Result:
        chance = self.chance
        contract, _, asker = self.law.under(task)
        state = chance.choice(["answered", "answered", "answered", "failed", "escalated"])
        by = chance.choice([f"acme/{name}/hand0", f"acme/{name}/board", f"acme/{chance.choice(self.names)}/board", "x"])
        reply = contract.reply if contract else {}
        value = self.values(reply, name, right=chance.random() < 0.5, typed=contract is not None or not asker)
        if asker and contract and "who" in value and chance.random() < 0.8:
            value["who"] = self.law.spoken_of(task)
        inside = not asker or self._kept_inside(name, asker) or state != "answered"
        text = chance.choice(["", "", str(secret(name))]) if inside else "done"
        sources = chance.choice([(name,), (name,), ("nowhere",)])
        return Result(task, request, state, text, value, "", by, sources, chance.random() < 0.2)  # type: ignore[arg-type]  # a Literal

    def _anybody(self, peer: str) -> str:
        return self.chance.choice(
            [f"{peer}/board", f"{peer}/hand0", f"{peer}/nobody", f"acme/{self.chance.choice(self.names)}/board"]
        )

    def _tasks(self) -> list[str]:
        mai = self.nodes[MAI].mai
        parts = [f"{request}/1" for request in mai.state.requests]
        idents = [amended.ident for amended in mai.state.amended.values()]
        return [*parts, *mai.state.passages, *idents]

    def let_through(self) -> None:
        """Mai passes to a department what she should have kept back: an answer to what it waits for, with too much in it."""
        waiting = [
            (node, passage)
            for passage in self.nodes[MAI].mai.state.passages.values()
            for node in [self.nodes[passage.asking]]
            if passage.asking.partition("/")[2] not in self.hostile and node.department.asking(passage.task)[0] is not None
        ]  # fmt: skip
        if not waiting or not origin(waiting[0][1].task):
            return
        node, passage = self.chance.choice(waiting)
        by = passage.contract.partition(".")[0]
        value = self.values(self.law.contracts[passage.contract].reply, by, right=False) | {"extra": secret(by)}
        body = Result(passage.task, passage.request, "answered", str(secret(by)), value, "", f"acme/{by}/board", ())
        self.law.let_through(node.name, node.take(MAI, body, 0))
