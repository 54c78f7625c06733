"""How a board without code decides about a call: by its department's rules, the first that matches; else it is undecided. Pure.

The department decides so (approvals.py), and Mai once more of what comes to her (daemon/vouching.py): both by the same rules, the
same act and the same moment, that in which the approval was asked for.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from mai.agents.clock import Offsets
from mai.agents.comparisons import comparisons
from mai.agents.organisation import Department
from mai.agents.plain import readable
from mai.agents.policies import Act, Clause, matches, unsure
from mai.agents.policy_scope import widened

NONE: Final = "the board has neither code nor a model nor rules"
SILENT: Final = "no rule of the board says anything of it"


class Decided(NamedTuple):
    """What a board says by rule: approve, deny, person; "" if it is undecided."""

    word: str
    note: str


def decide(own: Department, offsets: Offsets, act: Act) -> Decided:
    """What the board of this department says of an act."""
    if not own.rules:
        return Decided("person", NONE)
    for rule, clause in zip(own.rules, _clauses(own), strict=True):
        if matches(clause, act, offsets):
            return Decided(rule.decision, readable(f"by the rule {rule.name}{': ' * bool(rule.why)}{rule.why}"))
    return Decided("", SILENT)


def hangs_on(own: Department, offsets: Offsets, act: Act, field: str) -> bool:
    """Does it depend on this field of an act, which is not known here, what the board says of it?"""
    return unsure(_clauses(own), act, offsets, field)


def _clauses(own: Department) -> Iterator[Clause]:
    """The rules, ready to be held against acts."""
    return (Clause(rule.name, widened(rule.policy(), own.name), tuple(comparisons(rule.when))) for rule in own.rules)
