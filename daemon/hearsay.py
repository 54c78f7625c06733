"""What each Mai has heard of the watchdog's journal, held against it: part of `mai verify`.

The watchdog exchanges no messages that others witness. But it tells each Mai what concerns her client, and she puts on record
which of its records that was: so a watchdog's journal that was cut, replaced or written anew contradicts hers. Where a client's
export goes on elsewhere there is another watchdog, and she puts that on record, too: what she heard of the one before is not held
against it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from mai.daemon.told import WatchdogStands, WatchdogTold
from mai.sandbox.place import WATCHDOG

if TYPE_CHECKING:
    from mai.daemon.scrub import Scrub

HEARSAY: Final = frozenset({WatchdogStands.kind, WatchdogTold.kind})


class Heard(NamedTuple):
    """A record of the watchdog's, as another journal has it."""

    seq: int
    at_ms: int
    what: str
    by_seq: int


class Hearsay:
    """What one journal has of the watchdog's."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.anew_seq = 0  # its record that says that another watchdog's stands in the place of that, which is shorter

    def add(self, kind: str, seq: int, body: str) -> None:
        """One of its records. Raises MsgspecError."""
        if kind == WatchdogTold.kind:
            told = msgspec.json.decode(body, type=WatchdogTold)
            self.heard.append(Heard(told.seq, told.at_ms, told.what, seq))
        elif self.heard and msgspec.json.decode(body, type=WatchdogStands).seq < self.heard[-1].seq:
            self.anew_seq = seq


def compare(scrubs: Iterable["Scrub"]) -> None:
    """Hold the watchdog's journal against what was read in others; the first difference is noted with it. Raises LedgerFault."""
    by = {scrub.process: scrub for scrub in scrubs}
    watchdog = by.get(WATCHDOG)
    if watchdog is None or not watchdog.usable:
        return
    began = watchdog.reader.portion(0, 1)
    began_ms = began[0][1] // 1_000_000 if began else 0
    for scrub in by.values():
        for heard in scrub.hearsay.heard:
            if heard.by_seq < scrub.hearsay.anew_seq and heard.at_ms < began_ms:
                continue
            if scrub.bad_seq and heard.by_seq >= scrub.bad_seq:
                break
            if what := _contradicted(watchdog, heard.seq, heard.at_ms, heard.what):
                by_whom = f"that {scrub.process} was told of (its record {heard.by_seq})"
                watchdog.found(min(heard.seq, watchdog.seq + 1), f"{what} {by_whom}")
                break


def _contradicted(watchdog: "Scrub", seq: int, at_ms: int, kind: str) -> str:
    rows = watchdog.reader.portion(seq - 1, seq)
    if not rows:
        last = watchdog.reader.last()
        lost = f"the journal ends with record {last}: it was cut, or is an older copy, for it had record {seq},"
        return lost if seq > last else ""
    return "" if (rows[0][4], rows[0][1] // 1_000_000) == (kind, at_ms) else f"record {seq} is not the one"
