"""What must hold of policies: each rule yields what breaks it, as those of rules.py do.

Whom and what a policy is about exists, its comparisons are of the right types and can hold, it is not hidden behind another, and
there is no tool with an effect that can never be allowed.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mai.agents import carrying, comparison_rules, healing, takes
from mai.agents.comparisons import WORDS, Comparison, comparisons, fits
from mai.agents.faults import nearest, shown
from mai.agents.lines import KeyPath
from mai.agents.organisation import Department
from mai.agents.policies import code_of
from mai.agents.policy_scope import Policy, widened
from mai.agents.table import Table
from mai.agents.takes import Taken

if TYPE_CHECKING:
    from mai.agents.rules import Scene

Broken = Iterator[tuple[KeyPath, str, str]]
OPTIONS: Final = (("four_eyes", ("board", "person")), ("expires_s", ("board", "person")), ("approvers", ("person",)))
CLAIM: Final[Taken] = {"attribute": "text", "value": "any"}
ABOUT: Final = 'expected tools = ["…"], contracts = ["…"] or claims = ["…"]'
ALLOWS: Final = 'below [[departments.{}.policies]]: name = "…", verdict = "allow", tools = ["{}"]'
NOUNS: Final = {"tools": "a tool", "contracts": "a contract", "departments": "a department", "agents": "an agent"}
CLIENT: Final = "client/client"


class Rule(NamedTuple):
    """A policy with all that it is about."""

    policy: Policy  # as the organisation would write it
    where: KeyPath
    label: str
    when: list[Comparison]
    who: frozenset[str]  # addresses of agents, and the client's
    what: dict[str, Taken]  # "tool support.refund" -> what it takes


class World:
    """All tools, contracts and agents of the organisation, as policies name them."""

    def __init__(self, scene: "Scene") -> None:
        self.scene, organisation = scene, carrying.equipped(healing.equipped(scene.organisation))
        self.tools: dict[str, Taken] = {}
        self.contracts: dict[str, Taken] = {}
        self.ranks: dict[str, str] = {CLIENT: "client"}  # address -> rank
        self.uses: dict[str, set[str]] = {}  # tool -> addresses
        for department in organisation.departments:
            self.contracts |= {f"{department.name}.{one.name}": takes.of_contract(one) for one in department.contracts}
            self.tools |= {f"{department.name}.{one.name}": takes.of_tool(one, scene.sources) for one in department.tools}
            self._people(department)
        self.open_to = {name: set(Table(organisation).open_to(name)) for name in (*scene.departments, "client")}

    def _people(self, department: Department) -> None:
        name = department.name
        ranks = {rank: rank for rank in ("board", "coordinator") if not any(one.rank == rank for one in department.agents)}
        ranks |= {one.name: one.rank for one in department.agents}
        self.ranks |= {f"{name}/{one}": rank for one, rank in ranks.items()}
        for agent in department.agents:
            for tool in agent.tools:
                self.uses.setdefault(f"{name}.{tool}", set()).add(f"{name}/{agent.name}")

    def rule(self, policy: Policy, where: KeyPath, owner: str) -> Rule:
        """A policy of the organisation ("") or of a department."""
        wide = widened(policy, owner) if owner else policy
        who = {
            address
            for address, rank in self.ranks.items()
            if (not owner or address.partition("/")[0] == owner)
            and (not wide.departments or address.partition("/")[0] in wide.departments)
            and (not wide.ranks or rank in wide.ranks)
            and (not wide.agents or address in wide.agents)
        }
        what = {f"tool {name}": taken for name, taken in self.tools.items() if any(fits(one, name) for one in wide.tools)}
        what |= {f"contract {name}": one for name, one in self.contracts.items() if any(fits(p, name) for p in wide.contracts)}
        what |= {f"claim {name}": CLAIM for name in wide.claims}
        label = f"the policy {policy.name}" + (f" of {owner}" if owner else "")
        return Rule(wide, where, label, comparisons(policy.when), frozenset(who), what)


# -- the rules
def policies_can_decide(scene: "Scene") -> Broken:
    """All that must hold of all policies."""
    world = World(scene)
    general = _rules(world, scene.organisation.policies, ("policies",), "")
    yield from list_of(scene, world, general, "")
    for department in scene.organisation.departments:
        where: KeyPath = ("departments", department.name)
        if not scene.findings.sound(where):
            continue
        own = _rules(world, department.policies, (*where, "policies"), department.name)
        yield from list_of(scene, world, own, department.name)
        if not _faulty(scene):
            yield from hidden(own, general)
            yield from _never_allowed(scene, world, department, where)
    if not _faulty(scene):
        yield from hidden(general, [])


def _rules(world: World, policies: Sequence[Policy], where: KeyPath, owner: str) -> list[Rule]:
    return [world.rule(policy, (*where, index), owner) for index, policy in enumerate(policies)]


def _faulty(scene: "Scene") -> bool:
    """Is there a faulty policy? Then it is not known which hides which."""
    return any("policies" in path for path in scene.findings.known())


def list_of(scene: "Scene", world: World, rules: list[Rule], owner: str) -> Broken:
    """What breaks one of them by itself; `owner`: the department that has them, "" for the organisation."""
    seen: set[str] = set()
    for rule in rules:
        if not scene.findings.sound(rule.where):
            continue
        if rule.policy.name in seen:
            yield (
                (*rule.where, "name"),
                f"{owner or 'the organisation'} has two policies named {rule.policy.name}",
                "name one otherwise",
            )
        seen.add(rule.policy.name)
        about = list(_about(world, rule, owner))
        yield from about
        yield from _options(rule)
        if not about:
            yield from _compares(rule)


def _about(world: World, rule: Rule, owner: str) -> Broken:
    """Whom and what it is about exists."""
    policy, where, label = rule.policy, rule.where, rule.label
    if not (policy.tools or policy.contracts or policy.claims):
        yield where, f"{label} is about nothing", ABOUT
    if owner and policy.departments:
        yield (*where, "departments"), f"{label} names departments, and is of one", "leave the key out"
    strange = list(_strange(world, rule, owner))
    yield from strange
    if strange:
        return
    if not rule.who:
        yield (
            where,
            f"{label} is about nobody: no agent is in all that it names",
            "its departments, ranks and agents must all fit",
        )
    elif policy.tools and not (policy.claims or policy.contracts or _users(world, rule) or world.scene.findings.known()):
        yield (
            (*where, "tools"),
            f"{label} is about nobody: none of those whom it names has such a tool",
            "the agents list their tools",
        )


def _strange(world: World, rule: Rule, owner: str) -> Broken:
    """Whom and what it names, and there is not."""
    policy, where, label, own = rule.policy, rule.where, rule.label, f"{owner}." * bool(owner)
    yield from _exist(label, policy.tools, [tool for tool in world.tools if tool.startswith(own)], (*where, "tools"), own)
    contracts = world.open_to[owner] if owner else world.contracts
    yield from _exist(label, policy.contracts, sorted(contracts), (*where, "contracts"))
    if not owner:
        yield from _exist(label, policy.departments, [*world.scene.departments, "client"], (*where, "departments"))
    own = own.replace(".", "/")
    agents = [agent for agent in world.ranks if agent.startswith(own) and agent != CLIENT]
    yield from _exist(label, policy.agents, agents, (*where, "agents"), own)


def _users(world: World, rule: Rule) -> bool:
    return any(rule.who & world.uses.get(name.removeprefix("tool "), set()) for name in rule.what)


def _exist(label: str, named: Sequence[str], known: Sequence[str], where: KeyPath, prefix: str = "") -> Broken:
    """Each is one of those that there are, or a pattern that fits some."""
    key = str(where[-1])
    for index, one in enumerate(named):
        if not any(fits(one, name) for name in known):
            word, short = one.removeprefix(prefix), [name.removeprefix(prefix) for name in known]
            yield (
                (*where, index),
                f"{label} is about {NOUNS[key]} {shown(word)}, which there is not",
                nearest(word, short, f"the {key}"),
            )


def _options(rule: Rule) -> Broken:
    """What is said of approvals is said where there are some."""
    for key, verdicts in OPTIONS:
        default = getattr(Policy(name="x", verdict="deny"), key)
        if getattr(rule.policy, key) != default and rule.policy.verdict not in verdicts:
            yield (
                (*rule.where, key),
                f"{rule.label} has {key}, and its verdict is {rule.policy.verdict}",
                f"it is for the verdict {' or '.join(verdicts)}",
            )


# -- comparisons
def _compares(rule: Rule) -> Broken:
    """Each is one, of a field that there is, with what it can be compared with; and all of them can hold."""
    at = (*rule.where, "when")
    found = [(path, f"{rule.label}: {sentence}", hint) for path, sentence, hint in comparison_rules.flaws(rule.policy.when)]
    found += [flaw for one in rule.when for flaw in _compared(rule, one)]
    yield from (((*at, *path), sentence, hint) for path, sentence, hint in found)
    if not found and (field := comparison_rules.impossible(rule.when)):
        yield at, f"{rule.label} can never match: nothing is all that it says of {field}", "take one of the comparisons out"


def _compared(rule: Rule, one: Comparison) -> Iterator[comparison_rules.Flaw]:
    path = (*one.path, one.operator)
    if expected := comparison_rules.unsound(one):
        yield path, f"{rule.label}: {one.field} {one.operator} {shown(one.constant)}, expected {expected}", ""
        return
    for name, taken in rule.what.items():
        if comparison_rules.ambiguous(one.path):
            kind = comparison_rules.WORD_KINDS[one.path[0]]
            if one.path == ("confidence",) and not name.startswith("claim "):
                yield one.path, f"{rule.label}: {name} has no confidence", "claims have: name them in a policy of their own"
                return
            if taken is not None and one.path[0] in taken:
                hint = f"write input.{one.field}; {one.field} alone is what the call has beside its arguments"
                yield one.path, f"{rule.label}: {name} takes an argument {one.field}, and it is not clear what is meant", hint
                return
        else:
            kind = takes.kind_at(taken, one.path)
        if not kind:
            known = [*(taken or ()), *(word for word in WORDS if word != "confidence")]
            yield one.path, f"{rule.label}: {name} takes no {one.field}", nearest(one.path[0], known, "it takes")
            return
        if why := comparison_rules.unfit(one, kind):
            yield path, f"{rule.label}: {one.field} {one.operator} {shown(one.constant)}, and {one.field} of {name} is {why}", ""
            return


# -- which hides which
def hidden(rules: list[Rule], before: list[Rule]) -> Broken:
    """One that another always decides first."""
    earlier = list(before)
    for rule in rules:
        for other in earlier:
            if covers(other, rule):
                yield rule.where, f"{rule.label} never decides: {other.label} does first, wherever it would", _order(other, rule)
                break
        earlier.append(rule)


def _order(other: Rule, rule: Rule) -> str:
    return "put it before that one" if other.where[:-1] == rule.where[:-1] else "the organisation's policies come first"


def covers(one: Rule, other: Rule) -> bool:
    """Does the first match whatever the second matches?"""
    if not other.who <= one.who or not all(_named(one, name) for name in other.what):
        return False
    if one.when and one.policy.verdict == "allow" != other.policy.verdict:
        return False  # where a value is missing the second may match, and the first does not
    return all(comparison_rules.implied(comparison, other.when) for comparison in one.when)


def _named(rule: Rule, name: str) -> bool:
    kind, _, word = name.partition(" ")
    return name in rule.what or (kind == "claim" and any(fits(pattern, word) for pattern in rule.policy.claims))


def _never_allowed(scene: "Scene", world: World, department: Department, where: KeyPath) -> Broken:
    """A tool with an effect can be allowed to somebody who has it, at once or when somebody has approved."""
    clauses = [clause.policy for clause in code_of(scene.organisation, department.name).clauses]
    for index, tool in enumerate(department.tools):
        at, name = (*where, "tools", index), f"{department.name}.{tool.name}"
        users = world.uses.get(name, set())
        if tool.effect == "none" or not users or not scene.findings.sound(at, "effect", "name"):
            continue
        if not any(_may(clauses, name, user, world.ranks.get(user, "")) for user in users):
            hint = ALLOWS.format(department.name, tool.name)
            yield at, f"the tool {tool.name} of {department.name} has an effect, and no policy can ever allow it", hint


def _may(policies: list[Policy], tool: str, user: str, rank: str) -> bool:
    for policy in policies:
        about = any(fits(one, tool) for one in policy.tools) and (not policy.agents or user in policy.agents)
        if about and (not policy.ranks or rank in policy.ranks):
            if policy.verdict != "deny":
                return True
            if not policy.when:
                return False
    return False
