"""The law of memory in `verify --deep`, over short histories: what is right passes, each way in which it is not is named."""

from typing import Any

import pytest

from mai.agents.events import Event, Remembered, Stepped
from mai.agents.memory import MemoryExpired, MemoryForgotten, MemoryRead, MemoryRefused
from mai.agents.memory_messages import Browse, Recall, Recalled
from tests.test_invariants import IN, MAI, ME, found, received, sent

AT: dict[str, Any] = {"agent": "desk", "level": "agent", "key": "k"}
CLIENT: dict[str, Any] = {"agent": "acme/support/desk", "level": "client", "key": "k"}
ONE = Remembered(**AT, value="one", n=1, oldest=1, was=1)
TWO = Remembered(**AT, value="two", n=2, oldest=1, was=1)
ALONE = Remembered(**AT, value="two", n=2, oldest=2, was=1)  # only one version is kept
OLD = Remembered(**AT, value="old")  # before there were versions
FORGOTTEN = MemoryForgotten(**AT, n=2, oldest=1)
EXPIRED = MemoryExpired(**AT, n=2, oldest=1, whole=True, due_ms=1)
OLDER = MemoryExpired(**AT, n=1, oldest=1, whole=False, due_ms=1)
THEIRS = Remembered(**{**AT, "agent": "other"}, value="theirs", n=1, oldest=1, was=1)


def step(call: str, gave: Any, n: int = 0, /, **given: Any) -> Stepped:
    """A read or a write of desk's: what it gave, in which version."""
    given = {"level": "agent", **({"key": "k"} if call not in ("recall_all", "search") else {}), **given}
    return Stepped(**IN, n=1, call=call, given=given, value=gave, version=n)


def page(*items: tuple[str, int, Any], more: bool = False) -> dict[str, Any]:
    """What a list gives."""
    return {"items": [{"key": key, "version": n, "value": value} for key, n, value in items], "more": more}


ALL: dict[str, Any] = {"prefix": "", "after": "", "limit": 9}
RIGHT: dict[str, list[Event]] = {
    "the newest": [ONE, TWO, step("recall", "two", 2)],
    "another": [ONE, TWO, step("recall", "one", 1, version=1)],
    "one that has gone": [ONE, ALONE, step("recall", None, version=1)],
    "nothing": [step("recall", None), THEIRS, step("recall", None)],
    "nothing any more": [ONE, TWO, FORGOTTEN, step("forget", True, 2), step("recall", None), step("forget", False)],
    "expired": [ONE, TWO, EXPIRED, step("recall", None), ONE, step("recall", "one", 1)],
    "an older one expired": [ONE, TWO, OLDER, step("recall", None, version=1), step("versions", page(("k", 2, "two")))],
    "a list": [ONE, THEIRS, step("recall_all", page(("k", 1, "one")), 1, **ALL)],
    "a list behind": [ONE, step("recall_all", page(), **{**ALL, "after": "k"})],
    "a list that is cut": [ONE, step("recall_all", page(more=True), **ALL)],
    "a search": [ONE, TWO, step("search", page(("k", 2, "two")), 1, text="two", limit=1)],
    "before there were versions": [OLD, step("recall", "old"), OLD, TWO, step("recall", "old", 1, version=1)],
}
WRONG: dict[str, tuple[list[Event], int]] = {
    "a number twice": ([ONE, ONE], 2),
    "a number left out": ([TWO], 1),
    "another value": ([ONE, step("recall", "other", 1)], 2),
    "an older one": ([ONE, TWO, step("recall", "one", 1)], 3),
    "another's": ([THEIRS, step("recall", "theirs", 1)], 2),
    "nothing where something is": ([ONE, step("recall", None)], 2),
    "nothing where that version is": ([ONE, TWO, step("recall", None, version=1)], 3),
    "what was forgotten": ([ONE, TWO, FORGOTTEN, step("recall", "two", 2)], 4),
    "what had expired": ([ONE, TWO, EXPIRED, step("recall", "two", 2)], 4),
    "an older version that had expired": ([ONE, TWO, OLDER, step("recall", "one", 1, version=1)], 4),
    "a version too many": ([ONE, ALONE, step("recall", "one", 1, version=1)], 3),
    "forgotten, and it is there": ([ONE, step("forget", True, 1)], 2),
    "forgotten, and it was not": ([ONE, FORGOTTEN], 2),
    "expired, and it was not the newest": ([ONE, EXPIRED], 2),
    "remembered, and it was not": ([step("remember", 1, 1, value="one")], 1),
    "a list with a gap": ([ONE, step("recall_all", page(), **ALL)], 2),
    "a list with another's": ([THEIRS, step("recall_all", page(("k", 1, "theirs")), 1, **ALL)], 2),
    "a list of old ones": ([ONE, TWO, step("recall_all", page(("k", 1, "one")), 1, **ALL)], 3),
    "a search that finds what has gone": ([ONE, TWO, FORGOTTEN, step("search", page(("k", 2, "two")), 1, text="t", limit=1)], 4),
    "versions that were not": ([ONE, step("versions", page(("k", 2, "two")), 1)], 2),
}


def broken(process: str, *said: Event) -> list[int]:
    """The records that break the law of memory."""
    return [seq for law, seq in found(process, *said) if law == "memory"]


@pytest.mark.parametrize("what", RIGHT)
def test_what_is_right_passes(what: str) -> None:
    """Reads of what is there as it was written, and of nothing where nothing is."""
    assert not broken(ME, *RIGHT[what])


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named(what: str) -> None:
    """By the record that shows it."""
    said, seq = WRONG[what]
    assert broken(ME, *said) == [seq]


WRITTEN = Remembered(**CLIENT, value="one", n=1, oldest=1, was=1)
READ = MemoryRead(**CLIENT, found=True, value="one", n=1, given={"key": "k"}, id="r/1.m1")
ASKED = received(Recall("r/1.m1", "acme/support/desk", "k"), sender=ME)
TOLD = sent(Recalled("r/1.m1", True, "one", n=1), to=ME)


def test_what_mai_reads_is_what_she_tells() -> None:
    """Each question is read or refused on record, and the answer is what was read; what an older version wrote passes."""
    assert not broken(MAI, WRITTEN, ASKED, READ, TOLD)
    no = MemoryRefused(**CLIENT, call="recall", rule="no", peer=ME, id="r/1.m1")
    assert not broken(MAI, WRITTEN, ASKED, no)
    assert not broken(MAI, WRITTEN, ASKED, MemoryRead(**CLIENT, found=True, value="one"), TOLD)
    assert broken(MAI, WRITTEN, ASKED, TOLD) == [2], "nothing of it is on record"
    assert broken(MAI, WRITTEN, ASKED, READ, sent(Recalled("r/1.m1", True, "two", n=1), to=ME)) == [4]
    assert broken(MAI, WRITTEN, ASKED, READ, sent(Recalled("r/1.m1", True, "one", n=2), to=ME)) == [4]
    listed = received(Browse("r/1.m1", "acme/support/desk", "recall_all", ALL), sender=ME)
    assert broken(MAI, WRITTEN, listed) == [2]


def test_what_mai_has_told_is_what_the_step_gives() -> None:
    """Value and version, as they came."""
    came = received(Recalled("r/1.m1", True, "one", n=1))
    assert not broken(ME, came, Stepped(**IN, n=1, call="recall", value="one", version=1))
    assert broken(ME, came, Stepped(**IN, n=1, call="recall", value="two", version=1)) == [2]
    assert broken(ME, came, Stepped(**IN, n=1, call="recall", value="one")) == [2]
