"""CURVE keys: one pair for each process, in its own directory; who sent a message is what the key says.

A secret key is readable by its process alone. A client's Mai knows the public keys of its departments (`keys`), each
department knows Mai's (`mai.key`). The watchdog makes and hands out what is missing before a process starts, and changes
them while it runs: a new pair waits as `key.next` until it takes the place of `key`. A process looks at each heartbeat
whether its files are the ones that it has read, and says in the heartbeat which those are.
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import msgspec
import zmq
from zmq.utils import z85

from mai.sandbox import durable
from mai.sandbox.errors import UsageFault
from mai.sandbox.place import Place

KEY, NEXT, MAI, KNOWN = "key", "key.next", "mai.key", "keys"
FINGERPRINT_CHARS = 32  # hexadecimal: 128 bits


class Pair(NamedTuple):
    """A key pair in Z85, 40 characters each (rfc.zeromq.org/spec/32)."""

    public: bytes
    secret: bytes


class Known(msgspec.Struct, frozen=True):
    """Whose keys a Mai accepts, and which she accepts no longer."""

    known: dict[bytes, str] = {}  # public key -> process name
    old: dict[str, str] = {}  # fingerprint -> process name


class Hand(NamedTuple):
    """All keys that one process has read, and the digest by which it says so."""

    own: Pair
    mai: bytes  # Mai's public key; b"" for herself
    known: Known
    digest: str


def fingerprint(public: bytes) -> str:
    """The digest of a public key in Z85, for people and journals: the first half of its SHA-256."""
    return hashlib.sha256(z85.decode(public)).hexdigest()[:FINGERPRINT_CHARS]


def made() -> Pair:
    """A new pair, nowhere kept."""
    return Pair(*zmq.curve_keypair())


def keep(path: Path, pair: Pair) -> None:
    """Put a pair into a file."""
    write(path, pair.public + b"\n" + pair.secret + b"\n")


def ensure(home: Path) -> Pair:
    """The key pair of the process that lives here; made and kept if there is none."""
    try:
        return own(home)
    except FileNotFoundError:
        keep(home / KEY, made())
        return own(home)


def own(home: Path, name: str = KEY) -> Pair:
    """The key pair that lies here. Raises FileNotFoundError, UsageFault."""
    return _pair(home / name, durable.read(home / name))


def _pair(path: Path, data: bytes) -> Pair:
    lines = data.split()
    if [len(line) for line in lines] != [40, 40]:
        raise UsageFault(f"{path} holds no key pair", "remove the file, a new one is made at the next start")
    return Pair(*lines)


def publish(place: Place, client: str, publics: dict[str, bytes], known: Known) -> None:
    """Tell a client's Mai who is who, and each department who Mai is; `publics`: the keys that lie in their directories."""
    for process in publics:
        write(place.home(process) / MAI, publics[f"{client}/mai"])
    write(place.home(f"{client}/mai") / KNOWN, msgspec.msgpack.encode(known))


def read(home: Path) -> Hand:
    """All keys of the process that lives here. Raises UsageFault."""
    try:
        files = {name: durable.read(home / name) for name in (KEY, MAI, KNOWN) if name != KNOWN or (home / KNOWN).exists()}
        pair = _pair(home / KEY, files[KEY])
        known = msgspec.msgpack.decode(files[KNOWN], type=Known) if KNOWN in files else Known()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageFault(f"the keys in {home} cannot be read: {error}", "start the process through the daemon: mai up") from None
    return Hand(pair, files[MAI], known, _digest(pair.public, files[MAI], files.get(KNOWN, b"")))


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:FINGERPRINT_CHARS]


def stamp(home: Path) -> tuple[tuple[int, int], ...]:
    """Something that differs once one of the key files was replaced."""
    found = []
    for name in (KEY, MAI, KNOWN):
        try:
            one = os.stat(home / name, follow_symlinks=False)
            found.append((one.st_ino, one.st_mtime_ns))
        except OSError:
            found.append((0, 0))
    return tuple(found)


def take(home: Path) -> None:
    """The pair that waits takes the place of the present one, if one waits."""
    if (home / NEXT).exists():
        os.replace(home / NEXT, home / KEY)
        durable.sync(home)


def write(path: Path, data: bytes) -> None:
    """Replace a small private file whole."""
    durable.write(path, data)
