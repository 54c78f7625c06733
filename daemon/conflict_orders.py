"""What a person asks at Mai's door about claims that contradict each other: which cases there are, to rule one, to appeal.

Who it was is the unix user at the other end of the socket. What is wrong is refused there, before anything is journaled.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.doors import Role
from mai.agents.shell import now_ms
from mai.daemon.conflicts import clause_of
from mai.daemon.dispute import OPEN, RULED, Case, Stand
from mai.daemon.dispute_records import Ordered
from mai.daemon.door import Caller, Reply
from mai.daemon.operating import text
from mai.sandbox.errors import Refused, UsageFault

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

PAGE: Final = 1_000  # cases that are shown at once
LONGEST_WHY: Final = 500
LIST: Final = "mai conflicts list {}"


def shown(gateway: "Gateway", request: Reply) -> Reply:
    """The cases that are open, those first whose deadline is next; with `all` the settled ones, too; with `case` one, whole."""
    conflicts, name = gateway.decider.state.conflicts, request.get("case")
    if name is not None:
        return {"cases": [_whole(gateway, case) for case in _named(gateway, name)], "left_out": 0}
    wanted = [case for case in conflicts.cases.values() if request.get("all") or case.state == OPEN]
    wanted.sort(key=lambda case: (case.state != OPEN, case.deadline_ms, case.id))
    return {"cases": [_line(gateway, case) for case in wanted[:PAGE]], "left_out": max(0, len(wanted) - PAGE)}


def rule(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> Reply:
    """Rule an open case. Raises Refused, UsageFault; the answer is for after the commit."""
    case, why = _one(gateway, request), _why(request)
    if case.state != OPEN:
        said = f"ruled by {case.ruling.by}" if case.state == RULED and case.ruling else case.state
        raise Refused(
            f"{case.id} is not open: it is {said}", f"a ruling can be appealed against once: mai conflicts appeal {case.id}"
        )
    stand = _side(gateway, case, request.get("claim"))
    if stand.until_ms <= now_ms():
        raise Refused(f"{stand.id} is no longer valid", f"its claims: mai conflicts show {case.id}")
    return _ordered(gateway, Ordered(case.id, stand.id, why, caller.user, caller.uid, role), case)


def appeal(gateway: "Gateway", caller: Caller, request: Reply, role: Role) -> Reply:
    """Appeal against a ruling, once. Raises Refused, UsageFault; the answer is for after the commit."""
    case, why = _one(gateway, request), _why(request)
    if case.state != RULED:
        raise Refused(f"{case.id} has no ruling in force: it is {case.state}", f"what is on record: mai conflicts show {case.id}")
    if case.appealed:
        raise Refused(f"an appeal against this ruling was decided already ({case.id})", "it stands until a claim contradicts it")
    return _ordered(gateway, Ordered(case.id, "", why, caller.user, caller.uid, role), case)


def _ordered(gateway: "Gateway", order: Ordered, case: Case) -> Reply:
    gateway.shell.feed(order)
    return {"case": _whole(gateway, gateway.decider.state.conflicts.cases[case.id])}


# -- which one
def _one(gateway: "Gateway", request: Reply) -> Case:
    return _named(gateway, request.get("case"))[0]


def _named(gateway: "Gateway", name: object) -> list[Case]:
    """The case of this id, or of the one that begins so."""
    hint = f"their ids are in: {LIST.format(gateway.client)}"
    if not isinstance(name, str) or not name:
        raise UsageFault(f"{name!r:.80} is no id of a case", hint)
    cases = gateway.decider.state.conflicts.cases
    if name in cases:
        return [cases[name]]
    found = [case for ident, case in cases.items() if ident.startswith((name, f"case-{name}"))]
    if not found:
        raise Refused(f"{gateway.client} has no case {name:.80}", hint)
    if len(found) > 1:
        raise UsageFault(f"{len(found)} cases begin with {name:.80}", hint)
    return found


def _side(gateway: "Gateway", case: Case, name: object) -> Stand:
    """The claim of this id, or the one of this department's."""
    ours = gateway.decider.state.conflicts.of(case)
    hint = f"for one of: {', '.join(one.id for one in ours)}"
    if not isinstance(name, str) or not name:
        raise UsageFault("it is not said for whom you rule", hint)
    found = [one for one in ours if one.id == name] or [one for one in ours if name in (one.department, one.agent)]
    if not found:
        raise Refused(f"{case.id} has no claim {name:.80}", hint)
    if len({one.digest for one in found}) > 1:
        raise UsageFault(f"{name:.80} has claimed more than one thing in {case.id}", hint)
    return found[0]


def _why(request: Reply) -> str:
    why = text(request, "why", LONGEST_WHY)
    if not why:
        raise UsageFault("it is not said why", "--why: it stays on record, and the departments are told")
    return why


# -- as scripts read it
def _line(gateway: "Gateway", case: Case) -> Reply:
    return {
        "case": case.id, "state": case.state, "subject": case.subject, "attribute": case.attribute, "owner": case.owner,
        "deadline_ms": case.deadline_ms, "opened_ms": case.opened_ms, "appealed": case.appealed,
        "between": list(_departments(gateway.decider.state.conflicts.of(case))),
        "ruling": msgspec.to_builtins(case.ruling) if case.ruling else None,
    }  # fmt: skip


def _departments(stands: Iterable[Stand]) -> dict[str, None]:
    return dict.fromkeys(one.department for one in stands)


def _whole(gateway: "Gateway", case: Case) -> Reply:
    conflicts = gateway.decider.state.conflicts
    waiting = [one.task for one in conflicts.withheld.values() if case.id in one.cases]
    claims: list[Any] = [msgspec.to_builtins(msgspec.structs.asdict(one)) for one in conflicts.of(case)]
    return {
        **_line(gateway, case), "claims": claims, "votes": msgspec.to_builtins(case.votes),
        "precedence": clause_of(gateway.decider, case).name, "waiting": waiting,
        "history": msgspec.to_builtins(case.history), "older_lines": max(0, case.lines - len(case.history)),
    }  # fmt: skip
