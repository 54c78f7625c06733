"""Departments that take no new tasks: what waits at Mai, what goes on when they are free, and what ends at once."""

from typing import Any

import pytest

from mai.agents.decider import Tick
from mai.agents.messages import Result
from mai.agents.order_messages import Cancel
from mai.agents.organisation import Organisation
from mai.daemon.desk import Asked, Cancels
from mai.daemon.held import DepartmentFreed, DepartmentHeld, TaskHeld
from mai.daemon.records import ContractEnded, PartEnded, PartPlan, RequestEnded
from mai.daemon.told import Standing, Told
from tests.test_cover import Covered
from tests.test_mai import LIMITS, NOW_MS, UNTIL_MS
from tests.test_mai import organisation as uncovered

SALES = "acme/sales"


class Holding(Covered):
    """Mai, over an organisation without backups unless one is given; the watchdog's records come one by one."""

    def __init__(self, whole: Organisation | None = None) -> None:
        super(Covered, self).__init__(whole or uncovered())
        self.events = []
        self.told = 0

    def tell(self, kind: str, process: str = SALES, now_ms: int = NOW_MS, **body: Any) -> list[Any]:
        """The watchdog's next record; the sends that follow."""
        self.told += 1
        return self.feed(Told(self.told, now_ms, kind, process, body), now_ms)[1]

    def want(self, how: str, process: str = SALES, now_ms: int = NOW_MS) -> list[Any]:
        """An operator wants this of a process."""
        return self.tell("wanted", process, now_ms, wanted=how, by="root", why="an upgrade")

    def request(self, name: str, *departments: str, now_ms: int = NOW_MS) -> list[Any]:
        """The client asks; the sends that follow."""
        parts = tuple(PartPlan(one, f"do {one}", "", {}, "") for one in departments or ("sales",))
        return self.feed(Asked(name, "acme/client", "do it", UNTIL_MS, False, parts), now_ms)[1]

    def ends(self, kind: Any = RequestEnded) -> list[Any]:
        """The ends so far."""
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def mai() -> Holding:
    """She knows of no hold."""
    return Holding()


@pytest.mark.parametrize(("wanted", "how"), [("pause", "paused"), ("drain", "draining"), ("stop", "stopped")])
def test_tasks_wait_until_their_department_is_free(mai: Holding, wanted: str, how: str) -> None:
    """Unsent and on record; then all go in the order in which they came, and others were not touched."""
    mai.want(wanted)
    assert [(e.department, e.how, e.by, e.why) for e in mai.ends(DepartmentHeld)] == [("sales", how, "root", "an upgrade")]
    assert mai.request("R1") == [] and mai.request("R2") == []
    assert [sent.to for sent in mai.request("R3", "sales", "support")] == ["acme/support"]
    assert [event.task for event in mai.ends(TaskHeld)] == ["R1/1", "R2/1", "R3/1"] and not mai.ends()
    sent = mai.want("run")
    assert [(one.to, one.id) for one in sent] == [(SALES, "R1/1"), (SALES, "R2/1"), (SALES, "R3/1")]
    assert not mai.decider.state.waiting and not mai.decider.state.held and len(mai.ends(DepartmentFreed)) == 1
    assert mai.request("R4") and mai.want("run") == []


def test_from_paused_to_draining_nothing_goes(mai: Holding) -> None:
    """Another reason is another record, and no moment without one."""
    mai.want("pause")
    mai.request("R1")
    assert mai.want("drain") == [] and mai.want("stop") == []
    assert [event.how for event in mai.ends(DepartmentHeld)] == ["paused", "draining", "stopped"]
    assert not mai.ends(DepartmentFreed) and [sent.id for sent in mai.want("run")] == ["R1/1"]


def test_at_the_deadline_the_client_hears_who_held_it(mai: Holding) -> None:
    """The reason names the department, the operator and why; afterwards nothing goes to the department."""
    mai.want("pause")
    mai.request("R1")
    mai.feed(Tick(), UNTIL_MS)
    (end,) = mai.ends()
    assert end.parts[0].reason == "it was not begun, for acme/sales is paused by root: an upgrade"
    assert end.parts[0].state == "expired"
    assert mai.want("run", now_ms=UNTIL_MS) == [] and not mai.decider.state.waiting


