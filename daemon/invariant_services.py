"""A client's services: each question to a model and each use of a tool ends once, with each attempt before its end. Pure."""

from mai.agents.effects import ONCE
from mai.agents.errand_messages import Think, Thought, Usage, Use, Used
from mai.agents.events import Event, Received, Sent
from mai.daemon.calling import AttemptBegun, AttemptEnded, CallEnded, CallTaken
from mai.daemon.invariant_undoing import named, said
from mai.daemon.invariants import End, Handler, Ids, Invariant, Notes
from mai.daemon.spending import together
from mai.daemon.tooling import ToolBegun, ToolEnded, ToolQueried
from mai.daemon.transcript_records import ModelRequest, ModelResponse


class OpenCall:
    """A question to a model, or the use of a tool, between its beginning and its end."""

    __slots__ = ("absent", "answer", "attempt", "begun", "deadline_ms", "heard", "peer", "sent", "seq", "usage")

    def __init__(self, seq: int, peer: str, deadline_ms: int) -> None:
        self.seq, self.peer, self.deadline_ms = seq, peer, deadline_ms
        self.attempt = 0  # the last that has begun
        self.begun = 0  # its record, while it is under way
        self.absent = False  # it was asked: what was begun had not happened
        self.sent = 0  # the record with what the attempt sends
        self.heard = False  # is on record what came back?
        self.answer = ""
        self.usage = Usage()


class Service(Invariant):
    """What the models process and the tools process have in common."""

    law = "errands"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.open: dict[str, OpenCall] = {}
        self.ended = Ids()

    def known(self, seq: int, ident: str, what: str) -> OpenCall | None:
        """The open call that a record is about; that there is none is found."""
        call = self.open.get(ident)
        if call is None:
            ended = self.ended.seq_of(ident)
            why = f"which ended in record {ended}" if ended else "which was not taken in"
            self.found(seq, f"record {seq} {what} for {ident}, {why}", ended)
        return call

    def cancelled(self, seq: int, body: object) -> None:
        """A request is cancelled, if the message says so: Mai hears at once that nothing is done for it any more."""
        if named(body, "Cancel"):
            self.dues.owe(("stopped", said(body, "request")), seq, f"{said(body, 'request')} is cancelled, and Mai is not told")

    def stopped(self, seq: int, body: object) -> None:
        """And she is told once."""
        if named(body, "Cancelled") and not self.dues.settle(("stopped", said(body, "request"))):
            self.found(seq, f"record {seq} says that {said(body, 'request')} was stopped, and nobody has just cancelled it")

    def over(self, seq: int, ident: str, answer: str, peer: str) -> None:
        """It has ended: its asker is told at once."""
        self.open.pop(ident, None)
        self.ended.add(ident, seq)
        self.dues.owe((answer, ident, peer), seq, f"{ident} has ended, and {peer} is not told")

    def told(self, seq: int, answer: str, ident: str, peer: str) -> None:
        """An answer goes out."""
        if not self.dues.settle((answer, ident, peer)):
            before = self.ended.seq_of(ident)
            self.found(seq, f"record {seq} sends a {answer} for {ident} to {peer}, and nothing has just ended it", before)

    def close(self, end: End) -> None:
        """Nothing is owed, nothing is open long after its deadline."""
        super().close(end)
        for ident, call in self.open.items():
            self.left_open(end, call.seq, ident, call.deadline_ms)


