"""Escalations: each goes up once with all that was tried, a person is asked once, answers once, and that answer comes down. Pure.

a department: escalated → a hop to who is above, or Escalate to Mai → one Ruled, or Withdrawn → the step's outcome, or the end
Mai: Escalate → escalation.raised and request.pending, or Ruled at once → escalation.answered | escalation.ended → one Ruled
     a result that she gives to a person herself → the same → the end of that task, or of its request
"""

from mai.agents.escalating import MOST_TRIED, UP, EscalationParked
from mai.agents.escalation_messages import Escalate, Parked, Plea, Ruled, Withdrawn
from mai.agents.events import Ended, Escalated, Event, Hopped, MessageRefused, Received, Sent, Stepped
from mai.agents.markers import marked
from mai.agents.triggers import TO
from mai.daemon.escalations import EscalationAnswered, EscalationEnded, EscalationRaised, RequestPending
from mai.daemon.invariants import End, Handler, Ids, Invariant, Notes
from mai.daemon.records import ContractEnded, PartEnded, RequestEnded, RequestPlanned
from mai.daemon.resting import AnswerHeld, AnswerReturned

ENDS = (PartEnded.kind, ContractEnded.kind, AnswerHeld.kind, AnswerReturned.kind)  # what a person's answer to Mai leads to


class OpenEscalation:
    """A question to a person that has no answer yet."""

    __slots__ = ("due_ms", "process", "request", "seq")

    def __init__(self, seq: int, process: str, request: str, due_ms: int) -> None:
        self.seq, self.process, self.request, self.due_ms = seq, process, request, due_ms


