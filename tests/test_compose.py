"""One voice: what the client reads when the parts of a request are there."""

from itertools import permutations
from typing import Any

from mai.daemon.compose import answer, provenance, said, state_of
from mai.daemon.records import PartAnswer


def part(state: str = "answered", **given: Any) -> PartAnswer:
    """A part of a request."""
    defaults: dict[str, Any] = {
        "department": "support", "text": "Refund order 5", "answer": "Done.", "value": {}, "reason": "",
        "by": "acme/support/desk", "sources": ("support",),
    }  # fmt: skip
    return PartAnswer(state=state, **{**defaults, **given})


def test_an_answer_says_where_it_comes_from() -> None:
    """Who answered stands below it, with the other departments whose figures it rests on."""
    assert said(part()) == "Done.\n   [support/desk]"
    assert provenance(part(sources=("finance", "sales", "support"))) == "support/desk, with finance and sales"


def test_a_value_without_a_text_is_listed() -> None:
    """A worker that returned only a value is still readable; one that returned nothing is done."""
    assert said(part(answer="", value={"refund": 7, "cents": 1200})).startswith("refund: 7, cents: 1200\n")
    assert said(part(answer="")).startswith("done\n")


def test_a_failed_part_is_named_with_its_reason() -> None:
    """Which part, by whom and why; each state has its own verb, and a missing reason is said to be missing."""
    assert said(part("refused", reason="it is too old")) == "“Refund order 5” was refused by support: it is too old"
    assert said(part("expired", reason="late")) == "“Refund order 5” was not answered in time by support: late"
    assert said(part("failed", reason="")) == "“Refund order 5” could not be answered by support: no reason was given"
    assert said(part("escalated", reason="ask a person")).startswith("“Refund order 5” could not be answered by support")
    assert said(part("refused", department="", text="", reason="no")) == "Your request was refused: no"


def test_parts_stand_in_the_order_in_which_they_were_asked() -> None:
    """Several parts are numbered, and one that failed does not hide the others."""
    text = answer((part("failed", text="first", reason="broken"), part(answer="Second."), part(answer="Third.")))
    assert [line[:2] for line in text.split("\n\n")] == ["1.", "2.", "3."]
    assert "broken" in text.split("\n\n")[0] and "Second." in text and "Third." in text


def test_the_whole_is_as_grave_as_its_gravest_part() -> None:
    """In any order; what waits for a person has failed for the client."""
    order = ["failed", "expired", "refused", "answered"]
    for first, second in permutations(order, 2):
        gravest = min(first, second, key=order.index)
        assert state_of((part(first), part(second))) == gravest
    assert state_of((part("escalated"), part())) == "failed"


def test_a_long_text_is_cut_where_it_is_quoted() -> None:
    """The quotation of a part is for recognition; its reason is what matters."""
    assert len(said(part("refused", text="x" * 60_000, reason="too long"))) < 200
