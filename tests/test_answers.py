"""The reference organisation answers its client: every number is recomputed with plain SQL over all databases attached."""

from contextlib import closing
from pathlib import Path

import pytest

from mai.daemon.asking import ask, new_id
from mai.daemon.door import Reply
from mai.daemon.up import Start, down
from mai.sandbox.place import Place
from tests.company_facts import DEPARTMENTS, FACTS, attach

COMPANY = Path(__file__).parent.parent / "etc" / "company.toml"


@pytest.fixture
def place(state: Path):
    """The reference organisation at work."""
    start = Start(Place(state), COMPANY, detach=True)
    try:
        start.ready()
        yield start.place
    finally:
        start.stop()


def answer(place: Place, text: str) -> Reply:
    """Mai's answer."""
    replies = list(ask(place, "acme", text, request=new_id(), timeout_s=60, watch=False))
    given: Reply = replies[-1]["answer"]
    return given


@pytest.mark.seconds(300)
def test_every_answer_is_computed_from_the_data(place: Place) -> None:
    """Each request gives what SQL over the databases gives before it; effects are there afterwards, each once."""
    wrong = []
    with closing(attach({name: place.home(f"acme/{name}") / "files" for name in DEPARTMENTS})) as connection:
        for text, expect, compare in FACTS:
            facts = expect(connection)
            given = answer(place, text)
            try:
                compare(facts, given["answer"], [part["value"] for part in given["parts"]])
            except (AssertionError, LookupError, TypeError) as error:
                wrong.append(f"{text!r}: {given['state']}: {error}")
    assert not wrong, "\n".join(wrong)


def test_what_needs_two_departments_crossed_by_contract(place: Place) -> None:
    """The answer names every department whose figures it rests on, and each of them was asked through Mai."""
    given = answer(place, "Which customers with overdue invoices have open tickets?")
    assert given["state"] == "answered"
    assert {"finance", "support", "sales"} <= set(given["parts"][0]["sources"])
    down(place)
