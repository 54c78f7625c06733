"""How long a journal is kept, and in what form: the tables `retention` of an organisation file. Pure.

Records leave the journal for a segment once there are more than `journal_records`, or once they are older than `journal_days`.
Segments whose records are all older than `keep_days` are removed; before that, of the kinds that `bodies_days` names the bodies
may go, and the rest stays. 0: for ever, or never for that reason.
"""

from typing import Annotated, Final, NamedTuple

from msgspec import Meta, field

from mai.agents.faults import nearest, shown
from mai.agents.kind_names import NAMES
from mai.agents.parts import Part
from mai.sandbox.record import ERASED

Days = Annotated[int, Meta(ge=0, le=36_600)]
DAY_NS: Final = 86_400 * 10**9
SEGMENT: Final = 100_000  # records in one at most
LEAST: Final = 100  # fewer are not worth a segment, unless somebody asks
STAR: Final = "*"
KEPT: Final = frozenset({  # kinds whose bodies stay: the journal is read, and held against others', by them
    "process.started", "process.stopped", "rotated", "segment.thinned", "segment.erased", "segment.removed", "state.rebuilt",
    "message.sent", "message.received", "message.acked", ERASED,
})  # fmt: skip


class Retention(Part, frozen=True, kw_only=True):
    """Of every journal, the watchdog's too (of which nothing is removed: it has the signed heads of all others)."""

    journal_records: Annotated[int, Meta(ge=0, le=100_000_000)] = 500_000
    journal_days: Days = 0
    keep_days: Days = 0
    bodies_days: dict[str, Days] = field(default_factory=dict)  # a kind of record, or how kinds begin ("step*") -> days


class OwnRetention(Part, frozen=True, kw_only=True):
    """What a department has otherwise."""

    journal_records: Annotated[int, Meta(ge=0, le=100_000_000)] | None = None
    journal_days: Days | None = None
    keep_days: Days | None = None
    bodies_days: dict[str, Days] | None = None

    def over(self, whole: Retention) -> Retention:
        """The department's, complete."""
        own = {name: value for name in Retention.__struct_fields__ if (value := getattr(self, name)) is not None}
        return Retention(**{**{name: getattr(whole, name) for name in Retention.__struct_fields__}, **own})


class Extent(NamedTuple):
    """What of a journal is not in segments: first and last number, the time of the first, what nothing open needs."""

    first: int
    last: int
    first_ns: int
    free: int  # records up to this one


def wanted(kept: Retention, extent: Extent, now_ns: int) -> tuple[int, int]:
    """What is to leave the journal now: up to which number, and only what is older than this; (0, 0) for nothing.

    By count half of what may stay goes at once, by age at least a tenth of the time: else there were a segment every second.
    """
    count = extent.last - extent.first + 1
    most = min(extent.free, extent.first + SEGMENT - 1)
    if kept.journal_records and count > kept.journal_records:
        upto = min(most, extent.last - kept.journal_records // 2)
        if upto - extent.first + 1 >= LEAST:
            return upto, now_ns
    old_ns = kept.journal_days * DAY_NS
    if old_ns and now_ns - extent.first_ns > old_ns and most - extent.first + 1 >= LEAST:
        return most, now_ns - old_ns * 9 // 10
    return 0, 0


def removable(kept: Retention, until_ns: int, now_ns: int) -> bool:
    """Has all of a segment outlived its time?"""
    return bool(kept.keep_days) and until_ns < now_ns - kept.keep_days * DAY_NS


def overdue(kept: Retention, until_ns: int, now_ns: int) -> frozenset[str]:
    """The kinds (or how they begin, with a star) whose bodies go from a segment whose newest record is of then."""
    return frozenset(kind for kind, days in kept.bodies_days.items() if days and until_ns < now_ns - days * DAY_NS)


def among(kind: str, patterns: frozenset[str]) -> bool:
    """Is it one of these kinds? What the journal says of its lives, its segments and of erasures always stays."""
    return kind not in KEPT and any(_meant(kind, one) for one in patterns)


def _meant(kind: str, pattern: str) -> bool:
    return kind == pattern or (pattern.endswith(STAR) and kind.startswith(pattern[:-1]))


def flaws(kept: Retention) -> list[tuple[str, str, str]]:
    """What is wrong: the key, what it is, what would be right."""
    found = []
    if kept.keep_days and kept.journal_days > kept.keep_days:
        text = f"journal_days is {kept.journal_days}, and all is removed after keep_days, {kept.keep_days}"
        found.append(("keep_days", text, "only segments are removed: records have to leave the journal before that"))
    for kind, days in kept.bodies_days.items():
        if wrong := _unmeant(kind):
            found.append(("bodies_days", *wrong))
        elif kept.keep_days and days >= kept.keep_days:
            text = f"the bodies of {kind} go after {days} days, and all is removed after keep_days, {kept.keep_days}"
            found.append(("bodies_days", text, "fewer days, or leave it out"))
    return found


def _unmeant(pattern: str) -> tuple[str, str] | None:
    """What is wrong with a key of `bodies_days`, and what would be right."""
    meant = {kind for kind in NAMES if _meant(kind, pattern)}
    if not meant and STAR in pattern:
        hint = 'such as "step", or "memory.*" for all that begin so; SCHEMA.md lists them'
        return f"no kind of record is meant by {shown(pattern)}", hint
    if not meant:
        return f"{shown(pattern)} is no kind of record", nearest(pattern, NAMES, "kinds of record are")
    if meant <= KEPT:
        return f"the bodies of {pattern} always stay", "the journals are verified by them; keep_days removes whole segments"
    return None
