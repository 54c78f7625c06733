"""Which records of a journal an erasure of a person's values has touched, as the journal itself says, and what each may say now.

Only records of the kind `values.erased` count, which stand in the chain like all others; the rows of state that tell whoever
reads one record are not believed here. So a row that was changed by hand is found, whatever it says of itself, and so is one that
is listed and still says what it said.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from mai.agents.erased import Values
from mai.sandbox.errors import LedgerFault
from mai.sandbox.record import Record, digest_of

if TYPE_CHECKING:
    from mai.daemon.reader import Reader

PERSON: Final = "person"  # the kind of the watchdog's records


class Touched(NamedTuple):
    """What an erasure has said of one record."""

    before: str  # the digest that the chain holds
    now: str  # of what stands there now
    erasure: str
    round: int
    by: str
    at_ms: int
    said: int  # the record that says so

    @property
    def words(self) -> str:
        """For people."""
        return (
            f"erased on {datetime.fromtimestamp(self.at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC, by {self.by}, as {self.erasure}"
        )


class Erasures:
    """Those of one journal. A record that was touched twice says what the last one has left."""

    def __init__(self, found: Iterable[tuple[int, Values]] = ()) -> None:
        self.touched: dict[int, Touched] = {}
        self.gone: dict[str, str] = {}  # addresses of texts, and when they were erased, and by whom
        for seq, event in found:
            self.add(seq, event)

    def add(self, seq: int, event: Values) -> None:
        """One more, in the order of the journal."""
        for number, before, now in event.records:
            self.touched[number] = Touched(before, now, event.erasure, event.round, event.by, event.at_ms, seq)
        words = Touched("", "", event.erasure, event.round, event.by, event.at_ms, seq).words
        self.gone.update(dict.fromkeys(event.blobs, words))

    def of(self, record: Record) -> Touched | None:
        """Which erasure has left of this record what it says; None if none has left that."""
        found = self.touched.get(record.seq)
        fits = found is not None and (found.before, found.now) == (record.digest.hex(), digest_of(record).hex())
        return found if fits else None


class Ordered(NamedTuple):
    """What the watchdog has on record of one round of an erasure."""

    processes: frozenset[str]
    requests: frozenset[str]


def ordered(watchdog: "Reader") -> dict[tuple[str, str, int], Ordered]:
    """All rounds of all erasures that were ordered: client, erasure and round."""
    found, after = dict[tuple[str, str, int], Ordered](), 0
    while records := watchdog.records("kind = ? AND seq > ?", PERSON, after):
        for record in records:
            body = watchdog.fields(record)
            if body.get("step") == "told":
                requests = body.get("requests", ())  # what nobody can read any more says of none
                at = (str(body["process"]).partition("/")[0], str(body["erasure"]), int(body["round"]))
                found[at] = Ordered(frozenset(body["processes"]), frozenset(requests if isinstance(requests, list) else ()))
        after = records[-1].seq
    return found


class Source(Protocol):
    """One journal, as far as it is read for this."""

    def records(self, where: str, *given: object) -> Sequence[Record]:
        """The next records for which some SQL holds, in order."""

    def body(self, record: Record, *, trust: bool = False) -> str:
        """Its JSON. Raises LedgerFault."""


def erasures(reader: Source) -> Erasures:
    """All of one journal, as far as they can be read. What is wrong with one of their records the chain says."""
    return Erasures(_said(reader))


def _said(reader: Source) -> Iterator[tuple[int, Values]]:
    after = 0
    while records := reader.records("kind = ? AND seq > ?", Values.kind, after):
        for record in records:
            try:
                yield record.seq, msgspec.json.decode(reader.body(record, trust=True), type=Values)
            except (LedgerFault, msgspec.MsgspecError):
                continue
        after = records[-1].seq
