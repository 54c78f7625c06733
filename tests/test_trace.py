"""`mai trace`: one request's tree of hops, out of the journals of all processes of its client."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mai.agents.events import EffectIntent, EffectUnknown, Ended, Escalated, Hopped, HopRefused, Sent
from mai.agents.messages import Task
from mai.daemon import reader
from mai.daemon.reader import NotFound, Reader
from mai.daemon.records import ContractChecked, RequestAccepted, RequestEnded
from mai.daemon.trace import Known, fields, find, trace
from mai.daemon.tree import OPEN, Node, Row, Step, Trace, render, rows
from mai.daemon.why import why
from mai.sandbox.ledger import Ledger, connect
from mai.sandbox.place import Place
from mai.sandbox.rotation import Rotation
from tests import trace_speed
from tests.wired import Wired, bare, write

SALES, MARKETING, MAI = "acme/sales", "acme/marketing", "acme/mai"


def all_nodes(found: Trace | Node) -> Iterator[Node]:
    """Every task below, the first part first."""
    for node in found.tasks:
        yield node
        yield from all_nodes(node)


def drawn(found: Trace) -> str:
    """The tree without its times."""
    return "\n".join(f"{row.branch}{row.label}" for row in rows(found))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A state directory where a test writes the journals itself."""
    return bare(tmp_path, MAI, MARKETING, SALES)


def accepted(request: str = "q1") -> RequestAccepted:
    """The beginning of every request."""
    return RequestAccepted(request=request, asker="acme/client", text="plan it", accepted_ms=1, deadline_ms=2)


def hop(agent: str, task: str, parent: str = "", sender: str = "mai", step: int = 0) -> Hopped:
    """A task for an agent."""
    return Hopped(
        request="q1", task=task, parent=parent, sender=sender, agent=agent, asker="acme/client", contract="", text="plan it",
        input={}, deadline_ms=1, hops=9, rule="it may", step=step,
    )  # fmt: skip


# -- the tree
def test_the_tree_is_the_way_of_the_request(tmp_path: Path) -> None:
    """Down the ranks, through Mai to the other department and to its worker: each task stands below the one that handed it on."""
    found = trace(Wired(tmp_path).asked("r0", "r1", "r2").close().place, "r1")
    assert drawn(found) == (
        "└─ mai → marketing/board\n"
        "   └─ marketing/coordinator\n"
        "      └─ marketing/planner\n"
        "         ├╴ remember last value=plan the campaign\n"
        "         └─ marketing/coordinator: sales.pipeline quarter=2\n"
        "            └─ marketing/board\n"
        "               └─ mai → sales/board\n"
        "                  └─ sales/coordinator\n"
        "                     └─ sales/analyst\n"
        "                        ├╴ tool sum_deals quarter=2 → 200\n"
        '                        └╴ remember seen value={"quarter":2} → 2'
    )
    nodes = list(all_nodes(found))
    assert [node.task for node in nodes][-1] == "r1/1.1.1.1.1.m0.1.1"
    assert {node.state for node in nodes} == {"answered"} and found.state == "answered"
    assert all(node.task.startswith("r1/") for node in nodes)


def test_times_are_those_of_the_records(tmp_path: Path) -> None:
    """Every task lies within the one above it, and starts and durations are those between its own records."""
    place = Wired(tmp_path).asked("r1").close().place
    found = trace(place, "r1")

    def within(above: Trace | Node, start_ms: float) -> None:
        for node in above.tasks:
            assert node.ms is not None and above.ms is not None
            assert start_ms <= node.started_ms <= node.started_ms + node.ms <= start_ms + above.ms + 0.01
            within(node, node.started_ms)

    within(found, 0.0)
    reader = Reader(place, SALES)
    hop_ns, end_ns = (reader.records("kind=? AND agent='board'", kind)[0].at_ns for kind in ("hop", "task.ended"))
    board = next(node for node in all_nodes(found) if node.agent == "acme/sales/board")
    assert board.started_ms == pytest.approx((hop_ns - found.accepted_ns) / 1e6, abs=0.002)
    assert board.ms == pytest.approx((end_ns - hop_ns) / 1e6, abs=0.002)


