"""What Mai decides, without a process: requests and their parts, what crosses between departments, memory, deadlines."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents.contracts import Contracts
from mai.agents.decider import Input, Send, Tick
from mai.agents.events import Acked, Event, MessageRefused, Received, Remembered, ReplyBreached, Sent
from mai.agents.memory import MemoryRead, MemoryRefused
from mai.agents.memory_messages import Recall, Recalled, Remember
from mai.agents.messages import Result, Task
from mai.agents.organisation import Agent, Contract, Department, Limits, Organisation, mandate
from mai.agents.table import Table
from mai.daemon.desk import Asked, Cancels, Crossing, Memory, Planned, Returned, origin, tasks
from mai.daemon.mai import NOTHING_FITS, MaiDecider
from mai.daemon.records import (
    ContractChecked,
    ContractEnded,
    PartEnded,
    PartPlan,
    RequestAccepted,
    RequestEnded,
    RequestPlanned,
)
from tests.opened import OPEN

NOW_MS = 1_000_000
UNTIL_MS = NOW_MS + 10_000
LIMITS = Limits(hops=6, queue=8)


def organisation() -> Organisation:
    """Support may ask finance to pay back, finance may ask support to tell and sales for a name."""
    pay = Contract(
        name="pay", about="", served_by="clerk", may_ask=("support",), request={"order": "int"}, reply={"refund": "int"}
    )
    tell = Contract(name="tell", about="", served_by="clerk", may_ask=("finance",), request={"order": "int"})
    name = Contract(name="name", about="", served_by="clerk", may_ask=("finance",), request={"id": "int"}, reply={"name": "str"})
    agents = (Agent(name="board", rank="board"), Agent(name="clerk", rank="operator", handler="x.py:x"))
    return Organisation(
        name="Test", clients=("acme",), limits=LIMITS,
        departments=(
            Department(name="support", charter="", agents=agents, contracts=(tell,), memory=OPEN),
            Department(name="finance", charter="", agents=agents, contracts=(pay,), memory=OPEN),
            Department(name="sales", charter="", agents=agents, contracts=(name,), memory=OPEN),
        ),
    )  # fmt: skip


class Mai:
    """Her decider, fed by hand: each event is folded at once, sends are kept."""

    def __init__(self, whole: Organisation | None = None) -> None:
        part = mandate(whole or organisation(), "acme", "mai")
        fault = Contracts(part.organisation).fault
        self.decider = MaiDecider(part, Table(part.organisation), fault)
        self.state = self.decider.state
        self.seq = 0

    def feed(self, given: Input, now_ms: int = NOW_MS) -> tuple[list[Event], list[Send]]:
        """Decide and fold; the facts and the sends."""
        decided = self.decider.decide(given, now_ms)
        events = [item for item in decided if not isinstance(item, Send)]
        for event in events:
            self.seq += 1
            assert self.decider.evolve(event, self.seq) == []
        return events, [item for item in decided if isinstance(item, Send)]

    def asked(self, request: str = "R", *departments: str, until_ms: int = UNTIL_MS) -> list[Send]:
        """The client asks these departments."""
        parts = tuple(PartPlan(name, f"ask {name}", "", {}, "") for name in departments or ("support",))
        return self.feed(Asked(request, "acme/client", "text", until_ms, False, parts))[1]

    def crossing(self, peer: str = "acme/support", until_ms: int = UNTIL_MS, **given: Any) -> tuple[list[Event], list[Send]]:
        """A department asks for a contract."""
        defaults: dict[str, Any] = {
            "task": "R/1.1.m1", "request": "R", "asker": f"{peer}/clerk", "contract": "finance.pay", "text": "",
            "input": {"order": 5}, "hops": 3,
        }  # fmt: skip
        return self.feed(Crossing(peer, Task(**{**defaults, **given}), until_ms))

    def refused(self, peer: str = "acme/support", until_ms: int = UNTIL_MS, **given: Any) -> str:
        """The rule by which that is refused; it is on record and goes back to who asked, and nobody else hears of it."""
        (*_, checked), (back,) = self.crossing(peer, until_ms, **given)
        assert isinstance(checked, ContractChecked) and not checked.allowed
        assert isinstance(back.body, Result) and back.to == peer and back.body.reason == checked.rule
        assert back.body.state in ("refused", "expired") and back.body.task == checked.task
        return checked.rule


def result(task: str, state: str = "answered", request: str = "R", **given: Any) -> Result:
    """A department's answer."""
    text = "Done." if state == "answered" and ".m" not in task else ""  # a text does not go to another department
    defaults: dict[str, Any] = {"text": text, "value": {}, "reason": "", "by": "acme/support/clerk"}
    return Result(task, request, state, **{**defaults, **given})  # type: ignore[arg-type]  # a Literal


