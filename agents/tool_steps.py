"""The steps of one task that use tools: from its code's call to the record of what came of it.

What has an effect is on the disk before it begins. What may have happened, after a crash or because the tool was ended by
force, is called again with the same key if it is idempotent; asked by its key if it is queryable, and then taken as done or
called again; else it is in doubt, and the step stays open until a person has said what happened (effects.py).
"""

from typing import TYPE_CHECKING, Final, NamedTuple

from mai.agents import allowance, approvals, channels, effects, gates, guards, judging, tool_backups
from mai.agents.body import Fields
from mai.agents.events import Asked, EffectQueried, Event, Stepped
from mai.agents.handlers import Broken, Used
from mai.agents.inputs import Call, Doubted, Judged
from mai.agents.organisation import Tool
from mai.agents.plain import readable
from mai.agents.pleas import PENDING, Plea
from mai.agents.policies import Ruling
from mai.agents.shell import now_ms
from mai.agents.state import Step, Work
from mai.agents.tool_backups import Spot
from mai.sandbox.errors import MaiError
from mai.sandbox.points import reach

if TYPE_CHECKING:
    from mai.agents.runner import Runner

FORCED: Final = 3  # calls of a queryable tool that were ended by force, one after the other: then it is not called again


class Beside(NamedTuple):
    """A step that waits for what runs beside the loop."""

    tool: Tool
    given: Fields
    doubt: str = ""  # why the tool is only asked whether it happened
    failed: bool = False  # it was not ended by force: it is not called again