def test_it_is_data_too(tmp_path: Path) -> None:
    """The same as JSON: who, what, when, the steps with their numbers; and it can be read back."""
    found = trace(Wired(tmp_path).asked("r1").close().place, "r1")
    data = json.loads(json.dumps(fields(found)))
    planner = data["tasks"][0]["tasks"][0]["tasks"][0]
    assert (data["request"], data["client"], data["text"]) == ("r1", "acme", "plan the campaign")
    assert (planner["agent"], planner["sender"], planner["attempts"]) == (
        "acme/marketing/planner",
        "acme/marketing/coordinator",
        1,
    )
    assert [(step["n"], step["call"], step["state"]) for step in planner["steps"]] == [
        (1, "remember", "done"),
        (2, "ask", "done"),
    ]
    assert planner["tasks"][0]["step"] == 2 and planner["tasks"][0]["contract"] == "sales.pipeline"
    assert msgspec.convert(data, Trace) == found


def test_an_open_request_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    """While a request is under way the tree says who has it."""
    company = Wired(tmp_path)
    company.ask("r1")
    while not company.desks[SALES].waiting:
        company.turn()
    found = trace(company.place, "r1")
    analyst = list(all_nodes(found))[-1]
    assert (found.state, analyst.agent, analyst.state, analyst.ms) == (OPEN, "acme/sales/analyst", OPEN, None)
    assert [(step.call, step.state) for step in analyst.steps] == [("tool", "done"), ("remember", OPEN)]
    assert OPEN in render(found)
    company.settle()
    assert trace(company.place, "r1").state == "answered"
    company.close()


def test_a_task_on_its_way_is_shown(tmp_path: Path) -> None:
    """What Mai has sent and nobody has taken yet stands in the tree, with the department that it is for."""
    company = Wired(tmp_path)
    company.kill(MARKETING)
    company.ask("r1")
    company.desks[MAI].shell.commit()
    (node,) = trace(company.place, "r1").tasks
    assert (node.agent, node.state, node.text) == ("acme/marketing", OPEN, "plan the campaign")
    company.close()


def test_crashes_and_restarts_are_counted(tmp_path: Path) -> None:
    """A death of the process in the middle of a task is seen: the interruption, and the restart of all that was open there."""
    company = Wired(tmp_path)
    company.ask("r1")
    while not company.desks[SALES].waiting:
        company.turn()
    company.kill(SALES)
    company.start(SALES)
    company.settle()
    found = trace(company.close().place, "r1")
    analyst = next(node for node in all_nodes(found) if node.agent == "acme/sales/analyst")
    board = next(node for node in all_nodes(found) if node.agent == "acme/sales/board")
    planner = next(node for node in all_nodes(found) if node.agent == "acme/marketing/planner")
    assert (analyst.crashes, analyst.restarts, board.restarts, planner.restarts) == (1, 1, 1, 0)
    assert "the process died while analyst worked on this" in drawn(found)
    assert "(1 crash, 1 restart)" in drawn(found) and found.state == "answered"


def test_a_refused_contract_is_mais(place: Place) -> None:
    """What Mai does not let pass ends with her, with the rule that she named."""
    body = Task("q1/1.m2", "q1", "acme/marketing/planner", "sales.secret", "", {"quarter": 2}, 3)
    write(place.ledger(MARKETING), MARKETING, hop("board", "q1/1"), Sent(
        to=MAI, lseq=1, id="q1/1.m2", request="q1", task="q1/1.m2", deadline_ms=1, body=body
    ))  # fmt: skip
    checked = ContractChecked(
        request="q1", task="q1/1.m2", asking=MARKETING, contract="sales.secret", allowed=False, rule="nobody may"
    )
    write(place.ledger(MAI), MAI, accepted(), checked)
    ((node,),) = [board.tasks for board in trace(place, "q1").tasks]
    assert (node.agent, node.sender, node.state, node.reason) == ("acme/mai", MARKETING, "refused", "nobody may")
    assert "sales.secret quarter=2" in drawn(trace(place, "q1")) and "nobody may" in drawn(trace(place, "q1"))


