"""Deliberate bugs in memory: what is read, what has gone, what is found; sim_mutants.py has the others."""

from typing import Any

import msgspec

from mai.agents import remembering, shelves
from mai.agents.kept import Fadings
from mai.daemon import client_memory
from mai.sandbox.words import Words
from tests.sim_mutation import Put, mutant


@mutant
def read_an_older_version(put: Put) -> None:
    """Of three versions the second is given."""
    recall = remembering._recall
    put(remembering, "_recall", lambda desk, key, n: recall(desk, key, n or 2 * (recall(desk, key, 0).n > 2)))


@mutant
def count_no_versions(put: Put) -> None:
    """Each write is the first."""
    put(remembering, "_present", lambda *given: None)


@mutant
def forget_nothing(put: Put) -> None:
    """Who has something forgotten is told so, and it stays."""
    put(remembering, "_forget", lambda desk, key: remembering.Outcome([], value=True, n=1))


@mutant
def let_nothing_expire(put: Put) -> None:
    """What was to be gone stays."""
    put(Fadings, "due", lambda self, now_ms: [])
    put(Fadings, "soonest_ms", lambda self: 0)


@mutant
def list_all_but_one(put: Put) -> None:
    """The first key is left out."""
    listed = shelves.Shelves.listed

    def fewer(self: Any, *given: Any) -> Any:
        found = listed(self, *given)
        next(found, None)
        yield from found

    put(shelves.Shelves, "listed", fewer)


@mutant
def learn_no_words(put: Put) -> None:
    """What is written is not found."""
    put(Words, "_learn", lambda *given: None)


@mutant
def find_what_has_gone(put: Put) -> None:
    """What is forgotten stays in the index."""
    put(Words, "_forget", lambda *given: None)


@mutant
def tell_other_than_was_read(put: Put) -> None:
    """Mai tells of the client's memory what is not on record."""
    decide = client_memory.decide

    def lying(*given: Any) -> Any:
        found: list[Any] = decide(*given)
        *facts, send = found
        other = ["other"] if send.body.found else send.body.value
        return [*facts, msgspec.structs.replace(send, body=msgspec.structs.replace(send.body, value=other))]

    put(client_memory, "decide", lying)


@mutant
def read_without_a_word(put: Put) -> None:
    """Mai reads the client's memory, and nothing of it is on record."""
    decide = client_memory.decide
    put(client_memory, "decide", lambda *given: [one for one in decide(*given) if getattr(one, "kind", "") != "memory.read"])
