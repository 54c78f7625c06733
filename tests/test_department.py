"""The pure decider of a department: the whole way of a task through the ranks, each refusal, and any inputs at all."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mai.agents.body import Fields
from mai.agents.contracts import Contracts
from mai.agents.decider import VIA_MAI, Input, Send, Tick
from mai.agents.department import DepartmentDecider
from mai.agents.escalation_messages import Escalate
from mai.agents.events import Asked, Ended, Escalated, Event, Hopped, HopRefused, Stepped
from mai.agents.inputs import Answered, Arrived, Call, Report, Told
from mai.agents.memory_messages import Recalled
from mai.agents.messages import Result, Task
from mai.agents.organisation import Agent, Contract, Department, Limits, Organisation, Rank, mandate
from mai.agents.state import Done, Work
from mai.agents.table import Table
from tests.opened import OPEN

NOW_MS = 1_000_000
LIMIT_MS = 30_000


class Desk:
    """One department without disk and clock: inputs in, facts and sends out. `fit` is a list that the test sets."""

    def __init__(self, organisation: Organisation, name: str = "support") -> None:
        self.organisation, self.name, self.now_ms = organisation, name, NOW_MS
        self.fitting: list[str] = []
        self.decider = self.fresh()
        self.events: list[Event] = []
        self.sends: list[Send] = []
        self.deadlines: dict[str, int] = {}

    def fresh(self) -> DepartmentDecider:
        """A decider that knows nothing."""
        own = mandate(self.organisation, "acme", self.name)
        return DepartmentDecider(own, Table(own), lambda text, among: self.fit(among), Contracts(own.organisation).fault)

    def fit(self, among: tuple[str, ...]) -> list[str]:
        """Who fits."""
        return [name for name in self.fitting if name in among]

    def feed(self, *inputs: Input) -> list[Event | Send]:
        """As the shell does it."""
        queue, came = list(inputs), []
        while queue:
            for item in self.decider.decide(queue.pop(0), self.now_ms):
                came.append(item)
                if isinstance(item, Send):
                    self.sends.append(item)
                else:
                    self.events.append(item)
                    self.check(item)
                    queue += self.decider.evolve(item, len(self.events))
        return came

    def check(self, event: Event) -> None:
        """No hop that the table forbids, and no deadline after that of what it is a part of."""
        if isinstance(event, Hopped):
            assert Table(self.organisation).hop(self.name, event.sender, event.agent).allowed
            assert event.parent == "" or event.deadline_ms < self.deadlines[event.parent]
            self.deadlines[event.task] = event.deadline_ms

    def arrive(
        self, text: str = "", contract: str = "", given: Fields | None = None, *, ident: str = "r/1", hops: int = 20
    ) -> None:
        """A task from Mai."""
        self.feed(Arrived(Task(ident, "r", "acme/client", contract, text, given or {}, hops), self.now_ms + LIMIT_MS))

    def work(self, agent: str) -> Work:
        """The open task of an agent."""
        return next(work for work in self.decider.state.work.values() if work.agent == agent)

    def report(
        self, agent: str, state: Any = "answered", value: Fields | None = None, reason: str = "", text: str = "text"
    ) -> None:
        """The agent's code ends."""
        done = Done(state, text if state == "answered" else "", value or {}, reason, f"acme/{self.name}/{agent}", (self.name,))
        self.feed(Report(self.work(agent).task, done))

    def ask(self, agent: str, to: str, given: Fields | None = None, n: int = 1, *, text: str = "") -> list[Event | Send]:
        """The agent's code asks."""
        return self.feed(Call(self.work(agent).task, n, "ask", {"to": to, "text": text, "input": given or {}}))

    def put(self, *events: Event) -> None:
        """Facts as the runner makes them."""
        for event in events:
            self.events.append(event)
            self.feed(*self.decider.evolve(event, len(self.events)))

    def feed_steps(self, work: Work, *steps: tuple[str, Any]) -> None:
        """Steps of an agent's code that have an outcome at once."""
        for n, (call, had) in enumerate(steps, 1):
            self.put(Stepped(request="r", task=work.task, agent=work.agent, n=n, call=call, given=had))

    def answered(self, ident: str, value: Fields) -> None:
        """Mai brings what a board asked for."""
        self.feed(Answered(Result(ident, "r", "answered", "", value, "", "acme/sales/board", ("sales",))))

    def hops(self) -> list[str]:
        """Who handed on to whom."""
        return [f"{event.sender} {event.agent}" for event in self.events if isinstance(event, Hopped)]

    def results(self) -> list[Result]:
        """What went back to Mai."""
        return [send.body for send in self.sends if isinstance(send.body, Result)]

    def refused(self) -> HopRefused:
        """The last hop that was refused."""
        return [event for event in self.events if isinstance(event, HopRefused)][-1]

    def stepped(self) -> Stepped:
        """The last step that came to an end."""
        return [event for event in self.events if isinstance(event, Stepped)][-1]

    def rows(self) -> dict[tuple[str, str], Any]:
        """The rows of state."""
        rows = self.decider.state.changes.items()
        return {row: msgspec.to_builtins(value) for row, value in rows if value is not None}

    def folds(self) -> bool:
        """Does the journal fold to the state?"""
        before, self.decider = self.rows(), self.fresh()
        for number, event in enumerate(self.events, 1):
            self.decider.evolve(event, number)
        return before == self.rows()


