"""What of one ledger an erasure reaches. Pure.

A **request** is concerned if any record of it, in any process of the client, names the subject (naming.py): as the key of a
memory that it read or wrote, as the subject of a claim, as the person of its conversation, as a typed argument or result,
wherever in its records that stands. Of a concerned request all values go, in all records of all processes: nobody can tell which
of them were the person's. So do the texts that models were asked and answered for it, unless another's record names the same
text; and each key of memory that names the subject, or whose newest version such a request has written, with all of its versions.
A record that belongs to no request goes if it names the subject itself, or says it anywhere in the reason of an operator.

What such a request has written to memory, or has brought to a conversation, goes from the records of those who have read it
there, too.

What cannot be found so: what somebody has written about the person in the free text of another request, what another request has
made of a shared memory that one of these had written, prompts of models among it, and what tools have done outside.
`person_search.py` looks for given words, letter by letter, in all that is left and in the texts that it names, and says what
models were asked by requests that have read such memory.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from mai.agents import memory, open_nouns
from mai.agents.erased import Values, fold
from mai.agents.events import Event, Remembered
from mai.agents.kept import Kept, Version
from mai.agents.markers import redacted
from mai.agents.memory import MemoryForgotten
from mai.agents.naming import Names
from mai.agents.sealing import Sealed
from mai.agents.state import State
from mai.sandbox.references import named, reached

ASKED: Final = "model.request"  # kind of the records of what models are asked
CASES: Final = frozenset({"case.opened", "case.reopened"})
LEAST: Final = 8  # characters of a value in JSON: what is shorter says nothing of anybody
WRITING: Final = frozenset({Remembered.kind, "inbound.taken", "voice.sent"})
RECALLING: Final = tuple(f'"call":"{call}"' for call in ("recall", "recall_all", "search", "versions"))
HISTORY: Final = '"conversation":['
READING: Final[dict[str, tuple[str, ...]]] = {  # kind of record -> what stands in one that has read what others have written
    "step": RECALLING, "memory.read": ("",), "request.planned": (HISTORY,), "hop": (HISTORY,),
    "message.sent": ('"is":"recalled"', HISTORY), "message.received": ('"is":"recalled"', HISTORY),
}  # fmt: skip
LOOSE: Final = frozenset({  # what was said in sentences, by the system or by an operator who gives a reason, of no request
    "incident.noted", "incident.opened", "task.suspected", "watchdog.told", "message.refused", "department.held", "shift.ordered",
    "shift.set",
})  # fmt: skip
SEALS: Final = Sealed.kind


class Tied(msgspec.Struct):
    """As much of a record as says whose it is, where no column does."""

    id: str = ""
    task: str = ""


class Written(msgspec.Struct):
    """As much of a record as says what was written."""

    value: msgspec.Raw = msgspec.Raw()
    text: msgspec.Raw = msgspec.Raw()


class Case(msgspec.Struct):
    """As much of a record as says whose claims a case is about."""

    claims: tuple[str, ...] = ()
    claim: str = ""


class Pieces(msgspec.Struct):
    """As much of a record `model.request` as says what it is made of."""

    like: int = 0
    same: int = 0
    pieces: tuple[str, ...] = ()


def first(ident: str) -> str:
    """The request that an id derives from: r1 of r1/1.2 and of r1!answer3."""
    return ident.partition("/")[0].partition("!")[0]


def request_of(request: str, body: str) -> str:
    """Whose record it is; "" if it belongs to no request. What Mai keeps for a client names the task that has written it."""
    if request or ('"id":' not in body and '"level":' not in body):
        return first(request)
    try:
        found = msgspec.json.decode(body, type=Tied)
    except msgspec.MsgspecError:
        return ""
    return first(found.id or found.task)


def case_of(kind: str, request: str, body: str, requests: Collection[str]) -> str:
    """The case that a claim of one of these requests has come to: what is said in it is said of that claim, too; "" if none."""
    if kind not in CASES:
        return ""
    found = msgspec.json.decode(body, type=Case)
    return request if any(first(claim) in requests for claim in (*found.claims, found.claim)) else ""


def written(kind: str, body: str) -> str:
    """What a record has put where others may read it: into memory, or into a conversation. As it stands there, in JSON."""
    if kind not in WRITING:
        return ""
    found = msgspec.json.decode(body, type=Written)
    name, value = ("value", found.value) if kind == Remembered.kind else ("text", found.text)
    return f'"{name}":{bytes(value).decode()}' if value and len(bytes(value)) >= LEAST else ""


def reads(kind: str, body: str, written: Collection[str]) -> bool:
    """Has somebody read one of these from memory, or been told it as a line of a conversation?"""
    if kind not in READING or not written or not any(word in body for word in READING[kind]):
        return False
    return any(one in body for one in written)


def naming(kind: str, body: str, names: Names) -> bool:
    """Does a record's JSON name the subject? In what was said of a death, or as a reason, it stands in sentences."""
    return names.near(body) and (kind in LOOSE or names.inside(msgspec.json.decode(body)))


class Change(msgspec.Struct, frozen=True):
    """A record, and what is to stand there."""

    seq: int
    before: str  # the column, which may be the address of a blob
    body: str


