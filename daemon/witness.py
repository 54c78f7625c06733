"""What two journals say about each other: the same messages, 1 to n, with the sender's own records behind them. Pure.

A receiver's record of a message holds the number and the digest of the sender's record of it (its head). So each journal
is a witness to the past of its peers: a process whose journal was cut, exchanged or computed anew from some point on is
found out by whoever it has written to.

Nothing here stops the daemon, and a message on its way is no fault. What one journal claims of another is taken from its
snapshot, which is fixed first; what the claim is held against is read after that. A sender commits a message before it
leaves, and a receiver before it acknowledges, so a true claim finds what it claims.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, repeat
from typing import NamedTuple

import msgspec

from mai.agents.events import Received, Sent

FAR = 1_000_000  # a gap in a link that is not believed: the number itself was changed


class Finding(msgspec.Struct, frozen=True):
    """Something that is wrong."""

    process: str
    seq: int  # the record; 0 if it is about none
    what: str
    hint: str
    law: str = ""  # the invariant that it breaks, where `--deep` has found it
    also: tuple[str, ...] = ()  # the other records that belong to it: "acme/sales 17"
    good_seq: int = 0  # up to this record its journal is good; 0 if none is known to be


class _Sent(msgspec.Struct):
    to: str
    lseq: int
    id: str
    deadline_ms: int
    body: msgspec.Raw


class _Received(msgspec.Struct):
    sender: str
    lseq: int
    id: str
    deadline_ms: int
    head_seq: int
    head: str
    body: msgspec.Raw


class _Acked(msgspec.Struct):
    peer: str
    received: int


class _Result(msgspec.Struct):
    breach: str = ""


_sent = msgspec.json.Decoder(_Sent)
_result = msgspec.json.Decoder(_Result)
_received = msgspec.json.Decoder(_Received)
_acked = msgspec.json.Decoder(_Acked)


class Strand:
    """One direction of a link as one end has it, from the first message on: 24 bytes for each.

    `seqs` are the records of this end, `heads` fingerprints of the sender's record (its number and digest), `says` of
    what the message says (0: it was cut down before it was written, or erased, and the head alone tells). A record 0 stands for
    a message that this end does not have. The fingerprints are Python's own hashes, whose key is random and ends with this
    process: nobody can have prepared two texts that share one. The first `base` messages are held against the other end and
    forgotten; `good` is this end's record of the last of them.
    """

    def __init__(self, base: int = 0, good: int = 0) -> None:
        self.base, self.good = base, good
        self.seqs = array("q")
        self.heads = array("q")
        self.says = array("q")
        self.whole = True

    def __len__(self) -> int:
        return self.base + len(self.seqs)

    def add(self, lseq: int, seq: int, head: int, says: int) -> bool:
        """Take the next message; False if it is the first that is not the next one."""
        due = len(self) + 1
        fits = lseq == due or not self.whole
        self.whole = self.whole and lseq == due
        if not due <= lseq < due + FAR:
            return fits
        for column, value in ((self.seqs, seq), (self.heads, head), (self.says, says)):
            if lseq > due:
                column.extend([0] * (lseq - due))
            column.append(value)
        return fits

    def seq(self, lseq: int) -> int:
        """This end's record of a message; 0 if it has none, or has forgotten it."""
        place = lseq - self.base - 1
        return self.seqs[place] if 0 <= place < len(self.seqs) else self.good if place == -1 else 0

    def forget(self, upto: int) -> None:
        """The messages up to this one are held against the other end."""
        if upto > self.base:
            self.good = self.seq(upto)
            for column in (self.seqs, self.heads, self.says):
                del column[: upto - self.base]
            self.base = upto

    def differs(self, other: "Strand", upto: int) -> int:
        """The first message of ours, up to this number, that the other does not have or not so; 0 if there is none."""
        first = max(self.base, other.base)
        ours, there = slice(first - self.base, max(0, upto - self.base)), slice(first - other.base, max(0, upto - other.base))
        if self.heads[ours] == other.heads[there] and self.says[ours] == other.says[there]:
            return 0
        theirs = chain(zip(other.heads[there], other.says[there], strict=True), repeat((None, None)))
        each = zip(self.seqs[ours], self.heads[ours], self.says[ours], theirs, strict=False)
        for lseq, (seq, head, says, (head_there, says_there)) in enumerate(each, first + 1):
            if seq and (head != head_there or (says != says_there and 0 not in (says, says_there))):
                return lseq
        return 0

    def same_head(self, other: "Strand", lseq: int) -> bool:
        """Have both the same record of the sender's for this message?"""
        ours, there = lseq - self.base - 1, lseq - other.base - 1
        return 0 <= there < len(other.seqs) and self.heads[ours] == other.heads[there]