def staff(*agents: Agent, limits: Limits | None = None) -> Organisation:
    """Support with these agents beside its board and coordinator, and sales."""
    ranks = (Agent(name="board", rank="board"), Agent(name="coordinator", rank="coordinator"))
    refund = Contract(
        name="refund", about="", served_by="clerk", may_ask=("client",), request={"order": "int"}, reply={"cents": "int"}
    )
    pipeline = Contract(
        name="pipeline", about="", served_by="board", may_ask=("support",), request={"quarter": "int"}, reply={"total": "int"}
    )
    secret = Contract(name="secret", about="", served_by="board", may_ask=("client",))
    support = Department(name="support", charter="", agents=(*ranks, *agents), contracts=(refund,), memory=OPEN)
    sales = Department(name="sales", charter="", agents=(Agent(name="board", rank="board"),), contracts=(pipeline, secret))
    return Organisation(name="x", clients=("acme",), departments=(support, sales), limits=limits or Limits())


def coded(name: str, rank: Rank, *backups: str) -> Agent:
    """An agent with code of its own."""
    return Agent(name=name, rank=rank, handler=f"w.py:{name}", backups=backups)


CLERK, PORTER, ANALYST = coded("clerk", "operator"), coded("porter", "operator"), coded("analyst", "specialist")


# -- the whole way
def test_a_contract_goes_down_the_ranks_and_its_reply_back() -> None:
    """Mai, board, coordinator, who serves it; the same way back, each ends once, and the board signs."""
    desk = Desk(staff(CLERK))
    desk.arrive("", "support.refund", {"order": 1})
    assert desk.hops() == ["mai board", "board coordinator", "coordinator clerk"]
    desk.report("clerk", value={"cents": 100})
    (result,) = desk.results()
    assert (result.task, result.state, result.value, result.sources) == ("r/1", "answered", {"cents": 100}, ("support",))
    assert [event.agent for event in desk.events if isinstance(event, Ended)] == ["clerk", "coordinator", "board"]
    assert not desk.decider.state.work and desk.folds()


def test_a_text_goes_to_whom_it_fits() -> None:
    """The board picks the coordinator of the best, the coordinator the best of its own."""
    other = Agent(name="second", rank="coordinator")
    analyst = msgspec.structs.replace(ANALYST, reports_to="second")
    desk = Desk(staff(CLERK, other, analyst))
    desk.fitting = ["analyst", "clerk"]
    desk.arrive("how many")
    assert desk.hops() == ["mai board", "board second", "second analyst"]


