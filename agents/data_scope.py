"""Data scope: what is wrong with a reply that wants to leave its department, by type, by field and by subject. Pure.

The same check is made three times: by the department that answers, by Mai before anything of the reply is on her disk, and by
the department that asked. What it says of a reply names declarations and patterns, and holds nothing of the reply's values.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from mai.agents.body import Fields
from mai.agents.fields import STRANGE
from mai.agents.figures import figures
from mai.agents.leaves import Leaves, Shows, covered, declared, paths, subject, tells_of, withheld_by
from mai.agents.messages import Result
from mai.agents.organisation import Contract, Organisation

OUTSIDE: Final = ("client", "mai")  # askers who are no department
LISTED: Final = 12  # names in a sentence
LEAST_TEXT, LEAST_NUMBER = 4, 100  # of a withheld value that is looked for in texts: shorter ones stand there by chance


class Way(NamedTuple):
    """From which department, under which contract ("": a free text), to whom, and what was asked with."""

    department: str
    contract: str
    asker: str
    given: Fields


class Scopes:
    """The scopes of all departments in one process's mandate."""

    def __init__(self, organisation: Organisation, fault: Callable[[str, str, Fields], str]) -> None:
        """`fault(contract, side, values)`: what is wrong with the types, as in Contracts."""
        self._fault = fault
        self._leaves = {department.name: department.leaves for department in organisation.departments}
        self._shows = {department.name: department.shows for department in organisation.departments}
        self._contracts = {
            f"{department.name}.{contract.name}": contract
            for department in organisation.departments
            for contract in department.contracts
        }
        bound = any(contract.bound for contract in self._contracts.values())
        self.kinds = frozenset(one.subject for one in self._contracts.values() if one.subject) if bound else frozenset[str]()

    def leaves(self, department: str) -> Leaves:
        """What may leave a department; nothing special of one that is not known here."""
        return self._leaves.get(department, Leaves())

    def shows(self, department: str) -> Shows:
        """What others than who asked see of a department's finished work."""
        return self._shows.get(department, "result")

    def contract(self, name: str) -> Contract | None:
        """A contract by its full name."""
        return self._contracts.get(name)

    # -- replies
    def breach(self, way: Way, values: Fields, text: str) -> str:
        """Why an answer may not go this way; "" if it may."""
        if why := self.fault(way, values):
            return why
        leaves = self.leaves(way.department)
        if why := next(self._fields(way.department, leaves, values), ""):
            return why
        if text and is_department(way.asker) and text != self.shown_text(way, text):
            return f"the text of an answer does not leave {way.department} for another department"
        return self._strayed(way, values)

    def shown_text(self, way: Way, text: str) -> str:
        """What another department sees of the text of an answer."""
        match self.shows(way.department):
            case "result":
                return text if self.leaves(way.department).text else ""
            case "summary":
                return f"{way.contract or way.department} has answered"
        return ""

    def fault(self, way: Way, values: Fields) -> str:
        """Why values are no reply under the contract; "" if they are."""
        why = self._fault(way.contract, "reply", values) if way.contract else ""
        return nameless(why, way.contract) if why else ""

    def screen(self, way: Way, body: Result) -> Result:
        """The same result if it may go this way, else what is left of it: why it may not."""
        rule = self.breach(way, body.value, body.text) if body.state == "answered" and not body.breach else ""
        return cut(body, rule, way) if rule else body

    def _fields(self, department: str, leaves: Leaves, values: Fields) -> Iterator[str]:
        for path, held in paths(values) if leaves.withheld or leaves.fields else ():
            if pattern := withheld_by(leaves.withheld, path):
                yield f"{department} withholds {pattern}"
            if leaves.fields and bare(held) and not covered(leaves.fields, path):
                yield f"it has a field that may not leave {department}"

    def _strayed(self, way: Way, values: Fields) -> str:
        """A reply that names its subject tells of the one that was asked about."""
        found = self.contract(way.contract)
        kind = found.subject if found else ""
        if kind and kind in values and kind in way.given and values[kind] != way.given[kind]:
            return f"it tells of another {kind} than it was asked about"
        return ""

    def allowed(self, way: Way) -> str:
        """What would be allowed, in words."""
        leaves, found = self.leaves(way.department), self.contract(way.contract)
        fields = [".".join(path) for path, leaf in declared(found.reply) if leaf] if found else list(leaves.fields)
        shown = ", ".join(fields[:LISTED]) + (" …" if len(fields) > LISTED else "")
        what = f"the fields {shown}" if fields else "no fields" if found else "any fields"
        return what + (f", but never {', '.join(leaves.withheld[:LISTED])}" if leaves.withheld else "")

    # -- requests
    def untold(self, contract: str, values: Fields) -> str:
        """Why nothing is told of the subject of a request; "" if it may be."""
        found = self.contract(contract)
        patterns = self.leaves(contract.partition(".")[0]).subjects
        if found is None or not found.subject or not patterns or found.subject not in values:
            return ""
        if tells_of(patterns, subject(found.subject, values[found.subject])):
            return ""
        return f"{contract} tells of {', '.join(patterns[:LISTED])} only"

    def kept_back(self, asking: str, values: Fields) -> str:
        """Why a department may not put these values into a request to another; "" if it may."""
        withheld = self.leaves(asking).withheld
        found = next((pattern for path, _ in paths(values) if (pattern := withheld_by(withheld, path))), "")
        return f"{asking} withholds {found}" if found else ""


