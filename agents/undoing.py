"""Undoing what was done for a cancelled request: the calls of the tools that a department's effects name as their `undo`.

What is to be undone is read off the journal once all of the request's tasks have ended, and goes on record as a plan. Then one
call after the other, each with an intent that is on the disk before it, so that a start goes on where the death was:
an undoing that was under way is repeated if its tool is idempotent, else nobody knows whether it happened.
"""

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from mai.agents import cancelling, events, judging
from mai.agents.cancelling import UndoDone, UndoIntent, UndoPlanned, UndoUnknown
from mai.agents.events import Event
from mai.agents.handlers import Used
from mai.agents.inputs import Unwound
from mai.agents.organisation import Tool
from mai.agents.plain import readable
from mai.agents.policies import judge
from mai.agents.shell import now_ms
from mai.agents.state import Cancelling, Undo
from mai.sandbox.errors import MaiError
from mai.sandbox.points import reach

if TYPE_CHECKING:
    from mai.agents.runner import Runner

AGAIN: Final = ("none", "idempotent")  # effects that may be repeated
DIED: Final = "the process died while it was used"


class Undoing:
    """The undoing of one department's cancelled requests, each in its turn."""

    def __init__(self, runner: "Runner") -> None:
        self._runner = runner
        self._beside: dict[str, Tool] = {}  # by the effect's key: what runs beside the loop

    @property
    def busy(self) -> bool:
        """Is there something that can go on at once?"""
        state = self._runner.state
        return any(
            (undo := cancelling.open_undo(state, one)) is None or undo.key not in self._beside for one in state.cancels.values()
        )

    def turn(self) -> None:
        """Go on with each cancelled request, one call at most."""
        for one in list(self._runner.state.cancels.values()):
            if not one.planned:
                self._plan(one)
            undo = cancelling.open_undo(self._runner.state, one)
            if undo is None:
                self._runner.shell.feed(Unwound(one.request))
            elif undo.key not in self._beside:
                self._go_on(undo)

    def _plan(self, one: Cancelling) -> None:
        shell = self._runner.shell
        shell.commit(all_of_it=True)  # what this turn has brought is to be read, too
        effects = cancelling.plan(one.request, self._records(one.request), self._runner.decider.own.tools)
        shell.apply(UndoPlanned(request=one.request, effects=effects))

    def _records(self, request: str) -> list[Event]:
        ledger = self._runner.shell.ledger
        kinds = ("effect.", "step")
        records = [record for record in ledger.of_request(request) if record.kind.startswith(kinds)]
        return [events.decode(record.kind, ledger.body(record)) for record in records]

    # -- one effect
    def _go_on(self, undo: Undo) -> None:
        tool = next((tool for tool in self._runner.decider.own.tools if tool.name == undo.undo), None)
        if tool is None or tool.far:
            self._done(undo, Used(None, f"there is no tool {undo.undo} here that could undo it"))
        elif undo.attempts and tool.effect not in AGAIN:
            self._unknown(undo, DIED)
        elif undo.attempts >= cancelling.ATTEMPTS:
            self._unknown(undo, f"{DIED}, {undo.attempts} times")
        else:
            self._begin(undo, tool)

    def _begin(self, undo: Undo, tool: Tool) -> None:
        box, shell = self._runner.toolbox, self._runner.shell
        try:
            fitting = box.fit(tool, cancelling.given(undo))
        except MaiError as fault:
            self._done(undo, Used(None, fault.sentence))
            return
        if why := self._denied(undo, tool):
            self._done(undo, Used(None, why))
            return
        intent = UndoIntent(**_about(undo), effect=tool.effect, attempt=undo.attempts + 1)
        shell.apply(intent)
        shell.commit()  # an intent is durable before its effect
        reach("undo.intended")
        self._beside[undo.key] = tool
        used = box.use((undo.key, 0), tool, fitting, intent.key)
        if used is not None:
            self._took(undo, used)

    def _denied(self, undo: Undo, tool: Tool) -> str:
        """Why the policies deny the undoing for certain, which goes on record; "" if they do not."""
        decider = self._runner.decider
        act = judging.undo_act(decider, undo, tool, cancelling.given(undo), now_ms())
        ruling = judge(decider.policies, act, certain=True)
        if ruling.verdict != "deny" or not ruling.clause:
            return ""
        judged = judging.judged(None, 0, act, ruling)
        self._runner.shell.apply(replace(judged, request=undo.request, what="undo"))
        return ruling.why

    def finished(self, key: str, used: Used) -> None:
        """What ran beside the loop has ended; the key may be of something else."""
        undo = self._runner.state.undos.get(key)
        if undo is not None and key in self._beside:
            self._took(undo, used)

    def _took(self, undo: Undo, used: Used) -> None:
        reach("undo.called")
        tool = self._beside.pop(undo.key)
        if used.late and tool.effect not in AGAIN:
            self._unknown(undo, used.refused)
        else:
            self._done(undo, used)

    def _done(self, undo: Undo, used: Used) -> None:
        self._runner.shell.apply(UndoDone(**_about(undo), value=used.value, refused=readable(used.refused)))

    def _unknown(self, undo: Undo, why: str) -> None:
        self._runner.shell.apply(UndoUnknown(**_about(undo), why=readable(why)))


def _about(undo: Undo) -> dict[str, Any]:
    """What all records of one undoing say."""
    return {
        "request": undo.request, "task": undo.task, "agent": undo.agent, "n": undo.n,
        "key": f"{undo.key}{cancelling.AGAIN}", "undoes": undo.key, "tool": undo.undo,
    }  # fmt: skip
