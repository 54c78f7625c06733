"""A department's process without its wire: the real ledger, decider, shell and runner. The test is Mai."""

import os
import select
import signal
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mai.agents import events, messages, talks
from mai.agents.contracts import Contracts
from mai.agents.decider import Tick
from mai.agents.department import DepartmentDecider
from mai.agents.errand_messages import Think, Thought, Usage
from mai.agents.escalation_messages import Escalate, Ruled
from mai.agents.events import Event
from mai.agents.match import Matcher
from mai.agents.memory_messages import Recalled
from mai.agents.messages import Ack, Envelope, Hello, Numbered, Result, Task, address_of
from mai.agents.models import Model, Models
from mai.agents.order_messages import Doubt, Resolve
from mai.agents.organisation import Agent, Contract, Department, Limits, Organisation, Tool, mandate
from mai.agents.process import load
from mai.agents.runner import Runner
from mai.agents.shell import Shell, now_ms
from mai.agents.table import Table
from mai.agents.texts import misfit
from mai.sandbox.ledger import Ledger
from tests.opened import ALLOWED, OPEN

MAI, ME = "acme/mai", "acme/support"
NOUNS = ("claim", "ruled", "task", "step", "link", "cancel", "undo", "quarantine", "suspect", "breaker", "fading")
MEMORY = tuple(noun for level in ("agent/desk", "department") for noun in (f"memory/{level}", f"version/{level}"))
USAGE = Usage(100, 10)
MODELS = Models(models=(Model(name="m", chain=()),))
PATIENCE_S = 30.0  # until a test gives up; never a measure
Row = tuple[str, str]

COUNTED = """
def count(files, what):
    with open(files / what, "a") as file:
        file.write("x")
    return (files / what).stat().st_size
"""
TOOL = Tool(name="count", handler="w.py:count", effect="idempotent")

SALES = Department(
    name="sales",
    charter="Sells.",
    agents=(Agent(name="board", rank="board"),),
    contracts=(
        Contract(
            name="pipeline",
            about="",
            served_by="board",
            may_ask=("support",),
            request={"quarter": "int", "text": "str?"},
            reply={"total": "int"},
        ),
        Contract(name="secret", about="", served_by="board", may_ask=("client",)),
    ),
)


def organisation(base: Path, *agents: Agent, tools: tuple[Tool, ...] = (), limits: Limits | None = None) -> Organisation:
    """The department support with a built-in board and coordinator and these workers, and sales, whom it may ask."""
    built_in = (Agent(name="board", rank="board"), Agent(name="coordinator", rank="coordinator"))
    contract = Contract(
        name="refund", about="", served_by="desk", may_ask=("client",), request={"order": "int"}, reply={"cents": "int"}
    )
    agents = (*built_in, *agents)
    support = Department(name="support", charter="Helps.", agents=agents, tools=tools, contracts=(contract,), memory=OPEN)
    return Organisation(
        policies=ALLOWED, name="x", clients=("acme",), departments=(support, SALES), models=MODELS, base=str(base), digest="d",
        limits=limits or Limits(),
    )  # fmt: skip


def desk(base: Path, code: str, *others: Agent, tools: tuple[Tool, ...] = (), limits: Limits | None = None) -> Organisation:
    """An organisation whose operator `desk` runs `async def desk(ctx, task)` of this code; it may use all the tools."""
    imports = "import os, sys, time\nfrom mai.agents.context import Answer, Refusal\n"
    (base / "w.py").write_text(imports + textwrap.dedent(code))
    worker = Agent(name="desk", rank="operator", handler="w.py:desk", tools=tuple(tool.name for tool in tools))
    return organisation(base, worker, *others, tools=tools, limits=limits)


def fold(decider: DepartmentDecider, ledger: Ledger) -> dict[Row, Any]:
    """The rows of state that the whole journal folds to."""
    for record in ledger.records():
        decider.evolve(events.decode(record.kind, ledger.body(record)), record.seq)
    rows = decider.state.changes.items()
    return {row: msgspec.to_builtins(value) for row, value in rows if value is not None}


