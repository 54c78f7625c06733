"""Between two journals: messages 1 to n on both ends, the same on both, and none acknowledged that has not come. Pure.

A message that was sent and has not been received is on its way: it is sent again until it is acknowledged. It is lost if it
was acknowledged all the same, or if all is at rest.
"""

from collections import defaultdict

import msgspec

from mai.agents.events import Acked, Event, Received, Sent
from mai.agents.markers import LEFT
from mai.agents.messages import Result
from mai.daemon.invariants import CAUSE, Handler, Notes
from mai.daemon.witness import Strand

LAW = "links"
SOON = "what is acknowledged is on record within a second, of a process that runs: look again, with the daemon up"
_encoder = msgspec.json.Encoder()


class Ends:
    """One process's ends of its links. `fix` says that what it claims of others is all read; the rest only answers them."""

    def __init__(self, process: str, notes: Notes) -> None:
        self.process, self.notes = process, notes
        self.sent: dict[str, Strand] = defaultdict(Strand)
        self.received: dict[str, Strand] = defaultdict(Strand)
        self.acked: dict[str, tuple[int, int]] = {}  # peer -> (how far, by which record)
        self.claimed: dict[str, int] | None = None
        self.claimed_acks: dict[str, tuple[int, int]] = {}

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {Sent.kind: self._sent, Received.kind: self._received, Acked.kind: self._acked}

    def fix(self) -> None:
        """What was taken so far is what this journal claims."""
        self.claimed = {peer: len(strand) for peer, strand in self.received.items()}
        self.claimed_acks = dict(self.acked)

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        says = _says(event)
        if not self.sent[event.to].add(event.lseq, seq, hash(seq), says):
            self._gap(seq, f"message {event.lseq} to {event.to}", len(self.sent[event.to]))

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        cut = isinstance(event.body, Result) and event.body.breach  # its sender alone has the whole of it
        says = 0 if cut else _says(event)
        if not self.received[event.sender].add(event.lseq, seq, hash(event.head_seq), says):
            self._gap(seq, f"message {event.lseq} from {event.sender}", len(self.received[event.sender]))

    def _gap(self, seq: int, message: str, have: int) -> None:
        what = f"record {seq} holds {message}, which is not the next one: {have} came before it"
        self.notes.found(LAW, self.process, seq, what)

    def _acked(self, seq: int, event: Event) -> None:
        assert isinstance(event, Acked)
        if event.received > len(self.sent[event.peer]):
            what = f"record {seq}: {event.peer} acknowledges {event.received} messages, of {len(self.sent[event.peer])} sent"
            self.notes.found(LAW, self.process, seq, what)
        before = self.acked.get(event.peer, (0, 0))
        if event.received > before[0]:
            self.acked[event.peer] = (event.received, seq)

    def peers(self) -> set[str]:
        """All that it has written to or heard from."""
        return {*self.sent, *self.received, *self.acked}


def _says(event: Sent | Received) -> int:
    """What the message says, as one number; 0 if it was erased, which its other end may not have been yet."""
    body = _encoder.encode(event.body)
    return 0 if LEFT.search(body) else hash((event.id, event.deadline_ms, body))


def compare(sender: Ends, receiver: Ends, notes: Notes, *, at_rest: bool) -> int:
    """Hold one direction of a link against its other end; returns how many messages are on their way."""
    sent, got = sender.sent[receiver.process], receiver.received[sender.process]
    claimed = (receiver.claimed or {}).get(sender.process, 0) if receiver.claimed is not None else len(got)
    if lseq := got.differs(sent, claimed):
        _phantom(sender, receiver, lseq, notes)
    acks = sender.acked if receiver.claimed is None else sender.claimed_acks
    far, by_seq = acks.get(receiver.process, (0, 0))
    if far > len(got):
        first = sent.seqs[len(got)] if len(got) < len(sent) else 0
        what = (
            f"record {by_seq} of {sender.process} says that {receiver.process} has committed {far} of its messages;"
            f" the journal of {receiver.process} holds {len(got)}" + (f", not that of record {first}" if first else "")
        )
        notes.found(LAW, sender.process, by_seq, what, (receiver.process, got.seqs[-1] if len(got) else 0), hint=CAUSE)
    under_way = max(0, len(sent) - len(got))
    unsaid = max(0, min(len(sent), len(got)) - sender.acked.get(receiver.process, (0, 0))[0])
    if at_rest and (under_way or unsaid):
        _lost(sender, receiver, notes)
    return under_way


def _phantom(sender: Ends, receiver: Ends, lseq: int, notes: Notes) -> None:
    """The first message that the receiver has and the sender has not, or not so."""
    sent, got = sender.sent[receiver.process], receiver.received[sender.process]
    by_seq, own = got.seqs[lseq - 1], sent.seqs[lseq - 1] if lseq <= len(sent) else 0
    record = f"record {by_seq} of {receiver.process} is message {lseq} from {sender.process}"
    if not own:
        what = f"{record}, which never sent it"
    elif got.heads[lseq - 1] != sent.heads[lseq - 1]:
        what = f"{record}, and names another record as its origin than {own}, where it stands"
    else:
        what = f"{record}; what it says is not what was sent in record {own}"
    notes.found(LAW, receiver.process, by_seq, what, (sender.process, own))


def _lost(sender: Ends, receiver: Ends, notes: Notes) -> None:
    """All is at rest, and messages have not come, or nobody has heard that they came."""
    sent, got = sender.sent[receiver.process], receiver.received[sender.process]
    told = sender.acked.get(receiver.process, (0, 0))[0]
    if len(got) < len(sent):
        seq = sent.seqs[len(got)]
        what = f"record {seq} is message {len(got) + 1} to {receiver.process}, which never came, and all is at rest"
        notes.found(LAW, sender.process, seq, what)
    else:
        seq = sent.seqs[told]
        what = f"record {seq}: {receiver.process} has this message in its record {got.seqs[told]}, and has not said so"
        notes.found(LAW, sender.process, seq, what, (receiver.process, got.seqs[told]), hint=SOON)
