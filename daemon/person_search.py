"""What of a client's ledgers a subject reaches (agents/reaching.py says what that means), found by reading them all.

    search = Search(place, "acme", "anna@example.org")
    for _ in search.requests_of(): ...        # first who is concerned, then what there is: each step is one portion
    for _ in search.count(): ...

Nothing is changed, and each portion is a transaction of its own.
"""

import contextlib
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from mai.agents.erased import Values
from mai.agents.markers import redacted
from mai.agents.naming import Names
from mai.agents.open_nouns import OPEN
from mai.agents.reaching import case_of, left_open, naming, reads, request_of, written
from mai.daemon import calling, records, spooled, tooling  # noqa: F401  # they register their kinds
from mai.daemon.reader import Reader
from mai.daemon.transcript_records import ModelRequest, ModelResponse
from mai.daemon.voice_records import InboundTaken
from mai.sandbox.place import Place
from mai.sandbox.record import BLOB
from mai.sandbox.references import named

HITS = 20  # places of given words that are told
FEW = 200  # records in one step, where their texts are read too
UNPACKED_BYTES = 64 << 20  # that is looked through of a text
THOUGHT = frozenset({ModelRequest.kind, ModelResponse.kind})


class Hit(msgspec.Struct, frozen=True):
    """Words that stand in what is not reached."""

    process: str
    seq: int
    kind: str
    request: str


