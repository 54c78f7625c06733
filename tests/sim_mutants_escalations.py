"""Deliberate bugs in escalations: asked twice, lost on the way, done in spite of them; sim_mutants.py has the others."""

from typing import Any

from msgspec.structs import replace

from mai.agents import escalating, triggers
from mai.agents.escalation_messages import Escalate
from mai.daemon import escalations, mai, parking, referring, returning
from tests.sim_mutation import Put, mutant


@mutant
def run_again_what_was_given_up(put: Put) -> None:
    """That code has ended with a refusal, and those above have its task, is not kept: the next life begins it again."""
    fold = escalating.fold

    def forgetful(state: Any, event: Any) -> None:
        fold(state, event)
        if event.kind == "escalated" and event.task in state.work:
            state.work[event.task].given_up = False

    put(escalating, "fold", forgetful)


@mutant
def forget_what_persons_were_asked(put: Put) -> None:
    """Mai comes back without what waits for persons."""
    put(parking.Parking, "load", lambda self, rows: None)


@mutant
def forget_that_a_person_was_asked_about_the_plan(put: Put) -> None:
    """In her next life Mai asks once more whom a request is for."""
    put(parking.Parking, "count", lambda self, request: 0)


@mutant
def lose_a_persons_word_to_mai(put: Put) -> None:
    """What a person says to what Mai has asked herself leads to nothing."""
    put(referring, "answered", lambda *given: [])


@mutant
def tell_other_than_a_person_has_said(put: Put) -> None:
    """A person's answer is not what goes on."""
    answered = referring.answered
    put(referring, "answered", lambda mai, row, said, now_ms: answered(mai, row, replace(said, state="refused"), now_ms))


@mutant
def plan_otherwise_than_a_person_has_said(put: Put) -> None:
    """A request goes to finance, whatever department a person has named."""
    plan = mai.MaiDecider.plan

    def otherwise(self: Any, request: Any, parts: Any, now_ms: int) -> Any:
        return plan(self, request, tuple(replace(one, department="finance") for one in parts), now_ms)

    put(mai.MaiDecider, "plan", otherwise)


@mutant
def forget_the_result_that_waits(put: Put) -> None:
    """What Mai would have told without an answer is not kept."""

    def without(*given: Any, held: Any) -> parking.Row:
        return parking.Row(*given)

    put(escalations, "Row", without)


@mutant
def tell_the_result_as_well(put: Put) -> None:
    """A person is asked, and the result goes on all the same."""
    ends = returning.ends
    put(
        returning, "_ends_or_waits",
        lambda mai, body, came, now_ms: [*referring.instead(mai, body, came, now_ms), *ends(mai, body, now_ms)],
    )  # fmt: skip


@mutant
def drop_a_persons_word(put: Put) -> None:
    """A department does nothing with what a person has said."""
    put(escalating, "ruled", lambda department, body: [])


@mutant
def hide_what_was_tried(put: Put) -> None:
    """A person is not told what was tried before the last."""
    to_mai = escalating._to_mai

    def last(*given: Any) -> Escalate:
        body = to_mai(*given)
        return replace(body, plea=replace(body.plea, tried=body.plea.tried[-1:]))

    put(escalating, "_to_mai", last)


@mutant
def leave_persons_busy(put: Put) -> None:
    """A task ends, and its question stays with the person."""
    put(escalating, "left", lambda department, work, *, ruled: [])


@mutant
def give_a_doubt_to_somebody_else(put: Put) -> None:
    """A person names a worker, and another one gets it."""
    chosen = triggers.chosen
    put(triggers, "chosen", lambda *given: {"porter": "hauler", "hauler": "porter"}.get(chosen(*given), ""))