def test_what_went_wrong_is_noted(place: Place) -> None:
    """Refused hops, effects in doubt and escalations stand in the tree where they happened."""
    about: dict[str, Any] = {"request": "q1", "task": "q1/1.1", "agent": "planner"}
    write(
        place.ledger(MARKETING), MARKETING, hop("board", "q1/1"), hop("planner", "q1/1.1", "q1/1", "board"),
        EffectIntent(**about, n=1, key="k1", tool="pay", effect="opaque", given={"tool": "pay", "input": {"cents": 5}}),
        EffectUnknown(**about, n=1, key="k1", tool="pay"),
        HopRefused(request="q1", task="q1/1.1", sender="planner", receiver="operator", rule="a specialist may not"),
        Escalated(**about, reason="too difficult"),
        Ended(request="q1", task="q1/1.1", agent="planner", state="escalated", reason="too difficult"),
    )  # fmt: skip
    write(place.ledger(MAI), MAI, accepted())
    found = trace(place, "q1")
    said = drawn(found)
    for word in (
        "may not hand it to operator",
        "nobody knows whether pay happened",
        "given up: too difficult",
        "tool pay cents=5",
    ):
        assert word in said, said
    assert next(node for node in all_nodes(found) if node.steps).steps[0].state == "in doubt"
    assert "\x1b[31min doubt" in render(found, colour=True)


def test_a_request_that_fits_nothing_has_its_answer(place: Place) -> None:
    """Where nobody was given anything, the answer itself is shown."""
    ended = RequestEnded(request="q1", state="refused", answer="nothing fits that", parts=(), elapsed_ms=3)
    write(place.ledger(MAI), MAI, accepted(), ended)
    assert "nothing fits that" in render(trace(place, "q1"))
    assert render(trace(place, "q1")).splitlines()[-1].startswith("refused in ")


def test_an_orphan_is_not_lost(place: Place) -> None:
    """A task whose parent is on no record hangs from the request; one that is its own parent makes no circle."""
    write(place.ledger(SALES), SALES, hop("analyst", "q1/7.7.7", "q1/7.7"), hop("board", "q1/8", "q1/8"))
    write(place.ledger(MAI), MAI, accepted())
    assert [node.task for node in trace(place, "q1").tasks] == ["q1/7.7.7", "q1/8"]


def test_records_of_another_version_are_passed_over(place: Place) -> None:
    """A kind or a shape that this version does not know leaves the rest of the tree as it is."""
    ledger = Ledger(place.ledger(MARKETING), MARKETING)
    ledger.append("of.tomorrow", b"{}", request="q1")
    ledger.append("task.ended", b"[1", request="q1")
    ledger.commit()
    ledger.close()
    write(place.ledger(MARKETING), MARKETING, hop("board", "q1/1"))
    write(place.ledger(MAI), MAI, accepted())
    assert [node.agent for node in trace(place, "q1").tasks] == ["acme/marketing/board"]


# -- the drawing
def test_the_drawing_is_aligned_and_bounded() -> None:
    """However long a text and however deep a tree: no line is much wider than a terminal, and the times stand in one column."""
    deep = Trace("r1", "acme", text="x" * 500, ms=5.0, state="answered")
    above: Trace | Node = deep
    for depth in range(60):
        node = Node(f"r1/{depth}", agent="acme/sales/board", text=f"{depth} " + "y" * 300, ms=12345.6, state="answered")
        node.steps = [Step(1, "tool", "z" * 300, 1.0, 0.04, "done", "w" * 300)]
        above.tasks, above = [node], node
    lines = render(deep).splitlines()
    assert all(len(line) <= 300 for line in lines)
    assert len({line.index("+12.3 s") for line in lines[1:20] if "+12.3 s" in line}) == 1
    assert "\x1b" not in render(deep) and "\x1b[32m" in render(deep, colour=True)
    assert isinstance(next(rows(deep)), Row)


# -- finding a request
def test_a_beginning_that_no_other_has_is_enough(tmp_path: Path) -> None:
    """An id may be cut short as long as only one begins so; the whole id always means itself."""
    place = Wired(tmp_path).asked("abc", "abcd", "xyz").close().place
    assert find(place, "xy") == Known("acme", "xyz")
    assert find(place, "abc") == Known("acme", "abc")
    assert find(place, "acme/abcd") == Known("acme", "abcd")
    with pytest.raises(NotFound, match="'ab' is not enough") as several:
        find(place, "ab")
    assert several.value.hint == "there are acme/abc, acme/abcd"


