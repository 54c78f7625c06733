"""Claims, approvals and what is ruled in a realm: what its agents and persons do, how departments lie, and what may come of it.

The law is computed once more, from the organisation and from Mai's records alone: what a policy bars, or wants approved, goes on
only if it may; no two claims stand against each other; no answer to the client rests on what is open or has lost.
"""

import re
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from mai.agents.approval_messages import Opinion, Word
from mai.agents.board_scope import Rule
from mai.agents.body import Fields
from mai.agents.canonical import digest
from mai.agents.claim_messages import Claim
from mai.agents.conflict_scope import Conflicts, Precedence
from mai.agents.decider import VIA_MAI
from mai.agents.events import Event, Received, ReplyBreached, Sent
from mai.agents.inputs import Call
from mai.agents.messages import Task
from mai.agents.organisation import Contract, Department, Organisation
from mai.agents.pleas import bound, digest_of
from mai.agents.policy_scope import Policy
from mai.daemon.dispute import Stand, case_id
from mai.daemon.dispute_records import ClaimNoted, Ordered
from mai.daemon.pending import ApprovalPassed, ApprovalRaised, ApprovalVoted, Vote, Voting, asked_of
from mai.daemon.records import ContractChecked, RequestEnded
from tests.sim_judged import Told

if TYPE_CHECKING:
    from tests.realm import Node, Realm

MAI = "acme/mai"
LIMIT, SMALL = 101, 103  # of `sum`: what is above needs an approval; what a board by rule approves
ATTRIBUTES, VALUES = ("sum", "name"), (1, 2)
FOR_LONG_MS = 10_000_000
STANDS = ("standing", "won")


# -- organisations
def policies(chance: Random, departments: tuple[Department, ...]) -> tuple[Policy, ...]:
    """A few contracts are barred, or wait for somebody; one attribute nobody may claim."""
    offered = {f"{one.name}.{contract.name}": contract for one in departments for contract in one.contracts}
    chosen = chance.sample(list(offered), min(len(offered), chance.randrange(1, 5)))
    found = [
        Policy(
            name=f"p{n}", verdict=chance.choice(["deny", "board", "board", "person"]), contracts=(name,),
            when={"sum": {"above": LIMIT}} if "sum" in offered[name].request and chance.random() < 0.8 else {},
        )
        for n, name in enumerate(chosen)
    ]  # fmt: skip
    if chance.random() < 0.5:
        found.append(Policy(name="claims", verdict=chance.choice(["deny", "person"]), claims=("name",)))
    return tuple(found)


def rules(chance: Random, coded: bool, contracts: dict[str, Contract]) -> tuple[Rule, ...]:
    """A board without code has some, often: it approves all that it is asked about, or what is small."""
    how = "none" if coded or not contracts else chance.choice(["none", "all", "all", "small"])
    names = tuple(name for name, one in contracts.items() if how == "all" or "sum" in one.request)
    if how == "none" or not names:
        return ()
    when: Fields = {} if how == "all" else {"sum": {"at_most": SMALL}}
    return (Rule(name=how, decision="approve", contracts=names, when=when),)


def judged(chance: Random, whole: Organisation) -> Organisation:
    """The same organisation with policies, rules for boards that have no code, and somebody who decides about contradictions."""
    departments = []
    for one in whole.departments:
        offered = {
            f"{other.name}.{contract.name}": contract for other in whole.departments for contract in other.contracts
            if other is one or one.name in contract.may_ask
        }  # fmt: skip
        departments.append(msgspec.structs.replace(one, rules=rules(chance, bool(one.board.kind), offered)))
    by = ("votes", "person") if chance.random() < 0.5 else ("votes", "newest")
    conflicts = Conflicts(settle_s=10, person_s=1000, precedence=(Precedence(name="all", attribute="*", by=by),))
    return msgspec.structs.replace(
        whole, departments=tuple(departments), policies=policies(chance, whole.departments), conflicts=conflicts
    )