@pytest.fixture
def mai() -> Mai:
    """A Mai with one open request, which support has."""
    fresh = Mai()
    fresh.asked()
    return fresh


# -- a department that takes nothing
def silent(mai: Mai, peer: str, count: int) -> None:
    """So many messages wait for a peer that does not acknowledge."""
    link = mai.state.link(peer)
    for _ in range(count):
        body = Recalled("i", False, None)
        mai.seq += 1
        mai.decider.evolve(Sent(to=peer, lseq=link.sent + 1, id="i", request="", task="", deadline_ms=0, body=body), mai.seq)


def test_what_waits_for_a_department_that_takes_nothing_is_bounded() -> None:
    """It may be away for days: new requests for it are refused at once, with the reason, until it takes them; others go on."""
    mai = Mai()
    silent(mai, "acme/support", 2 * LIMITS.queue - 1)
    assert len(mai.asked("R1")) == 1
    silent(mai, "acme/support", 1)
    assert mai.asked("R2") == [] and "R2" not in mai.state.requests
    _, _, ended = mai.feed(Asked("R3", "", "text", UNTIL_MS, False, (PartPlan("support", "", "", {}, ""),)))[0]
    assert isinstance(ended, RequestEnded) and ended.state == "refused"
    assert ended.answer.endswith("16 messages wait for acme/support, which does not take them; ask again later")
    assert [send.to for send in mai.asked("R4", "finance")] == ["acme/finance"]
    mai.decider.evolve(Acked(peer="acme/support", received=1), mai.seq + 1)
    assert len(mai.asked("R5")) == 1


def test_no_contract_is_asked_of_who_takes_nothing(mai: Mai) -> None:
    """Who asks is told so."""
    silent(mai, "acme/finance", 2 * LIMITS.queue)
    assert mai.refused().startswith("16 messages wait for acme/finance")


# -- requests
def test_each_part_goes_to_its_department() -> None:
    """One task for each part, its id derived from the request's, due a little before the whole."""
    sends = Mai().asked("R", "support", "sales", "support")
    assert [(send.to, send.id) for send in sends] == [("acme/support", "R/1"), ("acme/sales", "R/2"), ("acme/support", "R/3")]
    assert all(NOW_MS < send.deadline_ms < UNTIL_MS for send in sends)
    assert all(isinstance(send.body, Task) and send.body.hops == LIMITS.hops for send in sends)


def test_whom_a_part_is_for_goes_along_and_is_on_record() -> None:
    """Each task has its own part's agents, also when the plan comes later."""
    parts = (PartPlan("support", "x", "", {}, "", ("clerk", "desk")), PartPlan("sales", "y", "", {}, ""))
    at_once, later = Mai(), Mai()
    later.feed(Asked("R", "acme/client", "text", UNTIL_MS, False, None))
    for fresh, given_ in ((at_once, Asked("R", "acme/client", "text", UNTIL_MS, False, parts)), (later, Planned("R", parts))):
        events, sends = fresh.feed(given_)
        assert [send.body.ranked for send in sends if isinstance(send.body, Task)] == [("clerk", "desk"), ()]
        assert [event.parts for event in events if isinstance(event, RequestPlanned)] == [parts]


def test_a_department_names_nobody_in_another(mai: Mai) -> None:
    """Whom a text is for Mai says alone."""
    _, (on,) = mai.crossing(task="R/1.1.m1", ranked=("clerk",))
    assert isinstance(on.body, Task) and on.to == "acme/finance" and on.body.ranked == ()


