"""Deliberate bugs in what keeps agents and departments to their ranks, contracts and scopes; a realm has to catch each."""

from typing import Any

import msgspec

from mai.agents import allowance, data_scope, department, duty, guards, leaves, leaving, scopes, table
from mai.agents.events import MessageRefused, ReplyBreached
from mai.agents.memory import MemoryRefused
from mai.agents.organisation import Contract
from mai.agents.scopes import Verdict
from mai.daemon import client_memory, crossing, granting, loops, returning, subjects
from tests.sim_mutation import Mutant, Put

MUTANTS: dict[str, Mutant] = {}


def mutant(function: Mutant) -> Mutant:
    """Note it."""
    MUTANTS[function.__name__] = function
    return function


# -- replies
@mutant
def mai_checks_no_reply(put: Put) -> None:
    """Mai takes in whatever a department answers, and passes it on."""
    put(returning, "screen", lambda mai, peer, body: body)


@mutant
def the_receiver_checks_no_reply(put: Put) -> None:
    """A department takes in whatever Mai brings."""
    put(leaving, "screened", lambda department, body: body)


@mutant
def the_border_is_open(put: Put) -> None:
    """A department sends whatever its board has."""
    put(leaving, "outward", lambda department, work, done: ([], done))
    put(leaving, "reported", lambda department, work, done: ([], done))


@mutant
def texts_leave(put: Put) -> None:
    """The text of an answer goes to another department, whatever its own says."""
    put(data_scope.Scopes, "shown_text", lambda self, way, text: text)


@mutant
def only_the_top_is_looked_at(put: Put) -> None:
    """A withheld field inside another is not found."""
    found = leaves.withheld_by
    put(data_scope, "withheld_by", lambda patterns, path: found(patterns, path) if len(path) == 1 else "")


@mutant
def a_failure_may_hold_anything(put: Put) -> None:
    """What is not answered is not looked into."""
    screen = returning.screen
    put(returning, "screen", lambda mai, peer, body: body if getattr(body, "state", "") == "failed" else screen(mai, peer, body))


@mutant
def what_nobody_waits_for_is_kept(put: Put) -> None:
    """An answer that comes for no open task is written down whole."""
    screen = returning.screen
    put(
        returning, "screen",
        lambda mai, peer, body: screen(mai, peer, body) if not hasattr(body, "breach") or mai.holding(body.task) else body,
    )  # fmt: skip


@mutant
def a_breach_leaves_no_record(put: Put) -> None:
    """A reply that does not leave goes back, and nothing says why."""
    breached = returning._breached
    put(returning, "_breached", lambda *given: [one for one in breached(*given) if not isinstance(one, ReplyBreached)])


@mutant
def who_was_not_asked_may_answer(put: Put) -> None:
    """An answer out of place leaves no record."""
    returned = returning.returned
    put(returning, "returned", lambda *given: [one for one in returned(*given) if not isinstance(one, MessageRefused)])


# -- requests
@mutant
def anybody_may_ask(put: Put) -> None:
    """A contract is open to all departments."""
    ask = table.Table.contract

    def open_(self: Any, asking: str, name: str) -> table.Verdict:
        found: Contract | None = self._contracts.get(name)
        return table.Verdict(True, "", contract=found) if found else ask(self, asking, name)

    put(table.Table, "contract", open_)


@mutant
def mai_asks_no_questions(put: Put) -> None:
    """Mai lets pass what is open by its contract, whoever's task, name and values it has."""
    put(crossing, "_why_not", lambda mai, asked, holding: "" if asked.body.asker.count("/") == 2 else "it is nobody's")


@mutant
def any_subject_may_be_asked_about(put: Put) -> None:
    """A department that is bound to a subject may ask about others."""
    put(subjects, "strange", lambda *given: "")


@mutant
def anybody_is_told_of(put: Put) -> None:
    """Mai lets a department be asked about whom it tells nothing of."""
    put(data_scope.Scopes, "untold", lambda self, contract, values: "")


