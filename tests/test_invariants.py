"""The invariants of `verify --deep` one by one, over short histories: the good ones pass, each bad one is named.

A history is a list of events of one process; the events that a version does not have yet are made here.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from mai.agents import events
from mai.agents.errand_messages import Inquiry, Think, Thought, Usage, Use, Used
from mai.agents.events import (
    Acked,
    Asked,
    EffectIntent,
    EffectUnknown,
    Ended,
    Event,
    Hopped,
    MessageRefused,
    ProcessStarted,
    ProcessStopped,
    Received,
    Sent,
    StateRebuilt,
    Stepped,
)
from mai.agents.messages import Numbered, Result, Task
from mai.agents.order_messages import Remedied, Remedy
from mai.daemon.calling import AttemptBegun, AttemptEnded, CallEnded, CallTaken
from mai.daemon.cases import RemedyChecked, RemedyEnded
from mai.daemon.cover import CoverGiven
from mai.daemon.examination import Verdict, examine
from mai.daemon.invariants import GRACE_MS, MOST, Fact, Ids
from mai.daemon.keyed import KeysKnown, KeySpoken
from mai.daemon.records import (
    ErrandChecked,
    ErrandEnded,
    PartAnswer,
    PartEnded,
    PartPlan,
    RequestAccepted,
    RequestEnded,
    RequestPlanned,
)
from mai.daemon.tooling import ToolBegun, ToolEnded
from mai.daemon.transcript_records import ModelRequest, ModelResponse

ME, MAI, MODELS, TOOLS = "acme/support", "acme/mai", "acme/models", "acme/tools"
IN: dict[str, Any] = {"request": "r", "task": "r/1", "agent": "desk"}
KEY: dict[str, Any] = {**IN, "n": 1, "key": "r/1/1"}
COST = Usage(10, 5)


def facts(process: str, *said: Event, boot: str = "b") -> list[Fact]:
    """The journal of a process, a millisecond for each record."""
    return [Fact(process, seq, event, seq * 1_000_000, boot) for seq, event in enumerate(said, 1)]


def looked_at(process: str, *said: Event, at_rest: bool = False) -> Verdict:
    """What is found in the journal of one process."""
    return examine(facts(process, *said), at_rest=at_rest)


def found(process: str, *said: Event, at_rest: bool = False) -> list[tuple[str, int]]:
    """The laws that are broken, and by which records."""
    return [(one.law, one.seq) for one in looked_at(process, *said, at_rest=at_rest).findings]


def later(kind: str, **fields: Any) -> Event:
    """An event of this kind, as this version has it, or made for the test."""
    if kind in events.KINDS:
        return events.KINDS[kind](**fields)
    made = msgspec.defstruct("Later", list(fields), bases=(Event,), namespace={"kind": kind}, kw_only=True, frozen=True)
    event = made(**fields)
    assert isinstance(event, Event)
    return event


def received(body: Numbered, lseq: int = 1, sender: str = MAI, ident: str = "") -> Received:
    """A message that came."""
    more = {"request": getattr(body, "request", ""), "task": getattr(body, "task", "")}
    return Received(
        sender=sender, lseq=lseq, id=ident or getattr(body, "id", "") or getattr(body, "task", ""), **more,
        organisation="d", deadline_ms=10**15, head_seq=lseq, head="", body=body,
    )  # fmt: skip


def sent(body: Numbered, lseq: int = 1, to: str = MAI) -> Sent:
    """A message that goes out."""
    answer = isinstance(body, Result | Thought | Used)
    ident = f"{getattr(body, 'id', '') or getattr(body, 'task', '')}{'=' if answer else ''}"
    request, task = getattr(body, "request", ""), getattr(body, "task", "")
    return Sent(to=to, lseq=lseq, id=ident, request=request, task=task, deadline_ms=0, body=body)


# -- effects
TASK = received(Task("r/1", "r", "acme/client", "", "x", {}, 9))
HOP = Hopped(
    request="r", task="r/1", parent="", sender="mai", agent="desk", asker="", contract="", text="", input={},
    deadline_ms=10**15, hops=9, rule="",
)  # fmt: skip
END = (Ended(**IN, state="answered"), sent(Result("r/1", "r", "answered", "", {}, "", "")))
REFUSED = (Ended(**IN, state="expired"), sent(Result("r/1", "r", "expired", "", {}, "", "")))


def intent(effect: str = "opaque") -> EffectIntent:
    """The tool is about to be called."""
    return EffectIntent(**KEY, tool="pay", effect=effect, given={"tool": "pay", "input": {}})


def queried(*, happened: bool) -> Event:
    """The tool was asked whether it happened."""
    return later("effect.queried", **KEY, tool="pay", found=happened)


def resolved(*, happened: bool, value: Any = None) -> Event:
    """A person has said whether it happened."""
    return later("effect.resolved", **KEY, happened=happened, value=value, by="ann", note="")


def outcome(value: Any = None, refused: str = "") -> Stepped:
    """What the step gave."""
    return Stepped(**IN, n=1, call="tool", value=value, refused=refused)


UNKNOWN = EffectUnknown(**KEY, tool="pay")
GOOD_EFFECTS: dict[str, Sequence[Event]] = {
    "it is done": (intent(), outcome(7), *END),
    "it is refused": (intent(), outcome(refused="no"), *END),
    "in doubt, as it was said before": (intent(), UNKNOWN, outcome(refused="nobody knows"), *END),
    "in doubt, and it happened": (intent(), UNKNOWN, resolved(happened=True, value=7), outcome(7), *END),
    "in doubt, and it did not": (intent(), UNKNOWN, resolved(happened=False), intent(), outcome(7), *END),
    "in doubt twice": (
        intent(), UNKNOWN, resolved(happened=False), intent(), UNKNOWN, resolved(happened=True, value=7), outcome(7), *END
    ),
    "in doubt to the end": (intent(), UNKNOWN, *REFUSED),
    "resolved behind the end": (intent(), UNKNOWN, *REFUSED, resolved(happened=True)),
    "it is asked, and was": (intent("queryable"), queried(happened=True), outcome(7), *END),
    "it is asked, and was not": (intent("queryable"), queried(happened=False), intent("queryable"), outcome(7), *END),
    "its task ends, then it is said": (intent(), *REFUSED, UNKNOWN),
}  # fmt: skip
BAD_EFFECTS: dict[str, tuple[Sequence[Event], set[tuple[str, int]], str]] = {
    "called twice": ((intent(), intent(), outcome(7), *END), {("effects", 4)}, "the first has no outcome"),
    "called again in doubt": ((intent(), UNKNOWN, intent(), outcome(7), *END), {("effects", 5)}, "nobody knows whether"),
    "called again though it happened": (
        (intent(), UNKNOWN, resolved(happened=True), intent(), outcome(7), *END), {("effects", 6)}, "known to have happened"
    ),
    "called again though it was found": (
        (intent("queryable"), queried(happened=True), intent("queryable"), outcome(7), *END), {("effects", 5)}, "found to have"
    ),
    "unknown without an intent": ((UNKNOWN, *END), {("effects", 3)}, "was never intended"),
    "unknown behind its outcome": ((intent(), outcome(7), UNKNOWN, *END), {("effects", 5)}, "outcome in record 4"),
    "unknown twice": ((intent(), UNKNOWN, UNKNOWN, *REFUSED), {("effects", 5)}, "unknown already"),
    "resolved without a doubt": ((intent(), resolved(happened=True), outcome(None), *END), {("effects", 4)}, "not in doubt"),
    "resolved twice": (
        (intent(), UNKNOWN, resolved(happened=False), resolved(happened=True), outcome(None), *END), {("effects", 6)},
        "not in doubt but denied",
    ),
    "a value of which nobody knows": ((intent(), UNKNOWN, outcome(7), *END), {("effects", 5)}, "record 4 that nobody knows"),
    "a value of what did not happen": (
        (intent(), UNKNOWN, resolved(happened=False), outcome(7), *END), {("effects", 6)}, "it did not happen"
    ),
    "another value than was said": (
        (intent(), UNKNOWN, resolved(happened=True, value=7), outcome(8), *END), {("effects", 6)}, "says other"
    ),
    "what cannot be asked was": ((intent(), queried(happened=True), outcome(7), *END), {("effects", 4)}, "that is opaque"),
    "done again behind its outcome": ((intent(), outcome(7), intent(), *REFUSED), {("tasks", 5)}, "whose outcome is on record"),
    "done behind the end": ((*END, intent()), {("tasks", 5)}, "which ended in record 3"),
    "another key": (
        (msgspec.structs.replace(intent(), key="r/1/9"), outcome(7), *END), {("effects", 3)}, "has the key r/1/9"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD_EFFECTS)
def test_what_may_become_of_an_effect(name: str) -> None:
    """Each way from an intent to its outcome that the vocabulary has is sound."""
    verdict = looked_at(ME, TASK, HOP, *GOOD_EFFECTS[name])
    assert verdict.sound, verdict.findings


@pytest.mark.parametrize("name", BAD_EFFECTS)
def test_what_may_not_become_of_an_effect(name: str) -> None:
    """Each other way is found, in the record that leaves the right one."""
    said, laws, words = BAD_EFFECTS[name]
    findings = looked_at(ME, TASK, HOP, *said).findings
    assert {(one.law, one.seq) for one in findings} >= laws and {one.law for one in findings} == {law for law, _ in laws}, (
        findings
    )
    assert any(words in one.what for one in findings), findings


def test_an_intent_without_an_outcome() -> None:
    """It is no fault while its task is open, or in the last moment of a life; in the next life, or at rest, it is."""
    start = ProcessStarted(process=ME, version="0", organisation="d", pid=1)
    assert found(ME, TASK, HOP, intent()) == []
    assert found(ME, TASK, HOP, intent(), *REFUSED) == []
    assert found(ME, TASK, HOP, intent(), *REFUSED, at_rest=True)[0] == ("effects", 3)
    two = facts(ME, start, TASK, HOP, intent(), *REFUSED)
    assert examine(two).sound
    assert [one.seq for one in examine([*two, Fact(ME, 7, start, 7_000_000, "c")]).findings] == [4]


# -- steps that wait for a reply
USED = Used("r/1.m1", "r", 7)
WANTED = sent(Use("r/1.m1", "r", "acme/support/desk", "support.pay", "r/1/1", {}))
ASKS = Asked(**IN, n=1, call="ask", given={})
MORE = Task("r/1.m0", "r", "acme/client", "sales.deals", "", {}, 9)


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        ((intent(), WANTED, received(USED, 2), outcome(7), *END), ""),
        ((intent(), WANTED, received(USED, 2)), "is not its outcome"),
        ((intent(), WANTED, UNKNOWN, received(USED, 2)), ""),  # too late
        ((intent(), WANTED, outcome(7), *END, received(USED, 2)), ""),
        ((WANTED, *END), "which no step of the task waits for"),
        ((ASKS, ASKS, *END), "asks again for step 1"),
        ((sent(MORE), received(Result("r/1.m0", "r", "answered", "", {}, "", ""), 2), *END), ""),
        ((sent(MORE), received(Result("r/1.m0", "r", "answered", "", {}, "", ""), 2)), "nothing is done about it"),
        ((ASKS, Stepped(**IN, n=1, call="tool", given={}), *END), "was ask and is tool now"),
        ((later("claim", **IN, subject="", attribute="", value=1, confidence=1.0, grounds=()), *END), ""),
        ((*END, later("claim", **IN, subject="", attribute="", value=1, confidence=1.0, grounds=())), "which ended in record 3"),
        ((msgspec.structs.replace(HOP, task="r/1.1", parent="r/1", step=1), *END), "for step 1 of r/1, which does not wait"),
        ((msgspec.structs.replace(HOP, task="r/9.1", parent="r/9"), *END), "which this department never had"),
        ((msgspec.structs.replace(HOP, task="r/1.1", parent="r/1"), Ended(**{**IN, "task": "r/1.1"}, state="answered")),
         "nothing is done about r/1"),
        ((ASKS, msgspec.structs.replace(HOP, task="r/1.1", parent="r/1", step=1),
          Ended(**{**IN, "task": "r/1.1"}, state="answered")), "which waits for it, has no outcome"),
    ],
)  # fmt: skip
def test_a_reply_brings_the_task_on(behind: Sequence[Event], words: str) -> None:
    """What a step waits for is its outcome when it comes, at once; what comes too late is nobody's."""
    findings = [one for one in looked_at(ME, TASK, HOP, *behind).findings if one.law == "tasks"]
    assert bool(findings) == bool(words) and (not words or any(words in one.what for one in findings)), findings


