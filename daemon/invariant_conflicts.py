"""Conflicts: a case has one ruling in force or an owner and a deadline, and no answer rests on what is open or lost. Pure.

Claim received → claim.noted | refused           Vote received → case.voted | refused
case.opened, case.reopened, case.appealed → case.asked, with an owner and a deadline, in the same commit; then open
case.ruled, of an open case → the departments of its claims are told
request.ended, contract.ended → what is answered there rests on no claim that is open, or has lost
"""

from typing import Final

from mai.agents.canonical import key
from mai.agents.events import Event, MessageRefused, Received, ReplyBreached, Sent
from mai.daemon.cover import CoverGiven
from mai.daemon.desk import above, tasks
from mai.daemon.dispute import BOARDS, LOST, OPEN, PERSON, RULED, STANDING, WON, Stand
from mai.daemon.dispute_records import (
    CaseAppealed,
    CaseAsked,
    CaseExpired,
    CaseOpened,
    CaseReopened,
    CaseRuled,
    CaseVoted,
    ClaimNoted,
)
from mai.daemon.invariant_undoing import named, said
from mai.daemon.invariants import End, Handler, Invariant, Notes
from mai.daemon.records import ContractEnded, PartAnswer, RequestEnded, RequestPlanned
from mai.daemon.resting import RESTS, AnswerHeld, AnswerReturned

DAY_MS: Final = 86_400_000


class KnownClaim:
    """A claim, as the records so far have it."""

    __slots__ = ("about", "case", "digest", "from_ms", "process", "rests", "seq", "state", "under", "until_ms")

    def __init__(self, seq: int, claim: Stand) -> None:
        self.seq, self.process, self.digest, self.until_ms = seq, claim.process, claim.digest, claim.until_ms
        self.about, self.from_ms = key(claim.subject, claim.attribute), claim.from_ms
        self.state, self.case, self.under, self.rests = claim.state, claim.case, list(claim.under), claim.rests


class KnownCase:
    """A case, as the records so far have it."""

    __slots__ = ("appealed", "claims", "deadline_ms", "owner", "seq", "state")

    def __init__(self, seq: int) -> None:
        self.seq, self.state, self.owner, self.deadline_ms, self.appealed = seq, OPEN, "", 0, False
        self.claims: dict[str, None] = {}


