"""What the policies of an organisation file say of one call, and why: for `mai policy explain`. Nothing has to run."""

import datetime
import time
from typing import Any

import msgspec

from mai.agents import by_rule
from mai.agents.clock import wall
from mai.agents.comparisons import Truth
from mai.agents.faults import nearest
from mai.agents.organisation import Department, Organisation
from mai.agents.policies import Act, Clause, Code, Ruling, What, code_of, concerns, judge, settled, truths
from mai.agents.table import Table
from mai.sandbox.errors import UsageFault

SAYS: dict[Truth, str] = {True: "holds", False: "does not hold", None: "cannot be told"}


class Line(msgspec.Struct, frozen=True):
    """One policy that concerns who acts, and whether it matches."""

    policy: str
    verdict: str
    matches: bool
    why: tuple[str, ...]  # each comparison and what it says; or why the call is none that it is about


class Explained(msgspec.Struct, frozen=True):
    """The verdict, and the policies in the order in which they are asked, up to the one that decides."""

    verdict: str
    policy: str  # "" if none matches
    why: str
    digest: str
    at: str  # on the organisation's clock
    policies: tuple[Line, ...]
    board: str = ""  # what the board says by rule, if it has to


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about: by whom, of what, with what."""

    agent: str  # client/department/agent, or client/client
    name: str
    what: What | None = None  # None: as the name says
    given: dict[str, Any] = {}
    requester: str = "client"
    subject: str = ""
    at: str = ""  # 2026-03-02 14:00, by the organisation's clock; "": now


def explain(organisation: Organisation, call: Call) -> Explained:
    """What would be said of it. Raises UsageFault where there is no such agent or call."""
    act = _act(organisation, call)
    code = code_of(organisation, act.department)
    ruling = judge(code, act)
    lines = []
    for clause in code.clauses:
        lines.append(_line(code, clause, act))
        if lines[-1].matches:
            break
    now = wall(code.offsets, act.at_ms)
    at = f"{now.weekday} {now.date} {now.time}"
    if act.what == "contract" and not (open_ := Table(organisation).contract(act.department, act.name)).allowed:
        return Explained("deny", "", f"{open_.rule}; no policy can change that", ruling.digest, at, ())
    board = _by_rule(organisation, act) if ruling.verdict == "board" else ""
    return Explained(ruling.verdict, ruling.clause, ruling.why or _allowed(ruling), ruling.digest, at, tuple(lines), board)


def _by_rule(organisation: Organisation, act: Act) -> str:
    """What the board that has to approve it says by the rules of its department; "" if it has code."""
    own = organisation.department(act.department)
    if own is None or own.board.kind:
        return ""
    said = by_rule.decide(own, organisation.offsets, act)
    return f"{said.word or 'undecided'}: {said.note}"


def _allowed(ruling: Ruling) -> str:
    return f"by the policy {ruling.clause}" if ruling.clause else "no policy matches, and it has no effect that needs one"


def _line(code: Code, clause: Clause, act: Act) -> Line:
    policy = clause.policy
    if not concerns(policy, act):
        return Line(clause.name, policy.verdict, False, ("is about other calls, or about others",))
    found = truths(clause, act, code.offsets)
    matches = all(settled(policy, truth) for truth in found)
    said = tuple(f"{one}: {_says(truth, policy.verdict)}" for one, truth in zip(clause.when, found, strict=True))
    return Line(clause.name, policy.verdict, matches, said or ("always",))


def _says(truth: Truth, verdict: str) -> str:
    if truth is None:
        return f"{SAYS[truth]}, which {'is not enough to allow it' if verdict == 'allow' else 'counts as if it did'}"
    return SAYS[truth]


# -- who and what
def _act(organisation: Organisation, call: Call) -> Act:
    client, _, rest = call.agent.partition("/")
    name, _, agent = rest.partition("/")
    if client not in organisation.clients:
        raise UsageFault(f"there is no client {client!r:.60}", nearest(client, organisation.clients, "the clients"))
    common: dict[str, Any] = {"arguments": call.given, "requester": call.requester, "subject": call.subject}
    common["at_ms"] = _at_ms(organisation, call.at)
    if rest == "client":
        return Act(what="contract", name=_contract(organisation, call.name), department=rest, agent=rest, rank=rest, **common)
    department = organisation.department(name)
    if department is None:
        known = [one.name for one in organisation.departments]
        raise UsageFault(f"there is no department {name!r:.60}", nearest(name, known, "the departments"))
    found = department.agent(agent)
    if found is None:
        known = [one.name for one in department.agents]
        raise UsageFault(f"{name} has no agent {agent!r:.60}", nearest(agent, known, f"the agents of {name}"))
    by: dict[str, Any] = {"department": name, "agent": agent, "rank": found.rank, **common}
    what = call.what or ("contract" if _is_contract(organisation, call.name) else "tool")
    if what == "claim":
        return Act(what="claim", name=call.name, **by)
    if what == "contract":
        return Act(what="contract", name=_contract(organisation, call.name), **by)
    return _tool(department, call.name, found.tools, by)


def _tool(department: Department, name: str, scope: tuple[str, ...], by: dict[str, Any]) -> Act:
    word = name.removeprefix(f"{department.name}.")
    tool = next((one for one in department.tools if one.name == word), None)
    if tool is None or word not in scope:
        raise UsageFault(f"{by['agent']} has no tool {word!r:.60}", nearest(word, scope, "its tools"))
    return Act(what="tool", name=f"{department.name}.{word}", effect=tool.effect, **by)


def _is_contract(organisation: Organisation, name: str) -> bool:
    department, _, word = name.partition(".")
    found = organisation.department(department)
    return found is not None and found.contract(word) is not None


def _contract(organisation: Organisation, name: str) -> str:
    if not _is_contract(organisation, name):
        known = [f"{one.name}.{contract.name}" for one in organisation.departments for contract in one.contracts]
        raise UsageFault(f"there is no contract {name!r:.60}", nearest(name, known, "the contracts"))
    return name


def _at_ms(organisation: Organisation, text: str) -> int:
    if not text:
        return int(time.time() * 1000)
    try:
        second = int(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp())
    except ValueError:
        raise UsageFault(f"{text!r:.60} is no time", 'write it as "2026-03-02 14:00"') from None
    for _, offset in sorted(organisation.offsets, reverse=True):  # which offset holds then, by the clock that has it
        if wall(organisation.offsets, (second - offset) * 1000).time == text[11:16].ljust(5, "0"):
            return (second - offset) * 1000
    return second * 1000


# -- for people
def render(found: Explained) -> str:
    """The verdict, and below it the policies up to the one that decides."""
    rows = [(line.policy, line.verdict, "yes" if line.matches else "no", "; ".join(line.why)) for line in found.policies]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    table = ["  " + "  ".join((*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3])) for row in rows]
    board = [f"the board says {found.board}"] if found.board else []
    return "\n".join([f"{found.verdict}: {found.why} ({found.at})", *table, *board])
