"""Which rows of state are work that has still to end, and whose they are. Pure.

An erasure waits for what is open of its requests, and what is open keeps its records in the journal. A noun that is new belongs
into one of the two lists.
"""

from collections.abc import Mapping
from typing import Any, Final

OPEN: Final = (
    # of Mai
    "request", "passage", "errand", "turn", "amended", "waiting", "withheld", "stalled", "doubt", "ask", "approval", "escalation",
    "conflict", "cancel", "release", "remedy", "carry",
    # of departments, of models, of tools
    "task", "parked", "undo", "quarantine", "call", "use",
)  # fmt: skip
LASTING: Final = frozenset({"doubt", "quarantine"})  # of those: until a person comes, however long; the row has all that it needs
CLOSED: Final = frozenset({
    # what goes with something that is open
    "step", "granted", "subjects", "given", "word", "letter", "spool",
    # what was, kept for who asks or for what may come yet
    "answer", "said", "settled", "ruling", "escalated", "escalated.at", "late", "told", "line", "lately", "thread", "claim",
    "ruled", "suspect", "erasure", "redacted", "memory", "version", "fading",
    # of no request
    "link", "parcel", "duty", "assigned", "day", "breaker", "held", "case", "objective", "watched", "keyed", "pace", "spent",
    "spent_request",
})  # fmt: skip
WITHIN: Final = ("doubt", "approval", "body", "work")  # where a row has what it is about, if it has no request itself


def whose(key: str, row: Any) -> str:
    """The request that a row of state is of, or an id that derives from it."""
    if not isinstance(row, Mapping):
        return key
    inner = (row[name] for name in WITHIN if isinstance(row.get(name), Mapping))
    return next((str(one["request"]) for one in (row, *inner) if one.get("request")), key)


def over(noun: str, row: Any) -> bool:
    """Has what a row of an open noun says come to its end, and is kept only for who asks again?"""
    if not isinstance(row, Mapping):
        return False
    if noun == "cancel":  # a department's says what it has `stopped`, and goes
        return "stopped" not in row and set(row.get("to", ())) <= set(row.get("answers", ()))
    if noun == "conflict":
        return bool(row.get("state", "open") != "open")
    return noun == "release" and bool(row.get("answered"))
