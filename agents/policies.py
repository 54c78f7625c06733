"""Policies: what may be done, what is forbidden, and what waits for the board or for a person. Pure.

    rule = judge(code, act)

The organisation's policies come before the department's, each in the order of the file, and the first that matches decides: so
a department cannot allow what the organisation denies. What no policy matches is denied if it has an effect, and else allowed.
Where a comparison can say nothing (a value is missing or of another type) a policy that allows does not match, and one that
denies, or waits for somebody, does: what is not known is never allowed by that.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple

import msgspec

from mai.agents.clock import Offsets, wall
from mai.agents.comparisons import INPUT, Comparison, Truth, comparisons, fits, holds
from mai.agents.organisation import Mandate, Organisation
from mai.agents.policy_scope import Policy, Verdict, concerning, widened
from mai.agents.remedies import PREFIX

What = Literal["tool", "contract", "claim"]
LISTS: Final[dict[What, str]] = {"tool": "tools", "contract": "contracts", "claim": "claims"}  # the key that names them
UNMATCHED: Final = "no policy allows it"


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody is about to do."""

    what: What
    name: str  # "support.refund", "sales.order"; of a claim its attribute
    department: str  # of the agent; "client" if the client asks for a contract
    agent: str  # its name there
    rank: str
    effect: str = "none"  # of a tool
    requester: str = ""  # for whom: "client", a department, "mai", or whom a channel names
    subject: str = ""  # of whom or what: "customer/4711"
    arguments: dict[str, Any] = {}  # a tool's input, a contract's request, a claim's fields
    at_ms: int = 0


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What the policies say of an act."""

    verdict: Verdict
    clause: str = ""  # the policy that decides: "support.small_refunds", of the organisation's "night"; "" if none matched
    digest: str = ""  # of all policies that concern who acts
    why: str = ""  # one sentence
    four_eyes: bool = False
    expires_s: float = 0.0
    approvers: str = "operator"

    @property
    def allowed(self) -> bool:
        """May it be done at once?"""
        return self.verdict == "allow"


class Clause(NamedTuple):
    """A policy, ready to be held against acts."""

    name: str
    policy: Policy
    when: tuple[Comparison, ...]


class Code(NamedTuple):
    """All policies that concern the agents of one department, in the order in which they are asked, and their digest."""

    clauses: tuple[Clause, ...]
    offsets: Offsets
    digest: str


# -- the policies of a department
def code_of(source: Organisation | Mandate, department: str) -> Code:
    """What holds for the agents of a department, or for "client". The same from a department's mandate as from Mai's."""
    organisation = source.organisation if isinstance(source, Mandate) else source
    general = concerning(organisation.policies, department)
    found = organisation.department(department)
    own = found.policies if found else ()
    clauses = (
        *(_clause(policy.name, policy) for policy in general),
        *(_clause(f"{department}.{policy.name}", widened(policy, department)) for policy in own),
    )
    said = msgspec.json.encode((general, own, organisation.offsets), order="deterministic")
    return Code(clauses, organisation.offsets, hashlib.sha256(said).hexdigest()[:16])


def _clause(name: str, policy: Policy) -> Clause:
    return Clause(name, policy, tuple(comparisons(policy.when)))


# -- judging
def judge(code: Code, act: Act, *, certain: bool = False) -> Ruling:
    """What is said of an act: by the first policy that matches, else by whether it has an effect.

    `certain`: only comparisons that are known to hold count, also in policies that do not allow.
    """
    for clause in code.clauses:
        if matches(clause, act, code.offsets, certain=certain):
            return _ruling(clause, act, code.digest)
    return unmatched(act, code.digest)


def _ruling(clause: Clause, act: Act, digest: str) -> Ruling:
    policy = clause.policy
    return Ruling(
        verdict=policy.verdict, clause=clause.name, digest=digest, why=said(policy.verdict, act, clause.name, policy.why),
        four_eyes=policy.four_eyes, expires_s=policy.expires_s, approvers=policy.approvers,
    )  # fmt: skip


def unmatched(act: Act, digest: str) -> Ruling:
    """What no policy matches. The remedies of healing are allowed by `[operations]`, which names and bounds them."""
    if act.what != "tool" or act.effect == "none" or act.name.partition(".")[2].startswith(PREFIX):
        return Ruling(verdict="allow", digest=digest)
    return Ruling(verdict="deny", digest=digest, why=f"{act.agent} may not use {act.name}: {UNMATCHED}, and it has an effect")


DOES: Final[dict[What, str]] = {"tool": "use", "contract": "ask for", "claim": "conclude"}
SAYS: Final[dict[Verdict, str]] = {
    "allow": "",
    "deny": "{agent} may not {does} {name}: the policy {clause} denies it",
    "board": "{name} needs the board's approval: the policy {clause}",
    "person": "{name} needs a person's approval: the policy {clause}",
}


def said(verdict: Verdict, act: Act, clause: str, why: str = "") -> str:
    """A ruling in one sentence; "" where it allows."""
    sentence = SAYS[verdict].format(agent=act.agent, does=DOES[act.what], name=act.name, clause=clause)
    return f"{sentence} ({why})" if sentence and why else sentence


def matches(clause: Clause, act: Act, offsets: Offsets, *, certain: bool = False) -> bool:
    """Is this the act that the policy is about, and do its comparisons hold?"""
    if not concerns(clause.policy, act):
        return False
    return all(truth is True if certain else settled(clause.policy, truth) for truth in truths(clause, act, offsets))


def unsure(clauses: Iterable[Clause], act: Act, offsets: Offsets, field: str) -> bool:
    """Does it depend on this field of an act, which is not known here, which clause is the first that matches?"""
    for clause in clauses:
        known = clause._replace(when=tuple(one for one in clause.when if _field(one) != field))
        if matches(known, act, offsets):
            return known.when != clause.when
    return False


def _field(one: Comparison) -> str:
    """The argument that is compared."""
    return one.path[1] if one.path[0] == INPUT and len(one.path) > 1 else one.path[0]


def settled(policy: Policy, truth: Truth) -> bool:
    """Does a comparison count as holding? One that says nothing does, unless the policy allows something."""
    return policy.verdict != "allow" if truth is None else truth


def truths(clause: Clause, act: Act, offsets: Offsets) -> list[Truth]:
    """What each comparison of a policy says of an act."""
    at = wall(offsets, act.at_ms)
    words = {
        "at": at.time, "weekday": at.weekday, "requester": act.requester or None, "subject": act.subject or None,
        "confidence": act.arguments.get("confidence") if act.what == "claim" else None,
    }  # fmt: skip
    return [holds(one, words, act.arguments) for one in clause.when]


def concerns(policy: Policy, act: Act) -> bool:
    """Is this what the policy is about, done by one whom it is about?"""
    named = getattr(policy, LISTS[act.what])
    return (
        any(fits(one, act.name) for one in named)
        and (not policy.departments or act.department in policy.departments)
        and (not policy.ranks or act.rank in policy.ranks)
        and (not policy.agents or f"{act.department}/{act.agent}" in policy.agents)
    )