class ToolSteps:
    """One task's use of tools. Who may use what is looked up anew each time, whoever asks."""

    def __init__(self, runner: "Runner", work: Work) -> None:
        self._runner, self._work = runner, work
        self._beside: dict[int, Beside] = {}
        self._awaited: set[int] = set()  # steps that the code has come to in this life
        self._forced: dict[int, int] = {}  # calls that were ended by force, by step
        self._since_ms: dict[int, int] = {}  # when a call began, by step
        self._ruled: dict[int, Ruling] = {}  # what is on record of the policies, by step

    def use(self, n: int, name: str, given: Fields, step: Step | None) -> None:
        """Do a step that is not done: `step` is there if it had begun in an earlier life."""
        self._awaited.add(n)
        if step is not None:
            self._go_on(n, step)
            return
        box, agent = self._runner.toolbox, self._work.agent
        tool = box.tool(agent, name)
        if tool is None:
            self._record(n, given, refused=self._foreign(name))
            return
        try:
            fitting = box.fit(tool, given["input"])
        except Broken as fault:
            self._failed(n, tool, given, fault.sentence, clear=True)
            return
        except MaiError as fault:
            self._record(n, given, refused=fault.sentence, state="failed")
            return
        if stopped := guards.called(self._runner.decider, self._work, n, given):
            self._runner.shell.apply(stopped)
            self._record(n, given, refused=stopped.why, state="failed")
        elif not self._counted(n, name, given) or not self._chosen(n, tool, given):
            return
        elif tool.far:
            self._runner.shell.feed(Call(self._work.task, n, "tool", given))
        elif self._may(n, tool, given):
            self._call(n, tool, given, fitting)

    # -- who stands in
    def _spot(self, n: int) -> Spot:
        return Spot(self._runner.decider, self._work, n, now_ms())

    def _chosen(self, n: int, tool: Tool, given: Fields) -> bool:
        """Is it this tool that is called? Else another is, with the next turn, or none."""
        choice = tool_backups.choose(self._spot(n), tool)
        if choice.tool is None:
            self._record(n, given, refused=choice.why, state="failed")
        elif choice.tool is not tool:
            self._stands_in(n, given, choice.events)
        else:
            for event in choice.events:
                self._runner.shell.apply(event)
        return choice.tool is tool

    def _stands_in(self, n: int, given: Fields, events: list[Event]) -> None:
        """Another tool stands in: on record, with the step that it is for; the runner sees it, and goes on (`again`)."""
        work = self._work
        self._ruled.pop(n, None)  # it is judged by itself
        if self._step(n) is None:
            asked = Asked(request=work.request, task=work.task, agent=work.agent, n=n, call="tool", given=given)
            self._runner.shell.apply(asked)
        for event in events:
            self._runner.shell.apply(event)

    def _failed(self, n: int, tool: Tool, given: Fields, why: str, *, clear: bool) -> None:
        """A call has failed: another tool has the step, if nothing has happened; else that is its outcome."""
        if instead := tool_backups.after(self._spot(n), tool, why, clear=clear):
            self._stands_in(n, given, instead)
        else:
            on_record = None if self._step(n) else given
            self._record(n, on_record, refused=tool_backups.said(tool, why, clear=clear), state="failed")

    def _counted(self, n: int, name: str, given: Fields) -> bool:
        """May it be called, as far as the budgets say? On the disk before it is, where it is counted."""
        decider, shell, work = self._runner.decider, self._runner.shell, self._work
        if not allowance.counts_tools(decider, work):
            return True
        if spent := allowance.tool(decider, work, name, now_ms()):
            shell.apply(spent)
            self._record(n, given, refused=spent.why, state="failed")
            return False
        counted = allowance.ToolCounted(request=work.request, task=work.task, agent=work.agent, n=n)
        for event in allowance.turned(decider, [counted], now_ms()):
            shell.apply(event)
        shell.commit()
        return True

    def _may(self, n: int, tool: Tool, given: Fields) -> bool:
        """May it be called now? If not it is refused, or waits for its approval."""
        ruling = self._ruling(n, tool, given)
        if gates.passes(self._runner.decider, self._step(n), ruling):
            return True
        if ruling.verdict in gates.WAITS:
            self._runner.shell.feed(Judged(self._work.task, Call(self._work.task, n, "tool", given), ruling))
        else:
            self._record(n, None if self._step(n) else given, refused=ruling.why)
        return False

    def _ruling(self, n: int, tool: Tool, given: Fields) -> Ruling:
        """What the policies say, as they are at this moment. A new verdict goes on record."""
        decider = self._runner.decider
        act = judging.tool_act(decider, self._work, tool, given["input"], now_ms())
        ruling = judging.rule(decider, act)
        if judging.on_record(act, ruling) and self._ruled.get(n) != ruling:
            self._runner.shell.apply(judging.judged(self._work, n, act, ruling))
            self._ruled[n] = ruling
        return ruling

    def again(self, n: int) -> None:
        """A person has said that the effect of this step did not happen, or it is approved."""
        step = self._step(n)
        if step is not None and n in self._awaited:  # else the code will come to it
            self._go_on(n, step)

    def _foreign(self, name: str) -> str:
        mine = ", ".join(one.name for one in self._runner.toolbox.of(self._work.agent)) or "none"
        return f"{self._work.agent} may not use the tool {name}; its tools are: {mine}"

    # -- a step that had begun
    def _go_on(self, n: int, step: Step) -> None:
        tool = self._runner.toolbox.tool(self._work.agent, step.tool)
        if step.stands and not step.done and not step.key and (step.approval is None or step.approval.at == "over"):
            self._approved(n, step, tool, "over")
            return
        if step.approval and not step.done and step.approval.at != "used":
            self._approved(n, step, tool, step.approval.at)
            return
        if step.done or step.doubt or not (step.key or (step.approval and tool and not tool.far)):
            return  # a person has to say; or, without a key, it is with Mai since the same commit
        effect = effects.stricter(step.effect, tool.effect if tool else "none")
        if not step.key and effect != "none":
            self._record(n, None, refused=f"{step.tool} changes something now, which nobody has approved", state="failed")
        elif step.free:
            self._once_more(n, step, tool, effect)
        elif tool and tool.far:
            return  # it is with Mai, too
        elif effect == "opaque":
            self._doubt(n, "the process died while it was used")
        elif effect == "queryable":
            self._ask(n, tool, step.called, "the process died while it was used")
        else:
            self._fit(n, tool, step)

    def _approved(self, n: int, step: Step, tool: Tool | None, at: str) -> None:
        """It waits for its approval, or has it; or that is over, and it is judged anew."""
        if at in PENDING:
            return
        if tool and tool.far and not self._misfit(tool, step):
            self._runner.shell.feed(Call(self._work.task, n, "tool", step.called))
        elif tool is None or self._misfit(tool, step) or self._may(n, tool, step.called):
            self._fit(n, tool, step)

    def _once_more(self, n: int, step: Step, tool: Tool | None, effect: str) -> None:
        """It did not happen. What keeps it from being called again is the outcome of a new intent, too."""
        if tool is None or self._misfit(tool, step):
            self._intend(n, effect, step.called)
        elif not tool.far and not self._may(n, tool, step.called):
            return
        self._fit(n, tool, step)

    def _fit(self, n: int, tool: Tool | None, step: Step) -> None:
        """Call it again, if it still can be called."""
        if tool is None:
            self._record(n, None, refused=self._foreign(step.tool), state="failed")
        elif why := self._misfit(tool, step):
            self._record(n, None, refused=why, state="failed")
        else:
            self._call(n, tool, step.called, self._runner.toolbox.fit(tool, step.given["input"]))

    def _misfit(self, tool: Tool, step: Step) -> str:
        try:
            self._runner.toolbox.fit(tool, step.given["input"])
        except MaiError as fault:
            return fault.sentence
        return ""

    # -- a call
    def _call(self, n: int, tool: Tool, given: Fields, fitting: Fields) -> None:
        def begin() -> str:
            step = self._step(n)
            effect, fresh = effects.stricter(step.effect if step else "", tool.effect), step is None or step.free or not step.key
            if not fresh or (effect == "none" and step is None):
                return ""  # what has begun goes on under the verdict that is on record
            ruling = self._ruling(n, tool, given)
            if not gates.passes(self._runner.decider, step, ruling):
                return ruling.why
            self._use(n, given)
            if effect != "none":
                self._intend(n, effect, given)
            return ""

        def timed() -> str:
            self._since_ms[n] = now_ms()
            return begin()

        used = self._runner.toolbox.use((self._work.task, n), tool, fitting, channels.key_of(self.key(n)), timed)
        if used is None:
            self._beside[n] = Beside(tool, given)
        else:
            self._took(n, tool, given, used)

    def _use(self, n: int, given: Fields) -> None:
        """That it is called goes on record of its approval, if it needed one."""
        step = self._step(n)
        if step and step.approval and step.approval.at == "approved":
            self._runner.shell.apply(approvals.used(Plea(self._work, n, "tool", given, step.approval)))

    def _intend(self, n: int, effect: str, given: Fields) -> None:
        step = self._step(n)
        approval = step.approval if step else None
        self._runner.shell.apply(effects.intent(self._work, n, effect, given, now_ms(), approval=approval))
        self._runner.shell.commit()  # an intent is durable before its effect
        reach("effect.intended")

    def finished(self, n: int, used: Used) -> None:
        """What ran beside the loop has ended."""
        beside = self._beside.pop(n, None)
        if beside is None:  # the description of the tools
            self._record(n, None, used, call="tools", refused=used.refused, state="failed" if used.refused else "")
        elif beside.doubt:
            self._asked(n, beside, used)
        else:
            self._took(n, beside.tool, beside.given, used)

    def _took(self, n: int, tool: Tool, given: Fields, used: Used) -> None:
        if used.barred:
            self._record(n, None if self._step(n) else given, refused=used.refused)
            return
        if tool.effect != "none":
            reach("effect.called")
        spot = self._spot(n)
        for event in tool_backups.noted(spot, tool, spot.now_ms - self._since_ms.get(n, spot.now_ms), used.refused):
            self._runner.shell.apply(event)
        self._outcome(n, tool, given, used)
        if tool.effect != "none":
            reach("effect.recorded")

    def _outcome(self, n: int, tool: Tool, given: Fields, used: Used) -> None:
        """What a call has given, or what its failure means."""
        if used.late and tool.effect == "queryable":
            self._forced[n] = self._forced.get(n, 0) + 1
            self._ask(n, tool, given, used.refused)
        elif used.late and tool.effect == "opaque":
            self._doubt(n, used.refused)
        elif used.refused and not used.unbegun and tool.backup and tool.effect == "queryable":
            self._ask(n, tool, given, used.refused, failed=True)  # only if it did not happen another tool may do it
        elif used.refused:
            self._failed(n, tool, given, used.refused, clear=used.unbegun)
        else:
            self._record(n, None if self._step(n) else given, used)  # as the intent says, if there is one

    # -- in doubt
    def _ask(self, n: int, tool: Tool | None, given: Fields, why: str, *, failed: bool = False) -> None:
        """Ask a queryable tool by its key whether it happened."""
        if tool is None or not tool.asked_by:
            self._doubt(n, f"{why}, and it cannot be asked any more")
            return
        beside = Beside(tool, given, why, failed)
        used = self._runner.toolbox.ask((self._work.task, n), tool, channels.key_of(self.key(n)), given["input"])
        if used is None:
            self._beside[n] = beside
        else:
            self._asked(n, beside, used)

    def _asked(self, n: int, beside: Beside, used: Used) -> None:
        if used.refused:
            self._doubt(n, f"{beside.doubt}; asked whether it happened: {used.refused}")
            return
        work, found = self._work, used.value is not None
        queried = EffectQueried(
            request=work.request, task=work.task, agent=work.agent, n=n, key=self.key(n), tool=beside.tool.name, found=found
        )
        self._runner.shell.apply(queried)
        step = self._step(n)
        assert step is not None, "an effect in doubt without its step"
        if found:
            self._record(n, None, used)
        elif beside.failed:
            self._failed(n, beside.tool, beside.given, beside.doubt, clear=True)
        elif self._forced.get(n, 0) >= FORCED:
            why = f"{beside.doubt}; it did not happen, {FORCED} times in a row"
            self._failed(n, beside.tool, beside.given, why, clear=True)
        else:
            self._fit(n, beside.tool, step)

    def _doubt(self, n: int, why: str) -> None:
        self._runner.shell.feed(Doubted(self._work.task, n, why))

    # -- the rest
    def describe(self, n: int) -> None:
        """Do the step that says what tools there are."""
        found = self._runner.toolbox.describe((self._work.task, n), self._work.agent)
        if found is not None:
            self._record(n, None, found, call="tools")

    def drop(self) -> None:
        """The task has ended: what runs for it is ended, too. What is known of its effects is on record before its end."""
        self._runner.toolbox.drop(self._work.task)
        self._beside.clear()

    def key(self, n: int) -> str:
        """The same for each try of one effect."""
        return effects.key_of(self._work, n)

    def _step(self, n: int) -> Step | None:
        return self._runner.state.steps.get(self._work.task, {}).get(n)

    def _record(
        self, n: int, given: object, value: object = None, *, call: str = "tool", refused: str = "", state: str = ""
    ) -> None:
        work, plain = self._work, value.value if isinstance(value, Used) else value
        stepped = Stepped(
            request=work.request, task=work.task, agent=work.agent, n=n, call=call,
            given=given, value=plain, refused=readable(refused), state=state,
        )  # fmt: skip
        self._runner.shell.apply(stepped)
