"""The keys of a state directory, held against what is on record of them. Part of a `mai verify` that reads everything.

A key that was changed protects nothing and opens nothing, and its process notices at its next start at the earliest. What is not
there (a backup has no keys), or not ours to read, is passed over.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from typing import Any

import msgspec
import pysqlite3 as sqlite3
import zmq
from nacl.signing import SigningKey

from mai.daemon import signed
from mai.daemon.keyring import NOUN, Held
from mai.daemon.reader import NotFound, Reader
from mai.daemon.seals import GONE, SEALED, Seals, client_of
from mai.daemon.seals import NAME as SEAL
from mai.daemon.witness import Finding
from mai.sandbox import durable, keys, signing
from mai.sandbox.errors import LedgerFault, UsageFault
from mai.sandbox.place import WATCHDOG, Place

PUT_BACK = "if nobody has replaced it on purpose, put it back from where you keep keys, or have new ones made: mai keys rotate"
LOST = "what the watchdog has on record of this client cannot be read without it: put it back"


def check(place: Place, processes: Iterable[str], signers: Iterable[str]) -> list[Finding]:
    """What is wrong with the keys of these processes; `signers`: the public keys that have signed heads. Never raises.

    They may be changed just now, by whose right it is: only what is wrong at two looks is told.
    """
    names = list(processes)
    first = list(_all(place, names, set(signers)))
    return [one for one in _all(place, names, set(signers)) if one in first] if first else []


def _all(place: Place, processes: list[str], signers: set[str]) -> Iterator[Finding]:
    look: Callable[[], Iterator[Finding]]
    for look in (
        lambda: _signing(place, signers) if WATCHDOG in processes else iter(()),
        lambda: _curve(place, [process for process in processes if "/" in process]),
        lambda: _seals(place, sorted({client_of(process) for process in processes} - {""})),
    ):
        with suppress(OSError, LedgerFault, NotFound, sqlite3.Error, msgspec.MsgspecError, AttributeError, TypeError, ValueError):
            yield from look()


# -- the watchdog's
def _signing(place: Place, signers: set[str]) -> Iterator[Finding]:
    public = durable.read(place.watchdog / signing.PUBLIC).decode(errors="replace").strip()
    with suppress(FileNotFoundError):
        secret = durable.read(place.watchdog / signing.NAME)
        try:
            own = SigningKey(bytes.fromhex(secret.decode())).verify_key.encode().hex()
        except ValueError:
            own = "none"
        if own != public:
            yield Finding(WATCHDOG, 0, f"{signing.NAME} and {signing.PUBLIC} of the watchdog are not one pair", PUT_BACK)
    if signers and public not in signers:
        what = f"{signing.PUBLIC} of the watchdog names the key {public[:16]}, which has signed nothing"
        yield Finding(WATCHDOG, 0, what, PUT_BACK)


# -- with which processes prove who they are
def _curve(place: Place, processes: list[str]) -> Iterator[Finding]:
    with closing(Reader(place, WATCHDOG)) as reader:
        rows = reader.plain("SELECT key, value FROM state WHERE noun = ? LIMIT 100000", NOUN)
    seals = Seals(place.state)
    opened = {process: seals.open_row(msgspec.json.decode(value)) for process, value in rows}
    held = {process: msgspec.convert(row, Held) for process, row in opened.items() if row is not None}
    for process in processes:
        with suppress(OSError, UsageFault):
            held.setdefault(process, Held(keys.own(place.home(process)).public.decode(errors="replace"), 0))  # of older versions
    for process in processes:
        for what in _of(place, process, held) if process in held else ():
            yield Finding(process, 0, what, PUT_BACK)


def _of(place: Place, process: str, held: dict[str, Held]) -> Iterator[str]:
    home, mai = place.home(process), f"{client_of(process)}/mai"
    with suppress(FileNotFoundError):
        try:
            pair = keys.own(home)
            fits = zmq.curve_public(pair.secret) == pair.public
        except (UsageFault, ValueError, zmq.ZMQError):
            pair, fits = None, False
        if not fits:
            yield f"the file {keys.KEY} of {process} holds no key pair"
        elif pair and not _given(held[process], pair.public):
            yield f"the file {keys.KEY} of {process} holds a key that was not given to it"
    with suppress(FileNotFoundError):
        if mai in held and not _given(held[mai], durable.read(home / keys.MAI)):
            yield f"the file {keys.MAI} of {process} holds a key that is not Mai's"
    with suppress(FileNotFoundError):
        runs = _runs(place, process)
        there = (name for name in held if name in runs and (place.home(name) / keys.KEY).exists())
        own = {name: held[name] for name in there}
        if wrong := _known(durable.read(home / keys.KNOWN), own):
            yield f"the file {keys.KNOWN} of {process} {wrong}"


class Named(msgspec.Struct):
    """As much of a part of a mandate as counts here."""

    name: str = ""
    departments: tuple["Named", ...] = ()


class Mandated(msgspec.Struct):
    """As much of a mandate as counts here."""

    organisation: Named = msgspec.field(default_factory=Named)


def _runs(place: Place, mai: str) -> set[str]:
    """The processes of a Mai's client: its departments as she knows them, and services. Who was removed may have left a key."""
    mandate = msgspec.msgpack.decode(durable.read(place.home(mai) / "mandate"), type=Mandated)
    own = {f"{client_of(mai)}/{one.name}" for one in mandate.organisation.departments}
    return own | {f"{client_of(mai)}/{name}" for name in ("mai", "models", "tools")}


def _given(held: Held, public: bytes) -> bool:
    return public.strip().decode(errors="replace") in filter(None, (held.public, held.next))


def _known(data: bytes, held: dict[str, Held]) -> str:
    """What is wrong with the list of keys that a Mai accepts."""
    try:
        known = msgspec.msgpack.decode(data, type=keys.Known)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "is no list of keys"
    wrong = [process for public, process in known.known.items() if process not in held or not _given(held[process], public)]
    wrong += [process for print_, process in known.old.items() if process not in held or print_ not in held[process].old]
    if wrong:
        return f"accepts a key for {wrong[0]} that was not given to it"
    lacking = [process for process, one in held.items() if known.known.get(one.public.encode()) != process]
    lacking += [process for process, one in held.items() if any(known.old.get(print_) != process for print_ in one.old)]
    return f"does not know the keys of {lacking[0]}" if lacking else ""


# -- under which the watchdog keeps what it has of a client
def _seals(place: Place, clients: list[str]) -> Iterator[Finding]:
    erased = signed.erased(place, 0)
    with closing(Reader(place, WATCHDOG)) as reader:
        for client in clients:
            if not (place.state / "clients" / client / SEAL).exists():
                continue
            like = (f'%"process":"{client}/%', f'%"{SEALED}":%"box":"_%')
            query = "seq > ? AND body LIKE ? AND body LIKE ?"
            for record in reader.records(query, erased.get(client, 0), *like, limit=1, newest=True):
                body = msgspec.json.decode(reader.body(record, trust=True), type=dict[str, Any])
                if GONE in Seals(place.state).open(body).values():
                    what = f"the file {SEAL} of {client} does not open what the watchdog has on record (its record {record.seq})"
                    yield Finding(f"{client}/mai", 0, what, LOST)
