"""How deliberate bugs are put into the production code, and taken out again."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

Put = Callable[[Any, Any, Any], None]  # owner, name, value
Mutant = Callable[[Put], None]
MUTANTS: dict[str, Mutant] = {}


def mutant(function: Mutant) -> Mutant:
    """Note it."""
    MUTANTS[function.__name__] = function
    return function


def mutated(name: str) -> contextlib.AbstractContextManager[None]:
    """The production code with this bug in it."""
    return applied(MUTANTS[name])


@contextlib.contextmanager
def applied(bug: Mutant) -> Iterator[None]:
    """The same of any."""
    before: list[tuple[Any, Any, Any]] = []

    def put(owner: Any, attribute: Any, value: Any) -> None:
        if isinstance(owner, dict):
            before.append((owner, attribute, owner[attribute]))
            owner[attribute] = value
        else:
            before.append((owner, attribute, getattr(owner, attribute)))
            setattr(owner, attribute, value)

    try:
        bug(put)
        yield
    finally:
        for owner, attribute, value in reversed(before):
            if isinstance(owner, dict):
                owner[attribute] = value
            else:
                setattr(owner, attribute, value)
