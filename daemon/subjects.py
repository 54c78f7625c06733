"""Of whom a department may ask: under a contract that binds it, only of a subject that it was given for this request. Pure.

Given is what stands in the part of the client's request that it has, or in the fields of what it was asked under a contract;
and what it was told in reply to an ask about a subject that was given itself. So support, asked about an order, may learn from
sales whose that is, and then ask finance about this customer, and about no other.
"""

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.body import Fields
from mai.agents.figures import figures
from mai.agents.leaves import paths, subject
from mai.agents.messages import Task
from mai.daemon.desk import MaiState, Passage, first, origin
from mai.daemon.records import ContractEnded

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

MOST: Final = 1000  # subjects that one task is told of in replies; more are not kept


class Told(msgspec.Struct):
    """The row of state of one task."""

    subjects: tuple[str, ...]


def strange(mai: "MaiDecider", name: str, asking: str, body: Task) -> str:
    """Why a department may not ask this contract about this subject; "" if it may."""
    contract = mai.scopes.contract(name)
    if contract is None or asking not in contract.bound:
        return ""
    if _knows(mai, first(origin(body.task)), contract.subject, body.input.get(contract.subject)):
        return ""
    return f"{name} tells {asking} only of a {contract.subject} that it was given for this request"


def _knows(mai: "MaiDecider", task: str, kind: str, value: object) -> bool:
    """Was who has this task given this subject?"""
    if value is None:
        return False
    if subject(kind, value) in mai.state.subjects.get(task, ()):
        return True
    if passage := mai.state.passages.get(task):
        return passage.body is not None and subject(kind, value) in _of({kind}, passage.body.input)
    request = mai.state.requests.get(task.rpartition("/")[0])
    part = mai.part(request, task) if request else None
    if part is None:
        return False
    return part.input[kind] == value if kind in part.input else _said(part.text, str(value))


def _said(text: str, value: str) -> bool:
    """Does a text name this value: as a word or some, or as a number in whatever form?"""
    if value.lstrip("-").isdecimal():
        return value.lstrip("-") in figures(text)
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None


def told(mai: "MaiDecider", passage: Passage, values: Fields) -> tuple[str, ...]:
    """The subjects that a reply tells of, if it is about one that was given."""
    kinds = mai.scopes.kinds
    contract = mai.scopes.contract(passage.contract)
    if not kinds or contract is None or not contract.subject or passage.body is None:
        return ()
    asker = first(origin(passage.task))
    if not _knows(mai, asker, contract.subject, passage.body.input.get(contract.subject)):
        return ()
    known = mai.state.subjects.get(asker, ())
    new = [one for one in dict.fromkeys(_of(kinds, values)) if one not in known]
    return tuple(new[: MOST - len(known)])


def _of(kinds: frozenset[str] | set[str], values: Fields) -> list[str]:
    """The subjects that stand in fields of these kinds."""
    held = [(path[-1], one) for path, found in paths(values) if path[-1] in kinds for one in _each(found)]
    return [subject(kind, one) for kind, one in held]


def _each(value: Any) -> list[Any]:
    ones = value if isinstance(value, list) else [value]
    return [one for one in ones if isinstance(one, str | int) and not isinstance(one, bool)]


# -- evolve
def fold(state: MaiState, event: ContractEnded) -> None:
    """Who asked was told of these subjects, and works on."""
    asker = first(origin(event.task))
    request = state.requests.get(asker.rpartition("/")[0])
    works = asker in state.passages or (request is not None and asker not in request.answers)
    if event.subjects and works:
        state.subjects[asker] = (*state.subjects.get(asker, ()), *event.subjects)
        state.changed("subjects", asker, Told(state.subjects[asker]))


def end(state: MaiState, task: str) -> None:
    """A task has ended, and with it what it was told of."""
    if state.subjects.pop(task, None) is not None:
        state.changed("subjects", task, None)


def load(state: MaiState, rows: dict[str, bytes]) -> None:
    """From the rows of her state."""
    state.subjects.update({task: msgspec.json.decode(data, type=Told).subjects for task, data in rows.items()})
