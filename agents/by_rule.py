"""How a board without code decides about a call: by its department's rules, the first that matches; else it is undecided. Pure.

The department decides so (approvals.py), and Mai once more of what comes to her (daemon/vouching.py): both by the same rules, the
same act and the same moment, that in which the approval was asked for.
"""

from typing import Final, NamedTuple

from mai.agents.clock import Offsets
from mai.agents.comparisons import comparisons
from mai.agents.organisation import Department
from mai.agents.plain import readable
from mai.agents.policies import Act, Clause, matches
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
    for rule in own.rules:
        policy = widened(rule.policy(), own.name)
        if matches(Clause(rule.name, policy, tuple(comparisons(rule.when))), act, offsets):
            return Decided(rule.decision, readable(f"by the rule {rule.name}{': ' * bool(rule.why)}{rule.why}"))
    return Decided("", SILENT)


def compares(own: Department, field: str) -> bool:
    """Does a rule of it look at this argument?"""
    return any(field in one.path for rule in own.rules for one in comparisons(rule.when))
