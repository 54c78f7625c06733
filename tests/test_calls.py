"""What the models process decides: one Thought for each Think, within every limit, whatever providers and time do."""

from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mai.agents.breaker import FAILURES, FIRST_MS
from mai.agents.budget_scope import DayLimits, RequestLimits
from mai.agents.errand_messages import Thought
from mai.agents.models import Budget, Target
from mai.daemon.calling import BudgetNearlySpent, Over, TargetLeft
from mai.daemon.waiting import LONGEST_PAUSE_MS, PAUSE_MS, counted, pause_ms
from tests.calls_world import World, organisation

GPT = Target(provider="main", model="gpt", input_price=1.0, output_price=4.0)
SMALL = Target(provider="backup", model="small", input_price=0.5, output_price=1.0)
AGENTS = [f"acme/{department}/{agent}" for department in ("support", "sales") for agent in ("one", "two")]
NO_BUDGET = Budget()


def world(*chain: Target, **more: Any) -> World:
    """A fresh one."""
    return World(organisation(*chain, **more))


def only(w: World) -> Any:
    """The one call that has an attempt under way."""
    (call,) = w.running()
    return call


def thought(w: World, id_: str) -> Thought:
    """The answer to a question."""
    return w.thoughts[id_]


# -- one call
def test_an_answer() -> None:
    """What the provider says is passed on with who said it and what it cost."""
    w = world(GPT)
    id_ = w.ask()
    w.answer(only(w), 1000, 50)
    found = thought(w, id_)
    assert (found.state, found.answer, found.by, found.reason, found.notes) == ("answered", "ab" * 32, "main/gpt", "", ())
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.cost_nano) == (1000, 50, 1_200_000)
    assert not found.usage.estimated


def test_a_question_that_comes_again() -> None:
    """An open call is not begun a second time, and gets one Thought."""
    w = world(GPT)
    id_ = w.ask()
    w.ask(id_)
    assert len(w.begun) == 1
    w.answer(only(w))
    assert list(w.thoughts) == [id_]


def test_the_bound_of_an_answer() -> None:
    """A question may ask for less than the model's bound, not for more."""
    w = world(GPT, output_tokens=100)
    for wanted, bound in ((0, 100), (30, 30), (500, 100)):
        w.ask(output_tokens=wanted)
        assert w.begun[-1].bound.output_tokens == bound


def test_an_end_that_comes_twice() -> None:
    """The end of an attempt that is over already says nothing of the one that is under way."""
    w = world(GPT)
    w.ask()
    w.fail(only(w), share=0.0)
    w.feed(Over(only(w).id, 1, "cd" * 32, 10, tokens=(1, 1)))
    assert only(w).n == 2 and not w.thoughts


def test_usage_that_is_not_known_is_booked_at_its_bound() -> None:
    """An answer without usage costs what it could have cost at most, and says so."""
    w = world(GPT)
    id_ = w.ask()
    w.answer(only(w), 5, 5, silent=True)
    assert thought(w, id_).usage == w.begun[0].bound
    assert thought(w, id_).usage.estimated


def test_what_cannot_be_asked() -> None:
    """An unknown model and a question after its deadline are answered at once."""
    w = world(GPT)
    assert thought(w, w.ask(model="stupid")).reason == "acme has no model 'stupid'"
    assert thought(w, w.ask(limit_ms=0)).state == "expired"


def test_a_full_queue() -> None:
    """One question too many is refused, clearly; those that wait are not touched."""
    w = world(GPT, running=1, queue=3)
    ids = [w.ask() for _ in range(4)]
    assert list(w.thoughts) == ids[3:]
    assert thought(w, ids[3]).state == "refused"
    assert thought(w, ids[3]).reason == "3 questions to models are open, which is the limit; ask again later"


# -- retries and the chain
def test_retries_then_the_next_target() -> None:
    """A target is tried as often as it may be, then the next one is; the Thought says why in one sentence."""
    w = world(GPT, SMALL, attempts=4)
    id_ = w.ask()
    for _ in range(4):
        w.fail(only(w), "429", charged=False, share=0.5)
        w.wait(LONGEST_PAUSE_MS)
    w.answer(only(w), 10, 10)
    assert thought(w, id_).by == "backup/small"
    assert thought(w, id_).notes == ("main/gpt: 429 four times",)


