"""Deliberate bugs in budgets, loop guards and shifts: not counted, forgotten, given to who is off; others: sim_mutants.py."""

from typing import Any

from mai.agents import allowance, duty, guards, process
from mai.daemon import granting
from tests.sim_mutation import Put, mutant


# -- budgets
@mutant
def count_nothing_of_a_day(put: Put) -> None:
    """What a department takes of its day is not counted."""
    put(allowance, "_day", lambda state, **more: None)


@mutant
def count_no_asks_of_a_request(put: Put) -> None:
    """A request may ask for as many contracts as it likes."""
    put(granting, "asks", lambda mai, body: None)


@mutant
def grant_without_a_record(put: Put) -> None:
    """What departments are granted is not on record as gone."""
    put(granting, "account", lambda mai, given, found: found)
    put(granting, "fold", lambda state, event: None)


# -- guards
@mutant
def let_loops_go_on(put: Put) -> None:
    """What comes again along a chain is handed on."""
    put(guards, "hop", lambda decider, work, given: None)


# -- shifts
@mutant
def give_to_who_is_off(put: Put) -> None:
    """A person's word about an agent counts for nothing."""
    put(duty, "off", lambda state, calendar, agent, now_ms: "")


@mutant
def forget_who_is_off(put: Put) -> None:
    """A new life of a department does not know what persons have said of its agents."""
    load = process.load

    def forgetful(state: Any, ledger: Any) -> None:
        load(state, ledger)
        state.duty.clear()

    put(process, "load", forgetful)


@mutant
def forget_what_waits_for_somebody(put: Put) -> None:
    """A task for which nobody is on is not kept until somebody is."""
    fold = duty.fold
    put(duty, "fold", lambda state, event: [] if event.kind == "shift.waits" else fold(state, event))
