"""Values and texts from outside as JSON gives them back: whole numbers of 64 bits, finite numbers, texts, lists, objects. Pure.

A worker's value goes into the journal and the state (JSON) and over links (msgpack), and has to come back from each as
it was. What would not, or would be too much for a message, is refused where it comes in: further on it would block a
link, or every start of the process, for ever.
"""

import math
from typing import Any, Final

import msgspec

DEEPEST: Final = 64  # lists and objects in each other: all decoders on the way take more
LEAST, GREATEST = -(1 << 63), (1 << 64) - 1  # what msgpack can say
LONGEST_REASON: Final = 2000  # characters of a text for people


class NotPlain(ValueError):
    """A value that cannot be kept; the argument says why, in half a sentence."""


def plain(value: Any, limit_bytes: int) -> Any:
    """The value as JSON gives it back. Raises NotPlain."""
    try:
        data, packed = msgspec.json.encode(value), msgspec.msgpack.encode(value)
        if (size := max(len(data), len(packed))) > limit_bytes:
            raise NotPlain(f"a value of {size} bytes, the limit is {limit_bytes}")
        check(msgspec.msgpack.decode(packed))  # JSON would have made null of what is no number
        return msgspec.json.decode(data)
    except NotPlain:
        raise
    except RecursionError:
        raise NotPlain(f"a value more than {DEEPEST} deep") from None
    except Exception as error:  # a worker's own objects may raise anything when they are looked at
        raise NotPlain(f"a value that JSON cannot hold: {said(error)}") from None


def check(value: Any, depth: int = 0) -> None:
    """Raise NotPlain if a decoded value is not one that goes everywhere and comes back the same."""
    match value:
        case None | bool() | str():
            return
        case int():
            if not LEAST <= value <= GREATEST:
                raise NotPlain("a whole number of more than 64 bits")
        case float():
            if not math.isfinite(value):
                raise NotPlain(f"the number {value}, which JSON cannot hold")
        case list() | dict():
            if depth >= DEEPEST:
                raise NotPlain(f"a value more than {DEEPEST} deep")
            for one in value.values() if isinstance(value, dict) else value:
                check(one, depth + 1)


def foreign(value: Any) -> str:
    """What is wrong with a value from another process, which may hold all that msgpack can say; "" if it is plain."""
    try:
        check(value)
        return "" if msgspec.json.decode(msgspec.json.encode(value)) == value else "a value that JSON does not give back"
    except (NotPlain, TypeError, ValueError, RecursionError) as error:
        return said(error)


def readable(text: str, most: int = LONGEST_REASON) -> str:
    """A text that can be journaled: without half characters, and not longer than people read."""
    return text[:most].encode(errors="replace").decode()


def said(error: BaseException) -> str:
    """What an exception says, whatever its class makes of that."""
    try:
        text = str(error)
    except BaseException:
        text = "it does not say why"
    if isinstance(error, NotPlain):
        return readable(text)
    return readable(f"{type(error).__name__}: {text}" if text else type(error).__name__)
