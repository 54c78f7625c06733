"""The models process as it is: over the wire from a Mai that only passes on, to a scripted provider, killed and started again."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import zmq

from mai.agents import events, messages
from mai.agents.decider import Input, Send, fold_link
from mai.agents.errand_messages import Inquiry, Think, Thought
from mai.agents.events import Event, Received
from mai.agents.models import Budget, Model, Models, Provider, Target
from mai.agents.organisation import Agent, Department, Organisation, mandate
from mai.agents.shell import Shell
from mai.agents.state import State
from mai.agents.texts import PARCEL
from mai.daemon.calling import CallEnded
from mai.daemon.calls import CallsDecider
from mai.daemon.quarters import furnish
from mai.daemon.router import Router
from mai.daemon.scripted import running
from mai.sandbox import keys
from mai.sandbox.ledger import Ledger, body_of, connect, read
from mai.sandbox.place import Place

MAI, ME = "acme/mai", "acme/models"
KEY = "sk-loopback-0123456789"
SECRET = "the colour of the vault is puce"
PATIENCE_S = 60.0
BYTES = 1 << 20


def organisation(url: str, *, budget: Budget | None = None, attempts: int = 4, silence_s: float = 20.0) -> Organisation:
    """One department whose one agent asks a scripted provider."""
    provider = Provider(name="main", url=url, key="main", running=16, per_minute=100_000, silence_s=silence_s)
    model = Model(name="clever", chain=(Target(provider="main", model="scripted", input_price=1.0),), attempts=attempts)
    models = Models(providers=(provider,), models=(model,), budget=budget or Budget())
    agent = Agent(name="desk", rank="operator", model="clever")
    departments = (Department(name="support", charter="", agents=(agent,)),)
    return Organisation(name="x", clients=("acme",), departments=departments, models=models, digest="d")


class Say(Input, frozen=True):
    """Ask this."""

    body: Think
    limit_ms: int


class Passing:
    """A Mai that passes on what she is told to, and keeps what comes back."""

    def __init__(self) -> None:
        self.state = State()
        self.thoughts: list[Thought] = []

    def decide(self, given: Input, now_ms: int) -> list[Event | Send]:
        """A message."""
        assert isinstance(given, Say)
        return [Send(ME, given.body.id, now_ms + given.limit_ms, given.body)]

    def evolve(self, event: Event, seq: int) -> list[Input]:
        """Links only."""
        fold_link(self.state, event, seq)
        return []

    def taken(self, received: Received) -> list[Input]:
        """A Thought."""
        assert isinstance(received.body, Thought), received
        self.thoughts.append(received.body)
        return []

    def next_deadline_ms(self) -> int:
        """Never."""
        return 0


class Office:
    """One models process and its Mai."""

    def __init__(self, state: Path, whole: Organisation, environment: dict[str, str] | None = None) -> None:
        self.place, self.whole = Place(state), whole
        self.place.prepare()
        furnish(self.place, whole)
        self.put_key(KEY)
        self.environment = environment or {}
        self.passing = Passing()
        self.ledger = Ledger(self.place.ledger(MAI), MAI)
        home = self.place.home(MAI)
        self.router = Router(self.place.link("acme"), keys.own(home), keys.read(home).known, BYTES)
        self.shell = Shell(
            self.ledger, self.passing, "d", self._send, seen=lambda event: None, noticed=lambda peer, body: None, answers=True,
            keeps=True,
        )  # fmt: skip
        self.notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notes.bind(str(state / "notes"))
        self.log = state / "log.txt"
        self.poller = zmq.Poller()
        for polled in (self.router.socket, self.router.zap, self.notes):
            self.poller.register(polled, zmq.POLLIN)
        self.heard = ""
        self.start()

    def put_key(self, key: str) -> None:
        """The provider's credential."""
        directory = self.place.state / "credentials"
        directory.mkdir(mode=0o700, exist_ok=True)
        keys.write(directory / "main", key.encode())

    def start(self) -> None:
        """A new life of the process."""
        command = [sys.executable, "-P", "-m", "mai.daemon.models", str(self.place.state), str(self.place.run), ME]
        names = {"NOTIFY_SOCKET": self.notes.getsockname(), **self.environment}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAI_", "CREDENTIALS_"))}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env={**inherited, **names}, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def _send(self, peer: str, frame: bytes) -> bool:
        try:
            self.router.send(peer, frame)
        except zmq.ZMQError:
            self.passing.state.transit(peer).connected = False
            return False
        return True

    def turn(self, wait_ms: int = 200) -> None:
        """Carry what there is."""
        self.poller.poll(wait_ms)
        self.router.authenticate()
        while select.select([self.notes], [], [], 0)[0]:
            self.heard += self.notes.recv(4096).decode() + "\n"
        for parcel in list(self.router.receive()):
            assert parcel.frame is not None
            envelope = messages.decode(parcel.frame, BYTES)
            if self.router.heard(parcel) and envelope.lseq:
                self.shell.greet(parcel.name)
            self.shell.receive(parcel.name, envelope)
        self.shell.commit(all_of_it=True)

    def until(self, look: Callable[[], object], what: str) -> None:
        """Turns until that holds."""
        end_s = time.monotonic() + PATIENCE_S
        while not look():
            assert time.monotonic() < end_s, f"in vain: {what}\n{self.log.read_text()}"
            assert self.process.poll() is None, self.log.read_text()
            self.turn()

    def ask(self, id_: str, text: str = "Hello", *, limit_ms: int = 60_000) -> None:
        """A question of the department."""
        told = [json.dumps({"role": "system", "content": SECRET}), json.dumps({"role": "user", "content": f"{text} {id_}"})]
        named = tuple(self.shell.texts.keep(one) for one in told)
        inquiry = Inquiry(named, sum(len(one.encode()) for one in told), output_tokens=60)
        self.shell.feed(Say(Think(id_, "r", "acme/support/desk", "clever", inquiry), limit_ms))

    def thoughts(self, count: int) -> dict[str, Thought]:
        """So many answers, one for each id."""
        self.until(lambda: len(self.passing.thoughts) >= count, f"{count} thoughts")
        found = {thought.id: thought for thought in self.passing.thoughts}
        assert len(found) == len(self.passing.thoughts) == count
        return found

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End the process; its status."""
        self.process.send_signal(number)
        assert self.process.stdin
        status = self.process.wait(PATIENCE_S)
        self.process.stdin.close()
        return status

    def journal(self) -> list[Event]:
        """What the process has put on record."""
        db = connect(self.place.ledger(ME), write=False)
        try:
            return [events.decode(record.kind, body_of(db, record)) for record in read(db)]
        finally:
            db.close()

    def rows(self) -> dict[tuple[str, str], object]:
        """Its state as the disk has it."""
        db = connect(self.place.ledger(ME), write=False)
        try:
            return {(noun, key): json.loads(value) for noun, key, value in db.execute("SELECT noun, key, value FROM state")}
        finally:
            db.close()

    def check(self) -> None:
        """After its end: the journal folds to the state, no text is left over, and nothing that is secret is anywhere."""
        decider = CallsDecider(mandate(self.whole, "acme", "models"), lambda address: 0)
        for seq, event in enumerate(self.journal(), 1):
            decider.evolve(event, seq)
        changes = {row: value for row, value in decider.state.changes.items() if value is not None}
        assert {row: json.loads(msgspec.json.encode(value)) for row, value in changes.items()} == {
            row: value for row, value in self.rows().items() if row[0] != PARCEL
        }
        told = "".join(events.encode(event).decode() for event in self.journal())
        assert SECRET not in told and "Hello" not in told
        for file in [self.log, *self.place.home(ME).iterdir()]:
            assert not file.is_file() or KEY.encode() not in file.read_bytes(), f"the key is in {file}"

    def close(self) -> None:
        """End all."""
        if self.process.poll() is None:
            self.kill()
        self.router.close()
        self.ledger.close()
        self.notes.close()


@contextmanager
def office(state: Path, whole: Organisation, **environment: str) -> Iterator[Office]:
    """An Office, ended afterwards."""
    one = Office(state, whole, environment)
    try:
        yield one
    finally:
        one.close()


def test_questions_and_answers(state: Path) -> None:
    """Each question gets the provider's words and what they took; the process keeps neither text nor key."""
    with running("[[rules]]\necho = true", key=KEY) as server, office(state, organisation(server.url)) as o:
        for n in range(20):
            o.ask(f"r/1.m{n}")
        found = o.thoughts(20)
        for id_, thought in found.items():
            said = json.loads(o.shell.texts.text(thought.answer))
            assert said["text"] == f"Hello {id_}"
            assert (thought.state, thought.by, thought.notes) == ("answered", "main/scripted", ())
        book = server.book()
        assert sum(thought.usage.input_tokens for thought in found.values()) == book["input_tokens"]
        assert sum(thought.usage.output_tokens for thought in found.values()) == book["output_tokens"]
        assert sum(thought.usage.cost_nano for thought in found.values()) == book["input_tokens"] * 1000
        environ = Path(f"/proc/{o.process.pid}/environ").read_text()
        assert KEY not in environ and KEY not in o.heard
        o.until(lambda: not [row for row in o.rows() if row[0] == PARCEL], "no text is held when all is acknowledged")
        assert o.kill(signal.SIGTERM) == 0
        o.check()
        spent = o.rows()["spent", "acme"]
        assert isinstance(spent, dict) and spent["ever"]["tokens"] == book["input_tokens"] + book["output_tokens"]


