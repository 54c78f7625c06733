"""Which key each process was given, and which it had before: the watchdog's word on whose a key is.

It stands in the watchdog's ledger, so a key that lies in a process's directory and is another than that (an old one, put back
from a copy; one that somebody has made himself) is worth nothing: at the next start the process gets a new one.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.sandbox import keys
from mai.sandbox.errors import UsageFault
from mai.sandbox.place import Place

if TYPE_CHECKING:
    from mai.daemon.book import Book

NOUN: Final = "key"
RECORD: Final = "key"
MOST_OLD: Final = 100  # fingerprints of each process that are told apart from strangers'

Enter = Callable[..., None]


class Held(msgspec.Struct):
    """The key of one process."""

    public: str  # Z85
    since_ms: int
    old: tuple[str, ...] = ()  # fingerprints of those that it had before, the last one last
    next: str = ""  # the public half of the pair that is to follow; until then both are good

    @property
    def fingerprint(self) -> str:
        """Of the present key."""
        return keys.fingerprint(self.public.encode())

    def renew(self, public: str, now_ms: int) -> None:
        """Another key from now on."""
        self.old = (*self.old, self.fingerprint)[-MOST_OLD:]
        self.public, self.since_ms, self.next = public, now_ms, ""


class Keyring:
    """All keys of one facility. Without a book nothing is known of any, and nothing is put on record."""

    def __init__(self, place: Place, book: "Book | None" = None) -> None:
        self._place, self._book = place, book
        rows: dict[str, Any] = book.load(NOUN) if book else {}
        self.held = {process: msgspec.convert(row, Held) for process, row in rows.items()}

    def settle(self, process: str) -> None:
        """See to it that the key in this process's directory is one that it was given. Raises OSError, UsageFault."""
        home, held, now_ms = self._place.home(process), self.held.get(process), time.time_ns() // 1_000_000
        present = self._present(process)
        if held is None:
            step = "found" if present else "made"
            public = (present or keys.ensure(home).public).decode()
            since_ms = int((home / keys.KEY).stat().st_mtime * 1000) if present else now_ms
            self.held[process] = Held(public, since_ms)
            self.note(process, step)
        elif present is None or present.decode() not in (held.public, held.next):
            before = held.fingerprint
            why = f"{keys.fingerprint(present)} lay there" if present else "it was gone"
            pair = keys.made()
            keys.keep(home / keys.KEY, pair)
            held.renew(pair.public.decode(), now_ms)
            self.note(process, "replaced", before=before, why=f"{why}: that key was not given to it")
        if not self.held[process].next:
            (home / keys.NEXT).unlink(missing_ok=True)  # of a change that was not begun

    def _present(self, process: str) -> bytes | None:
        with suppress(FileNotFoundError, UsageFault, OSError):
            return keys.own(self._place.home(process)).public
        return None

    def publish(self, client: str, processes: Iterable[str]) -> None:
        """Hand the public halves out. Raises OSError."""
        names = list(processes)
        publics = {name: keys.own(self._place.home(name)).public for name in names}
        known, old = dict[bytes, str](), dict[str, str]()
        for name in names:
            held = self.held[name]
            known |= {public.encode(): name for public in (held.public, held.next) if public}
            old |= dict.fromkeys(held.old, name)
        keys.publish(self._place, client, publics, keys.Known(known, old))

    def note(self, process: str, step: str, **more: Any) -> None:
        """Put a change on record, with the row as it stands now."""
        held = self.held[process]
        if self._book:
            body = {"process": process, "step": step, "key": held.fingerprint, **more}
            self._book.enter(RECORD, body, (NOUN, process, msgspec.to_builtins(held)))

    def forget(self, process: str) -> None:
        """A process is no more, and never comes back."""
        if self.held.pop(process, None) and self._book:
            self._book.enter(RECORD, {"process": process, "step": "forgotten"}, (NOUN, process, None))
