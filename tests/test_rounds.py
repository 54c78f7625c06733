"""Silence is held against who was alive while others were signed again and again, within one life of the watchdog."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.daemon.rounds import APART_MS, TOLD_MS, Rounds

BEGUN = 1_000_000


def made(*lives: tuple[int, ...]) -> Rounds:
    """Rounds of these lives of the watchdog, at so many seconds."""
    rounds = Rounds()
    for number, times in enumerate(lives):
        for at_s in times:
            rounds.add(BEGUN + at_s * 1000, str(number))
    return rounds


@pytest.mark.parametrize(
    ("lives", "silent"),
    [
        (((0, 31, 42),), True),
        (((0, 31, 40),), False),  # perhaps only the first came too early
        (((0, 29, 38, 40),), False),
        (((0, 31), (42,)), False),
        (((0,), (31, 42, 55)), False),  # the second life had no time to hear of it
        (((0,), (10, 41, 52)), True),
        (((0, 31, 42), (50,)), True),
        (((0, 61, 75),), False),  # it had written its last by then
        ((), False),
    ],
)
def test_who_could_be_heard_is_silent(lives: tuple[tuple[int, ...], ...], silent: bool) -> None:
    """It has written from 0 to 60 s."""
    assert made(*lives).silent(BEGUN, BEGUN + 60_000) is silent


@given(
    st.lists(st.lists(st.integers(0, 200), min_size=1, max_size=6), max_size=5), st.integers(0, 200), st.integers(0, 200),
    st.integers(0, 200),
)  # fmt: skip
def test_what_is_forgotten_is_not_missed(lives: list[list[int]], cut: int, first: int, length: int) -> None:
    """Once the oldest that is not signed is known, those before it say nothing any more, also kept and read again."""
    times = sorted(at for life in lives for at in life)
    shares, at = list[tuple[int, ...]](), 0
    for life in lives:
        shares.append(tuple(times[at : at + len(life)]))
        at += len(life)
    rounds, first_ms = made(*shares), BEGUN + max(first, cut) * 1000
    last_ms = first_ms + length * 1000
    kept = rounds.since(BEGUN + cut * 1000)
    again = Rounds(kept.times, kept.lives, kept.life)
    assert again.silent(first_ms, last_ms) == rounds.silent(first_ms, last_ms)
    for one in (rounds, again):
        one.add(last_ms + TOLD_MS, "new")
        one.add(last_ms + TOLD_MS + APART_MS, rounds.life)
    assert again.silent(first_ms, last_ms + 100_000) == rounds.silent(first_ms, last_ms + 100_000)
