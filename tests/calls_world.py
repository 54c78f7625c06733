"""A models process without disk, wire and network: the real decider, a list for a journal, time and providers that tests move."""

from collections import Counter, deque
from datetime import UTC, datetime
from typing import Any

import msgspec

from mai.agents.budget_scope import DayLimits, RequestLimits
from mai.agents.decider import Input, Send, Tick
from mai.agents.errand_messages import Inquiry, Think, Thought, Usage
from mai.agents.events import Event, Received, Sent
from mai.agents.models import Budget, Model, Models, Provider, Target
from mai.agents.organisation import Agent, Department, Organisation, mandate
from mai.daemon import spending
from mai.daemon.calling import AttemptBegun, AttemptEnded, Call, Dispatch, Over, Resume
from mai.daemon.calls import CallsDecider, restore
from mai.daemon.spending import scopes

MAI = "acme/mai"
START_MS = round(datetime(2026, 11, 30, 22, 0, tzinfo=UTC).timestamp() * 1000)
REQUEST_MS = 10**12  # how long the one request lasts
FREE, FREE_DAY = RequestLimits(), DayLimits()
MOST_TURNS = 20_000
Row = tuple[str, str]


def organisation(
    *chain: Target,
    running: int = 3,
    per_minute: int = 1000,
    budgets: tuple[Budget, Budget, Budget] = (Budget(), Budget(), Budget()),
    queue: int = 1000,
    request: RequestLimits = FREE,
    day: DayLimits = FREE_DAY,
    **of_the_model: Any,
) -> Organisation:
    """Two departments with two agents each, whose model is asked at `main`, then at `backup`."""
    providers = tuple(
        Provider(name=name, url="http://127.0.0.1:1/v1", running=running, per_minute=per_minute) for name in ("main", "backup")
    )
    model = Model(name="clever", chain=chain or (Target(provider="main", model="gpt"),), **of_the_model)
    agents = tuple(Agent(name=name, rank="operator", model="clever", budget=budgets[2]) for name in ("one", "two"))
    departments = tuple(
        Department(name=name, charter="", agents=agents, budget=budgets[1], day=day) for name in ("support", "sales")
    )
    models = Models(providers=providers, models=(model,), budget=budgets[0])
    whole = Organisation(name="x", clients=("acme",), departments=departments, models=models, digest="d")
    return msgspec.structs.replace(whole, limits=msgspec.structs.replace(whole.limits, queue=queue, request=request))