class Ends:
    """One process's ends of all its links, as its journal has them."""

    def __init__(self, process: str) -> None:
        self.process = process
        self.sent: dict[str, Strand] = defaultdict(Strand)
        self.received: dict[str, Strand] = defaultdict(Strand)
        self.acked: dict[str, tuple[int, int]] = {}  # peer -> (how far, by which record)
        self.taken = 0  # messages that were looked at
        self.claims: dict[str, int] = {}  # peer -> how many messages of its are claimed to have come
        self.claimed_acks: dict[str, tuple[int, int]] = {}

    def add(self, kind: str, seq: int, digest: bytes, body: str, *, cut: bool = False) -> str:
        """Take one record of a message; returns what is wrong with its number, if anything. Raises MsgspecError, ValueError.

        `cut`: its values were erased, and its other end may still have them.
        """
        self.taken += kind in (Sent.kind, Received.kind)
        if kind == Sent.kind:
            sent = _sent.decode(body)
            lseq, peer = sent.lseq, sent.to
            says = (
                0 if cut else hash((sent.id, sent.deadline_ms, bytes(sent.body)))
            )  # both ends write the same values the same way
            fits = self.sent[peer].add(lseq, seq, hash((seq, digest)), says)
        elif kind == Received.kind:
            got = _received.decode(body)
            lseq, peer = got.lseq, got.sender
            says = 0 if cut or _is_cut(bytes(got.body)) else hash((got.id, got.deadline_ms, bytes(got.body)))
            fits = self.received[peer].add(lseq, seq, hash((got.head_seq, bytes.fromhex(got.head))), says)
        else:
            acked = _acked.decode(body)
            self.acked[acked.peer] = (acked.received, seq)
            return ""
        return "" if fits else f"record {seq} holds message {lseq} on the link with {peer}, which is not the next one"

    def go_on_from(self, links: dict[str, tuple[int, int, int]]) -> None:
        """The records before the next one were removed: so far had the links come with them (sent, acknowledged, received).

        What was read before them counts as well: an older segment that had been carried away has not been removed with them.
        """
        for peer, (sent, acked, received) in links.items():
            for strands, told in ((self.sent, sent), (self.received, received)):
                if told > len(strands[peer]):
                    strands[peer] = Strand(told)
            if acked > self.acked.get(peer, (0, 0))[0]:
                self.acked[peer] = (acked, 0)

    def claim(self, bad_seq: int = 0) -> None:
        """What was read so far is what this journal claims of others; what is read from now on only answers their claims.

        Of a journal that is broken from some record on, what stands before it is still believed.
        """
        for peer, strand in self.received.items():
            believed = (number for number, seq in enumerate(strand.seqs, strand.base) if seq >= bad_seq > 0)
            self.claims[peer] = next(believed, len(strand))
        self.claimed_acks = {peer: acked for peer, acked in self.acked.items() if not bad_seq or acked[1] < bad_seq}

    def peers(self) -> set[str]:
        """All that this process has written to or heard from."""
        return {*self.sent, *self.received, *self.acked}

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """For each peer how much was sent, acknowledged and received."""
        return {
            peer: (
                len(self.sent[peer]) if peer in self.sent else 0,
                self.acked.get(peer, (0, 0))[0],
                len(self.received[peer]) if peer in self.received else 0,
            )
            for peer in self.peers()
        }


def _is_cut(body: bytes) -> bool:
    """Is this an answer that may not leave its department, written without what it said (data_scope.py)?"""
    return body.startswith(b'{"is":"result"') and not body.endswith(b'"breach":""}') and bool(_result.decode(body).breach)


class Claim(NamedTuple):
    """What a receiver holds against its sender: a message that the sender's journal does not have so."""

    lseq: int
    by_seq: int  # the receiver's record
    own_seq: int  # the sender's record of a message with this number; 0 if it has none
    good_seq: int  # the sender's last record that the receiver has witnessed and that fits
    head_differs: bool  # the sender's record is not the one that was witnessed


def claims(sender: Ends, receiver: Ends) -> Iterator[Claim]:
    """The first message that the receiver claims to have from the sender and that does not stand in the sender's journal."""
    upto = receiver.claims.get(sender.process, 0)
    got, sent = receiver.received[sender.process], sender.sent[receiver.process]
    if lseq := got.differs(sent, upto):
        good = sent.seq(lseq - 1) if lseq <= len(sent) + 1 else 0
        yield Claim(lseq, got.seq(lseq), sent.seq(lseq), good, not got.same_head(sent, lseq))


def settle(sender: Ends, receiver: Ends) -> None:
    """Forget the messages that both have, and alike. Where they differ nothing is forgotten: `claims` tells in the end."""
    if receiver.process not in sender.sent or sender.process not in receiver.received:
        return
    sent, got = sender.sent[receiver.process], receiver.received[sender.process]
    both = min(len(sent), len(got))
    if both > max(sent.base, got.base) and not got.differs(sent, both) and got.whole and sent.whole:
        sent.forget(both)
        got.forget(both)


def overdrawn(sender: Ends, receiver: Ends) -> Iterator[tuple[int, int, int]]:
    """(how far, the sender's record, how far in truth) if the sender was acknowledged more than the receiver has."""
    far, seq = sender.claimed_acks.get(receiver.process, (0, 0))
    if far > len(receiver.received[sender.process]):
        yield far, seq, len(receiver.received[sender.process])