class Search:
    """One subject of one client. `also`: words that are looked for letter by letter; `more`: requests that are concerned too."""

    def __init__(self, place: Place, client: str, subject: str, *, also: Iterable[str] = (), more: Iterable[str] = ()) -> None:
        self.place, self.client = place, client
        self.names = Names(subject, "e0")
        self.words = [word.casefold() for word in dict.fromkeys((subject, *also))]
        self.requests: set[str] = set(more)
        self.values: set[str] = set()  # that they have written to memory
        self.readers: set[str] = set()  # other requests that have read some of that
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)  # by process: kind of record -> how many
        self.files: set[tuple[str, str]] = set()  # of spools: channel and name
        self.hits: list[Hit] = []  # the first few
        self.left = 0  # all of them
        self._looked: set[str] = set()  # addresses of texts
        self._asked: dict[str, list[Hit]] = {}  # by request: what models were asked and have answered, and is not reached
        self.last: dict[str, int] = {}  # by process: the newest record that was looked at
        self.processes = [one for one in place.processes() if one.partition("/")[0] == client]

    def requests_of(self) -> Iterator[int]:
        """Find the requests that are concerned; yields after each portion. Raises LedgerFault, sqlite3.Error."""
        for process in self.processes:
            with closing(Reader(self.place, process)) as reader:
                for rows in self._portions(reader, process):
                    for _, kind, request, _, body in rows:
                        if self.names.near(body) and naming(kind, body, self.names):
                            whose = request_of(request, body)
                            self.requests.update([whose] if whose else [])
                            if kind == InboundTaken.kind:
                                self._filed(body)
                    yield len(rows)
        yield from self._cases()
        yield from self._written()

    def _written(self) -> Iterator[int]:
        """What these requests have written to memory."""
        for process in self.processes:
            with closing(Reader(self.place, process)) as reader:
                for rows in self._portions(reader, process):
                    found = (
                        written(kind, body) for _, kind, request, _, body in rows if request_of(request, body) in self.requests
                    )
                    self.values.update(filter(None, found))
                    yield len(rows)

    def _cases(self) -> Iterator[int]:
        """Cases that a claim of these requests has come to."""
        mai = f"{self.client}/mai"
        if mai in self.processes:
            with closing(Reader(self.place, mai)) as reader:
                for rows in self._portions(reader, mai):
                    found = (case_of(kind, request, body, self.requests) for _, kind, request, _, body in rows)
                    self.requests.update(filter(None, found))
                    yield len(rows)

    def count(self) -> Iterator[int]:
        """Count what goes, and find given words in what stays; yields after each portion. Raises LedgerFault, sqlite3.Error."""
        for process in self.processes:
            with closing(Reader(self.place, process)) as reader:
                for rows in self._portions(reader, process):
                    for n, (seq, kind, request, _, body) in enumerate(rows, 1):
                        self._note(reader, Hit(process, seq, kind, request), body)
                        if n % FEW == 0 or n == len(rows):
                            yield n % FEW or FEW
        for request in sorted(self.readers & self._asked.keys()):  # nobody can tell what of it they have put into prompts
            for hit in self._asked[request]:
                self._hit(hit)

    def _note(self, reader: Reader, hit: Hit, body: str) -> None:
        process, _, kind, request = msgspec.structs.astuple(hit)
        if kind == Values.kind:
            return  # what it lists is gone, or goes
        whose = request_of(request, body)
        own = whose in self.requests if whose else naming(kind, body, self.names)
        if not own and reads(kind, body, self.values):
            own = True
            self.readers.update([whose] if whose else [])
        if own and (redacted(kind, body, self.names) != body or self._names_texts(reader, kind, body)):
            self.counts[process][kind] += 1
        elif not own and (self._stands_in(body) or any(map(self._stands_in, self._texts(reader, body)))):
            self._hit(hit)
        elif not own and kind in THOUGHT:
            self._asked.setdefault(whose, []).append(hit)

    def _hit(self, hit: Hit) -> None:
        self.left += 1
        if len(self.hits) < HITS:
            self.hits.append(hit)

    def _stands_in(self, text: str) -> bool:
        folded = text.casefold()
        return any(word in folded for word in self.words)

    @staticmethod
    def _names_texts(reader: Reader, kind: str, body: str) -> bool:
        """Are there texts that may go with a record that itself says nothing, as those of what models were asked?"""
        return kind in THOUGHT and any(reader.blob(address) is not None for address in named(body))

    def _texts(self, reader: Reader, body: str) -> Iterator[str]:
        """What a record names by address, each text once."""
        for address in named(body):
            if address not in self._looked:
                self._looked.add(address)
                yield _text(reader.blob(address) or b"")

    def _portions(self, reader: Reader, process: str) -> Iterator[list[tuple[int, str, str, str, str]]]:
        after, upto = 0, reader.last()
        self.last[process] = upto
        while rows := reader.portion(after, upto):
            yield [(row[0], row[4], row[5], row[6], _whole(reader, row[0], row[8])) for row in rows]
            after = rows[-1][0]

    def _filed(self, body: str) -> None:
        taken = msgspec.json.decode(body, type=InboundTaken)
        if taken.file:
            self.files.add((taken.channel, taken.file.name))

    def open(self) -> list[str]:
        """What of the concerned requests is not at its end: `acme/sales: task r1/1`. Raises LedgerFault."""
        found, requests = [], frozenset(self.requests)
        for process in self.processes:
            with closing(Reader(self.place, process)) as reader:
                marks = ",".join("?" * len(OPEN))
                rows = reader.plain(f"SELECT noun, key, value FROM state WHERE noun IN ({marks})", *OPEN)
                decoded = ((noun, key, msgspec.json.decode(value)) for noun, key, value in rows)
                found += [f"{process}: {what}" for what in left_open(decoded, requests)]
        return found

    def spooled(self) -> list[Path]:
        """Files of spools in which messages of the person lie, as far as they are there."""
        found: list[Path] = []
        for channel, name in sorted(self.files):
            root = self.place.spool(self.client, channel)
            for directory in ("new", "cur", "bad"):
                found += [path for path in (root / directory).glob("*") if name in (path.name, path.stem)]
        return found


def _whole(reader: Reader, seq: int, column: str) -> str:
    return reader.body_of(seq, column) if column.startswith(BLOB) else column


def _text(data: bytes) -> str:
    """A text, also one that was packed (transcripts.py)."""
    with contextlib.suppress(zlib.error):
        data = zlib.decompressobj().decompress(data, UNPACKED_BYTES)
    return data.decode(errors="replace")