def test_all_targets_fail() -> None:
    """If nobody answers the reason says of each why not."""
    w = world(GPT, SMALL, attempts=2)
    id_ = w.ask()
    w.fail(only(w), "500")
    w.wait(LONGEST_PAUSE_MS)
    w.fail(only(w), "silent for 30 s")
    w.fail(only(w), "401 with the key of the credential b", again=False, charged=False)
    assert thought(w, id_).state == "failed"
    assert thought(w, id_).reason == (
        "no model answered: main/gpt: 500, silent for 30 s; backup/small: 401 with the key of the credential b"
    )
    assert thought(w, id_).usage.estimated


def test_not_tried_again() -> None:
    """What would be answered the same again is asked of the next target at once."""
    w = world(GPT, SMALL)
    w.ask()
    w.fail(only(w), "400 invalid_request", again=False, sick=False, charged=False)
    assert [one.model for one in w.begun] == ["gpt", "small"]


@pytest.mark.parametrize("wait_ms", [1, 1500, 20_000])
def test_retry_after_is_honoured(wait_ms: int) -> None:
    """No attempt begins before the provider wants to be asked again."""
    w = world(GPT)
    w.ask()
    ended_ms = w.now_ms
    w.fail(only(w), "429", charged=False, wait_ms=wait_ms, share=0.9)
    w.wait(59_000)
    assert ended_ms + wait_ms <= w.begun[1].at_ms <= ended_ms + wait_ms + PAUSE_MS


def test_retry_after_the_deadline() -> None:
    """Who wants to be asked again only after the deadline is not waited for."""
    w = world(GPT, SMALL)
    id_ = w.ask()
    w.fail(only(w), "429", charged=False, wait_ms=3_600_000)
    assert w.begun[-1].model == "small"
    w.answer(only(w))
    assert thought(w, id_).notes == ("main/gpt: 429, which wants to be asked again after the deadline",)


def test_the_pause_is_jittered() -> None:
    """The longest pause doubles, and chance says how much of it there is."""
    assert [pause_ms(tries, 0, 0.999999) for tries in range(6)] == [500, 1000, 2000, 4000, 8000, 8000]
    assert pause_ms(3, 0, 0.0) == 0
    assert pause_ms(3, 0, 0.25) == 1000


def test_faults_are_counted() -> None:
    """What happened again is said once."""
    assert counted(["429"] * 4) == "429 four times"
    assert counted(["429", "429", "500", "429"]) == "429 twice, 500, 429"
    assert counted(["a"] * 7) == "a 7 times"


def test_waiting_for_the_local_model_is_no_attempt() -> None:
    """What does not count is tried again until the deadline."""
    w = world(GPT, attempts=2)
    id_ = w.ask()
    for _ in range(10):
        w.fail(only(w), "the local model is not there yet", counts=False, sick=False, charged=False, wait_ms=1000)
        w.wait(2000)
    w.answer(only(w))
    assert thought(w, id_).state == "answered"


# -- deadlines
def test_a_deadline_ends_what_waits_and_what_is_under_way() -> None:
    """At its deadline a call ends: what may have been taken is booked, what comes later is ignored."""
    w = world(GPT, running=1, call_s=10.0)
    first, second = w.ask(), w.ask()
    late = Over(only(w).id, 1, "ab" * 32, 10, tokens=(1, 1))
    w.wait(10_000)
    assert thought(w, first).reason == "no model answered before the deadline: main/gpt: no answer before the deadline"
    assert thought(w, first).usage == w.begun[0].bound
    assert thought(w, second).reason == "no model answered before the deadline: it was still waiting to be asked"
    assert {thought(w, one).state for one in (first, second)} == {"expired"}
    before = len(w.journal)
    w.feed(late)
    assert len(w.journal) == before
    assert not w.decider.state.calls


def test_the_envelopes_deadline_counts() -> None:
    """Whatever the model allows, nobody waits after the asker's own deadline."""
    w = world(GPT, running=1, call_s=60.0)
    w.ask(limit_ms=500)
    w.wait(500)
    assert not w.decider.state.calls


