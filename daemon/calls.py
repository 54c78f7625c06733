"""What the models process decides: which call begins an attempt, where, and what its end means. Pure.

Each Think gets one Thought. A call waits, makes attempts at the targets of its model's chain in their order, and ends;
what it waits for (a place or a pace at the provider, a breaker, the budget, its own pause) is looked at anew in
`Dispatch` whenever something has changed. `evolve` reads nothing of the organisation, so that a journal folds to the
same state whatever the organisation has become.
"""

from collections.abc import Callable, Iterator

import msgspec

from mai.agents import breaker, fallback
from mai.agents.body import Outcome
from mai.agents.cancelling import fitting, said
from mai.agents.clock import UTC
from mai.agents.decider import Input, Send, Tick, fold_link
from mai.agents.errand_messages import Think, Thought, Usage
from mai.agents.events import Event, Received
from mai.agents.models import Model, Target
from mai.agents.order_messages import Cancel, Cancelled
from mai.agents.organisation import Mandate
from mai.daemon import accounts, spending, targets, transcript_records
from mai.daemon.calling import (
    Asked,
    Attempt,
    AttemptBegun,
    AttemptEnded,
    BudgetNearlySpent,
    Call,
    CallEnded,
    CallsState,
    CallTaken,
    Dispatch,
    Dropped,
    Follow,
    OfRequest,
    Over,
    Resume,
    Settle,
    TargetLeft,
    by,
)
from mai.daemon.pace import Pace
from mai.daemon.spending import Account, Scoped
from mai.daemon.targets import breaker_of
from mai.daemon.waiting import Desk, counted, pause_ms

INTERRUPTED = "the models process ended meanwhile"
LATE = "no answer before the deadline"
LONGEST_REASON, LONGEST_NOTE = 1000, 300  # characters
MOST_NOTES = 20


