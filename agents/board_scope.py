"""Rules by which a board without code decides about calls that wait for it: `[[departments.NAME.rules]]`. Pure."""

from typing import Literal

from msgspec import field

from mai.agents.parts import Part, Word
from mai.agents.policy_scope import Policy, Verdict, When

Decision = Literal["approve", "deny", "person"]
VERDICTS: dict[Decision, Verdict] = {
    "approve": "allow",
    "deny": "deny",
    "person": "person",
}  # which policy matches as the rule does


class Rule(Part, frozen=True, kw_only=True):
    """One of them: the first that matches decides. It names the department's own tools and agents, as a policy of its does."""

    name: Word
    decision: Decision
    tools: tuple[str, ...] = ()
    contracts: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    ranks: tuple[Literal["board", "coordinator", "specialist", "operator"], ...] = ()
    agents: tuple[str, ...] = ()
    when: When = field(default_factory=dict)
    why: str = ""

    def policy(self) -> Policy:
        """The policy that matches what this matches: what is not known never approves, and never keeps a denial away."""
        return Policy(
            name=self.name, verdict=VERDICTS[self.decision], tools=self.tools, contracts=self.contracts, claims=self.claims,
            ranks=self.ranks, agents=self.agents, when=self.when, why=self.why,
        )  # fmt: skip
