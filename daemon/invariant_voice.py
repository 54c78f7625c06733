"""Conversations in Mai's journal: each message from outside taken once, worked on in order, answered at most once outwards. Pure.

Lines are counted as her state counts them, so what leaves on a channel is held against the line that it claims to be.
"""

from collections import defaultdict, deque

from mai.agents.channels import message_of
from mai.agents.events import Event
from mai.agents.markers import marked
from mai.daemon.invariants import End, Handler, Ids, Invariant, Notes
from mai.daemon.outgoing import failed
from mai.daemon.records import RequestAccepted, RequestEnded
from mai.daemon.spooled import SpoolMoved, SpoolRefused
from mai.daemon.threads import channel_of
from mai.daemon.voice import outward
from mai.daemon.voice_records import Filed, InboundTaken, InboundWaits, VoiceSaid, VoiceSent


class Talk:
    """One conversation."""

    __slots__ = ("lines", "open", "owed", "waiting")

    def __init__(self) -> None:
        self.lines, self.open = 0, ""
        self.waiting: deque[tuple[str, int]] = deque()  # messages, with their records
        self.owed: dict[int, tuple[str, str, str]] = {}  # lines that may leave: request, what, text


class Voices(Invariant):
    """All that was said to persons."""

    law = "voice"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.talks: dict[str, Talk] = defaultdict(Talk)
        self.of: dict[str, str] = {}  # open request -> its conversation
        self.out: dict[str, int] = {}  # what leaves, until it has left or that is over: its record
        self.tries: dict[str, int] = {}  # of what leaves: how often it was given out
        self.failed: set[str] = set()  # what may be given out once more
        self.filed: dict[str, int] = {}  # files that are on record, and not moved yet: the record
        self.taken, self.files, self.sent, self.late = Ids(), Ids(), Ids(), Ids()

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            InboundTaken.kind: self._taken,
            InboundWaits.kind: self._waits,
            SpoolRefused.kind: self._refused,
            SpoolMoved.kind: self._moved,
            RequestAccepted.kind: self._accepted,
            RequestEnded.kind: self._ended,
            VoiceSaid.kind: self._said,
            VoiceSent.kind: self._sent,
        }

    def _taken(self, seq: int, event: Event) -> None:
        assert isinstance(event, InboundTaken)
        self.taken.add(event.request, seq)
        self._filed(seq, event.channel, event.file)
        talk = self.talks[event.thread]
        talk.lines += 1
        talk.waiting.append((event.request, seq))
        self._next(talk, event.thread)

    def _filed(self, seq: int, channel: str, file: Filed | None) -> None:
        """A file of a spool is on record; only then it is moved."""
        if file:
            self.files.add(f"{channel}/{file.name}/{file.inode}/{file.mtime_ns}", seq)
            self.filed[f"{channel}/{file.name}"] = seq

    def _refused(self, seq: int, event: Event) -> None:
        assert isinstance(event, SpoolRefused)
        self._filed(seq, event.channel, event.file)

    def _moved(self, seq: int, event: Event) -> None:
        assert isinstance(event, SpoolMoved)
        if self.filed.pop(f"{event.channel}/{event.file.name}", None) is None:
            self.found(seq, f"record {seq} says that {event.channel}/{event.file.name} was moved, and nothing says why")

    def _next(self, talk: Talk, thread: str) -> None:
        """Where nothing is open the first message that waits is accepted at once."""
        if talk.waiting and not talk.open:
            name, seq = talk.waiting[0]
            self.dues.owe(("next", thread), seq, f"{name} is the next of {thread}, and is not accepted")

    def _waits(self, seq: int, event: Event) -> None:
        assert isinstance(event, InboundWaits)
        self.dues.settle(("next", event.thread))
        if event.until_ms <= event.at_ms:
            self.found(seq, f"record {seq} lets {event.request} wait without an end")

    def _accepted(self, seq: int, event: Event) -> None:
        assert isinstance(event, RequestAccepted)
        if (message := message_of(event.request)) in self.tries:
            self._try(seq, message, event.request)
        if not event.thread:
            return
        self.of[event.request], talk = event.thread, self.talks[event.thread]
        if not channel_of(event.thread):
            talk.lines += 1
            return
        self.dues.settle(("next", event.thread))
        if talk.open:
            self.found(seq, f"record {seq} accepts {event.request}, and {talk.open} of {event.thread} is not answered yet")
        if not talk.waiting or talk.waiting[0][0] != event.request:
            self.found(seq, f"record {seq} accepts {event.request}, which is not the next message of {event.thread}")
        talk.open = event.request
        talk.waiting = deque(one for one in talk.waiting if one[0] != event.request)

    def _try(self, seq: int, message: str, request: str) -> None:
        """What leaves is given out: once, and once more only after its department has said that it failed."""
        tries = self.tries[message] = self.tries[message] + 1
        if tries > 1 and (message not in self.failed or request != f"{message}.{tries}"):
            self.found(seq, f"record {seq} gives {message} out once more as {request}, and it may have left already")
        self.failed.discard(message)
        self.out[message] = seq

    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, RequestEnded)
        if self.out.pop(message := message_of(event.request), None) and failed(event):
            self.failed.add(message)
        if not (thread := self.of.pop(event.request, "")):
            return
        talk = self.talks[thread]
        talk.lines += 1
        if channel_of(thread):
            talk.open = ""
            talk.owed[talk.lines] = (event.request, "answer", f"{event.note}\n\n{outward(event)}".strip())
            self._next(talk, thread)

    def _said(self, seq: int, event: Event) -> None:
        assert isinstance(event, VoiceSaid)
        talk = self.talks[event.thread]
        talk.lines += 1
        if event.what == "notice" and self.of.get(event.request) != event.thread:
            self.found(seq, f"record {seq} says that {event.request} takes longer, which is not open in {event.thread}")
        if event.what != "notice" and event.request in self.of:
            self.found(seq, f"record {seq} answers {event.request} later than its end, and it has not ended")
        if event.task:
            self.late.add(event.task, seq)
        if channel_of(event.thread):
            talk.owed[talk.lines] = (event.request, event.what, f"{event.note}\n\n{event.text}".strip())

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, VoiceSent)
        self.sent.add(event.request, seq)
        self.out[event.request], self.tries[event.request] = seq, 0
        owed = self.talks[event.thread].owed.pop(event.n, None)
        if owed is None:
            self.found(seq, f"record {seq} sends line {event.n} of {event.thread}, which is nothing that may leave, or has left")
        elif not marked(event.text) and (event.request, event.what, event.text) != (
            f"{owed[0]}!{owed[1]}{event.n}",
            owed[1],
            owed[2],
        ):
            self.found(seq, f"record {seq} sends other than line {event.n} of {event.thread} says")

    def close(self, end: End) -> None:
        """Nothing came, or was told, twice; nothing waits when all is at rest."""
        super().close(end)
        for ids, what in (
            (self.taken, "takes a message in"),
            (self.files, "takes a file"),
            (self.sent, "sends what"),
            (self.late, "answers too late what"),
        ):
            for former, seq in ids.twice():
                self.found(seq, f"record {seq} {what} that record {former} has had already", former)
        for thread, talk in self.talks.items():
            for name, seq in talk.waiting:
                self.left_open(end, seq, f"the message {name} of {thread}", 0)
        for name, seq in self.filed.items():
            self.left_open(end, seq, f"the file {name}", 0)
        for name, seq in self.out.items():
            self.left_open(end, seq, f"what is to leave as {name}", 0)

    def under_way(self) -> dict[str, int]:
        """Messages that wait, and answers on their way out."""
        waiting = sum(len(talk.waiting) for talk in self.talks.values())
        return {"messages from outside": waiting, "answers outwards": len(self.out)}
