"""The state of a process is what its journal gives when the process's own decider folds it anew: verified, or rebuilt."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from mai.agents import anew
from mai.agents.anew import Folded, Unfolded
from mai.agents.decider import Decider
from mai.agents.department import DepartmentDecider
from mai.agents.loop import read_mandate
from mai.agents.messages import address_of
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

__all__ = ("Folded", "Unfolded", "differences", "fold", "fresh", "sound")


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
    whole = isinstance(decider, ToolsDecider)  # it folds what messages say
    return anew.fold(decider, lambda after: reader.bodies(after, upto), reader.body_of, whole=whole, progress=progress)


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