class Asked(Invariant):
    """Mai's half."""

    law = "escalations"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.open: dict[str, OpenEscalation] = {}
        self.told: dict[str, Escalate] = {}  # as the department told it, until it is on record
        self.saying: dict[str, tuple[str, str, str]] = {}  # what a Ruled has to say: state, text, by
        self.said: dict[str, tuple[str, str, str]] = {}  # the same of a task of hers
        self.named: dict[str, str] = {}  # whom a person has named for a request
        self.raised = Ids()

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            Sent.kind: self._sent,
            MessageRefused.kind: self._refused,
            EscalationRaised.kind: self._raised,
            RequestPending.kind: self._pending,
            EscalationAnswered.kind: self._over,
            EscalationEnded.kind: self._over,
            RequestEnded.kind: self._request_ended,
            **dict.fromkeys(ENDS, self._ends),
            RequestPlanned.kind: self._planned,
        }

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        if isinstance(body := event.body, Escalate) and body.id not in self.open:
            self.told[body.id] = body
            self.dues.owe(("raised", body.id, event.sender), seq, f"{event.sender} escalates {body.id}, and no person is asked")

    def _refused(self, seq: int, event: Event) -> None:
        assert isinstance(event, MessageRefused)
        self.dues.drop(lambda key: key[0] == "raised" and key[2] == event.peer)

    def _raised(self, seq: int, event: Event) -> None:
        assert isinstance(event, EscalationRaised)
        if event.process == self.process:
            self._hers(seq, event)
        elif not self.dues.settle(("raised", event.id, event.process)):
            self.found(
                seq,
                f"record {seq} asks a person about {event.id}, and nobody has just escalated it",
                self.raised.seq_of(event.id),
            )
        elif (told := self.told.pop(event.id, None)) and told != event.body:
            self.found(seq, f"record {seq} asks a person other than {event.process} has said of {event.id}")
        if not event.body.plea.tried:
            self.found(seq, f"record {seq} asks a person about {event.id}, and does not say what was tried")
        if event.due_ms <= 0:
            self.found(seq, f"record {seq} parks {event.id} without a deadline")
        self.raised.add(event.id, seq)
        self.open[event.id] = OpenEscalation(seq, event.process, event.request, event.due_ms)
        self.dues.owe(("pending", event.id), seq, f"{event.id} is with a person, and its request does not know")

    def _hers(self, seq: int, event: EscalationRaised) -> None:
        """She asks herself: about a task of hers, with what she tells without an answer, or about whom a request is for."""
        if event.held is None and event.task == event.request:
            return
        if event.held is None or event.held.task != event.task or event.held.state == "answered":
            self.found(seq, f"record {seq} asks a person about {event.id} without a result that it could stand for")

    def _planned(self, seq: int, event: Event) -> None:
        assert isinstance(event, RequestPlanned)
        if self.dues.settle(("over", event.request)):
            state, _, by = self.said.pop(event.request)
            to, why = [part.department for part in event.parts], event.parts[0].why if event.parts else ""
            named = self.named.pop(event.request, "")
            otherwise = ([named] != to and not marked(named)) or (by not in why and not marked(why))
            if (state == "answered") != bool(to) or (to and otherwise):
                self.found(seq, f"record {seq} plans {event.request} otherwise than a person has said")

    def _ends(self, seq: int, event: Event) -> None:
        task = str(getattr(event, "task", ""))
        if not self.dues.settle(("over", task)):
            return
        state, text, by = self.said.pop(task)
        self.named.pop(task, None)
        told: tuple[str, ...] = (state,)
        if isinstance(event, PartEnded):
            told = event.answer.state, event.answer.answer, event.answer.by
        elif isinstance(event, ContractEnded):
            told = (event.state,)
        if state != "expired" and told != (state, text, by)[: len(told)]:
            self.found(seq, f"record {seq} is other than what a person has said of {task}")

    def _pending(self, seq: int, event: Event) -> None:
        assert isinstance(event, RequestPending)
        if not self.dues.settle(("pending", event.id)) or not event.owner:
            self.found(seq, f"record {seq} says who has {event.id} now, and nobody has just got it")

    def _over(self, seq: int, event: Event) -> None:
        assert isinstance(event, EscalationAnswered | EscalationEnded)
        known = self.open.pop(event.id, None)
        if known is None:
            self.found(
                seq,
                f"record {seq} ends {event.id}, which does not, or no longer, wait for a person",
                self.raised.seq_of(event.id),
            )
            return
        if event.state == "withdrawn":
            return
        text, by = (event.text, event.by) if isinstance(event, EscalationAnswered) else ("", f"{self.client}/mai")
        if known.process == self.process:
            self.said[event.task] = (event.state, text, by)
            self.named[event.task] = str(event.value.get(TO, "")) if isinstance(event, EscalationAnswered) else ""
            self.dues.owe(("over", event.task), seq, f"{event.id} is {event.state}, and its task goes nowhere")
            return
        self.saying[event.id] = (event.state, text, by)
        self.dues.owe(("Ruled", event.id, known.process), seq, f"{event.id} is {event.state}, and {known.process} is not told")

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        body = event.body
        if not isinstance(body, Ruled):
            return
        if self.dues.settle(("Ruled", body.id, event.to)):
            if self.saying.pop(body.id) != (body.state, body.text, body.by):
                self.found(seq, f"record {seq} tells {event.to} other of {body.id} than a person has said")
        elif not self.dues.settle(("raised", body.id, event.to)):
            self.found(seq, f"record {seq} tells {event.to} what became of {body.id}, and nobody has just said that")
        else:
            self.told.pop(body.id, None)
        if not body.id.startswith(body.task + UP):
            self.found(seq, f"record {seq} gives the answer to {body.id} to the task {body.task}")

    def _request_ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, RequestEnded)
        for ident in [ident for ident, one in self.open.items() if one.request == event.request]:
            del self.open[ident]
        for task in [
            task for task, said in self.said.items() if said[0] == "expired" and task.partition("/")[0] == event.request
        ]:
            self.dues.settle(("over", task))  # the whole was over as well
            del self.said[task]

    def close(self, end: End) -> None:
        """Nothing is owed, nothing waits for a person beyond its time."""
        super().close(end)
        for first, seq in self.raised.twice():
            self.found(seq, f"record {seq} asks a person what record {first} has asked", first)
        for ident, one in self.open.items():
            self.left_open(end, one.seq, f"the escalation {ident}", one.due_ms)

    def under_way(self) -> dict[str, int]:
        """Questions to persons."""
        return {"escalations": len(self.open)}