class Calls(Service):
    """The questions to models."""

    transcribed = False  # does this version put on record what goes out and comes back? Older ones did not

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            Sent.kind: self._sent,
            CallTaken.kind: self._taken,
            AttemptBegun.kind: self._begun,
            ModelRequest.kind: self._sends,
            ModelResponse.kind: self._hears,
            AttemptEnded.kind: self._attempt_ended,
            CallEnded.kind: self._ended,
        }

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        self.cancelled(seq, event.body)
        if isinstance(event.body, Think) and event.body.id not in self.open:
            self.dues.owe(("taken", event.body.id), seq, f"{event.body.id} was received, and neither taken in nor refused")

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        self.stopped(seq, event.body)
        if isinstance(event.body, Thought):
            self.told(seq, "Thought", event.body.id, event.to)

    def _taken(self, seq: int, event: Event) -> None:
        assert isinstance(event, CallTaken)
        if not self.dues.settle(("taken", event.task)):
            self.found(seq, f"record {seq} takes in {event.task}, and nobody has just asked", self.ended.seq_of(event.task))
        self.open[event.task] = OpenCall(seq, event.peer, event.deadline_ms)

    def _begun(self, seq: int, event: Event) -> None:
        assert isinstance(event, AttemptBegun)
        call = self.known(seq, event.task, f"begins attempt {event.n}")
        if call is None:
            return
        if call.begun:
            what = f"record {seq} begins attempt {event.n} for {event.task}, and that of record {call.begun} has no end"
            self.found(seq, what, call.begun)
        elif call.answer or event.n != call.attempt + 1:
            why = "which has its answer" if call.answer else f"after attempt {call.attempt}"
            self.found(seq, f"record {seq} begins attempt {event.n} for {event.task}, {why}", call.seq)
        call.attempt, call.begun = event.n, seq
        if self.transcribed:
            self.dues.owe(
                ("bytes", event.task), seq, f"attempt {event.n} for {event.task} begins, and what it sends is not on record"
            )

    def _sends(self, seq: int, event: Event) -> None:
        assert isinstance(event, ModelRequest)
        self.dues.settle(("bytes", event.task))
        self.transcribed = True
        if call := self.known(seq, event.task, "is a request"):
            if not call.begun or call.sent > call.begun:
                self.found(seq, f"record {seq} has what {event.task} sends, and no attempt has just begun", call.begun)
            call.sent, call.heard = seq, False

    def _hears(self, seq: int, event: Event) -> None:
        assert isinstance(event, ModelResponse)
        call = self.known(seq, event.task, "is a response")
        if call is None:
            return
        if not call.begun or event.record != call.sent or call.heard:
            self.found(
                seq, f"record {seq} answers record {event.record}, and that of {event.task} under way is {call.sent}", call.sent
            )
        call.heard = True

    def _attempt_ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, AttemptEnded)
        call = self.known(seq, event.task, f"ends attempt {event.n}")
        if call is None:
            return
        if not call.begun or event.n != call.attempt:
            under = f"attempt {call.attempt} is" if call.begun else "none is"
            self.found(seq, f"record {seq} ends attempt {event.n} for {event.task}, and {under} under way", call.begun)
        self.dues.settle(("bytes", event.task))  # it could not be asked
        if event.answer and call.sent and not call.heard:
            self.found(seq, f"record {seq} has an answer for {event.task}, and what came back is not on record", call.sent)
        call.begun, call.answer = 0, event.answer or call.answer
        call.usage = together((call.usage, event.usage))

    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, CallEnded)
        peer = f"{self.client}/mai"
        if not self.dues.settle(("taken", event.task)) and (call := self.known(seq, event.task, "is one more end")):
            peer = call.peer
            if call.begun:
                self.found(seq, f"record {seq} ends {event.task}, whose attempt in record {call.begun} has no end", call.begun)
            if event.answer != call.answer or (event.state == "answered") != bool(call.answer):
                self.found(seq, f"record {seq} ends {event.task} with another answer than its attempts gave", call.seq)
            if event.usage != call.usage:
                self.found(seq, f"record {seq} books other costs for {event.task} than its attempts", call.seq)
        self.over(seq, event.task, "Thought", peer)

    def under_way(self) -> dict[str, int]:
        """Open calls."""
        return {"calls": len(self.open)}


class Uses(Service):
    """The uses of tools that need the network."""

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            Sent.kind: self._sent,
            ToolBegun.kind: self._begun,
            ToolQueried.kind: self._queried,
            ToolEnded.kind: self._ended,
        }

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        self.cancelled(seq, event.body)
        if isinstance(event.body, Use) and event.body.id not in self.open:
            self.open[event.body.id] = OpenCall(seq, event.sender, event.deadline_ms)

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        self.stopped(seq, event.body)
        if isinstance(event.body, Used):
            self.told(seq, "Used", event.body.id, event.to)

    def _begun(self, seq: int, event: Event) -> None:
        assert isinstance(event, ToolBegun)
        call = self.known(seq, event.task, f"calls {event.tool}")
        if call is None:
            return
        if call.attempt and event.effect in ONCE and not call.absent:
            what = f"record {seq} calls {event.tool} ({event.effect}) again for {event.task}, after record {call.begun}"
            self.found(seq, what, call.begun)
        elif event.attempt != call.attempt + 1:
            self.found(seq, f"record {seq} is attempt {event.attempt} for {event.task}, after attempt {call.attempt}", call.begun)
        call.attempt, call.begun, call.absent = event.attempt, seq, False

    def _queried(self, seq: int, event: Event) -> None:
        assert isinstance(event, ToolQueried)
        if call := self.known(seq, event.task, "asks whether it happened"):
            call.absent = not event.found

    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, ToolEnded)
        if call := self.known(seq, event.task, "is one more end"):
            self.over(seq, event.task, "Used", call.peer)

    def under_way(self) -> dict[str, int]:
        """Open uses."""
        return {"uses": len(self.open)}