def test_an_answer_before_all_its_steps_are_known() -> None:
    """A task that was answered while a step of it waits, or with a step that is not on record, is a warning."""
    other = msgspec.structs.replace(outcome(7), n=2)
    for behind in ((ASKS, other, *END), (other, *END)):
        verdict = looked_at(ME, TASK, HOP, *behind)
        assert verdict.sound and len(verdict.warnings) == 1 and "step 1" in verdict.warnings[0].what
    assert not looked_at(ME, TASK, HOP, outcome(7), other, *END).warnings


# -- services
ASKED = received(Think("r/1.m1", "r", "acme/support/desk", "m", Inquiry(("a",), 1)))
CALL: dict[str, Any] = {"request": "r", "task": "r/1.m1", "agent": "acme/support/desk"}
TAKEN = CallTaken(**CALL, peer=MAI, model="m", inquiry=Inquiry(("a",), 1), input_tokens=1, output_tokens=1, deadline_ms=10**15)


def begun(n: int) -> AttemptBegun:
    """A provider is asked."""
    return AttemptBegun(**CALL, n=n, provider="main", model="m", bound=COST, at_ms=1)


def attempted(n: int, answer: str = "") -> AttemptEnded:
    """He has answered, or not."""
    return AttemptEnded(**CALL, n=n, answer=answer, why="" if answer else "500", usage=COST, at_ms=2)


