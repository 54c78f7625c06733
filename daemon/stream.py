"""The watchdog's records, told to who follows them at its door: first how things stand, then each record as it becomes durable.

    {"do": "follow", "client": "acme", "after": 17}
 -> {"standing": {"seq": 40, "wanted": {"acme/sales": "stop"}, "failed": {"acme/web": "died 5 times ..."}}}
 -> {"record": {"seq": 18, "at_ms": ..., "kind": "incident", "process": "acme/sales", "what": "death", "text": "..."}}
    ...

`after` is the last record that the caller has; -1 asks for new ones only. A caller who has more than there is (the ledger was
put back to an older copy, or made anew) is told what comes from now on. Records about a client's processes are for that
client, those about the host's processes for all, without their words: there may stand something of another client.
Signed heads, which name everybody's, who was at the watchdog's door, and how many others start are for nobody.
"""

from typing import TYPE_CHECKING, Final

from mai.daemon import heads, starts
from mai.daemon.door import Caller, Reply
from mai.daemon.visits import KINDS as VISITS
from mai.sandbox.errors import LedgerFault

if TYPE_CHECKING:
    from mai.daemon.book import Book

UNTOLD: Final = (heads.KIND, starts.KIND, *VISITS)
WORDS: Final = ("why", "text", "file", "task")  # of a record: what a process said last, or what was at work
AT_ONCE: Final = 500  # records to one caller in one turn; the rest in the next ones


def concerns(process: str, client: str) -> bool:
    """Is a record about this process for this client? For "" all are."""
    owner, slash, _ = process.partition("/")
    return not client or not slash or owner == client


class Follower:
    """One caller, and how far it has been told."""

    def __init__(self, book: "Book", caller: Caller, client: str, after: int) -> None:
        self.caller = caller
        self._book, self._client = book, client
        self._told = book.seq if after < 0 or 0 < book.seq < after else after
        caller.answer({"standing": self._standing()}, more=True)

    def _standing(self) -> Reply:
        wanted = {name: how for name, how in self._book.desired().items() if concerns(name, self._client)}
        whose = {name: said for name, said in self._book.whose().items() if name in wanted}
        known = {name: str(one["why"]) for name, one in self._book.failed.items() if concerns(name, self._client)}
        failed = {name: why if self._own(name) else "" for name, why in known.items()}
        return {"seq": self._book.seq, "wanted": wanted, "failed": failed, "whose": whose}

    def _own(self, process: str) -> bool:
        """Is it one of the client's own, or is all told to this caller?"""
        return not self._client or process.partition("/")[0] == self._client

    def step(self) -> None:
        """Tell what is new."""
        try:
            entries = self._book.entries(self._told, AT_ONCE)
        except LedgerFault:
            return  # the book says so itself; what it holds is told when it can be read again
        for seq, at_ms, kind, body in entries:
            if kind not in UNTOLD and concerns(body.get("process", ""), self._client):
                told = {key: value for key, value in body.items() if key not in WORDS or self._own(body.get("process", ""))}
                self.caller.answer({"record": {**told, "seq": seq, "at_ms": at_ms, "kind": kind}}, more=True)
            self._told = seq

    @property
    def behind(self) -> bool:
        """Is there more to tell at once?"""
        return self._told < self._book.seq
