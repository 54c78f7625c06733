"""A client's requests: accepted once, planned at most once, each part sent and ended once, answered once. Pure.

The answer's parts are what the departments have answered, or say why there is nothing; an answer that was given stays. A part
whose contract has backups is given out in turns, each on record before it is sent; only who has its turn may answer it.
"""

from mai.agents.approval_records import ApprovalAsked
from mai.agents.events import Event, MessageRefused, Received, ReplyBreached, Sent
from mai.agents.messages import Result, Task
from mai.daemon.compose import state_of
from mai.daemon.cover import CoverGiven
from mai.daemon.desk import first, origin, tasks
from mai.daemon.escalations import EscalationRaised
from mai.daemon.held import FAILED, DepartmentHeld, TaskHeld, name_of
from mai.daemon.invariant_undoing import named, said
from mai.daemon.invariants import End, Handler, Ids, Invariant, Notes
from mai.daemon.records import PartAnswer, PartEnded, RequestAccepted, RequestEnded, RequestPlanned
from mai.daemon.resting import AnswerHeld, AnswerReturned


class OpenRequest:
    """A request between its acceptance and its answer."""

    __slots__ = ("answers", "cancelled", "deadline_ms", "held", "ident", "planned", "pleads", "sent", "seq", "to", "waiting")

    def __init__(self, seq: int, deadline_ms: int) -> None:
        self.seq, self.deadline_ms = seq, deadline_ms
        self.planned = self.cancelled = 0  # the records that say so
        self.to: dict[str, str] = {}  # part -> the process that has it
        self.ident: dict[str, str] = {}  # part -> its id there
        self.sent: set[str] = set()
        self.held: set[str] = set()  # parts that wait for their department
        self.pleads: set[str] = set()  # parts that wait for an approval
        self.answers: dict[str, tuple[int, PartAnswer]] = {}
        self.waiting: set[str] = set()  # parts whose answer waited for a case, or did not go on for one


