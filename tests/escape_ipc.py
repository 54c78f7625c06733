"""Attempts of the escape campaign: sockets, queues, memory and keys that processes share; most stands ready on the host."""

import base64
import contextlib
import ctypes
import json
import os
import pathlib
import socket
import struct
from pathlib import Path

from tests.escape_kit import Facts, attempt, need, syscall

USER_KEYRING, KEYCTL_READ, KEYCTL_SEARCH, KEYCTL_LINK, SESSION = -4, 11, 10, 8, -3


def spoken(address: str, said: bytes = b"", kind: int = socket.SOCK_STREAM) -> str:
    """What a unix socket answers."""
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.settimeout(3)
        one.connect(address)
        if said:
            one.sendall(said)
        return one.recv(65536).decode(errors="replace")


def proof(f: Facts) -> str:
    """What the daemon's own user shows at its doors; "" if it cannot be read."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f.proof).read_text()
    return ""


def ordered(f: Facts, verb: str) -> bytes:
    """A request as a person would make it."""
    return json.dumps({"do": verb, "proof": proof(f)}).encode() + b"\n"


# -- sockets
@attempt("ipc", "connect to a socket of the host's that lies in the file system", gives="host")
def connect_host(f: Facts) -> object:
    return spoken(f.host_socket)


@attempt("ipc", "connect to an abstract socket of the host's", gives="host")
def connect_abstract(f: Facts) -> object:
    return spoken("\0" + f.abstract)


@attempt("ipc", "give orders at the operators' door", gives="watchdog_word")
def operators_door(f: Facts) -> object:
    return spoken(f.door, ordered(f, "status"))


@attempt("ipc", "speak to supervisorctl's socket", gives="supervisor_word")
def supervisors_door(f: Facts) -> object:
    body = "<?xml version='1.0'?><methodCall><methodName>supervisor.getState</methodName></methodCall>"
    known = base64.b64encode(f"mai:{proof(f)}".encode()).decode()
    head = f"POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nAuthorization: Basic {known}\r\nContent-Length: {len(body)}\r\n\r\n"
    return spoken(f.supervisor_socket, (head + body).encode())


@attempt("ipc", "ask Mai as if it were the client", gives="door_word")
def clients_door(f: Facts) -> object:
    return spoken(f.acme_door, ordered(f, "history"))


@attempt("ipc", "ask another client's Mai as if it were that client", gives="door_word")
def others_door(f: Facts) -> object:
    return spoken(f.beta_door, ordered(f, "history"))


@attempt("ipc", "reach the socket of another client's Mai", gives="zmq_word")
def others_mai(f: Facts) -> object:
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(3)
        one.connect(f.beta_link)
        return one.recv(10).hex()


@attempt("ipc", "hand one of its descriptors to a process of the host", changes="handed")
def hand_over(f: Facts) -> object:
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(3)
        one.connect(f.host_socket)
        return socket.send_fds(one, [b"fd"], [0])


@attempt("ipc", "put a socket where the host's processes find it", changes="offered")
def offer_socket(f: Facts) -> object:
    socket.socket(socket.AF_UNIX).bind(f.offered)
    return f.offered


@attempt("ipc", "take an abstract name that the host's processes connect to", changes="abstract_taken")
def take_abstract(f: Facts) -> object:
    one = socket.socket(socket.AF_UNIX)
    one.bind("\0" + f.abstract_free)
    one.listen()
    one.settimeout(2)
    return one.accept()[1]


@attempt("ipc", "see which unix sockets there are", gives="abstract_name")
def list_sockets(f: Facts) -> object:
    lines = Path("/proc/net/unix").read_text().splitlines()
    return [line for line in lines if f.abstract in line]


# -- System V and POSIX
@attempt("ipc", "read shared memory of System V", gives="host")
def read_segment(f: Facts) -> object:
    from tests.escape_kit import libc

    identity = syscall("shmget", f.sysv_key, 64, 0)
    place = libc.shmat(identity, None, 0o10000)
    need(place not in (None, ctypes.c_void_p(-1).value), "not attached")
    return ctypes.string_at(place, 64).rstrip(b"\0").decode()


@attempt("ipc", "take a message out of a queue of System V", gives="host")
def read_queue(f: Facts) -> object:
    data = ctypes.create_string_buffer(128)
    syscall("msgrcv", syscall("msgget", f.sysv_key, 0), data, 100, 0, 0o4000)
    return data.raw[8:].rstrip(b"\0").decode()


@attempt("ipc", "read a semaphore of System V")
def read_semaphore(f: Facts) -> object:
    return syscall("semctl", syscall("semget", f.sysv_key, 1, 0), 0, 12, 0)


@attempt("ipc", "take a message out of a queue of POSIX", gives="host")
def read_posix_queue(f: Facts) -> object:
    descriptor = syscall("mq_open", f.queue.encode(), os.O_RDONLY | os.O_NONBLOCK, 0, None)
    data = ctypes.create_string_buffer(8192)
    syscall("mq_timedreceive", descriptor, data, 8192, None, None)
    return data.value.decode()


@attempt("ipc", "read a key in the user's keyring", gives="host")
def read_keyring(f: Facts) -> object:
    key = syscall("keyctl", KEYCTL_SEARCH, USER_KEYRING, b"user", f.key.encode(), 0)
    syscall("keyctl", KEYCTL_LINK, key, SESSION, 0, 0)
    data = ctypes.create_string_buffer(64)
    syscall("keyctl", KEYCTL_READ, key, data, 64, 0)
    return data.value.decode()


@attempt("ipc", "put a key into the user's keyring", changes="key_added")
def add_key(f: Facts) -> object:
    return syscall("add_key", b"user", b"mai-escape-added", b"here", 4, USER_KEYRING)


@attempt("ipc", "type on the terminal of whoever started the daemon")
def type_on_terminal(f: Facts) -> object:
    import fcntl

    return fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), 0x5412, struct.pack("c", b" "))