def test_what_fits_nothing_is_said_to_fit_nothing() -> None:
    """It is accepted, refused and answered in one turn, names what there is, and nobody is asked."""
    fresh = Mai()
    events, sends = fresh.feed(Asked("R", "acme/client", "fly me to the moon", UNTIL_MS, False, ()))
    assert isinstance(events[0], RequestAccepted) and isinstance(events[-1], RequestEnded) and not sends
    assert events[-1].state == "refused" and NOTHING_FITS in events[-1].answer and "finance, sales, support" in events[-1].answer
    assert not fresh.state.requests


def test_what_would_not_fit_into_a_message_is_refused_at_once(mai: Mai) -> None:
    """A part that its department would have to refuse as a frame never gets on the link, and the client is told why."""
    part = PartPlan("support", "x" * LIMITS.message_bytes, "", {}, "")
    events, sends = mai.feed(Asked("R", "acme/client", "text", UNTIL_MS, False, (part,)))
    assert sends == [] and isinstance(events[-1], RequestEnded)
    assert events[-1].state == "refused" and "the limit of a message" in events[-1].answer
    assert mai.state.requests == {}


def test_a_request_ends_once_when_all_parts_are_there(mai: Mai) -> None:
    """Not before the last part, and never again: a part that is answered twice changes nothing."""
    mai.asked("Q", "support", "sales")
    first, _ = mai.feed(Returned("acme/support", result("Q/1", request="Q")))
    again, _ = mai.feed(Returned("acme/support", result("Q/1", "failed", request="Q")))
    last, _ = mai.feed(Returned("acme/sales", result("Q/2", "refused", request="Q", reason="no", by="acme/sales/clerk")))
    late, _ = mai.feed(Returned("acme/sales", result("Q/2", request="Q")))
    assert [type(event) for event in first] == [PartEnded] and not again and not late
    ended = last[-1]
    assert isinstance(ended, RequestEnded) and ended.state == "refused" and "Done." in ended.answer and "no" in ended.answer
    assert list(mai.state.requests) == ["R"]


def test_an_answer_for_anothers_part_is_refused(mai: Mai) -> None:
    """A department that answers what another has is put on record; the part stays open for its own department."""
    events, sends = mai.feed(Returned("acme/sales", result("R/1")))
    assert [type(event) for event in events] == [MessageRefused] and not sends
    events, _ = mai.feed(Returned("acme/support", result("R/1")))
    assert isinstance(events[-1], RequestEnded) and events[-1].state == "answered"


def test_an_answer_for_no_task_is_ignored(mai: Mai) -> None:
    """Results that nobody waits for change nothing, however their ids look."""
    for task in ("", "R", "R/0", "R/2", "R/1.1", "/1", "X/1", "R/1.m0", "R/\u0661", "R/-1"):
        assert mai.feed(Returned("acme/support", result(task))) == ([], [])


def test_nobody_answers_in_anothers_name(mai: Mai) -> None:
    """Who did the work, as the client reads it, is someone of the department that answered, and rests on departments."""
    strange: tuple[dict[str, Any], ...] = (
        {"by": "acme/finance/clerk"}, {"by": "acme/support/nobody"}, {"by": ""}, {"sources": ("nowhere",)}
    )  # fmt: skip
    for wrongly in strange:
        fresh = Mai()
        fresh.asked()
        events, sends = fresh.feed(Returned("acme/support", result("R/1", **wrongly)))
        assert [type(event) for event in events] == [ReplyBreached] and [send.to for send in sends] == ["acme/support"]
    events, _ = mai.feed(Returned("acme/support", result("R/1")))
    assert isinstance(events[-1], RequestEnded) and events[-1].parts[0].by == "acme/support/clerk"


def test_at_the_deadline_what_is_there_is_answered(mai: Mai) -> None:
    """The parts that came are in the answer, those that did not are named; a result after that is too late."""
    mai.asked("Q", "support", "sales")
    mai.feed(Returned("acme/support", result("Q/1", request="Q")))
    assert mai.feed(Tick(), UNTIL_MS - 1) == ([], [])
    events, _ = mai.feed(Tick(), UNTIL_MS)
    ended = {event.request: event for event in events if isinstance(event, RequestEnded)}
    assert {name: event.state for name, event in ended.items()} == {"R": "expired", "Q": "expired"}
    assert "Done." in ended["Q"].answer and "before the deadline" in ended["Q"].answer
    assert mai.feed(Returned("acme/support", result("R/1"))) == ([], [])
    assert mai.decider.next_deadline_ms() == 0