class CallsDecider:
    """The pure half of the models process. `size_of(address)` is the size of a held text in bytes."""

    def __init__(self, mandate: Mandate, size_of: Callable[[str], int]) -> None:
        self.state = CallsState()
        self.client, self.organisation, self.size_of = mandate.client, mandate.organisation, size_of
        self.offsets = mandate.organisation.offsets
        self.models, self.limits = mandate.organisation.models, mandate.organisation.limits
        self.stirred = False  # something has changed for those that wait: a Dispatch is due
        self.wake_ms = 0  # when the last Dispatch found that the next one is due, if nothing happens before

    # -- decide
    def decide(self, given: Input, now_ms: int) -> list[Event | Send]:
        """Turn an input into facts and sends."""
        found: list[Event | Send] = []
        match given:
            case Asked():
                found = self._asked(given, now_ms)
            case Over():
                found = self._over(given, now_ms)
            case Settle():
                found = list(self._warnings(given.id, now_ms))
            case Follow():
                found = self._follow(given.id, now_ms)
            case Dispatch():
                found = self._dispatch(now_ms)
            case Dropped():
                found = self._dropped(given.body, now_ms)
            case Tick():
                found = self._expire(now_ms)
            case Resume():
                found = [self._cut_off(call, now_ms, INTERRUPTED) for call in self.state.calls.values() if call.attempt]
        return found

    def _asked(self, asked: Asked, now_ms: int) -> list[Event | Send]:
        body, state = asked.body, self.state
        if body.id in state.calls:
            return []
        model = self.models.model(body.model)
        if model is None or len(state.calls) >= self.limits.queue:
            why = f"{len(state.calls)} questions to models are open, which is the limit; ask again later"
            return self._refused(asked, "refused", f"{self.client} has no model {body.model[:40]!r}" if model is None else why)
        until_ms = now_ms + round(model.call_s * 1000)
        until_ms = min(asked.deadline_ms, until_ms) if asked.deadline_ms else until_ms
        if until_ms <= now_ms:
            return self._refused(asked, "expired", "it came after its deadline")
        inquiry = body.inquiry
        twice = sum(self.size_of(address) for address in (inquiry.tools, inquiry.schema) if address)
        taken = CallTaken(
            request=body.request, task=body.id, agent=body.agent, peer=asked.peer, model=model.name, inquiry=inquiry,
            input_tokens=spending.input_bound(inquiry.total, inquiry.size, twice),
            output_tokens=min(inquiry.output_tokens or model.output_tokens, model.output_tokens), deadline_ms=until_ms,
            until_ms=body.until_ms,
        )  # fmt: skip
        return [taken]

    def _refused(self, asked: Asked, state: Outcome, reason: str) -> list[Event | Send]:
        """The end of a call that was never taken in."""
        body = asked.body
        ended = CallEnded(request=body.request, task=body.id, agent=body.agent, state=state, reason=reason)
        return [ended, Send(asked.peer, f"{body.id}=", 0, Thought(body.id, body.request, state, reason=reason))]

    def _over(self, over: Over, now_ms: int) -> list[Event | Send]:
        """An attempt is over: what it cost, and whether the same may be tried again there."""
        call = self.state.calls.get(over.id)
        if call is None or call.attempt is None or call.attempt.n != over.n:
            return []  # it was given up meanwhile
        usage, target = Usage(), self._target(call)
        if over.tokens is not None and target:
            usage = spending.used(target, *over.tokens)
        elif over.charged:
            usage = call.attempt.bound
        again_ms = now_ms + pause_ms(call.tries, over.wait_ms, over.share) if over.again else 0
        ended = AttemptEnded(
            request=call.request, task=call.id, agent=call.agent, n=over.n, answer=over.answer, size=over.size,
            why=over.why[:LONGEST_NOTE], again_ms=again_ms, counts=over.counts, sick=over.sick and bool(over.why), usage=usage,
            slow=targets.slow(self.models.model(call.model), call.attempt, now_ms), at_ms=now_ms,
            periods=self._periods(now_ms),
        )  # fmt: skip
        return [ended, *targets.returned(self.state, call.attempt, ended)]

    def _cut_off(self, call: Call, now_ms: int, why: str) -> Event:
        """The end of an attempt of which nobody knows what it cost."""
        assert call.attempt is not None, "no attempt is under way"
        return AttemptEnded(
            request=call.request, task=call.id, agent=call.agent, n=call.attempt.n, why=why, again_ms=now_ms, counts=False,
            sick=why == LATE, usage=call.attempt.bound, at_ms=now_ms, periods=self._periods(now_ms),
        )  # fmt: skip

    def _warnings(self, id_: str, now_ms: int) -> Iterator[BudgetNearlySpent]:
        call = self.state.calls.get(id_)
        for whose in self._budgets(call) if call else ():
            if whose.noun == "request":
                continue  # it is soon over
            spent = self.account(whose.scope).of(whose.budget.per, now_ms, self.offsets)
            if call and not spent.warned and spending.nearly(whose.budget, spent):
                text = spending.warning(whose, spent)
                yield BudgetNearlySpent(
                    request=call.request, task=call.id, agent=call.agent, scope=whose.scope, per=whose.budget.per, text=text
                )

    def _follow(self, id_: str, now_ms: int) -> list[Event | Send]:
        """An end, the next target, or nothing: it waits."""
        call = self.state.calls.get(id_)
        if call is None:
            return []
        model = self.models.model(call.model)
        if call.answer:
            return self._ended(call, "answered")
        if call.deadline_ms <= now_ms:
            return self._too_late(call)
        if model is None or call.target >= len(model.chain):
            told = "; ".join(call.left) or f"{call.model} is no longer in the organisation"
            return self._ended(call, "failed", f"no model answered: {told}")
        if not call.faults or (call.due_ms and call.tries < model.attempts and call.due_ms < call.deadline_ms):
            return []
        later = ", which wants to be asked again after the deadline" if call.due_ms >= call.deadline_ms else ""
        return self._left(call, counted(call.faults) + later, now_ms)

    def _left(self, call: Call, why: str, now_ms: int) -> list[Event | Send]:
        """The target that it is at is given up; with a receipt, if there is another."""
        target, model = self._target(call), self.models.model(call.model)
        name = by(target.provider, target.model) if target else "a target that is no longer there"
        left = TargetLeft(request=call.request, task=call.id, agent=call.agent, why=f"{name}: {why}"[:LONGEST_NOTE])
        rest = model.chain[call.target + 1 :] if model and target else ()
        return [left, *([targets.switched(call, name, rest[0], why, now_ms)] if rest else [])]

    def _ended(self, call: Call, state: Outcome, reason: str = "") -> list[Event | Send]:
        reason, notes = reason[:LONGEST_REASON], (*call.left, *call.notes)[:MOST_NOTES]
        ended = CallEnded(
            request=call.request, task=call.id, agent=call.agent, state=state, reason=reason, by=call.by, answer=call.answer,
            usage=call.usage, transcript=call.transcript,
        )  # fmt: skip
        provider = self.models.provider(call.by.partition("/")[0])
        advice = provider is not None and not provider.decides
        body = Thought(call.id, call.request, state, call.answer, reason, call.by, call.usage, notes, advice, call.transcript)
        return [ended, Send(call.peer, f"{call.id}=", 0, body)]

    def _expire(self, now_ms: int) -> list[Event | Send]:
        """What has no answer at its deadline gets none; what an attempt under way may cost is booked."""
        found: list[Event | Send] = []
        for call in self.state.calls.values():
            if call.deadline_ms > now_ms:
                continue
            if call.attempt:
                found.append(self._cut_off(call, now_ms, LATE))  # its Follow ends the call
            else:
                found += self._too_late(call)
        return found

    def _dropped(self, body: Cancel, now_ms: int) -> list[Event | Send]:
        """The calls of a cancelled request end; what an attempt under way may cost is booked."""
        calls = [call for call in self.state.calls.values() if call.request == body.request]
        found: list[Event | Send] = []
        for call in calls:
            if call.attempt:
                found.append(self._cut_off(call, now_ms, "the request was cancelled"))
                call = msgspec.structs.replace(call, usage=spending.together((call.usage, call.attempt.bound)))  # noqa: PLW2901
            found += self._ended(call, "refused", said(body.by, body.reason))
        answer = fitting(Cancelled(body.request, tuple(call.id for call in calls)), self.limits.message_bytes)
        return [*found, Send(f"{self.client}/mai", f"{body.request}!models", 0, answer)]

    def _too_late(self, call: Call) -> list[Event | Send]:
        target = self._target(call)
        here = [f"{by(target.provider, target.model)}: {counted(call.faults)}"] if target and call.faults else []
        told = "; ".join((*call.left, *here)) or "it was still waiting to be asked"
        return self._ended(call, "expired", f"no model answered before the deadline: {told}")

    # -- who may begin
    def _dispatch(self, now_ms: int) -> list[Event | Send]:
        """The first of those that wait that can go on, each agent in its turn; the decider is asked again after it."""
        desk = Desk(self.state, now_ms, self.offsets)
        for call in desk.waiting():
            if found := self._next(call, desk):
                return found
        self.wake_ms = desk.wake_ms
        return []

    def _next(self, call: Call, desk: Desk) -> list[Event | Send]:
        """What a waiting call can do now; [] if it has to wait on."""
        target = self._target(call)
        if target is None:
            return self._follow(call.id, desk.now_ms)
        if desk.until(call.due_ms):
            return []
        key = breaker_of(by(target.provider, target.model))
        if not breaker.of(self.state.breakers, key).lets(desk.now_ms):
            return self._shut(call, desk, key)
        provider = self.models.provider(target.provider)
        if provider is None:
            return self._left(call, "there is no such provider", desk.now_ms)
        return [] if desk.full(provider) else self._afford(call, target, desk)

    def _afford(self, call: Call, target: Target, desk: Desk) -> list[Event | Send]:
        """Begin if it fits the budgets; refuse it if it cannot, whatever others do; else it waits for them."""
        bound = spending.bound(target, call.input_tokens, call.output_tokens)
        budgets = self._budgets(call)
        for whose in budgets:
            spent = self.account(whose.scope).of(whose.budget.per, desk.now_ms, self.offsets)
            if spending.exceeds(whose.budget, spent, bound):
                return self._ended(call, "refused", spending.refusal(whose, spent, bound, desk.now_ms, self.offsets))
        return [self._begin(call, target, bound, desk.now_ms)] if desk.fits(budgets, bound, self.account) else []

    def _shut(self, call: Call, desk: Desk, key: str) -> list[Event | Send]:
        """Its target is not asked for now: on to one that is, else to wait for the first that will be."""
        model = self.models.model(call.model)
        chain = model.chain[call.target :] if model else ()
        breakers = [breaker.of(self.state.breakers, breaker_of(by(target.provider, target.model))) for target in chain]
        first_ms = min((one.again_ms() for one in breakers if one.until_ms), default=0)
        if any(one.lets(desk.now_ms) for one in breakers) or first_ms >= call.deadline_ms:
            said = f"{counted(call.faults)}, then " if call.faults else ""
            return self._left(call, f"{said}not asked after {targets.spoken(breaker.of(self.state.breakers, key))}", desk.now_ms)
        for one in breakers:
            desk.until(one.again_ms())
        return []

    def _begin(self, call: Call, target: Target, bound: Usage, now_ms: int) -> Event:
        return AttemptBegun(
            request=call.request, task=call.id, agent=call.agent, n=call.n + 1, provider=target.provider, model=target.model,
            bound=bound, at_ms=now_ms,
        )  # fmt: skip

    # -- what it looks up
    def _target(self, call: Call) -> Target | None:
        """Where a call is in its model's chain; None at the end of it."""
        model: Model | None = self.models.model(call.model)
        return model.chain[call.target] if model and call.target < len(model.chain) else None

    def _budgets(self, call: Call) -> list[Scoped]:
        return accounts.budgets(self.organisation, call)

    def account(self, scope: str) -> Account:
        """What a scope has spent."""
        return accounts.account(self.state, scope)

    def _periods(self, now_ms: int) -> tuple[str, ...]:
        """Where it is booked what an attempt has cost, if that is not by UTC."""
        return () if self.offsets == UTC else spending.periods(now_ms, self.offsets)

    # -- evolve
    def evolve(self, event: Event, seq: int) -> list[Input]:
        """Fold one fact."""
        state = self.state
        if fold_link(state, event, seq) or fallback.fold(state, event):
            return []
        if call := transcript_records.fold(state.calls, event, seq):
            state.changed("call", call.id, call)
            return []
        match event:
            case CallTaken():
                taken = Call(
                    event.task, event.request, event.agent, event.peer, event.model, event.inquiry, event.input_tokens,
                    event.output_tokens, event.deadline_ms, seq, until_ms=event.until_ms,
                )  # fmt: skip
                accounts.begin(state, event)
                state.calls[event.task] = taken
                state.changed("call", event.task, taken)
                self.stirred = True
            case AttemptBegun(task=task) if task in state.calls:
                return self._fold_begun(event, state.calls[task], seq)
            case AttemptEnded(task=task) if (call := state.calls.get(task)) and (attempt := call.attempt):
                return self._fold_ended(event, call, attempt)
            case TargetLeft(task=task) if task in state.calls:
                return self._fold_left(event, state.calls[task])
            case BudgetNearlySpent():
                self._fold_warning(event)
            case CallEnded(task=task) if state.calls.pop(task, None):
                state.changed("call", task, None)
                self.stirred = True
        return []

    def _fold_begun(self, event: AttemptBegun, call: Call, seq: int) -> list[Input]:
        state = self.state
        call.n, call.attempt = event.n, Attempt(event.n, event.provider, event.model, event.bound, event.at_ms)
        state.turns[event.agent] = seq
        accounts.close(state, event.at_ms)
        targets.begun(state, event)
        state.paces[event.provider] = state.paces.get(event.provider, Pace()).begun(event.at_ms)
        state.changed("pace", event.provider, state.paces[event.provider])
        state.changed("call", call.id, call)
        return [Dispatch()]

    def _fold_ended(self, event: AttemptEnded, call: Call, attempt: Attempt) -> list[Input]:
        state = self.state
        targets.ended(state, attempt, event)
        accounts.book(state, call, event)
        call.attempt, call.usage = None, spending.together((call.usage, event.usage))
        if event.answer:
            call.answer, call.by = event.answer, by(attempt.provider, attempt.model)
            call.transcript = transcript_records.transcript(call, attempt)
        else:
            call.tries, call.due_ms = call.tries + event.counts, event.again_ms
            call.faults = (*call.faults, event.why)
        state.changed("call", call.id, call)
        self.stirred = True
        return [Settle(call.id), Follow(call.id)]

    def _fold_left(self, event: TargetLeft, call: Call) -> list[Input]:
        call.left = (*call.left, event.why)
        call.target, call.tries, call.faults, call.due_ms = call.target + 1, 0, (), 0
        self.state.changed("call", call.id, call)
        self.stirred = True
        return [Follow(call.id)]

    def _fold_warning(self, event: BudgetNearlySpent) -> None:
        account = self.state.accounts.setdefault(event.scope, Account())
        account.warn(event.per)
        self.state.changed("spent", event.scope, account)
        if call := self.state.calls.get(event.task):
            call.notes = (*call.notes, event.text)
            self.state.changed("call", call.id, call)

    def taken(self, received: Received) -> list[Input]:
        """The inputs that Mai's message brings."""
        if isinstance(received.body, Think):
            return [Asked(received.sender, received.body, received.deadline_ms)]
        if isinstance(received.body, Cancel):
            return [Dropped(received.body)]
        return []

    def next_deadline_ms(self) -> int:
        """When a call expires, or one that waits may go on; 0 if neither."""
        times = [call.deadline_ms for call in self.state.calls.values()]
        if self.wake_ms and self.state.calls:
            times.append(self.wake_ms)
        return min(times, default=0)


def restore(state: CallsState, load: Callable[[str], dict[str, bytes]]) -> None:
    """Load what was committed; `load` gives the rows of a noun."""
    state.calls.update({key: msgspec.json.decode(data, type=Call) for key, data in load("call").items()})
    state.accounts.update({key: msgspec.json.decode(data, type=Account) for key, data in load("spent").items()})
    state.paces.update({key: msgspec.json.decode(data, type=Pace) for key, data in load("pace").items()})
    state.of_requests.update({key: msgspec.json.decode(data, type=OfRequest) for key, data in load("spent_request").items()})
    fallback.load(state, load("breaker"))
