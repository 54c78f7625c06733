"""Approvals: what a policy wants approved is done with one alone, given for that call by whom it may be, and used once. Pure.

department   asked → referred* → decided, once | over          decided (approved) → used, once → the effect's intent
Mai          raised → voted … the last word and its message | closed
"""

from mai.agents.approval_messages import Approval, Decided, Word
from mai.agents.approval_records import ApprovalAsked, ApprovalDecided, ApprovalExpired, ApprovalReferred, ApprovalUsed
from mai.agents.events import EffectIntent, Ended, Event, Hopped, MessageRefused, ProcessStarted, Received, Sent
from mai.agents.judging import PolicyJudged
from mai.agents.markers import marked
from mai.agents.pleas import arguments_of, binding, digest_of
from mai.daemon.invariants import End, Handler, Invariant, Notes
from mai.daemon.pending import ApprovalClosed, ApprovalPassed, ApprovalRaised, ApprovalVoted

WAITS = ("board", "person")  # verdicts
STILL = ("board", "person")  # where an approval is that nobody has decided about


class Asked:
    """One approval of a department's."""

    __slots__ = ("at", "by", "event", "eyes", "seq", "word")

    def __init__(self, seq: int, event: ApprovalAsked) -> None:
        self.seq, self.event, self.at = seq, event, event.verdict
        self.eyes = event.persons
        self.word = ""  # the board's
        self.by: tuple[str, ...] = ()  # who has decided it


