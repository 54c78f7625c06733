"""Deliberate bugs in what is done about claims that contradict each other; sim_mutants.py has the others."""

from typing import Any

from mai.daemon import conflicts, dispute, dispute_folding, gateway, resting
from mai.daemon.dispute import LOST
from tests.sim_mutation import Put, mutant


@mutant
def answers_do_not_wait_for_cases(put: Put) -> None:
    """What rests on an open claim is told."""
    unsound = resting._unsound
    put(resting, "_unsound", lambda state, task: (unsound(state, task)[0], []))


@mutant
def what_rests_on_the_lost_is_told(put: Put) -> None:
    """A lost claim is as good as any."""
    unsound = resting._unsound
    put(resting, "_unsound", lambda state, task: ([], unsound(state, task)[1]))


@mutant
def claims_of_others_do_not_count(put: Put) -> None:
    """An answer rests on the claims of its own department only."""
    under = conflicts._under
    put(conflicts, "_under", lambda mai, peer, task: under(mai, peer, task)[:1])


@mutant
def nobody_is_asked(put: Put) -> None:
    """A case is opened, and that is all."""
    put(conflicts, "_ask", lambda *given: [])


@mutant
def the_departments_are_not_told(put: Put) -> None:
    """A ruling stays with Mai."""
    put(conflicts, "_told", lambda *given: [])


@mutant
def contradictions_are_not_seen(put: Put) -> None:
    """Each claim stands for itself."""
    put(conflicts, "_first", lambda mai, stand, task, now_ms: [conflicts._noted(task, stand)])


@mutant
def a_restart_forgets_cases(put: Put) -> None:
    """Mai does not know after a death what was in dispute."""
    put(gateway, "load_disputes", lambda *given: None)


@mutant
def a_restart_forgets_what_waits(put: Put) -> None:
    """She does not know which answers wait."""
    load = dispute_folding.load
    put(gateway, "load_disputes", lambda state, claims, cases, withheld: load(state, claims, cases, {}))


@mutant
def what_was_ruled_is_ruled_again(put: Put) -> None:
    """A case has two rulings."""
    rule = conflicts._rule
    put(conflicts, "_rule", lambda *given, **named: [*(found := rule(*given, **named)), found[0]])


@mutant
def losers_win(put: Put) -> None:
    """The fold takes the wrong side."""

    def ruled(state: Any, case: Any, event: Any) -> Any:
        following = _ruled(state, case, event)
        for stand in state.conflicts.of(case):
            dispute_folding._set(state, stand, dispute.WON if stand.state == LOST else LOST, case.id)
        return following

    _ruled = dispute_folding._ruled
    put(dispute_folding, "_ruled", ruled)