def ended(state: Any, answer: str = "", usage: Usage = COST) -> tuple[Event, Event]:
    """The call is over, and Mai hears of it."""
    return CallEnded(**CALL, state=state, answer=answer, usage=usage), sent(Thought("r/1.m1", "r", state, answer, usage=usage))


def asks(n: int, call: str = "r/1.m1") -> ModelRequest:
    """What goes out is on record."""
    return ModelRequest(request="r", task=call, agent="acme/support/desk", n=n, url="u", digest="d", size=1)


def hears(record: int) -> ModelResponse:
    """And what comes back."""
    return ModelResponse(
        request="r", task="r/1.m1", agent="acme/support/desk", n=1, record=record, status=200, digest="d", size=1
    )


BESIDE: tuple[Event, ...] = (  # another call, begun in the same turn
    received(Think("r/1.m2", "r", "acme/support/desk", "m", Inquiry(("a",), 1)), 2),
    msgspec.structs.replace(TAKEN, task="r/1.m2"),
)
GOOD_CALLS: dict[str, Sequence[Event]] = {
    "with its bytes": (ASKED, TAKEN, begun(1), asks(1), hears(4), attempted(1, "ab"), *ended("answered", "ab")),
    "two in one turn": (
        ASKED,
        TAKEN,
        *BESIDE,
        begun(1),
        msgspec.structs.replace(begun(1), task="r/1.m2"),
        asks(1),
        asks(1, "r/1.m2"),
    ),
    "answered": (ASKED, TAKEN, begun(1), attempted(1, "ab"), *ended("answered", "ab")),
    "answered at last": (
        ASKED,
        TAKEN,
        begun(1),
        attempted(1),
        begun(2),
        attempted(2, "ab"),
        *ended("answered", "ab", Usage(20, 10)),
    ),
    "refused at once": (ASKED, *ended("refused", usage=Usage())),
    "never begun": (ASKED, TAKEN, *ended("expired", usage=Usage())),
    "under way": (ASKED, TAKEN, begun(1)),
}
BAD_CALLS: dict[str, tuple[Sequence[Event], str]] = {
    "bytes of none": ((ASKED, TAKEN, asks(1)), "no attempt has just begun"),
    "bytes twice": ((ASKED, TAKEN, begun(1), asks(1), asks(1)), "no attempt has just begun"),
    "an attempt without": ((ASKED, TAKEN, begun(1), asks(1), attempted(1), begun(2)), "is not on record"),
    "an answer out of nothing": ((ASKED, TAKEN, begun(1), asks(1), attempted(1, "ab")), "what came back is not on record"),
    "an answer to another": ((ASKED, TAKEN, begun(1), asks(1), hears(3)), "answers record 3"),
    "not taken in": ((ASKED,), "neither taken in nor refused"),
    "from nobody": ((TAKEN, *ended("expired", usage=Usage())), "nobody has just asked"),
    "two at once": ((ASKED, TAKEN, begun(1), begun(2)), "that of record 3 has no end"),
    "a number left out": ((ASKED, TAKEN, begun(2)), "after attempt 0"),
    "again behind the answer": ((ASKED, TAKEN, begun(1), attempted(1, "ab"), begun(2)), "which has its answer"),
    "an end of none": ((ASKED, TAKEN, attempted(1)), "none is under way"),
    "lost": ((ASKED, TAKEN, begun(1), *ended("expired", usage=Usage())), "whose attempt in record 3 has no end"),
    "another answer": ((ASKED, TAKEN, begun(1), attempted(1, "ab"), *ended("answered", "cd")), "another answer"),
    "other costs": ((ASKED, TAKEN, begun(1), attempted(1, "ab"), *ended("answered", "ab", Usage(1, 1))), "other costs"),
    "not told": ((ASKED, TAKEN, *ended("expired", usage=Usage())[:1]), "acme/mai is not told"),
    "told twice": (
        (ASKED, TAKEN, *ended("expired", usage=Usage()), sent(Thought("r/1.m1", "r", "expired"), 2)), "nothing has just ended it"
    ),
    "ended twice": ((ASKED, TAKEN, *ended("expired", usage=Usage()) * 2), "which ended in record 3"),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD_CALLS)