class Pleas(Invariant):
    """The approvals of one department."""

    law = "approvals"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.asked: dict[str, Asked] = {}  # by id
        self.of_task: dict[str, list[str]] = {}  # open task -> its approvals
        self.judged: dict[str, dict[int, tuple[int, PolicyJudged]]] = {}  # open task -> the last verdict on each of its steps
        self.boards: dict[str, str] = {}  # open task of a board -> the approval that it decides about
        self.organisation = ""

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            ProcessStarted.kind: self._started,
            PolicyJudged.kind: self._judged,
            ApprovalAsked.kind: self._asked,
            Hopped.kind: self._hopped,
            Ended.kind: self._ended,
            ApprovalReferred.kind: self._referred,
            ApprovalDecided.kind: self._decided,
            ApprovalExpired.kind: self._expired,
            ApprovalUsed.kind: self._used,
            EffectIntent.kind: self._intent,
            Received.kind: self._received,
            Sent.kind: self._sent,
        }

    def _started(self, seq: int, event: Event) -> None:
        assert isinstance(event, ProcessStarted)
        self.organisation = event.organisation

    def _judged(self, seq: int, event: Event) -> None:
        assert isinstance(event, PolicyJudged)
        self.judged.setdefault(event.task, {})[event.n] = seq, event

    def _asked(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalAsked)
        if before := self.asked.get(event.id):
            self.found(seq, f"record {seq} asks again for the approval {event.id[:16]}", before.seq)
        whole = not marked(event.given)  # it was erased
        bound = event.id == binding(event, f"{self.process}/{event.agent}")
        if whole and not (bound and event.arguments == arguments_of(event.call, event.given)):
            self.found(seq, f"record {seq}: the approval {event.id[:16]} is not bound to the call of {event.name} that it is of")
        if event.organisation != self.organisation:
            self.found(seq, f"record {seq} asks for an approval under another organisation than that of its process")
        self.asked[event.id] = Asked(seq, event)
        self.of_task.setdefault(event.task, []).append(event.id)

    # -- who decides
    def _hopped(self, seq: int, event: Event) -> None:
        assert isinstance(event, Hopped)
        if event.approves and event.parent:  # else Mai asks
            self.boards[event.task] = event.approves
            if event.approves not in self.asked or self.asked[event.approves].event.agent == event.agent:
                self.found(
                    seq, f"record {seq} asks {event.agent} about the approval {event.approves[:16]}, which it may not decide"
                )

    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, Ended)
        self.judged.pop(event.task, None)
        for ident in self.of_task.pop(event.task, ()):
            if (left := self.asked.pop(ident)).at in STILL:
                self.found(seq, f"record {seq} ends {event.task}, and its approval {ident[:16]} is not over", left.seq)
        ident = self.boards.pop(event.task, "")
        if ident and (one := self.asked.get(ident)) and one.at == "board":
            one.word = str(event.value.get("decision", "")) if event.state == "answered" else ""
            self.dues.owe(("board", ident), seq, f"the board has said what it says of {ident[:16]}, and nothing follows")

    def _referred(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalReferred)
        self.dues.settle(("board", event.id))
        if (one := self._open(seq, event.id, "gives it to a person", "board")) is None:
            return
        if event.how == "approved" and one.word != "approve":
            self.found(seq, f"record {seq} counts a board for {event.id[:16]} that has said {one.word!r}", one.seq)
        one.at = "person"
        self.dues.owe(("asks", event.id), seq, f"{event.id[:16]} is left to a person, and Mai is not told")

    def _decided(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalDecided)
        self.dues.settle(("said", event.id))
        self.dues.settle(("board", event.id))
        if event.late:
            return
        where = "person" if event.who == "person" else ""
        if (one := self._open(seq, event.id, "decides it", where)) is None:
            return
        if event.approved and event.who not in ("board", "person"):
            self.found(seq, f"record {seq} approves {event.id[:16]}, and nobody has: the word is {event.who!r}")
        if event.approved and event.who == "board" and one.word != "approve" and not marked(one.word):
            self.found(seq, f"record {seq} approves {event.id[:16]} in the name of a board that has said {one.word!r}", one.seq)
        if event.approved and f"{self.process}/{one.event.agent}" in event.by:
            self.found(seq, f"record {seq} approves {event.id[:16]} by the agent that asks for it", one.seq)
        if event.approved and len(set(event.by)) < one.eyes:
            self.found(seq, f"record {seq} approves {event.id[:16]} by {len(set(event.by))} of {one.eyes}", one.seq)
        one.at, one.by = "approved" if event.approved else "over", event.by

    def _expired(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalExpired)
        self.dues.settle(("board", event.id))
        if one := self._open(seq, event.id, "says that it is over", "", (*STILL, "approved")):
            if one.at == "person":
                self.dues.owe(("over", event.id), seq, f"{event.id[:16]} is over, and Mai is not told that nobody waits")
            one.at = "over"

    def _open(self, seq: int, ident: str, what: str, where: str, at: tuple[str, ...] = STILL) -> Asked | None:
        one = self.asked.get(ident)
        if one is None:
            self.found(seq, f"record {seq} {what}: nobody has asked for the approval {ident[:16]}")
        elif one.at not in ((where,) if where else at):
            self.found(seq, f"record {seq} {what}: the approval {ident[:16]} is {one.at}", one.seq)
            return None
        return one

    # -- its use
    def _used(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalUsed)
        one = self.asked.get(event.id)
        if one is None or one.at != "approved":
            how = f"is {one.at}" if one else "was not asked for"
            self.found(seq, f"record {seq} uses the approval {event.id[:16]}, which {how}", one.seq if one else 0)
            return
        asked = one.event
        if (asked.task, asked.n, asked.agent, asked.arguments) != (event.task, event.n, event.agent, event.arguments):
            self.found(
                seq, f"record {seq} uses the approval {event.id[:16]} for another call than that of record {one.seq}", one.seq
            )
        if asked.organisation != self.organisation:
            self.found(
                seq, f"record {seq} uses the approval {event.id[:16]}, which was given under another organisation", one.seq
            )
        one.at = "used"

    def _intent(self, seq: int, event: Event) -> None:
        assert isinstance(event, EffectIntent)
        judged = self.judged.get(event.task, {}).get(event.n)
        one = self.asked.get(event.approval) if event.approval else None
        if judged and judged[1].verdict in WAITS and (one is None or one.at != "used"):
            what = f"record {seq} is the intent of {event.key}, which record {judged[0]} gives to the {judged[1].verdict}"
            self.found(seq, f"{what}, and no approval of it was used", judged[0])
        elif event.approval and (one is None or (one.event.task, one.event.n) != (event.task, event.n) or one.at != "used"):
            self.found(seq, f"record {seq} names the approval {event.approval[:16]}, which is not that of its step")
        elif one and not marked(event.given) and one.event.arguments != digest_of(event.given):
            self.found(seq, f"record {seq} calls {event.tool} with another input than record {one.seq} has asked for", one.seq)

    # -- Mai
    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        if isinstance(event.body, Decided):
            self.dues.owe(("said", event.body.id), seq, f"persons have decided {event.body.id[:16]}, and nothing says so")

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        if isinstance(event.body, Approval):
            self.dues.settle(("over" if event.body.over else "asks", event.body.id))
        elif isinstance(word := getattr(event.body, "word", None), Word):
            one = self.asked.get(word.id)
            if one is None or one.at != "used" or one.by != word.by:
                what = f"record {seq} says that {' and '.join(word.by)} approves what goes to Mai"
                self.found(seq, f"{what}, and that is not on record of {word.id[:16]}", one.seq if one else 0)

    def close(self, end: End) -> None:
        """Nobody waits for an approval, if all is at rest, or long after its time."""
        super().close(end)
        for ident, one in self.asked.items():
            if one.at in STILL:
                self.left_open(end, one.seq, f"the approval {ident[:16]}", one.event.expires_ms)

    def under_way(self) -> dict[str, int]:
        """Calls that wait."""
        return {"approvals": sum(one.at in STILL for one in self.asked.values())}


