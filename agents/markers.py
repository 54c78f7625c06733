"""What is left of a record once the values in it are erased: its structure, with a marker in the place of each value. Pure.

Fields are told apart by their names, which mean the same in all kinds of records and messages: those in VALUES and TEXTS hold
what somebody said, was told, computed or kept; those in VEILED digests of such values, which could be guessed; all others hold
ids, names, states, numbers and digests that the journal's laws need, and are only renamed where they name the subject. A test
refuses a field that stands in none of the lists. Empty texts and nothing stay: that there was none is no value.
"""

import re
from typing import Any, Final

import msgspec

from mai.agents.naming import Names

VALUES: Final = frozenset({"given", "input", "value", "withheld"})  # as JSON has them: each leaf becomes a marker
TEXTS: Final = frozenset({
    "answer", "correction", "detail", "evidence", "gives_up", "note", "notes", "over", "question", "reason", "reference",
    "refused", "reply_to", "ruling", "text", "traceback", "traces", "why",
})  # fmt: skip
VEILED: Final = frozenset({"arguments"})
MORE: Final = frozenset({  # kind of record or message, or the field that holds it, and field
    ("contract.checked", "rule"), ("inbound.taken", "subject"), ("voice.sent", "subject"), ("tried", "what"),
    ("handover", "claims"), ("approval.decided", "late"),
})  # fmt: skip
KEPT: Final = frozenset({  # the same: not what their names say elsewhere
    ("attempt.ended", "answer"), ("call.ended", "answer"), ("errand.ended", "answer"), ("thought", "answer"),  # addresses
    ("message.refused", "why"), ("attempt.ended", "why"), ("breaker.noted", "why"),  # a word of a closed list
})  # fmt: skip
HIDDEN: Final = frozenset({  # digests of values
    ("inbound.taken", "digest"), ("voice.said", "value"),
})  # fmt: skip
PLAIN: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")  # a field's name, in values
MARK: Final = re.compile(r"\(erased [a-z0-9-]+(: [a-z]+)?\)")
LEFT: Final = re.compile(rb"\(erased e|erased-e")  # in what was encoded: some of it was erased, or renamed

Json = dict[str, Any]


def marker(erasure: str, what: str = "") -> str:
    """What stands in the place of a value: which erasure took it, and what kind of value it was if no text."""
    return f"(erased {erasure}: {what})" if what else f"(erased {erasure})"


def marked(value: Any) -> bool:
    """Is there a marker in this value?"""
    match value:
        case str():
            return MARK.fullmatch(value) is not None
        case dict():
            return any(map(marked, (*value, *value.values())))
        case list() | tuple():
            return any(map(marked, value))
    return False


def redacted(kind: str, body: str, names: Names) -> str:
    """The JSON of a record of this kind, without its values. Raises MsgspecError if it is no JSON object."""
    found = msgspec.json.decode(body, type=Json)
    return msgspec.json.encode(_fields(kind, found, names)).decode()


def renamed(body: str, names: Names) -> str:
    """The JSON of a record with another name in the subject's place, and all values as they were. Raises MsgspecError."""
    return msgspec.json.encode(_renamed(msgspec.json.decode(body), names)).decode()


def _fields(where: str, fields: Json, names: Names) -> Json:
    where = fields.get("is", where)
    return {names.renamed(name): _field(where, name, value, names) for name, value in fields.items()}


def _field(where: str, name: str, value: Any, names: Names) -> Any:
    at = (where, name)
    if (name in VEILED or at in HIDDEN) and value:
        return _veiled(value, names)
    if (name in VALUES or at in MORE or (name in TEXTS and not isinstance(value, dict))) and at not in KEPT:
        return emptied(value, names)
    return _structure(name, value, names)


def _structure(name: str, value: Any, names: Names) -> Any:
    match value:
        case str():
            return names.renamed(value)
        case dict():
            return _fields(name, value, names)
        case list():
            return [_structure(name, one, names) for one in value]
    return value


def _veiled(value: Any, names: Names) -> Any:
    return names.veiled(value) if isinstance(value, str) else [names.veiled(one) for one in value]


def emptied(value: Any, names: Names) -> Any:
    """A value with a marker for each leaf; names of fields stay if they look like some and name nobody."""
    match value:
        case "" | None:
            left = value
        case str():
            left = value if MARK.fullmatch(value) else marker(names.erasure)
        case dict():
            left = {_key(key, n, names): emptied(one, names) for n, (key, one) in enumerate(value.items(), 1)}
        case list():
            left = [emptied(one, names) for one in value]
        case _:
            left = marker(names.erasure, "bool" if isinstance(value, bool) else "number")
    return left


def _key(key: str, n: int, names: Names) -> str:
    return key if PLAIN.fullmatch(key) and not names.name(key) else f"erased-{n}"


def _renamed(value: Any, names: Names) -> Any:
    match value:
        case str():
            return names.renamed(value)
        case dict():
            return {names.renamed(key): _renamed(one, names) for key, one in value.items()}
        case list():
            return [_renamed(one, names) for one in value]
    return value
