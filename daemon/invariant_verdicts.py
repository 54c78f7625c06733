"""Mai between her departments: one verdict on each message, nothing goes on without one, each passage ends once. Pure.

Task from a department  → contract.checked, then one Task onwards and later contract.ended and one Result | one Result;
                          a contract with backups is given out in turns (cover.given), each with one Task onwards;
                          one whose reply did not leave once more (reply.breached), with one Task onwards; so one whose
                          reply rests on what has lost (answer.returned); one on what is open waits (answer.held)
Think, Use              → errand.checked, then one onwards and later errand.ended and one answer          | one answer
Remedy                  → remedy.checked, then later remedy.ended and one Remedied                       | one Remedied
Recall … Browse         → one Recalled
Result, Thought, Used   → the end of what is open under that id; refused from who does not have it; else it ended before
"""

from mai.agents.errand_messages import Think, Thought, Use, Used
from mai.agents.events import Event, MessageRefused, Received, ReplyBreached, Sent
from mai.agents.memory_messages import Browse, Forget, Recall, Recalled, Remember
from mai.agents.messages import Result, Task
from mai.agents.order_messages import Remedied, Remedy
from mai.daemon.cases import RemedyChecked, RemedyEnded
from mai.daemon.cover import CoverGiven
from mai.daemon.desk import LONGEST_ID, first, origin
from mai.daemon.held import TaskHeld
from mai.daemon.invariants import End, Handler, Ids, Invariant, Notes
from mai.daemon.records import ContractChecked, ContractEnded, ErrandChecked, ErrandEnded
from mai.daemon.resting import AnswerHeld, AnswerReturned


class OpenCrossing:
    """What Mai has let pass, and what has not come back."""

    __slots__ = ("asking", "deadline_ms", "holder", "ident", "seq")

    def __init__(self, seq: int, asking: str, holder: str, deadline_ms: int) -> None:
        self.seq, self.asking, self.holder, self.deadline_ms = seq, asking, holder, deadline_ms
        self.ident = ""  # its id at the holder's, if it is given out in turns


