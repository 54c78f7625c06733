"""All contracts that a process knows of, compiled: what is wrong with the values of a request or a reply. Pure."""

from mai.agents.body import Fields
from mai.agents.fields import Shape
from mai.agents.organisation import Organisation


class Contracts:
    """The shapes of the contracts in one process's mandate, each compiled when it is first needed."""

    def __init__(self, organisation: Organisation) -> None:
        self._declared = {
            (f"{department.name}.{contract.name}", side): fields
            for department in organisation.departments
            for contract in department.contracts
            for side, fields in (("request", contract.request), ("reply", contract.reply))
        }
        self._shapes: dict[tuple[str, str], Shape] = {}

    def fault(self, contract: str, side: str, values: Fields) -> str:
        """What is wrong with the values of a contract's `request` or `reply`, in one sentence; "" if they fit."""
        key = (contract, side)
        if key not in self._declared:
            return f"there is no contract {contract}"
        if key not in self._shapes:
            self._shapes[key] = Shape(self._declared[key], f"the {side} of {contract}")
        return self._shapes[key].fault(values)
