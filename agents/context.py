"""What an agent's code sees: `ctx`, and what it may return. Each call is a numbered step in the journal.

A task that was interrupted runs again from its beginning. A step that is on record is not done again: it gives the
recorded result. A step that differs from the record stops the task, and so does an end before the last recorded one.

A step takes its number and begins when it is called, not when it is awaited: `ctx.all(ctx.tool(...), ctx.ask(...))` lets
them work beside each other, and the order of the calls alone gives the numbers. Where a turn has been long what was called
waits for the next one, in the order of the numbers, and begins with the next await.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from random import random
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents import allowance, differing, leaving
from mai.agents.body import Fields
from mai.agents.bounded import lets_in
from mai.agents.claim_calls import ClaimCalls
from mai.agents.escalating import REASON_CHARS
from mai.agents.escalation_messages import Try
from mai.agents.events import Stepped
from mai.agents.given import Divergence, Escalation, Refusal, Told, Unheard, a_name, a_text
from mai.agents.handover import Handover
from mai.agents.inputs import Call
from mai.agents.memory_calls import Memories, MemoryCalls, memories
from mai.agents.plain import NotPlain, plain, readable
from mai.agents.recollection import value_bytes
from mai.agents.remembering import PAGES, Memory
from mai.agents.state import Step, Work
from mai.agents.tool_steps import ToolSteps

if TYPE_CHECKING:
    from mai.agents.model_steps import ModelSteps
    from mai.agents.runner import Runner

__all__ = (
    "Answer", "Assignment", "Context", "Divergence", "Escalation", "Memories", "Memory", "Refusal", "Reply", "Waiting"
)  # fmt: skip

MOST_STEPS: Final = 10_000  # of one task


class Answer(msgspec.Struct, frozen=True):
    """The result of a task: a text for a person, values for a program."""

    text: str = ""
    value: Fields = {}


class Assignment(msgspec.Struct, frozen=True):
    """The task as the agent's code sees it."""

    task: str
    request: str
    asker: str
    contract: str
    text: str
    input: Fields
    deadline_ms: int
    correction: str = ""  # why the reply to it came back, and what would be allowed; its code has a second turn
    escalated: str = ""  # somebody gave it up: why
    tried: tuple[Try, ...] = ()  # what was tried before, oldest first
    case: str = ""  # a board is asked which of the claims in `input` stands: it answers with a value {"claim", "why"}
    handover: Handover | None = None  # what a colleague did for it, who had it before


class Reply(msgspec.Struct, frozen=True):
    """What another agent or department answered."""

    value: Fields
    text: str
    by: str
    sources: tuple[str, ...]


class Waiting:
    """A step that may have to wait for its outcome; await it. Raises Refusal."""

    def __init__(self, context: "Context", n: int) -> None:
        self.context, self.n = context, n

    def __await__(self) -> Generator["Waiting", None, Any]:
        self.context.begin_due()
        while not self.ready() or self.context.overdue:
            yield self
            self.context.begin_due()
        return self.context.outcome(self.n)

    def ready(self) -> bool:
        """Is there something to go on with: the outcome, or a step that has not begun?"""
        step = self.context.recorded(self.n)
        return bool(self.context.due) or (step is not None and step.done)