def test_what_may_become_of_a_question_to_a_model(name: str) -> None:
    """Taken in or refused, attempts one after the other, one end, told at once."""
    assert found(MODELS, *GOOD_CALLS[name]) == []


@pytest.mark.parametrize("name", BAD_CALLS)
def test_what_may_not_become_of_a_question_to_a_model(name: str) -> None:
    """What leaves that order is found."""
    said, words = BAD_CALLS[name]
    findings = looked_at(MODELS, *said).findings
    assert any(words in one.what for one in findings), findings
    assert {one.law for one in findings} <= {"errands", "ids", "links"}


USE = received(Use("r/1.m1", "r", "acme/support/desk", "support.pay", "r/1/1", {}))


def called(attempt: int, effect: str = "opaque") -> ToolBegun:
    """The tool is called."""
    return ToolBegun(**CALL, tool="support.pay", key="r/1/1", effect=effect, attempt=attempt)


GAVE = (ToolEnded(**CALL, tool="support.pay", value=1), sent(Used("r/1.m1", "r", 1)))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((USE, called(1), *GAVE), ""),
        ((USE, called(1, "idempotent"), called(2, "idempotent"), *GAVE), ""),
        ((USE, *GAVE), ""),
        ((USE, called(1), called(2), *GAVE), "again for r/1.m1, after record 2"),
        ((called(1), *GAVE), "which was not taken in"),
        ((USE, called(1, "none"), called(3, "none"), *GAVE), "after attempt 1"),
        ((USE, called(1), *GAVE, called(1)), "which ended in record 3"),
        ((USE, called(1), GAVE[0]), "acme/mai is not told"),
        ((USE, called(1), GAVE[1]), "nothing has just ended it"),
    ],
)
def test_the_use_of_a_tool_that_needs_the_network(said: Sequence[Event], words: str) -> None:
    """One end, told at once; called again only if its effect allows that."""
    findings = looked_at(TOOLS, *said).findings
    assert bool(findings) == bool(words) and (not words or any(words in one.what for one in findings)), findings


# -- Mai
THINK = Think("r/1.m1", "r", "acme/support/desk", "m", Inquiry(("a",), 1))
THOUGHT = Thought("r/1.m1", "r", "answered", "ab")


def checked(ident: str = "r/1.m1", asking: str = ME, *, allowed: bool = True) -> ErrandChecked:
    """Mai's verdict on a question to a model."""
    return ErrandChecked(
        request="r",
        task=ident,
        agent="a",
        asking=asking,
        service="models",
        what="m",
        allowed=allowed,
        rule="",
        deadline_ms=10**15,
    )


def closed(ident: str = "r/1.m1") -> ErrandEnded:
    """The end of it."""
    return ErrandEnded(request="r", task=ident, state="answered")


ERRAND = (received(THINK, 1, ME), checked(), sent(THINK, 1, MODELS))
HOME = (received(THOUGHT, 1, MODELS), closed(), sent(THOUGHT, 1, ME))
ELSE = MessageRefused(peer=ME, why="out of place", detail="")
WORDED = Thought("r/wording", "r", "answered", "ab")
WORDING = Think("r/wording", "r", MAI, "m", Inquiry(("a",), 1))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((*ERRAND, *HOME), ""),
        (ERRAND, ""),
        ((received(THINK, 1, ME), checked(allowed=False), sent(THOUGHT, 1, ME)), ""),
        ((*ERRAND, closed(), sent(THOUGHT, 1, ME), received(THOUGHT, 1, MODELS)), ""),  # late
        ((*ERRAND, received(THOUGHT, 2, ME), ELSE), ""),  # from who does not have it
        ((checked("r/wording", MAI), sent(WORDING, 1, MODELS), received(WORDED, 1, MODELS),
          closed("r/wording")), ""),
        (ERRAND[:1], "there is no verdict"),
        ((*ERRAND[:1], *ERRAND[2:]), "nothing has just called for it"),
        (ERRAND[1:], "nobody has just asked for that"),
        (ERRAND[:2], "may go on to acme/models, and does not"),
        ((received(THINK, 1, ME), checked(allowed=False), sent(THINK, 1, MODELS)), "nothing has just called for it"),
        ((*ERRAND, HOME[0]), "and it has no end"),
        ((*ERRAND, *HOME[:2]), "is not told what became"),
        ((*ERRAND, HOME[0], HOME[2]), "nothing has just called for it"),
        ((*ERRAND, *HOME, HOME[1]), "which ended in record 5"),
        ((*ERRAND, received(THOUGHT, 2, ME)), "and is not refused"),
        ((HOME[1],), "which was never let pass"),
    ],
)  # fmt: skip
def test_an_errand_passes_mai_once(said: Sequence[Event], words: str) -> None:
    """One verdict, one way on, one end, one answer; what comes from elsewhere is refused, what comes late is dropped."""
    findings = looked_at(MAI, *said).findings
    assert bool(findings) == bool(words) and (not words or any(words in one.what for one in findings)), findings


WISH = Remedy("r/1.m1", "r", "acme/support/medic", "restart", "acme/sales", {}, "it hangs")
DONE = Remedied("r/1.m1", "r", {"state": "done"})


def weighed(asking: str = ME, *, allowed: bool = True) -> RemedyChecked:
    """Mai's verdict on a remedy."""
    return RemedyChecked(
        request="r", task="r/1.m1", agent="a", asking=asking, remedy="restart", target="acme/sales", why="", allowed=allowed,
        rule="", deadline_ms=10**15,
    )  # fmt: skip


