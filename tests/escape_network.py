"""Attempts of the escape campaign: the network. Everything that is spoken to is the harness's own, on loopback."""

import os
import socket
import struct
from pathlib import Path

from tests.escape_kit import Facts, attempt, need


def told(one: socket.socket, address: object) -> str:
    """What a server says first."""
    one.settimeout(3)
    one.connect(address)  # type: ignore[arg-type]
    return one.recv(200).decode()


@attempt("network", "connect to a TCP port of the host", gives="host")
def tcp(f: Facts) -> object:
    return told(socket.socket(socket.AF_INET), ("127.0.0.1", f.port))


@attempt("network", "connect to a TCP port of the host by IPv6", gives="host")
def tcp6(f: Facts) -> object:
    return told(socket.socket(socket.AF_INET6), ("::1", f.port6))


@attempt("network", "connect to a TCP port of the host by MPTCP", gives="host")
def mptcp(f: Facts) -> object:
    return told(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262), ("127.0.0.1", f.port))


@attempt("network", "send a datagram out (UDP)", changes="datagram")
def udp(f: Facts) -> object:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"out", ("127.0.0.1", f.udp_port))


@attempt("network", "carry a secret out in the name that it asks a name server for", changes="datagram")
def dns(f: Facts) -> object:
    labels = b"".join(bytes([len(label)]) + label for label in (b"the-secret", b"example", b"org")) + b"\0"
    query = struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + labels + struct.pack(">2H", 1, 1)
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(query, ("127.0.0.1", f.udp_port))


@attempt("network", "listen for others on a TCP port", changes="listens")
def listen(f: Facts) -> object:
    one = socket.create_server(("127.0.0.1", f.free_port))
    one.settimeout(3)
    return one.accept()[1]


@attempt("network", "listen without bind, on a port of the kernel's choice")
def listen_unbound(f: Facts) -> object:
    one = socket.socket(socket.AF_INET)
    one.listen()
    with socket.create_connection(one.getsockname(), 2) as other:
        need(other, "nobody there")
    return one.getsockname()


@attempt("network", "send by TCP Fast Open, without connect", changes="fast_open")
def fast_open(f: Facts) -> object:
    return socket.socket(socket.AF_INET).sendto(b"fast", 0x20000000, ("127.0.0.1", f.port))


@attempt("network", "open a raw socket")
def raw(f: Facts) -> object:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).fileno()


@attempt("network", "ping the host, with a datagram socket of ICMP")
def ping(f: Facts) -> object:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    one.settimeout(2)
    one.sendto(b"\x08\x00\x00\x00\x00\x01\x00\x01", ("127.0.0.1", 0))
    return len(one.recv(100))


@attempt("network", "listen to all packets")
def packets(f: Facts) -> object:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno()


@attempt("network", "see the host's interfaces and addresses by netlink", gives="interface")
def netlink(f: Facts) -> object:
    one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    one.settimeout(2)
    one.send(struct.pack("=IHHIIBxxxiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0))
    return str(one.recv(65536))


@attempt("network", "see who is connected to whom in /proc/net", gives="port_hex")
def see_connections(f: Facts) -> object:
    return Path("/proc/net/tcp").read_text()


@attempt("network", "talk to the hypervisor or other machines by AF_VSOCK")
def vsock(f: Facts) -> object:
    return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).fileno()


@attempt("network", "use the kernel's cryptography by AF_ALG")
def alg(f: Facts) -> object:
    one = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
    one.bind(("hash", "sha256"))
    return one.fileno()


@attempt("network", "open a socket of SCTP or another transport")
def sctp(f: Facts) -> object:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).fileno()


@attempt("network", "go around the filter by a system call of 32 bits", gives="host")
def old_calls(f: Facts) -> object:
    import ctypes

    need(f.native, "no compiler here")
    library = ctypes.CDLL(f.native)
    descriptor = int(library.old_socket())
    need(descriptor >= 0, f"socket by int 0x80: {descriptor}")
    need(os.fstat(descriptor), "no descriptor")
    return told(socket.socket(fileno=descriptor), ("127.0.0.1", f.port))
