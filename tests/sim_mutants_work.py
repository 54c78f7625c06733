"""Deliberate bugs in how effects and steps are recorded and gone on with; sim_mutants.py has the others."""

from typing import Any

import msgspec

from mai.agents import context, folding, process, runner, shell, tool_steps
from tests.sim_mutation import Put, mutant


# -- effects and steps
@mutant
def repeat_an_opaque_effect(put: Put) -> None:
    """What is in doubt after a crash is done again."""
    put(tool_steps.ToolSteps, "_doubt", _again)


def _again(steps: Any, n: int, why: str) -> None:
    step = steps._runner.state.steps[steps._work.task][n]
    steps._fit(n, steps._runner.toolbox.tool(steps._work.agent, step.given["tool"]), step)


@mutant
def intent_without_commit(put: Put) -> None:
    """The tool is called before its intent is on the disk."""
    intend = tool_steps.ToolSteps._intend

    def hasty(self: Any, *given: Any) -> None:
        self._runner.shell.commit = lambda **_: None
        try:
            intend(self, *given)
        finally:
            del self._runner.shell.commit

    put(tool_steps.ToolSteps, "_intend", hasty)


@mutant
def no_intent(put: Put) -> None:
    """An effect is done without a word before."""
    call = tool_steps.ToolSteps._call

    def silent(self: Any, n: int, tool: Any, *given: Any) -> None:
        call(self, n, msgspec.structs.replace(tool, effect="none"), *given)

    put(tool_steps.ToolSteps, "_call", silent)


@mutant
def lose_a_doubt(put: Put) -> None:
    """What is in doubt is on record as not done."""
    apply = shell.Shell.apply
    put(shell.Shell, "apply", lambda self, event: [] if event.kind == "effect.unknown" else apply(self, event))


@mutant
def forget_outcomes_of_steps(put: Put) -> None:
    """A task that runs again does not know what came of its steps."""
    load = process.load

    def forgetful(state: Any, ledger: Any) -> None:
        load(state, ledger)
        for steps in state.steps.values():
            for n in [n for n, step in steps.items() if step.done]:
                del steps[n]

    put(process, "load", forgetful)


@mutant
def renumber_steps(put: Put) -> None:
    """A task that runs again numbers its steps on from those on record."""
    make = context.Context.__init__

    def further(self: Any, runner: Any, work: Any, *given: Any, **named: Any) -> None:
        make(self, runner, work, *given, **named)
        self._n = len(runner.state.steps.get(work.task, {}))

    put(context.Context, "__init__", further)


@mutant
def forget_deaths_of_a_task(put: Put) -> None:
    """How often a task has killed its process is not loaded at the next start."""
    load = process.load

    def mild(state: Any, ledger: Any) -> None:
        load(state, ledger)
        for work in state.work.values():
            work.attempts = 0

    put(process, "load", mild)


@mutant
def leave_tasks_lying(put: Put) -> None:
    """A department that starts again does not go on with what was open."""
    put(runner.Runner, "resume", lambda self: None)


@mutant
def fold_otherwise(put: Put) -> None:
    """What is folded live differs from what the journal gives."""
    evolve = folding.evolve

    def otherwise(state: Any, event: Any, seq: int) -> Any:
        if event.kind == "memory.written" and seq % 2 and state.transits:
            return []
        return evolve(state, event, seq)

    put(folding, "evolve", otherwise)


@mutant
def let_another_tool_do_what_may_have_happened(put: Put) -> None:
    """A tool that was ended by force is taken for one that has done nothing, and another is called."""
    outcome = tool_steps.ToolSteps._outcome

    def rash(self: Any, n: int, tool: Any, given: Any, used: Any) -> None:
        if used.refused and tool.backup:
            self._failed(n, tool, given, used.refused, clear=True)
        else:
            outcome(self, n, tool, given, used)

    put(tool_steps.ToolSteps, "_outcome", rash)
