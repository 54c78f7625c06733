"""Mai's real process, alone: raw ZeroMQ clients in the place of her departments, and callers at her door."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
import zmq
from msgspec.structs import replace

from mai.agents import check, messages
from mai.agents.memory_messages import Recall, Recalled, Remember
from mai.agents.messages import Ack, Complaint, Envelope, Hello, Hop, Result, Task
from mai.agents.wire import routing_id
from mai.daemon.door import LINE_BYTES, Door
from mai.daemon.quarters import furnish
from mai.sandbox import keys
from mai.sandbox.errors import REFUSED, USAGE, MaiError
from mai.sandbox.life import EX_CONFIG, EX_TEMPFAIL
from mai.sandbox.place import Place
from tests.small import ORGANISATION, PATIENCE_S, Daemon, environment, until

LIMIT_BYTES = 1 << 20
WAIT_MS = int(PATIENCE_S * 1000)


class Gateway:
    """Mai's process without a supervisor."""

    def __init__(self, directory: Path, organisation: str = ORGANISATION) -> None:
        self.daemon = Daemon(directory, organisation)
        self.place: Place = self.daemon.place
        self.place.prepare()
        furnish(self.place, check.load(self.daemon.file))
        self.home = self.place.home("acme/mai")
        self.door = Door(self.place.sockets("acme") / "door.sock", PATIENCE_S)
        self.process = self.start()

    def start(self) -> "subprocess.Popen[str]":
        """A new process; waits until it serves its door."""
        command = [sys.executable, "-P", "-m", "mai.daemon.gateway", str(self.place.state), str(self.place.run), "acme/mai"]
        self.process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
        return self.process

    def serves(self) -> bool:
        """Does she answer at her door? Raises AssertionError, with what she said, if she has ended."""
        assert self.process.poll() is None, self.process.communicate()
        return "history" in until(lambda: self.door.call({"do": "history", "last": 1}), "the door")

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it; the exit status."""
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode

    def refusals(self, why: str) -> list[dict[str, Any]]:
        """What she put on record as refused for this reason."""
        return [body for _, body in self.daemon.journal("acme/mai", "message.refused") if body["why"] == why]


class Peer:
    """A raw client with the key of one process, and whatever routing id it likes."""

    def __init__(self, gateway: Gateway, process: str, route: bytes | None = None, own: keys.Pair | None = None) -> None:
        home = gateway.place.home(process)
        self.name, self.sent = process, 0
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.identity = routing_id(process) if route is None else route
        self.socket.curve_publickey, self.socket.curve_secretkey = own or keys.own(home)
        self.socket.curve_serverkey = (home / "mai.key").read_bytes()
        self.socket.connect(f"ipc://{gateway.place.link('acme')}")

    def send(self, body: messages.Any_Body, **given: Any) -> None:
        """One envelope, right unless `given` makes it wrong."""
        numbered = isinstance(body, Task | Result | Recall | Remember)
        self.sent += numbered and "lseq" not in given
        fields: dict[str, Any] = {
            "sender": self.name, "to": "acme/mai", "lseq": self.sent if numbered else 0, "id": "i", "organisation": "",
            "deadline_ms": 1 << 45, "head_seq": 1, "head": bytes(32), "body": body,
        }  # fmt: skip
        self.socket.send(messages.encode(Envelope(**{**fields, **given})))

    def receive(self) -> Envelope:
        """The next envelope."""
        assert self.socket.poll(WAIT_MS), "nothing came"
        return messages.decode(self.socket.recv(), LIMIT_BYTES)

    def expect(self, kind: type[Any]) -> Any:
        """The next body of a kind; others are passed over."""
        while not isinstance(body := self.receive().body, kind):
            pass
        return body

    def greet(self, received: int = 0) -> Hello:
        """Say Hello, and wait for Mai's."""
        self.send(Hello(received, "boot"))
        hello = self.expect(Hello)
        assert isinstance(hello, Hello)
        return hello

    def close(self) -> None:
        """Hang up."""
        self.context.destroy(linger=0)


