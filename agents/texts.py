"""Large texts beside the messages: what models are asked and answer. A body names them by address, its envelope carries them.

Who asks keeps them for good, as blobs that belong to its journal. Those on the way hold them as `parcel` rows of their
state, each only until what it belongs to is done: their journals have the addresses, and never the texts.
"""

from collections.abc import Iterable

import msgspec

from mai.agents import talks
from mai.agents.errand_messages import Think
from mai.agents.messages import Any_Body, address_of, addresses
from mai.agents.state import State
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Ledger

PARCEL = "parcel"  # the noun of the rows that no journal gives back


class Parcel(msgspec.Struct):
    """Texts that are held for a while."""

    texts: dict[str, str]


def misfit(body: Any_Body, texts: dict[str, str]) -> str:
    """What is wrong with the texts that came with a body; "" if they are the ones that it names."""
    try:
        named = addresses(body, texts.__getitem__)
    except (KeyError, msgspec.MsgspecError):
        return "it refers to a list of messages that did not come with it, or is none"
    if set(named) != texts.keys():
        return f"it names {len(named)} texts, and {len(texts)} came with it, which are not the same"
    if wrong := next((address for address in named if address_of(texts[address]) != address), ""):
        return f"the text {wrong[:12]} is not what its address says"
    if isinstance(body, Think):
        inquiry = body.inquiry
        if (size := sum(len(texts[one].encode()) for one in talks.pieces(inquiry, texts.__getitem__))) != inquiry.size:
            return f"its texts have {size} bytes, and it says {inquiry.size}"
        if (count := len(talks.messages(inquiry, texts.__getitem__))) != inquiry.total:
            return f"it has {count} messages, and says {inquiry.total}"
    return ""


class Texts:
    """The texts that one process has: those kept for good, those held, and those that came in this turn.

    With `keeps` all that comes is kept for good.
    """

    def __init__(self, ledger: Ledger, state: State, *, keeps: bool = False) -> None:
        self._ledger, self._state, self._keeps = ledger, state, keeps
        self._held: dict[str, dict[str, str]] = {}
        self._arrived: dict[str, str] = {}

    def restore(self) -> None:
        """Load what was held when the process ended."""
        for key, data in self._ledger.load(PARCEL).items():
            self._held[key] = msgspec.json.decode(data, type=Parcel).texts

    def arrive(self, texts: dict[str, str]) -> None:
        """Take in what came with a message that fits it."""
        self._arrived.update(texts)
        if self._keeps:
            for text in texts.values():
                self.keep(text)

    def committed(self) -> None:
        """The turn is over: what came in it and was neither kept nor held is forgotten."""
        self._arrived.clear()

    def keep(self, text: str) -> str:
        """Keep a text for good, from the next commit on; its address."""
        return self._ledger.keep(text.encode())

    def hold(self, key: str, named: Iterable[str]) -> None:
        """Hold texts under a key until it is dropped. Raises LedgerFault if one is not here."""
        texts = {address: self.text(address) for address in named}
        self._held[key] = texts
        self._state.changed(PARCEL, key, Parcel(texts))

    def put(self, key: str, text: str) -> str:
        """Hold a text of our own under a key; its address."""
        address = address_of(text)
        self._arrived[address] = text
        self.hold(key, (address,))
        return address

    def drop(self, key: str) -> None:
        """Hold them no longer."""
        if self._held.pop(key, None) is not None:
            self._state.changed(PARCEL, key, None)

    def settle(self, peer: str, received: int) -> None:
        """Drop what was held for messages that a peer has acknowledged."""
        for key in list(self._held):
            to, _, number = key.rpartition("#")
            if to == peer and int(number) <= received:
                self.drop(key)

    def attached(self, body: Any_Body, peer: str, lseq: int) -> dict[str, str]:
        """What goes with a message of this number; held from now on, as far as it is not kept. Raises LedgerFault."""
        named, key = addresses(body, self.text), f"{peer}#{lseq}"
        if key not in self._held and any(self._ledger.blob(one) is None for one in named):
            self.hold(key, named)
        return {address: self.text(address) for address in named}

    def text(self, address: str) -> str:
        """A text that is kept or held, or came in this turn. Raises LedgerFault."""
        if address in self._arrived:
            return self._arrived[address]
        for texts in self._held.values():
            if address in texts:
                return texts[address]
        data = self._ledger.blob(address)
        if data is None:
            raise LedgerFault(f"{self._ledger.process} has no text {address[:12]}", "run `mai verify`")
        return data.decode()