class Disputes(Invariant):
    """The claims and cases of one client, as Mai's journal has them."""

    law = "conflicts"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.claims: dict[str, KnownClaim] = {}
        self.same: dict[str, set[str]] = {}  # by what they are about: claims
        self.under: dict[str, set[str]] = {}  # by task of Mai's: claims
        self.cases: dict[str, KnownCase] = {}
        self.parts: dict[str, list[str]] = {}  # by request that is open: its tasks

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            Received.kind: self._received,
            MessageRefused.kind: self._refused,
            Sent.kind: self._sent,
            ClaimNoted.kind: self._noted,
            CaseOpened.kind: self._opened,
            CaseReopened.kind: self._reopened,
            CaseAsked.kind: self._asked,
            CaseVoted.kind: self._voted,
            CaseRuled.kind: self._ruled,
            CaseAppealed.kind: self._appealed,
            CaseExpired.kind: self._expired,
            AnswerHeld.kind: self._held,
            AnswerReturned.kind: self._again,
            ReplyBreached.kind: self._again,
            CoverGiven.kind: self._again,
            ContractEnded.kind: self._contract_ended,
            RequestPlanned.kind: self._planned,
            RequestEnded.kind: self._request_ended,
        }

    # -- claims and votes
    def _received(self, seq: int, event: Event) -> None:
        assert isinstance(event, Received)
        if named(event.body, "Claim"):
            ident = said(event.body, "id")
            self.dues.owe(("noted", ident, event.sender), seq, f"{event.sender} tells of the claim {ident}, and nobody notes it")
        elif named(event.body, "Vote"):
            task = said(event.body, "task")
            self.dues.owe(("voted", task, event.sender), seq, f"{event.sender} votes as {task}, and nobody notes it")

    def _refused(self, seq: int, event: Event) -> None:
        assert isinstance(event, MessageRefused)
        self.dues.drop(lambda key: key[0] in ("noted", "voted") and key[2] == event.peer)

    def _noted(self, seq: int, event: Event) -> None:
        assert isinstance(event, ClaimNoted)
        claim = event.claim
        if not self.dues.settle(("noted", claim.id, claim.process)):
            self.found(seq, f"record {seq} notes the claim {claim.id}, and nobody has just told of it")
        for ident in event.replaces:
            self._drop(ident)
        self.claims[claim.id] = KnownClaim(seq, claim)
        for task in claim.under:
            self.under.setdefault(task, set()).add(claim.id)
        if claim.under and claim.under != above(event.task):
            self.found(seq, f"record {seq}: {claim.id} is not among what the answers to {', '.join(above(event.task))} rest on")
        self._side_by_side(seq, claim)
        if claim.state == OPEN:
            self.dues.owe(("open", claim.id), seq, f"{claim.id} is in dispute, and no case is open about it")
            if (case := self.cases.get(claim.case)) and case.state == OPEN:
                case.claims[claim.id] = None
                self.dues.settle(("open", claim.id))
        elif case := self.cases.get(claim.case):
            case.claims[claim.id] = None

    def _side_by_side(self, seq: int, claim: Stand) -> None:
        """No two claims that contradict each other stand beside each other, while both are valid for another day."""
        new = self.claims[claim.id]
        others = self.same.setdefault(new.about, set())
        for ident in sorted(others) if claim.state in (STANDING, WON) else ():
            old = self.claims[ident]
            lasts = old.until_ms > claim.at_ms + DAY_MS and old.from_ms < new.until_ms and new.from_ms < old.until_ms
            if lasts and old.state in (STANDING, WON) and old.digest != new.digest and new.until_ms > claim.at_ms + DAY_MS:
                self.found(seq, f"record {seq}: {claim.id} is {claim.state} beside {ident}, which says something else", old.seq)
        others.add(claim.id)

    def _drop(self, ident: str) -> None:
        if known := self.claims.pop(ident, None):
            self.same[known.about].discard(ident)
            for task in known.under:
                self.under.get(task, set()).discard(ident)

    def _voted(self, seq: int, event: Event) -> None:
        assert isinstance(event, CaseVoted)
        self.dues.settle(("voted", event.task, f"{self.client}/{event.department}"))
        case = self.cases.get(event.request)
        if event.claim and (case is None or event.claim not in case.claims):
            self.found(seq, f"record {seq} is a vote for {event.claim}, which is no claim of {event.request}")

    # -- cases
    def _opened(self, seq: int, event: Event) -> None:
        assert isinstance(event, CaseOpened)
        case = self.cases.get(event.request)
        if case is not None and case.state == OPEN:
            self.found(seq, f"record {seq} opens {event.request}, which is open since record {case.seq}", case.seq)
        case = self.cases[event.request] = KnownCase(seq)
        case.claims = dict.fromkeys(event.claims)
        if len({self.claims[one].digest for one in event.claims if one in self.claims}) < 2:
            self.found(seq, f"record {seq} opens {event.request}, and its claims do not contradict each other")
        self._again_open(seq, event.request, case)

    def _again_open(self, seq: int, name: str, case: KnownCase) -> None:
        case.state, case.owner = OPEN, ""
        for ident in case.claims:
            self.dues.settle(("open", ident))
            if ident in self.claims:
                self.claims[ident].state, self.claims[ident].case = OPEN, name
        self.dues.owe(("asked", name), seq, f"{name} is open, and nobody is asked")

    def _reopened(self, seq: int, event: Event) -> None:
        assert isinstance(event, CaseReopened)
        if case := self._known(seq, event.request, "reopens"):
            case.claims[event.claim] = None
            case.appealed = False
            self._again_open(seq, event.request, case)

    def _appealed(self, seq: int, event: Event) -> None:
        assert isinstance(event, CaseAppealed)
        if case := self._known(seq, event.request, "appeals"):
            if case.state != RULED or case.appealed:
                self.found(seq, f"record {seq} appeals against {event.request}, which is {case.state}, a second time or unruled")
            case.appealed = True
            self._again_open(seq, event.request, case)

    def _asked(self, seq: int, event: Event) -> None:
        assert isinstance(event, CaseAsked)
        if (case := self._known(seq, event.request, "asks about")) and case.state == OPEN:
            self.dues.settle(("asked", event.request))
            case.owner, case.deadline_ms = event.owner, event.deadline_ms
            if event.owner not in (BOARDS, PERSON) or event.deadline_ms <= 0:
                self.found(seq, f"record {seq} leaves {event.request} without an owner or a deadline")

    def _ruled(self, seq: int, event: Event) -> None:
        assert isinstance(event, CaseRuled)
        case, ruling = self._known(seq, event.request, "rules"), event.ruling
        if case is None:
            return
        if case.state != OPEN:
            self.found(seq, f"record {seq} rules {event.request}, which is {case.state}: it would have two rulings", case.seq)
        if ruling.winner not in case.claims or not ruling.clause or not ruling.losers:
            self.found(seq, f"record {seq} rules {event.request} without a winner, a loser or a clause of it")
        case.state, case.owner = RULED, ""
        for ident in case.claims:
            if known := self.claims.get(ident):
                known.state = WON if known.digest == ruling.digest else LOST
        for process in {known.process for ident in case.claims if (known := self.claims.get(ident))}:
            self.dues.owe(("told", event.request, process), seq, f"{process} is not told of {event.request}")

    def _expired(self, seq: int, event: Event) -> None:
        assert isinstance(event, CaseExpired)
        if case := self._known(seq, event.request, "ends"):
            for ident in case.claims if case.state == OPEN else ():
                if known := self.claims.get(ident):
                    known.state = STANDING if known.until_ms > event.at_ms else LOST
            case.state, case.owner = "expired", ""

    def _known(self, seq: int, name: str, what: str) -> KnownCase | None:
        case = self.cases.get(name)
        if case is None:
            self.found(seq, f"record {seq} {what} {name}, which was not opened")
        return case

    def _sent(self, seq: int, event: Event) -> None:
        assert isinstance(event, Sent)
        if named(event.body, "CaseTold") and not getattr(event.body, "open", False):
            self.dues.settle(("told", event.request, event.to))

    # -- answers
    def _unsound(self, task: str) -> list[str]:
        """Claims that an answer to this task must not rest on, and does."""
        found, queue = dict[str, KnownClaim](), list(self.under.get(task, ()))
        while queue:
            known = self.claims.get(ident := queue.pop())
            if known is not None and ident not in found:
                found[ident] = known
                queue += known.rests
        return sorted(f"{ident} ({known.state})" for ident, known in found.items() if known.state in (OPEN, LOST))

    def _leave(self, task: str) -> None:
        """What was concluded for this task so far goes no further."""
        for ident in self.under.pop(task, ()):
            if known := self.claims.get(ident):
                at = known.under.index(task)
                for other in known.under[at + 1 :]:
                    self.under.get(other, set()).discard(ident)
                known.under = known.under[:at]

    def _held(self, seq: int, event: Event) -> None:
        assert isinstance(event, AnswerHeld)
        if not self._unsound(event.task):
            self.found(seq, f"record {seq} holds the answer to {event.task} back, which rests on nothing that is open")

    def _again(self, seq: int, event: Event) -> None:
        """A task begins anew elsewhere, or once more."""
        match event:
            case AnswerReturned(again=again) | ReplyBreached(again=again) if again:
                self._leave(event.task)
            case CoverGiven(body=None):
                self._leave(event.task)

    def _contract_ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, ContractEnded)
        if event.state not in RESTS:
            self._leave(event.task)
        elif event.state == "answered" and (wrong := self._unsound(event.task)):
            self.found(seq, f"record {seq} lets the answer to {event.task} pass, which rests on {', '.join(wrong)}")

    def _planned(self, seq: int, event: Event) -> None:
        assert isinstance(event, RequestPlanned)
        self.parts[event.request] = tasks(event.request, event.parts)

    def _request_ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, RequestEnded)
        known = self.parts.pop(event.request, [])
        for task, part in zip(known, event.parts, strict=False):
            if self._speaks(part) and (wrong := self._unsound(task)):
                self.found(seq, f"record {seq} tells the client {task}, which rests on {', '.join(wrong)}")
        for task in known:
            self._over(task)

    def _speaks(self, part: PartAnswer) -> bool:
        """Does it say what a department has concluded?"""
        return part.state in RESTS and part.by != self.process

    def _over(self, task: str) -> None:
        for ident in self.under.pop(task, ()):
            if known := self.claims.get(ident):
                for other in known.under:
                    self.under.get(other, set()).discard(ident)
                known.under = []

    def close(self, end: End) -> None:
        """Nothing is owed; who is open has somebody who decides it in time, and boards are no longer waited for."""
        super().close(end)
        for name, case in self.cases.items():
            if case.state == OPEN and case.owner == BOARDS:
                self.left_open(end, case.seq, f"{name}, which boards decide,", case.deadline_ms)

    def under_way(self) -> dict[str, int]:
        """Open cases."""
        return {"cases": sum(case.state == OPEN for case in self.cases.values())}