class Context(MemoryCalls, ClaimCalls):
    """One task's way to everything outside its own code."""

    def __init__(self, runner: "Runner", work: Work, code: str) -> None:
        """`code`: the digest of the code that goes on with this task; the work knows that of the code that was there before."""
        self._runner, self._work = runner, work
        self._codes = work.code, code
        self._n = 0
        self.diverged = ""  # why this task cannot go on
        self.unheard = 0  # the step whose answer from above was not looked at
        self.due: deque[Callable[[], None]] = deque()  # steps whose number is taken and which have not begun
        self.tools = ToolSteps(runner, work)
        self._concluding: set[int] = set()
        self._asking: ModelSteps | None = None

    # -- asking others
    def ask(self, to: str, /, text: Any = "", **values: Any) -> Waiting:
        """Ask an agent of the own department, or another department's contract ("sales.pipeline"). Await the Reply.

        `text` is for the agent to read; under a contract whose request has a field `text`, it is that field. Raises
        Refusal when it is refused, fails or comes too late.
        """
        if text != "" and self._runner.has_field(to, "text"):
            text, values = "", {"text": text, **values}
        return self.asked(to, text, values)

    def asked(self, to: str, text: str, values: Fields) -> Waiting:
        """The same, with the request's fields by themselves."""
        given = self._plain({"to": a_name("an address", to), "text": a_text("the text of a question", text), "input": values})
        n, step = self._next("ask", given)
        if step is None:
            self._runner.shell.feed(Call(self._work.task, n, "ask", given))
        return Waiting(self, n)

    def hand(self, to: str) -> Waiting:
        """Hand this very task on to an agent that the table allows: its contract, its text, its asker. Await the Reply."""
        given = {"to": a_name("an agent", to)}
        n, step = self._next("hand", given)
        if step is None:
            self._runner.shell.feed(Call(self._work.task, n, "hand", given))
        return Waiting(self, n)

    # -- models
    def model(
        self, messages: list[Fields], *, tools: Sequence[Fields] = (), schema: Fields | None = None, output_tokens: int = 0
    ) -> Waiting:
        """Ask the model of this agent's scope. Await the ModelReply. Raises Refusal.

        `messages` and `tools` as chat completions have them; `schema` is {"name", "schema"}, which the answer has to fit;
        `output_tokens` is the most of it, by default the model's own bound.
        """
        models, before = self._models(), self.recorded(self._n + 1)
        try:
            given = models.given(messages, tools, schema, output_tokens, before and before.given)
        except NotPlain as fault:
            raise Refusal(f"a model cannot be asked with {fault}", "failed") from None
        n, step = self._next("model", given)
        if step is None and not given["model"]:
            self._record(n, "model", given, refused=f"{self._work.agent} has no model in its scope")
        elif step is None:
            self._runner.shell.feed(Call(self._work.task, n, "model", given))
        return Waiting(self, n)

    def _models(self) -> "ModelSteps":
        from mai.agents.model_steps import ModelSteps  # with the first question: most departments ask none

        self._asking = self._asking or ModelSteps(self._runner, self._work)
        return self._asking

    @lets_in
    async def all(self, *asked: Any) -> list[Any]:
        """Await several at once; their answers in the same order.

        Each has its end first, also where another is refused. Then the first Refusal is raised: its `answers` are all of
        them. Steps have begun with their calls, beside each other; coroutines of your own are awaited one after the
        other, for what they call has to be numbered the same way each time.
        """
        answers: list[Any] = []
        first: Refusal | None = None
        try:
            for one in asked:
                try:
                    answers.append(await one)  # in a comprehension it would be a frame that bounded.py does not know
                except Refusal as refusal:
                    answers.append(refusal)
                    first = first or refusal
        finally:
            for one in asked:
                if isinstance(one, CoroutineType):
                    one.close()  # the task has ended before its turn came
        if first is not None:
            first.answers = tuple(answers)
            raise first
        return answers

    def escalate(self, reason: str) -> Waiting:
        """Give the task to those above: coordinator, board, Mai, a person. Await the Reply of whoever answers.

        Raises Refusal where they refuse it or nobody answers in time. Code that does not look at the answer ends with the next
        step, and the answer is the task's, signed by who gave it: as if `escalate` had not returned.
        """
        given = {"reason": readable(a_text("a reason", reason), REASON_CHARS)}
        n, step = self._next("escalate", given)
        if step is None:
            self._runner.shell.feed(Call(self._work.task, n, "escalate", given))
        return Waiting(self, n)

    def again(self, n: int) -> None:
        """Somebody has said that a step may go on: its call is approved, or has not happened, or is to be judged anew."""
        step = self.recorded(n)
        if step is not None and step.call == "conclude":
            self.conclude_again(n)
        else:
            self.tools.again(n)

    # -- tools
    def tool(self, name: str, /, **values: Any) -> Waiting:
        """Call a tool of this agent's scope. Await what it returns. Raises Refusal."""
        name = a_name("a tool", name)
        given = self._plain({"tool": name, "input": values})
        n, step = self._next("tool", given)
        if step is None or not step.done:
            self.due.append(lambda: self.tools.use(n, name, given, step))
            self.begin_due()
        return Waiting(self, n)

    def begin_due(self) -> None:
        """Begin the steps that were called and have not begun, until the others should have their turn."""
        while self.due and not self.overdue:
            self.due.popleft()()

    def describe_tools(self) -> Waiting:
        """The tools of this agent's scope: {"name", "about", "schema", "effect"} each, and a "fault" where one cannot be used.

        Await the list.
        What an MCP server says of its tools is the server's word, and no more than that.
        """
        n, step = self._next("tools", None)
        if step is None:
            self.tools.describe(n)
        return Waiting(self, n)

    def reply_fault(self, value: Fields, text: str = "") -> str:
        """What is wrong with these as the reply under this task's contract, if it has one; "" if nothing is."""
        decider, contract = self._runner.decider, self._work.contract
        if contract and decider.owns(contract) and (why := decider.fault(contract, "reply", value)):
            return why
        if why := leaving.reply_fault(decider, self._work, value, text):
            return why
        try:
            plain({"text": text, "value": value}, self._runner.value_bytes)
        except NotPlain as fault:
            return f"it is {fault}"
        return ""

    def _held(self, value: Any) -> Any:
        organisation = self._runner.decider.mandate.organisation
        return self._plain(value, value_bytes(organisation.memory, organisation.limits))

    def _memory(self, call: str, made: Callable[[], Fields]) -> Waiting:
        given: Fields = {"level": "", "wrong": True}  # of what is refused at once: its words may differ when it runs again
        why = ""
        try:
            given = self._plain(made())
        except Refusal as refusal:
            why = refusal.reason
        n, step = self._next(call, given)
        if step is None and why:
            self._record(n, call, given, refused=why, state="failed")
        elif step is None:
            self._runner.shell.feed(Call(self._work.task, n, call, given))
        return Waiting(self, n)

    # -- what changes from run to run
    def now(self) -> float:
        """The wall clock in seconds since 1970, the same when the task runs again."""
        return float(self._local("now", time.time))

    def random(self) -> float:
        """A number in [0, 1), the same when the task runs again."""
        return float(self._local("random", random))

    @property
    def files(self) -> Path:
        """The department's own directory."""
        return self._runner.files

    # -- steps
    def _waits(self, n: int) -> Waiting:
        return Waiting(self, n)

    def _local(self, call: str, make: Callable[[], float]) -> Any:
        n, step = self._next(call, None)
        if step is None:
            self._record(n, call, None, make())
        return self.outcome(n)

    def _next(self, call: str, given: Any) -> tuple[int, Step | None]:
        """The number of this step, and its record if it was made before. Raises Divergence."""
        if not self._runner.has_turn(self):
            raise RuntimeError("a ctx may be used by its own task alone, while that runs, in the main thread")
        if self.diverged:
            raise Divergence(self.diverged)  # also of code that has caught the first one
        if self.unheard:
            raise Unheard(self.unheard)
        if self._n >= MOST_STEPS:
            raise Refusal(f"the task has made {MOST_STEPS} steps, which is the limit", "failed")
        if self.recorded(self._n + 1) is None and (spent := allowance.step(self._runner.decider, self._work)):
            self._runner.shell.apply(spent)
            raise Refusal(spent.why, "failed")
        self._n += 1
        step = self.recorded(self._n)
        if step is not None and (step.call, step.given) != (call, given):
            self.diverged = differing.other(step, call, given, self._codes)
            raise Divergence(self.diverged)
        return self._n, step

    def missed(self) -> str:
        """What the record has after the last step that was made now, which is a difference as well; "" if there is nothing."""
        later = [n for n in self._runner.state.steps.get(self._work.task, ()) if n > self._n]
        step = self.recorded(min(later)) if later else None
        return differing.missing(step, self._codes) if step else ""

    def _record(self, n: int, call: str, given: Any, value: Any = None, *, refused: str = "", state: str = "") -> None:
        """Journal the outcome of a step; `state` if it is another than refused."""
        work, why = self._work, readable(refused)
        stepped = Stepped(
            request=work.request,
            task=work.task,
            agent=work.agent,
            n=n,
            call=call,
            given=given,
            value=value,
            refused=why,
            state=state,
        )
        self._runner.shell.apply(stepped)

    def recorded(self, n: int) -> Step | None:
        """The record of a step of this task."""
        return self._runner.state.steps.get(self._work.task, {}).get(n)

    def outcome(self, n: int) -> Any:
        """What a finished step gave: a Reply, a ModelReply, Memories, or else the value as it is recorded. Raises Refusal."""
        step = self.recorded(n)
        assert step is not None and step.done, "a step that has no outcome yet"
        if step.refused:
            refusal = Refusal(step.refused, step.state or "refused")
            refusal.changed, refusal.n = step.changed, n
            raise refusal
        if step.call == "model":
            return self._models().reply(step)
        if step.call in PAGES:
            return memories(step.value)
        if step.call not in ("ask", "hand", "escalate"):
            return step.value
        reply = Reply(step.value or {}, step.text, step.by, step.sources)
        if step.call != "escalate":
            return reply
        self.unheard = n
        return Told(reply, self._heard)

    def _heard(self) -> None:
        self.unheard = 0

    @property
    def work(self) -> Work:
        """The task."""
        return self._work

    @property
    def overdue(self) -> bool:
        """Has this task's turn lasted so long that others should have theirs?"""
        return self._runner.overdue

    def _plain(self, value: Any, limit_bytes: int = 0) -> Any:
        """The value as JSON gives it back, so that a record compares equal. Raises Refusal."""
        try:
            return plain(value, limit_bytes or self._runner.value_bytes)
        except NotPlain as fault:
            raise Refusal(str(fault), "failed") from None