# -- between departments
def test_a_contract_goes_on_and_its_reply_comes_back(mai: Mai) -> None:
    """Support's ask reaches finance, the reply that keeps to the contract reaches support, each once."""
    events, (sent,) = mai.crossing()
    assert isinstance(events[0], ContractChecked) and events[0].allowed
    assert sent.to == "acme/finance" and isinstance(sent.body, Task) and sent.body.input == {"order": 5}
    assert mai.crossing() == ([], []), "the same once more"
    reply = result("R/1.1.m1", value={"refund": 7}, by="acme/finance/clerk")
    events, (back,) = mai.feed(Returned("acme/finance", reply))
    assert isinstance(events[0], ContractEnded) and back.to == "acme/support" and back.body == reply
    assert mai.feed(Returned("acme/finance", reply)) == ([], [])


def test_a_contract_that_was_asked_for_may_ask_for_another(mai: Mai) -> None:
    """Finance, at work for support, asks sales: the id derives from the passage, and the ways back are kept apart."""
    mai.crossing()
    ask: dict[str, Any] = {"task": "R/1.1.m1.1.2.m4", "contract": "sales.name", "input": {"id": 1}}
    _, (sent,) = mai.crossing("acme/finance", **ask)
    assert sent.to == "acme/sales"
    _, (back,) = mai.feed(Returned("acme/sales", result(ask["task"], value={"name": "Ada"}, by="acme/sales/clerk")))
    assert back.to == "acme/finance"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"contract": "sales.name", "input": {"id": 1}}, "may not ask for sales.name"),
        ({"contract": "support.refund"}, "own"),
        ({"contract": ""}, "no contract"),
        ({"contract": "moon.fly"}, "no contract"),
        ({"input": {"order": "five"}}, "expected int"),
        ({"input": {"order": 5, "secret": 1}}, "secret"),
        ({"input": {"order": 1 << 64}}, "64 bits"),
        ({"input": {}}, "order"),
        ({"asker": "acme/finance/clerk"}, "in the name of"),
        ({"asker": "acme/support"}, "in the name of"),
        ({"task": "R/2.1.m1"}, "no open task"),
        ({"task": "Q/1.1.m1", "request": "Q"}, "no open task"),
        ({"request": "Q"}, "no open task"),
        ({"task": "R/1"}, "no open task"),
        ({"task": "R/1.1.mx"}, "no open task"),
        ({"task": "R/1" + ".1" * 5000 + ".m1"}, "no open task"),
        ({"hops": 0}, "handed on"),
        ({"hops": -(1 << 40)}, "handed on"),
        ({"until_ms": NOW_MS}, "deadline"),
        ({"until_ms": -5}, "deadline"),
    ],
)
def test_what_may_not_cross_is_refused_with_the_rule(mai: Mai, given: dict[str, Any], rule: str) -> None:
    """Not its contract, wrong input, another's name or task, no hops or time left: nothing of it reaches another department."""
    assert rule in mai.refused(**given)
    assert not mai.state.passages


def test_a_department_cannot_use_anothers_task(mai: Mai) -> None:
    """Finance has no part in the request yet, so it may not ask in its course; nor take the id that support will use."""
    assert "no open task" in mai.refused("acme/finance", contract="sales.name", input={"id": 1})
    mai.feed(Returned("acme/support", result("R/1")))
    assert "no open task" in mai.refused()


def test_hops_and_time_are_not_for_the_asker_to_lengthen(mai: Mai) -> None:
    """Huge hops and a far deadline are cut to what the request has left."""
    _, (sent,) = mai.crossing(hops=1 << 40, until_ms=(1 << 64) - 1)
    assert isinstance(sent.body, Task) and sent.body.hops < LIMITS.hops
    assert NOW_MS < sent.deadline_ms < UNTIL_MS
    assert mai.state.passages["R/1.1.m1"].deadline_ms == UNTIL_MS


