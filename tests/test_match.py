"""Which descriptions fit a text: only those that share enough of its words, always in the same order."""

from hypothesis import given
from hypothesis import strategies as st

from mai.agents.match import COVERAGE, LONGEST, Matcher, words

MATCHER = Matcher(
    {
        "support": "customers orders refunds tickets",
        "sales": "deals pipeline forecast customers",
        "finance": "invoices overdue refunds payments",
        "legal": "contracts consent privacy",
    }
)


def names(text: str) -> list[str]:
    """Who fits, best first."""
    return [fit.name for fit in MATCHER.fits(text)]


def test_the_best_comes_first() -> None:
    """More of the words, then the rarer ones; forms of a word are one."""
    assert names("Which invoices are overdue?") == ["finance"]
    assert names("refund the customer's order")[0] == "support"
    assert names("a pipeline of deals and a refund") == ["sales", "finance", "support"]


def test_what_fits_nothing_fits_nothing() -> None:
    """No words in common, common words only, or no words at all: nobody is guessed."""
    for text in ("the weather in Paris", "please tell me more about it", "", "10423 !?", "🙂"):
        assert names(text) == []


def test_one_word_of_many_is_not_enough() -> None:
    """Below the floor a shared word is a coincidence."""
    text = "invoices " + " ".join(f"unheard{letter}" for letter in "abcdefgh")
    assert COVERAGE > 1 / 9 and names(text) == []


def test_long_texts_are_cut() -> None:
    """So many words are looked at."""
    assert len(words(" ".join(f"word{'x' * n}" for n in range(100)))) == LONGEST


@given(st.text(max_size=60) | st.text(st.sampled_from("ab\"'*:^-()NEAR ANDOR𞤀éß\ud800\0"), max_size=30))
def test_no_text_is_a_query(text: str) -> None:
    """Whatever a client says is words to look for: it is never an error, and asked twice it gives the same."""
    assert MATCHER.fits(text) == MATCHER.fits(text)
    assert all(fit.coverage >= COVERAGE for fit in MATCHER.fits(text))
