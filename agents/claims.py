"""Claims in a department: what its agents conclude, and what was ruled where claims contradicted each other. Pure.

    ctx.conclude → claim, its step, and a `Claim` to Mai, who finds out who contradicts it (daemon/conflicts.py);
                   first its approval, if a policy wants one (approvals.py)
    CaseTold from Mai → ruling.told: until it ends, who concludes the losing value is refused, with the ruling

A claim is named `TASK/STEP`. Two values are the same if their canonical forms are. The department keeps what its agents claim
at present, to show its own board values that do not leave it.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from mai.agents import gates, judging, pleas
from mai.agents.approval_messages import Word
from mai.agents.body import Fields
from mai.agents.canonical import canonical, digest, key
from mai.agents.claim_messages import CaseTold, Claim, Ground
from mai.agents.claim_scope import shown
from mai.agents.decider import Send
from mai.agents.events import Event, Stepped, register
from mai.agents.inputs import Call
from mai.agents.plain import readable
from mai.agents.state import Holds, Ruling, State, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

MOST: Final = 2_000  # claims that a department keeps, and rulings: the oldest make room
LOST: Final = "{} {} = {} lost the case {} to {}: {}"


class Claimed(Event, frozen=True, kw_only=True):
    """A conclusion of an agent about a subject."""

    kind: ClassVar[str] = "claim"
    request: str
    task: str
    agent: str
    subject: str
    attribute: str
    value: Any
    confidence: float
    grounds: tuple[str, ...]  # as the agent names them
    id: str = ""  # task/step; "" of one that is older than conflicts: it stands by itself
    why: str = ""
    from_ms: int = 0
    until_ms: int = 0
    at_ms: int = 0
    found: tuple[Ground, ...] = ()  # where the grounds are


class RulingTold(Event, frozen=True, kw_only=True):
    """Mai has told of a ruling on a claim of this department's, or that one is no longer in force."""

    kind: ClassVar[str] = "ruling.told"
    request: str  # the case
    body: CaseTold
    at_ms: int


register(Claimed, RulingTold)


# -- decide
def conclude(decider: "DepartmentDecider", work: Work, call: Call, now_ms: int) -> list[Event | Send]:
    """An agent concludes something; `call.given` also has "found", where its grounds are, and "times", how long it is valid.

    Of a step that is on record it is the conclusion that was approved.
    """
    given = {name: one for name, one in call.given.items() if name not in ("found", "times")}
    ruling = decider.state.rulings.get(key(given["subject"], given["attribute"]))
    if ruling and ruling.body.until_ms > now_ms and digest(given["value"]) in ruling.body.lost:
        return [_stepped(work, call.n, given, refused=lost(ruling.body, given["value"]))]
    gate = gates.at(decider, work, msgspec.structs.replace(call, given=given), judging.claim_act(decider, work, given, now_ms))
    if gate.waits:
        return gate.events
    if gate.why:
        return [*gate.events, _stepped(work, call.n, given, refused=gate.why)]
    return [*gate.events, *_concluded(decider, work, call, given, now_ms)]


def _concluded(decider: "DepartmentDecider", work: Work, call: Call, given: Fields, now_ms: int) -> list[Event | Send]:
    found: list[Ground] = call.given["found"]
    ident, (from_ms, until_ms) = f"{work.task}/{call.n}", call.given["times"]
    until_ms = until_ms or from_ms + int(decider.mandate.organisation.conflicts.valid_s * 1000)
    claimed = Claimed(
        request=work.request, task=work.task, agent=work.agent, subject=given["subject"], attribute=given["attribute"],
        value=given["value"], confidence=given["confidence"], grounds=tuple(given["grounds"]), id=ident, why=given.get("why", ""),
        from_ms=from_ms, until_ms=until_ms, at_ms=now_ms, found=tuple(found),
    )  # fmt: skip
    step = decider.state.steps.get(work.task, {}).get(call.n)
    word = pleas.word(step.approval if step else None, work.task, call.n)
    send = Send(decider.mai, decider.ident(work, call.n), 0, _claim(decider, claimed, word))
    return [claimed, _stepped(work, call.n, given, value={"claim": ident}), send]


