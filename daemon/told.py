"""What the watchdog tells Mai, as she keeps it: each record that concerns her client, and how things stand. Pure.

Her cursor is the last record on her own journal, written in the transaction of what she makes of it: a record is heard once,
whoever dies in between. After a time in which records could be missed (a watchdog whose ledger was put back) how things stand is
told anew with each connection, and put on record where it differs from what she knew.
"""

from typing import TYPE_CHECKING, ClassVar

import msgspec
from msgspec import field

from mai.agents.body import Fields
from mai.agents.decider import Input
from mai.agents.events import Event, register

if TYPE_CHECKING:
    from mai.daemon.desk import MaiState
    from mai.daemon.mai import MaiDecider


class Told(Input, frozen=True):
    """One record of the watchdog's journal."""

    seq: int
    at_ms: int
    kind: str
    process: str = ""
    body: Fields = field(default_factory=dict)


class Standing(Input, frozen=True):
    """How things stand: the watchdog's last record, what operators want of processes, who was given up and why."""

    seq: int
    wanted: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    whose: dict[str, tuple[str, str]] = field(default_factory=dict)  # who wants that, and why


class WatchdogTold(Event, frozen=True, kw_only=True):
    """The watchdog has put something on record."""

    kind: ClassVar[str] = "watchdog.told"
    seq: int  # in the watchdog's journal
    at_ms: int
    what: str  # the record's kind
    process: str
    body: Fields


class WatchdogStands(Event, frozen=True, kw_only=True):
    """How things stand, where it differs from what was known."""

    kind: ClassVar[str] = "watchdog.stands"
    seq: int
    wanted: dict[str, str]
    failed: dict[str, str]
    whose: dict[str, tuple[str, str]] = field(default_factory=dict)


register(WatchdogTold, WatchdogStands)


class Watched(msgspec.Struct):
    """What is known of the client's processes."""

    seq: int = -1  # of the last record that was heard; -1: none yet
    wanted: dict[str, str] = {}  # by process, where that is not "run"
    failed: dict[str, str] = {}  # by process: why it was given up
    whose: dict[str, tuple[str, str]] = {}  # by process: who wants that of it, and why


def decide(mai: "MaiDecider", given: Told | Standing) -> list[Event]:
    """Put on record what is new."""
    known = mai.state.watched
    if isinstance(given, Told):
        if given.seq <= known.seq:
            return []
        return [WatchdogTold(seq=given.seq, at_ms=given.at_ms, what=given.kind, process=given.process, body=given.body)]
    anew = known.seq < 0 or 0 < given.seq < known.seq
    if not anew and (given.wanted, given.failed) == (known.wanted, known.failed):
        return []
    seq = given.seq if anew else known.seq
    return [WatchdogStands(seq=seq, wanted=given.wanted, failed=given.failed, whose=given.whose)]


def fold(state: "MaiState", event: WatchdogTold | WatchdogStands) -> None:
    """Fold one fact."""
    known = state.watched
    known.seq = event.seq
    if isinstance(event, WatchdogStands):
        known.wanted, known.failed, known.whose = dict(event.wanted), dict(event.failed), dict(event.whose)
    else:
        _note(known, event)
    state.changed("watched", "", known)


def _note(known: Watched, event: WatchdogTold) -> None:
    match event.what:
        case "wanted":
            how = str(event.body.get("wanted", "run"))
            known.wanted = {**known.wanted, event.process: how}
            known.whose = {**known.whose, event.process: (str(event.body.get("by", "")), str(event.body.get("why", "")))}
            if how == "run":
                del known.wanted[event.process], known.whose[event.process]
        case "given_up":
            known.failed = {**known.failed, event.process: str(event.body.get("why", ""))}
        case "revived":
            known.failed = {name: why for name, why in known.failed.items() if name != event.process}


def load(state: "MaiState", rows: dict[str, bytes]) -> None:
    """From the rows of her state."""
    if data := rows.get(""):
        state.watched = msgspec.json.decode(data, type=Watched)


def heard(reply: Fields) -> Told | Standing:
    """What the watchdog said, as an input. Raises ValueError, TypeError or KeyError if no watchdog says that."""
    if "standing" in reply:
        return msgspec.convert(reply["standing"], Standing)
    record = dict(reply["record"])
    seq, at_ms, kind = (record.pop(name) for name in ("seq", "at_ms", "kind"))
    return Told(int(seq), int(at_ms), str(kind), str(record.pop("process", "")), record)


def going(heard: list[Told | Standing], mai: str, before: str) -> str:
    """Who removes the client of this Mai, after these words; "" if nobody does.

    Not from her journal: what it says of that was true in a former life, from which the client may have been brought back.
    """
    for one in heard:
        if isinstance(one, Standing):
            before = one.whose.get(mai, ("", ""))[0] if one.wanted.get(mai) == "drain" else ""
        elif one.kind == "wanted" and one.process == mai:
            before = str(one.body.get("by", "")) if one.body.get("wanted") == "drain" else ""
    return before
