"""Approvals of what the client asks for: a part that a policy wants approved goes out with one alone, and once. Pure.

policy.judged (board, person) → approval.asked → referred* → decided, once | over
decided (approved) → used, then the task
"""

from mai.agents.approval_messages import Consult, Opinion
from mai.agents.approval_records import ApprovalAsked, ApprovalDecided, ApprovalExpired, ApprovalReferred, ApprovalUsed
from mai.agents.events import Event, MessageRefused, Received, Sent
from mai.agents.judging import PolicyJudged
from mai.agents.markers import marked
from mai.agents.messages import Task
from mai.agents.pleas import arguments_of, binding, digest_of
from mai.daemon.desk import first, origin
from mai.daemon.invariants import Handler, Invariant, Notes
from mai.daemon.pending import ApprovalRaised, ApprovalVoted, asked_of
from mai.daemon.policing import CLIENT, WAITS


class Plea:
    """One approval of a part."""

    __slots__ = ("at", "by", "event", "eyes", "seq", "word")

    def __init__(self, seq: int, event: ApprovalAsked) -> None:
        self.seq, self.event, self.at, self.eyes = seq, event, event.verdict, event.persons
        self.word = ""  # the board's
        self.by: set[str] = set()  # users who have approved


class AskedFirst(Invariant):
    """The parts of one client's requests that wait, or waited."""

    law = "approvals"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.asked: dict[str, dict[str, Plea]] = {}  # open request -> part -> its last approval

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            PolicyJudged.kind: self._judged,
            ApprovalAsked.kind: self._asked,
            Received.kind: self._received,
            MessageRefused.kind: self._refused,
            ApprovalReferred.kind: self._referred,
            ApprovalRaised.kind: self._raised,
            ApprovalVoted.kind: self._voted,
            ApprovalDecided.kind: self._decided,
            ApprovalExpired.kind: self._expired,
            ApprovalUsed.kind: self._used,
            Sent.kind: self._sent,
            "request.ended": self._ended,
        }

    def _of(self, task: str) -> Plea | None:
        return self.asked.get(task.rpartition("/")[0], {}).get(task)

    def _judged(self, seq: int, event: Event) -> None:
        assert isinstance(event, PolicyJudged)
        if event.agent == f"{self.client}/{CLIENT}/{CLIENT}" and event.verdict in WAITS and first(event.task) == event.task:
            what = f"record {seq} gives {event.task} to the {event.verdict}, and nobody is asked"
            self.dues.owe(("asked", event.task), seq, what)

    def _asked(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalAsked)
        self.dues.settle(("asked", event.task))
        bound = event.id == binding(event, f"{self.client}/{CLIENT}/{CLIENT}")
        if not marked(event.given) and not (bound and event.arguments == arguments_of("ask", event.given)):
            self.found(seq, f"record {seq}: the approval {event.id[:16]} is not bound to the ask for {event.name} that it is of")
        self.asked.setdefault(event.request, {})[event.task] = Plea(seq, event)
        self.dues.owe(("at", event.task), seq, f"{event.task} waits for an approval, and neither a board nor persons are asked")

    # -- who decides
    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        if isinstance(event.body, Opinion):
            self.dues.owe(
                ("opinion", event.sender), seq, f"{event.sender} says something of {event.body.id[:16]}: nobody notes it"
            )
            one = self._of(asked_of(event.body.task))
            if one and one.event.id == event.body.id and event.sender == f"{self.client}/{one.event.name.partition('.')[0]}":
                one.word = event.body.word

    def _refused(self, seq: int, event: Event) -> None:
        assert isinstance(event, MessageRefused)
        self.dues.settle(("opinion", event.peer))

    def _referred(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalReferred)
        if (one := self._open(seq, event.task, event.id, ("board",), "gives it to a person")) is None:
            return
        self.dues.settle(("opinion", f"{self.client}/{one.event.name.partition('.')[0]}"))
        if event.how == "approved" and one.word != "approve":
            self.found(seq, f"record {seq} counts a board for {event.id[:16]} that has said {one.word!r}", one.seq)
        one.at = "person"
        self.dues.settle(("at", event.task))
        self.dues.owe(("at", event.task), seq, f"{event.task} is left to a person, and nobody is asked")

    def _raised(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalRaised)
        if event.process == self.process:
            self.dues.settle(("at", event.task))

    def _voted(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalVoted)
        if (one := self._of(event.task)) and one.event.id == event.approval and event.approved:
            one.by.add(str(event.uid))

    def _decided(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalDecided)
        for name in {one.rpartition("/")[0] for one in event.by}:
            self.dues.settle(("opinion", name))
        if event.late:
            return
        where = {"board": ("board",), "person": ("person",)}.get(event.who, WAITS)
        if (one := self._open(seq, event.task, event.id, where, "decides it")) is None:
            return
        self.dues.settle(("at", event.task))
        self.dues.settle(("opinion", f"{self.client}/{one.event.name.partition('.')[0]}"))
        if event.approved:
            eyes = len(one.by) + (one.word == "approve")
            wrong = {"board": one.word != "approve", "person": not one.by}.get(event.who, True)
            if wrong or eyes < one.eyes:
                self.found(
                    seq, f"record {seq} approves {event.id[:16]} in the name of the {event.who}: {eyes} of {one.eyes}", one.seq
                )
        one.at = "approved" if event.approved else "over"

    def _expired(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalExpired)
        if one := self._open(seq, event.task, event.id, (*WAITS, "approved"), "says that it is over"):
            one.at = "over"
            self.dues.settle(("at", event.task))

    def _used(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalUsed)
        if one := self._open(seq, event.task, event.id, ("approved",), "uses it"):
            one.at = "used"

    def _open(self, seq: int, task: str, ident: str, at: tuple[str, ...], what: str) -> Plea | None:
        one = self._of(task)
        if one is None or one.event.id != ident or one.at not in at:
            how = f"is {one.at}" if one and one.event.id == ident else "was not asked for"
            self.found(seq, f"record {seq} {what}: the approval {ident[:16]} {how}", one.seq if one else 0)
            return None
        return one

    # -- what goes out
    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        body = event.body
        if isinstance(body, Consult):
            self.dues.settle(("at", asked_of(body.task)))
        if not isinstance(body, Task) or origin(body.task) or (one := self._of(first(body.task))) is None:
            return
        if one.at not in ("used", "over"):
            self.found(seq, f"record {seq} sends {body.task}, whose approval is {one.at}", one.seq)
        elif one.at == "used" and body.task == first(body.task):
            given = digest_of({"to": body.contract, "text": body.text, "input": body.input})
            if given != one.event.arguments and not marked([body.text, body.input]):
                self.found(seq, f"record {seq} sends {body.task} with another input than record {one.seq} has asked for", one.seq)

    def _ended(self, seq: int, event: Event) -> None:
        request = str(getattr(event, "request", ""))
        for task, one in self.asked.pop(request, {}).items():
            if one.at in WAITS:
                self.found(seq, f"record {seq} ends {request}, and the approval of {task} is not over", one.seq)

    def under_way(self) -> dict[str, int]:
        """Parts that wait."""
        return {"approvals of asks": sum(one.at in WAITS for parts in self.asked.values() for one in parts.values())}