def test_what_fits_nobody_is_refused_with_what_there_is() -> None:
    """Nobody is guessed; the skills of the department are named."""
    desk = Desk(staff(Agent(name="clerk", rank="operator", handler="w.py:c", skills=("refunds",))))
    desk.arrive("the weather")
    assert desk.results()[0].reason == "nobody in support fits 'the weather'; its skills are refunds"


def test_what_another_department_is_asked_goes_up_the_ranks_and_back() -> None:
    """Operator, coordinator, board, Mai; the reply is checked against the contract and is the step's outcome."""
    desk = Desk(staff(CLERK))
    desk.arrive("", "support.refund", {"order": 1})
    desk.ask("clerk", "sales.pipeline", {"quarter": 2})
    assert desk.hops()[3:] == ["clerk coordinator", "coordinator board"]
    (send,) = desk.sends
    assert isinstance(send.body, Task)
    assert (send.to, send.body.asker, send.body.contract) == ("acme/mai", "acme/support/clerk", "sales.pipeline")
    desk.feed(Answered(Result(send.body.task, "r", "answered", "", {"total": 9}, "", "acme/sales/board", ("sales",))))
    step = desk.stepped()
    assert (step.value, step.by, step.refused, step.sources) == ({"total": 9}, "acme/sales/board", "", ("sales",))
    desk.report("clerk", value={"cents": 1})
    assert desk.results()[0].sources == ("sales", "support")
    assert desk.folds()


def test_a_coded_coordinator_does_not_see_what_only_passes() -> None:
    """What a worker asks of another department passes the ranks above by their rule, whether they have code or not."""
    desk = Desk(staff(CLERK, coded("chief", "coordinator")))
    desk.fitting = ["clerk"]
    desk.arrive("do")
    desk.ask("clerk", "sales.pipeline", {"quarter": 2})
    assert isinstance(desk.sends[-1].body, Task)
    assert not desk.decider.coded("chief", "sales.pipeline") and desk.decider.coded("chief", "support.refund")


def test_a_late_answer_changes_nothing() -> None:
    """Only the first answer of a step counts; one to a task that has ended, or to nonsense, is ignored."""
    desk = Desk(staff(CLERK, coded("lead", "specialist")))
    desk.arrive("", "support.refund", {"order": 1})
    desk.ask("clerk", "sales.pipeline", {"quarter": 2})
    ident = desk.sends[-1].id
    for total in (1, 2):
        desk.feed(Answered(Result(ident, "r", "answered", "", {"total": total}, "", "acme/sales/board")))
    assert desk.stepped().value == {"total": 1}
    before = len(desk.events)
    for wrong in (ident, f"r/1{VIA_MAI}x", f"r/1{VIA_MAI}7", "r/1", "", f"{VIA_MAI}0"):
        desk.feed(Answered(Result(wrong, "r", "answered", "", {}, "", "")), Told(Recalled(wrong, True, 1)))
    assert len(desk.events) == before or desk.results()


# -- refusals
def test_a_forbidden_receiver_is_refused_with_who_is_allowed() -> None:
    """The step is refused, it is on record with the rule, and the asker learns whom it may ask."""
    desk = Desk(staff(CLERK, ANALYST))
    desk.arrive("", "support.refund", {"order": 1})
    for receiver in ("analyst", "board", "mai", "nobody", "clerk", "", "ö" * 50):
        desk.ask("clerk", receiver, n=len(desk.events))
        assert desk.refused().instead == ("coordinator",)
        assert desk.stepped().refused.endswith(": ask coordinator")
    assert len(desk.hops()) == 3


def test_a_forbidden_contract_is_refused_with_what_is_open() -> None:
    """At once, before it climbs; what is open to the department is named."""
    desk = Desk(staff(CLERK))
    desk.arrive("", "support.refund", {"order": 1})
    for contract in ("sales.secret", "sales.none", "moon.none", ".", "sales."):
        desk.ask("clerk", contract, n=len(desk.events))
        assert "it may ask for sales.pipeline" in desk.stepped().refused
    assert len(desk.hops()) == 3


