"""Peers that say Mai's ledger is an older copy of itself: is it hers, or is it theirs? Pure.

A peer that has received more than she sent, or that she had acknowledged more than she received, is right if her ledger is an
older copy, and lies or is damaged otherwise. One alone is not believed against her own journal, else any department
could end the work of all others with one word: it is shut out, which harms nobody if it was right, since nothing that could
differ is exchanged with it. If a second one says so, or if
her ledger is a new one and the first word of the peer is this, it is she.
"""

WITNESSES = 2  # so many different keys are believed


class Accused:
    """Who says so in this life of Mai."""

    def __init__(self) -> None:
        self.shut: dict[str, str] = {}  # peer -> what it says

    def accuse(self, peer: str, detail: str, *, new: bool = False) -> bool:
        """A peer says so; true if it is believed, and Mai has to halt. Otherwise it is shut out.

        `new`: her ledger knows neither of an earlier start nor of a message from the peer.
        """
        self.shut[peer] = detail
        return new or len(self.shut) >= WITNESSES

    def hello(self, peer: str) -> str:
        """A peer greets anew, and is judged anew; returns what it had said, "" for nothing."""
        return self.shut.pop(peer, "")

    def says(self, peer: str) -> str:
        """How it is said of one who is shut out."""
        return (
            f"{peer} is shut out: either its ledger is not its own, or mine is an older copy of itself, which nobody else "
            f"has said: {self.shut[peer]}"
        )

    def status(self) -> str:
        """For `mai status`; "" if nobody is shut out."""
        return "; ".join(self.says(peer) for peer in sorted(self.shut))