class Requests(Invariant):
    """The requests of one client, as Mai's journal has them."""

    law = "requests"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.open: dict[str, OpenRequest] = {}
        self.accepted, self.answered = Ids(), Ids()

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            RequestAccepted.kind: self._accepted,
            RequestPlanned.kind: self._planned,
            "request.cancelled": self._cancelled,
            "request.pending": self._pending,
            EscalationRaised.kind: self._referred,
            "cancel.answered": self._stopped_there,
            PartEnded.kind: self._part_ended,
            RequestEnded.kind: self._ended,
            Sent.kind: self._sent,
            Received.kind: self._received,
            MessageRefused.kind: self._refused,
            TaskHeld.kind: self._held,
            ApprovalAsked.kind: self._waits_for_a_word,
            DepartmentHeld.kind: self._given_up,
            CoverGiven.kind: self._turn,
            ReplyBreached.kind: self._breached,
            AnswerHeld.kind: self._waits,
            AnswerReturned.kind: self._rests,
        }

    def _accepted(self, seq: int, event: Event) -> None:
        assert isinstance(event, RequestAccepted)
        self.accepted.add(event.request, seq)
        self.open[event.request] = OpenRequest(seq, event.deadline_ms)

    def _planned(self, seq: int, event: Event) -> None:
        assert isinstance(event, RequestPlanned)
        request = self._of_open(seq, event.request, "is a plan")
        if request is None:
            return
        if before := request.planned or request.cancelled:
            said = "planned" if request.planned else "cancelled"
            self.found(seq, f"record {seq} plans {event.request}, which was {said} in record {before}", before)
        request.planned = seq
        for part, task in zip(event.parts, tasks(event.request, event.parts), strict=True):
            request.to[task] = f"{self.client}/{part.department}"
            request.ident[task] = task
            self.dues.owe(("part", task), seq, f"{task} is planned for {part.department}, and was not sent")

    def _cancelled(self, seq: int, event: Event) -> None:
        name: str = getattr(event, "request", "")
        request = self._of_open(seq, name, "cancels it")
        if request is not None and request.cancelled:
            self.found(seq, f"record {seq} cancels {name} once more", request.cancelled)
        elif request is not None:
            request.cancelled = seq
            self.dues.owe(("ended", name), seq, f"{name} is cancelled, and has no end")
            for process in getattr(event, "to", ()):
                self.dues.owe(("cancel", name, process), seq, f"{name} is cancelled, and {process} is not told")

    def _stopped_there(self, seq: int, event: Event) -> None:
        if not self.dues.settle(("stopped", name := said(event, "request"), said(event, "process"))):
            self.found(seq, f"record {seq} says that {name} was stopped, and nobody has just said so")

    # -- parts
    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        body = event.body
        if named(body, "Cancel"):
            name = said(body, "request")
            if not self.dues.settle(("cancel", name, event.to)):
                self.found(seq, f"record {seq} tells {event.to} that {name} is cancelled, and nobody has just done that")
        if not isinstance(body, Task) or origin(body.task):
            return
        request, part = self.open.get(body.request), first(body.task)
        waited = request is not None and part in (request.held | request.pleads)
        if not (self.dues.settle(("part", body.task)) or waited) or request is None:
            self.found(
                seq, f"record {seq} sends {body.task} to {event.to}, and no plan has just said so", self._plan(body.request)
            )
            return
        request.held.discard(part)
        request.pleads.discard(part)
        request.sent.add(part)
        if (event.to, body.task) != (request.to[part], request.ident[part]):
            self.found(seq, f"record {seq} sends {body.task} to {event.to}, and it was planned otherwise", request.planned)

    def _held(self, seq: int, event: Event) -> None:
        """A part waits for its department instead of being sent to it."""
        assert isinstance(event, TaskHeld)
        request = self.open.get(event.request)
        if request and (self.dues.settle(("part", event.task)) or event.task in request.pleads):
            request.held.add(first(event.task))
            request.pleads.discard(event.task)

    def _waits_for_a_word(self, seq: int, event: Event) -> None:
        """A part waits for its approval instead of being sent."""
        assert isinstance(event, ApprovalAsked)
        if (request := self.open.get(event.request)) and event.task in request.to:
            self.dues.settle(("part", event.task))
            request.pleads.add(event.task)

    def _turn(self, seq: int, event: Event) -> None:
        """A part is given to the contract that was asked for, or to one behind it."""
        assert isinstance(event, CoverGiven)
        request = self.open.get(event.request)
        if request is None or event.task not in request.to:
            return
        self.dues.settle(("part", request.ident[event.task]))
        self.dues.settle(("answer", event.task))
        request.held.discard(event.task)
        request.pleads.discard(event.task)
        request.to[event.task], request.ident[event.task] = f"{self.client}/{event.contract.partition('.')[0]}", event.ident
        self.dues.owe(("part", event.ident), seq, f"{event.ident} is given to {event.contract}, and was not sent")

    def _breached(self, seq: int, event: Event) -> None:
        """The answer to a part did not leave, and its department has it once more."""
        assert isinstance(event, ReplyBreached)
        request = self.open.get(event.request)
        if request is None or event.task not in request.to or not event.again:
            return
        self.dues.settle(("answer", event.task))
        request.ident[event.task] = event.again
        self.dues.owe(("part", event.again), seq, f"{request.to[event.task]} has {event.task} once more, and it was not sent")

    def _waits(self, seq: int, event: Event) -> None:
        """The answer to a part rests on what is undecided."""
        assert isinstance(event, AnswerHeld)
        request = self.open.get(event.request)
        if request is not None and event.task in request.to:
            self.dues.settle(("answer", event.task))
            request.waiting.add(event.task)

    def _referred(self, seq: int, event: Event) -> None:
        """Mai gives the answer to a part to a person: he has a better one, or it stands."""
        assert isinstance(event, EscalationRaised)
        request = self.open.get(event.request)
        if request is not None and event.held and event.task in request.to:
            self.dues.settle(("answer", event.task))
            request.waiting.add(event.task)

    def _rests(self, seq: int, event: Event) -> None:
        """It rests on what has lost: its department has it once more, or its end says so."""
        assert isinstance(event, AnswerReturned)
        request = self.open.get(event.request)
        if request is None or event.task not in request.to:
            return
        request.answers.pop(event.task, None)
        if not event.again:
            request.waiting.add(event.task)
            return
        self.dues.settle(("answer", event.task))
        request.waiting.discard(event.task)
        request.ident[event.task] = event.again
        self.dues.owe(("part", event.again), seq, f"{request.to[event.task]} has {event.task} once more, and it was not sent")

    def _given_up(self, seq: int, event: Event) -> None:
        """What waits for a department ends when that is given up."""
        assert isinstance(event, DepartmentHeld)
        for request in self.open.values() if event.how == FAILED else ():
            for task in request.held:
                if name_of(request.to[task]) == event.department:
                    self.dues.owe(("answer", task), seq, f"{task} waits for {event.department}, which was given up")
            request.held -= {task for task in request.held if name_of(request.to[task]) == event.department}

    def _plan(self, name: str) -> int:
        return self.open[name].planned if name in self.open else 0

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        body = event.body
        if named(body, "Cancelled"):
            name = said(body, "request")
            self.dues.owe(("stopped", name, event.sender), seq, f"{event.sender} has stopped {name}, and that is not noted")
        request = self.open.get(body.request) if isinstance(body, Result) else None
        part = first(body.task) if isinstance(body, Result) else ""
        if request is None or not isinstance(body, Result) or part not in request.sent or part in request.answers:
            return
        if body.task != request.ident[part]:
            return  # another has its turn
        if event.sender == request.to[part]:
            self.dues.owe(("answer", part), seq, f"{event.sender} has answered {body.task}, and its part has no end")
        else:
            why = f"{event.sender} answers {body.task}, which {request.to[part]} has, and is not refused"
            self.dues.owe(("refused", event.sender), seq, why)

    def _refused(self, seq: int, event: Event) -> None:
        assert isinstance(event, MessageRefused)
        self.dues.settle(("refused", event.peer))
        self.dues.drop(lambda key: key[0] == "stopped" and key[-1] == event.peer)

    def _part_ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, PartEnded)
        request = self._of_open(seq, event.request, f"ends its part {event.task}")
        if request is None:
            return
        due = self.dues.settle(("answer", event.task))
        if event.task in request.answers:
            before = request.answers[event.task][0]
            self.found(seq, f"record {seq} ends {event.task}, which has ended in record {before}", before)
        elif event.task not in request.to:
            self.found(seq, f"record {seq} ends {event.task}, which is no part of {event.request}", request.planned)
        elif due is None and not request.cancelled and event.task not in (request.waiting | request.pleads):
            self.found(seq, f"record {seq} ends {event.task}, and no answer to it has just come", request.planned)
        request.answers.setdefault(event.task, (seq, event.answer))

    # -- the end
    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, RequestEnded)
        request = self._of_open(seq, event.request, "is one more answer")
        if request is None:
            return
        del self.open[event.request]
        self.answered.add(event.request, seq)
        if request.cancelled:
            self._stopped(seq, event, request)
        elif not request.sent:
            for task in request.to:
                self.dues.settle(("part", task))  # a plan that could not be carried out: the answer says why
            self._without_parts(seq, event, request)
        else:
            self._with_parts(seq, event, request)
        if event.parts and event.state != state_of(event.parts):
            self.found(
                seq, f"record {seq} says that {event.request} was {event.state}; of its parts it is {state_of(event.parts)}"
            )

    def _stopped(self, seq: int, event: RequestEnded, request: OpenRequest) -> None:
        self.dues.settle(("ended", event.request))
        if event.state != "refused":
            what = f"record {seq} says that {event.request} was {event.state}, which was cancelled in record {request.cancelled}"
            self.found(seq, what, request.cancelled)

    def _without_parts(self, seq: int, event: RequestEnded, request: OpenRequest) -> None:
        if event.state == "answered":
            self.found(seq, f"record {seq} answers {event.request}, which nobody has worked on", request.seq, request.planned)

    def _with_parts(self, seq: int, event: RequestEnded, request: OpenRequest) -> None:
        if len(event.parts) != len(request.to):
            what = f"record {seq} answers {event.request} with {len(event.parts)} parts, {len(request.to)} were planned"
            self.found(seq, what, request.planned)
            return
        for task, part in zip(request.to, event.parts, strict=True):
            ended = request.answers.get(task)
            if ended and part != ended[1]:
                self.found(seq, f"record {seq} says other of {task} than its end in record {ended[0]}", ended[0])
            elif not ended and part.state == "answered":
                self.found(seq, f"record {seq} says that {task} was answered, and it has no end", request.planned)

    def _pending(self, seq: int, event: Event) -> None:
        """It waits for a person, and has more time."""
        if request := self._of_open(seq, str(getattr(event, "request", "")), "waits for a person"):
            request.deadline_ms = max(request.deadline_ms, getattr(event, "deadline_ms", 0))

    def _of_open(self, seq: int, name: str, what: str) -> OpenRequest | None:
        """The open request that a record is about; that there is none is found."""
        request = self.open.get(name)
        if request is None:
            ended = self.answered.seq_of(name)
            why = f"which ended in record {ended}" if ended else "which was not accepted"
            self.found(seq, f"record {seq} {what} for the request {name}, {why}", ended)
        return request

    def close(self, end: End) -> None:
        """Each was accepted once, nothing is owed, none is open long after its deadline."""
        super().close(end)
        for former, seq in self.accepted.twice():
            self.found(seq, f"record {seq} accepts a request that record {former} has accepted", former)
        for name, request in self.open.items():
            self.left_open(end, request.seq, f"the request {name}", request.deadline_ms)

    def under_way(self) -> dict[str, int]:
        """Open requests."""
        return {"requests": len(self.open)}