def test_killed_in_the_middle_of_fifty_calls(state: Path) -> None:
    """Calls whose answer was not journaled are made again, others are not; each question has one Thought."""
    script = '[[rules]]\nattempt = [1]\nuser = "slow"\nfault = "hang"\n[[rules]]\necho = true'
    with running(script, key=KEY) as server, office(state, organisation(server.url)) as o:
        for n in range(50):
            o.ask(f"r/1.m{n}", "slow" if n >= 40 else "Hello")
        o.until(lambda: len(o.passing.thoughts) >= 40 and server.book()["faults"].get("hang") == 10, "ten hang, forty answered")
        o.kill()
        done = {event.task for event in o.journal() if isinstance(event, CallEnded)}
        assert len(done) == 40
        before = server.book()["requests"]
        o.start()
        found = o.thoughts(50)
        assert {thought.state for thought in found.values()} == {"answered"}
        assert server.book()["requests"] == before + 10
        for id_, thought in found.items():
            assert thought.usage.estimated == (id_ not in done), "what the dead process had begun is booked at its bound"
        assert o.kill(signal.SIGTERM) == 0
        o.check()
        assert sorted(event.task for event in o.journal() if isinstance(event, CallEnded)) == sorted(found)


@pytest.mark.seconds(240)
def test_killed_again_and_again(state: Path) -> None:
    """However often it is killed, wherever: one Thought for each question, and the journal gives the state."""
    script = '[faults]\n"429" = 0.1\nhalf = 0.1\n[[rules]]\npause_ms = 5\necho = true'
    with running(script, key=KEY, seed=3) as server, office(state, organisation(server.url, attempts=20)) as o:
        for n in range(60):
            o.ask(f"r/1.m{n}")
        for enough in (5, 20, 35, 50):
            o.until(lambda enough=enough: len(o.passing.thoughts) >= enough, "some are answered")  # type: ignore[misc]
            o.kill()
            o.start()
        found = o.thoughts(60)
        assert {thought.state for thought in found.values()} == {"answered"}
        assert o.kill(signal.SIGTERM) == 0
        o.check()


