"""What of a claim may leave its department. Pure."""

from typing import Any

from mai.agents.body import Fields
from mai.agents.data_scope import Scopes
from mai.agents.leaves import covered, declared, paths, tells_of, withheld_by
from mai.agents.organisation import Department


def shown(own: Department, scopes: Scopes, subject: str, attribute: str, value: Any) -> bool:
    """May others see this value? A field of this name leaves in some reply or is listed, nothing in it is withheld."""
    leaves = scopes.leaves(own.name)
    if leaves.subjects and not tells_of(leaves.subjects, subject):
        return False
    inside = [(attribute,), *(path for path, _ in paths(value, (attribute,)))]
    if any(withheld_by(leaves.withheld, path) for path in inside):
        return False
    if leaves.fields:
        return covered(leaves.fields, (attribute,))
    return any(attribute == path[-1] for contract in own.contracts for path, _ in declared(contract.reply))


def for_persons(own: Department, scopes: Scopes, call: str, given: Any) -> Any:
    """What persons at Mai are shown of a call that they decide about: of a claim no more than what may leave."""
    if call != "conclude":
        return given["input"]
    open_ = shown(own, scopes, given["subject"], given["attribute"], given["value"])
    told: Fields = {name: given[name] for name in ("subject", "attribute", "confidence")}
    if open_:
        told["value"] = given["value"]
    return told | ({"why": given["why"]} if open_ and own.leaves.text and "why" in given else {})
