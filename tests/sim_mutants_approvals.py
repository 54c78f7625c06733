"""Deliberate bugs in approvals: given by the wrong one, for another call, twice, or lost; sim_mutants.py has the others."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from mai.agents import approvals, gates, pleas
from mai.daemon import approval_orders, approving, asks, pending
from tests.sim_mutation import Put, mutant


@mutant
def call_without_an_approval(put: Put) -> None:
    """What a policy gives to the board or to persons is done at once."""
    put(gates, "passes", lambda decider, step, ruling: ruling.allowed or ruling.verdict in gates.WAITS)


@mutant
def approve_what_one_has_asked(put: Put) -> None:
    """The user who has made the request approves what is done for it."""
    _allow(put, lambda one: replace(one, uid=-1))


def _allow(put: Put, seen: Callable[[Any], Any]) -> None:
    why_not = approving.why_not
    for module in (approving, approval_orders):
        put(module, "why_not", lambda one, vote: why_not(seen(one), vote))


@mutant
def take_one_pair_of_eyes_for_two(put: Put) -> None:
    """One user is enough where the policy wants two."""
    put(pending.Pending, "left", property(lambda self: 1))


@mutant
def take_one_user_twice(put: Put) -> None:
    """The same user counts twice."""
    _allow(put, lambda one: replace(one, votes=()))


@mutant
def bind_an_approval_to_no_input(put: Put) -> None:
    """What is said is not bound to what the call is made with."""
    binding = pleas.binding
    put(approvals, "binding", lambda asked, agent: binding(replace(asked, arguments=""), agent))


@mutant
def use_an_approval_twice(put: Put) -> None:
    """That it was used is not noted: a second call finds it as good as new."""
    fold = pleas._fold
    put(pleas, "_fold", lambda event, one: None if event.kind == "approval.used" else fold(event, one))


@mutant
def forget_who_was_used(put: Put) -> None:
    """A call that was approved is made, and nothing says that its approval was used."""
    put(gates, "passes", lambda decider, step, ruling: _forgetful(step) or ruling.allowed)


def _forgetful(step: Any) -> bool:
    if step is None or step.approval is None or step.approval.at != "approved":
        return bool(step and step.approval and step.approval.at == "used")
    step.approval.at = "used"
    return True


@mutant
def lose_approvals_on_restart(put: Put) -> None:
    """Mai comes back without what waits for persons."""
    put(pending.Approvals, "load", lambda self, noun: None)


@mutant
def let_an_approval_wait_for_ever(put: Put) -> None:
    """What nobody decides does not expire."""
    put(approvals, "due", lambda decider: [])


@mutant
def take_a_denial_for_an_approval(put: Put) -> None:
    """The department goes on whatever persons have said."""
    put(approvals, "_denied", approvals._approved)


@mutant
def take_silence_for_an_approval(put: Put) -> None:
    """A board that decides nothing has approved."""

    def undecided(decider: Any, plea: Any, why: str) -> Any:
        return approvals._approved(decider, plea, "board", ("nobody",), why)

    put(approvals, "_undecided", undecided)


@mutant
def ask_no_person(put: Put) -> None:
    """The board leaves a call to a person, and nobody is asked."""
    refer = approvals._refer
    put(approvals, "_refer", lambda *given, **named: refer(*given, **named)[:1])


@mutant
def decide_without_a_word(put: Put) -> None:
    """Persons decide at Mai, and the department is not told."""
    voted = approving._voted
    put(approving, "_voted", lambda *given: voted(*given)[:1])


@mutant
def keep_what_is_over(put: Put) -> None:
    """A task ends, and Mai is not told that nobody waits for its approval any more."""
    put(approvals, "_over", lambda *given: [])


@mutant
def give_out_what_the_client_asks_for(put: Put) -> None:
    """What a policy wants approved of the client's asks goes out at once."""
    put(asks, "at", lambda mai, of, body, now_ms: asks.Gate([], goes=True))


@mutant
def take_a_boards_denial_for_an_approval(put: Put) -> None:
    """Whatever is said of what the client asks for, it goes out."""
    put(asks, "_denied", asks._approved)


@mutant
def end_a_request_over_what_waits(put: Put) -> None:
    """A request ends, and what waited for it is not over."""
    put(asks, "ending", lambda mai, found, now_ms: found)