def test_a_budget_over_the_wire(state: Path) -> None:
    """A budget is never exceeded by what the provider has really taken, and what it stops is refused with a reason."""
    whole = organisation("", budget=Budget(tokens=9000, per="ever"))
    with running('[faults]\n"500" = 0.1\ncut = 0.1\n[[rules]]\necho = true', key=KEY, seed=1) as server:
        provider = msgspec.structs.replace(whole.models.providers[0], url=server.url)
        whole = msgspec.structs.replace(whole, models=msgspec.structs.replace(whole.models, providers=(provider,)))
        with office(state, whole) as o:
            for n in range(60):
                o.ask(f"r/1.m{n}")
            found = o.thoughts(60)
            states = {thought.state for thought in found.values()}
            assert states <= {"answered", "refused"} and "refused" in states
            assert all(
                "budget of the client acme is 9000 tokens" in one.reason for one in found.values() if one.state == "refused"
            )
            book = server.book()
            assert book["input_tokens"] + book["output_tokens"] <= sum(one.usage.tokens for one in found.values()) <= 9000


def test_it_ends_while_a_provider_hangs(state: Path) -> None:
    """Asked to stop, it does; the call goes on in its next life, and expires there if nobody answers."""
    with running('[[rules]]\nfault = "hang"', key=KEY) as server, office(state, organisation(server.url)) as o:
        o.ask("r/1.m1", limit_ms=6000)
        o.until(lambda: server.book()["faults"], "the provider has been asked")
        assert o.kill(signal.SIGTERM) == 0
        o.start()
        assert o.thoughts(1)["r/1.m1"].state == "expired"
        assert o.kill(signal.SIGTERM) == 0
        o.check()


def test_ready_without_the_sdk(state: Path) -> None:
    """It is ready before the SDK is imported; without it, questions are answered with what to install."""
    (state / "stubs").mkdir()
    (state / "stubs" / "openai.py").write_text("raise ImportError('no openai')")
    with office(state, organisation("http://127.0.0.1:1/v1"), PYTHONPATH=str(state / "stubs")) as o:
        o.until(lambda: "READY=1" in o.heard, "it is ready")
        o.ask("r/1.m1")
        reason = o.thoughts(1)["r/1.m1"].reason
        assert reason == "no model answered: main/scripted: the package openai is missing: pip install 'mai-company[models]'"


def test_a_wrong_key(state: Path) -> None:
    """What is wrong with a key is said by its name; once it is replaced it is used, without a restart."""
    with running("[[rules]]\necho = true", key="sk-the-right-one") as server, office(state, organisation(server.url)) as o:
        o.ask("r/1.m1")
        reason = o.thoughts(1)["r/1.m1"].reason
        assert "401" in reason and "with the key of the credential main" in reason
        o.put_key("sk-the-right-one")
        o.ask("r/1.m2")
        assert o.thoughts(2)["r/1.m2"].state == "answered"
        o.kill()
        o.check()


def test_only_the_models_process_imports_the_sdk() -> None:
    """Neither the department, Mai, the watchdog, the supervisor nor the command line has an HTTP client or the SDK in memory."""
    modules = "mai.agents.process, mai.daemon.gateway, mai.daemon.watchdog, mai.daemon.supervisor, mai.daemon.refold, mai.cli"
    heavy = ("openai", "httpx", "httpx2", "anyio", "pydantic", "mcp", "numpy", "xllamacpp")
    code = f"import sys, {modules}, mai.daemon.calls\nprint([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
    code = f"import sys, mai.daemon.models\nprint([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]", "not even the models process before it is ready"