# -- limits
def test_places_go_round_among_agents() -> None:
    """With one place, an agent with many questions waits for the one with few."""
    w = world(GPT, running=1)
    many = [w.ask(agent=AGENTS[0]) for _ in range(4)]
    few = [w.ask(agent=agent) for agent in AGENTS[1:3]]
    order = []
    while w.running():
        order.append(only(w).id)
        w.answer(only(w))
    assert order == [many[0], few[0], few[1], *many[1:]]


def test_the_pace() -> None:
    """No more calls begin in a minute than the provider allows; the others begin when they may."""
    w = world(GPT, running=1000, per_minute=5, call_s=600.0)
    for _ in range(12):
        w.ask(limit_ms=600_000)
    assert len(w.begun) == 5
    w.wait(66_000)
    assert len(w.begun) == 10
    w.wait(66_000)
    assert len(w.begun) == 12


def test_an_open_breaker_is_bypassed() -> None:
    """Who failed five times in a row is not asked by others either; they go on to the next target, with a note."""
    w = world(GPT, SMALL, running=10, attempts=1)
    for _ in range(FAILURES):
        w.ask()
    for call in [call for call in w.running() if call.attempt and call.attempt.model == "gpt"]:
        w.fail(call, "503")
    id_ = w.ask()
    assert w.begun[-1].model == "small"
    w.answer(w.decider.state.calls[id_])
    assert thought(w, id_).notes == ("main/gpt: not asked after 5 failures in a row",)


def test_an_open_breaker_is_waited_for() -> None:
    """If nobody else is there, the call waits until one may try; the others wait for what comes of that."""
    w = world(GPT, running=10, attempts=9)
    ids = [w.ask() for _ in range(FAILURES)]
    for call in w.running():
        w.fail(call, "503", share=0.9)
    w.wait(FIRST_MS - 1)
    assert not w.running()
    w.wait(1)
    trial = only(w)
    w.answer(trial)
    assert len(w.running()) == FAILURES - 1
    for call in w.running():
        w.answer(call)
    assert all(thought(w, one).state == "answered" for one in ids)