def test_a_board_does_not_hand_tasks_to_mai() -> None:
    """She is asked for a contract."""
    desk = Desk(
        Organisation(
            name="x",
            clients=("acme",),
            departments=(Department(name="support", charter="", agents=(coded("chair", "board"), CLERK)),),
        )
    )
    desk.arrive("do")
    desk.ask("chair", "mai")
    assert desk.stepped().refused == "Mai is asked for a contract, by its name"


def test_values_are_held_against_the_contract_both_ways() -> None:
    """A wrong request does not go, a wrong reply does not come in, an own reply that is wrong does not go out."""
    desk = Desk(staff(CLERK))
    desk.arrive("", "support.refund", {"order": 1})
    desk.ask("clerk", "sales.pipeline", {"quarter": "two"})
    assert desk.stepped().refused == "the request of sales.pipeline: quarter: expected int, found a text"
    desk.ask("clerk", "sales.pipeline", {"quarter": 2}, n=2)
    value = {"total": 1, "more": 2}
    desk.feed(Answered(Result(desk.sends[-1].id, "r", "answered", "", value, "", "acme/sales/board")))
    assert "does not keep to its contract" in desk.stepped().refused and not desk.stepped().value
    desk.report("clerk", value={"cents": "many"})
    result = desk.results()[0]
    assert (result.state, result.value, result.breach) == (
        "failed",
        {},
        "the reply of support.refund: cents: expected int, found a text",
    )
    assert result.reason == "support withholds its reply, which does not keep to its contract support.refund"


def test_what_is_too_large_for_a_message_does_not_leave() -> None:
    """Neither a question nor an answer: the other side would refuse it, and everything behind it."""
    desk = Desk(staff(CLERK, limits=Limits(message_bytes=1 << 14)))
    desk.fitting = ["clerk"]
    desk.arrive("do")
    desk.feed(Call(desk.work("clerk").task, 1, "remember", {"key": "k", "level": "client", "value": "x" * 16_000}))
    assert "the limit of a message is 16384" in desk.stepped().refused
    desk.report("clerk", value={"x": "x" * 16_000})
    result = desk.results()[0]
    assert result.state == "failed" and "the answer cannot be sent" in result.reason and result.value == {}
    assert [type(send.body) for send in desk.sends] == [Result]


def test_a_full_department_refuses_at_once() -> None:
    """New tasks and new parts of old ones, with the limit named; what is there goes on."""
    desk = Desk(staff(CLERK, limits=Limits(queue=3)))
    desk.arrive("", "support.refund", {"order": 1})
    desk.arrive("", "support.refund", {"order": 1}, ident="r/2")
    assert "support has 3 open tasks, which is its limit" in desk.results()[0].reason
    desk.ask("clerk", "coordinator")
    assert "support has 3 open tasks, which is its limit" in desk.stepped().refused
    desk.report("clerk", value={"cents": 1})
    assert [result.state for result in desk.results()] == ["refused", "answered"]


def test_a_request_is_handed_on_so_often_only() -> None:
    """The budget of hops is used up on every way: the last one is refused."""
    for hops in range(1, 4):
        desk = Desk(staff(CLERK))
        desk.arrive("", "support.refund", {"order": 1}, hops=hops)
        assert len(desk.hops()) == hops
        assert ("which is its limit" in desk.results()[0].reason) if desk.results() else hops == 3


def test_a_task_that_comes_late_is_not_worked_on() -> None:
    """It is answered as expired."""
    desk = Desk(staff(CLERK))
    desk.now_ms += LIMIT_MS
    desk.feed(Arrived(Task("r/1", "r", "acme/client", "", "do", {}, 9), NOW_MS + LIMIT_MS))
    assert desk.results()[0].state == "expired" and desk.hops() == []


def test_a_task_is_taken_once() -> None:
    """The same id again, while it is open, is the same task."""
    desk = Desk(staff(CLERK))
    desk.arrive("", "support.refund", {"order": 1})
    desk.arrive("", "support.refund", {"order": 1})
    assert len(desk.hops()) == 3


