"""Realms in which agents escalate at random and persons answer at random, or never: their journals keep to the law.

Each deliberate bug breaks it in some realm.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mai.agents import escalating
from mai.agents.decider import Send, Tick
from mai.agents.escalation_messages import Escalate, Ruled
from mai.daemon import escalations
from mai.daemon.escalations import EscalationAnswered, EscalationRaised
from mai.daemon.examination import examine
from mai.daemon.invariants import Fact
from tests.realm import Realm

SEEDS = 80
Put = Callable[..., None]
Patch = pytest.MonkeyPatch


def played(seed: int) -> Realm:
    """A realm at its end, with an answer of a person to whatever still waits for one, and then its deadlines."""
    realm = Realm(seed, hostile=False, escalates=True).play()
    while list(realm.nodes["acme/mai"].mai.state.parking.open()) and realm.chance.random() < 0.7:
        realm.answer()
        while realm.wire:
            realm.deliver()
    realm.now_ms += 7_200_000
    for node in reversed(realm.nodes.values()):  # the departments first: what waits at Mai is taken back
        node.feed(Tick())
    while realm.wire:
        realm.deliver()
    return realm


def broken(realm: Realm) -> list[str]:
    """What is found in its journals against this law."""
    facts = [
        Fact(name, seq, event, seq * 1_000_000, "b")
        for name, node in realm.nodes.items()
        for seq, event in enumerate(node.journal, 1)
    ]
    return [one.what for one in examine(facts).findings if one.law in ("escalations", "tasks", "requests")]


def test_the_law_holds_in_any_realm() -> None:
    """Each is asked once, answered once, and comes back to where it came from; and there are enough to say so."""
    count: Counter[str] = Counter()
    for seed in range(SEEDS):
        realm = played(seed)
        assert broken(realm) == []
        assert max(realm.answered.values(), default=0) <= 1
        count.update(event.kind for event in realm.nodes["acme/mai"].journal)
    assert count[EscalationRaised.kind] >= SEEDS / 3 and count[EscalationAnswered.kind] >= SEEDS / 6


def _changed(change: Callable[[Any], Any], kind: type) -> Callable[[Any], Any]:
    """What a decision sends, with this body changed."""

    def sent(one: Any) -> Any:
        return (
            msgspec.structs.replace(one, body=change(one.body)) if isinstance(one, Send) and isinstance(one.body, kind) else one
        )

    return sent


def answer_lost(put: Put) -> None:
    """A department does nothing with what a person has said."""
    put(escalating, "ruled", lambda department, body: [])


def asked_twice(put: Put) -> None:
    """A department asks the same of a person once more."""
    escalate = escalating.escalate

    def twice(*given: Any, **more: Any) -> Any:
        came = escalate(*given, **more)
        return [*came, *(one for one in came if isinstance(one, Send) and isinstance(one.body, Escalate))]

    put(escalating, "escalate", twice)


def answer_to_the_wrong_task(put: Put) -> None:
    """Mai gives an answer to another task of the same department."""
    answered = escalations._answered
    wrong = _changed(lambda body: msgspec.structs.replace(body, task=body.task + ".9"), Ruled)
    put(escalations, "_answered", lambda *given: [wrong(one) for one in answered(*given)])


def other_words(put: Put) -> None:
    """Mai tells a department other than what a person has said."""
    answered = escalations._answered
    other = _changed(lambda body: msgspec.structs.replace(body, text=body.text + "!"), Ruled)
    put(escalations, "_answered", lambda *given: [other(one) for one in answered(*given)])


def tried_is_dropped(put: Put) -> None:
    """A person is not told what was tried before the last."""
    to_mai = escalating._to_mai

    def last(*given: Any) -> Any:
        body = to_mai(*given)
        return msgspec.structs.replace(body, plea=msgspec.structs.replace(body.plea, tried=body.plea.tried[-1:]))

    put(escalating, "_to_mai", last)


def nobody_is_asked(put: Put) -> None:
    """Mai takes an escalation in, and that is all."""
    put(escalations, "_raised", lambda *given: [])


def never_closed(put: Put) -> None:
    """What was answered stays open, and is answered again."""
    put(escalations, "_over", lambda row, event: None)


def not_taken_back(put: Put) -> None:
    """A task ends, and its question stays with the person."""
    put(escalating, "left", lambda department, work, *, ruled: [])


@pytest.mark.parametrize(
    "bug",
    [
        answer_lost, asked_twice, answer_to_the_wrong_task, other_words, tried_is_dropped, nobody_is_asked, never_closed,
        not_taken_back,
    ],
    ids=lambda bug: bug.__name__,
)  # fmt: skip
def test_each_bug_is_caught(bug: Callable[[Put], None], monkeypatch: Patch) -> None:
    """In some realm the journals say so."""
    bug(monkeypatch.setattr)
    assert any(broken(played(seed)) for seed in range(SEEDS)), f"{bug.__name__} was not caught"
