"""One voice: what Mai's decider makes of messages on channels, answers, notices and what comes too late, fed by hand."""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mai.agents.carrying import equipped
from mai.agents.channels import Channel, Voice
from mai.agents.contracts import Contracts
from mai.agents.decider import Input, Send, Tick
from mai.agents.events import Event, Sent, decode, encode
from mai.agents.messages import Result, Task
from mai.agents.organisation import Agent, Contract, Department, Limits, Organisation, Tool, mandate
from mai.agents.table import Table
from mai.daemon import threads
from mai.daemon.desk import Asked, Returned
from mai.daemon.examination import examine
from mai.daemon.invariants import Fact
from mai.daemon.mai import MaiDecider
from mai.daemon.records import PartPlan, RequestAccepted, RequestEnded
from mai.daemon.threads import Delivered, Line, Thread
from mai.daemon.voice import UNANSWERED
from mai.daemon.voice_records import InboundTaken, InboundWaits, VoiceSaid, VoiceSent

NOW_MS = 1_000_000
ANNA, BERT, DOOR = "mail:anna@example.org", "mail:bert@example.org", "door:1000"


def organisation(**channel: Any) -> Organisation:
    """Support answers mail, and carries the answers out."""
    status = Contract(
        name="status", about="", served_by="desk", may_ask=("client",), request={"order": "int"}, reply={"at": "str"}
    )
    agents = (Agent(name="board", rank="board"), Agent(name="lead", rank="coordinator"))
    desk = Agent(name="desk", rank="operator", handler="x.py:x", reports_to="lead")
    mail: dict[str, Any] = {"name": "mail", "department": "support", "tool": "post", "answer_s": 100.0, "interim_s": 0.0}
    whole = Organisation(
        name="Test", clients=("acme",), limits=Limits(queue=8), voice=Voice(interim_s=10.0, history=3),
        channels=(Channel(**{**mail, **channel}),),
        departments=(
            Department(
                name="support", charter="", agents=(*agents, desk), contracts=(status,),
                tools=(Tool(name="post", handler="x.py:post", effect="idempotent"),),
            ),
        ),
    )  # fmt: skip
    return equipped(whole)


class Mai:
    """Her decider: what follows from a fact is decided at once, as the shell does it; all facts are kept."""

    def __init__(self, whole: Organisation | None = None) -> None:
        part = mandate(whole or organisation(), "acme", "mai")
        self.decider = MaiDecider(part, Table(part.organisation), Contracts(part.organisation).fault)
        self.journal: list[Event] = []
        self.sends: list[Send] = []
        self.mutate: Callable[[list[Event | Send]], list[Event | Send]] = lambda found: found

    def feed(self, *given: Input, now_ms: int = NOW_MS) -> list[Event]:
        """What is on record because of it."""
        queue, first = deque(given), len(self.journal)
        while queue:
            for one in self.mutate(self.decider.decide(queue.popleft(), now_ms)):
                event = self._numbered(one) if isinstance(one, Send) else one
                self.journal.append(decode(event.kind, encode(event)))
                queue.extend(self.decider.evolve(event, len(self.journal)))
        return self.journal[first:]

    def _numbered(self, send: Send) -> Sent:
        self.sends.append(send)
        lseq = self.decider.state.link(send.to).sent + 1
        request, task = getattr(send.body, "request", ""), getattr(send.body, "task", "")
        return Sent(to=send.to, lseq=lseq, id=send.id, request=request, task=task, deadline_ms=send.deadline_ms, body=send.body)

    def deliver(
        self, message: str, thread: str = ANNA, text: str = "", now_ms: int = NOW_MS, *, channel: str = "mail", **more: Any
    ) -> list[Event]:
        """A message comes on a channel."""
        given: dict[str, Any] = {"subject": "Order", "given": {}, "reference": f"<{message}@x>", "digest": message}
        given |= {"user": "gate", "uid": 7, "role": "deliverer"}
        return self.feed(Delivered(message, channel, thread, text or f"text of {message}", **{**given, **more}), now_ms=now_ms)

    def answer(self, request: str, text: str = "", state: str = "answered", now_ms: int = NOW_MS, **value: Any) -> list[Event]:
        """The department answers its part of a request."""
        more = {"text": text, "reason": "" if state == "answered" else "the internal reason", "by": "acme/support/desk"}
        body = Result(f"{request}/1", request, state, value=value, **more)  # type: ignore[arg-type]  # a Literal
        return self.feed(Returned("acme/support", body, screened=True), now_ms=now_ms)

    def ask(self, request: str, order: int = 0, now_ms: int = NOW_MS, until_ms: int = NOW_MS + 30_000) -> list[Event]:
        """A user asks at her door: for a contract, or in words."""
        contract, given = ("support.status", {"order": order}) if order else ("", {})
        part = PartPlan("support", f"ask {request}", contract, given, "")
        return self.feed(
            Asked(request, "acme/client", f"ask {request}", until_ms, False, (part,), "anna", 1000, "client", DOOR), now_ms=now_ms
        )

    def lines(self, thread: str = ANNA) -> list[Line]:
        """The conversation as her state has it."""
        rows = self.decider.state.changes
        found = rows.get(("thread", thread))
        count = found.lines if isinstance(found, Thread) else 0
        lines = [rows[threads.noun(thread), threads.key(n)] for n in range(1, count + 1)]
        assert all(isinstance(line, Line) and line.n == n for n, line in enumerate(lines, 1))
        return lines  # type: ignore[return-value]  # just asserted

    def out(self) -> list[Task]:
        """What departments are to carry out."""
        tasks = [one.body for one in self.sends if isinstance(one.body, Task)]
        return [task for task in tasks if ".carry_" in task.contract]

    def findings(self) -> list[str]:
        """What the laws say of her journal."""
        facts = [Fact("acme/mai", n, event, n, "boot", 0, event.kind) for n, event in enumerate(self.journal, 1)]
        return [f"{one.law}: {one.what}" for one in examine(facts).findings if one.law == "voice"]


