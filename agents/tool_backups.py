"""Tools that stand in for others: which one is called now, and what goes on record when another is. Pure.

    before a call    its breaker is open → the first behind it whose breaker lets it be called
    after a call     it failed, and nothing has happened → the same; with a tool that changes something only if that is known

What is known: the tool was not begun, or says by its key that it did not happen (`clear`). Whatever else has failed may have
happened, and would be had twice under another tool. `fallback.switched` names both, and on what evidence; its step goes on with
who stands in (`Step.stands`), judged by the policies under its own name.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from mai.agents import breaker, fallback
from mai.agents.breaker import SLOW_SHARE
from mai.agents.effects import key_of
from mai.agents.events import Event
from mai.agents.fallback import FallbackSwitched
from mai.agents.organisation import Department, Tool
from mai.agents.plain import readable
from mai.agents.state import State, Work

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

CLEAR: Final = "nothing had happened for it"
USED_UP: Final = "no tool is left that could do it: {}"
MAY_HAVE: Final = "{}; its backup {} is not called, because it may have happened and would be done twice"


class Spot(NamedTuple):
    """Which step it is, and when."""

    decider: "DepartmentDecider"
    work: Work
    n: int
    now_ms: int

    @property
    def key(self) -> str:
        """Of the step: the same for all that is called for it."""
        return key_of(self.work, self.n)


class Choice(NamedTuple):
    """Which tool is called, what goes on record first, and why none is."""

    tool: Tool | None
    events: list[Event]
    why: str = ""


def behind(own: Department, tool: Tool) -> Iterator[Tool]:
    """The tools that stand in for this one, in their order; `mai check` sees to it that they do not lead back."""
    known, seen = {one.name: one for one in own.tools}, {tool.name}
    while tool.backup and tool.backup in known and tool.backup not in seen:
        tool = known[tool.backup]
        seen.add(tool.name)
        yield tool


def choose(spot: Spot, tool: Tool) -> Choice:
    """Whom to call for a step that has not begun: the tool, or who stands in for it while its breaker is open."""
    spoken: list[str] = []
    for one in (tool, *behind(spot.decider.own, tool)):
        if why := _shut(spot, one):
            spoken.append(f"{one.name}: {why}")
            continue
        if one is tool:
            return Choice(tool, _probe(spot, tool))
        first = spoken[0].partition(": ")[2]
        return Choice(one, [_switched(spot, tool, one, f"not called after {first}"), *_probe(spot, one)])
    return Choice(None, [], readable(USED_UP.format("; ".join(spoken))))


def _shut(spot: Spot, tool: Tool) -> str:
    """Why a tool that has a backup is not to be called now; "" if it is."""
    known = breaker.of(spot.decider.state.breakers, fallback.key("tool", tool.name))
    shut = tool.backup and not known.lets(spot.now_ms) and known.trial != spot.key
    return known.evidence() if shut else ""


def after(spot: Spot, tool: Tool, why: str, *, clear: bool) -> list[Event]:
    """What follows a call that failed: another stands in; nothing if none may."""
    if tool.effect != "none" and not clear:
        return []
    one = next((one for one in behind(spot.decider.own, tool) if not _shut(spot, one)), None)
    return [_switched(spot, tool, one, why, tried=True, clear=clear), *_probe(spot, one)] if one else []


def said(tool: Tool, why: str, *, clear: bool) -> str:
    """Why a step has failed whose tool has a backup."""
    return MAY_HAVE.format(why, tool.backup) if tool.backup and tool.effect != "none" and not clear else why


def noted(spot: Spot, tool: Tool, took_ms: int, why: str) -> list[Event]:
    """What goes on record of a tool that has a backup when a call has ended; `why`: it failed."""
    if not tool.backup:
        return []
    slow = took_ms > (tool.slow_s or tool.timeout_s * SLOW_SHARE) * 1000
    how: breaker.How = "sick" if why else "slow" if slow else "well"
    work = spot.work
    return fallback.note(
        spot.decider.state, "tool", tool.name, spot.key, how=how, now_ms=spot.now_ms, request=work.request, task=work.task,
        why=why or f"it took {took_ms} ms",
    )  # fmt: skip


def _probe(spot: Spot, tool: Tool) -> list[Event]:
    if not tool.backup:
        return []
    return fallback.probe(
        spot.decider.state, "tool", tool.name, spot.key, request=spot.work.request, task=spot.work.task
    )  # fmt: skip


def _switched(
    spot: Spot, tool: Tool, to: Tool, evidence: str, *, tried: bool = False, clear: bool = False
) -> FallbackSwitched:  # fmt: skip
    known = f"; {CLEAR}" if clear and tool.effect != "none" else ""
    return FallbackSwitched(
        request=spot.work.request, task=spot.work.task, what="tool", name=tool.name, to=to.name,
        evidence=fallback.evidence(f"{evidence}{known}"), gives_up=to.quality, at_ms=spot.now_ms, tried=tried, n=spot.n,
        clear=clear,
    )  # fmt: skip


# -- evolve
def ended(state: State, task: str) -> None:
    """A task has ended, and with it what was tried for it: another may try."""
    for key, known in list(state.breakers.items()):
        what, _, name = key.partition(" ")
        if what == "tool" and known.trial.rpartition("/")[0] == task:
            fallback.let_go(state, "tool", name, known.trial)