class Verdicts(Invariant):
    """Passages, errands and the client's memory, as Mai's journal has them."""

    law = "verdicts"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.passages: dict[str, OpenCrossing] = {}
        self.errands: dict[str, OpenCrossing] = {}
        self.remedies: dict[str, OpenCrossing] = {}
        self.held: set[str] = set()  # those that wait for their department
        self.ended = Ids()

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            Sent.kind: self._sent,
            ContractChecked.kind: self._contract,
            ContractEnded.kind: self._contract_ended,
            ErrandChecked.kind: self._errand,
            ErrandEnded.kind: self._errand_ended,
            MessageRefused.kind: self._refused,
            TaskHeld.kind: self._held,
            CoverGiven.kind: self._turn,
            ReplyBreached.kind: self._breached,
            "escalation.raised": self._parked,
            AnswerReturned.kind: self._breached,
            AnswerHeld.kind: self._waits,
            RemedyChecked.kind: self._remedy,
            RemedyEnded.kind: self._remedy_ended,
        }

    # -- what comes in asks for a verdict
    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        peer = event.sender
        match event.body:
            case Task(task=ident) if ident not in self.passages:
                self.dues.owe(("contract", ident), seq, f"{peer} asks for {ident}, and there is no verdict on it")
            case Think(id=ident) | Use(id=ident) if ident not in self.errands:
                self.dues.owe(("errand", ident), seq, f"{peer} asks for {ident}, and there is no verdict on it")
            case Remedy(id=ident) if ident not in self.remedies and len(ident) <= LONGEST_ID:
                self.dues.owe(("remedy", ident), seq, f"{peer} asks for {ident}, and there is no verdict on it")
            case Recall(id=ident) | Remember(id=ident) | Forget(id=ident) | Browse(id=ident):
                self.dues.owe(("Recalled", ident, peer), seq, f"{peer} asks for {ident}, and is not answered")
            case Result(task=ident) if origin(ident):
                crossing = self.passages.get(first(ident))
                if crossing is None or crossing.ident in ("", ident):  # else another has its turn
                    self._came_back(seq, peer, first(ident), crossing, "contract.ended")
            case Thought(id=ident) | Used(id=ident):
                self._came_back(seq, peer, ident, self.errands.get(ident), "errand.ended")

    def _came_back(self, seq: int, peer: str, ident: str, crossing: OpenCrossing | None, end: str) -> None:
        if crossing is None:
            return  # it has ended meanwhile
        if peer == crossing.holder:
            self.dues.owe((end, ident), seq, f"{peer} has answered {ident}, and it has no end")
        else:
            why = f"{peer} answers {ident}, which {crossing.holder} has, and is not refused"
            self.dues.owe(("refused", peer), seq, why)

    def _parked(self, seq: int, event: Event) -> None:
        """What waits for a person has more time; what came back is kept, if Mai asks him herself."""
        if getattr(event, "held", None) is not None:
            self.dues.settle((ContractEnded.kind, getattr(event, "task", "")))
        for ident, deadline_ms in getattr(event, "more", {}).items():
            if crossing := self.passages.get(ident):
                crossing.deadline_ms = max(crossing.deadline_ms, deadline_ms)

    def _refused(self, seq: int, event: Event) -> None:
        assert isinstance(event, MessageRefused)
        self.dues.settle(("refused", event.peer))

    # -- verdicts and ends
    def _contract(self, seq: int, event: Event) -> None:
        assert isinstance(event, ContractChecked)
        self._asked_for(seq, ("contract", event.task), event.task, self.passages)
        if event.allowed:
            holder = f"{self.client}/{event.contract.partition('.')[0]}"
            self._passes(seq, "Task", event.task, OpenCrossing(seq, event.asking, holder, event.deadline_ms), self.passages)
        else:
            self._goes_back(seq, "Result", event.task, event.asking)

    def _errand(self, seq: int, event: Event) -> None:
        assert isinstance(event, ErrandChecked)
        if event.asking != self.process:  # she asks a model herself, without a message
            self._asked_for(seq, ("errand", event.task), event.task, self.errands)
        if event.allowed:
            onwards = "Think" if event.service == "models" else "Use"
            crossing = OpenCrossing(seq, event.asking, f"{self.client}/{event.service}", event.deadline_ms)
            self._passes(seq, onwards, event.task, crossing, self.errands)
        else:
            self._goes_back(seq, "Thought" if event.service == "models" else "Used", event.task, event.asking)

    def _remedy(self, seq: int, event: Event) -> None:
        assert isinstance(event, RemedyChecked)
        if event.asking != self.process:  # she has a person paged herself
            self._asked_for(seq, ("remedy", event.task), event.task, self.remedies)
        if event.allowed:
            self.remedies[event.task] = OpenCrossing(seq, event.asking, "the watchdog", event.deadline_ms)
        else:
            self._goes_back(seq, "Remedied", event.task, event.asking)

    def _remedy_ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, RemedyEnded)
        crossing = self._over(seq, event.task, self.remedies)
        if crossing and crossing.asking != self.process:
            self._goes_back(seq, "Remedied", event.task, crossing.asking)

    def _asked_for(self, seq: int, due: tuple[str, ...], ident: str, among: dict[str, OpenCrossing]) -> None:
        if self.dues.settle(due):
            return
        before = among[ident].seq if ident in among else self.ended.seq_of(ident)
        why = f"record {before} was the verdict on it" if before else "nobody has just asked for that"
        self.found(seq, f"record {seq} is a verdict on {ident}: {why}", before)

    def _passes(self, seq: int, body: str, ident: str, crossing: OpenCrossing, among: dict[str, OpenCrossing]) -> None:
        among[ident] = crossing
        why = f"{ident} may go on to {crossing.holder}, and does not"
        self.dues.owe((body, ident, crossing.holder), seq, why)

    def _goes_back(self, seq: int, body: str, ident: str, asking: str) -> None:
        self.ended.add(ident, seq)
        self.dues.owe((body, ident, asking), seq, f"{asking} is not told what became of {ident}")

    def _contract_ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, ContractEnded)
        self.dues.settle((event.kind, event.task))
        if crossing := self._over(seq, event.task, self.passages):
            self._goes_back(seq, "Result", event.task, crossing.asking)

    def _errand_ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, ErrandEnded)
        self.dues.settle((event.kind, event.task))
        crossing = self._over(seq, event.task, self.errands)
        if crossing is None:
            return
        if crossing.asking == self.process:
            self.ended.add(event.task, seq)
        else:
            self._goes_back(seq, "Thought" if crossing.holder.endswith("/models") else "Used", event.task, crossing.asking)

    def _turn(self, seq: int, event: Event) -> None:
        """What may pass is given to the contract that was asked for, or to one behind it."""
        assert isinstance(event, CoverGiven)
        if (crossing := self.passages.get(event.task)) is None:
            return
        self.dues.settle(("Task", crossing.ident or event.task, crossing.holder))
        self.dues.settle((ContractEnded.kind, event.task))
        self.held.discard(crossing.ident)
        crossing.holder, crossing.ident = f"{self.client}/{event.contract.partition('.')[0]}", event.ident
        why = f"{event.ident} is given to {event.contract}, and was not sent"
        self.dues.owe(("Task", event.ident, crossing.holder), seq, why)

    def _breached(self, seq: int, event: Event) -> None:
        """What was answered did not leave, and who has it has it once more."""
        assert isinstance(event, ReplyBreached | AnswerReturned)
        crossing = self.passages.get(event.task)
        if crossing is None or not event.again:
            return
        self.dues.settle((ContractEnded.kind, event.task))
        crossing.ident = event.again
        self.dues.owe(
            ("Task", event.again, crossing.holder), seq, f"{crossing.holder} has {event.task} once more, and it was not sent"
        )

    def _waits(self, seq: int, event: Event) -> None:
        """What was answered rests on what is undecided."""
        assert isinstance(event, AnswerHeld)
        self.dues.settle((ContractEnded.kind, event.task))

    def _over(self, seq: int, ident: str, among: dict[str, OpenCrossing]) -> OpenCrossing | None:
        self.held.discard(ident)
        if crossing := among.pop(ident, None):
            self.held.discard(crossing.ident)
            return crossing
        before = self.ended.seq_of(ident)
        why = f"which ended in record {before}" if before else "which was never let pass"
        self.found(seq, f"record {seq} ends {ident}, {why}", before)
        return None

    def _held(self, seq: int, event: Event) -> None:
        """It may go on, and waits for the department."""
        assert isinstance(event, TaskHeld)
        if self.dues.settle(("Task", event.task, event.to)):
            self.held.add(event.task)

    # -- what goes out was owed
    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        match event.body:
            case Task(task=ident) if not origin(ident):
                return  # a part of a request
            case Task(task=ident) | Result(task=ident):
                pass
            case Think(id=ident) | Use(id=ident) | Thought(id=ident) | Used(id=ident) | Recalled(id=ident):
                pass
            case Remedied(id=ident):
                pass
            case _:
                return
        name = type(event.body).__name__
        waited = name == "Task" and ident in self.held
        self.held.discard(ident)
        if not self.dues.settle((name, ident, event.to)) and not waited:
            known = self.passages.get(ident) or self.errands.get(ident)
            before = known.seq if known else self.ended.seq_of(ident)
            what = f"record {seq} sends a {name} for {ident} to {event.to}, and nothing has just called for it"
            self.found(seq, what, before)

    def close(self, end: End) -> None:
        """Nothing is owed, nothing that passed is open long after its deadline."""
        super().close(end)
        for ident, crossing in (*self.passages.items(), *self.errands.items(), *self.remedies.items()):
            self.left_open(end, crossing.seq, f"{ident}, which {crossing.holder} has,", crossing.deadline_ms)

    def under_way(self) -> dict[str, int]:
        """Open passages and errands."""
        return {"passages": len(self.passages), "errands": len(self.errands), "remedies": len(self.remedies)}