HEALED = RemedyEnded(request="r", task="r/1.m1", state="done")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((received(WISH, 1, ME), weighed(), HEALED, sent(DONE, 1, ME)), ""),
        ((received(WISH, 1, ME), weighed()), ""),
        ((received(WISH, 1, ME), weighed(allowed=False), sent(DONE, 1, ME)), ""),
        ((weighed(MAI), HEALED), ""),  # she has a person paged herself
        ((received(WISH, 1, ME),), "there is no verdict"),
        ((weighed(), HEALED, sent(DONE, 1, ME)), "nobody has just asked for that"),
        ((received(WISH, 1, ME), weighed(), HEALED), "is not told what became"),
        ((received(WISH, 1, ME), weighed(allowed=False)), "is not told what became"),
        ((received(WISH, 1, ME), weighed(), sent(DONE, 1, ME)), "nothing has just called for it"),
        ((received(WISH, 1, ME), weighed(), HEALED, sent(DONE, 1, ME), HEALED), "which ended in record 3"),
    ],
)
def test_a_remedy_has_one_verdict_and_one_end(said: Sequence[Event], words: str) -> None:
    """Who asked hears of it once."""
    findings = looked_at(MAI, *said).findings
    assert bool(findings) == bool(words) and (not words or any(words in one.what for one in findings)), findings


def turn(ident: str, contract: str, task: str = "r/1") -> CoverGiven:
    """A contract has its turn at a task."""
    return CoverGiven(request="r", task=task, ident=ident, contract=contract)


def given(ident: str, to: str) -> Sent:
    """The task on its way there."""
    return sent(Task(ident, "r", "", "", "", {}, 9), 1, to)


def gave(ident: str, who: str, state: Any = "answered") -> Received:
    """What came of it."""
    return received(Result(ident, "r", state, "yes" if state == "answered" else "", {}, "", who), 1, who)


ASKED_ONE = (
    RequestAccepted(request="r", asker="", text="", accepted_ms=1, deadline_ms=10**15),
    RequestPlanned(request="r", parts=(PartPlan("support", "", "support.look", {}, ""),)),
)
FIRST = (turn("r/1", "support.look"), given("r/1", ME))
SECOND = (turn("r/1b1", "sales.look"), given("r/1b1", "acme/sales"))
GIVEN = PartAnswer("support", "", "answered", "yes", {}, "", "acme/sales", ())
ENDS = (
    PartEnded(request="r", task="r/1", answer=GIVEN),
    RequestEnded(request="r", state="answered", answer="yes", parts=(GIVEN,), elapsed_ms=1),
)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((*FIRST, gave("r/1", ME, "failed"), *SECOND, gave("r/1b1", "acme/sales"), *ENDS), ""),
        ((*FIRST, *SECOND, gave("r/1b1", "acme/sales"), *ENDS), ""),  # the first one was silent
        ((*FIRST, *SECOND, gave("r/1", ME), gave("r/1b1", "acme/sales"), *ENDS), ""),  # or late
        ((*SECOND, gave("r/1b1", "acme/sales"), *ENDS), ""),  # the first one was shut
        ((*FIRST, gave("r/1", ME, "failed"), SECOND[1]), "no plan has just said so"),
        ((*FIRST, gave("r/1", ME, "failed"), SECOND[0]), "and was not sent"),
        ((*FIRST, *SECOND, gave("r/1", ME), *ENDS), "no answer to it has just come"),
        ((FIRST[0], given("r/1", "acme/sales")), "it was planned otherwise"),
        ((*FIRST, *SECOND, gave("r/1b1", ME)), "and is not refused"),
    ],
)
def test_a_part_is_given_in_turns(said: Sequence[Event], words: str) -> None:
    """Each turn is on record before it is sent, and only who has it may answer."""
    findings = looked_at(MAI, *ASKED_ONE, *said).findings
    assert bool(findings) == bool(words) and (not words or any(words in one.what for one in findings)), findings


ACCEPTED = RequestAccepted(request="r", asker="", text="", accepted_ms=1, deadline_ms=10**15)
PLAN = RequestPlanned(request="r", parts=tuple(PartPlan(name, "", "", {}, "") for name in ("support", "sales")))
SENDS = tuple(sent(Task(f"r/{n}", "r", "", "", "", {}, 9), 1, process) for n, process in ((1, ME), (2, "acme/sales")))
RESULT = Result("r/1", "r", "answered", "yes", {}, "", "")


def part(state: str, text: str = "") -> PartAnswer:
    """What a part has given."""
    return PartAnswer("support", "", state, text, {}, "", "", ())


def over(state: str, *parts: PartAnswer) -> RequestEnded:
    """The answer."""
    return RequestEnded(request="r", state=state, answer="", parts=parts, elapsed_ms=1)


