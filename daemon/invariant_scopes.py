"""Data scope: what may not leave a department is kept back, on record, and used by nobody. Pure.

Result with a breach, received → one reply.breached, in the same commit (but for one that nobody waits for)
Result with a breach, sent     → it holds nothing, and only a department sends it, to Mai
reply.breached at Mai          → the task once more, under the id that it names | the end of the passage, or of the part: refused
"""

from mai.agents.events import Ended, Event, Hopped, Received, ReplyBreached, Sent
from mai.agents.messages import Result, Task
from mai.daemon.desk import first
from mai.daemon.held import TaskHeld
from mai.daemon.invariant_tasks import asked_by
from mai.daemon.invariants import Handler, Invariant, Notes
from mai.daemon.records import ContractEnded, PartEnded
from mai.daemon.returning import UNAWAITED


class ScopesAtMai(Invariant):
    """What comes to Mai and goes on from her."""

    law = "scopes"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.refused: dict[str, int] = {}  # task whose answer did not leave -> the record of that, in this commit

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            ReplyBreached.kind: self._breached,
            Sent.kind: self._sent,
            TaskHeld.kind: self._held,
            ContractEnded.kind: self._ended,
            PartEnded.kind: self._ended,
        }

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        body = event.body
        if not isinstance(body, Result) or not body.breach:
            return
        if body.value or body.text:
            self.found(seq, f"record {seq} takes in an answer of {event.sender} that may not leave it")
        if body.breach != UNAWAITED:
            why = f"the answer of {event.sender} to {body.task} may not leave it, and nothing is done about that"
            self.dues.owe(("breached", first(body.task)), seq, why)

    def _breached(self, seq: int, event: Event) -> None:
        assert isinstance(event, ReplyBreached)
        self.dues.settle(("breached", event.task))
        if event.withheld is not None:
            self.found(seq, f"record {seq} holds what {event.process} has to keep for itself")
        if event.again:
            self.dues.owe(
                ("again", event.again), seq, f"the answer to {event.task} goes back to {event.process}, and was not sent"
            )
        else:
            self.refused[event.task] = seq

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        match event.body:
            case Task(task=task):
                self.dues.settle(("again", task))
                self.refused.pop(first(task), None)  # another has its turn
            case Result(breach=breach) if breach:
                self.found(seq, f"record {seq} tells {event.to} by which rule an answer did not leave, which is not for it")

    def _held(self, seq: int, event: Event) -> None:
        """It goes when its department is free."""
        assert isinstance(event, TaskHeld)
        self.dues.settle(("again", event.task))

    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, ContractEnded | PartEnded)
        before = self.refused.pop(event.task, 0)
        state = event.state if isinstance(event, ContractEnded) else event.answer.state
        if before and state == "answered":
            self.found(seq, f"record {seq} answers {event.task}, whose answer did not leave in record {before}", before)


class ScopesInside(Invariant):
    """What a department lets out, and what it takes in."""

    law = "scopes"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.open: set[str] = set()  # tasks

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            ReplyBreached.kind: self._breached,
            Hopped.kind: self._hopped,
            Ended.kind: self._ended,
            Sent.kind: self._sent,
        }

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        body = event.body
        if isinstance(body, Result) and body.breach:
            if body.value or body.text:
                self.found(seq, f"record {seq} takes in an answer that may not leave who has given it")
            if asked_by(body.task)[0] in self.open:
                self.dues.owe(
                    ("breached", body.task), seq, f"the answer to {body.task} may not be used, and that is not on record"
                )

    def _breached(self, seq: int, event: Event) -> None:
        assert isinstance(event, ReplyBreached)
        if self.dues.settle(("breached", event.task)) and event.withheld is not None:
            self.found(seq, f"record {seq} holds what {event.process} has to keep for itself")

    def _hopped(self, seq: int, event: Event) -> None:
        assert isinstance(event, Hopped)
        self.open.add(event.task)

    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, Ended)
        self.open.discard(event.task)
        if event.breach and (event.state == "answered" or event.value or event.text):
            self.found(seq, f"record {seq} ends {event.task} with an answer that may not leave")

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        body = event.body
        if isinstance(body, Result) and (body.value or body.text) and (body.breach or body.state != "answered"):
            self.found(seq, f"record {seq} lets out an answer to {body.task} that may not leave")
