"""The circuit breaker and the pace: who fails rests, and nobody is asked more often than he may be."""

from hypothesis import given
from hypothesis import strategies as st

from mai.agents.breaker import FAILURES, FIRST_MS, LONGEST_MS, Breaker
from mai.daemon.pace import Pace

HOUR_MS = 3_600_000


def failed(breaker: Breaker, now_ms: int, attempt: str = "a") -> None:
    """One more failure."""
    breaker.begun(attempt)
    breaker.ended(attempt, sick=True, now_ms=now_ms)


def test_it_opens_after_failures_in_a_row() -> None:
    """The fifth failure in a row opens it; a success in between starts the count anew."""
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        failed(breaker, 0)
    assert breaker.lets(0)
    breaker.ended("a", sick=False, now_ms=0)
    for _ in range(FAILURES - 1):
        failed(breaker, 0)
    assert breaker.lets(0)
    failed(breaker, 100)
    assert not breaker.lets(100 + FIRST_MS - 1)
    assert breaker.lets(100 + FIRST_MS)


def test_half_open_lets_one_through() -> None:
    """After the rest one attempt tries; others wait for it, and its success closes it for all."""
    breaker = Breaker()
    for _ in range(FAILURES):
        failed(breaker, 0)
    breaker.begun("trial")
    assert not breaker.lets(HOUR_MS)
    assert breaker.again_ms() == 0
    breaker.ended("trial", sick=False, now_ms=HOUR_MS)
    assert breaker.lets(HOUR_MS)
    assert breaker == Breaker()


def test_the_rest_doubles() -> None:
    """Each failed trial doubles the rest, up to five minutes."""
    breaker, rests, now_ms = Breaker(), [], 0
    for _ in range(FAILURES):
        failed(breaker, now_ms)
    for _ in range(10):
        rests.append(breaker.until_ms - now_ms)
        now_ms = breaker.until_ms
        assert breaker.lets(now_ms)
        failed(breaker, now_ms, "trial")
    assert rests[:4] == [FIRST_MS, 2 * FIRST_MS, 4 * FIRST_MS, 8 * FIRST_MS]
    assert rests[-1] == LONGEST_MS


def test_late_failures_do_not_lengthen_the_rest() -> None:
    """What was begun before it opened and fails afterwards changes nothing, nor does it end a trial."""
    breaker = Breaker()
    for _ in range(FAILURES):
        failed(breaker, 0)
    breaker.ended("early", sick=True, now_ms=100)
    assert breaker.until_ms == FIRST_MS
    breaker.begun("trial")
    breaker.ended("early", sick=True, now_ms=FIRST_MS + 1)
    assert not breaker.lets(HOUR_MS)


@given(st.integers(1, 20), st.lists(st.integers(0, 20_000), max_size=60))
def test_no_minute_has_more_than_its_number(per_minute: int, gaps: list[int]) -> None:
    """Whenever one begins as soon as it may, no minute has more beginnings than allowed; and it may after a minute or so."""
    pace, now_ms, begun = Pace(), 1_000_000, list[int]()
    for gap in gaps:
        now_ms += gap
        free_ms = pace.free_ms(per_minute, now_ms)
        assert free_ms <= now_ms + 65_000
        now_ms = max(now_ms, free_ms)
        assert pace.free_ms(per_minute, now_ms) <= now_ms, "what it says is when it may"
        pace = pace.begun(now_ms)
        begun.append(now_ms)
    assert all(sum(at - 60_000 < other <= at for other in begun) <= per_minute for at in begun)
    assert len(pace.slots) <= 13


def test_a_clock_set_back_blocks_nobody() -> None:
    """What was counted in what is now the future does not count."""
    pace = Pace().begun(10 * HOUR_MS)
    assert pace.free_ms(1, HOUR_MS) <= HOUR_MS
