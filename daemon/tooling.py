"""What the tools process of a client decides: which use of a tool that needs the network goes on, and how it ends. Pure.

A use is on record before it begins, and its end before it is told. One that had begun when the process died is begun
again with the same key if its effect allows that; a queryable one is asked by its key whether it happened, and then has
its value or is begun again; of any other nobody knows.
"""

from typing import Any, ClassVar

import msgspec

from mai.agents.body import Fields
from mai.agents.cancelling import fitting, said
from mai.agents.decider import Input, Send, Tick, fold_link, too_large
from mai.agents.effects import ONCE
from mai.agents.errand_messages import Use, Used
from mai.agents.events import Event, Received, register
from mai.agents.order_messages import Cancel, Cancelled
from mai.agents.organisation import Mandate, Tool
from mai.agents.plain import readable
from mai.agents.state import State

ATTEMPTS = 3  # begun so often without an end, it is given up: it may be what kills the process


class ToolBegun(Event, frozen=True, kw_only=True):
    """A tool is about to be called; its input stands in the message that asked for it."""

    kind: ClassVar[str] = "tool.begun"
    request: str
    task: str  # the id of the use
    agent: str
    tool: str
    key: str
    effect: str
    attempt: int


class ToolDoubted(Event, frozen=True, kw_only=True):
    """A queryable tool may have happened: it is about to be asked."""

    kind: ClassVar[str] = "tool.doubted"
    request: str
    task: str
    agent: str
    tool: str
    key: str
    why: str


class ToolQueried(Event, frozen=True, kw_only=True):
    """It was asked by its key whether it happened. Found: its end follows; else it may begin again."""

    kind: ClassVar[str] = "tool.queried"
    request: str
    task: str
    agent: str
    tool: str
    key: str
    found: bool


class ToolEnded(Event, frozen=True, kw_only=True):
    """What came of it."""

    kind: ClassVar[str] = "tool.ended"
    request: str
    task: str
    agent: str
    tool: str
    value: Any = None
    refused: str = ""
    doubt: bool = False  # it may have happened


register(ToolBegun, ToolDoubted, ToolQueried, ToolEnded)


class OpenUse(msgspec.Struct, omit_defaults=True):
    """A use that has not ended."""

    id: str
    request: str
    agent: str
    tool: str
    key: str
    input: Fields
    deadline_ms: int
    attempts: int = 0  # how often it has begun
    doubt: str = ""  # why it is being asked whether it happened
    free: bool = False  # it was asked: it had not happened, and has not begun since

    @property
    def begun(self) -> bool:
        """May it have happened?"""
        return self.attempts > 0 and not self.free


class ToolsState(State):
    """The open uses, in the order in which they came."""

    def __init__(self) -> None:
        super().__init__()
        self.uses: dict[str, OpenUse] = {}


class Wanted(Input, frozen=True):
    """Mai brings a use."""

    id: str


class Happened(Input, frozen=True):
    """The call has ended; `late` if it was ended by force, done or not."""

    id: str
    value: Any
    refused: str
    late: bool


class Lost(Input, frozen=True):
    """The process died while the call ran."""

    id: str


class Dropped(Input, frozen=True):
    """Mai brings that a request is cancelled."""

    body: Cancel


