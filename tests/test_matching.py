"""What of a sentence is found again in a record: figures in any writing, dates, words, and no more than chance would have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.daemon.matching import Found, found, wanted


def hits(sentence: str, value: object) -> dict[str, tuple[str, str]]:
    """By what the sentence says: where, and how."""
    return {one.said: (one.where, one.how) for one in found(wanted(sentence), value)}


@pytest.mark.parametrize(
    ("sentence", "value", "said", "where", "how"),
    [
        ("4,024,500.00 EUR", {"total": 4024500}, "4,024,500.00", "total", "same"),
        ("4,024,500.00 EUR", {"cents": 402450000}, "4,024,500.00", "cents", "hundredfold"),
        ("a rate of 1.656 %", {"rate": [0.01656]}, "1.656", "rate[0]", "hundredfold"),
        ("a rate of 7.8 %", 7.8, "7.8", "", "same"),
        ("until 2026-04-06", {"days": [{"on": "2026-04-05"}, {"on": "2026-04-06"}]}, "2026-04-06", "days[1].on", "same"),
        ("158 deals", {"deals": [0] * 158}, "158", "deals", "count"),
        ("Order 10423 was refunded", "refund of order 10423, today", "10423", "", "same"),
        ("1.234.567 Stück", {"n": 1234567}, "1.234.567", "n", "same"),
    ],
)
def test_a_figure_is_the_same_in_any_writing(sentence: str, value: object, said: str, where: str, how: str) -> None:
    """Marks of thousands, cents and shares, places in lists and texts: what is meant is found, and how is said."""
    assert hits(sentence, value)[said] == (where, how)


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("3 people and 5 days", {"a": 3, "b": [5, 3]}),  # small numbers stand everywhere
        ("the campaign starts", {"name": "the campaign"}),  # one word alone
        ("order 10423", {"order": 104230}),
        ("until 2026-04-06", {"on": "2026-04-07"}),
        ("it is 2026", {"on": "2026-04-07"}),  # a date is not its year
        ("true", True),
        ("", {"a": "b"}),
        ("1 of 9", None),
    ],
)
def test_chance_is_no_ground(sentence: str, value: object) -> None:
    """A small number, a word alone, or what is merely alike: nothing is claimed."""
    assert hits(sentence, value) == {}


def test_small_numbers_count_beside_words_of_the_sentence() -> None:
    """A small number is found where the name of its place, or the text around it, has a word of the sentence."""
    assert hits("53 % of the pipeline is closed", {"closed_percent": 53}) == {
        "53": ("closed_percent", "same"),
        "closed": ("closed_percent", "word"),
    }
    assert hits("1 of 5 invoices late", {"invoices": 5, "late": 1})["5"] == ("invoices", "same")


def test_words_are_found_in_their_forms() -> None:
    """A word may be longer or shorter by its ending; what is common to all texts counts for nothing."""
    assert set(hits("Customers still consent to marketing", {"text": "the consents of customer 5"})) == {"customers", "consent"}
    assert hits("it will be with you", "it will be with you") == {}


def test_the_nearer_writing_wins() -> None:
    """Where a figure stands as it is and in another unit, the first is named."""
    assert hits("500.00 EUR", [50000, {"euros": 500}])["500.00"] == ("[1].euros", "same")


def test_of_a_large_record_a_bounded_part_is_read() -> None:
    """Records of any size end: so many values are looked at, and the rest is left."""
    rows = [{"n": number} for number in range(200_000)]
    assert hits("number 1234", rows) == {"1234": ("[1234].n", "same")} and hits("number 199999", rows) == {}


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=20), st.text())
def test_anything_can_be_looked_through(value: object, sentence: str) -> None:
    """Whatever a record holds and a sentence says: it is read without an error, and only what was sought comes out."""
    sought = wanted(sentence)
    for one in found(sought, value):
        assert isinstance(one, Found) and one.said in (*sought.figures, *sought.words)


def test_markers_of_what_was_erased_match_nothing() -> None:
    """What stands in the place of a person's values is neither sought nor found."""
    assert wanted("(erased e12) owes (erased e1: number)").figures == () and hits("(erased e12)", "(erased e12)") == {}
    assert hits("12 were erased, says 4711", {"a": "(erased e12: number)", "b": "erased-e12"}) == {}