ONE = (received(RESULT, 1, ME), PartEnded(request="r", task="r/1", answer=part("answered", "yes")))
CANCELLED = later("request.cancelled", request="r", by="ann", reason="")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((PLAN, *SENDS, *ONE, over("expired", part("answered", "yes"), part("expired"))), ""),
        ((over("expired", part("expired")),), ""),
        ((RequestPlanned(request="r", parts=()), over("refused", part("refused"))), ""),
        ((PLAN, over("refused", part("refused"))), ""),  # a part that is too large to be sent
        ((PLAN, *SENDS, over("expired", part("expired"), part("expired")), ONE[0]), ""),  # late
        ((PLAN, *SENDS, received(RESULT, 1, "acme/sales"), MessageRefused(peer="acme/sales", why="out of place", detail="")), ""),
        ((PLAN, *SENDS, *ONE, CANCELLED, over("refused", part("refused"))), ""),
        ((PLAN, *SENDS, *ONE, over("answered", part("answered", "no"), part("answered"))), "than its end in record 6"),
        ((PLAN, *SENDS, *ONE, over("answered", part("answered", "yes"), part("answered"))), "answered, and it has no end"),
        ((PLAN, *SENDS, *ONE, over("answered", part("answered", "yes"))), "with 1 parts, 2 were planned"),
        ((over("answered", part("answered", "yes")),), "which nobody has worked on"),
        ((PLAN, SENDS[0]), "planned for sales, and was not sent"),
        ((*SENDS,), "no plan has just said so"),
        ((PLAN, *SENDS, SENDS[0]), "no plan has just said so"),
        ((PLAN, SENDS[0], msgspec.structs.replace(SENDS[1], to=MODELS)), "planned otherwise"),
        ((PLAN, *SENDS, ONE[1]), "no answer to it has just come"),
        ((PLAN, *SENDS, received(RESULT, 1, "acme/sales")), "which acme/support has, and is not refused"),
        ((PLAN, *SENDS, CANCELLED), "is cancelled, and has no end"),
        ((PLAN, *SENDS, CANCELLED, over("expired", part("expired"), part("expired"))), "which was cancelled in record 5"),
        ((CANCELLED, PLAN, *SENDS, over("refused", part("refused"))), "which was cancelled in record 2"),
    ],
)  # fmt: skip
def test_a_request_is_answered_once_with_what_its_parts_gave(said: Sequence[Event], words: str) -> None:
    """Planned once, each part sent and ended once, and the answer says what they gave, or why there is nothing."""
    findings = looked_at(MAI, ACCEPTED, *said).findings
    assert bool(findings) == bool(words) and (not words or any(words in one.what for one in findings)), findings


# -- cancelled
def made(name: str, **fields: Any) -> Any:
    """A message, or part of one, as the version that has cancellation knows it."""
    return msgspec.defstruct(name, list(fields), kw_only=True, frozen=True)(**fields)


CANCEL, STOPPED = (made(name, request="r") for name in ("Cancel", "Cancelled"))
UNDO = {**KEY, "key": "r/1/1!", "undoes": "r/1/1", "tool": "give_back"}
TOLD = received(CANCEL, 2, ident="r!support")
TAKEN_UP = later("cancel.taken", request="r", by="ann", stopped=("r/1",))
STOP = (
    later("task.cancelled", **IN, by="ann"),
    Ended(**IN, state="refused"),
    sent(Result("r/1", "r", "refused", "", {}, "", "")),
)
UNDOS = later(
    "undo.planned", request="r", effects=(made("Undo", key="r/1/1", state=""), made("Undo", key="r/1/2", state="stays"))
)
UNDONE = later("undo.done", **UNDO, value=None, refused="")
OVER = (later("cancel.ended", request="r"), sent(STOPPED, 2))


def undo(attempt: int = 1, effect: str = "opaque") -> Event:
    """What undoes it is about to be called."""
    return later("undo.intent", **UNDO, effect=effect, attempt=attempt)


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        ((TAKEN_UP, *STOP, UNDOS, undo(), UNDONE, *OVER), ""),
        ((TAKEN_UP, *STOP, UNDOS, undo(), later("undo.unknown", **UNDO, why=""), *OVER), ""),
        ((TAKEN_UP, *STOP, UNDOS, undo(1, "idempotent"), undo(2, "idempotent"), UNDONE, *OVER), ""),
        ((TAKEN_UP, *STOP, UNDOS, undo()), ""),
        ((), "nothing is stopped"),
        ((TAKEN_UP,), "its task r/1 is not stopped"),
        ((TAKEN_UP, STOP[0]), "has no end"),
        ((TAKEN_UP, STOP[0], *END), "it had to be refused"),
        ((TAKEN_UP, *STOP, UNDOS, UNDOS, undo(), UNDONE, *OVER), "one more plan"),
        ((TAKEN_UP, *STOP, UNDOS, undo(), undo(2), UNDONE, *OVER), "again by a tool that is opaque"),
        ((TAKEN_UP, *STOP, UNDOS, undo(), UNDONE, undo(), *OVER), "no longer, to be undone"),
        ((TAKEN_UP, *STOP, UNDOS, undo(), UNDONE, UNDONE, *OVER), "that is known, or not planned"),
        ((TAKEN_UP, *STOP, UNDOS, *OVER), "r/1/1 is not undone"),
        ((TAKEN_UP, *STOP, *OVER), ""),
        ((TAKEN_UP, *STOP, UNDOS, undo(), UNDONE, OVER[0]), "Mai is not told"),
        ((TAKEN_UP, *STOP, UNDOS, undo(), UNDONE, *OVER, OVER[1]), "nothing has just ended that"),
    ],
)
def test_a_cancelled_request_is_stopped_and_undone_once(behind: Sequence[Event], words: str) -> None:
    """Each open task ends refused, each effect is undone once or in doubt, Mai hears of it once."""
    findings = looked_at(ME, TASK, HOP, intent(), outcome(7), TOLD, *behind).findings
    assert bool(findings) == bool(words) and (not words or any(words in one.what for one in findings)), findings


def test_mai_and_the_services_on_a_cancelled_request() -> None:
    """Mai tells each process of it once and notes each answer; a service answers at once."""
    cancelled = later("request.cancelled", request="r", by="ann", to=(ME,))
    tell, end, came = sent(CANCEL, 1, ME), over("refused", part("refused")), received(STOPPED, 1, ME)
    noted = later("cancel.answered", request="r", process=ME, body=STOPPED)
    assert found(MAI, ACCEPTED, cancelled, tell, end, came, noted) == []
    assert found(MAI, ACCEPTED, cancelled, tell, end, came, ELSE) == []
    assert found(MAI, ACCEPTED, cancelled, end) == [("requests", 2)]
    assert found(MAI, ACCEPTED, cancelled, tell, end, came) == [("requests", 5)]
    assert found(MAI, ACCEPTED, cancelled, tell, end, noted) == [("requests", 5)]
    assert found(MAI, tell) == [("requests", 1)]
    assert found(MODELS, received(CANCEL), sent(STOPPED)) == found(TOOLS, received(CANCEL), sent(STOPPED)) == []
    assert found(MODELS, received(CANCEL)) == found(TOOLS, received(CANCEL)) == [("errands", 1)]
    assert found(TOOLS, sent(STOPPED)) == [("errands", 1)]


