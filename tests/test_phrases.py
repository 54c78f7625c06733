"""Phrases: a text that says one is understood with its values; a text that says more, or other things, is not."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents.fields import Shape
from mai.agents.organisation import Contract
from mai.agents.phrases import ARTICLES, COURTESIES, LONGEST, BadPhrase, Phrase, Phrasebook, Reading, parse

REFUND = Phrase("refund order {order}", {"order": "int"})
TICKETS = Phrase("open tickets of customers {customers}", {"customers": "list[int]"})
MOVE = Phrase("Move {who} to {room} on {day}!", {"who": "str", "room": "str", "day": "date", "why": "str?"})


@pytest.mark.parametrize(
    "text",
    [
        "refund order 10423",
        "Refund ORDER #10423.",
        "Please refund the order no. 10,423, thanks!",
        "Hi Mai, could you refund order number 10423 for me please?",
        "  refund\n order\t'10423'  ",
    ],
)
def test_a_phrase_is_understood(text: str) -> None:
    """Case, punctuation, articles, courtesies and the writing of a number do not matter."""
    assert REFUND.match(text) == {"order": 10423}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "refund",
        "refund order",
        "refund order ten",
        "refund orders 10423",
        "do not refund order 10423",
        "never refund order 10423",
        "refund order 10423 twice",
        "refund order 10423 and order 10424",
        "was order 10423 refunded",
        "refund order 10423.5",
        "refund order 99999999999999999999",
        "refund order 104,23",
    ],
)
def test_what_says_more_is_no_phrase(text: str) -> None:
    """A text that negates, adds or varies is left to others, because a wrong match would act."""
    assert REFUND.match(text) is None


@pytest.mark.parametrize(
    ("text", "customers"),
    [
        ("open tickets of customers 311, 412 and 5", [311, 412, 5]),
        ("open tickets of the customers #311 & #412, please", [311, 412]),
        ("open tickets of customers 311,412", [311, 412]),
        ("open tickets of customers 7", [7]),
        ("open tickets of customers 7 and eight", None),
        ("open tickets of customers and", None),
    ],
)
def test_lists(text: str, customers: list[int] | None) -> None:
    """A list is written with commas, blanks and a last "and"; each element has to be of its type."""
    assert TICKETS.match(text) == (None if customers is None else {"customers": customers})


def test_texts_take_the_fewest_words() -> None:
    """Several texts in one phrase: each takes what is between the phrase's words, the first as little as it can."""
    assert MOVE.match("please move Jane  Doe to room 5 to the left on 2025-03-31") == {
        "who": "Jane Doe",
        "room": "room 5 to the left",
        "day": "2025-03-31",
    }
    assert MOVE.match("move Ann to leave on monday on 2025-03-31") == {
        "who": "Ann",
        "room": "leave on monday",
        "day": "2025-03-31",
    }
    assert MOVE.match("move Ann to Rome on 2025-02-30") is None


def test_a_list_of_texts_keeps_their_blanks() -> None:
    """Elements of a list of texts may be several words."""
    compare = Phrase("compare {regions}", {"regions": "list[str]"})
    assert compare.match("Compare New York, Berlin and Rio de Janeiro") == {"regions": ["New York", "Berlin", "Rio de Janeiro"]}


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(10**18) + 1, 10**18 - 1),
    "bool": st.booleans(),
    "date": st.dates().map(lambda day: day.isoformat()),
    "float": st.decimals(-(10**6), 10**6, places=2).map(float),
    "str": st.lists(st.from_regex(r"[a-z]{1,8}x", fullmatch=True), min_size=1, max_size=3).map(" ".join),
}
SAID = {True: "yes", False: "No"}


@given(st.data())
def test_what_was_said_is_what_is_read(data: st.DataObject) -> None:
    """Written into a phrase and wrapped in courtesies, values of each type are read back as the request's types."""
    types = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3))
    request: dict[str, object] = {f"f{number}": name for number, name in enumerate(types)}
    values = {field: data.draw(VALUES[str(name)]) for field, name in request.items()}
    phrase = " ".join(f"word{field} {{{field}}}" for field in request)
    said = " ".join(f"Word{field.upper()} {SAID[value] if isinstance(value, bool) else value}" for field, value in values.items())
    around = st.lists(st.sampled_from(sorted(COURTESIES - ARTICLES)), max_size=3).map(" ".join)
    read = Phrase(phrase, request).match(f"{data.draw(around)} {said} {data.draw(around)}?")
    assert read == values
    assert Shape(request).fit(read) == values


