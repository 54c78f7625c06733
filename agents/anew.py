"""A process's state made anew: its own decider folds the whole journal, as it did record by record. Pure.

A million records pass here. So what messages say is left undecoded where the decider folds only that they came, and
Python's search for circles of garbage, of which a fold makes none, waits until the end.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from mai.agents import events
from mai.agents.decider import Decider, fold_counted
from mai.agents.state import Change
from mai.sandbox.record import BLOB

GONE: Final = 10_000  # changes that are noted before those that removed a row are forgotten

Folded = dict[Change, Any]
Rows = Sequence[tuple[int, str, str]]  # number, kind and body of some records, in order


class Unfolded(Exception):
    """A record that this version cannot fold: its number and why."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(why)
        self.seq = seq


def fold(
    decider: Decider, bodies: Callable[[int], Rows], body_of: Callable[[int, str], str], *,
    whole: bool, progress: Callable[[int], None] = lambda _: None,
) -> Folded:  # fmt: skip
    """All rows of state that a journal gives. Raises Unfolded.

    `bodies(after)` gives its next records, `body_of(seq, body)` what lies elsewhere; `whole`: the decider folds what messages
    say.
    """
    state, changes, after, most = decider.state, decider.state.changes, 0, GONE
    evolve, decode = decider.evolve, events.decode
    seq = 0
    with _no_search():
        while rows := bodies(after):
            try:
                for seq, kind, found in rows:
                    body = body_of(seq, found) if found.startswith(BLOB) else found
                    if whole or not fold_counted(state, kind, body, seq):
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
