"""All tools of one department behind one interface: functions, commands, and tools of MCP servers.

A function returns at once. The others run beside the loop, which waits for their pipes: what came of them is in
`finished` some turns later. What runs, runs for one step of one task, and ends with it.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from mai.agents.cells import Cells
from mai.agents.fields import Shape
from mai.agents.handlers import Handlers, Used
from mai.agents.organisation import Department, Tool
from mai.agents.pipes import Pipe
from mai.agents.plain import NotPlain, plain, readable, said
from mai.agents.program import environment, located
from mai.sandbox.errors import MaiError

if TYPE_CHECKING:
    from mai.agents.job import Job
    from mai.agents.servers import Answer, Servers

DESCRIBE_S: Final = 30.0  # for all servers of an agent to say what they have
NOTHING: Final[tuple[Any, ...]] = ("", {}, {"result": None})  # how a server's tool says None
OPEN: Final = {"type": "object"}  # the schema of a tool that cannot be described
Step = tuple[str, int]  # of which task, and its number
Described = list[dict[str, Any]]


class Finished(NamedTuple):
    """What came of a step that ran beside the loop."""

    task: str
    n: int
    used: Used


class Order(NamedTuple):
    """A command that waits for its place."""

    tool: Tool
    given: dict[str, Any]
    key: str
    begin: Callable[[], str]  # called when it has its place; why it may not begin, "" if it may
    asks: bool = False  # only whether it happened

    @property
    def command(self) -> tuple[str, ...]:
        """What is started."""
        return tuple(self.tool.asked_by) if self.asks else self.tool.command

    @property
    def environment(self) -> dict[str, str]:
        """What it finds of ours: the key, and whether it is only asked about it."""
        return {**environment(), "MAI_KEY": self.key, **({"MAI_ASK": self.key} if self.asks else {})}


def _servers(own: Department, cells: Cells, limit_bytes: int) -> "Servers | None":
    """The servers of a department; what one does without it does not import."""
    if not own.servers:
        return None
    from mai.agents.servers import Servers

    return Servers(own.servers, cells, limit_bytes)


class Toolbox:
    """The tools of a department; at most `running` commands run at once."""

    def __init__(self, own: Department, handlers: Handlers, cells: Cells, *, running: int, limit_bytes: int) -> None:
        """`cells`: where commands and servers work; `limit_bytes`: of a tool's value."""
        self._own, self._handlers, self._cells = own, handlers, cells
        self._running, self._limit_bytes = running, limit_bytes
        self._servers = _servers(own, cells, limit_bytes)
        self._waiting: dict[Step, Order] = {}
        self._jobs: dict[Step, tuple[Job, Tool]] = {}
        self._errands: dict[Step, int] = {}
        self.ended: deque[Finished] = deque()

    # -- scope
    def of(self, agent: str) -> tuple[Tool, ...]:
        """The tools in an agent's scope."""
        found = self._own.agent(agent)
        return tuple(tool for tool in self._own.tools if found and tool.name in found.tools)

    def tool(self, agent: str, name: str) -> Tool | None:
        """A tool, if it is in the agent's scope."""
        return next((tool for tool in self.of(agent) if tool.name == name), None)

    # -- a call
    def fit(self, tool: Tool, given: dict[str, Any]) -> dict[str, Any]:
        """What the tool is called with. Raises MaiError, which names the argument that does not fit.

        What an MCP server takes is known to itself alone: its host checks that, and so does the process of a tool with hosts.
        """
        if tool.handler and not tool.hosts:
            return self._handlers.fit(tool, given)
        if tool.input:
            from mai.agents.signatures import STRANGE

            Shape(tool.input, f"the tool {tool.name}", STRANGE).fit(given)
        return given

    def use(
        self, step: Step, tool: Tool, fitting: dict[str, Any], key: str, begin: Callable[[], str] = lambda: ""
    ) -> Used | None:
        """Call a tool; None if what comes of it will be among `finished`.

        `begin` is called just before, at once or later, and says why it may not be called after all; "" if it may.
        """
        if tool.command:
            self._waiting[step] = Order(tool, fitting, key, begin)
            self._next()
            return None
        if why := begin():
            return Used(None, why, barred=True)
        if tool.handler:
            return self._handlers.use(tool, fitting, key)
        self._errand(step, tool, fitting, key)
        return None

    def ask(self, step: Step, tool: Tool, key: str, given: dict[str, Any]) -> Used | None:
        """Ask a queryable tool whether the call with this key happened: its value, or None; else as `use`."""
        if tool.command:
            self._waiting[step] = Order(tool, given, key, lambda: "", asks=True)
            self._next()
            return None
        if tool.handler:
            return self._handlers.ask(tool, key)
        self._errand(step, msgspec.structs.replace(tool, tool=tool.asked_by), {"key": key}, key, asks=True)
        return None

    def _errand(self, step: Step, tool: Tool, given: dict[str, Any], key: str, *, asks: bool = False) -> None:
        if self._servers:
            self._errands[step] = self._servers.call(tool, given, key, lambda answer: self._answered(step, answer, asks=asks))

    def finished(self) -> list[Finished]:
        """What has ended since the last time."""
        ended = list(self.ended)
        self.ended.clear()
        return ended

    def drop(self, task: str) -> None:
        """End what runs for a task that has ended."""
        for step in [step for step in self._waiting if step[0] == task]:
            del self._waiting[step]
        for step in [step for step in self._jobs if step[0] == task]:
            self._jobs.pop(step)[0].end("nobody waits for it any more")
        for step in [step for step in self._errands if step[0] == task]:
            if self._servers:
                self._servers.drop(self._errands.pop(step))
        self._next()

    def _end(self, step: Step, used: Used) -> None:
        self.ended.append(Finished(*step, used))

    # -- commands
    def _next(self) -> None:
        if not self._waiting:
            return
        from mai.agents.job import Job

        while self._waiting and len(self._jobs) < self._running:
            step = next(iter(self._waiting))
            order = self._waiting.pop(step)
            if why := order.begin():
                self._end(step, Used(None, why, barred=True))
                continue
            command = located(order.command, self._cells.base)
            try:
                job = Job(
                    command, msgspec.json.encode(order.given),
                    where=self._cells.cell("tools", order.tool.name, order.tool.files, command), environment=order.environment,
                    limit_s=order.tool.timeout_s, limit_bytes=self._limit_bytes,
                )  # fmt: skip
            except (OSError, ValueError) as error:
                why = f"the command of the tool {order.tool.name} cannot be started: {said(error)}"
                self._end(step, Used(None, why, unbegun=True))
                continue
            self._jobs[step] = job, order.tool

    def _reap(self) -> None:
        for step, (job, tool) in list(self._jobs.items()):
            job.tend()
            if job.outcome:
                del self._jobs[step]
                self._end(step, self._value(tool, *job.outcome))
        self._next()

    def _value(self, tool: Tool, output: bytes, refused: str, late: bool) -> Used:
        """What a command has written: JSON, or else a text."""
        if refused:
            return Used(None, f"the command of the tool {tool.name} {refused}", late)
        try:
            value = msgspec.json.decode(output) if output.strip() else None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            value = output.decode(errors="replace").removesuffix("\n")
        try:
            return Used(plain(value, self._limit_bytes))
        except NotPlain as fault:
            return Used(None, f"the command of the tool {tool.name} returned {fault}")

    # -- servers
    def _answered(self, step: Step, answer: "Answer", *, asks: bool = False) -> None:
        self._errands.pop(step, None)
        if asks and answer.get("value") in NOTHING:
            answer = {**answer, "value": None}
        refused, late = readable(str(answer.get("refused", ""))), bool(answer.get("late", False))
        try:
            self._end(step, Used(plain(answer.get("value"), self._limit_bytes), refused, late))
        except NotPlain as fault:
            self._end(step, Used(None, f"the tool returned {fault}"))

    # -- what there is
    def describe(self, step: Step, agent: str) -> Described | None:
        """What an agent may use: {"name", "about", "schema", "effect"} each, and a `fault` where one cannot be used.

        None if servers have to be asked: it will be among `finished`.
        """
        tools = self.of(agent)
        servers = sorted({tool.server for tool in tools if tool.server})
        if not servers or not self._servers:
            return [self._entry(tool, {}) for tool in tools]

        def described(answer: "Answer") -> None:
            fault = answer.get("refused", "")
            told = answer.get("tools") or {server: {"tools": [], "fault": fault} for server in servers}
            self._answered(step, {"value": [self._entry(tool, told) for tool in tools]})

        self._errands[step] = self._servers.describe(servers, DESCRIBE_S, described)
        return None

    def _entry(self, tool: Tool, told: dict[str, Any]) -> dict[str, Any]:
        entry = {"name": tool.name, "about": tool.about, "schema": OPEN, "effect": tool.effect}
        try:
            if tool.server:
                found = _told(tool, told[tool.server])
                return {**entry, **found, "name": tool.name, "about": tool.about or found["about"]}
            if tool.handler and not (tool.hosts and tool.input):
                signature = self._handlers.signature(tool)
                return {**entry, "schema": signature.schema, "about": tool.about or signature.about}
            from mai.agents.signatures import declared_schema

            return {**entry, "schema": declared_schema(tool.input)}
        except MaiError as fault:
            return {**entry, "fault": fault.sentence}

    # -- the loop
    @property
    def open(self) -> bool:
        """Does a step wait for something that runs beside the loop?"""
        return bool(self._waiting or self._jobs or self._errands or self.ended)

    def pipes(self) -> list[Pipe]:
        """What the loop has to wait for."""
        pipes = self._servers.pipes() if self._servers else []
        return [*pipes, *(pipe for job, _ in self._jobs.values() for pipe in job.pipes())]

    def tend(self) -> None:
        """Once a turn: end what has taken too long, begin what waits."""
        if self._servers:
            self._servers.tend()
        self._reap()

    def wait_ms(self, most_ms: int) -> int:
        """How long the loop may wait for the pipes."""
        waits = [most_ms, *(job.wait_ms() for job, _ in self._jobs.values())]
        if self._servers and (server_s := self._servers.next_s()) is not None:
            waits.append(max(0, int((server_s - time.monotonic()) * 1000) + 1))
        return 0 if self.ended else min(waits)

    def close(self) -> None:
        """End all that runs."""
        for job, _ in self._jobs.values():
            job.end("the department ends")
        if self._servers:
            self._servers.close()


def _told(tool: Tool, server: dict[str, Any]) -> dict[str, Any]:
    """What a server has told of a tool."""
    name = tool.tool or tool.name
    found: dict[str, Any] | None = next((one for one in server["tools"] if one["name"] == name), None)
    fault = server["fault"] or f"the tool server {tool.server} has no tool {name}"
    return found or {"about": "", "schema": OPEN, "fault": fault}