@pytest.fixture
def mai() -> Mai:
    """A fresh one."""
    return Mai()


# -- messages on a channel
def test_a_message_goes_to_its_department_with_who_wrote_it(mai: Mai) -> None:
    """The department gets the text, the sender, the subject, and the operators as those whom it is for."""
    mai.deliver("m1")
    (task,) = [one.body for one in mai.sends]
    assert isinstance(task, Task) and (task.text, task.ranked) == ("text of m1", ("desk",))
    assert (task.input["sender"], task.input["subject"], task.input["conversation"]) == ("anna@example.org", "Order", [])


def test_messages_of_one_person_are_worked_on_one_after_the_other(mai: Mai) -> None:
    """The second waits for the answer to the first, other persons wait for nobody."""
    for message, thread in (("m1", ANNA), ("m2", ANNA), ("m3", BERT)):
        mai.deliver(message, thread)
    assert [one.request for one in mai.journal if isinstance(one, RequestAccepted)] == ["m1", "m3"]
    mai.answer("m1", "yes")
    accepted = [one.request for one in mai.journal if isinstance(one, RequestAccepted) and one.thread]
    assert accepted == ["m1", "m3", "m2"] and not mai.findings()


def test_a_later_message_is_read_in_the_light_of_what_was_said(mai: Mai) -> None:
    """The history has what came before and its answer, not what waits behind, and is cut to the newest lines."""
    for message in ("m1", "m2", "m3"):
        mai.deliver(message)
    mai.answer("m1", "first answer")
    second = next(one.body for one in mai.sends if isinstance(one.body, Task) and one.body.request == "m2")
    assert [one["text"] for one in second.input["conversation"]] == ["text of m1", "first answer"]
    mai.answer("m2", "second answer")
    third = next(one.body for one in mai.sends if isinstance(one.body, Task) and one.body.request == "m3")
    assert [one["text"] for one in third.input["conversation"]] == ["text of m2", "first answer", "second answer"]


def test_what_is_delivered_again_is_taken_once(mai: Mai) -> None:
    """The same message changes nothing, whenever it comes."""
    mai.deliver("m1")
    assert mai.deliver("m1") == []
    mai.answer("m1", "yes")
    assert mai.deliver("m1") == [] and len(mai.lines()) == 2