def nameless(fault: str, contract: str) -> str:
    """A sentence of Contracts without the name of a field that is not declared: that is the answering code's own word."""
    return f"it has a field that {contract} does not name" if fault.endswith(STRANGE) else fault


def is_department(asker: str) -> bool:
    """Is an asker's address that of an agent in a department? Not the client's, nor Mai's own."""
    return asker.count("/") > 1 or (asker.count("/") == 1 and asker.partition("/")[2] not in OUTSIDE)


def bare(value: Any) -> bool:
    """Does a value hold something that is in no field of its own?"""
    match value:
        case dict():
            return not value
        case list():
            return not value or any(not isinstance(one, dict) and bare(one) for one in value)
    return True


def under(key: str, value: Any) -> Fields:
    """A remembered value as a field: `customer.note` is the field `note` of `customer`."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return value  # type: ignore[no-any-return]  # a key has a name, so this is a table


def neutral(way: Way) -> str:
    """All that an asker is told of a reply that may not leave."""
    what = f"its contract {way.contract}" if way.contract else "what may leave it"
    return f"{way.department} withholds its reply, which does not keep to {what}"


def cut(body: Result, rule: str, way: Way) -> Result:
    """An answer that breaks a rule, without anything that it says."""
    return msgspec.structs.replace(body, state="failed", text="", value={}, reason=neutral(way), sources=(), breach=rule)


# -- what the answering department has seen
def secrets(patterns: tuple[str, ...], *seen: Any) -> set[str]:
    """Values that stood in withheld fields of what a task's code has seen, as they would stand in a text."""
    found: set[str] = set()
    for path, value in paths([one for one in seen if isinstance(one, dict | list)]):
        if withheld_by(patterns, path):
            found.update(_scalars(value))
    return found


def _scalars(value: Any) -> Iterator[str]:
    match value:
        case dict() | list():
            for one in value.values() if isinstance(value, dict) else value:
                yield from _scalars(one)
        case bool() | None:
            pass
        case str() if len(value.strip()) >= LEAST_TEXT:
            yield value.strip().casefold()
        case int() | float() if abs(value) >= LEAST_NUMBER:
            yield str(value)


def said(among: set[str], *spoken: Any) -> bool:
    """Does one of these values stand in what is said: as a text in a text, as a number in whatever form?"""
    numbers = {figure for one in among if _number(one) for figure in figures(one)}
    words = [one for one in among if not _number(one)]
    texts = [text for one in spoken for text in _texts(one)]
    return any(word in text for text in texts for word in words) or any(numbers & figures(text) for text in texts)


def _texts(spoken: Any) -> Iterator[str]:
    match spoken:
        case dict() | list():
            for one in spoken.values() if isinstance(spoken, dict) else spoken:
                yield from _texts(one)
        case str():
            yield spoken.casefold()
        case int() | float() if not isinstance(spoken, bool):
            yield str(spoken)


def _number(text: str) -> bool:
    return text.replace(".", "", 1).lstrip("-").isdecimal()
