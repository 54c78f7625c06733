"""When two values say the same: their canonical forms are the same, and so are the digests of these. Pure."""

import hashlib
import unicodedata
from typing import Any

import msgspec


def canonical(value: Any) -> Any:
    """The same for values that say the same: whole floats are whole numbers, texts without blanks around them, in one form."""
    match value:
        case float() if value.is_integer() and abs(value) < 1 << 53:
            return int(value)
        case str():
            return unicodedata.normalize("NFC", value).strip()
        case list() | tuple():
            return [canonical(one) for one in value]
        case dict():
            return {str(canonical(str(name))): canonical(one) for name, one in value.items()}
    return value


def digest(value: Any) -> str:
    """Of the canonical value: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(msgspec.json.encode(canonical(value), order="deterministic")).hexdigest()[:16]


def key(subject: str, attribute: str) -> str:
    """Under which claims contradict each other: 12 hexadecimal digits."""
    return hashlib.sha256(msgspec.json.encode([canonical(subject), canonical(attribute)])).hexdigest()[:12]