class Climbed(Invariant):
    """A department's half."""

    law = "escalations"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.pleas: dict[str, Plea | None] = {}  # of open tasks
        self.waiting: dict[str, str] = {}  # escalations at Mai -> their tasks
        self.sent = Ids()
        self.answers: dict[tuple[str, str], Ruled] = {}  # what the outcome of a step, or an end, has to say
        self.parents: dict[str, str] = {}  # of open tasks
        self.unsure: dict[str, str] = {}  # tasks that were in doubt -> whom those above have named

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            Sent.kind: self._sent,
            Hopped.kind: self._hopped,
            Escalated.kind: self._escalated,
            Stepped.kind: self._stepped,
            Ended.kind: self._ended,
            EscalationParked.kind: self._parked,
        }

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        match event.body:
            case Ruled() as body if body.id in self.waiting:
                task = self.waiting.pop(body.id)
                n = body.id.rpartition(UP)[2]
                self.answers[task, n] = body
                self.dues.owe(("ruled", task, n), seq, f"{body.id} was answered, and nothing comes of it")
            case Parked(task=task, id=ident) if task in self.pleas:
                self.dues.owe(("parked", task, ident), seq, f"{task} waits for a person, and has no more time for it")

    def _parked(self, seq: int, event: Event) -> None:
        assert isinstance(event, EscalationParked)
        if not self.dues.settle(("parked", event.task, event.id)):
            self.found(seq, f"record {seq} gives {event.task} more time for {event.id}, and nobody has just said so")

    def _hopped(self, seq: int, event: Event) -> None:
        assert isinstance(event, Hopped)
        self.pleas[event.task], before = event.plea, self.pleas.get(event.parent)
        self.parents[event.task] = event.parent
        if (name := self.unsure.get(event.parent)) and name not in event.rule and not marked([name, event.rule]):
            self.found(seq, f"record {seq} hands {event.parent} on, and not to {name}, whom it is for")
        if event.plea and self.dues.settle(("up", event.parent)):
            self._whole(seq, event.parent, event.plea, event.sender)
        elif before and event.plea is None and not event.step:
            self.found(seq, f"record {seq} hands {event.parent} on, and does not say that it was given up")

    def _whole(self, seq: int, task: str, plea: Plea, agent: str) -> None:
        """Who hands an escalation up tells all that he was told, and adds what he knows."""
        before = known.tried if (known := self.pleas.get(task)) else ()
        added = len(plea.tried) > len(before) or len(before) == MOST_TRIED
        kept = added and (plea.tried[: len(before)] == before or len(plea.tried) == MOST_TRIED)
        if (
            not kept
            or not plea.tried
            or plea.tried[-1].who.rpartition("/")[2] != agent
            or len(plea.tried) <= len(before) < MOST_TRIED
        ):
            self.found(seq, f"record {seq} hands {task} up, and does not say all that was tried")

    def _escalated(self, seq: int, event: Event) -> None:
        assert isinstance(event, Escalated)
        if not event.cause:
            return  # as it was once: the end of the task
        if event.cause == "doubt" and self.pleas.get(event.task) is None:
            self.unsure[event.task] = ""
        key = ("Escalate", f"{event.task}{UP}{event.n}", event.agent) if event.to == "mai" else ("up", event.task)
        self.dues.owe(key, seq, f"{event.agent} gives up {event.task}, and {event.to} does not get it")

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        match event.body:
            case Escalate() as body:
                agent = body.plea.tried[-1].who.rpartition("/")[2] if body.plea.tried else ""
                if not self.dues.settle(("Escalate", body.id, agent)):
                    self.found(
                        seq,
                        f"record {seq} escalates {body.id} to a person, and nobody has just given that up",
                        self.sent.seq_of(body.id),
                    )
                self._whole(seq, body.task, body.plea, agent)
                self.sent.add(body.id, seq)
                self.waiting[body.id] = body.task
            case Withdrawn(id=ident) if self.waiting.pop(ident, None) is None:
                self.found(seq, f"record {seq} withdraws {ident}, which is not with a person", self.sent.seq_of(ident))

    def _stepped(self, seq: int, event: Event) -> None:
        assert isinstance(event, Stepped)
        if self.dues.settle(key := ("ruled", event.task, str(event.n))):
            said = self.answers.pop(key[1:])
            if (said.text, said.state == "answered", said.by) != (event.text, not event.refused, event.by):
                self.found(seq, f"record {seq} is other than what a person has answered to {said.id}")

    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, Ended)
        if self.dues.settle(key := ("ruled", event.task, "0")):
            said = self.answers.pop(key[1:])
            if event.state != said.state and not event.breach:
                self.found(seq, f"record {seq} is other than what a person has answered to {said.id}")
        for ident in [ident for ident, task in self.waiting.items() if task == event.task]:
            self.found(seq, f"record {seq} ends {event.task}, and {ident}, for which it waits, is not withdrawn")
            del self.waiting[ident]
        parent, name = self.parents.pop(event.task, ""), event.value.get(TO)
        if parent in self.unsure and event.state == "answered" and isinstance(name, str):
            self.unsure[parent] = name
        self.unsure.pop(event.task, None)
        self.pleas.pop(event.task, None)

    def close(self, end: End) -> None:
        """Nothing is owed, nobody was asked twice."""
        super().close(end)
        for first, seq in self.sent.twice():
            self.found(seq, f"record {seq} escalates to a person what record {first} has escalated", first)
