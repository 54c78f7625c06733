"""Budgets: what is booked where and when, what a call can cost at most, and what people are told."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents.errand_messages import Usage
from mai.agents.models import Budget, Period, Target
from mai.daemon import spending
from mai.daemon.spending import Account, Scoped, Spent

NOON_MS = round(datetime(2026, 11, 30, 12, 30, tzinfo=UTC).timestamp() * 1000)
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
GPT = Target(provider="main", model="gpt", input_price=0.25, output_price=2.0)


def test_whose_account() -> None:
    """A call is booked for its client, its department and its agent."""
    assert spending.scopes("acme/support/desk") == ["acme", "acme/support", "acme/support/desk"]


def test_what_it_costs() -> None:
    """Prices are of a million tokens; a billionth is the smallest amount."""
    assert spending.used(GPT, 1_000_000, 0).cost_nano == 250_000_000
    assert spending.used(GPT, 1000, 10) == Usage(1000, 10, 270_000)
    assert spending.used(Target(provider="main"), 5, 5).cost_nano == 0


PAIRS = st.tuples(st.integers(0, 10**7), st.integers(0, 10**7))


@given(taken=PAIRS, room=PAIRS, prices=st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)))
def test_a_bound_is_one(taken: tuple[int, int], room: tuple[int, int], prices: tuple[float, float]) -> None:
    """Whoever takes no more tokens than the bound says costs no more than the bound says."""
    target = Target(provider="main", input_price=prices[0], output_price=prices[1])
    bound = spending.bound(target, taken[0] + room[0], taken[1] + room[1])
    assert bound.estimated
    assert spending.used(target, *taken).cost_nano <= bound.cost_nano


@given(st.lists(st.text(max_size=200), max_size=8))
def test_a_token_is_at_least_a_byte(texts: list[str]) -> None:
    """The bound of a request is above its bytes, however many messages they are in."""
    size = sum(len(text.encode()) for text in texts)
    assert spending.input_bound(len(texts), size, 0) > size + len(texts)


@pytest.mark.parametrize(
    ("per", "later_ms", "spent"),
    [("hour", HOUR_MS, 5), ("hour", HOUR_MS // 4, 10), ("day", DAY_MS, 5), ("day", HOUR_MS, 10), ("month", DAY_MS, 5),
     ("month", HOUR_MS, 10), ("ever", 400 * DAY_MS, 10)],
)  # fmt: skip
def test_a_period_begins_with_nothing_spent(per: Period, later_ms: int, spent: int) -> None:
    """What was spent counts until the calendar's period is over, in UTC."""
    account = Account()
    account.book(Usage(5, 0), NOON_MS)
    account.warn(per)
    account.book(Usage(2, 3), NOON_MS + later_ms)
    found = account.of(per, NOON_MS + later_ms)
    assert found.tokens == spent
    assert found.warned == (spent == 10)


def test_a_clock_set_back_opens_no_old_period() -> None:
    """What was booked under a later date still counts when the clock goes back."""
    account = Account()
    account.book(Usage(5, 0), NOON_MS)
    assert account.of("month", NOON_MS - 40 * DAY_MS).tokens == 5
    account.book(Usage(5, 0), NOON_MS - 40 * DAY_MS)
    assert account.of("month", NOON_MS).tokens == 10


def test_what_is_said_of_it() -> None:
    """A refusal names the budget, what is spent of it, what the call could take, and when there is a new one."""
    whose = Scoped("acme/support", "department", Budget(tokens=1000, per="month"))
    told = spending.refusal(whose, Spent("2026-11", 900), Usage(150, 50), NOON_MS)
    assert told == (
        "the budget of the department acme/support is 1000 tokens of this month: 900 are spent, and this call could take 200; "
        "it is renewed on 2026-12-01 at 00:00 UTC"
    )
    whose = Scoped("acme", "client", Budget(money=1.5, per="ever"))
    told = spending.refusal(whose, Spent("", 0, 1_400_000_000), Usage(1, 1, 200_000_000), NOON_MS)
    assert told == "the budget of the client acme is 1.5 in all: 1.4 are spent, and this call could take 0.2; it is not renewed"
    whose = Scoped("acme", "client", Budget(money=2.0, tokens=50, per="day"))
    told = spending.warning(whose, Spent("", 45, 1_700_000_000))
    assert told == "the budget of this day of the client acme is nearly spent: 45 of 50 tokens, 1.7 of 2"


@pytest.mark.parametrize(
    ("per", "when"),
    [("hour", "2026-11-30 at 13:00"), ("day", "2026-12-01 at 00:00"), ("month", "2026-12-01 at 00:00")],
)
def test_when_it_is_renewed(per: Period, when: str) -> None:
    """The next period begins when the clock in UTC says so."""
    assert spending.renews(per, NOON_MS) == f"it is renewed on {when} UTC"


def test_the_last_token_may_be_spent() -> None:
    """A limit may be reached to the token; one more exceeds it. 0 is no limit."""
    assert spending.exceeds(Budget(tokens=100), Spent("", 60), Usage(30, 10)) == ""
    assert spending.exceeds(Budget(tokens=100), Spent("", 60), Usage(30, 11)) == "tokens"
    assert spending.exceeds(Budget(money=1.0), Spent("", 9, 999_999_999), Usage(0, 0, 2)) == "money"
    assert spending.exceeds(Budget(), Spent("", 10**9, 10**18), Usage(1, 1, 1)) == ""