def test_departments_cannot_go_round_for_ever(mai: Mai) -> None:
    """Mai counts hops herself, so a ring that always asks something new ends, too, whatever it says of them."""
    task, ring = "R/1", itertools.cycle([("acme/support", "finance.pay"), ("acme/finance", "support.tell")])
    for crossed in range(1, LIMITS.hops):
        peer, contract = next(ring)
        task += ".1.m1"
        _, (sent,) = mai.crossing(peer, task=task, contract=contract, hops=10**9, input={"order": crossed})
        assert isinstance(sent.body, Task) and sent.body.hops == LIMITS.hops - crossed
    peer, contract = next(ring)
    assert "handed on" in mai.refused(peer, task=f"{task}.1.m1", contract=contract, hops=10**9)


def test_a_full_queue_pushes_back(mai: Mai) -> None:
    """Beyond the limit of open passages the asker is told so, and may ask again later."""
    for number in range(LIMITS.queue):
        mai.crossing(task=f"R/1.1.m{number + 1}")
    assert "ask again later" in mai.refused(task="R/1.1.m99")


def test_a_reply_that_breaks_its_contract_goes_back_to_its_board_once(mai: Mai) -> None:
    """It has the task again with the rule and what is allowed; the reply to that goes on as if it had been the first."""
    mai.crossing()
    (breached,), (again,) = mai.feed(Returned("acme/finance", wrong("R/1.1.m1"), 9, "ab"))
    assert isinstance(breached, ReplyBreached) and (breached.record, breached.digest) == (9, "ab")
    assert again.to == "acme/finance" and isinstance(again.body, Task)
    assert (again.body.task, again.body.contract, again.body.input) == ("R/1.1.m1c1", "finance.pay", {"order": 5})
    assert "does not name" in again.body.correction and again.body.correction.endswith("allowed are the fields refund")
    assert "DE1" not in f"{breached} {again}" and "iban" not in f"{breached} {again}"
    assert mai.feed(Returned("acme/finance", result("R/1.1.m1", value={"refund": 1}))) == ([], [])  # that turn is over
    (ended,), (back,) = mai.feed(Returned("acme/finance", result("R/1.1.m1c1", value={"refund": 7}, by="acme/finance/clerk")))
    assert isinstance(ended, ContractEnded) and isinstance(back.body, Result) and back.to == "acme/support"
    assert (back.body.task, back.body.state, back.body.value) == ("R/1.1.m1", "answered", {"refund": 7})
    assert not mai.state.passages and not mai.state.amended


def wrong(task: str, **given: Any) -> Result:
    """An answer of finance's with a field that the contract does not name, and a text."""
    return result(task, value={"refund": 7, "iban_DE1": "DE1"}, text="DE1", by="acme/finance/clerk", **given)


@pytest.mark.parametrize("why", ["twice", "changed", "too late", "cancelled"])
def test_a_reply_that_breaks_its_contract_does_not_reach_the_asker(mai: Mai, why: str) -> None:
    """After its second turn, or where there must be none, it is refused in words that have nothing of it."""
    mai.crossing(until_ms=NOW_MS + 100)
    task = "R/1.1.m1"
    if why == "twice":
        mai.feed(Returned("acme/finance", wrong(task)))
        task += "c1"
    if why == "cancelled":
        mai.feed(Cancels("R", "root", "", "o", ("acme/support", "acme/finance")))
    late = NOW_MS + 100 if why == "too late" else NOW_MS
    events, sends = mai.feed(Returned("acme/finance", wrong(task, changed=why == "changed")), late)
    assert [type(event) for event in events] == [ReplyBreached, ContractEnded]
    assert isinstance(events[0], ReplyBreached) and not events[0].again and events[0].task == "R/1.1.m1"
    (back,) = sends
    assert isinstance(back.body, Result) and back.to == "acme/support" and back.body.state == "refused"
    assert back.body.reason.startswith("finance withholds its reply, which does not keep to its contract finance.pay")
    assert "DE1" not in f"{events} {sends}"