# -- what happens in a realm
class Judging:
    """The part of a realm that is about judgement."""

    chance: Random
    nodes: "dict[str, Node]"
    now_ms: int

    def concludes(self, work: Any, n: int) -> Call:
        """An agent concludes something, and others the contrary."""
        given: Fields = {
            "subject": "thing/1", "attribute": self.chance.choice(ATTRIBUTES), "value": self.chance.choice(VALUES),
            "confidence": 0.5, "grounds": [],
        }  # fmt: skip
        return Call(work.task, n, "conclude", {**given, "found": [], "times": (self.now_ms, self.now_ms + FOR_LONG_MS)})

    def decides(self) -> None:
        """A person approves or denies something that waits, or rules a case."""
        mai = self.nodes[MAI].mai
        waiting = list(mai.state.approving.rows)
        if waiting and self.chance.random() < 0.7:
            uid, approved = self.chance.choice([1, 2]), self.chance.random() < 0.7
            self.nodes[MAI].feed(Voting(self.chance.choice(waiting), Vote("ann", uid, "operator", approved, "", self.now_ms)))
        cases = [case for case in mai.state.conflicts.cases.values() if case.owner == "person"]
        if cases:
            case = self.chance.choice(cases)
            stands = [one for one in mai.state.conflicts.of(case) if one.until_ms > self.now_ms]
            if stands:
                self.nodes[MAI].feed(Ordered(case.id, self.chance.choice(stands).id, "I know", "ann", 1, "operator"))

    def lies_of_claims(self, peer: str, task: str, anybody: str) -> Claim:
        """A hostile department claims something, in whoever's name, for whatever task."""
        value = self.chance.choice(VALUES)
        ident = f"{task}/{self.chance.randrange(1, 99)}"
        return Claim(
            ident, task.partition("/")[0], task, anybody, "thing/1", self.chance.choice(ATTRIBUTES), digest(value), 0.5,
            self.now_ms, self.now_ms + FOR_LONG_MS, self.now_ms, True, value,
        )  # fmt: skip

    def lies_of_asks(self, realm: "Realm", peer: str, tasks: list[str]) -> Task | None:
        """It asks under a contract that is open to it, as it should, but for who has approved that; None if there is none."""
        asking = peer.partition("/")[2]
        waits = [
            name for policy in realm.organisation.policies if policy.verdict == "board" for name in policy.contracts
            if asking in realm.law.contracts[name].may_ask
        ]  # fmt: skip
        if not waits or not tasks:
            return None
        if realm.forged and self.chance.random() < 0.35:  # what has passed, perhaps, once more
            old = self.chance.choice(realm.forged[-4:])
            again = f"{old.task.rpartition(VIA_MAI)[0]}{VIA_MAI}{self.chance.randrange(100, 999)}"
            return msgspec.structs.replace(old, task=again)
        task, contract = self.chance.choice(tasks), self.chance.choice(waits)
        given = realm.values(realm.law.contracts[contract].request, asking, right=True)
        ident = f"{task}.{self.chance.randrange(3)}{VIA_MAI}{self.chance.randrange(99)}"
        asker = self.chance.choice([f"{peer}/hand0", f"{peer}/hand0", f"{peer}/board"])
        made = Task(ident, task.partition("/")[0], asker, contract, "", given, 9)
        realm.forged.append(msgspec.structs.replace(made, word=self.lies_of_words(realm, peer, made)))
        return realm.forged[-1]

    def lies_of_words(self, realm: "Realm", peer: str, task: Task) -> Word | None:
        """What it says of who has approved an ask: nobody, somebody else, its board, for this call or another; or again."""
        work = task.task.rpartition(VIA_MAI)[0]
        chosen = self.chance.choice(["none", "board", "board", "board", "agent", "agent", "other"])
        board = f"{peer}/board"
        if chosen == "none":
            return None
        given = {"to": task.contract, "text": task.text, "input": task.input if chosen != "other" else {}}
        step = (work, 1, 1)
        ident = bound(task.asker, step, "ask", task.contract, digest_of(given), realm.organisation.digest)
        return Word(ident, *step, (board if chosen != "agent" else f"{peer}/hand0",), self.now_ms)