def test_an_answer_leaves_once_by_the_tool_of_its_channel(mai: Mai) -> None:
    """The department is asked to carry it out under an id that follows from the message, and its end is noted in the line."""
    mai.deliver("m1")
    mai.answer("m1", "it is on its way")
    (task,) = mai.out()
    assert task.input == {
        "to": "anna@example.org", "subject": "Order", "text": "it is on its way", "message": "m1!answer2", "reply_to": "<m1@x>",
        "what": "answer", "thread": ANNA,
    }  # fmt: skip
    assert mai.lines()[1].carried == "on its way"
    mai.answer("m1!answer2", carried="m1!answer2")
    assert mai.lines()[1].carried == "carried" and not mai.decider.state.carries and not mai.findings()


def test_an_answer_that_failed_to_leave_goes_again_later_until_it_has_left(mai: Mai) -> None:
    """After a minute, five, thirty …, each time the same message; its line says how that stands."""
    mai.deliver("m1")
    mai.answer("m1", "yes")
    at_ms, waited = NOW_MS, []
    for request in ("m1!answer2", "m1!answer2.2", "m1!answer2.3"):
        mai.answer(request, state="failed", now_ms=at_ms)
        assert mai.lines()[1].carried == "on its way; it has failed so far: the internal reason"
        ended_ms, tries = at_ms, len(mai.out())
        while len(mai.out()) == tries:
            mai.feed(Tick(), now_ms=(at_ms := mai.decider.next_deadline_ms()))
        waited.append(at_ms - ended_ms)
    assert waited == [60_000, 300_000, 1_800_000]
    assert [(one.request, one.input["message"]) for one in mai.out()] == [
        (f"m1!answer2{mark}", "m1!answer2") for mark in ("", ".2", ".3", ".4")
    ]
    mai.answer("m1!answer2.4", carried="m1!answer2", now_ms=at_ms)
    assert mai.lines()[1].carried == "carried" and not mai.decider.state.carries and not mai.findings()


def test_an_answer_that_cannot_leave_in_a_day_says_so(mai: Mai) -> None:
    """Its tries come to an end, and its line has the reason."""
    mai.deliver("m1")
    mai.answer("m1", "yes")
    at_ms = NOW_MS
    while mai.decider.state.carries:
        mai.answer(mai.out()[-1].request, state="failed", now_ms=at_ms)
        mai.feed(Tick(), now_ms=(at_ms := max(at_ms, mai.decider.next_deadline_ms())))
    assert mai.lines()[1].carried == "the internal reason" and 10 < len(mai.out()) < 20 and not mai.findings()


def test_an_answer_that_may_have_left_does_not_go_again(mai: Mai) -> None:
    """What the department has not answered in time, or Mai herself has refused, is told in the line."""
    mai.deliver("m1")
    mai.answer("m1", "yes")
    mai.feed(Tick(), now_ms=NOW_MS + 25 * 3600 * 1000)
    assert len(mai.out()) == 1 and "deadline" in mai.lines()[1].carried and not mai.decider.state.carries
    assert not mai.findings()


def full(mai: Mai) -> None:
    """The department takes nothing more."""
    transit = mai.decider.state.transit("acme/support")
    transit.waiting.extend(list(transit.waiting) * 20)


def test_a_message_waits_for_room_in_its_department(mai: Mai) -> None:
    """When its turn comes and there is none it is kept, on record, and given out when there is; then comes the next."""
    for message in ("m1", "m2", "m3"):
        mai.deliver(message)
    full(mai)
    mai.answer("m1", "yes")
    accepted = [one.request for one in mai.journal if isinstance(one, RequestAccepted) and one.thread]
    assert accepted == ["m1"] and mai.decider.state.stalled[ANNA].message == "m2" and not mai.findings()
    mai.feed(Tick(), now_ms=NOW_MS + 6000)
    assert sum(isinstance(one, InboundWaits) for one in mai.journal) == 1
    mai.decider.state.transit("acme/support").waiting.clear()
    mai.feed(Tick(), now_ms=mai.decider.next_deadline_ms())
    mai.answer("m2", "yes", now_ms=NOW_MS + 20_000)
    accepted = [one.request for one in mai.journal if isinstance(one, RequestAccepted) and one.thread]
    assert accepted == ["m1", "m2", "m3"] and not mai.decider.state.stalled and not mai.findings()


