"""Attempts of the escape campaign: on the wire, in the names of others, with what others are not to be sent.

Some go by a connection of their own with whatever key they can get at, some by the department's own process, whose key, link and
memory the code has in its hands.
"""

import array
import gc
import json
import os
import socket
import time
from pathlib import Path
from typing import Any, TypeVar

import zmq

from mai.agents import messages
from mai.agents.decider import Send
from mai.agents.linked import Linked
from mai.agents.memory_messages import Remember
from mai.agents.messages import Ack, Envelope, Hello, Result, Task
from mai.agents.wire import routing_id
from mai.sandbox import keys
from tests.escape_kit import Facts, attempt

MAI, OWN, VICTIM = "acme/mai", "acme/lair", "acme/vault"
FAR_MS = 1 << 45
T = TypeVar("T")


def found(kind: type[T]) -> T:
    """The one object of a kind in this process."""
    return next(one for one in gc.get_objects() if isinstance(one, kind))


class Wire:
    """A connection of its own to a client's Mai."""

    def __init__(self, path: str, own: keys.Pair | None, mai: bytes, name: str) -> None:
        self.socket = zmq.Context().socket(zmq.DEALER)
        self.socket.linger, self.socket.sndtimeo = 0, 1500
        self.socket.immediate = True
        self.socket.identity = routing_id(name)
        if own:
            self.socket.curve_publickey, self.socket.curve_secretkey = own
            self.socket.curve_serverkey = mai
        self.socket.connect(f"ipc://{path}")

    def say(self, f: Facts, sender: str, to: str = MAI, body: Any = None, lseq: int = 0) -> str:
        """One envelope that carries the token; what is answered."""
        body = body or Remember(f.token, f"{sender}/agent", "key", f.token)
        self.socket.send(messages.encode(Envelope(sender, to, lseq, f.token, "", FAR_MS, 1, bytes(32), body)))
        if not self.socket.poll(1500):
            return "no answer"
        return str(messages.decode(self.socket.recv(), 1 << 22).body)


def mine(f: Facts, name: str = OWN) -> Wire:
    """With the department's own key."""
    return Wire(f.link, keys.own(Path(f.home)), Path(f.home, "mai.key").read_bytes(), name)


def emit(f: Facts, body: Any) -> str:
    """As the process itself sends, on its link, with the next number."""
    shell = found(Linked).shell
    shell.apply(shell._numbered(Send(MAI, f.token, FAR_MS, body)))
    return str(f.token)


# -- who
@attempt("messages", "speak to Mai without a key", changes="received")
def no_key(f: Facts) -> object:
    return Wire(f.link, None, b"", VICTIM).say(f, VICTIM)


@attempt("messages", "speak to Mai with a key that nobody knows", changes="received")
def unknown_key(f: Facts) -> object:
    own = keys.Pair(*zmq.curve_keypair())
    return Wire(f.link, own, Path(f.home, "mai.key").read_bytes(), VICTIM).say(f, VICTIM, lseq=1)


@attempt("messages", "sign a message with another department's name", changes="received")
def other_sender(f: Facts) -> object:
    return mine(f).say(f, VICTIM, lseq=1)


@attempt("messages", "take another department's route and name", changes="received")
def other_route(f: Facts) -> object:
    return mine(f, VICTIM).say(f, VICTIM, lseq=1)


@attempt("messages", "sign a message with Mai's name", changes="received")
def as_mai(f: Facts) -> object:
    return mine(f, MAI).say(f, MAI, lseq=1)


@attempt("messages", "speak as a department of another client", changes="received")
def other_client(f: Facts) -> object:
    return mine(f, "beta/lair").say(f, "beta/lair", "beta/mai", lseq=1)


@attempt("messages", "speak to another client's Mai with its own key", changes="received")
def own_key_elsewhere(f: Facts) -> object:
    own = keys.own(Path(f.home))
    return Wire(f.beta_link, own, f.beta_mai_key.encode(), "beta/lair").say(f, "beta/lair", "beta/mai", lseq=1)


@attempt("messages", "speak as another department, with that one's key", changes="received")
def stolen_key(f: Facts) -> object:
    wire = Wire(f.link, keys.own(Path(f.vault_home)), Path(f.vault_home, "mai.key").read_bytes(), VICTIM)
    return wire.say(f, VICTIM, lseq=f.vault_next)


@attempt("messages", "speak as another client's department, with that one's key", changes="received")
def stolen_clients_key(f: Facts) -> object:
    wire = Wire(f.beta_link, keys.own(Path(f.beta_home)), Path(f.beta_home, "mai.key").read_bytes(), "beta/vault")
    return wire.say(f, "beta/vault", "beta/mai", lseq=f.beta_next)


@attempt("messages", "send something to another department past Mai", changes="victim_received")
def past_mai(f: Facts) -> object:
    return mine(f).say(f, OWN, VICTIM, Task(f.token, "R", f"{OWN}/agent", "", f.token, {}, 9), 1)