def _claim(decider: "DepartmentDecider", one: Claimed, word: Word | None) -> Claim:
    """What Mai is told of it."""
    open_ = shown(decider.own, decider.scopes, one.subject, one.attribute, one.value)
    texts = open_ and decider.own.leaves.text
    return Claim(
        one.id, one.request, one.task, decider.address(one.agent), one.subject, one.attribute, digest(one.value), one.confidence,
        one.from_ms, one.until_ms, one.at_ms, open_, one.value if open_ else None, one.why if texts else "",
        one.found if open_ else (), tuple(ground.removeprefix("claim:") for ground in one.grounds if ground.startswith("claim:")),
        word,
    )  # fmt: skip


def _stepped(work: Work, n: int, given: Fields, value: Any = None, refused: str = "") -> Stepped:
    return Stepped(
        request=work.request, task=work.task, agent=work.agent, n=n, call="conclude", given=given, value=value,
        refused=readable(refused),
    )  # fmt: skip


def lost(told: CaseTold, value: Any) -> str:
    """Why this cannot be concluded now."""
    won = msgspec.json.encode(told.value).decode() if told.shown else "another value, which is not shown here"
    said = msgspec.json.encode(value).decode()
    return LOST.format(told.subject, told.attribute, said[:200], told.request, won[:200], f"{told.clause}; {told.why}")


def told(decider: "DepartmentDecider", body: CaseTold, now_ms: int) -> list[Event | Send]:
    """Mai tells of a ruling."""
    return [RulingTold(request=body.request, body=body, at_ms=now_ms)]


def valid(state: State, now_ms: int, subject: str, attribute: str) -> list[Fields]:
    """The rulings on a subject that are in force here, for an agent: all of its attributes, or one."""
    told = (ruling.body for ruling in state.rulings.values())
    found = [one for one in told if one.until_ms > now_ms and canonical(one.subject) == canonical(subject)]
    return [
        {
            "case": one.request, "attribute": one.attribute, "shown": one.shown, "value": one.value, "clause": one.clause,
            "why": one.why, "by": one.by, "until_ms": one.until_ms,
        }
        for one in found if attribute in ("", one.attribute)
    ]  # fmt: skip


# -- evolve
def fold(state: State, event: Event, seq: int) -> None:
    """Fold a claim, or a ruling on one."""
    match event:
        case Claimed(id=ident) if ident:
            kept = Holds(event.agent, event.subject, event.attribute, event.value, event.why, event.until_ms, seq)
            _keep(state, "claim", state.claims, ident, kept)
        case RulingTold(body=body):
            name = key(body.subject, body.attribute)
            if body.open:
                if state.rulings.pop(name, None):
                    state.changed("ruled", name, None)
            else:
                _keep(state, "ruled", state.rulings, name, Ruling(body, seq))


def _keep(state: State, noun: str, rows: Any, name: str, row: Any) -> None:
    """The newest last; the oldest makes room."""
    rows.pop(name, None)
    rows[name] = row
    state.changed(noun, name, row)
    if len(rows) > MOST:
        del rows[oldest := next(iter(rows))]
        state.changed(noun, oldest, None)


def load(state: State, claims: dict[str, bytes], rulings: dict[str, bytes]) -> None:
    """From the rows of state; who came first goes first."""
    held = {name: msgspec.json.decode(data, type=Holds) for name, data in claims.items()}
    state.claims.update(sorted(held.items(), key=lambda one: one[1].seq))
    ruled = {name: msgspec.json.decode(data, type=Ruling) for name, data in rulings.items()}
    state.rulings.update(sorted(ruled.items(), key=lambda one: one[1].seq))