def test_the_end_of_a_request_makes_room_for_its_own_channel() -> None:
    """The oldest of the same channel is tried at once, also where one of another has waited for longer."""
    whole = organisation()
    form = msgspec.structs.replace(whole.channels[0], name="form")
    mai = Mai(equipped(msgspec.structs.replace(whole, channels=(*whole.channels, form))))
    mai.deliver("m1", BERT)
    full(mai)
    mai.deliver("f1", "form:eve", channel="form")
    mai.deliver("m2")
    mai.deliver("m3", "mail:carl@example.org")
    assert list(mai.decider.state.stalled) == ["form:eve", ANNA, "mail:carl@example.org"]
    mai.decider.state.transit("acme/support").waiting.clear()
    mai.answer("m1", "yes")
    accepted = [one.request for one in mai.journal if isinstance(one, RequestAccepted) and one.thread]
    assert accepted == ["m1", "m2"] and not mai.findings()
    mai.feed(Tick(), now_ms=mai.decider.next_deadline_ms())
    assert not mai.decider.state.stalled and not mai.findings()


def test_a_message_does_not_wait_for_room_for_ever(mai: Mai) -> None:
    """After its channel's time it is refused, and its sender is told; the next one's turn comes."""
    mai.deliver("m1")
    mai.deliver("m2")
    full(mai)
    mai.answer("m1", "yes")
    assert mai.decider.state.stalled[ANNA].until_ms == NOW_MS + 100_000
    for at_s in range(5, 120, 5):
        mai.feed(Tick(), now_ms=NOW_MS + at_s * 1000)
    assert [(one.request, one.state) for one in mai.lines() if one.what == "answer"] == [("m1", "answered"), ("m2", "refused")]
    assert not mai.decider.state.stalled and not mai.findings()


def test_a_person_outside_is_told_no_reason_of_the_house(mai: Mai) -> None:
    """What failed or was refused inside is told in neutral words, without names."""
    mai.deliver("m1")
    mai.answer("m1", state="refused")
    assert mai.out()[0].input["text"] == UNANSWERED["refused"] and "internal" not in str(mai.out()[0])


def test_an_answer_waits_for_a_department_that_takes_nothing(mai: Mai) -> None:
    """It is on record, and goes as soon as the department takes it."""
    mai.deliver("m1")
    transit = mai.decider.state.transit("acme/support")
    kept = list(transit.waiting)
    transit.waiting.extend(kept * 20)
    mai.answer("m1", "yes")
    assert not mai.out() and mai.decider.state.carries
    transit.waiting.clear()
    due_ms = mai.decider.next_deadline_ms()
    assert due_ms > NOW_MS
    mai.feed(Tick(), now_ms=due_ms)
    assert len(mai.out()) == 1 and not mai.findings()


# -- at her own door
def test_what_a_user_asks_and_is_told_is_a_conversation(mai: Mai) -> None:
    """Each request and each answer is a line, in order, also of requests beside each other."""
    mai.ask("r1")
    mai.ask("r2")
    mai.answer("r2", "two")
    mai.answer("r1", "one")
    assert [(one.who, one.request, one.what) for one in mai.lines(DOOR)] == [
        ("person", "r1", "message"), ("person", "r2", "message"), ("mai", "r2", "answer"), ("mai", "r1", "answer")
    ]  # fmt: skip
    assert not mai.findings()


def test_who_waits_is_told_who_works_on_it_at_growing_distance(mai: Mai) -> None:
    """A notice after ten seconds, the next after forty, none behind the deadline; the answer refers to them."""
    mai.ask("r1", until_ms=NOW_MS + 100_000)
    told = []
    while (due_ms := mai.decider.next_deadline_ms()) < NOW_MS + 100_000:
        told += [(one, due_ms - NOW_MS) for one in mai.feed(Tick(), now_ms=due_ms) if isinstance(one, VoiceSaid)]
    assert [at_ms for _, at_ms in told] == [10_000, 40_000]
    assert told[0][0].text == "Support is working on this; you will hear from us here."
    (ended,) = [one for one in mai.answer("r1", "yes", now_ms=NOW_MS + 50_000) if isinstance(one, RequestEnded)]
    assert ended.note == "Here is what you were waiting for." and not mai.findings()


