"""How fast a process may speak to its Mai, and whose turn it is: the pure parts, without a clock or a socket."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents.organisation import Limits
from mai.daemon.tempo import ACCUSED_S, FLOODS, FORGIVEN_S, IGNORED, LONGEST_S, PAUSE_S, STORED_S, Bucket, Price, Tempo
from mai.daemon.turns import MOST, MOST_BYTES, Parcel, Turns

ASK, LOUD, QUIET = Price("asks", 1), "acme/loud", "acme/quiet"


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 9)), max_size=60))
def test_nobody_gets_more_than_his_pace(calls: list[tuple[float, int]]) -> None:
    """Over any time: what was stored, and what came back since; also when the clock stands still."""
    bucket, now_s, taken = Bucket(4 * STORED_S, 0.0), 0.0, 0
    for later_s, count in calls:
        now_s += later_s
        taken += count * bucket.take(count, 4, now_s)
        assert taken <= 4 * STORED_S + 4 * now_s + 1e-6


def test_a_clock_that_goes_back_gives_nothing() -> None:
    """And takes nothing that was there."""
    bucket = Bucket(1, 100.0)
    assert not bucket.take(2, 1, 50.0) and bucket.take(1, 1, 50.0)


def test_who_is_too_fast_is_not_heard_for_a_while_and_then_told() -> None:
    """The others are heard all the time; so is he again, once, with the reason."""
    tempo = Tempo(Limits(asks_per_s=2))
    allowed = sum(tempo.spend(LOUD, ASK, 0.0) for _ in range(100))
    assert allowed == 2 * STORED_S and tempo.deaf(LOUD) and LOUD in tempo.status()
    assert tempo.spend(QUIET, ASK, 0.0) and not tempo.deaf(QUIET)
    assert tempo.wait_ms(10_000, 0.0) <= PAUSE_S * 1000 + 1 and not tempo.over(PAUSE_S / 2)
    [(peer, pause)] = tempo.over(PAUSE_S)
    assert (peer, pause.why) == (LOUD, "too fast") and not tempo.deaf(LOUD) and not tempo.over(PAUSE_S)
    assert tempo.spend(LOUD, ASK, PAUSE_S) and not tempo.status() and tempo.wait_ms(10_000, 1.0) == 10_000


def ignored(tempo: Tempo, now_s: float, many: int = IGNORED + 1) -> float:
    """It is too fast, and goes on; for how long it is not heard then."""
    tempo.silence(LOUD, "too fast", "it is", now_s)
    assert tempo.deaf(LOUD) and tempo.ignore(LOUD, many, now_s) is (many > IGNORED)
    [(_, pause)] = tempo.over(1e9)
    return pause.until_s - now_s


def test_who_goes_on_unheard_is_cut_off_for_longer_each_time() -> None:
    """Up to a bound, and until it has kept quiet for long enough; what may still be on its way is no flood."""
    tempo = Tempo(Limits())
    assert ignored(tempo, 0.0, IGNORED) == PAUSE_S
    assert [ignored(tempo, 0.0) for _ in range(9)] == [1, 2, 4, 8, 16, 32, LONGEST_S, LONGEST_S, LONGEST_S]
    assert ignored(tempo, FORGIVEN_S - 1, IGNORED) == PAUSE_S
    assert ignored(tempo, FORGIVEN_S - 1) == LONGEST_S
    assert ignored(tempo, 2 * FORGIVEN_S) == 1


def test_who_floods_again_and_again_is_named_for_a_while() -> None:
    """So that the watchdog hears of it, and does not stop a later life for it; not for what was done with an old key."""
    tempo = Tempo(Limits())
    named = []
    for now_s in range(FLOODS):
        ignored(tempo, float(now_s))
        named.append(tempo.floods(now_s))
    assert named == [()] * (FLOODS - 1) + [(LOUD,)]
    assert tempo.floods(now_s + ACCUSED_S - 0.1) == (LOUD,) and not tempo.floods(now_s + ACCUSED_S)
    for now_s in range(FLOODS):
        tempo.silence(f"{QUIET} 1234", "too fast", "it is", now_s)
        tempo.ignore(f"{QUIET} 1234", IGNORED + 1, now_s)
        tempo.over(1e9)
    assert tempo.floods(now_s) == (LOUD,)


def test_who_is_cut_off_is_not_let_in_until_its_time_is_over() -> None:
    """Others are, and so is who is only not heard."""
    tempo = Tempo(Limits())
    tempo.silence(LOUD, "too fast", "it is", 0.0)
    assert tempo.admits(LOUD, 0.1)
    assert not tempo.ignore(LOUD, IGNORED, 0.1) and tempo.ignore(LOUD, 1, 0.2) and tempo.ignore(LOUD, 1, 0.3)
    assert not tempo.admits(LOUD, 0.4) and tempo.admits(QUIET, 0.4) and "cut off" in tempo.status()
    assert not tempo.over(1.1)
    [(peer, pause)] = tempo.over(1.2)
    assert (peer, pause.for_s, tempo.admits(LOUD, 1.2)) == (LOUD, 1.0, True)


def test_what_is_owed_costs_nothing() -> None:
    """Whatever else its sender has spent."""
    tempo = Tempo(Limits(asks_per_s=1, words_per_s=1))
    while tempo.spend(LOUD, ASK, 0.0):
        pass
    tempo.over(PAUSE_S)
    assert all(tempo.spend(LOUD, Price(), 0.0) for _ in range(1000)) and not tempo.deaf(LOUD)


def parcel(name: str, number: int) -> Parcel:
    """A small frame."""
    return Parcel(name, b"r", b"%d" % number)


@given(st.lists(st.sampled_from("abc"), max_size=200))
def test_each_has_a_turn_and_nobody_is_overtaken_by_himself(names: list[str]) -> None:
    """Between two frames of one process each other one that waits has exactly one; each keeps its order; none is lost."""
    turns = Turns()
    for number, name in enumerate(names):
        assert turns.put(parcel(name, number))
    left, came = Counter(names), []
    while left:
        around = [one for one in (turns.next() for _ in range(len(left))) if one]
        assert {one.name for one in around} == set(left)
        came += around
        left = +(left - Counter(one.name for one in around))
    assert not turns and turns.next() is None
    for name in "abc":
        assert [one.frame for one in came if one.name == name] == [b"%d" % n for n, who in enumerate(names) if who == name]


@pytest.mark.parametrize(("frame", "most"), [(b"x", MOST), (bytes(1 << 23), MOST_BYTES // (1 << 23) + 1)])
def test_what_waits_is_bounded_for_each(frame: bytes, most: int) -> None:
    """In number and in bytes; that one is full is nothing to another, and who is dropped begins anew."""
    turns = Turns()
    assert sum(turns.put(Parcel(LOUD, b"r", frame)) for _ in range(most + 5)) == most
    assert turns.put(parcel(QUIET, 1))
    turns.drop(LOUD)
    assert turns.put(parcel(LOUD, 1)) and [one.name for one in iter(turns.next, None)] == [QUIET, LOUD]