# -- quarantine, and what a person says
AWAY = later("task.quarantined", **IN, attempts=3, traces=())
GONE = (AWAY, *STOP[1:])


def released(how: str = "retry") -> Event:
    """It may leave."""
    return later("task.released", **IN, how=how, by="ann")


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        (GONE, ""),
        ((*GONE, released(), outcome(7), END[0]), ""),
        ((*GONE, released(), AWAY, STOP[1], released("drop")), ""),
        ((*GONE, released("drop")), ""),
        ((AWAY, *END), "it had to be refused"),
        ((AWAY,), "has no end"),
        ((*GONE, outcome(7)), "which ended in record 4"),
        ((*END, released()), "it is not in it"),
        ((*GONE, released("drop"), released()), "it is not in it"),
        ((*GONE, released(), END[0], outcome(7)), "which ended in record 4"),
        ((*GONE, released(), *END), "is one more result"),
    ],
)
def test_a_task_in_quarantine_runs_only_when_it_is_released(behind: Sequence[Event], words: str) -> None:
    """It ends refused; released it runs again, and what it gives goes to nobody."""
    findings = [one for one in looked_at(ME, TASK, HOP, *behind).findings if one.law == "tasks"]
    assert bool(findings) == bool(words) and (not words or any(words in one.what for one in findings)), findings


def test_what_may_simply_be_repeated_is_when_its_task_is_released() -> None:
    """An idempotent effect whose task was put away gets a new intent; an opaque one does not."""
    for effect, laws in (("idempotent", []), ("opaque", [("effects", 9)])):
        behind = (*GONE, later_again(), intent(effect), outcome(7), END[0])
        assert found(ME, TASK, HOP, intent(effect), UNKNOWN, *behind) == laws
        assert found(ME, TASK, HOP, intent(effect), *behind) == [(law, seq - 1) for law, seq in laws], "as it was before"


def later_again() -> Event:
    """It is released, and its step 1 is begun anew."""
    return later("task.released", **IN, how="retry", by="ann", again=(1,))


def test_a_doubt_and_its_resolution() -> None:
    """A person is asked, once; what he says goes out once, and is on record where it is waited for."""
    doubt, resolve = made("Doubt", key="k", known=False), made("Resolve", key="k")
    raised = later("doubt.raised", **IN, process=ME, id="k?1", at_ms=1, doubt=doubt)
    ruled = later("doubt.resolved", **IN, key="k", happened=True, value=None, by="ann", note="", at_ms=1)
    told, says = received(doubt, 1, ME, "k?1"), sent(resolve, 1, ME)
    assert found(MAI, told, raised, ruled, says) == found(MAI, told, ELSE) == found(MAI, told, raised) == []
    assert found(MAI, received(made("Doubt", key="k", known=True), 1, ME, "k?1.")) == [], "it was resolved meanwhile"
    assert found(MAI, told) == [("orders", 1)]
    assert found(MAI, raised) == [("orders", 1)]
    assert found(MAI, told, raised, ruled) == [("orders", 3)]
    assert ("orders", 5) in found(MAI, told, raised, ruled, says, ruled)
    assert found(MAI, says) == [("orders", 1)]
    assert ("orders", 1) in found(ME, received(made("Resolve", key="r/1/1")))
    if "why" in EffectUnknown.__struct_fields__:  # in a version in which a person is asked
        asks = later("effect.unknown", **KEY, tool="pay", effect="opaque", why="it died")
        assert ("orders", 4) in found(ME, TASK, HOP, intent(), asks)
        assert found(ME, TASK, HOP, intent(), asks, sent(made("Doubt", key=KEY["key"]))) == []


def test_an_order_to_release_has_one_answer() -> None:
    """It goes out once, and what the department says to it is noted once."""
    order = later("release.ordered", request="r", task="r/1", order=made("ReleaseOrder", order="o1"))
    tell, back = sent(made("Release", id="o1"), 1, ME), received(made("Released", id="o1"), 1, ME)
    noted = later("release.answered", request="r", task="r/1", order="o1")
    assert found(MAI, order, tell, back, noted) == found(MAI, order, tell, back, ELSE) == []
    assert found(MAI, order) == found(MAI, tell) == found(MAI, back) == found(MAI, noted) == [("orders", 1)]
    assert found(ME, received(made("Release", id="o1")), sent(made("Released", id="o1"))) == []
    assert found(ME, received(made("Release", id="o1"))) == found(ME, sent(made("Released", id="o1"))) == [("orders", 1)]


# -- links
def test_both_ends_of_a_link() -> None:
    """What is on its way is counted; what nobody sent, what says something else, and what is acknowledged ahead is found."""
    one, two = sent(Result("r/1", "r", "answered", "", {}, "", "")), sent(Result("r/2", "r", "answered", "", {}, "", ""), 2)

    def come(message: Sent, lseq: int, head_seq: int, **more: Any) -> Received:
        return msgspec.structs.replace(received(message.body, lseq, ME, message.id), deadline_ms=0, head_seq=head_seq, **more)

    def links(mine: Sequence[Event], mais: Sequence[Event], *, at_rest: bool = False) -> list[tuple[str, int]]:
        verdict = examine([*facts(ME, *mine), *facts(MAI, *mais)], at_rest=at_rest)
        return [(finding.process, finding.seq) for finding in verdict.findings if finding.law == "links"]

    assert examine([*facts(ME, one, two), *facts(MAI, come(one, 1, 1))]).under_way["messages"] == 1
    acked = Acked(peer=MAI, received=1)
    assert links([one, two], [come(one, 1, 1)]) == []
    assert links([one, two, acked], [come(one, 1, 1)]) == []
    assert links([one, two, acked], [come(one, 1, 1)], at_rest=True) == [(ME, 2)], "it is lost"
    assert links([one], [come(one, 1, 1)], at_rest=True) == [(ME, 1)], "nobody has said that it came"
    assert links([one, two, Acked(peer=MAI, received=2)], [come(one, 1, 1)]) == [(ME, 3)], "ahead of the receiver"
    assert links([one, Acked(peer=MAI, received=2)], [come(one, 1, 1)]) == [(ME, 2)] * 2, "ahead of the sender"
    assert links([Acked(peer=MAI, received=0)], [come(one, 1, 1)]) == [(MAI, 1)], "a phantom"
    assert links([one], [come(one, 1, 1, id="x")]) == [(MAI, 1)], "another message"
    assert links([one], [come(one, 1, 7)]) == [(MAI, 1)], "another origin"
    assert links([one, two], [come(one, 1, 1), come(two, 3, 2)])[0] == (MAI, 2), "a gap"


