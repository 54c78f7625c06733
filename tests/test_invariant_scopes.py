"""`verify --deep` finds in the journals what left a department and must not, and what was kept back without a record."""

from typing import Any

import msgspec
import pytest

from mai.agents.events import Ended, Event, Hopped, Received, ReplyBreached, Sent
from mai.agents.messages import Result, Task
from mai.daemon.invariant_links import Ends, compare
from mai.daemon.invariant_scopes import ScopesAtMai, ScopesInside
from mai.daemon.invariants import End, Invariant, Notes
from mai.daemon.records import ContractEnded
from mai.daemon.returning import UNAWAITED

TASK, SALES, FINANCE = "R/1.1.m1", "acme/sales", "acme/finance"


def result(state: str = "failed", breach: str = "it must not", **given: Any) -> Result:
    """An answer of finance's."""
    return Result(TASK, "R", state, **{"text": "", "value": {}, "reason": "", "by": FINANCE, **given}, breach=breach)  # type: ignore[arg-type]  # a Literal


def came(body: Result, sender: str = FINANCE) -> Received:
    """It is received."""
    return Received(
        sender=sender, lseq=1, id="", request="R", task=TASK, organisation="", deadline_ms=0, head_seq=1, head="", body=body
    )


def sent(to: str, body: Result | Task) -> Sent:
    """It goes out."""
    return Sent(to=to, lseq=1, id="", request="R", task=body.task, deadline_ms=0, body=body)


def breached(again: str = "", task: str = TASK, **given: Any) -> ReplyBreached:
    """It is on record as kept back."""
    return ReplyBreached(
        request="R", task=task, process=FINANCE, contract="finance.pay", rule="it must not", again=again, **given
    )


def ended(state: str) -> ContractEnded:
    """The passage is over."""
    return ContractEnded(request="R", task=TASK, state=state)


def hopped() -> Hopped:
    """Sales has the task that has asked."""
    return Hopped(
        request="R", task="R/1.1", parent="", sender="mai", agent="board", asker="", contract="", text="", input={},
        deadline_ms=9, hops=1, rule="",
    )  # fmt: skip


def over(**given: Any) -> Ended:
    """A task of finance's is over."""
    return Ended(request="R", task=TASK, agent="board", state="failed", breach="it must not", **given)


AGAIN = Task(f"{TASK}c1", "R", "acme/sales/board", "finance.pay", "", {}, 3)
SOUND: dict[type[Invariant], list[list[Event]]] = {
    ScopesAtMai: [
        [
            came(result()),
            breached(AGAIN.task),
            sent(FINANCE, AGAIN),
            came(result("answered", "", value={"a": 1})),
            ended("answered"),
        ],
        [came(result()), breached(), ended("refused"), sent(SALES, result("refused", ""))],
        [came(result(breach=UNAWAITED))],
    ],
    ScopesInside: [
        [hopped(), came(result(), "acme/mai"), breached()],
        [over(), sent("acme/mai", result())],
        [came(result(), "acme/mai")],
    ],
}
UNSOUND: list[tuple[type[Invariant], list[Event], str]] = [
    (ScopesAtMai, [came(result())], "nothing is done about that"),
    (ScopesAtMai, [came(result(value={"a": 1})), breached()], "takes in an answer"),
    (ScopesAtMai, [came(result()), breached(AGAIN.task)], "was not sent"),
    (ScopesAtMai, [came(result()), breached(), ended("answered")], "whose answer did not leave"),
    (ScopesAtMai, [came(result()), breached(withheld={"a": 1}), ended("refused")], "has to keep for itself"),
    (ScopesAtMai, [sent(SALES, result())], "by which rule"),
    (ScopesInside, [hopped(), came(result(), "acme/mai")], "not on record"),
    (ScopesInside, [hopped(), came(result(text="a"), "acme/mai"), breached()], "takes in an answer"),
    (ScopesInside, [hopped(), came(result(), "acme/mai"), breached(withheld={"a": 1})], "has to keep for itself"),
    (ScopesInside, [over(value={"a": 1})], "ends R/1.1.m1 with an answer"),
    (ScopesInside, [sent("acme/mai", result(text="a"))], "lets out"),
    (ScopesInside, [sent("acme/mai", result("escalated", "", value={"a": 1}))], "lets out"),
]


def findings(family: type[Invariant], *journal: Event) -> list[str]:
    """What is wrong with it."""
    notes = Notes()
    invariant = family("acme/mai" if family is ScopesAtMai else SALES, notes)
    for seq, event in enumerate(journal, 1):
        if handler := invariant.handlers().get(event.kind):
            handler(seq, event)
    invariant.close(End(at_rest=True, awake_ms=0, last_ms=0))
    return [finding.what for finding in notes.findings]


@pytest.mark.parametrize("family", SOUND)
def test_a_sound_journal_has_no_findings(family: type[Invariant]) -> None:
    """What goes back once, what is refused, and what nobody waits for is as it should be."""
    assert [findings(family, *journal) for journal in SOUND[family]] == [[]] * len(SOUND[family])


@pytest.mark.parametrize(("family", "journal", "what"), UNSOUND)
def test_a_journal_that_breaks_the_law_is_found(family: type[Invariant], journal: list[Event], what: str) -> None:
    """Each in one finding that names it."""
    (found,) = findings(family, *journal)
    assert what in found


def test_what_was_cut_is_witnessed_by_its_head_alone() -> None:
    """Both ends of a link agree on an answer that the receiver has written without its values; any other difference is found."""
    for received, findings_ in ((result(), 0), (result(breach=""), 1)):
        notes = Notes()
        sender, receiver = Ends(FINANCE, notes), Ends("acme/mai", notes)
        sender.handlers()[Sent.kind](1, sent("acme/mai", result("answered", "", value={"a": 1})))
        receiver.handlers()[Received.kind](1, msgspec.structs.replace(came(received), head_seq=1))
        sender.fix()
        receiver.fix()
        compare(sender, receiver, notes, at_rest=False)
        assert len(notes.findings) == findings_