class World:
    """One client's models process; after each fact it is checked that no limit is exceeded."""

    def __init__(self, organisation: Organisation) -> None:
        self.organisation, self.now_ms = organisation, START_MS
        self.journal: list[Event] = []
        self.asked: list[str] = []
        self.thoughts: dict[str, Thought] = {}
        self.truth: Counter[tuple[str, str, str]] = Counter()  # scope, period, tokens or nano -> what was really taken
        self.begun: list[AttemptBegun] = []
        self.decider = self._decider()

    def _decider(self) -> CallsDecider:
        return CallsDecider(mandate(self.organisation, "acme", "models"), lambda address: 100)

    # -- the turn, as the process has it
    def feed(self, *inputs: Input) -> None:
        """Decide, journal, evolve; then whoever may begin does."""
        self._feed(*inputs)
        turns = 0
        while self.decider.stirred or 0 < self.decider.wake_ms <= self.now_ms:
            self.decider.stirred = False
            self._feed(Dispatch())
            turns += 1
            assert turns < MOST_TURNS, "it goes round in circles"

    def _feed(self, *inputs: Input) -> None:
        queue = deque(inputs)
        while queue:
            for item in self.decider.decide(queue.popleft(), self.now_ms):
                queue.extend(self._apply(item))

    def _apply(self, item: Event | Send) -> list[Input]:
        if isinstance(item, Send):
            assert isinstance(item.body, Thought) and item.to == MAI and item.id == f"{item.body.id}="
            assert item.body.id not in self.thoughts, "a second Thought"
            self.thoughts[item.body.id] = item.body
            lseq = self.decider.state.link(MAI).sent + 1
            item = Sent(to=MAI, lseq=lseq, id=item.id, request="r", task="", deadline_ms=0, body=item.body)
        self.journal.append(item)
        if isinstance(item, AttemptBegun):
            self.begun.append(item)
        following = self.decider.evolve(item, len(self.journal))
        if isinstance(item, AttemptBegun | AttemptEnded):
            self._check_limits()
        return following

    # -- what happens
    def ask(
        self, id_: str = "", agent: str = "acme/support/one", *, size: int = 100, limit_ms: int = 60_000, **inquiry: Any
    ) -> str:
        """A question."""
        id_ = id_ or f"r/1.m{len(self.asked) + 1}"
        body = Think(id_, "r", agent, inquiry.pop("model", "clever"), Inquiry(("a",), size, **inquiry), START_MS + REQUEST_MS)
        lseq, until_ms = self.decider.state.link(MAI).received + 1, self.now_ms + limit_ms
        received = Received(
            sender=MAI, lseq=lseq, id=id_, request="r", task="", organisation="d", deadline_ms=until_ms, head_seq=1, head="",
            body=body,
        )  # fmt: skip
        if id_ not in self.asked:
            self.asked.append(id_)
        self._apply(received)
        self.feed(*self.decider.taken(received))
        return id_

    def running(self) -> list[Call]:
        """The calls with an attempt under way."""
        return [call for call in self.decider.state.calls.values() if call.attempt]

    def answer(self, call: Call, *tokens: int, silent: bool = False) -> None:
        """The provider answers, within its bounds, and says what that took unless he is silent; then it is not known."""
        assert call.attempt
        bound = call.attempt.bound
        given, got = tokens or (bound.input_tokens, bound.output_tokens)
        self._take(call, given, got)
        self.feed(Over(call.id, call.n, "ab" * 32, 10, tokens=None if silent else (given, got)))

    def fail(self, call: Call, why: str = "500", **more: Any) -> None:
        """The attempt fails."""
        assert call.attempt
        if more.get("charged", True):
            self._take(call, call.attempt.bound.input_tokens, call.attempt.bound.output_tokens)
        self.feed(Over(call.id, call.n, why=why, **{"again": True, **more}))

    def _take(self, call: Call, given: int, got: int) -> None:
        assert call.attempt
        target = next(
            one
            for one in self.organisation.models.models[0].chain
            if (one.provider, one.model) == (call.attempt.provider, call.attempt.model)
        )
        usage: Usage = spending.used(target, given, got)
        for scope in (*scopes(call.agent), spending.of_request(call.request)):
            for per in spending.PERIODS:
                name = spending.period(per, self.now_ms)
                self.truth[scope, f"{per} {name}", "tokens"] += usage.tokens
                self.truth[scope, f"{per} {name}", "nano"] += usage.cost_nano

    def wait(self, ms: int) -> None:
        """Time goes by; whatever is due in it happens when it is."""
        until_ms, turns = self.now_ms + ms, 0
        while 0 < (due_ms := self.decider.next_deadline_ms()) <= until_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self.feed(Tick())
            turns += 1
            assert turns < MOST_TURNS, "something is always due, and nothing happens"
        self.now_ms = until_ms

    def crash(self) -> None:
        """The process dies and starts: its rows are what the journal gives, and it goes on from them."""
        rows = self.rows(self.decider)
        again = self._decider()
        for seq, event in enumerate(self.journal, 1):
            again.evolve(event, seq)
        assert self.rows(again) == rows
        self.decider = self._decider()
        restore(self.decider.state, lambda noun: {key: data for (of, key), data in rows.items() if of == noun})
        link = self.decider.state.link(MAI)
        old = again.state.link(MAI)
        link.sent, link.received, link.acked, link.oldest = old.sent, old.received, old.acked, old.oldest
        self.decider.state.changes.update(again.state.changes)  # what the disk has
        for noun, key in list(self.decider.state.changes):
            held = {"call": self.decider.state.calls, "spent": self.decider.state.accounts, "pace": self.decider.state.paces}
            if noun in held:
                self.decider.state.changes[noun, key] = held[noun].get(key)  # type: ignore[attr-defined]
            elif noun == "link":
                self.decider.state.changes[noun, key] = link
        for call in self.running():
            bound = call.attempt.bound if call.attempt else Usage()
            self._take(call, bound.input_tokens, bound.output_tokens)
        self.decider.stirred = True
        self.feed(Resume())

    @staticmethod
    def rows(decider: CallsDecider) -> dict[Row, bytes]:
        """The rows of state as they would stand on the disk."""
        return {row: msgspec.json.encode(value) for row, value in decider.state.changes.items() if value is not None}

    def finish(self) -> None:
        """All attempts fail from now on, until nothing is open."""
        turns = 0
        while self.decider.state.calls:
            for call in self.running():
                if call.id in self.decider.state.calls and call.attempt:
                    self.fail(call)
            if due_ms := self.decider.next_deadline_ms():
                self.wait(max(0, due_ms - self.now_ms))
            turns += 1
            assert turns < MOST_TURNS, "it does not end"
        assert sorted(self.thoughts) == sorted(self.asked)

    # -- what holds
    def _check_limits(self) -> None:
        providers = {provider.name: provider for provider in self.organisation.models.providers}
        at_work = Counter(call.attempt.provider for call in self.running() if call.attempt)
        for name, provider in providers.items():
            assert at_work[name] <= provider.running
            begun = [one.at_ms for one in self.begun if one.provider == name]
            assert sum(at > self.now_ms - 60_000 for at in begun) <= provider.per_minute
        limits, of = self.organisation.limits.request, spending.of_request("r")
        budgets = [("acme", self.organisation.models.budget), (of, Budget(tokens=limits.tokens, money=limits.money, per="ever"))]
        for department in self.organisation.departments:
            day = Budget(tokens=department.day.tokens, money=department.day.money, per="day")
            budgets += [(f"acme/{department.name}", department.budget), (f"acme/{department.name}", day)]
            budgets += [(f"acme/{department.name}/{agent.name}", agent.budget) for agent in department.agents]
        for scope, budget in budgets:
            if scope == of and self.now_ms > START_MS + REQUEST_MS:
                continue  # it is over, and its account may be closed
            held = spending.together(
                call.attempt.bound for call in self.running() if call.attempt and scope in (*scopes(call.agent), of)
            )
            key = f"{budget.per} {spending.period(budget.per, self.now_ms)}"
            booked = self.decider.account(scope).of(budget.per, self.now_ms)
            for kind, limit, mine, reserved in (
                ("tokens", budget.tokens, booked.tokens, held.tokens),
                ("nano", round(budget.money * 1e9), booked.cost_nano, held.cost_nano),
            ):
                assert self.truth[scope, key, kind] <= mine + reserved, "more was taken than is booked"
                assert not limit or mine + reserved <= limit, f"the {kind} of {scope} are exceeded"
