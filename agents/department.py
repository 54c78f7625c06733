"""What a department decides: who works on what, what is refused, what goes to Mai. Pure.

A task goes down the ranks as a tree of works, one for each agent, and its result comes back the way that it went.
Boards and coordinators without code of their own behave as behaviour.py says; workers' code runs outside (runner.py)
and comes back here as `Call` and `Report`.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from mai.agents import (
    allowance,
    approvals,
    behaviour,
    claims,
    consulting,
    duty,
    effects,
    escalating,
    folding,
    gates,
    guards,
    judging,
    leaving,
    network,
    orders,
    questions,
    recollection,
    remembering,
    standby,
    weighing,
)
from mai.agents.approval_records import ApprovalAsked
from mai.agents.body import Fields, Outcome
from mai.agents.data_scope import Scopes
from mai.agents.decider import VIA_MAI, Input, Send, Tick, sooner_ms, too_large
from mai.agents.escalation_messages import Plea
from mai.agents.events import Asked, Ended, Event, Hopped, HopRefused, Received, Stepped
from mai.agents.inputs import Answered, Applied, Arrived, Back, Call, Consider, Considered, Doubted, Order, Pleading, Report, Told
from mai.agents.messages import Numbered, Result, Task
from mai.agents.organisation import Mandate
from mai.agents.plain import readable
from mai.agents.pleas import vouched
from mai.agents.policies import code_of
from mai.agents.state import Done, State, Step, Work
from mai.agents.table import Table

BY_CALL: Final[dict[str, Callable[..., list[Event | Send]]]] = {
    "tool": network.ask, "model": questions.ask, "conclude": claims.conclude,
    **dict.fromkeys(remembering.CALLS, recollection.decide),
}  # fmt: skip
ATTEMPTS = 3  # a task that was running at so many deaths of its process is not run again


class DepartmentDecider:
    """The pure half of a department's process.

    `fit(text, agents)` orders those agents that fit a text, best first; `fault(contract, side, values)` says what is
    wrong with the values of a contract's request or reply, "" if nothing is; `shares(text, agents)` how many of a text's words
    each has of those that fit, best first.
    """

    def __init__(
        self,
        mandate: Mandate,
        table: Table,
        fit: Callable[[str, tuple[str, ...]], list[str]],
        fault: Callable[[str, str, Fields], str],
        shares: Callable[[str, tuple[str, ...]], dict[str, float]] = lambda *_: {},
    ) -> None:
        self.state = State()
        self.mandate, self.table, self.fit, self.fault, self.shares = mandate, table, fit, fault, shares
        self.scopes = Scopes(mandate.organisation, fault)
        own = mandate.organisation.department(mandate.department)
        assert own is not None, "a mandate without its own department"
        self.own = own
        self.limits = mandate.organisation.limits
        self.policies = code_of(mandate, own.name)
        self.mai = f"{mandate.client}/mai"
        self.now_ms = 0  # of what is being decided
        self._ending: set[str] = set()  # tasks that end in what is being decided, and are not folded yet
        self.roster = duty.Roster()

    # -- decide
    def decide(self, given: Input, now_ms: int) -> list[Event | Send]:
        """Turn an input into facts and sends."""
        self.now_ms = now_ms
        self._ending.clear()
        return allowance.turned(self, self._decide(given, now_ms), now_ms)

    def _decide(self, given: Input, now_ms: int) -> list[Event | Send]:
        found: list[Event | Send] = []
        match given:
            case Arrived():
                found = self._arrived(given, now_ms)
            case Answered():
                found = self._answered(given, now_ms)
            case Told(body=body):
                found = recollection.told(self, body)
            case Applied(body=body):
                found = network.told(self, body)
            case Considered(body=body):
                found = questions.told(self, body)
            case Pleading():
                found = approvals.decide(self, given)
            case Order():
                found = orders.decide(self, given, now_ms)
            case Tick():
                found = [*self._expire(now_ms), *remembering.sweep(self.state, now_ms)]
            case Consider() | Back() | Call() | Report() | Doubted():
                if work := self.state.work.get(given.task):  # else it has ended meanwhile
                    found = self._about(work, given, now_ms)
        return found

    def _about(self, work: Work, given: Consider | Back | Call | Report | Doubted, now_ms: int) -> list[Event | Send]:
        match given:
            case Consider():
                return behaviour.consider(self, work, now_ms)
            case Back():
                return self._back(work, given, now_ms)
            case Call():
                return self._call(work, given, now_ms)
            case Report():
                return self._report(work, given.done)
            case Doubted():
                return effects.doubt(self, work, given.n, given.why)

    def _arrived(self, given: Arrived, now_ms: int) -> list[Event | Send]:
        body, board = given.body, self.own.board
        if body.task in self.state.work:
            return []
        if why := self.full() or self.scopes.untold(body.contract, body.input):
            return [self._result(body.task, body.request, self._not_done(board.name, why))]
        if given.deadline_ms <= now_ms:
            return [self._result(body.task, body.request, self._not_done(board.name, "it came after its deadline", "expired"))]
        verdict = self.table.hop(self.own.name, "mai", board.name)
        task_ms = int((board.task_s or self.limits.task_s) * 1000)
        admitted = allowance.admit(self, body, min(given.deadline_ms, now_ms + task_ms), now_ms)
        if stopped := admitted.stopped:
            return [stopped, self._result(body.task, body.request, self._not_done(board.name, stopped.why, "escalated"))]
        hopped = Hopped(
            request=body.request, task=body.task, parent="", sender="mai", agent=board.name, asker=body.asker,
            contract=body.contract, text=body.text, input=body.input,
            deadline_ms=admitted.until_ms, hops=body.hops - 1, rule=verdict.rule, watch=body.watch,
            ranked=body.ranked, at_ms=now_ms, correction=body.correction, allow=body.allow,
        )  # fmt: skip
        return [hopped]

    def hand(self, work: Work, receiver: str, now_ms: int, *, rule: str = "", call: Call | None = None) -> list[Event | Send]:
        """Hand a work on to an agent of this department, if the table and the limits allow it.

        With `call` it is a step of the work's own code, which waits for the answer; else the work itself is passed on, as it
        is by a step `hand`. Where the receiver is not to be asked now, another stands in.
        """
        way = standby.route(self, work, receiver, now_ms, call)
        if not way.to and (way.why or way.events):  # who asks for "" gets neither, and what the table says of it
            return standby.used_up(self, work, way.why, call) if way.why else way.events
        receiver = way.to
        had = escalating.had(self, work, receiver) if not call or call.call == "hand" else ""
        verdict, agent = self.table.hop(self.own.name, work.agent, receiver), self.own.agent(receiver)
        if had or not verdict.allowed or agent is None:
            rule, instead = had or verdict.rule, verdict.instead
            if verdict.allowed and not had:  # a board, to Mai
                rule, instead = "Mai is asked for a contract, by its name", self.table.open_to(self.own.name)
            return self._refuse_hop(work, receiver, rule, instead, call)
        asks = call if call and call.call == "ask" else None
        given = guards.link(self, work, asks, receiver)
        if stopped := guards.exhausted(self, work, given.name) or guards.hop(self, work, given):
            return [stopped, *self._refuse_hop(work, receiver, stopped.why, (), call)]
        if spent := allowance.hop(self, work, given.name):
            return [spent, *self._refuse_hop(work, receiver, spent.why, (), call, spent=True)]
        if why := self.full():
            return self._refuse_hop(work, receiver, why, (), call)
        limit_ms = standby.limit_ms(self, work, agent, now_ms)
        hopped = Hopped(
            request=work.request, task=f"{work.task}.{work.children + 1}", parent=work.task, sender=work.agent, agent=receiver,
            asker=self.address(work.agent) if asks else work.asker, contract=asks.contract if asks else work.contract,
            text=asks.given["text"] if asks else work.text, input=asks.given["input"] if asks else work.input,
            deadline_ms=min(limit_ms, sooner_ms(now_ms, work.deadline_ms)),
            hops=work.hops - 1, rule=rule or verdict.rule, watch=work.watch, step=call.n if call else 0,
            ranked=() if asks else work.ranked, at_ms=now_ms, correction="" if asks else work.correction,
            plea=None if asks else work.plea,
        )  # fmt: skip
        again = standby.after(self, work, call) if call else []
        return [*again, *way.events, hopped]

    def ask_mai(self, work: Work, now_ms: int, *, call: Call | None = None) -> list[Event | Send]:
        """A board asks for another department's contract."""
        contract = call.contract if call else work.contract
        text, given = (call.given["text"], call.given["input"]) if call else (work.text, work.input)
        verdict = self.table.contract(self.own.name, contract)
        asker = self.address(work.agent) if call else work.asker
        task = f"{work.task}{VIA_MAI}{call.n if call else 0}"
        word = vouched(self.state, work, call.n if call else 0)
        body = Task(task, work.request, asker, contract, text, given, work.hops - 1, work.watch, word=word)
        why = verdict.rule if not verdict.allowed else self.fault(contract, "request", given)
        stopped = None if why else guards.exhausted(self, work, contract)
        if why := why or (stopped.why if stopped else too_large(body, self.limits.message_bytes)):
            return [*([stopped] if stopped else []), *self._refuse_hop(work, contract, why, verdict.instead, call)]
        return [Send(self.mai, task, sooner_ms(now_ms, work.deadline_ms), body)]

    def _refuse_hop(
        self, work: Work, receiver: str, why: str, instead: tuple[str, ...], call: Call | None, *, spent: bool = False
    ) -> list[Event | Send]:
        """A hand-on that does not happen ends the step that asked for it, or else the work."""
        why = readable(why)
        refusal = HopRefused(
            request=work.request, task=work.task, sender=work.agent, receiver=receiver, rule=why, instead=instead
        )
        if call:
            return [refusal, self._not_taken(work, call, why)]
        if spent:  # nobody here can do anything about that
            return [refusal, *escalating.escalate(self, work, 0, why, "budget")]
        return [refusal, *self.end(work, self._not_done(work.agent, why))]

    def _call(self, work: Work, call: Call, now_ms: int) -> list[Event | Send]:
        if decide := BY_CALL.get(call.call):
            return decide(self, work, call, now_ms)
        return self.asks(work, call, now_ms)

    def asks(self, work: Work, call: Call, now_ms: int) -> list[Event | Send]:
        """A worker's code asks an agent or a contract, or hands its task on."""
        asked = Asked(request=work.request, task=work.task, agent=work.agent, n=call.n, call=call.call, given=call.given)
        if call.call == "hand" and (work.approves or work.case):
            return [asked, *self._refuse_hop(work, call.to, "what a board is to decide about is not handed on", (), call)]
        if stopped := guards.repeated(self, work, call):
            return [asked, stopped, self._not_taken(work, call, stopped.why)]
        if call.call == "escalate":
            return [asked, *escalating.escalate(self, work, call.n, call.given["reason"], "choice")]
        if call.call == "hand" or not call.contract:
            return [asked, *self.hand(work, call.to, now_ms, call=call)]
        found = self._contract(work, call, now_ms)
        return found if any(isinstance(one, ApprovalAsked) for one in found) else [asked, *found]

    def _contract(self, work: Work, call: Call, now_ms: int) -> list[Event | Send]:
        """A worker's code asks for another department's contract: upwards, from rank to rank."""
        verdict = self.table.contract(self.own.name, call.to)
        if not verdict.allowed and not self.owns(call.to):
            return self._refuse_hop(work, call.to, verdict.rule, verdict.instead, call)
        if why := leaving.kept_back(self, work, call):
            return self._refuse_hop(work, call.to, why, (), call)
        if why := self.fault(call.to, "request", call.given["input"]):
            return [self._not_taken(work, call, readable(why))]
        act = judging.contract_act(self, work, call.to, call.given["input"], now_ms)
        gate, up = gates.at(self, work, call, act), behaviour.above(self, work.agent)
        if gate.why:
            return [*gate.events, *self._refuse_hop(work, call.to, gate.why, (), call)]
        if gate.waits:
            return gate.events
        asked = self.ask_mai(work, now_ms, call=call) if up == "mai" else self.hand(work, up, now_ms, call=call)
        return [*gate.events, *asked]

    def _back(self, work: Work, back: Back, now_ms: int) -> list[Event | Send]:
        if back.approves:
            return approvals.ruled(self, back)
        if not back.step:
            return behaviour.returned(self, work, back.agent, back.done, now_ms)
        done = back.done
        refused = "" if done.state == "answered" else done.reason or done.state
        return [self.stepped(work, back.step, refused, done)]

    def screen(self, peer: str, body: Numbered) -> Numbered:
        """What comes from Mai as far as it may be taken in: decided before anything of it is on the disk."""
        return leaving.screened(self, body) if isinstance(body, Result) else body

    def _answered(self, given: Answered, now_ms: int) -> list[Event | Send]:
        body = leaving.screened(self, given.body)
        work, n, step = self.asking(body.task)
        if work is None or (step and step.call != "ask"):
            return []
        contract = str(step.given["to"]) if step else work.contract
        done = Done(body.state, body.text, body.value, readable(body.reason), body.by, body.sources, body.changed)
        breached = leaving.taken(work, contract, body, (given.record, given.digest))
        return [*breached, *self._back(work, Back(work.task, n, body.by, done), now_ms)]

    def asking(self, ident: str) -> tuple[Work | None, int, Step | None]:
        """The open work that has asked Mai for something under this id, and which step of its; None if it waits no more."""
        task, _, number = ident.rpartition(VIA_MAI)
        work = self.state.work.get(task)
        number, _, _ = number.partition(effects.AGAIN)
        n = int(number) if number.isdecimal() else -1
        step = self.state.steps.get(task, {}).get(n)
        if work and step and ident != self.ident(work, n, step.count):
            return None, n, None  # it was called again since
        waits = n == 0 or (step is not None and not step.done)
        return (work if waits else None), n, step

    def _report(self, work: Work, done: Done) -> list[Event | Send]:
        breached, done = leaving.reported(self, work, done)
        if done.state == "escalated":
            return [*breached, *escalating.escalate(self, work, 0, done.reason, done.cause or "choice")]
        return [*breached, *self.end(work, done)]

    def _expire(self, now_ms: int) -> list[Event | Send]:
        late = [work for work in self.state.work.values() if work.deadline_ms <= now_ms]
        late.sort(key=lambda work: work.deadline_ms)
        events: list[Event | Send] = approvals.due(self)
        for work in late:
            waits = approvals.waits_for(self.state, work) or effects.waits_for(self.state, work)
            reason = f"{self.address(work.agent)} did not answer before its deadline{waits}"
            events += self.end(work, self._not_done(work.agent, reason, "expired"))
        return events

    def end(self, work: Work, done: Done, *, ruled: bool = False) -> list[Event | Send]:
        """The one end of a work; the result of a task that came from Mai goes back to her. `ruled`: as a person has said."""
        if work.task in self._ending:
            return []
        self._ending.add(work.task)
        below = escalating.left(self, work, ruled=ruled)
        done = msgspec.structs.replace(done, sources=tuple(sorted({*work.sources, *done.sources})))
        stays = work.parent or work.released
        breached, done = ([], done) if stays else leaving.outward(self, work, done)
        back = None if stays else self._result(work.task, work.request, done, work)
        if back and (work.case or work.approves):
            back = weighing.vote(self, work, done) if work.case else consulting.opinion(self, work, done)
        if back and (why := too_large(back.body, self.limits.message_bytes)):
            changed = done.changed
            done = self._not_done(work.agent, f"the answer cannot be sent: {why}", "failed")
            done.changed = changed
            back = self._result(work.task, work.request, done, work)
        ended = Ended(
            request=work.request, task=work.task, agent=work.agent, state=done.state, text=done.text, value=done.value,
            reason=done.reason, by=done.by, sources=done.sources, changed=done.changed, breach=done.breach,
            took_ms=allowance.took_ms(self, work),
        )  # fmt: skip
        noted = standby.noted(self, work, done, self.now_ms)
        left = [*below, *approvals.left(self, work), *effects.left(self, work)]
        return [*left, *noted, *breached, ended, *([back] if back else [])]

    def _not_done(self, agent: str, reason: str, state: Outcome = "refused") -> Done:
        return Done(state, "", {}, readable(reason), self.address(agent), ())

    def _result(self, task: str, request: str, done: Done, work: Work | None = None) -> Send:
        """The result of a task from Mai; `work`: it was taken up."""
        changed, used = done.changed or (work is not None and work.changed), work.used if work and work.allow else None
        body = Result(
            task, request, done.state, done.text, done.value, done.reason, done.by, done.sources, changed and work is not None,
            done.breach, used,
        )  # fmt: skip
        return Send(self.mai, f"{task}=", 0, body)

    def _not_taken(self, work: Work, call: Call, why: str) -> Stepped:
        """The outcome of a step that is refused at once: its Asked is of the same decision, and not folded yet."""
        return Stepped(request=work.request, task=work.task, agent=work.agent, n=call.n, call=call.call, refused=why)

    def stepped(self, work: Work, n: int, refused: str, done: Done) -> Stepped:
        """The outcome of a step that was asked; what it asked for stands in its Asked."""
        step = self.state.steps.get(work.task, {}).get(n)
        call = step.call if step else "ask"
        given_up = "escalated" if call == "hand" else "failed"  # who has handed it on may know of another hand
        state = done.state if done.state in ("failed", "expired") else given_up if done.state == "escalated" else ""
        return Stepped(
            request=work.request, task=work.task, agent=work.agent, n=n, call=call,
            value=done.value, refused=refused, state=state, text=done.text, by=done.by, sources=done.sources,
            changed=done.changed or (call == "hand" and work.changed), breach=done.breach if call == "hand" else "",
        )  # fmt: skip

    def address(self, agent: str) -> str:
        """`client/department/agent`."""
        return f"{self.mandate.client}/{self.own.name}/{agent}"

    def ident(self, work: Work, n: int, count: int = 1) -> str:
        """The id of what a step of this work asks through Mai; when its tool is called again, it has another."""
        return f"{work.task}{VIA_MAI}{n}" + (f"{effects.AGAIN}{count - 1}" if count > 1 else "")

    def owns(self, contract: str) -> bool:
        """Is this one of the department's own contracts?"""
        return contract.partition(".")[0] == self.own.name

    def coded(self, agent: str, contract: str, plea: Plea | None = None) -> bool:
        """Does the agent's own code do this, or the behaviour of its rank? What is for other departments only passes by."""
        found = self.own.agent(agent)
        if plea and found and found.rank in ("board", "coordinator") and not found.escalations:
            return False
        return found is not None and bool(found.kind) and (not contract or self.owns(contract))

    def full(self) -> str:
        """Why no further task can be open here; "" if one can."""
        if len(self.state.work) < self.limits.queue:
            return ""
        return f"{self.own.name} has {self.limits.queue} open tasks, which is its limit; ask again later"

    # -- evolve
    def evolve(self, event: Event, seq: int) -> list[Input]:
        """Fold one fact; returns what has to be decided because of it."""
        return folding.evolve(self.state, event, seq)

    def taken(self, received: Received) -> list[Input]:
        """The inputs that a message from Mai brings."""
        return orders.taken(received)

    def next_deadline_ms(self) -> int:
        """The first deadline of an open task, or when memory expires; 0 if there is none."""
        others = filter(None, (self.state.fading.soonest_ms(), self.state.approvals.soonest_ms(), duty.next_ms(self)))
        return min((*(work.deadline_ms for work in self.state.work.values()), *others), default=0)
