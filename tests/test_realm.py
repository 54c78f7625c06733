"""Random organisations, and agents in them who try anything: nothing arrives that the organisation does not allow."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai.agents.faults import Findings
from mai.agents.rules import Scene, apply
from mai.agents.sources import Sources
from tests.realm import Realm
from tests.realm_judged import judged
from tests.realm_law import Violation
from tests.realm_mutants import MUTANTS
from tests.realm_mutants_judged import JUDGED
from tests.realm_organisations import organisation
from tests.rounds import rounds
from tests.sim_mutation import applied

MOST = 300  # realms of each kind that a bug may live through
KNOWN = {"a_word_is_good_twice": 101, "anybody_approves": 24, "a_board_by_rule_may_say_anything": 18}  # is tried first
SEEDS = st.integers(0, 1 << 32)


@settings(max_examples=rounds(200, 2000), deadline=None)
@given(SEEDS)
def test_nothing_arrives_that_the_organisation_does_not_allow(seed: int) -> None:
    """Random hops, contracts, replies and reads of memory: what is forbidden goes nowhere, and is on record as refused."""
    Realm(seed, hostile=False).play()


@settings(max_examples=rounds(200, 2000), deadline=None)
@given(SEEDS)
def test_nothing_arrives_from_departments_that_lie(seed: int) -> None:
    """The same where some departments make up what they send, and Mai lets something through."""
    Realm(seed, hostile=True).play()


@settings(max_examples=rounds(120, 1000), deadline=None)
@given(SEEDS, st.booleans())
def test_nothing_goes_on_that_has_to_be_approved_or_is_barred(seed: int, hostile: bool) -> None:
    """The same with policies: claims, words of boards and asks, of departments that lie, too; nothing rests on a lost claim."""
    Realm(seed, hostile=hostile, judges=True).play()


@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_random_organisations_pass_the_check(seed: int) -> None:
    """Each realm is one that a daemon would take."""
    for whole in (organisation(Random(seed)), judged(Random(seed), organisation(Random(seed)))):
        findings = Findings()
        apply(Scene(whole, findings, Sources("/", False)))
        assert not findings.known()


@pytest.mark.parametrize("bug", JUDGED)
def test_a_bug_in_judgement_is_caught(bug: str) -> None:
    """A deliberate bug in what Mai lets pass does not live through so many realms with policies."""
    with applied(JUDGED[bug]):
        seeds = (KNOWN.get(bug, 0), *range(MOST))
        assert any(_wrong(seed, hostile=hostile, judges=True) for seed in seeds for hostile in (True, False)), JUDGED[bug].__doc__


@pytest.mark.parametrize("bug", MUTANTS)
def test_a_bug_is_caught(bug: str) -> None:
    """A deliberate bug in what keeps them to their scopes does not live through so many realms."""
    with applied(MUTANTS[bug]):
        assert any(_wrong(seed, hostile=hostile) for seed in range(MOST) for hostile in (True, False)), MUTANTS[bug].__doc__


def _wrong(seed: int, *, hostile: bool, judges: bool = False) -> bool:
    try:
        Realm(seed, hostile=hostile, judges=judges).play()
    except Violation:
        return True
    return False


def test_realms_are_full_of_attempts() -> None:
    """Of each kind of record that the property is about there are many, on both sides of what is allowed."""
    kinds = Counter[str]()
    for seed in range(200):
        for node in Realm(seed, hostile=seed % 2 == 0).play().nodes.values():
            kinds += Counter(event.kind + str(getattr(event, "allowed", "")) for event in node.journal)
    kept = ("memory.read", "memory.written", "memory.refused", "message.refused")
    stopped = ("guard.stopped", "budget.stopped", "shift.assigned", "shift.waits")
    wanted = ("hop", "hop.refused", "contract.checkedTrue", "contract.checkedFalse", "reply.breached", "contract.ended")
    for kind in (*wanted, *kept, *stopped):
        assert kinds[kind] > 20, (kind, kinds)