@pytest.fixture
def gateway(state: Path) -> Iterator[Gateway]:
    """A fresh Mai for one test."""
    fresh = Gateway(state)
    try:
        assert fresh.serves()
        yield fresh
    finally:
        if fresh.process.poll() is None:
            fresh.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def mai(module_state: Path) -> Iterator[Gateway]:
    """One Mai for all tests that leave her as she was; that she still serves is a part of each of them."""
    shared = Gateway(module_state)
    try:
        assert shared.serves()
        yield shared
    finally:
        if shared.process.poll() is None:
            shared.end()


@pytest.fixture
def peer(mai: Gateway) -> Iterator[Callable[..., Peer]]:
    """Makes peers, and hangs up for them; afterwards Mai still serves."""
    made: list[Peer] = []

    def make(process: str, **given: Any) -> Peer:
        made.append(Peer(mai, process, **given))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert mai.serves()


# -- frames
@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"\xff" * 100],
        [b"GET / HTTP/1.1\r\n"],
        [b"\x90"],
        [msgspec.msgpack.encode(["acme/sales", "acme/mai", 1])],
        [msgspec.msgpack.encode([1] * 9)],
        [b"x" * (LIMIT_BYTES + 1)],
        [b"\x91" * 100_000],
        [b"", b""],
        [b"a"] * 100,
        [messages.encode(Envelope("acme/support", "acme/mai", 0, "", "", 0, 0, b"", Hello(0, ""))), b"more"],
        [messages.encode(Envelope("acme/support", "acme/mai", 0, "odd", "", 0, 0, b"", Hello(0, ""))).replace(b"odd", b"\xfeod")],
    ],
    ids=["empty", "noise", "http", "nothing", "short", "types", "long", "deep", "two", "hundred", "more", "no text"],
)
def test_what_is_no_message_is_answered_with_a_complaint(peer: Callable[..., Peer], frames: list[bytes]) -> None:
    """In one sentence, to the connection that it came from; the next message is taken as if nothing had been."""
    client = peer("acme/support")
    client.greet()
    client.socket.send_multipart(frames)
    complaint = client.expect(Complaint)
    assert complaint.why == "malformed" and "\n" not in complaint.detail
    client.greet()


def test_a_burst_is_as_many_messages(gateway: Gateway) -> None:
    """Each part of one message of the wire is a message of its own, in order; what is none spoils no other."""
    with closing(Peer(gateway, "acme/support")) as client:
        lseq = client.greet().received
        frames = []
        for n in (1, 2, 3):
            body = Remember(f"b{n}", "acme/support/desk", f"burst {n}", n)
            envelope = Envelope("acme/support", "acme/mai", lseq + n, f"b{n}", "", 1 << 45, n, bytes(32), body)
            frames.append(messages.encode(envelope))
        client.socket.send_multipart([frames[0], b"noise", *frames[1:]])
        assert client.expect(Complaint).why == "malformed"
        assert [client.expect(Recalled).id for _ in range(3)] == ["b1", "b2", "b3"]
        assert client.greet(received=3).received == lseq + 3


@pytest.mark.parametrize("given", [{"sender": "acme/finance"}, {"to": "acme/finance"}, {"sender": "acme/mai"}, {"sender": ""}])
def test_a_forged_message_is_refused_and_on_record(mai: Gateway, peer: Callable[..., Peer], given: dict[str, str]) -> None:
    """A name that the key does not prove is answered with a complaint, and what the message wanted does not happen."""
    forger, finance = peer("acme/support"), peer("acme/finance")
    finance.greet()
    forger.send(Remember("i", "acme/finance/clerk", "forged", 1), lseq=1, **given)
    assert forger.expect(Complaint).why == "forgery"
    assert until(lambda: mai.refusals("forgery"), "the record")[0]["peer"] == "acme/support"
    finance.send(Recall("i", "acme/finance/clerk", "forged"), lseq=finance.greet().received + 1)
    assert finance.expect(Recalled).found is False