class Once:
    """Looks into each text once."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, address: str, data: bytes) -> bool:
        """Is it new?"""
        new = address not in self._seen
        self._seen.add(address)
        return new


class Reach:
    """What the pass over one journal has found. `note` takes each record in order, with its whole body."""

    def __init__(self, names: Names, requests: Iterable[str], values: Iterable[str] = ()) -> None:
        """`values`: what these requests have written to memory, where others may have read it."""
        self.names, self.requests, self.values = names, frozenset(requests), frozenset(values)
        self.changes: list[Change] = []
        self.others: set[str] = set()  # requests that name the subject and are not among those
        self._theirs: set[str] = set()  # addresses that these records name
        self._kept: set[str] = set()  # that others name
        self._lists: set[str] = set()  # bodies of what is on record of erasures: what they name is gone
        self._asked: dict[int, tuple[str, ...]] = {}  # record of a model's question -> addresses of its pieces

    def note(self, seq: int, kind: str, request: str, column: str, body: str) -> None:
        """One record."""
        if kind == Values.kind:
            self._lists.update(named(column) if column is not body else ())
            return
        whose = request_of(request, body)
        pieces = self._pieces(seq, body) if kind == ASKED else ()
        own = whose in self.requests if whose else naming(kind, body, self.names)
        if not own and not reads(kind, body, self.values):
            self._kept.update((*pieces, *named(body)))
            if column is not body:
                self._kept.update(named(column))
            if whose and (naming(kind, body, self.names) or case_of(kind, request, body, self.requests)):
                self.others.add(whose)
            return
        left = redacted(kind, body, self.names)
        if kind == SEALS:
            self._kept.update(named(body))  # a scope, which many decisions share
        else:
            self._theirs.update(named(body))
        if left != body:
            self.changes.append(Change(seq, column, left))
            if column is not body:
                self._theirs.update(named(column))

    def _pieces(self, seq: int, body: str) -> tuple[str, ...]:
        """All pieces of what a model was asked, with those that it shares with an earlier question, whoever asked that."""
        made = msgspec.json.decode(body, type=Pieces)
        self._asked[seq] = (*self._asked.get(made.like, ())[: made.same], *made.pieces)
        return self._asked[seq]

    def gone(self, fetch: Callable[[str], bytes | None], blobs: Iterable[tuple[str, bytes]]) -> list[str]:
        """Addresses of texts that go: what these records lead to, also by way of texts, and nothing else does.

        With them goes a text that names one of them and that nobody has named: the list of what a model was asked, which its
        next question would have named. `fetch` gives a text that is kept here, `blobs` are all of them.
        """
        theirs = set(reached(sorted(self._theirs), fetch, Once()))
        kept = set(reached(sorted(self._kept), fetch, Once())) | self._lists
        going, loose = theirs - kept, dict[str, list[str]]()
        for address, data in blobs:
            if going and address not in theirs and address not in kept:
                loose[address] = named(data.decode(errors="replace"))
        while more := {address for address, names in loose.items() if address not in going and going.intersection(names)}:
            going |= more
        return sorted(going)


def left_open(rows: Iterable[tuple[str, str, Any]], requests: frozenset[str]) -> Iterator[str]:
    """Of rows of state (noun, key, value) that are open work: what of these requests is not at its end."""
    for noun, key, value in rows:
        if first(open_nouns.whose(key, value)) in requests and not open_nouns.over(noun, value):
            yield f"{noun} {key}"


def forgotten(shelves: Iterable[tuple[str, str, Kept, Version | None]], reach: Reach, by: str) -> Iterator[Event]:
    """The keys of memory (shelf, key, what is kept, its newest version) that go, as facts; under the names that they have now."""
    for shelf, key, kept, newest in shelves:
        if reach.names.name(key) or (newest and newest.task and first(newest.task) in reach.requests):
            level, _, owner = shelf.partition("/")
            yield MemoryForgotten(agent=owner, level=level, key=reach.names.renamed(key), n=kept.n, oldest=kept.oldest, by=by)


def walked(rows: Mapping[tuple[str, str], bytes], reach: Reach, made: Iterable[Event]) -> dict[tuple[str, str], bytes]:
    """Rows of state (noun, key, value) without the values of those requests, and what the facts of the erasure do to them."""
    found = dict[tuple[str, str], bytes]()
    for (noun, key), value in rows.items():
        body = value.decode()
        fields = msgspec.json.decode(body)
        ids = [str(fields.get(name, "")) for name in ("request", "task", "message")] if isinstance(fields, dict) else []
        own = any(first(one) in reach.requests for one in (*ids, key)) or reach.names.inside([noun, key, fields])
        left = redacted(noun, body, reach.names) if own and isinstance(fields, dict) else body
        found[reach.names.renamed(noun), reach.names.renamed(key)] = left.encode()
    state = State()
    for event in made:
        fold(state, event) if isinstance(event, Values) else memory.fold(state, event)
    for change, row in state.changes.items():
        found.pop(change, None)
        if row is not None:
            found[change] = msgspec.json.encode(row)
    return found
