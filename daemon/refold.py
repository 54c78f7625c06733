"""The state of a process is what its journal gives when the process's own decider folds it anew: verified, or rebuilt.

A million records pass here. So what messages say is left undecoded where the decider folds only that they came, and
Python's search for circles of garbage, of which a fold makes none, waits until the end.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from mai.agents import events
from mai.agents.decider import Decider, fold_counted
from mai.agents.department import DepartmentDecider
from mai.agents.loop import read_mandate
from mai.agents.messages import address_of
from mai.agents.state import Change
from mai.agents.table import Table
from mai.agents.texts import PARCEL, Parcel
from mai.daemon.calls import CallsDecider
from mai.daemon.mai import MaiDecider
from mai.daemon.reader import Reader
from mai.daemon.summary import clean
from mai.daemon.tooling import ToolsDecider
from mai.sandbox.place import Place

NAMED = 10  # differences that are told one by one
SHOWN = 100  # characters of a value
GONE = 10_000  # changes that are noted before those that removed a row are forgotten
BLOB = '{"blob":'  # how a body begins that lies elsewhere

Folded = dict[Change, Any]


class Unfolded(Exception):
    """A record that this version cannot fold: its number and why."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(why)
        self.seq = seq


def fresh(place: Place, process: str) -> Decider:
    """The process's own decider, knowing nothing yet. Raises LedgerFault if its mandate cannot be read.

    What it would ask others for when it decides is left out: folding never asks.
    """
    mandate = read_mandate(place.home(process))
    table = Table(mandate.organisation)
    if process.endswith("/mai"):
        return MaiDecider(mandate, table, lambda *_: "")
    if process.endswith("/models"):
        return CallsDecider(mandate, lambda _: 0)
    if process.endswith("/tools"):
        return ToolsDecider(mandate)
    return DepartmentDecider(mandate, table, lambda *_: [], lambda *_: "")


def fold(decider: Decider, reader: Reader, upto: int, progress: Callable[[int], None] = lambda _: None) -> Folded:
    """All rows of state that the journal gives up to this record. Raises Unfolded."""
    state, changes, after, most = decider.state, decider.state.changes, 0, GONE
    evolve, decode, body_of = decider.evolve, events.decode, reader.body_of
    looks_inside = isinstance(decider, ToolsDecider)  # it folds what messages say
    seq = 0
    with _no_search():
        while rows := reader.bodies(after, upto):
            try:
                for seq, kind, found in rows:
                    body = body_of(seq, found) if found.startswith(BLOB) else found
                    if looks_inside or not fold_counted(state, kind, body, seq):
                        evolve(decode(kind, body), seq)
            except msgspec.MsgspecError as error:
                raise Unfolded(seq, str(error)) from error
            after = rows[-1][0]
            progress(after)
            if len(changes) > most:
                _forget(changes)  # else the memory would grow with the journal
                most = 2 * len(changes) + GONE
    _forget(changes)
    return dict(changes)


def _forget(changes: Folded) -> None:
    """Rows that are gone again."""
    for gone in [change for change, value in changes.items() if value is None]:
        del changes[gone]


@contextmanager
def _no_search() -> Iterator[None]:
    """Without the garbage collector, which would look at every row of the state again and again."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def differences(stored: dict[tuple[str, str], str], folded: Folded) -> Iterator[str]:
    """What stands in the state and not in the journal, the other way round, or otherwise; the first few in full."""
    told = list(_differences(stored, folded))
    yield from told[:NAMED]
    if len(told) > NAMED:
        yield f"{len(told) - NAMED} more rows of state are not what the journal gives"


def _differences(stored: dict[tuple[str, str], str], folded: Folded) -> Iterator[str]:
    for noun, key in sorted(stored.keys() | folded.keys()):
        if noun == PARCEL:  # texts on their way: the journal has their addresses
            if wrong := _tampered(stored[noun, key]):
                yield f"the state holds for {key!r} the text {wrong[:12]}, which is not what its address says"
            continue
        kept, due = stored.get((noun, key)), folded.get((noun, key))
        name = f"the state has for {noun} {key!r}"
        if due is None:
            yield f"{name} {clean(kept or '', SHOWN)}, the journal gives nothing"
        elif kept is None:
            yield f"{name} nothing, the journal gives {_shown(due)}"
        elif not _same(kept, due):
            yield f"{name} {clean(kept, SHOWN)}, the journal gives {_shown(due)}"


def _tampered(parcel: str) -> str:
    """The address of a text that is not the one that it names; "" if all are."""
    texts = msgspec.json.decode(parcel, type=Parcel).texts
    return next((address for address, text in texts.items() if address_of(text) != address), "")


def sound(parcel: str) -> bool:
    """Is this stored parcel one whose texts are those that it names?"""
    try:
        return not _tampered(parcel)
    except msgspec.MsgspecError:
        return False


def _same(kept: str, due: Any) -> bool:
    """Compared as values: an older version may have written the same in other words."""
    try:
        return bool(msgspec.json.encode(due) == kept.encode() or msgspec.json.decode(kept, type=type(due)) == due)
    except msgspec.MsgspecError:
        return False


def _shown(value: Any) -> str:
    return clean(msgspec.json.encode(value).decode(), SHOWN)
