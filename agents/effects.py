"""Effects in doubt: what is put on record of them, what a person is asked, and what becomes of the step. Pure.

Each intent has one outcome: the step's result, or that nobody knows. What is `idempotent` is repeated with the same key, a
`queryable` effect is asked by its key; of an `opaque` one a person has to say whether it happened, and until then the step
stays open and its task waits. Of an intent whose task ends first it is on record that nobody knows. Where it is idempotent
no person is asked: whoever wants it can have it done again.
"""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.body import Fields
from mai.agents.decider import Send
from mai.agents.events import EffectIntent, EffectQueried, EffectResolved, EffectUnknown, Event, Stepped
from mai.agents.order_messages import Doubt, Resolve
from mai.agents.plain import readable
from mai.agents.state import Approving, State, Step, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

AGAIN: Final = "r"  # in the id of what is asked through Mai again: behind it, how often
CLASSES: Final = ("none", "idempotent", "queryable", "opaque")  # each may be repeated less freely than the one before
ONCE: Final = ("queryable", "opaque")  # not simply repeated
SHOWN_BYTES: Final = 16 << 10  # of a value that a person is told
LONGEST: Final = 500  # characters of why it is in doubt


def stricter(recorded: str, declared: str) -> str:
    """The class that counts for a call in doubt: as it was on record or as the organisation says now, whichever is stricter."""
    return max(recorded or "none", declared, key=CLASSES.index)


# -- decide
def doubt(decider: "DepartmentDecider", work: Work, n: int, why: str, *, ended: bool = False) -> list[Event | Send]:
    """The step's effect is in doubt: on record, and told to a person unless it may be repeated."""
    step = decider.state.steps.get(work.task, {}).get(n)
    if step is None or step.done or step.doubt or step.free or not step.key:
        return []
    why = readable(why, LONGEST)
    unknown = EffectUnknown(
        request=work.request, task=work.task, agent=work.agent, n=n, key=step.key, tool=step.tool,
        effect=step.effect, given=step.called, at_ms=step.at_ms, why=why,
    )  # fmt: skip
    if ended and step.effect == "idempotent":
        return [unknown]
    return [unknown, _told(decider, work, step, why, ended=ended)]


def _told(decider: "DepartmentDecider", work: Work, step: Step, why: str, *, ended: bool, known: bool = False) -> Send:
    body = Doubt(
        step.key, work.request, work.task, decider.address(work.agent), step.tool, step.effect, cut(step.given["input"]),
        step.at_ms, why, step.count, work.deadline_ms, ended, known,
    )  # fmt: skip
    return Send(decider.mai, f"{step.key}?{step.count}{'.' * ended}", 0, body)


def cut(value: Any) -> Any:
    """A value as a person is told it: of a long one the beginning of its JSON. The department's journal has it whole."""
    data = msgspec.json.encode(value)
    return value if len(data) <= SHOWN_BYTES else data[:SHOWN_BYTES].decode(errors="replace") + f" … ({len(data)} bytes)"


def left(decider: "DepartmentDecider", work: Work) -> list[Event | Send]:
    """What has to be on record of the effects of a task before its end."""
    found: list[Event | Send] = []
    for n, step in decider.state.steps.get(work.task, {}).items():
        if step.done or not step.key:
            continue
        if step.doubt:  # Mai knows of it; now she knows that nobody waits any more
            found.append(_told(decider, work, step, step.doubt, ended=True, known=True))
        elif step.free == "asked":
            found.append(_not_done(work, n))
        else:
            found += doubt(decider, work, n, "its task ended before it was known what came of it", ended=True)
    return found


def _not_done(work: Work, n: int) -> Stepped:
    refused = "it had not happened when it was asked, and the task ended before it was called again"
    return Stepped(request=work.request, task=work.task, agent=work.agent, n=n, call="tool", refused=refused, state="failed")