def test_an_open_breaker_beyond_the_deadline() -> None:
    """A call whose deadline is before that ends at once, with the reason."""
    w = world(GPT, running=10, attempts=9)
    for _ in range(FAILURES):
        w.ask()
    for call in w.running():
        w.fail(call, "503", share=0.0)
    id_ = w.ask(limit_ms=FIRST_MS // 2)
    assert thought(w, id_).state == "failed"
    assert thought(w, id_).reason == "no model answered: main/gpt: not asked after 5 failures in a row"


# -- budgets
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_budget_is_a_hard_stop(level: int) -> None:
    """What could exceed a budget is refused: which one, how much is spent, when there is more. A new period begins anew."""
    budgets = [NO_BUDGET] * 3
    budgets[level] = Budget(tokens=5000, per="day")
    w = world(GPT, budgets=tuple(budgets), output_tokens=100)
    w.ask()
    w.answer(only(w), 1100, 100)
    w.ask()
    w.answer(only(w), 1100, 2000)  # it says more than it was allowed: that is booked
    refused = w.ask()
    whose = ("client acme", "department acme/support", "agent acme/support/one")[level]
    assert thought(w, refused).state == "refused"
    assert thought(w, refused).reason == (
        f"the budget of the {whose} is 5000 tokens of this day: 4300 are spent, and this call could take 1288; "
        "it is renewed on 2026-12-01 at 00:00 UTC"
    )
    others = [w.ask(agent=agent) for agent in AGENTS[1:]]
    assert [one in w.thoughts for one in others] == [[True] * 3, [True, False, False], [False] * 3][level]
    w.finish()
    w.wait(2 * 3_600_000)
    again = w.ask()
    w.answer(w.decider.state.calls[again])
    assert thought(w, again).state == "answered"


def test_a_call_waits_for_what_others_have_reserved() -> None:
    """What fits alone, but not beside others' reservations, waits; nobody behind it takes its turn."""
    w = world(GPT, running=10, budgets=(Budget(tokens=4000), NO_BUDGET, NO_BUDGET), output_tokens=100)
    first, second = w.ask(), w.ask()
    large, small = w.ask(size=1500), w.ask(size=1)
    assert [call.id for call in w.running()] == [first, second]
    w.answer(w.decider.state.calls[first], 100, 10)
    assert [call.id for call in w.running()] == [second]
    w.answer(w.decider.state.calls[second], 100, 10)
    assert [call.id for call in w.running()] == [large]
    w.answer(w.decider.state.calls[large], 100, 10)
    assert [call.id for call in w.running()] == [small]


def test_a_request_has_a_budget_over_all_departments() -> None:
    """Whoever asks for it: beyond its tokens the call is refused, and a new life of the process knows what was spent."""
    w = world(GPT, request=RequestLimits(tokens=3000), output_tokens=100)
    w.ask(agent="acme/support/one")
    w.answer(only(w), 1500, 100)
    w.crash()
    id_ = w.ask(agent="acme/sales/two", size=1000)
    said = thought(w, id_)
    assert said.state == "refused"
    assert "the budget of the request r is 3000 tokens in all: 1600 are spent" in said.reason


def test_a_department_has_a_budget_for_the_day_beside_that_for_the_month() -> None:
    """The narrower of the two counts, and the day's is new on the next."""
    w = world(GPT, day=DayLimits(tokens=2500), budgets=(NO_BUDGET, Budget(tokens=10**6), NO_BUDGET), output_tokens=100)
    w.ask()
    w.answer(only(w), 1100, 100)
    id_ = w.ask(size=1000)
    assert "the budget of the department acme/support is 2500 tokens of this day: 1200 are spent" in thought(w, id_).reason
    w.wait(86_400_000)
    id_ = w.ask()
    w.answer(only(w), 10, 10)
    assert thought(w, id_).state == "answered"


def test_money() -> None:
    """A budget of money is a hard stop too."""
    w = world(GPT, budgets=(NO_BUDGET, NO_BUDGET, Budget(money=0.002)), output_tokens=100)
    w.ask()
    w.answer(only(w), 1000, 100)
    id_ = w.ask()
    assert thought(w, id_).state == "refused"
    assert "is 0.002 of this month: 0.0014 are spent, and this call could take 0.001588;" in thought(w, id_).reason


def test_a_warning_at_four_fifths() -> None:
    """It is said once in a period that a budget is nearly spent: on record, and in the Thought of who reached it."""
    w = world(GPT, budgets=(Budget(tokens=10_000, per="day"), NO_BUDGET, NO_BUDGET), output_tokens=100)
    ids = []
    for tokens in (7900, 100, 100):
        ids.append(w.ask())
        w.answer(only(w), tokens, 0)
    told = "the budget of this day of the client acme is nearly spent: 8000 of 10000 tokens"
    assert [thought(w, one).notes for one in ids] == [(), (told,), ()]
    w.wait(2 * 3_600_000)
    for tokens in (7000, 1500):
        w.ask()
        w.answer(only(w), tokens, 0)
    assert sum(isinstance(event, BudgetNearlySpent) for event in w.journal) == 2


# -- the end of a process
def test_a_crash_between_begin_and_end() -> None:
    """An attempt whose end nobody saw is booked at its bound and made again; what was answered is not."""
    w = world(GPT, running=10)
    done, open_ = w.ask(), w.ask()
    w.answer(w.decider.state.calls[done], 10, 10)
    w.crash()
    assert list(w.thoughts) == [done]
    assert [one.task for one in w.begun] == [done, open_, open_]
    w.answer(only(w), 10, 10)
    usage = thought(w, open_).usage
    assert usage.estimated and usage.tokens == w.begun[1].bound.tokens + 20


def test_a_changed_organisation() -> None:
    """A call whose model is gone after a restart ends, with the reason."""
    w = world(GPT)
    id_ = w.ask()
    other = organisation(GPT)
    renamed = msgspec.structs.replace(other.models.models[0], name="other")
    w.organisation = msgspec.structs.replace(other, models=msgspec.structs.replace(other.models, models=(renamed,)))
    w.crash()
    assert thought(w, id_).state == "failed"
    assert thought(w, id_).reason == "no model answered: clever is no longer in the organisation"


# -- everything together
class Calls(RuleBasedStateMachine):
    """Any order of questions, answers, faults, time and crashes."""

    world: World

    @initialize(
        tokens=st.sampled_from([0, 4000, 9000, 30_000]),
        money=st.sampled_from([0.0, 0.02]),
        level=st.integers(0, 2),
        running=st.integers(1, 3),
        per_minute=st.sampled_from([2, 10, 1000]),
        two=st.booleans(),
        queue=st.sampled_from([3, 1000]),
        of_request=st.sampled_from([0, 0, 20_000]),
        of_day=st.sampled_from([0, 0, 9000]),
    )
    def begin(
        self,
        *,
        tokens: int,
        money: float,
        level: int,
        running: int,
        per_minute: int,
        two: bool,
        queue: int,
        of_request: int,
        of_day: int,
    ) -> None:
        """An organisation with some limits."""
        budgets = [NO_BUDGET, Budget(tokens=60_000, per="day"), NO_BUDGET]
        budgets[level] = Budget(tokens=tokens, money=money, per="hour")
        chain = (GPT, SMALL) if two else (GPT,)
        self.world = world(
            *chain,
            running=running,
            per_minute=per_minute,
            budgets=tuple(budgets),
            attempts=3,
            output_tokens=200,
            queue=queue,
            request=RequestLimits(tokens=of_request),
            day=DayLimits(tokens=of_day),
        )

    @rule(agent=st.sampled_from(AGENTS), size=st.integers(1, 3000), limit_ms=st.sampled_from([500, 30_000, 60_000]))
    def ask(self, agent: str, size: int, limit_ms: int) -> None:
        """A question."""
        self.world.ask(agent=agent, size=size, limit_ms=limit_ms)

    @precondition(lambda self: self.world.asked)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """A question that is open comes again."""
        open_ = sorted(self.world.decider.state.calls)
        if open_:
            self.world.ask(data.draw(st.sampled_from(open_)))

    @precondition(lambda self: self.world.running())
    @rule(data=st.data(), share=st.floats(0, 1), silent=st.booleans())
    def answer(self, data: st.DataObject, share: float, silent: bool) -> None:
        """A truthful provider answers."""
        call = data.draw(st.sampled_from(self.world.running()))
        assert call.attempt
        bound = call.attempt.bound
        self.world.answer(call, round(bound.input_tokens * share), round(bound.output_tokens * share), silent=silent)

    @precondition(lambda self: self.world.running())
    @rule(
        data=st.data(), why=st.sampled_from(["429", "500", "400"]), wait_ms=st.sampled_from([0, 0, 700, 90_000]),
        share=st.floats(0, 0.99), counts=st.booleans(),
    )  # fmt: skip
    def fail(self, data: st.DataObject, why: str, wait_ms: int, share: float, counts: bool) -> None:
        """A provider fails; what he asks for is honoured."""
        call = data.draw(st.sampled_from(self.world.running()))
        assert call.attempt
        id_, until_ms, before = call.id, self.world.now_ms + wait_ms, len(self.world.begun)
        model = call.attempt.model
        charged, again, sick = why == "500", why != "400", why != "400"
        self.world.fail(call, why, charged=charged, again=again, sick=sick, wait_ms=wait_ms, share=share, counts=counts)
        if wait_ms:
            self.world.wait(wait_ms - 1)
            soon = [one for one in self.world.begun[before:] if (one.task, one.model) == (id_, model)]
            assert not soon, f"it was asked again before {until_ms}"

    @rule(ms=st.sampled_from([1, 100, 2000, 6000, 40_000, 3_600_000]))
    def time(self, ms: int) -> None:
        """Time goes by."""
        self.world.wait(ms)

    @rule()
    def crash(self) -> None:
        """The process dies and starts."""
        self.world.crash()

    @invariant()
    def open_or_answered(self) -> None:
        """Each question is open or answered, never both, never neither."""
        if hasattr(self, "world"):
            w = self.world
            assert sorted([*w.decider.state.calls, *w.thoughts]) == sorted(w.asked)
            assert not any(call.deadline_ms < w.now_ms for call in w.decider.state.calls.values())

    def teardown(self) -> None:
        """All ends."""
        if hasattr(self, "world"):
            self.world.finish()
            left = [event.task for event in self.world.journal if isinstance(event, TargetLeft)]
            assert all(left.count(id_) <= 2 for id_ in left)


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