@pytest.mark.parametrize("name", ["nope", "", "acme/nope", "%", "abc/1"])
def test_an_unknown_request_names_recent_ones(tmp_path: Path, name: str) -> None:
    """What is no request is said, with the last ones that were answered; so is an unknown client."""
    place = Wired(tmp_path).asked(*(f"r{number}" for number in range(7))).close().place
    with pytest.raises(NotFound) as unknown:
        find(place, name)
    recent = "recent ones are r6, r5, r4, r3, r2"
    assert unknown.value.hint == ("there are acme/mai, acme/marketing, acme/sales" if name == "abc/1" else recent)


def test_the_same_id_of_two_clients(tmp_path: Path) -> None:
    """Clients choose their ids by themselves: with its client's name a request is found, without it both are named."""
    company = Wired(tmp_path, "acme", "beta")
    for client in ("acme", "beta"):
        company.ask("r1", f"for {client}", client)
        company.settle()
    place = company.close().place
    with pytest.raises(NotFound) as both:
        trace(place, "r1")
    assert both.value.hint == "there are acme/r1, beta/r1"
    assert trace(place, "beta/r1").text == "for beta"
    assert all(node.agent.startswith("beta/") for node in all_nodes(trace(place, "beta/r1")))


def test_nobody_has_asked_yet(tmp_path: Path) -> None:
    """Without any request there is none to name."""
    with pytest.raises(NotFound) as nothing:
        trace(Wired(tmp_path).close().place, "r1")
    assert nothing.value.hint == "nobody has asked anything yet"


def test_no_query_reads_a_journal_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the journals are, a request is found and its records are read by the index, with its first letters too."""
    place = Wired(tmp_path).asked("r1", "r2").close().place
    asked: dict[str, list[str]] = {}

    def looked(path: Path, *, write: bool) -> Any:
        connection = connect(path, write=write)
        connection.set_trace_callback(lambda query: asked.setdefault(query, []).append(path.name))
        return connection

    monkeypatch.setattr(reader, "connect", looked)
    assert trace(place, "r1").state == "answered" and trace(place, "acme/r2").state == "answered"
    monkeypatch.undo()
    read = [query for query in asked if "FROM journal" in query]
    assert len(read) >= 3
    for query in read:
        (plan,) = Reader(place, MAI).plain(f"EXPLAIN QUERY PLAN {query}")
        assert "INDEX journal_request (request" in plan[3] or "PRIMARY KEY" in plan[3], (query, plan)


def test_a_request_in_sealed_segments_is_as_it_was(tmp_path: Path) -> None:
    """Rotated out of the journals that go on, it is found by its first letters, and its tree and its grounds are the same."""
    place = Wired(tmp_path, sealed=True).asked("r1", "r2").close().place
    before = [fields(trace(place, "r1")), why(place, "r1")]
    for process in (MAI, MARKETING, SALES):
        with closing(Ledger(place.ledger(process), process)) as ledger:
            rotation = Rotation(ledger, ledger.seq)
            while rotation.step():
                pass
            assert not rotation.fault
        assert Reader(place, process).plain("SELECT COUNT(*) FROM journal WHERE request <> ''") == [(0,)]
    assert find(place, "r1").request == "r1" and [fields(trace(place, "r1")), why(place, "r1")] == before


def test_any_request_of_many_is_measured(tmp_path: Path) -> None:
    """The program that measures traces over big ledgers finds requests from all over them, and says all its figures."""
    place = Wired(tmp_path, sealed=True).asked("r1", "r2", "r3").close().place
    assert sorted(trace_speed.requests(place, 9)) == ["r1", "r2", "r3"]
    sizes, *lines = trace_speed.measured(place, 3, 1)
    assert sizes.startswith("acme/mai ") and [line.split(",")[0] for line in lines] == ["trace", "why", "mai trace"]
    assert all("median" in line and "of a processor" in line for line in lines)