def settle(decider: "DepartmentDecider", body: Resolve, now_ms: int) -> list[Event | Send]:
    """What a person has said goes on record. A step that waits for it goes on: with the value, or the tool is called again."""
    from mai.agents import network

    task, _, number = body.key.rpartition("/")
    n, agent = int(number), body.agent.rpartition("/")[2]
    resolved = EffectResolved(
        request=body.request, task=task, agent=agent, n=n, key=body.key,
        happened=body.happened, value=body.value, by=body.by, note=body.note,
    )  # fmt: skip
    work, step = decider.state.work.get(task), decider.state.steps.get(task, {}).get(n)
    if work is None or step is None or not step.doubt:
        return [resolved]
    if body.happened:
        stepped = Stepped(request=work.request, task=task, agent=agent, n=n, call="tool", value=body.value)
        return [resolved, stepped]
    return [resolved, *network.again(decider, work, n, step, now_ms)]


def waits_for(state: State, work: Work) -> str:
    """The end of a sentence about a task that did not end in time: which effects in doubt it, or what it handed on, waits for."""
    tasks = [task for task in state.steps if task == work.task or task.startswith(f"{work.task}.")]
    doubts = [step for task in tasks for step in state.steps[task].values() if step.doubt and not step.done]
    if not doubts:
        return ""
    said = ", ".join(f"{step.tool} (key {step.key})" for step in doubts[:3]) + " …" * (len(doubts) > 3)
    return f": nobody knows whether {said} happened, and a person has to say so: mai effects show {doubts[0].key}"


# -- evolve
def fold(state: State, event: Event) -> None:
    """Fold what concerns an effect; that of a task which has ended is on record, and no more."""
    match event:
        case EffectIntent(task=task, n=n) if task in state.work:
            touch(state, task)
            before = _step(state, task, n)
            step = Step(n, "tool", event.given, key=event.key, effect=event.effect, at_ms=event.at_ms)
            step.count, step.approval = (before.count + 1, before.approval) if before else (1, None)
            if before and before.stands:
                step.given, step.stands = before.given, before.stands
            keep(state, task, step)
        case EffectUnknown() | EffectQueried() | EffectResolved():
            if waiting := _step(state, event.task, event.n):
                _settle(waiting, event)
                keep(state, event.task, waiting)


def stands_in(state: State, task: str, n: int, tool: str, *, tried: bool) -> None:
    """Another tool is called for a step, of which nothing has happened; what was approved was approved of the first."""
    step = _step(state, task, n)
    if step is None or task not in state.work:
        return
    step.stands, step.key, step.effect, step.free = tool, "", "", ""
    step.count = max(step.count, 1) if tried else step.count
    if step.approval:
        step.approval.at = "over"
    keep(state, task, step)


def _settle(step: Step, event: EffectUnknown | EffectQueried | EffectResolved) -> None:
    match event:
        case EffectUnknown():
            step.doubt = event.why or "in doubt"
        case EffectQueried(found=False):
            step.free = "asked"
        case EffectResolved(happened=False):
            step.doubt, step.free = "", "resolved"


def _step(state: State, task: str, n: int) -> Step | None:
    """An open step of an open task."""
    step = state.steps.get(task, {}).get(n)
    return step if step and not step.done else None


def keep(state: State, task: str, step: Step) -> None:
    """A step stands so now."""
    state.steps.setdefault(task, {})[step.n] = step
    state.changed("step", f"{task}/{step.n}", step)


def touch(state: State, task: str) -> None:
    """Note that something is changed for this work, and for all above it."""
    while work := state.work.get(task):
        work.changed = True
        state.changed("task", work.task, work)
        task = work.parent


def intent(work: Work, n: int, effect: str, given: Fields, now_ms: int, *, approval: Approving | None = None) -> EffectIntent:
    """What is on the disk before the tool is called; the key is the same for each call of one step."""
    given_by = approval.id if approval and approval.at in ("approved", "used") else ""
    return EffectIntent(
        request=work.request, task=work.task, agent=work.agent, n=n, key=key_of(work, n),
        tool=given["tool"], effect=effect, given=given, at_ms=now_ms, approval=given_by,
    )  # fmt: skip


def key_of(work: Work, n: int) -> str:
    """The key of a step's effect."""
    return f"{work.task}/{n}"
