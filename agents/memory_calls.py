"""The calls on `ctx` that read and write memory. Each is a step in the journal, also what is refused at once."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.body import Fields
from mai.agents.given import Refusal, a_count, a_level, a_name, a_span, a_text
from mai.agents.remembering import MOST_LISTED, Memory, Page

if TYPE_CHECKING:
    from mai.agents.context import Waiting

LISTED: Final = 100  # memories of a page, unless another number is asked for
FOUND: Final = 10  # of a search
LONGEST_QUERY: Final = 2000  # characters


class Memories(list[Memory]):
    """Some pieces of memory; `more` if there are others behind the last one."""

    more = False


def memories(page: Any) -> Memories:
    """A recorded page as the agent gets it."""
    read = msgspec.convert(page, Page)
    found = Memories(read.items)
    found.more = read.more
    return found


class MemoryCalls(ABC):
    """The part of Context that is about memory.

    `level` is "agent" (this agent's own), "department" (this department's) or "client" (kept by Mai, read and written under
    the scope in the organisation file). All raise Refusal when they are awaited: what is out of scope, too large or too much, and
    what is no key, level or number at all.
    """

    def recall(self, key: str, level: str = "agent", *, version: int = 0) -> "Waiting":
        """Await a remembered value; None if there is none, or it has expired. `version`: that one, if it is still kept."""

        def made() -> Fields:
            given: Fields = {"key": a_name("a key", key), "level": a_level(level)}
            return {**given, "version": a_count("a version", version)} if version else given

        return self._memory("recall", made)

    def remember(self, key: str, value: Any, level: str = "agent", *, expires_s: float | None = None) -> "Waiting":
        """Keep a value, as a new version of its key. Await the version's number to know that it is kept.

        With `expires_s` it is gone after so many seconds of the wall clock.
        """

        def made() -> Fields:
            given: Fields = {"key": a_name("a key", key), "level": a_level(level), "value": self._held(value)}
            return given if expires_s is None else {**given, "expires_s": a_span("expires_s", expires_s)}

        return self._memory("remember", made)

    def forget(self, key: str, level: str = "agent") -> "Waiting":
        """Have a key forgotten, with all of its versions. Await whether there was one. What journals hold they keep."""
        return self._memory("forget", lambda: {"key": a_name("a key", key), "level": a_level(level)})

    def recall_all(self, prefix: str = "", level: str = "agent", *, limit: int = LISTED, after: str = "") -> "Waiting":
        """Await Memories: what is kept under keys that begin so, in the order of keys.

        At most `limit` (1,000) and as much as fits into half a message; if there is `more`, it begins behind the key `after`.
        """
        return self._memory(
            "recall_all",
            lambda: {
                "prefix": a_name("a beginning of keys", prefix), "level": a_level(level),
                "limit": a_count("a limit", limit, MOST_LISTED), "after": a_name("a key", after),
            },
        )  # fmt: skip

    def search(self, text: str, level: str = "agent", *, limit: int = FOUND) -> "Waiting":
        """Await Memories: the newest versions in which a word of the text stands, or a "phrase" in quotes; best first."""
        return self._memory(
            "search",
            lambda: {
                "text": _a_query(text), "level": a_level(level), "limit": a_count("a limit", limit, MOST_LISTED)
            },
        )  # fmt: skip

    def versions(self, key: str, level: str = "agent") -> "Waiting":
        """Await Memories: the versions of a key that are still kept, newest first."""
        return self._memory("versions", lambda: {"key": a_name("a key", key), "level": a_level(level)})

    @abstractmethod
    def _held(self, value: Any) -> Any:
        """A value as it is kept. Raises Refusal."""

    @abstractmethod
    def _memory(self, call: str, made: Callable[[], Fields]) -> "Waiting":
        """The step; `made` gives what its record holds, or raises Refusal."""


def _a_query(text: str) -> str:
    """What is searched for. Raises Refusal."""
    if len(text := a_text("what is searched for", text)) > LONGEST_QUERY:
        raise Refusal(f"what is searched for has to be a text of at most {LONGEST_QUERY} characters", "failed")
    return text