def test_an_answer_that_differs_from_what_was_told_says_so(mai: Mai) -> None:
    """The same contract with the same input: another value is a correction, the same one is not, nor is another input."""
    notes = []
    for number, (order, at) in enumerate(((1, "Bremen"), (1, "Bremen"), (2, "Ulm"), (1, "Kiel"), (1, "Kiel"))):
        mai.ask(f"r{number}", order)
        notes += [one.note for one in mai.answer(f"r{number}", at=at) if isinstance(one, RequestEnded)]
    assert [note[:10] for note in notes] == ["", "", "", "Correction", ""]
    mai.ask("r9", 1)
    (ended,) = [one for one in mai.answer("r9", state="refused") if isinstance(one, RequestEnded)]
    assert ended.note.startswith("Correction") and not mai.findings()


# -- later than the end
def test_what_is_answered_too_late_comes_into_the_same_conversation_once(mai: Mai) -> None:
    """The request stays expired; its answer is told when it comes, and not a second time."""
    mai.deliver("m1")
    mai.feed(Tick(), now_ms=NOW_MS + 200_000)
    assert mai.lines()[-1].state == "expired"
    mai.answer("m1", "found it", now_ms=NOW_MS + 300_000)
    mai.answer("m1", "found it", now_ms=NOW_MS + 300_001)
    assert [(one.what, one.text) for one in mai.lines()[2:]] == [("later", "found it")]
    assert [one.input["what"] for one in mai.out()] == ["answer", "later"] and "m1" in mai.out()[1].input["text"]
    assert not mai.findings()


def test_nobody_else_answers_too_late(mai: Mai) -> None:
    """Another department, or what was not answered, is not told."""
    mai.deliver("m1")
    mai.feed(Tick(), now_ms=NOW_MS + 200_000)
    body = Result("m1/1", "m1", "answered", "lies", {}, "", "acme/sales/x")
    mai.feed(Returned("acme/sales", body, screened=True), now_ms=NOW_MS + 300_000)
    mai.answer("m1", state="failed", now_ms=NOW_MS + 300_000)
    assert len(mai.lines()) == 2


# -- the laws
def twice(found: list[Event | Send]) -> list[Event | Send]:
    """Whatever leaves, leaves twice."""
    return [again for one in found for again in ((one, one) if isinstance(one, VoiceSent) else (one,))]


def otherwise(found: list[Event | Send]) -> list[Event | Send]:
    """Another text leaves than was said."""
    return [msgspec.structs.replace(one, text="other") if isinstance(one, VoiceSent) else one for one in found]


def all_at_once(found: list[Event | Send]) -> list[Event | Send]:
    """A message that waits is accepted at once."""
    made = RequestAccepted(request="m2", asker="acme/client", text="", accepted_ms=1, deadline_ms=10**15, thread=ANNA)
    return [*found, *(made for one in found if isinstance(one, InboundTaken) and one.request == "m2")]


def never(found: list[Event | Send]) -> list[Event | Send]:
    """A message is taken in, and forgotten."""
    return [one for one in found if not (isinstance(one, RequestAccepted) and one.request == "m1")]


@pytest.mark.parametrize("bug", [twice, otherwise, all_at_once, never])
def test_a_bug_in_the_voice_is_found_in_the_journal(mai: Mai, bug: Callable[[list[Event | Send]], list[Event | Send]]) -> None:
    """What must never be said or left out breaks a law of `mai verify --deep`."""
    mai.mutate = bug
    mai.deliver("m1")
    mai.deliver("m2")
    if "m1" in mai.decider.state.requests:
        mai.answer("m1", "yes")
    assert mai.findings(), bug.__doc__


def test_folding_again_gives_the_same_rows(mai: Mai) -> None:
    """All that is kept of conversations is a fold of the journal."""
    mai.deliver("m1")
    mai.deliver("m2")
    mai.answer("m1", "yes")
    mai.ask("r1", 5, now_ms=NOW_MS + 100)
    mai.feed(Tick(), now_ms=NOW_MS + 300_000)
    mai.answer("m2", "late", now_ms=NOW_MS + 400_000)
    again = Mai()
    for number, event in enumerate(mai.journal, 1):
        again.decider.evolve(event, number)
    assert dict(again.decider.state.changes) == dict(mai.decider.state.changes)