# -- deadlines, backups, escalation
def test_parts_expire_before_the_whole() -> None:
    """Each is answered before the one above it gives up, so that what failed can be said."""
    desk = Desk(staff(CLERK, PORTER))
    desk.arrive("", "support.refund", {"order": 1})
    deadlines = [desk.work(agent).deadline_ms for agent in ("clerk", "coordinator", "board")]
    assert deadlines == sorted(deadlines) and len(set(deadlines)) == 3
    assert desk.decider.next_deadline_ms() == deadlines[0]
    desk.now_ms = deadlines[0]
    desk.feed(Tick())
    assert desk.results()[0].reason == "acme/support/clerk did not answer before its deadline"
    assert desk.decider.next_deadline_ms() == 0


def test_everything_expires_in_one_tick() -> None:
    """After a long sleep every open task ends once."""
    desk = Desk(staff(CLERK))
    for number in range(5):
        desk.arrive("", "support.refund", {"order": 1}, ident=f"r/{number}")
    desk.now_ms += 10 * LIMIT_MS
    desk.feed(Tick())
    assert [result.state for result in desk.results()] == ["expired"] * 5
    assert not desk.decider.state.work and desk.folds()


def test_a_backup_takes_over_from_who_fails() -> None:
    """In the order named, each once; the last failure is the answer. A refusal is an answer, too."""
    for state, hops in (("failed", 5), ("expired", 5), ("refused", 3)):
        desk = Desk(staff(coded("clerk", "operator", "porter", "analyst"), PORTER, ANALYST))
        desk.arrive("", "support.refund", {"order": 1})
        desk.report("clerk", state, reason="no")
        if hops == 5:
            desk.report("porter", "failed", reason="neither")
            assert desk.hops()[-1] == "coordinator analyst"
            assert [event.rule for event in desk.events if isinstance(event, Hopped)][-2] == "after clerk: no"
            desk.report("analyst", value={"cents": 5})
            assert desk.results()[0].value == {"cents": 5}
        assert len(desk.hops()) == hops


def test_what_an_operator_gives_up_goes_to_a_specialist_then_to_the_board() -> None:
    """Who fits, by rank; when nobody is left it goes to a person, with all that was tried."""
    desk = Desk(staff(CLERK, ANALYST))
    desk.fitting = ["clerk", "analyst"]
    desk.arrive("do")
    desk.report("clerk", "escalated", reason="too hard")
    assert desk.hops()[-1] == "coordinator analyst"
    desk.report("analyst", "escalated", reason="for me, too")
    (asked,) = [send.body for send in desk.sends if isinstance(send.body, Escalate)]
    assert [one.agent for one in desk.events if isinstance(one, Escalated)] == ["clerk", "analyst", "coordinator", "board"]
    assert [one.who.rpartition("/")[2] for one in asked.plea.tried] == ["clerk", "analyst", "coordinator", "board"]
    assert asked.plea.agent == "acme/support/clerk" and asked.plea.reason == "too hard"


def test_a_step_says_how_it_ended() -> None:
    """Refused, failed and expired are told apart."""
    for state, told in (("refused", ""), ("failed", "failed"), ("expired", "expired")):
        desk = Desk(staff(CLERK, coded("lead", "coordinator")))
        desk.arrive("", "support.refund", {"order": 1})
        desk.ask("clerk", "lead")
        desk.report("lead", state, reason="so")
        assert (desk.stepped().refused, desk.stepped().state) == ("so", told)


# -- anything at all
NAMES = ("board", "c1", "c2", "s1", "s2", "o1", "o2")
RANKS: dict[str, Rank] = {"b": "board", "c": "coordinator", "s": "specialist", "o": "operator"}
WHO = st.sampled_from([*NAMES, "mai", "nobody", "", "support.refund", "sales.pipeline", "sales.secret", "moon.x"])
STATES: st.SearchStrategy[Any] = st.sampled_from(["answered", "refused", "failed", "expired", "escalated"])
VALUES: st.SearchStrategy[Any] = st.sampled_from([{}, {"cents": 1}, {"total": 1}, {"order": 1}, {"quarter": 1}, {"wrong": None}])