@attempt("messages", "give a task as Mai does", changes="victim_received", inside=True)
def task_to_mai(f: Facts) -> object:
    return emit(f, Task(f.token, "", f"{MAI}", "", f"vault: {f.token}", {}, 9))


# -- what
@attempt("messages", "ask another department without a contract", changes="victim_received", inside=True)
def no_contract(f: Facts) -> object:
    return emit(f, Task(f.token, f.request, f"{OWN}/imp", "vault.open", f.token, {"text": f.token}, 9))


@attempt("messages", "ask by a contract in the name of a department that may", changes="victim_received", inside=True)
def contract_of_another(f: Facts) -> object:
    return emit(f, Task(f.token, f.request, "acme/friend/agent", "vault.open", f.token, {"text": f.token}, 9))


@attempt("messages", "answer a request in another department's place", changes="answered_falsely", inside=True)
def answer_for_another(f: Facts) -> object:
    return emit(f, Result(f.open_task, f.open_request, "answered", f.token, {}, "", f"{VICTIM}/keeper"))


@attempt("messages", "write the client's memory in another agent's name", changes="remembered_falsely", inside=True)
def remember_as_another(f: Facts) -> object:
    return emit(f, Remember(f.token, f"{VICTIM}/keeper", "note", f.token))


@attempt("messages", "send a message a second time", changes="twice", inside=True)
def replay(f: Facts) -> object:
    process = found(Linked)
    link = process.shell.decider.state.link(MAI)
    body = Remember(f.token, f"{OWN}/imp", "replayed", f.token)
    for _ in range(3):
        process.send(MAI, messages.encode(Envelope(OWN, MAI, link.acked, f.token, "", FAR_MS, 1, bytes(32), body)))
    return link.acked


@attempt("messages", "send messages out of their order", changes="received_own", inside=True)
def reorder(f: Facts) -> object:
    process = found(Linked)
    link = process.shell.decider.state.link(MAI)
    for ahead in (9, 7, 8):
        body = Remember(f.token, f"{OWN}/imp", "early", f.token)
        frame = messages.encode(Envelope(OWN, MAI, link.sent + ahead, f.token, "", FAR_MS, 1, bytes(32), body))
        process.send(MAI, frame)
    return link.sent


# -- how much
@attempt("messages", "keep Mai from the others with a flood of messages", changes="mai_busy")
def flood(f: Facts) -> object:
    wire, end, count = mine(f), time.monotonic() + 2.0, 0
    frame = messages.encode(Envelope(OWN, MAI, 0, f.token, "", FAR_MS, 1, bytes(32), Hello(0, "x" * 1000)))
    while time.monotonic() < end and count < 20_000:
        wire.socket.send(frame)
        count += 1
    return count


@attempt("messages", "end Mai with what is no message", changes="mai_busy")
def garbage(f: Facts) -> object:
    wire = mine(f)
    for number in range(500):
        wire.socket.send(os.urandom(number + 1))
    for odd in (b"", b"\x80", b"\xc1" * 100, json.dumps({"is": "task"}).encode(), b"\x9f" * 5000):
        wire.socket.send_multipart([odd] * 3)
    return 505


@attempt("messages", "end Mai with a message of 64 MiB", changes="mai_busy")
def huge(f: Facts) -> object:
    wire = mine(f)
    wire.socket.send(bytes(64 << 20))
    time.sleep(0.5)
    return wire.say(f, OWN, body=Hello(0, "boot"))


@attempt("messages", "open so many connections that Mai has none for others", changes="mai_busy")
def connections(f: Facts) -> object:
    held = []
    for _ in range(600):
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(1)
        one.connect(f.link)
        held.append(one)
    return len(held)


@attempt("messages", "tell the watchdog that another department is stopping", changes="vault_said")
def heartbeat(f: Facts) -> object:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        told = f'STATUS={f.token}\nSTOPPING=1\nWATCHDOG=1\nX_MAI={{"state":"draining"}}'
        return one.sendto(told.encode(), f.notify)


@attempt("messages", "tell it so under that department's process number", changes="vault_said")
def heartbeat_as_another(f: Facts) -> object:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.connect(f.notify)
        who = array.array("i", [f.vault_pid, f.vault_uid, f.vault_uid])
        told = f'STATUS={f.token}\nWATCHDOG=1\nX_MAI={{"state":"draining"}}'
        return one.sendmsg([told.encode()], [(socket.SOL_SOCKET, 2, who)])


@attempt("messages", "keep others from being heard by the watchdog, so that it ends them", changes="unheard")
def flood_watchdog(f: Facts) -> object:
    end, count = time.monotonic() + 5.0, 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.connect(f.notify)
        while time.monotonic() < end:
            one.send(b"WATCHDOG=1")
            count += 1
    return count


@attempt("messages", "make Mai take herself for an older copy, and halt", changes="mai_busy")
def accuse(f: Facts) -> object:
    return mine(f).say(f, OWN, body=Ack(1 << 40))


@attempt("messages", "make Mai forget what the department has received, in another's name", changes="forgotten")
def other_hello(f: Facts) -> object:
    return mine(f, VICTIM).say(f, VICTIM, body=Hello(0, f.token))