@mutant
def requests_hold_what_is_withheld(put: Put) -> None:
    """What a department withholds it may put into a request, and into the client's memory."""
    put(data_scope.Scopes, "kept_back", lambda self, asking, values: "")


# -- ranks and memory
@mutant
def an_operator_may_hand_to_a_specialist(put: Put) -> None:
    """A rank may do more than the table says."""
    put(table.MATRIX, "operator", ("coordinator", "specialist"))


@mutant
def hops_are_not_judged(put: Put) -> None:
    """Whoever is of the department may hand a task to whoever else is."""
    hop = table.Table.hop

    def open_(self: Any, department: str, sender: str, receiver: str) -> table.Verdict:
        known = receiver in self._ranks.get(department, {}) and receiver != "mai"
        return table.Verdict(True, "") if known else hop(self, department, sender, receiver)

    put(table.Table, "hop", open_)


@mutant
def memory_is_open(put: Put) -> None:
    """Whoever asks may read and write the client's memory."""
    put(scopes, "judge", lambda *given: Verdict("", lambda key: True))


@mutant
def memory_is_refused_without_a_record(put: Put) -> None:
    """What may not be read or written is refused, and nothing says so."""
    refused = client_memory._refused
    put(client_memory, "_refused", lambda *given: [one for one in refused(*given) if not isinstance(one, MemoryRefused)])


# -- loops
@mutant
def chains_may_go_round(put: Put) -> None:
    """A department lets a task come to the same agent as often as it will."""
    put(guards, "hop", lambda *given: None)


@mutant
def contracts_may_go_round(put: Put) -> None:
    """Mai lets departments ask each other the same as often as they will."""
    put(loops, "judge", lambda *given: None)


@mutant
def a_stop_leaves_no_record(put: Put) -> None:
    """What goes round is refused, and no record names its chain."""
    refuse = department.DepartmentDecider.hand
    put(department.DepartmentDecider, "hand", lambda self, *given, **named: _unsaid(refuse(self, *given, **named)))


def _unsaid(found: list[Any]) -> list[Any]:
    return [one for one in found if not isinstance(one, guards.GuardStopped)]


# -- budgets
@mutant
def days_have_no_end(put: Put) -> None:
    """A department takes up whatever comes, however much it has had today."""
    put(allowance, "admit", lambda department, body, until_ms, now_ms: allowance.Admitted(until_ms))


@mutant
def hops_are_not_counted(put: Put) -> None:
    """What Mai has granted is used twice as often."""
    put(allowance, "hop", lambda *given: None)


@mutant
def each_department_has_the_whole(put: Put) -> None:
    """Mai grants each department all of the request's budget."""
    left = granting.left
    put(granting, "left", lambda mai, request: left(mai, "nobody's"))


@mutant
def what_is_used_is_given_back(put: Put) -> None:
    """A result says nothing of what was used."""
    returned = granting._returned
    put(granting, "_returned", lambda *given: [msgspec.structs.replace(one, used=granting.NOTHING) for one in returned(*given)])


@mutant
def asks_are_not_counted(put: Put) -> None:
    """A request may ask for as many contracts as it will."""
    put(granting, "asks", lambda *given: None)


@mutant
def time_is_not_reserved(put: Put) -> None:
    """What open tasks may still take is not looked at."""
    put(allowance, "reserved_ms", lambda state: 0)


# -- shifts
@mutant
def tasks_go_to_whom_they_are_meant_for(put: Put) -> None:
    """Who is not on gets tasks all the same."""
    put(duty, "off", lambda *given: "")


@mutant
def steps_do_not_end_before_a_hand_over(put: Put) -> None:
    """A task changes hands while another works for it."""
    put(duty, "HARMLESS", (*duty.HARMLESS, "ask", "hand"))


@mutant
def who_takes_over_knows_nothing(put: Put) -> None:
    """A task changes hands without what was done for it."""
    put(duty, "_context", lambda *given: None)
