"""Which blobs something refers to: addresses stand in bodies, in rows of state and in blobs, wherever somebody put them. Pure.

Whatever looks like an address is taken for one: to keep a blob that nobody needs costs room, to lose one costs an answer.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

_ADDRESS: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_BYTES: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def named(text: str) -> list[str]:
    """All that looks like an address in a body, or in a row of state."""
    return _ADDRESS.findall(text)


def reached(addresses: list[str], fetch: Callable[[str], bytes | None], seen: Callable[[str, bytes], bool]) -> Iterator[str]:
    """The blobs that these addresses lead to, those named in blobs included. `fetch` gives one, or None if it is none.

    `seen(address, data)` is told of each, and says whether to look into it.
    """
    left = list(addresses)
    while left:
        address = left.pop()
        data = fetch(address)
        if data is not None and seen(address, data):
            yield address
            left += [one.decode() for one in _BYTES.findall(data)]