def test_a_part_that_breaks_its_contract_goes_back_too_and_the_client_sees_nothing_of_it(mai: Mai) -> None:
    """As between departments: one more turn, then a refusal."""
    part = PartPlan("finance", "pay 5", "finance.pay", {"order": 5}, "")
    mai.feed(Asked("Q", "acme/client", "pay 5", UNTIL_MS, False, (part,)))
    _, (again,) = mai.feed(Returned("acme/finance", wrong("Q/1", request="Q")))
    assert isinstance(again.body, Task) and (again.body.task, again.body.text) == ("Q/1c1", "pay 5")
    events, _ = mai.feed(Returned("acme/finance", wrong("Q/1c1", request="Q")))
    assert isinstance(events[-1], RequestEnded) and events[-1].state == "refused"
    assert "finance withholds its reply" in events[-1].answer and "DE1" not in str(events)


def test_what_is_taken_in_has_nothing_that_may_not_leave(mai: Mai) -> None:
    """Before it is on the disk an answer is cut: one that breaks a rule, one that nobody waits for, values without an answer."""
    mai.crossing()
    strange = (
        ("acme/finance", wrong("R/1.1.m1")), ("acme/finance", wrong("R/1.1.m9")), ("acme/sales", wrong("R/1.1.m1")),
        ("acme/finance", result("R/1.1.m1", "failed", value={"refund": 1}, text="DE1", by="DE1")),
        ("acme/finance", result("R/1.1.m1", value={"refund": 1}, text="the iban is DE1", sources=("DE1",))),
        ("acme/support", result("R/1", "escalated", value={"iban": "DE1"})),
    )  # fmt: skip
    for peer, body in strange:
        screened = mai.decider.screen(peer, body)
        assert isinstance(screened, Result) and screened.breach and not screened.value and not screened.text
        assert "DE1" not in str(screened) and mai.decider.screen(peer, screened) == screened
    fine = result("R/1.1.m1", value={"refund": 1}, by="acme/finance/clerk", sources=("finance",))
    assert mai.decider.screen("acme/finance", fine) == fine


def test_another_cannot_answer_for_the_one_that_was_asked(mai: Mai) -> None:
    """The reply of a contract comes from the department that offers it, or it is refused and put on record."""
    mai.crossing()
    events, sends = mai.feed(Returned("acme/sales", result("R/1.1.m1", value={"refund": 7})))
    assert [type(event) for event in events] == [MessageRefused] and not sends and mai.state.passages


def test_a_passage_ends_at_its_deadline(mai: Mai) -> None:
    """The asker is told that nobody answered in time; the reply that comes later goes nowhere."""
    mai.crossing(until_ms=NOW_MS + 100)
    events, (back,) = mai.feed(Tick(), NOW_MS + 100)
    assert isinstance(events[0], ContractEnded) and isinstance(back.body, Result) and back.body.state == "expired"
    assert mai.feed(Returned("acme/finance", result("R/1.1.m1", value={"refund": 7}))) == ([], [])


# -- memory
def test_the_clients_memory_is_read_and_written_for_a_department(mai: Mai) -> None:
    """Both are on record with the agent, and answered."""
    events, (back,) = mai.feed(Memory("acme/support", Remember("i", "acme/support/clerk", "colour", "red")))
    assert isinstance(events[0], Remembered) and events[0].agent == "acme/support/clerk"
    assert back.body == Recalled("i", True, 1, n=1)
    events, (back,) = mai.feed(Memory("acme/sales", Recall("j", "acme/sales/clerk", "colour")))
    assert isinstance(events[0], MemoryRead) and events[0].found and back.body == Recalled("j", True, "red", n=1)
    _, (back,) = mai.feed(Memory("acme/sales", Recall("k", "acme/sales/clerk", "size")))
    assert back.body == Recalled("k", False, None)


def test_nobody_reads_memory_in_anothers_name(mai: Mai) -> None:
    """An agent of another department is refused, and nothing is read or written."""
    for body in (Recall("i", "acme/finance/clerk", "x"), Remember("i", "acme/supporters/clerk", "x", 1)):
        events, (back,) = mai.feed(Memory("acme/support", body))
        assert (
            isinstance(events[0], MemoryRefused)
            and len(events) == 1
            and isinstance(back.body, Recalled)
            and back.body.refused
            and not back.body.found
        )


