"""The ledgers that one question leads through, each opened once, and what was read there."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from mai.agents import talks
from mai.agents.errand_messages import Inquiry
from mai.agents.sealing import Sealed
from mai.daemon.reader import NotFound, Reader
from mai.daemon.replaying import Replayed, Replays
from mai.sandbox.errors import LedgerFault
from mai.sandbox.place import Place
from mai.sandbox.record import Record

Body = dict[str, Any]


class Entry(NamedTuple):
    """A record by its name, decoded."""

    name: str  # "acme/sales:57"
    record: Record
    body: Body


class Books:
    """Readers by process. Use it in a `with`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._readers: dict[str, Reader | None] = {}
        self._replays: dict[str, Replays] = {}
        self._of: dict[tuple[str, str], list[Entry]] = {}

    def __enter__(self) -> "Books":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for reader in self._readers.values():
            if reader:
                reader.close()

    def reader(self, process: str) -> Reader | None:
        """The ledger of a process; None if it is not here."""
        if process not in self._readers:
            try:
                self._readers[process] = Reader(self._place, process)
            except NotFound:
                self._readers[process] = None
        return self._readers[process]

    def entry(self, name: str) -> Entry | None:
        """The record of this name; None if it is not here, or cannot be read."""
        process, _, number = name.rpartition(":")
        reader = self.reader(process) if number.isdecimal() else None
        record = reader.record(int(number)) if reader else None
        return _entry(reader, record) if reader and record else None

    def of_request(self, process: str, request: str) -> list[Entry]:
        """All records of a request in one ledger, in order."""
        key = process, request
        if key not in self._of:
            reader = self.reader(process)
            self._of[key] = list(_entries(reader, request)) if reader else []
        return self._of[key]

    def replayed(self, name: str) -> Replayed | None:
        """What was known when a decision was made, by the name of its seal; None if there is no such seal here."""
        found = self.entry(name)
        if found is None or found.record.kind != Sealed.kind:
            return None
        process = name.rpartition(":")[0]
        reader = self.reader(process)
        assert reader is not None, "it has been read just now"
        replays = self._replays.setdefault(process, Replays(reader))
        return replays.replay(msgspec.convert(found.body, Sealed), found.record.seq)


def asked_of(reader: Reader, given: Body) -> list[tuple[str, str]]:
    """The messages of a question to a model, in order: address and text of each that the ledger still keeps."""

    def text(address: str) -> str:
        return (reader.blob(address) or b"").decode(errors="replace")

    try:
        addresses = talks.messages(msgspec.convert(given.get("inquiry"), Inquiry), text)
    except msgspec.MsgspecError:
        return []  # it, or a list of its talk, is not what was written, or was destroyed
    return [(address, text(address)) for address in addresses]


def _entries(reader: Reader, request: str) -> Iterator[Entry]:
    for record in reader.of_request(request):
        if found := _entry(reader, record):
            yield found


def _entry(reader: Reader, record: Record) -> Entry | None:
    try:
        body = msgspec.json.decode(reader.body(record), type=Body)
    except (LedgerFault, msgspec.MsgspecError):
        return None  # changed: `mai verify` says so
    return Entry(f"{reader.process}:{record.seq}", record, body)
