"""CURVE keys: one pair for each process, in its own directory; who sent a message is what the key says.

A secret key is readable by its process alone. A client's Mai knows the public keys of its departments (`keys`), each
department knows Mai's (`mai.key`). The watchdog makes and hands out what is missing before a process starts.
"""

from pathlib import Path
from typing import NamedTuple

import msgspec
import zmq

from mai.sandbox import durable
from mai.sandbox.errors import UsageFault
from mai.sandbox.place import Place


class Pair(NamedTuple):
    """A key pair in Z85, 40 characters each (rfc.zeromq.org/spec/32)."""

    public: bytes
    secret: bytes


def ensure(home: Path) -> Pair:
    """The key pair of the process that lives here; made and kept if there is none."""
    try:
        return own(home)
    except FileNotFoundError:
        public, secret = zmq.curve_keypair()
        write(home / "key", public + b"\n" + secret + b"\n")
        return Pair(public, secret)


def own(home: Path) -> Pair:
    """The key pair that lies here. Raises FileNotFoundError."""
    lines = (home / "key").read_bytes().split()
    if [len(line) for line in lines] != [40, 40]:
        raise UsageFault(f"{home / 'key'} holds no key pair", "remove the file, a new one is made at the next start")
    return Pair(*lines)


def publish(place: Place, client: str, publics: dict[str, bytes]) -> None:
    """Tell a client's Mai who is who (process name -> public key), and each department who Mai is."""
    mai = publics[f"{client}/mai"]
    for process in publics:
        write(place.home(process) / "mai.key", mai)
    write(place.home(f"{client}/mai") / "keys", msgspec.msgpack.encode({public: name for name, public in publics.items()}))


def known(home: Path) -> dict[bytes, str]:
    """Public key -> process name, as Mai was told. Raises UsageFault."""
    try:
        return msgspec.msgpack.decode((home / "keys").read_bytes(), type=dict[bytes, str])
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageFault(f"{home / 'keys'} cannot be read: {error}", "start the process through the daemon: mai up") from None


def write(path: Path, data: bytes) -> None:
    """Replace a small private file whole."""
    durable.write(path, data)