def test_a_cancelled_request_waits_no_longer(mai: Holding) -> None:
    """Nothing of it is sent when the department is free."""
    mai.want("pause")
    mai.request("R1")
    mai.feed(Cancels("R1", "root", "", "o1", ()))
    assert not mai.decider.state.waiting and mai.want("run") == []
    mai.asked("R", "support")
    mai.want("pause", "acme/finance")
    mai.crossing()
    mai.feed(Cancels("R", "root", "", "o2", ("acme/support",)))
    assert not mai.decider.state.passages and mai.ends(ContractEnded)[0].reason == "the request was cancelled"


def test_what_a_department_asks_of_another_waits_too(mai: Holding) -> None:
    """The passage is open, and is carried out once the other department is free; it ends with the reason otherwise."""
    (task,) = mai.asked("R", "support")
    mai.want("pause", "acme/finance")
    events, sends = mai.crossing()
    assert sends == [] and any(isinstance(event, TaskHeld) for event in events)
    (sent,) = mai.want("run", "acme/finance")
    assert sent.to == "acme/finance" and task.to == "acme/support"


def test_a_passage_that_was_held_says_so_at_its_end(mai: Holding) -> None:
    """Who asked is told why there is no answer."""
    mai.asked("R", "support")
    mai.want("pause", "acme/finance")
    mai.crossing()
    sends = mai.feed(Tick(), UNTIL_MS)[1]
    ends = mai.ends(ContractEnded)
    assert "acme/finance is paused by root" in ends[0].reason
    assert isinstance(sends[0].body, Result) and "is paused" in sends[0].body.reason


def test_a_department_that_was_given_up_is_refused_at_once(mai: Holding) -> None:
    """What is new is refused, what waited ends as failed, what is on its way stays open; a reset lets all in again."""
    mai.request("R0")
    mai.want("pause")
    mai.request("R1", "sales", "sales")
    mai.tell("given_up", why="died 5 times")
    assert [(event.task, event.answer.state) for event in mai.ends(PartEnded)] == [("R1/1", "failed"), ("R1/2", "failed")]
    assert [event.request for event in mai.ends()] == ["R1"], "both parts are over, and so is the whole"
    assert mai.request("R2") == []
    assert mai.ends()[1].parts[0].reason == "it is for acme/sales, which was given up: died 5 times"
    assert "R0" in mai.decider.state.requests
    mai.want("run")
    mai.tell("revived")
    assert [sent.id for sent in mai.request("R3")] == ["R3/1"]


def test_what_waits_is_bounded(mai: Holding) -> None:
    """A department that is paused for long refuses what is beyond the limit, in words."""
    mai.want("pause")
    for number in range(LIMITS.queue):
        mai.request(f"R{number}")
    mai.request("one more")
    (end,) = mai.ends()
    reason = end.parts[0].reason
    assert end.state == "refused" and "tasks wait for acme/sales" in reason and "paused by root" in reason
    assert len(mai.want("run")) == LIMITS.queue


def test_how_things_stand_holds_and_frees(mai: Holding) -> None:
    """A watchdog whose records were lost tells how things stand, and that is heeded like its records."""
    mai.feed(Standing(9, {SALES: "pause"}, {}, {SALES: ("root", "")}))
    assert mai.request("R1") == []
    assert [sent.id for sent in mai.feed(Standing(5, {}, {}))[1]] == ["R1/1"]


def test_a_cover_has_the_turn_when_what_waits_takes_too_long() -> None:
    """A contract with backups goes on to the next one; the task that waited is forgotten."""
    covered = Covered()
    covered.feed(Told(1, NOW_MS, "wanted", "acme/stock", {"wanted": "pause", "by": "root"}))
    assert covered.ask() == [], "it waits at first"
    (sent,) = covered.feed(Tick(), NOW_MS + (UNTIL_MS - NOW_MS) // 2 + 1)[1]
    assert sent.to == "acme/archive"
    assert covered.feed(Told(2, NOW_MS, "wanted", "acme/stock", {"wanted": "run"}))[1] == []
    assert not covered.decider.state.waiting


def test_a_cover_has_the_turn_when_who_was_paused_is_given_up() -> None:
    """What waits there goes to the backup at once."""
    covered = Covered()
    covered.feed(Told(1, NOW_MS, "wanted", "acme/stock", {"wanted": "pause"}))
    covered.ask()
    (sent,) = covered.feed(Told(2, NOW_MS, "given_up", "acme/stock", {"why": "x"}))[1]
    assert sent.to == "acme/archive"


def test_cancels_and_replies_pass(mai: Holding) -> None:
    """A hold is for new tasks only."""
    (task,) = mai.request("R1")
    mai.want("drain")
    (sent,) = mai.feed(Cancels("R1", "root", "", "o1", (task.to,)))[1]
    assert isinstance(sent.body, Cancel)