@st.composite
def organisations(draw: st.DrawFn) -> Organisation:
    """Any staff: with and without code, backups, second coordinators; tight limits, sometimes."""
    agents = []
    for name in NAMES:
        rank = RANKS[name[0]]
        code = rank in ("specialist", "operator") or draw(st.integers(0, 3)) == 0
        backups = tuple(draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)))
        above = draw(st.sampled_from(["", "c1", "c2"])) if rank in ("specialist", "operator") else ""
        task_s = draw(st.sampled_from([0.0, 0.1, 5.0]))
        handler = "w.py:f" if code else ""
        agents.append(Agent(name=name, rank=rank, handler=handler, backups=backups, reports_to=above, task_s=task_s))
    limits = Limits(queue=draw(st.sampled_from([2, 4, 1000])), message_bytes=1 << 14)
    support, sales = staff(limits=limits).departments
    served = msgspec.structs.replace(support.contracts[0], served_by=draw(st.sampled_from(NAMES)))
    support = msgspec.structs.replace(support, agents=tuple(agents), contracts=(served,))
    return Organisation(name="x", clients=("acme",), departments=(support, sales), limits=limits)


@given(organisations(), st.lists(st.sampled_from(NAMES), unique=True), st.data())
def test_any_inputs_to_any_organisation(organisation: Organisation, fitting: list[str], data: st.DataObject) -> None:
    """Never a forbidden hop, one end for each task, one result for each from Mai, one outcome for each step; it folds."""
    desk = Desk(organisation)
    desk.fitting = fitting
    arrived = 0
    for number in range(data.draw(st.integers(0, 25))):
        works = sorted(desk.decider.state.work)
        kind = data.draw(st.sampled_from(["arrive", "ask", "ask", "recall", "report", "report", "answer", "tick"]))
        if kind == "arrive":
            arrived += 1
            contract = data.draw(st.sampled_from(["", "support.refund", "sales.pipeline", "support.none"]))
            desk.arrive("do", contract, data.draw(VALUES), ident=f"r/{arrived}", hops=data.draw(st.integers(-1, 9)))
        elif kind == "answer" and desk.sends:
            ident, value = data.draw(st.sampled_from(desk.sends)).id, data.draw(VALUES)
            result = Result(ident, "r", data.draw(STATES), "", value, "why", "acme/sales/board", ("sales",))
            desk.feed(data.draw(st.sampled_from([Answered(result), Told(Recalled(ident, True, value))])))
        elif kind == "tick":
            desk.now_ms += data.draw(st.sampled_from([1, 100, 5_000]))
            desk.feed(Tick())
        elif works:
            work = desk.decider.state.work[data.draw(st.sampled_from(works))]
            if not desk.decider.coded(work.agent, work.contract):
                continue  # it has no code that could ask or end
            if kind == "ask":
                desk.ask(work.agent, data.draw(WHO), data.draw(VALUES), n=number + 1)
            elif kind == "recall":
                desk.feed(Call(work.task, number + 1, "recall", {"key": "k", "level": "client"}))
            else:
                desk.report(work.agent, data.draw(STATES), data.draw(VALUES), "why")
    rows, folded = desk.rows(), desk.folds()
    assert folded, rows
    desk.now_ms += 10 * LIMIT_MS
    desk.feed(Tick())
    assert not desk.decider.state.work and not desk.decider.state.steps
    assert {noun for noun, _ in desk.rows()} <= {"breaker"}
    assert not any(one.trial for one in desk.decider.state.breakers.values())
    hopped = [event.task for event in desk.events if isinstance(event, Hopped)]
    assert sorted(hopped) == sorted(event.task for event in desk.events if isinstance(event, Ended)) == sorted(set(hopped))
    assert sorted(result.task for result in desk.results()) == sorted(f"r/{number}" for number in range(1, arrived + 1))
    outcomes = [(event.task, event.n) for event in desk.events if isinstance(event, Stepped)]
    asked = [(event.task, event.n) for event in desk.events if isinstance(event, Asked)]
    assert len(outcomes) == len(set(outcomes)) and set(outcomes) <= set(asked)