class ToolsDecider:
    """The pure half of the tools process."""

    def __init__(self, mandate: Mandate) -> None:
        self.state = ToolsState()
        self.mandate = mandate
        self.limits = mandate.organisation.limits
        self.mai = f"{mandate.client}/mai"

    def tool(self, use: OpenUse) -> Tool | None:
        """The tool, if it is in the scope of the agent in whose name it is asked for."""
        name, _, word = use.tool.partition(".")
        department = self.mandate.organisation.department(name)
        client, _, rest = use.agent.partition("/")
        at, _, who = rest.partition("/")
        agent = department.agent(who) if department else None
        if department is None or agent is None or (client, at) != (self.mandate.client, name) or word not in agent.tools:
            return None
        return next((tool for tool in department.tools if tool.name == word), None)

    # -- decide
    def decide(self, given: Input, now_ms: int) -> list[Event | Send]:
        """Turn an input into facts and sends."""
        match given:
            case Tick():
                late = [use for use in self.state.uses.values() if use.deadline_ms <= now_ms]
                return [item for use in late for item in self._late(use)]
            case Dropped(body=body):
                return self._dropped(body)
            case Wanted() | Happened() | Lost():
                return self._about(given, now_ms)
        return []

    def _about(self, given: Wanted | Happened | Lost, now_ms: int) -> list[Event | Send]:
        use = self.state.uses.get(given.id)
        if use is None:
            return []  # it has ended meanwhile
        match given:
            case Wanted():
                return self._wanted(use, now_ms)
            case Happened():
                return self._happened(use, given)
            case Lost():
                return self._lost(use)

    def _wanted(self, use: OpenUse, now_ms: int) -> list[Event | Send]:
        if self.tool(use) is None:
            return self._end(use, refused=f"{use.agent} may not use the tool {use.tool}")
        if len(self.state.uses) > self.limits.queue:
            return self._end(
                use, refused=f"{self.limits.queue} tools are in use, which is the limit; ask again later", clear=True
            )
        return self._late(use) if use.deadline_ms <= now_ms else []

    def _late(self, use: OpenUse) -> list[Event | Send]:
        begun = use.begun
        why = f"the tool {use.tool} did not end before the task's deadline" if begun else "it came after its deadline"
        return self._end(use, refused=why, doubt=begun and self._once(use))

    def _lost(self, use: OpenUse) -> list[Event | Send]:
        why = f"the process of the tool {use.tool} died while it was used"
        if use.doubt or not use.begun:
            return []  # it is asked again, or begins
        if self._asks(use):
            return [self._doubted(use, why)]
        if self._once(use):
            return self._end(use, refused=why, doubt=True)
        if use.attempts >= ATTEMPTS:
            return self._end(
                use, refused=f"the process died {use.attempts} times while {use.tool} was used; it is not tried again"
            )
        return []  # it begins again

    def _dropped(self, body: Cancel) -> list[Event | Send]:
        """The open uses of a cancelled request end; one that had begun is ended by force."""
        uses = [use for use in self.state.uses.values() if use.request == body.request]
        why = said(body.by, body.reason)
        found = [item for use in uses for item in self._end(use, refused=why, doubt=use.begun and self._once(use))]
        answer = fitting(Cancelled(body.request, tuple(use.id for use in uses)), self.limits.message_bytes)
        return [*found, Send(self.mai, f"{body.request}!tools", 0, answer)]

    def _happened(self, use: OpenUse, given: Happened) -> list[Event | Send]:
        if use.doubt:
            return self._asked(use, given)
        if given.late and self._asks(use):
            return [self._doubted(use, given.refused)]
        return self._end(use, given.value, given.refused, given.late and self._once(use))

    def _asks(self, use: OpenUse) -> bool:
        """Is it asked whether it happened?"""
        tool = self.tool(use)
        return tool is not None and tool.effect == "queryable" and bool(tool.asked_by)

    def _doubted(self, use: OpenUse, why: str) -> ToolDoubted:
        return ToolDoubted(request=use.request, task=use.id, agent=use.agent, tool=use.tool, key=use.key, why=readable(why))

    def _asked(self, use: OpenUse, given: Happened) -> list[Event | Send]:
        """What it said when it was asked."""
        if given.refused:
            return self._end(use, refused=f"{use.doubt}; asked whether it happened: {given.refused}", doubt=True)
        found = given.value is not None
        queried = ToolQueried(request=use.request, task=use.id, agent=use.agent, tool=use.tool, key=use.key, found=found)
        if found:
            return [queried, *self._end(use, given.value)]
        if use.attempts >= ATTEMPTS:
            return [queried, *self._end(use, refused=f"{use.doubt}; it did not happen in {use.attempts} calls", clear=True)]
        return [queried]

    def _once(self, use: OpenUse) -> bool:
        tool = self.tool(use)
        return tool is None or tool.effect in ONCE

    def _end(
        self, use: OpenUse, value: Any = None, refused: str = "", doubt: bool = False, *, clear: bool = False
    ) -> list[Event | Send]:
        body = Used(use.id, use.request, value, readable(refused), doubt, clear)
        if why := too_large(body, self.limits.message_bytes):
            body = Used(use.id, use.request, None, f"what the tool {use.tool} gave cannot be sent: {why}", doubt)
        ended = ToolEnded(
            request=use.request, task=use.id, agent=use.agent, tool=use.tool,
            value=body.value, refused=body.refused, doubt=body.doubt,
        )  # fmt: skip
        return [ended, Send(self.mai, f"{use.id}=", 0, body)]

    def begin(self, use: OpenUse) -> ToolBegun:
        """What is on record before the tool is called."""
        tool = self.tool(use)
        assert tool is not None, "a use out of scope has ended"
        return ToolBegun(
            request=use.request, task=use.id, agent=use.agent, tool=use.tool, key=use.key,
            effect=tool.effect, attempt=use.attempts + 1,
        )  # fmt: skip

    # -- evolve
    def evolve(self, event: Event, seq: int) -> list[Input]:
        """Fold one fact."""
        uses = self.state.uses
        match event:
            case Received(body=Use() as body, deadline_ms=until_ms) if body.id not in uses:
                self._keep(OpenUse(body.id, body.request, body.agent, body.tool, body.key, body.input, until_ms))
            case ToolBegun(task=ident) if ident in uses:
                uses[ident].attempts, uses[ident].free = event.attempt, False
                self._keep(uses[ident])
            case ToolDoubted(task=ident) if ident in uses:
                uses[ident].doubt = event.why or "in doubt"
                self._keep(uses[ident])
            case ToolQueried(task=ident) if ident in uses:
                uses[ident].doubt, uses[ident].free = "", not event.found
                self._keep(uses[ident])
            case ToolEnded(task=ident) if ident in uses:
                del uses[ident]
                self.state.changed("use", ident, None)
        fold_link(self.state, event, seq)
        return []

    def _keep(self, use: OpenUse) -> None:
        self.state.uses[use.id] = use
        self.state.changed("use", use.id, use)

    def taken(self, received: Received) -> list[Input]:
        """The inputs that a message from Mai brings."""
        match received.body:
            case Use(id=ident):
                return [Wanted(ident)]
            case Cancel():
                return [Dropped(received.body)]
        return []

    def next_deadline_ms(self) -> int:
        """The first deadline of an open use; 0 if there is none."""
        return min((use.deadline_ms for use in self.state.uses.values() if use.deadline_ms), default=0)
