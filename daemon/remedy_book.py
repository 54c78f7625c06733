"""The remedies that the watchdog has done or refused, in its book: by id, with what they were watched for."""

import hashlib
from typing import Any, Final, Literal

import msgspec

from mai.agents.judge import Figures
from mai.agents.remedies import Figure
from mai.daemon.book import Book
from mai.daemon.seals import client_of

KEPT: Final = 500  # remedies that are remembered; the oldest that is not watched makes room
HOUR_MS: Final = 3_600_000
NOUN: Final = "remedies"
TERMS: Final = "terms"


class Done(msgspec.Struct, kw_only=True):
    """One remedy: what was asked, what was done, how it ended."""

    id: str
    remedy: str
    process: str
    by: str
    why: str
    given: dict[str, Any] = {}
    request: str = ""
    state: Literal["done", "refused", "undone", "kept"] = "done"
    text: str = ""
    at_ms: int = 0
    figure: Figure = ""
    before: Figures = Figures()
    until_ms: int = 0  # its figure is watched until then; 0: it is not, or no more
    worse: bool = False


class RemedyBook:
    """All of them, in memory and on the disk."""

    def __init__(self, book: Book) -> None:
        self._book = book
        book.recalls.append(self._recall)
        self._recall()

    def _recall(self) -> None:
        known = [msgspec.convert(row, Done) for row in self._book.load(NOUN).values()]
        self.known: dict[str, Done] = {done.id: done for done in sorted(known, key=lambda done: done.at_ms)}
        self._terms: dict[str, int] = {key: int(row) for key, row in self._book.load(TERMS).items()}  # when a pause is over

    def enter(self, done: Done) -> None:
        """A new one, on record."""
        self.known[done.id] = done
        self._write(done)
        extra = len(self.known) - KEPT
        for old in [one for one in self.known.values() if not one.until_ms][: max(0, extra)]:
            del self.known[old.id]
            self._book.enter("forgotten", {"process": old.process, "id": old.id}, (NOUN, _row(old.id), None))

    def close(self, done: Done, state: Literal["undone", "kept"], text: str, *, worse: bool = False) -> None:
        """It is watched no more."""
        done.state, done.text, done.worse, done.until_ms = state, text, worse, 0
        self._write(done)

    def _write(self, done: Done) -> None:
        row = msgspec.to_builtins(done)
        told = {key: value for key, value in row.items() if key not in ("before", "until_ms", "at_ms")}
        self._book.enter("remedy", told, (NOUN, _row(done.id), row))

    def forget(self, client: str) -> None:
        """A client is erased; its rows are gone already."""
        self.known = {ident: done for ident, done in self.known.items() if client_of(done.process) != client}
        self._terms = {process: until_ms for process, until_ms in self._terms.items() if client_of(process) != client}

    def watched(self) -> list[Done]:
        """Those whose figure is watched."""
        return [one for one in self.known.values() if one.until_ms]

    def lately(self, process: str, remedy: str, now_ms: int) -> tuple[list[int], bool]:
        """When remedies (or, of a page, pages) were done to a process, and whether this one has made it worse of late."""
        page = remedy == "page"
        same = [
            one for one in self.known.values()
            if one.process == process and one.state != "refused" and (one.remedy == "page") == page
        ]  # fmt: skip
        return [one.at_ms for one in same], any(
            one.remedy == remedy and one.worse and one.at_ms > now_ms - HOUR_MS for one in same
        )

    def term(self, process: str, until_ms: int) -> None:
        """A pause of a process ends then; 0: it has none."""
        if until_ms:
            self._terms[process] = until_ms
        elif self._terms.pop(process, None) is None:
            return
        self._book.enter("term", {"process": process, "until_ms": until_ms}, (TERMS, process, until_ms or None))

    def over(self, now_ms: int) -> list[str]:
        """Processes whose pause has lasted long enough."""
        return [process for process, until_ms in self._terms.items() if until_ms <= now_ms]


def _row(ident: str) -> str:
    """The key of a remedy's row: its id may say something of the request that it is about."""
    return hashlib.sha256(ident.encode()).hexdigest()
