"""How Mai finds the department for a request, and splits one that needs several."""

from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from mai.agents.body import Fields
from mai.daemon.plan import MOST_PARTS, Planner
from mai.daemon.records import PartPlan

DEPARTMENTS = {"sales": {"deals", "pipeline"}, "support": {"tickets", "customers"}, "finance": {"invoices", "customers"}}


class Fit(NamedTuple):
    """A department that shares words with a text."""

    name: str
    score: float
    coverage: float


class Said(NamedTuple):
    """A contract whose phrase a text says."""

    contract: str
    input: Fields


class Asked:
    """Looks for `refund N` and for the departments' words, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.looked = 0

    def phrase(self, text: str) -> Said | None:
        """`refund 5` is a phrase of support's."""
        self.looked += 1
        match text.strip(" .").split():
            case [("refund" | "Refund"), number] if number.isdecimal():
                return Said("support.refund", {"order": int(number)})
        return None

    def fits(self, text: str) -> list[Fit]:
        """Who shares most words."""
        words = set(text.lower().replace("?", "").replace(".", "").split())
        found = [Fit(name, float(len(known & words)), 0.5) for name, known in DEPARTMENTS.items() if known & words]
        return sorted(found, key=lambda fit: (-fit.score, fit.name))


def plan(text: str) -> list[tuple[str, str, str]]:
    """Department, contract and text of each part."""
    asked = Asked()
    return [(part.department, part.contract, part.text) for part in plans(asked, text)]


def plans(asked: Asked, text: str) -> tuple[PartPlan, ...]:
    """The parts."""
    return Planner(dict.fromkeys(DEPARTMENTS, ""), asked.phrase, asked.fits).plan(text)


def test_a_named_department_gets_it() -> None:
    """`@sales` and `sales:` name a department, whatever the words fit; a name that is none is no name."""
    assert plan("@sales open tickets?") == [("sales", "", "open tickets?")]
    assert plan("Sales: open tickets?") == [("sales", "", "open tickets?")]
    assert plan("nobody: open tickets") == [("support", "", "nobody: open tickets")]


def test_a_named_department_is_asked_under_its_own_contract_only() -> None:
    """A phrase counts after a name if the contract is that department's."""
    assert plan("support: refund 5") == [("support", "support.refund", "refund 5")]
    assert plan("sales: refund 5") == [("sales", "", "refund 5")]


def test_a_phrase_comes_before_a_fit() -> None:
    """What says a phrase of a contract goes there with its typed input and its grounds, not where the words fit best."""
    (part,) = plans(Asked(), "refund 5")
    assert (part.department, part.contract, part.input) == ("support", "support.refund", {"order": 5})
    assert "says a phrase of support.refund" in part.why


def test_words_find_the_best_fit() -> None:
    """Without a name and a phrase the best fit gets it whole, and the grounds name those that were compared."""
    (part,) = plans(Asked(), "customers with tickets")
    assert (part.department, part.contract, part.text) == ("support", "", "customers with tickets")
    assert "support" in part.why and "finance" in part.why


def test_what_fits_nothing_is_not_guessed() -> None:
    """No department shares a word with it: there is no part at all."""
    assert plan("open the sky") == []
    assert plan("???") == []
    assert plan("refund 5 and open the sky") == []


def test_a_request_for_several_is_split() -> None:
    """Where each piece surely finds its department, each gets its own; sentences may find theirs by their words."""
    assert plan("refund 5 and refund 6, then refund 7") == [
        ("support", "support.refund", "refund 5"),
        ("support", "support.refund", "refund 6"),
        ("support", "support.refund", "refund 7"),
    ]
    assert plan("How are the deals? Which invoices are open?") == [
        ("sales", "", "How are the deals?"),
        ("finance", "", "Which invoices are open?"),
    ]


def test_a_piece_that_is_not_sure_is_not_cut_off() -> None:
    """ "customers and tickets" are words of one request, not two requests."""
    assert plan("customers and tickets") == [("support", "", "customers and tickets")]


def test_a_limit_is_never_cut_off() -> None:
    """A piece that limits the one before it stays with it: half of such a request would do what nobody asked for."""
    for limit in ("but only if it is late", "unless it is paid", "don't tell anybody", "except 6"):
        assert all(part[1] == "" for part in plan(f"refund 5. {limit.capitalize()}")), limit
        assert plan(f"refund 5 and {limit}") == [], limit


def test_a_long_text_is_looked_at_a_bounded_number_of_times() -> None:
    """What has more pieces than there may be parts is not looked at piece by piece: Mai has one loop for all."""
    for text in ("a. " * 20_000, "x and " * 10_000, "refund 5 and " * 5_000, "deals. " * 9_000):
        asked = Asked()
        plans(asked, text)
        assert asked.looked <= 2 * MOST_PARTS + 2


@given(st.text(st.sampled_from("refund 5and.;,@:sales\n\t?!\0 "), max_size=60))
@example("sales:")
@example("and and and")
@example(";;;")
def test_any_text_has_a_plan(text: str) -> None:
    """Whatever is asked, there are at most so many parts, each with a department that exists and something to say."""
    parts = plan(text)
    assert len(parts) <= MOST_PARTS
    assert all(department in DEPARTMENTS and said.strip() for department, _, said in parts)


def test_within_the_margin_nobody_is_guessed() -> None:
    """Words that fit two departments about as well ask back, and names both; without a margin the first one gets it."""
    text = next(
        f"{one} {other}" for one in sorted(DEPARTMENTS["support"]) for other in sorted(DEPARTMENTS["sales"])
        if one not in DEPARTMENTS["sales"] and other not in DEPARTMENTS["support"]
    )  # fmt: skip
    asked = Asked()
    unsure = Planner(dict.fromkeys(DEPARTMENTS, ""), asked.phrase, asked.fits, 0.1).worded(text)
    assert unsure.parts == () and "sales" in unsure.question and "support" in unsure.question and "about as well" in unsure.why
    (part,) = Planner(dict.fromkeys(DEPARTMENTS, ""), asked.phrase, asked.fits).worded(text).parts
    assert part.department in unsure.question
    why = Planner(dict.fromkeys(DEPARTMENTS, ""), asked.phrase, asked.fits, 0.1).by_words(text, "it is away")
    assert why.question == unsure.question and why.why.endswith("; it is away")