def test_whoever_takes_anothers_routing_id_gets_nothing_of_it(gateway: Gateway) -> None:
    """Support's key under finance's name, before finance is there: finance is heard, and its task reaches it alone."""
    thieves = [Peer(gateway, "acme/support", route=route) for route in (b"acme/finance", b"acme/finance#1", b"acme/mai", b"\xff")]
    try:
        for thief in thieves:
            thief.send(Hello(0, "boot"))
            assert thief.expect(Complaint).why == "forgery"
        finance = Peer(gateway, "acme/finance")
        thieves.append(finance)
        finance.greet()
        asking = Thread(target=gateway.door.call, args=({"do": "ask", "request": "R", "text": "@finance: the budget?"},))
        asking.start()
        task = finance.expect(Task)
        finance.send(Result(task.task, "R", "answered", "None.", {}, "", "acme/finance/clerk"))
        finance.expect(Ack)
        asking.join(PATIENCE_S)
        assert not any(thief.socket.poll(0) for thief in thieves[:-1])
    finally:
        for one in thieves:
            one.close()


def test_what_an_earlier_life_has_left_in_the_wire_takes_nothing_from_the_present_one(gateway: Gateway) -> None:
    """ZeroMQ reads in turn from a dead process's connection and its successor's: Mai goes on writing to the successor."""
    old, new = Peer(gateway, "acme/finance"), Peer(gateway, "acme/finance")
    with closing(old), closing(new):
        old.greet()
        new.greet()
        for _ in range(5):
            old.send(Hop("r", "t", "a", "b", "", 0))
            new.send(Hop("r", "t", "a", "b", "", 0))
        assert gateway.serves()
        asking = Thread(target=gateway.door.call, args=({"do": "ask", "request": "R", "text": "@finance: the budget?"},))
        asking.start()
        try:
            assert new.expect(Task).request == "R"
            new.send(Result("R/1", "R", "answered", "It is fine.", {}, "", "acme/finance/board"))
        finally:
            asking.join(PATIENCE_S)