# -- the law
class Judged:
    """What may come of it."""

    def __init__(self, organisation: Organisation, hostile: set[str]) -> None:
        self.organisation, self.hostile = organisation, hostile
        self.departments = {one.name: one for one in organisation.departments}
        self.told, self.about = Told(), dict[str, str]()  # claims, and what they are about
        self.raised: dict[str, tuple[str, str]] = {}  # approval -> what for, and by whom
        self.given: Counter[tuple[str, str]] = Counter()  # what persons have approved: what, by whom
        self.boards: Counter[str] = Counter()  # contracts of the client's that boards have approved
        self.asked: dict[str, Task] = {}
        self.silenced: set[str] = set()  # tasks of hers whose answers may not be told
        self.words: set[str] = set()  # that were let pass
        self.has: dict[str, str] = {}  # task -> the department that it was given to
        self.passed: dict[str, str] = {}  # id of an ask -> by whose word

    def look(self, process: str, event: Event, _: int) -> str:
        """What is wrong with a record of Mai's; "" if nothing is."""
        if process != MAI:
            return ""
        match event:
            case ReplyBreached(again=""):
                self.silenced.add(event.task)
            case Received(body=Task() as task):
                self.asked[task.task] = task
            case Received(body=Opinion() as body) if body.word == "approve":
                self.boards[asked_of(body.task)] += 1
            case ApprovalRaised():
                self.raised[event.approval.id] = event.approval.name, event.agent
            case ApprovalVoted(approved=True, last=True):
                self.given[self.raised[event.approval]] += 1
            case Sent(body=Task() as task) if task.asker == "acme/client" and task.contract and "c1" not in task.task[-2:]:
                self._hear(event)
                return self._goes_out(task)
        wrong = self._holds(event)
        self._hear(event)
        return wrong

    def _holds(self, event: Event) -> str:
        """What is wrong with what goes on, is claimed, or is told."""
        match event:
            case ApprovalPassed(by=by) if by:
                return self._vouched(event)
            case ContractChecked(allowed=True):
                return self._crosses(event)
            case ClaimNoted():
                return self._claimed(event)
            case RequestEnded():
                return self._answered(event)
        return ""

    def _hear(self, event: Event) -> None:
        if isinstance(event, Sent) and isinstance(event.body, Task):
            self.has[event.body.task] = event.to
        self.told.hear(event.kind, msgspec.to_builtins(event))
        if isinstance(event, ClaimNoted) and self.has.get(re.sub(r"(\.\d+)+\Z", "", event.task)) != event.claim.process:
            del self.told.tasks[event.claim.id]  # no answer rests on what others claim for a task

    # -- approvals
    def verdict(self, contract: str, values: Fields) -> str:
        """What the policies say of an ask, by the first that is about it."""
        for policy in self.organisation.policies:
            held = values.get("sum")
            holds = not policy.when or not isinstance(held, int) or held > LIMIT
            if contract in policy.contracts and holds:
                return policy.verdict
        return "allow"

    def _vouched(self, event: ApprovalPassed) -> str:
        if event.approval in self.words:
            return "a word of a board is good for a second call"
        self.words.add(event.approval)
        self.passed[event.task] = event.by
        return ""

    def _crosses(self, event: ContractChecked) -> str:
        task = self.asked[event.task]
        verdict, asking = self.verdict(event.contract, task.input), event.asking.partition("/")[2]
        if verdict == "deny":
            return "it is denied"
        if verdict in ("person", "board") and self.passed.get(event.task) is None:
            key = event.contract, task.asker
            self.given[key] -= 1
            return "nobody has approved it" if self.given[key] < 0 else ""
        if verdict == "person":
            return "a board has approved what persons have to"
        return self._by_board(asking, task, event) if verdict == "board" else ""

    def _by_board(self, asking: str, task: Task, event: ContractChecked) -> str:
        own, by = self.departments[asking], self.passed[event.task]
        if by != f"acme/{asking}/board" or task.asker == by:
            return f"{by} has approved it, for {task.asker}"
        held, rule = task.input.get("sum"), next(iter(own.rules), None)
        all_ = rule is not None and event.contract in rule.contracts and not rule.when
        small = rule is not None and event.contract in rule.contracts and isinstance(held, int) and held <= SMALL
        return "" if own.board.kind or all_ or small else "its board would not have approved that"

    def _goes_out(self, task: Task) -> str:
        verdict = self.verdict(task.contract, task.input)
        if verdict == "deny":
            return "the client may not ask for that"
        if verdict == "allow":
            return ""
        key = task.contract, "acme/client/client"
        if verdict == "board" and self.boards[task.task]:
            self.boards[task.task] -= 1
            return ""
        self.given[key] -= 1
        return "nobody has approved what the client asks for" if self.given[key] < 0 else ""

    # -- claims
    def _claimed(self, event: ClaimNoted) -> str:
        one = event.claim
        department, _, agent = one.agent.removeprefix("acme/").partition("/")
        own, about = self.departments.get(department), case_id(one.subject, one.attribute)
        wrong = (
            self._may_not_claim(one) if own and own.agent(agent) and one.process == f"acme/{department}" else "it is another's"
        )
        for ident in event.replaces:
            self.told.state.pop(ident, None)
            self.told.tasks.pop(ident, None)
        stands = [ident for ident, state in self.told.state.items() if state in STANDS and self.about[ident] == about]
        against = [ident for ident in stands if self.told.digests[ident] != one.digest and one.state in STANDS]
        self.about[one.id] = about
        return wrong or (f"it stands beside {against[0]}, which says something else" if against else "")

    def _may_not_claim(self, one: Stand) -> str:
        policy = next((policy for policy in self.organisation.policies if one.attribute in policy.claims), None)
        if policy and policy.verdict == "person":
            self.given[key := (f"{one.subject} {one.attribute}", one.agent)] -= 1
            return "nobody has approved that claim" if self.given[key] < 0 else ""
        return "nobody may claim that" if policy else ""

    def _answered(self, event: RequestEnded) -> str:
        for number, part in enumerate(event.parts, 1):
            if f"{event.request}/{number}" in self.silenced:
                continue  # the client hears that it may not be told, and nothing of it
            if part.state in ("answered", "refused") and part.by not in ("", MAI):
                for ident in self.told.unsound(f"{event.request}/{number}"):
                    return f"the client is told what rests on {ident}, which is {self.told.state[ident]}"
        return ""
