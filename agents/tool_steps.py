"""The steps of one task that use tools: from its code's call to the record of what came of it.

What has an effect is on the disk before it begins. What may have happened, and may not be repeated, is put on record as
unknown: after a crash, after a tool was ended by force, after the task itself has ended.
"""

from typing import TYPE_CHECKING, Final

from mai.agents.events import EffectIntent, EffectUnknown, Stepped
from mai.agents.handlers import Used
from mai.agents.inputs import Call
from mai.agents.messages import Fields
from mai.agents.network import doubtful
from mai.agents.organisation import Tool
from mai.agents.plain import readable
from mai.agents.state import Step, Work
from mai.sandbox.errors import MaiError
from mai.sandbox.points import reach

if TYPE_CHECKING:
    from mai.agents.runner import Runner

ONCE: Final = ("opaque", "queryable")  # effects that are not simply repeated


class ToolSteps:
    """One task's use of tools. Who may use what is looked up anew each time, whoever asks."""

    def __init__(self, runner: "Runner", work: Work) -> None:
        self._runner, self._work = runner, work
        self._beside: dict[int, tuple[Tool, Fields]] = {}  # steps that wait for what runs beside the loop

    def use(self, n: int, name: str, given: Fields, step: Step | None) -> None:
        """Do a step that is not done: `step` is there if it had begun in an earlier life."""
        box, agent = self._runner.toolbox, self._work.agent
        tool = box.tool(agent, name)
        if tool is None:
            mine = ", ".join(one.name for one in box.of(agent)) or "none"
            self._record(n, given, refused=f"{agent} may not use the tool {name}; its tools are: {mine}")
        elif tool.hosts and step is not None:
            return  # it is with Mai, since the same commit
        elif step is not None and tool.effect in ONCE:  # the intent stands alone: in doubt
            self._doubt(n, name, step.key, "after a crash")
        else:
            self._begin(n, tool, given, step)

    def _begin(self, n: int, tool: Tool, given: Fields, step: Step | None) -> None:
        key = self.key(n)
        try:
            fitting = self._runner.toolbox.fit(tool, given["input"])
        except MaiError as fault:
            self._record(n, None if step else given, refused=fault.sentence, state="failed")
            return
        if tool.hosts:
            self._runner.shell.feed(Call(self._work.task, n, "tool", given))
            return
        if tool.effect != "none" and step is None:
            work = self._work
            intent = EffectIntent(
                request=work.request, task=work.task, agent=work.agent, n=n, key=key,
                tool=tool.name, effect=tool.effect, given=given,
            )  # fmt: skip
            self._runner.shell.apply(intent)
            self._runner.shell.commit()  # an intent is durable before its effect
            reach("effect.intended")
        used = self._runner.toolbox.use((self._work.task, n), tool, fitting, key)
        if used is None:
            self._beside[n] = tool, given
        else:
            self._took(n, tool, given, used)

    def finished(self, n: int, used: Used) -> None:
        """What ran beside the loop has ended."""
        if n in self._beside:
            self._took(n, *self._beside.pop(n), used)
        else:  # the description of the tools
            self._record(n, None, used, call="tools", refused=used.refused, state="failed" if used.refused else "")

    def _took(self, n: int, tool: Tool, given: Fields, used: Used) -> None:
        if tool.effect != "none":
            reach("effect.called")
        if used.late and tool.effect in ONCE:
            self._doubt(n, tool.name, self.key(n), f"{used.refused}:")
        else:
            on_record = None if tool.effect != "none" else given  # else as the intent says
            self._record(n, on_record, used, refused=used.refused, state="failed" if used.refused else "")
        if tool.effect != "none":
            reach("effect.recorded")

    def describe(self, n: int) -> None:
        """Do the step that says what tools there are."""
        found = self._runner.toolbox.describe((self._work.task, n), self._work.agent)
        if found is not None:
            self._record(n, None, found, call="tools")

    def drop(self) -> None:
        """The task has ended: what runs for it is ended, too."""
        for n in self._runner.toolbox.drop(self._work.task):
            tool, _ = self._beside.pop(n, (None, None))
            if tool is not None and tool.effect in ONCE:
                self._unknown(n, tool.name, self.key(n))

    def key(self, n: int) -> str:
        """The same for each try of one effect."""
        return f"{self._work.task}/{n}"

    # -- what goes on record
    def _doubt(self, n: int, name: str, key: str, when: str) -> None:
        self._unknown(n, name, key)
        self._record(n, None, refused=doubtful(name, key, when), state="failed")

    def _unknown(self, n: int, name: str, key: str) -> None:
        work = self._work
        self._runner.shell.apply(EffectUnknown(request=work.request, task=work.task, agent=work.agent, n=n, key=key, tool=name))

    def _record(
        self, n: int, given: object, value: object = None, *, call: str = "tool", refused: str = "", state: str = ""
    ) -> None:
        work, plain = self._work, value.value if isinstance(value, Used) else value
        stepped = Stepped(
            request=work.request, task=work.task, agent=work.agent, n=n, call=call,
            given=given, value=plain, refused=readable(refused), state=state,
        )  # fmt: skip
        self._runner.shell.apply(stepped)
