"""Sentences of an answer: each word of the built-in wording has its part, and a sentence is chosen by its words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.daemon.compose import answer, pieces
from mai.daemon.records import PartAnswer
from mai.daemon.sentences import Sentence, chosen_of, sentences_of
from mai.sandbox.errors import UsageFault

TEXTS = st.text(st.sampled_from("ab.!? \n1,0"), max_size=30)
PARTS = st.lists(
    st.builds(
        PartAnswer, department=st.sampled_from(["sales", "legal", ""]), text=TEXTS,
        state=st.sampled_from(["answered", "refused", "failed", "expired", "escalated"]), answer=TEXTS,
        value=st.just({"n": 1}), reason=TEXTS, by=st.just("acme/sales/board"), sources=st.just(("sales", "legal")),
    ),
    max_size=4,
).map(tuple)  # fmt: skip


def part(text: str, state: str = "answered", by: str = "acme/sales/board") -> PartAnswer:
    """One part."""
    return PartAnswer(
        "sales", "when?", state, text if state == "answered" else "", {}, "" if state == "answered" else text, by, ()
    )


@given(PARTS)
def test_the_pieces_are_the_answer(parts: tuple[PartAnswer, ...]) -> None:
    """What the parts gave, put together in order, is the answer to the letter; and every sentence stands in its part's words."""
    found = pieces(parts)
    assert "".join(piece.text for piece in found) == answer(parts)
    assert [piece.part for piece in found if piece.part] == list(range(1, len(parts) + 1))
    for sentence in sentences_of(answer(parts), parts):
        if sentence.part:
            words = next(piece.text for piece in found if piece.part == sentence.part)
            assert " ".join(sentence.text.split()) in " ".join(words.split())


def test_sentences_end_where_sentences_end() -> None:
    """Not at the point of a number, and not with the line that says who answered; a part that failed is one."""
    parts = (part("It is 4,024.50 EUR. Start on 2026-04-06! Why?"), part("it may not. Never.", "refused"))
    assert sentences_of(answer(parts), parts) == [
        Sentence("It is 4,024.50 EUR.", 1),
        Sentence("Start on 2026-04-06!", 1),
        Sentence("Why?", 1),
        Sentence("“when?” was refused by sales: it may not. Never.", 2),
    ]


def test_a_models_words_have_no_part_by_themselves() -> None:
    """Where the answer is not what the parts put together give, no part is claimed; the line of sources is none of it."""
    parts = (part("72 are open."), part("13 left."))
    said = "72 tickets wait. And 13 left.\n   [sales/board]"
    assert sentences_of(said, parts) == [Sentence("72 tickets wait.", 0), Sentence("And 13 left.", 0)]
    assert sentences_of("Mai cannot tell.", ()) == [Sentence("Mai cannot tell.", 0)]


def test_a_sentence_is_chosen_by_its_words() -> None:
    """As they stand, whatever the case; else all of them in any order; else what there is is said."""
    all_ = [Sentence("665 customers still consent.", 1), Sentence("Start on Monday 2026-04-06.", 1)]
    assert chosen_of(all_, "") == chosen_of(all_, "  ") == all_
    assert chosen_of(all_, "CUSTOMERS  still") == [all_[0]]
    assert chosen_of(all_, "monday start") == [all_[1]]
    with pytest.raises(UsageFault, match="no sentence of the answer has 'tuesday'") as none:
        chosen_of(all_, "tuesday")
    assert "“665 customers still consent.”" in none.value.hint