# -- lives, deadlines
def test_lives_of_a_process() -> None:
    """One after the other, each with a start; two at once, a start in the middle and a record behind the end are found."""
    start, stop = ProcessStarted(process=ME, version="0", organisation="d", pid=1), ProcessStopped(why="asked")
    note = Acked(peer=MAI, received=0)

    def lives(*said: tuple[str, Event], term: Sequence[int] = (), at_ms: Sequence[int] = ()) -> tuple[list[int], list[int]]:
        history = [
            Fact(ME, seq, event, (at_ms[seq - 1] if at_ms else seq) * 1_000_000, boot, term[seq - 1] if term else 1)
            for seq, (boot, event) in enumerate(said, 1)
        ]
        verdict = examine(history)
        return [one.seq for one in verdict.findings], [one.seq for one in verdict.warnings]

    assert lives(("a", start), ("a", note), ("b", start), ("b", stop), ("c", start)) == ([], [])
    assert lives(("a", start), ("b", StateRebuilt(upto=1, rows=1, wrong=0, kept="")), ("c", start)) == ([], []), "by a command"
    assert lives(("a", note), ("b", note)) == ([], []), "a journal that says nothing of its lives"
    assert lives(("a", start), ("b", start), ("a", note))[0] == [3], "two at once"
    assert lives(("a", start), ("a", start))[0] == [2]
    assert lives(("a", start), ("a", stop), ("a", note))[0] == [3]
    assert lives(("a", start), ("b", note))[0] == [2]
    assert lives(("a", start), ("a", note), ("a", note), term=(1, 2, 1))[0] == [3]
    assert lives(("a", start), ("a", note), at_ms=(5000, 4500)) == ([], [])
    assert lives(("a", start), ("a", note), at_ms=(5000, 3900)) == ([], [2]), "a clock that goes back is a warning"
    assert lives(("a", msgspec.structs.replace(start, process="acme/sales")))[0] == [1]


def test_what_is_long_overdue() -> None:
    """A request that is open long after its deadline is a fault of a process that works, not of one that slept."""
    accepted = RequestAccepted(request="r", asker="", text="", accepted_ms=1000, deadline_ms=2000)
    note = Acked(peer=ME, received=0)

    def overdue(*at_ms: int) -> list[int]:
        history = [Fact(MAI, seq, note if seq > 1 else accepted, ms * 1_000_000, "b") for seq, ms in enumerate(at_ms, 1)]
        return [one.seq for one in examine(history).findings]

    late = 2000 + GRACE_MS
    assert overdue(1000, 2000 + GRACE_MS // 2) == []
    assert overdue(*range(1000, late + 10_000, 5000)) == [1]
    assert overdue(1000, late + 10_000, late + 15_000) == [], "it was not there meanwhile"


# -- small memories
def test_ids_are_found_again() -> None:
    """Names that come twice are told with both records, whatever their order; a name that never came has none."""
    ids = Ids()
    for seq, name in enumerate(("a", "b", "a", "c", "b", "a"), 1):
        ids.add(name, seq)
    assert sorted(ids.twice()) == [(1, 3), (1, 6), (2, 5)]
    assert (ids.seq_of("b"), ids.seq_of("x")) == (2, 0)
    assert list(Ids().twice()) == []


def test_findings_are_bounded() -> None:
    """A journal that is all wrong gives so many findings of each kind, and the number of the others."""
    verdict = looked_at(ME, *(UNKNOWN for _ in range(3 * MOST)))
    assert len(verdict.findings) == MOST + 1
    assert f"{2 * MOST} more" in verdict.findings[-1].what


def test_a_message_counts_only_with_a_key_that_is_good_then() -> None:
    """Both are good while one takes the other's place; a key of nobody's, another's, or one that is good no longer is named."""
    old, both, new = {"1": ME}, {"1": ME, "2": ME}, {"2": ME}
    first, second = (KeySpoken(process=ME, key=key, at_ms=1) for key in "12")
    known = [KeysKnown(own="m", known=one) for one in (old, both, new)]
    body = Task("r/1.m1", "r", "acme/support/desk", "c", "", {}, 3)
    rest: dict[str, Any] = {"request": "", "task": "", "organisation": "", "deadline_ms": 0, "head_seq": 1, "head": ""}
    came = [Received(sender=ME, lseq=n, id=f"i{n}", body=body, **rest) for n in (1, 2)]

    def law(*said: Event) -> list[str]:
        return [one.what for one in looked_at(MAI, *said).findings if one.law == "keys"]

    assert law(known[0], first, came[0], known[1], second, known[2], came[1]) == []
    assert law(came[0], known[0], first, came[1]) == []  # an earlier version said nothing of keys
    (found,) = law(known[0], second)
    assert "with the key 2, which is nobody's" in found
    (found,) = law(known[0], KeySpoken(process=MODELS, key="1", at_ms=1))
    assert f"which is {ME}'s" in found
    (found,) = law(known[1], first, came[0], known[2], came[1])
    assert "record 5 takes a message of acme/support, whose key is not good any more" in found
