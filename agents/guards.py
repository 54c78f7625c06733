"""Loop guards of a department: the same task to the same agent again, to and fro between two, an agent that wakes itself. Pure.

A chain is what the id of a task says: each task derives from one that waits for it, in this department or, through Mai, in
another. So a department sees by itself what comes back to it; Mai sees the contracts between (daemon/loops.py). Any loop
without an end either has a chain without one, in which a task comes again, or a task that asks the same again and again.

A stop is on record (`guard.stopped`) with its chain, and in the same decision the step or the work that it stops is refused.
"""

from typing import TYPE_CHECKING, ClassVar, Final, Literal, NamedTuple

from mai.agents.body import Fields
from mai.agents.decider import VIA_MAI
from mai.agents.events import Event, register
from mai.agents.inputs import Call
from mai.agents.plain import readable
from mai.agents.state import State, Step, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

Guard = Literal["same", "returns", "repeats", "calls", "hops"]
SHOWN: Final = 12  # links of a chain that a sentence names; the record has all
ORDINALS: Final = {2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth"}


class GuardStopped(Event, frozen=True, kw_only=True):
    """Something went round in circles, and does not go on; what is refused because of it follows."""

    kind: ClassVar[str] = "guard.stopped"
    request: str
    task: str
    agent: str  # whose task it was; "mai": an ask for a contract
    guard: Guard
    chain: tuple[str, ...]  # addresses of agents and names of contracts, in their order; the last is who would have had it
    count: int  # how often, with the one that was stopped
    limit: int
    why: str


register(GuardStopped)


class Link(NamedTuple):
    """One link of a chain: who has what."""

    name: str
    agent: str
    contract: str
    text: str
    input: Fields

    def same(self, other: "Link") -> bool:
        """Is it the same agent with the same task?"""
        return self[1:] == other[1:]


def link(decider: "DepartmentDecider", work: Work, asks: Call | None, receiver: str) -> Link:
    """What a receiver would be given: what is asked, or else the work itself."""
    if asks is None:
        return Link(decider.address(receiver), receiver, work.contract, work.text, work.input)
    return Link(decider.address(receiver), receiver, asks.contract, asks.given["text"], asks.given["input"])


# -- chains
def ancestors(task: str) -> list[str]:
    """The ids that may be of tasks from which this one derives, outermost first, itself last."""
    cuts = [place for place, letter in enumerate(task) if letter == "."]
    return [*(task[:cut] for cut in cuts), task]


def works(state: State, task: str) -> list[Work]:
    """The open works of this department from which one derives, outermost first, itself last."""
    return [work for name in ancestors(task) if (work := state.work.get(name))]


def _asked(state: State, work: Work, below: str) -> str:
    """The contract that a work has asked of Mai, and by which `below` has come back to this department."""
    number, _, _ = below.removeprefix(f"{work.task}{VIA_MAI}").partition(".")
    digits = "".join(letter for letter in number if letter.isdecimal())
    step: Step | None = state.steps.get(work.task, {}).get(int(digits or 0))
    return str(step.given["to"]) if step and step.call == "ask" else work.contract


def named(decider: "DepartmentDecider", chain: list[Work]) -> tuple[str, ...]:
    """A chain in names: agents with code of their own, and the contracts on the way; who only passes on is left out."""
    found: list[str] = []
    for place, work in enumerate(chain):
        if decider.coded(work.agent, work.contract):
            found.append(decider.address(work.agent))
        below = chain[place + 1].task if place + 1 < len(chain) else ""
        if below.startswith(f"{work.task}{VIA_MAI}"):
            found.append(_asked(decider.state, work, below))
    return tuple(found)


# -- the guards
def hop(decider: "DepartmentDecider", work: Work, given: Link) -> GuardStopped | None:
    """What goes round in circles if this work goes on so; None if nothing does."""
    chain, guards = works(decider.state, work.task), decider.mandate.organisation.guards
    before = [one for one in chain if one.agent == given.agent]
    same = 1 + sum((one.contract, one.text, one.input) == (given.contract, given.text, given.input) for one in before)
    if same >= guards.same:
        return _stopped(decider, work, "same", (*named(decider, chain), given.name), (same, guards.same))
    if decider.coded(given.agent, given.contract):
        count = 1 + sum(decider.coded(one.agent, one.contract) for one in before)
        if count >= guards.returns:
            return _stopped(decider, work, "returns", (*named(decider, chain), given.name), (count, guards.returns))
    return None


def repeated(decider: "DepartmentDecider", work: Work, call: Call) -> GuardStopped | None:
    """Has this work asked just that too often?"""
    limit = decider.mandate.organisation.guards.repeats
    steps = decider.state.steps.get(work.task, {}).values()
    count = 1 + sum((step.call, step.given) == (call.call, call.given) for step in steps if step.n != call.n)
    if count < limit:
        return None
    chain = (*named(decider, works(decider.state, work.task)), _to(decider, call))
    return _stopped(decider, work, "repeats", chain, (count, limit))


def called(decider: "DepartmentDecider", work: Work, n: int, given: Fields) -> GuardStopped | None:
    """Has this work called a tool with the same input too often, and had the same of it each time?"""
    limit = decider.mandate.organisation.guards.calls
    steps = decider.state.steps.get(work.task, {})
    if n < limit:
        return None
    before = [step for step in steps.values() if step.done and step.n != n and (step.call, step.given) == ("tool", given)]
    last = before[-1] if before else None
    count = 1 + sum((step.value, step.refused) == (last.value, last.refused) for step in before) if last else 1
    if count < limit:
        return None
    chain = (*named(decider, works(decider.state, work.task)), f"the tool {given['tool']}")
    return _stopped(decider, work, "calls", chain, (count, limit))


def exhausted(decider: "DepartmentDecider", work: Work, to: str) -> GuardStopped | None:
    """Has this work's request no hop left?"""
    if work.hops > 0:
        return None
    chain, limit = works(decider.state, work.task), decider.limits.hops
    return _stopped(decider, work, "hops", (*(decider.address(one.agent) for one in chain), to), (limit, limit))


def _to(decider: "DepartmentDecider", call: Call) -> str:
    if call.call == "escalate":
        return "those above"
    return call.to if call.contract else decider.address(call.to)


def _stopped(
    decider: "DepartmentDecider", work: Work, guard: Guard, chain: tuple[str, ...], counted: tuple[int, int]
) -> GuardStopped:
    count, limit = counted
    return GuardStopped(
        request=work.request, task=work.task, agent=work.agent, guard=guard, chain=chain, count=count, limit=limit,
        why=said(guard, chain, count),
    )  # fmt: skip


# -- in words
def said(guard: Guard, chain: tuple[str, ...], count: int) -> str:
    """The sentence that names the chain: "a → b → a, the third time with the same input"."""
    how = {
        "same": f"the {ordinal(count)} time with the same input",
        "returns": f"the {ordinal(count)} time that it comes back",
        "repeats": f"the {ordinal(count)} time that one task asks for the same",
        "calls": f"the {ordinal(count)} time with the same input, and it has given the same each time",
        "hops": f"the request was handed on {count} times, which is its limit",
    }[guard]
    return readable(f"it goes round in circles: {path(chain)}, {how}" if guard != "hops" else f"{how}: {path(chain)}")


def path(chain: tuple[str, ...]) -> str:
    """A chain as people read it; of a long one the end."""
    return "… → " * (len(chain) > SHOWN) + " → ".join(chain[-SHOWN:])


def ordinal(count: int) -> str:
    """third, 21st."""
    last = {1: "st", 2: "nd", 3: "rd"}.get(count % 10 if count % 100 not in (11, 12, 13) else 0, "th")
    return ORDINALS.get(count, f"{count}{last}")
