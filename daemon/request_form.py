"""The text of a request as it may be, and an answer as scripts read it. Pure."""

import re
from typing import Any, Final

import msgspec

from mai.daemon import compose
from mai.daemon.desk import Answered
from mai.daemon.records import RequestEnded
from mai.sandbox.errors import UsageFault

UNSEEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, halves of pairs


def checked_text(text: object, limit_bytes: int) -> str:
    """The text of a request, without blanks around it. Raises UsageFault."""
    if not isinstance(text, str) or not text.strip():
        raise UsageFault("the request is empty", 'say what you want: mai ask acme "refund order 10423"')
    if (size := len(text.encode(errors="replace"))) > limit_bytes:
        raise UsageFault(f"the request has {size} bytes, the limit is {limit_bytes}", "say it shorter")
    if strange := UNSEEN.search(text):
        raise UsageFault(f"the request is not a text: it holds U+{ord(strange[0]):04X}", "leave out what cannot be seen")
    return text.strip()


def shown(ended: RequestEnded | Answered) -> dict[str, Any]:
    """An answer as scripts read it."""
    parts = [{**msgspec.to_builtins(part), "state": compose.outward(part.state)} for part in ended.parts]
    return {
        "request": ended.request,
        "state": ended.state,
        "answer": ended.answer,
        "parts": parts,
        "elapsed_ms": ended.elapsed_ms,
        **({"note": ended.note} if ended.note else {}),
    }