class Votes(Invariant):
    """What persons say, at Mai."""

    law = "approvals"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.open: dict[str, tuple[int, ApprovalRaised, list[int]]] = {}  # by id: the record, and who has approved
        self.given: dict[str, set[str]] = {}  # open request -> what persons have approved and has not passed
        self.vouched: dict[str, dict[str, int]] = {}  # open request -> what boards have approved and has passed: the record

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            MessageRefused.kind: self._refused,
            ApprovalRaised.kind: self._raised,
            ApprovalVoted.kind: self._voted,
            ApprovalClosed.kind: self._closed,
            ApprovalPassed.kind: self._passed,
            ApprovalDecided.kind: self._settled,
            "request.ended": self._request_ended,
            Sent.kind: self._sent,
        }

    def _passed(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalPassed)
        if event.by:
            self._vouched(seq, event)
        elif event.approval not in self.given.get(event.request, ()):
            self.found(
                seq, f"record {seq} lets {event.task} pass by {event.approval[:16]}, which no person has given, or was used"
            )
        else:
            self.given[event.request].discard(event.approval)

    def _vouched(self, seq: int, event: ApprovalPassed) -> None:
        if before := self.vouched.setdefault(event.request, {}).get(event.approval):
            self.found(seq, f"record {seq} lets {event.task} pass by {event.approval[:16]}, which was used", before)
        self.vouched[event.request][event.approval] = seq

    def _request_ended(self, seq: int, event: Event) -> None:
        self.given.pop(str(getattr(event, "request", "")), None)
        self.vouched.pop(str(getattr(event, "request", "")), None)

    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        body = event.body
        if isinstance(body, Approval) and not body.over and body.id not in self.open:
            self.dues.owe(
                ("raised", body.id, event.sender), seq, f"{event.sender} wants {body.id[:16]} approved: nobody notes it"
            )
        elif isinstance(body, Approval) and body.over and body.id in self.open:
            self.dues.owe(("closed", body.id, event.sender), seq, f"{event.sender} needs {body.id[:16]} no more: nobody notes it")

    def _refused(self, seq: int, event: Event) -> None:
        assert isinstance(event, MessageRefused)
        self.dues.drop(lambda key: key[0] in ("raised", "closed") and key[2] == event.peer)

    def _raised(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalRaised)
        ident = event.approval.id
        if event.process != self.process and not self.dues.settle(("raised", ident, event.process)):
            self.found(seq, f"record {seq} notes the approval {ident[:16]}, and nobody has just asked for it")
        self.open[ident] = seq, event, []

    def _voted(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalVoted)
        known = self.open.get(event.approval)
        if known is None:
            self.found(seq, f"record {seq} decides {event.approval[:16]}, which does not wait, or waits no more")
            return
        before, raised, by = known
        if event.approved and event.uid == raised.uid:
            self.found(seq, f"record {seq}: {event.approval[:16]} is approved by the user who has made its request", before)
        if event.approved and event.uid in by:
            self.found(seq, f"record {seq}: {event.approval[:16]} is approved twice by the user {event.uid}", before)
        by += [event.uid] if event.approved else []
        if event.last != (not event.approved or len(set(by)) >= raised.approval.persons):
            count = f"{len(set(by))} of {raised.approval.persons}"
            self.found(seq, f"record {seq}: {event.approval[:16]} is {'' if event.last else 'not '}decided by {count}", before)
        if event.last and event.approved:
            self.given.setdefault(event.request, set()).add(event.approval)
        if event.last:
            del self.open[event.approval]
            self.dues.owe(("Decided", event.approval), seq, f"{event.approval[:16]} is decided, and {raised.process} is not told")

    def _settled(self, seq: int, event: Event) -> None:
        """What the client asks for is Mai's own to decide about."""
        assert isinstance(event, ApprovalDecided)
        if event.who == "person" and not self.dues.settle(("Decided", event.id)):
            self.found(seq, f"record {seq} decides {event.id[:16]} in the name of persons, and nobody has just said so")

    def _closed(self, seq: int, event: Event) -> None:
        assert isinstance(event, ApprovalClosed)
        known = self.open.pop(event.approval, None)
        if known is None:
            self.found(seq, f"record {seq} closes {event.approval[:16]}, which does not wait")
        else:
            self.dues.settle(("closed", event.approval, known[1].process))

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        body = event.body
        if isinstance(body, Decided) and not self.dues.settle(("Decided", body.id)):
            refused = self.dues.settle(("raised", body.id, event.to))
            if body.approved or not refused:
                self.found(seq, f"record {seq} says to {event.to} that {body.id[:16]} is decided, and nobody has just done so")

    def close(self, end: End) -> None:
        """Nothing waits, if all is at rest, or long after its time."""
        super().close(end)
        for ident, (seq, raised, _) in self.open.items():
            self.left_open(end, seq, f"the approval {ident[:16]}", raised.approval.expires_ms)

    def under_way(self) -> dict[str, int]:
        """Calls that wait for persons."""
        return {"approvals at Mai": len(self.open)}