# -- ids
@given(
    request=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:-]{0,20}\Z"),
    part=st.integers(1, 8),
    ways=st.lists(st.tuples(st.lists(st.integers(1, 30), max_size=4), st.integers(0, 50)), min_size=1, max_size=4),
)
def test_the_origin_of_an_ask_is_found_again(request: str, part: int, ways: list[tuple[list[int], int]]) -> None:
    """For every id that departments make of Mai's: hops `.1.2`, then `.m3` for what is asked through her, and so on."""
    task = f"{request}/{part}"
    for hops, step in ways:
        before = task
        task += "".join(f".{hop}" for hop in hops) + f".m{step}"
        assert origin(task) == before


@given(st.text(max_size=40))
def test_any_text_has_an_origin_or_none(task: str) -> None:
    """What is no id derived from a task has an origin that is no task, or none."""
    assert isinstance(origin(task), str)


def test_the_ids_of_parts_derive_from_the_request() -> None:
    """So a request that is asked again is the same work."""
    assert tasks("R", (PartPlan("a", "", "", {}, ""),) * 2) == ["R/1", "R/2"]


def test_deciding_changes_nothing(mai: Mai) -> None:
    """`decide` is a question: asked twice without folding, it gives the same."""
    given = Crossing("acme/support", Task("R/1.m1", "R", "acme/support/clerk", "finance.pay", "", {"order": 5}, 3), UNTIL_MS)
    assert mai.decider.decide(given, NOW_MS) == mai.decider.decide(given, NOW_MS)


def test_what_is_received_becomes_an_input() -> None:
    """Tasks, results and memory; a Recalled from a department means nothing to Mai."""
    body: Any = Recalled("i", True, 1)
    received = Received(
        sender="acme/support", lseq=1, id="", request="", task="", organisation="", deadline_ms=0, head_seq=0, head="", body=body
    )
    assert Mai().decider.taken(received) == []


# -- a plan that comes later
def later(fresh: Mai, parts: tuple[PartPlan, ...] = (), **given: str) -> tuple[list[Event], list[Send]]:
    """Accepted without a plan, which comes a second afterwards."""
    events, sends = fresh.feed(Asked("L", "acme/client", "text", UNTIL_MS, False, None))
    assert [type(event) for event in events] == [RequestAccepted] and not sends
    return fresh.feed(Planned("L", parts, **given), NOW_MS + 1000)


def test_a_plan_that_comes_later_is_carried_out_once() -> None:
    """As if it had come at once; the same plan again, or one for a request that has ended, changes nothing."""
    fresh, parts = Mai(), (PartPlan("support", "text", "", {}, "why"),)
    _, (sent,) = later(fresh, parts)
    assert (sent.to, sent.id) == ("acme/support", "L/1") and isinstance(sent.body, Task)
    assert fresh.feed(Planned("L", parts)) == ([], []) == fresh.feed(Planned("X", parts))
    events, _ = fresh.feed(Returned("acme/support", result("L/1", request="L")))
    assert isinstance(events[-1], RequestEnded) and fresh.feed(Planned("L", parts)) == ([], [])


def test_what_is_asked_back_ends_with_the_question() -> None:
    """Refused, with the grounds on record; without a question nothing fits."""
    events, sends = later(Mai(), why="the grounds", question="is it for support or for sales?")
    assert isinstance(events[0], RequestPlanned) and events[0].why == "the grounds" and not sends
    assert isinstance(events[1], RequestEnded) and events[1].state == "refused" and events[1].elapsed_ms == 1000
    assert "is it for support or for sales?" in events[1].answer and NOTHING_FITS not in events[1].answer
    events, _ = later(Mai(), why="the grounds")
    assert isinstance(events[1], RequestEnded) and NOTHING_FITS in events[1].answer


def test_a_request_without_a_plan_ends_at_its_deadline() -> None:
    """It is answered as expired, once."""
    fresh = Mai()
    fresh.feed(Asked("L", "acme/client", "text", UNTIL_MS, False, None))
    assert fresh.decider.next_deadline_ms() == UNTIL_MS
    (ended,), sends = fresh.feed(Tick(), UNTIL_MS)
    assert isinstance(ended, RequestEnded) and ended.state == "expired" and not sends and not fresh.state.requests