@given(st.text(), st.lists(st.sampled_from(["move", "to", "on", "a", "2025-03-31", "please", ",", "and"]), max_size=30))
def test_any_text_gets_an_answer(text: str, words: list[str]) -> None:
    """Any text is matched or not, and what is matched fits the request."""
    for said in (text, " ".join(words), f"move {text} to {text} on 2025-03-31"):
        for phrase in (REFUND, TICKETS, MOVE):
            phrase.match(said)
        if read := MOVE.match(said):
            Shape({"who": "str", "room": "str", "day": "date"}).fit(read)


class Counting(Phrase):
    """A phrase that counts its own work."""

    followed = 0

    def _follow(self, reading: Reading, at: int, word: str) -> Iterator[Reading]:
        self.followed += 1
        return super()._follow(reading, at, word)


def test_work_is_bounded() -> None:
    """The number of readings that are followed does not grow with the text, and a text of many words is not read."""
    phrase = Counting("a {x} a {y} a {z} b", {"x": "str", "y": "str", "z": "str"})
    assert phrase.match("a " * LONGEST) is None
    assert LONGEST < phrase.followed <= 2 * len(phrase.items) * LONGEST
    before = phrase.followed
    assert phrase.match("a " * (LONGEST + 1)) is None
    assert phrase.followed == before


@pytest.mark.parametrize(
    ("phrase", "request_fields", "sentence"),
    [
        ("{x}", {"x": "int"}, "has no words of its own"),
        ("", {}, "has no words of its own"),
        ("a {y}", {"x": "int"}, "{y}, which is no field"),
        ("a {}", {"x": "int"}, "{}, which is no field"),
        ("a {x} or {x}", {"x": "int"}, "{x} stands twice"),
        ("a", {"x": "int"}, "does not say x"),
        ("a {x}y", {"x": "int"}, "neither a word nor a placeholder"),
        ("a {x}", {"x": "dict[int]"}, "cannot be filled from words"),
        ("a {x}", {"x": {"y": "int"}}, "cannot be filled from words"),
    ],
)
def test_a_bad_phrase_is_refused(phrase: str, request_fields: dict[str, object], sentence: str) -> None:
    """A phrase that could fit anything, or leaves the request incomplete, is refused with what would be right."""
    with pytest.raises(BadPhrase) as caught:
        Phrase(phrase, request_fields)
    assert sentence in caught.value.args[0]
    assert caught.value.args[1]


def test_a_book_finds_each_contract_once() -> None:
    """A book gives the contracts whose phrases a text says, in their order, with the first phrase that fits."""

    def contract(*phrases: str) -> Contract:
        return Contract(
            name="c", about="", served_by="a", may_ask=("client",), request={"x": "str?", "n": "int?"}, phrases=phrases
        )

    book = Phrasebook({"b.two": contract("show {n}", "show {x}"), "a.one": contract("show {x}"), "c.no": contract("hide {x}")})
    assert [(found.contract, found.input) for found in book.find("Show 5, please")] == [
        ("b.two", {"n": 5}),
        ("a.one", {"x": "5"}),
    ]
    assert book.find("show") == []


@pytest.mark.parametrize(
    ("type_name", "text", "value"),
    [
        ("int", "-5", -5),
        ("int", "1,000", 1000),
        ("int", "10,00", None),
        ("int", "5.0", None),
        ("float", "€1,200.50", 1200.5),
        ("float", "12%", 12.0),
        ("float", "12,5", None),
        ("bool", "Yes", True),
        ("bool", "maybe", None),
        ("date", "2024-02-29", "2024-02-29"),
        ("date", "2025-02-29", None),
        ("date", "20250301", None),
        ("str", "any thing", "any thing"),
    ],
)
def test_one_value(type_name: str, text: str, value: Any) -> None:
    """A value is read in the few ways that are not ambiguous."""
    assert parse(type_name, text) == value