def test_unknown_keys_are_shut_out_and_cannot_flood_the_journal(gateway: Gateway) -> None:
    """Each handshake with an unknown key fails; what is put on record is their number, at most once a second."""
    context, strangers = zmq.Context(), 60
    for _ in range(strangers):
        stranger = context.socket(zmq.DEALER)
        stranger.linger, stranger.reconnect_ivl = 0, -1
        stranger.curve_publickey, stranger.curve_secretkey = zmq.curve_keypair()
        stranger.curve_serverkey = (gateway.place.home("acme/support") / "mai.key").read_bytes()
        monitor = stranger.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        stranger.connect(f"ipc://{gateway.place.link('acme')}")
        assert monitor.poll(WAIT_MS)
        assert int.from_bytes(monitor.recv_multipart()[0][:2], "little") == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    context.destroy(linger=0)

    def counted() -> int:
        found = gateway.refusals("unknown key")
        return sum(1 + (int(body["detail"].split("(and ")[1].split()[0]) if "(and " in body["detail"] else 0) for body in found)

    until(lambda: counted() == strangers, "all of them on record")
    at_ms = [record.at_ns // 1_000_000 for record, body in gateway.daemon.journal("acme/mai", "message.refused")]
    assert all(later - earlier > 990 for earlier, later in itertools.pairwise(at_ms))
    assert gateway.serves()


# -- well-formed, and absurd
@pytest.mark.parametrize("lseq", [2, 10**9, (1 << 64) - 1])
def test_a_number_too_high_is_not_taken(peer: Callable[..., Peer], lseq: int) -> None:
    """Mai says how far she has received, so that the rest is sent again; nothing of the message happens."""
    client = peer("acme/support")
    before = client.greet().received
    client.send(Remember("i", "acme/support/porter", "jump", 1), lseq=before + lseq if lseq < 10**10 else lseq)
    assert client.expect(Hello).received == before
    assert client.greet().received == before


@pytest.mark.parametrize("lseq", [0, -1, -(1 << 63)])
def test_a_number_already_seen_is_acknowledged_and_ignored(peer: Callable[..., Peer], lseq: int) -> None:
    """Whatever stands in it."""
    client = peer("acme/support")
    before = client.greet().received
    client.send(Remember("i", "acme/support/porter", "again", 1), lseq=lseq)
    assert client.expect(Ack).received == before


PAY = Task("R/1.m1", "R", "acme/support/desk", "finance.pay_back", "", {"order": 1}, 3)
ABSURD: list[tuple[str, messages.Any_Body, dict[str, Any]]] = [
    ("no task", Task("", "", "", "", "", {}, 0), {}),
    ("unknown task", PAY, {}),
    ("huge numbers", replace(PAY, input={"order": (1 << 64) - 1}, hops=1 << 63), {}),
    ("negative", replace(PAY, input={"order": -1}, hops=-(1 << 63)), {"deadline_ms": -1}),
    ("far deadline", PAY, {"deadline_ms": (1 << 64) - 1}),
    ("free text", replace(PAY, contract="", text="do it"), {}),
    ("no numbers", replace(PAY, input={"order": float("nan")}), {}),
    ("names", Task("\0" * 99, "\n", "\x1b[2J", "\u202e.", "\ufffe", {"": ""}, 3), {"id": "\0", "organisation": "x" * 10_000}),
    ("unknown result", Result("R/1", "R", "answered", "", {}, "", ""), {}),
    ("result of nothing", Result("", "", "escalated", "", {"": float("inf")}, "", "", ("x",) * 1000), {}),
    ("memory of another", Remember("i", "acme/finance/clerk", "k", 1), {}),
    ("memory without a key", Recall("", "", ""), {}),
    ("heads", Recall("i", "acme/support/desk", "k"), {"head_seq": (1 << 64) - 1, "head": b"x" * 500_000}),
    ("past heads", Recall("i", "acme/support/desk", "k"), {"head_seq": -(1 << 63), "head": b""}),
    ("from Mai", Recalled("i", True, 1), {"lseq": -7}),
    ("hop", Hop("x" * 500_000, "", "\x1b[2J", "", "", -1), {}),
    ("complaint", Complaint("x" * 1000, "y" * 500_000), {}),
    ("acknowledged less", Ack(-(1 << 63)), {}),
]


@pytest.mark.parametrize(("body", "given"), [one[1:] for one in ABSURD], ids=[one[0] for one in ABSURD])
def test_absurd_messages_do_no_harm(peer: Callable[..., Peer], body: messages.Any_Body, given: dict[str, Any]) -> None:
    """A department that has gone mad gets a refusal, a complaint or nothing; Mai goes on, and its link does too."""
    client = peer("acme/support")
    received = client.greet().received
    numbered = isinstance(body, Task | Result | Recall | Remember)
    client.send(body, **{**({"lseq": received + 1} if numbered else {}), **given})
    assert client.greet().received - received in (0, 1)


@pytest.mark.parametrize("depth", [60, 70, 300, 900, *range(960, 1001, 4)])
def test_a_value_of_any_depth_does_no_harm(peer: Callable[..., Peer], depth: int) -> None:
    """What can be decoded but hardly written again is refused, not found out in the middle of a turn."""
    client = peer("acme/support")
    received = client.greet().received
    frame = messages.encode(
        Envelope("acme/support", "acme/mai", received + 1, "", "", 0, 0, b"", Remember("i", "acme/support/desk", "deep", "HERE"))
    )
    client.socket.send(frame.replace(msgspec.msgpack.encode("HERE"), b"\x91" * depth + b"\x01"))
    assert client.greet().received - received in (0, 1)


def test_a_peer_that_is_ahead_ends_mai_with_the_reason(gateway: Gateway) -> None:
    """It has received what this ledger never sent, so the ledger is an older copy: she halts and says so, for good."""
    client = Peer(gateway, "acme/support")
    client.send(Ack(5))
    _, said = gateway.process.communicate(timeout=PATIENCE_S)
    client.close()
    assert gateway.process.returncode == EX_CONFIG and "older copy" in said


# -- the door
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"do": "dance"}, "does not know 'dance'"),
        ({}, "does not know None"),
        ({"do": ["ask"] * 1000}, "does not know"),
        ({"do": "ask"}, "no id"),
        ({"do": "ask", "request": "x" * 65, "text": "hello"}, "no id"),
        ({"do": "ask", "request": "a b", "text": "hello"}, "no id"),
        ({"do": "ask", "request": "../etc", "text": "hello"}, "no id"),
        ({"do": "ask", "request": "é", "text": "hello"}, "no id"),
        ({"do": "ask", "request": 5, "text": "hello"}, "no id"),
        ({"do": "ask", "request": "x\n", "text": "hello"}, "no id"),
        ({"do": "ask", "request": "x"}, "empty"),
        ({"do": "ask", "request": "x", "text": ""}, "empty"),
        ({"do": "ask", "request": "x", "text": " \t\n\u2003"}, "empty"),
        ({"do": "ask", "request": "x", "text": 5}, "empty"),
        ({"do": "ask", "request": "x", "text": "a" * 4097}, "4097 bytes, the limit is 4096"),
        ({"do": "ask", "request": "x", "text": "é" * 2049}, "4098 bytes"),
        ({"do": "ask", "request": "x", "text": "half \ud83d pair"}, "not a text: it holds U+D83D"),
        ({"do": "ask", "request": "x", "text": "refund\0"}, "not a text: it holds U+0000"),
        ({"do": "ask", "request": "x", "text": "\x1b[31mrefund"}, "not a text: it holds U+001B"),
        ({"do": "ask", "request": "x", "text": "hello", "timeout_s": 0}, "0 is no time-out"),
        ({"do": "ask", "request": "x", "text": "hello", "timeout_s": -1}, "no time-out"),
        ({"do": "ask", "request": "x", "text": "hello", "timeout_s": float("nan")}, "no time-out"),
        ({"do": "ask", "request": "x", "text": "hello", "timeout_s": float("inf")}, "no time-out"),
        ({"do": "ask", "request": "x", "text": "hello", "timeout_s": 10**4000}, "no time-out"),
        ({"do": "ask", "request": "x", "text": "hello", "timeout_s": "soon"}, "no time-out"),
        ({"do": "ask", "request": "x", "text": "hello", "timeout_s": None}, "no time-out"),
        ({"do": "history", "last": 0}, "no number"),
        ({"do": "history", "last": 10**9}, "no number"),
        ({"do": "history", "last": "all"}, "no number"),
    ],
)
def test_what_the_door_does_not_take_is_refused_in_one_sentence(mai: Gateway, given: dict[str, Any], sentence: str) -> None:
    """A usage fault, short whatever was asked, and nothing of it becomes a request."""
    with pytest.raises(MaiError) as refused:
        mai.door.call(given)
    assert sentence in refused.value.sentence and refused.value.code == USAGE
    assert len(refused.value.sentence) < 200 and "\n" not in refused.value.sentence
    assert not mai.daemon.journal("acme/mai", "request.accepted")