def struck(base: Path, organisation: Organisation, sign: Path) -> int:
    """One more life in a child process, which is killed once this file is there; its exit status."""
    if not (child := os.fork()):
        Lone(base, organisation).settle()
        os._exit(0)
    while not sign.exists() and not os.waitpid(child, os.WNOHANG)[0]:
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Lone:
    """One life of the department; `again()` is the next one, after a kill."""

    def __init__(self, base: Path, organisation: Organisation, left: str = "") -> None:
        """`base`: where its code lies; `files` beside it leads to the department's."""
        self.base, self.home, self.organisation = base, base / "home", organisation
        home = self.home
        home.mkdir(exist_ok=True)
        if not (base / "files").is_symlink():
            (base / "files").symlink_to(home / "files")
        self.ledger = Ledger(home / "ledger.db", ME)
        self.decider = self.make_decider()
        self.runner = Runner(self.decider, home, left)
        self.sent: dict[int, Numbered] = {}
        self.advises = False  # do its models only advise?
        self.minded: set[str] = set()  # questions to models that were answered
        self.seen: list[Event] = []
        self.texts: dict[str, str] = {}  # that came with what it sent
        self.shell = Shell(
            self.ledger, self.decider, "d", self._send, seen=self._seen, noticed=lambda peer, body: None, keeps=True
        )
        self.runner.shell = self.shell
        load(self.decider.state, self.ledger)
        self.shell.restore()
        self.shell.receive(MAI, self._envelope(0, Hello(self.decider.state.link(MAI).acked, "")))
        self.runner.resume()

    def make_decider(self) -> DepartmentDecider:
        """A decider that knows nothing yet."""
        told = mandate(self.organisation, "acme", "support")
        table, contracts = Table(told), Contracts(told.organisation)
        own = self.organisation.departments[0]
        described = Matcher({agent.name: " ".join((agent.name, *agent.skills)) for agent in own.agents})

        def fit(text: str, among: tuple[str, ...]) -> list[str]:
            return [one.name for one in described.fits(text) if one.name in among]

        def shares(text: str, among: tuple[str, ...]) -> dict[str, float]:
            return {one.name: one.coverage for one in described.fits(text) if one.name in among}

        return DepartmentDecider(told, table, fit, contracts.fault, shares)

    def _send(self, peer: str, frame: bytes) -> bool:
        envelope = messages.decode(frame, self.organisation.limits.message_bytes)  # as Mai would: too large is malformed
        if envelope.lseq:
            assert envelope.head_seq <= self.ledger.durable[0], "it left before its commit"
            assert not misfit(envelope.body, envelope.texts)
            self.texts |= envelope.texts
            self.sent[envelope.lseq] = envelope.body  # type: ignore[assignment]  # it has a number
        return True

    def _seen(self, event: Event) -> None:
        self.seen.append(event)
        self.runner.seen(event)

    def _envelope(self, lseq: int, body: Any, deadline_ms: int = 0, *texts: str) -> Envelope:
        return Envelope(MAI, ME, lseq, "", "d", deadline_ms, 1, b"", body, {address_of(text): text for text in texts})

    # -- what Mai says
    def say(self, body: Numbered, deadline_ms: int = 0, *texts: str) -> None:
        """The next message from Mai."""
        lseq = self.decider.state.link(MAI).received + 1
        self.shell.receive(MAI, self._envelope(lseq, body, deadline_ms, *texts))

    def task(
        self,
        text: str = "desk",
        contract: str = "",
        given: Any = None,
        *,
        ident: str = "r/1",
        limit_ms: int = 60_000,
        ranked: tuple[str, ...] = (),
    ) -> None:
        """A client's task."""
        self.say(Task(ident, "r", "acme/client", contract, text, given or {}, 20, ranked=ranked), now_ms() + limit_ms)

    def reply(self, asked: Task, value: Any, state: Any = "answered", reason: str = "") -> None:
        """Mai answers what the board asked her for."""
        self.say(Result(asked.task, asked.request, state, "", value, reason, "acme/sales/board", ("sales",)))

    def recalled(self, ident: str, value: Any) -> None:
        """Mai answers about the client's memory."""
        self.say(Recalled(ident, True, value, n=1))

    def thought(self, asked: Think, answer: Any, *calls: Any, finish: str = "stop", usage: Usage = USAGE) -> None:
        """What a model answers: a text, or JSON; and calls by the provider's own means, (name, arguments) each."""
        body = Thought(asked.id, asked.request, "answered", "", by="main/m", usage=usage, advice=self.advises)
        text = answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()
        called = [{"id": f"c{n}", "name": name, "arguments": given} for n, (name, given) in enumerate(calls)]
        blob = msgspec.json.encode({"text": text, "calls": called, "finish": finish}).decode()
        self.say(msgspec.structs.replace(body, answer=address_of(blob)), 0, blob)

    def unthought(self, asked: Think, state: Any, reason: str) -> None:
        """Why a model does not answer."""
        self.say(Thought(asked.id, asked.request, state, reason=reason))

    def doubts(self) -> list[Doubt]:
        """The effects in doubt that Mai was told of, each time that one was."""
        return [body for body in self.sent.values() if isinstance(body, Doubt) and not body.known]

    def resolve(self, happened: bool, value: Any = None) -> None:
        """A person says of the last one whether it happened."""
        doubt = self.doubts()[-1]
        self.say(Resolve(doubt.key, doubt.request, doubt.task, doubt.agent, happened, value, "ann", "I looked"))

    def escalations(self) -> list[Escalate]:
        """What goes to a person, in order."""
        return [body for body in self.sent.values() if isinstance(body, Escalate)]

    def rule(self, text: str = "", value: Any = None, *, state: Any = "answered", reason: str = "") -> Escalate:
        """A person answers the last escalation."""
        asked = self.escalations()[-1]
        self.say(Ruled(asked.id, asked.request, asked.task, state, text, value or {}, reason, "acme/person/ann"))
        return asked

    def given_up(self, text: str = "desk", contract: str = "", given: Any = None) -> Escalate:
        """Task in, and out comes a question to a person."""
        self.task(text, contract, given)
        self.settle()
        (asked,) = self.escalations()
        return asked

    def messages(self, asked: Think) -> list[Any]:
        """What a model is asked."""
        return [msgspec.json.decode(self.texts[address]) for address in talks.messages(asked.inquiry, self.texts.__getitem__)]

    def schema(self, asked: Think) -> Any:
        """What its answer has to fit."""
        return msgspec.json.decode(self.texts[asked.inquiry.schema])

    def think(self, mind: Callable[[Think], Any]) -> None:
        """Turns until nothing is asked of models any more; `mind` answers: JSON, or what `thought` takes as a tuple."""
        self.settle()
        while asked := [one for one in self.sent.values() if isinstance(one, Think) and one.id not in self.minded]:
            for one in asked:
                self.minded.add(one.id)
                if (answer := mind(one)) is not None:
                    self.thought(one, *(answer if isinstance(answer, tuple) else (answer,)))
            self.settle()

    # -- time goes on
    def turn(self) -> None:
        """One turn of the loop, with its commit."""
        if 0 < self.decider.next_deadline_ms() <= now_ms():
            self.shell.feed(Tick())
        self.runner.run()
        self.shell.commit(all_of_it=True)

    def settle(self) -> None:
        """Turns until nothing can go on by itself; waits for programs that are at work."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            self.turn()
            if not self.runner.busy and not self.wait_for_programs():
                return
        raise AssertionError("it does not settle")

    def wait_for_programs(self, most_ms: int = 60_000) -> bool:
        """Wait until a program at work says something, or a deadline passes; False if there is none."""
        pipes, box = self.runner.pipes(), self.runner.toolbox
        most_ms = min(most_ms, max(0, self.decider.next_deadline_ms() - now_ms())) if self.decider.state.work else 0
        if not self.runner.programs.pipes() and not box.open:
            return False
        poll = select.poll()
        for pipe in pipes:
            poll.register(pipe.descriptor, select.POLLOUT if pipe.writing else select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(box.wait_ms(most_ms))}
        for pipe in pipes:
            if pipe.descriptor in ready:
                pipe.serve()
        return True

    def expire(self) -> None:
        """Turns until no task is open: deadlines pass."""
        until_s = time.monotonic() + PATIENCE_S
        while self.decider.state.work:
            assert time.monotonic() < until_s, "tasks outlive their deadlines"
            self.turn()

    def result(self, ident: str = "r/1") -> Result:
        """The one answer to a task."""
        found = [body for body in self.sent.values() if isinstance(body, Result) and body.task == ident]
        assert len(found) == 1, f"{len(found)} answers to {ident}: {found}"
        return found[0]

    def ask(self, text: str = "desk", contract: str = "", given: Any = None) -> Result:
        """Task in, answer out."""
        self.task(text, contract, given)
        self.settle()
        return self.result()

    def asked(self) -> list[Any]:
        """What it asks of Mai and has had no answer to, or it does not matter."""
        return [body for body in self.sent.values() if not isinstance(body, Result)]

    def of_kind(self, kind: type[Event]) -> list[Any]:
        """The events of a kind in this life."""
        return [event for event in self.seen if isinstance(event, kind)]

    # -- the end of a life
    def again(self) -> "Lone":
        """Kill it: what was not committed is lost; what was running is marked. Then the next life."""
        self.close()
        return Lone(self.base, self.organisation)

    def close(self) -> None:
        """End it."""
        self.runner.close()
        self.ledger.close()

    def acknowledge(self) -> None:
        """Mai has everything."""
        self.shell.receive(MAI, self._envelope(0, Ack(self.decider.state.link(MAI).sent)))

    def check(self) -> None:
        """What holds at any time between turns: the journal folds to the state, and every task has one end at most."""
        self.shell.commit(all_of_it=True)
        nouns = NOUNS + MEMORY
        stored = {(noun, key): msgspec.json.decode(data) for noun in nouns for key, data in self.ledger.load(noun).items()}
        folded = {row: value for row, value in fold(self.make_decider(), self.ledger).items() if row[0] in nouns}
        assert {row: _bare(value) for row, value in folded.items()} == {row: _bare(value) for row, value in stored.items()}
        ended = Counter(record.task for record in self.ledger.records(kind="task.ended"))
        again = Counter(record.task for record in self.ledger.records(kind="task.released"))
        assert all(count <= 1 + again[task] for task, count in ended.items())


def _bare(value: Any) -> Any:
    """As JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(value))
