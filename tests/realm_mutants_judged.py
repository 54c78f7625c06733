"""Deliberate bugs in what Mai holds departments' words, claims and asks against; a realm with policies has to catch each."""

from typing import Any

import msgspec

from mai.daemon import approving, asks, conflicts, policing, resting, vouching
from tests.sim_mutation import Mutant, Put

JUDGED: dict[str, Mutant] = {}


def mutant(function: Mutant) -> Mutant:
    """Note it."""
    JUDGED[function.__name__] = function
    return function


@mutant
def any_word_is_good(put: Put) -> None:
    """What a department says of its board's approval Mai does not hold against anything."""
    put(vouching, "covered", lambda mai, call, act, ruling: ([], ""))


@mutant
def a_board_by_rule_may_say_anything(put: Put) -> None:
    """Mai does not ask the rules once more."""
    put(vouching, "_otherwise", lambda *given: "")


@mutant
def anybody_approves(put: Put) -> None:
    """Whoever a department names has approved it."""
    unsaid = vouching._unsaid

    def named(mai: Any, call: Any, act: Any) -> str:
        board = f"acme/{act.department}/board"
        word = msgspec.structs.replace(call.word, by=(board,)) if call.word else None
        return unsaid(mai, call._replace(word=word), act)

    put(vouching, "_unsaid", named)


@mutant
def a_word_is_good_twice(put: Put) -> None:
    """What a board has approved passes as often as it is sent."""
    unsaid = vouching._unsaid

    def again(mai: Any, call: Any, act: Any) -> str:
        why = unsaid(mai, call, act)
        return "" if "already" in why else why

    put(vouching, "_unsaid", again)
    put(approving, "_passed", lambda state, event: None)


@mutant
def mai_judges_no_claim(put: Put) -> None:
    """A department may claim what its policies bar."""
    put(policing, "claim", lambda mai, body: ([], ""))


@mutant
def mai_judges_no_ask(put: Put) -> None:
    """A department may ask for what its policies bar."""
    put(policing, "ask", lambda mai, body, now_ms: ([], ""))


@mutant
def what_the_client_asks_for_goes_out(put: Put) -> None:
    """Nothing that the client asks for waits."""
    put(asks, "at", lambda mai, of, body, now_ms: asks.Gate([], goes=True))


@mutant
def claims_stand_beside_each_other(put: Put) -> None:
    """That they say the contrary is not seen."""
    put(conflicts, "_first", lambda mai, stand, task, now_ms: [conflicts._noted(task, stand)])


@mutant
def answers_rest_on_anything(put: Put) -> None:
    """What is open, or has lost, is told to the client."""
    put(resting, "_unsound", lambda state, task: ([], []))