def test_a_line_of_ten_megabytes_is_refused(mai: Gateway) -> None:
    """The caller hears why, as far as it reads while it writes; Mai is not harmed."""
    with closing(socket.socket(socket.AF_UNIX)) as caller:
        caller.settimeout(PATIENCE_S)
        caller.connect(str(mai.door.path))
        line = json.dumps({"do": "ask", "request": "big", "text": "a" * 10_000_000}).encode()
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was read
            caller.sendall(line)
        reply = json.loads(caller.makefile("rb").readline())
    assert reply["code"] == USAGE and str(LINE_BYTES) in reply["error"]
    assert mai.serves()


def test_an_id_is_asked_by_many_at_once_and_answered_the_same(gateway: Gateway) -> None:
    """Eight callers with one id: one request, one answer, told to all; and to who asks after a restart, however it ended."""
    asked = {"do": "ask", "request": "R", "text": "fly me to the moon"}
    gateway.door.call({**asked, "request": "other"})
    answers: list[Any] = []
    callers = [Thread(target=lambda: answers.append(gateway.door.call(asked))) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(PATIENCE_S)
    for number in (signal.SIGTERM, signal.SIGKILL):
        gateway.end(number)
        gateway.start()
        assert gateway.serves()
        answers.append(gateway.door.call(asked))
    assert len(answers) == 10 and all(answer == answers[0] for answer in answers)
    ended = [body["request"] for _, body in gateway.daemon.journal("acme/mai", "request.ended")]
    assert ended == ["other", "R"]
    gateway.daemon.check_ledger("acme/mai")


def test_an_id_is_not_used_twice_for_different_texts(mai: Gateway) -> None:
    """The second text is refused; blanks around a text make no difference."""
    first = mai.door.call({"do": "ask", "request": "twice", "text": "fly me to the moon"})
    assert mai.door.call({"do": "ask", "request": "twice", "text": " fly me to the moon\n"}) == first
    with pytest.raises(MaiError) as refused:
        mai.door.call({"do": "ask", "request": "twice", "text": "fly me to the sun"})
    assert refused.value.code == REFUSED and "twice" in refused.value.sentence


def test_an_open_request_is_joined_and_survives_its_caller(gateway: Gateway) -> None:
    """The first caller hangs up, Mai is killed, another asks with the same id: one task, one answer."""
    asked = {"do": "ask", "request": "R", "text": "@finance: the budget?", "watch": True}
    finance = Peer(gateway, "acme/finance")
    finance.greet()
    with closing(socket.socket(socket.AF_UNIX)) as caller:
        caller.connect(str(gateway.door.path))
        caller.sendall(gateway.door.line(asked))
        task = finance.expect(Task)
    gateway.end(signal.SIGKILL)
    gateway.start()
    assert gateway.serves()
    replies = gateway.door.ask(asked)
    assert next(replies) == {"accepted": "R"}
    finance.greet()
    again = finance.expect(Task)
    assert again == task
    finance.send(Result("R/1", "R", "answered", "None.", {}, "", "acme/finance/clerk", ("finance",)))
    *hops, last = replies
    finance.close()
    assert last["answer"]["state"] == "answered" and "None." in last["answer"]["answer"]
    assert [hop["hop"]["sender"] for hop in hops] == ["finance"]
    assert len(gateway.daemon.journal("acme/mai", "request.ended")) == 1


def test_who_does_not_read_is_left_and_others_are_served(mai: Gateway) -> None:
    """A caller that asks and never reads, and one that sends half a line, hold up nobody."""
    with closing(socket.socket(socket.AF_UNIX)) as slow, closing(socket.socket(socket.AF_UNIX)) as half:
        for caller, line in ((slow, mai.door.line({"do": "history", "last": 1000}) * 1000), (half, b'{"do": "ask", ')):
            caller.connect(str(mai.door.path))
            caller.sendall(line)
        assert mai.serves()


# -- the ledger
def test_two_mais_never_write_one_ledger(gateway: Gateway) -> None:
    """The second finds the directory held, says by whom, and ends; the first goes on."""
    first, second = gateway.process, gateway.start()
    _, said = second.communicate(timeout=PATIENCE_S)
    gateway.process = first
    assert second.returncode != 0 and str(first.pid) in said
    assert gateway.serves()


def test_a_ledger_of_a_newer_version_is_left_alone(gateway: Gateway) -> None:
    """Mai ends with the status that says that a restart will not help, and one sentence."""
    import pysqlite3 as sqlite3

    gateway.end()
    with closing(sqlite3.connect(gateway.place.ledger("acme/mai"))) as db:
        db.execute("PRAGMA user_version=99")
    _, said = gateway.start().communicate(timeout=PATIENCE_S)
    assert gateway.process.returncode == EX_CONFIG and "format 99" in said and "Traceback" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_ends_mai_and_nothing_accepted_is_lost(state: Path) -> None:
    """When the ledger cannot be written she ends with a sentence; with room again she has all that she had accepted."""
    room = state / "room"
    room.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(room)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mount is not allowed here")
    try:
        gateway = Gateway(room, ORGANISATION.replace("[limits]", "[limits]\nfree_bytes = 0"))
        assert gateway.serves()
        accepted = []
        try:
            for number in range(3000):
                gateway.door.call({"do": "ask", "request": f"R{number}", "text": f"{number} " + "sky " * 800})
                accepted.append(f"R{number}")
        except MaiError as error:
            assert "is full" in error.sentence and "make room" in error.hint
        _, said = gateway.process.communicate(timeout=PATIENCE_S)
        assert accepted and gateway.process.returncode == EX_TEMPFAIL and "full" in said and "Traceback" not in said
        subprocess.run(["mount", "-o", "remount,size=50m", str(room)], check=True)
        gateway.start()
        assert gateway.serves()
        assert {body["request"] for _, body in gateway.daemon.journal("acme/mai", "request.ended")} >= set(accepted)
        gateway.end()
    finally:
        subprocess.run(["umount", "-l", str(room)], check=True)
