"""One MCP server: its process and the session with it. Loads the SDK, so only the host of the tool servers may import it.

The SDK's own transport was rejected: it takes lines of any length, and its server outlives a killed client. What a server
says of its tools is data for whoever chooses among them; what it asks of us (sampling, elicitation, roots) the SDK refuses.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, cast

import anyio
import mcp_types as types
import referencing
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from jsonschema import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from mcp import ClientSession, MCPError
from mcp.shared.message import SessionMessage
from mcp_types import RequestParamsMeta

from mai.agents.plain import readable, said
from mai.agents.program import environment
from mai.sandbox.cell import Cell
from mai.sandbox.version import VERSION

START_S: Final = 30.0  # from its start to its list of tools; a call that comes meanwhile waits no longer than its own time
PROBE_S: Final = 2.0  # in which one that has not answered a call has to answer a ping
MOST_TOOLS: Final = 500
ABOUT_CHARS: Final = 4000
SCHEMA_BYTES: Final = 1 << 16
GARBAGE: Final = 100  # lines that are no message, before it is ended
Tool = dict[str, Any]  # {"name", "about", "schema"}


class Failed(Exception):
    """A call that gave no value. `late`: it may have happened; `again`: the server's next life may do it."""

    def __init__(self, why: str, late: bool = False, again: bool = False) -> None:
        super().__init__(why)
        self.why, self.late, self.again = why, late, again


class Server:
    """One life of a server. `why` says why it is of no use any more."""

    def __init__(self, name: str, command: list[str], cell: Callable[[], Cell], line_bytes: int) -> None:
        """`cell` makes where it works."""
        self.name, self.why = name, ""
        self.tools: dict[str, Tool] = {}
        self._command, self._cell, self._line_bytes = command, cell, line_bytes
        self._garbage, self._last = 0, ""
        self._validators: dict[str, Validator] = {}
        self._session: ClientSession | None = None
        self._settled, self._over = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listing: asyncio.Task[None] | None = None  # the last time that it was asked for its tools
        self._probing: asyncio.Task[None] | None = None  # or whether it is alive
        self._spawn(self._live())

    # -- its life
    async def ready(self) -> ClientSession:
        """The session, once there is one. Raises Failed."""
        await self._settled.wait()
        if self.why or self._session is None:
            raise Failed(f"the tool server {self.name} {self.why or 'has ended'}")
        return self._session

    async def _live(self) -> None:
        try:
            async with self._process() as (read, write), ClientSession(read, write, **self._ours()) as session:
                async with asyncio.timeout(START_S):
                    await session.initialize()
                    await self._list(session)
                self._session = session
                self._settled.set()
                await self._over.wait()
        except TimeoutError:
            self._end(f"did not say within {START_S:g} s what tools it has{self._noise()}")
        except OSError as error:
            self._end(f"cannot be started: {error}")
        except Exception as error:
            self._end(f"cannot be used: {said(_innermost(error))}")
        finally:
            self._end("has ended")

    def _ours(self) -> dict[str, Any]:
        return {"message_handler": self._told, "client_info": types.Implementation(name="mai", version=VERSION)}

    def _end(self, why: str) -> None:
        """It is of no use from now on; the first reason counts."""
        self.why = self.why or readable(why)
        self._settled.set()
        self._over.set()

    def _noise(self) -> str:
        return f"; it wrote what is no message: {self._last!r}" if self._garbage else ""

    async def _told(self, message: types.ServerNotification | Exception) -> None:
        if isinstance(message, types.ToolListChangedNotification) and self._session:
            self._listing = self._spawn(self._list_again(self._session))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _steady(self) -> None:
        """Until it is known what it has, and whether it lives. Raises Failed if it does not, any more."""
        for task in (self._listing, self._probing):
            if task and not task.done():
                await asyncio.shield(task)
                if self.why:
                    raise Failed(f"the tool server {self.name} {self.why}", again=True)

    async def close(self) -> None:
        """End its process."""
        self._end("has ended")
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- its process
    @contextlib.asynccontextmanager
    async def _process(self) -> AsyncIterator[tuple[Any, Any]]:
        parent, cell = os.getpid(), self._cell()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=self._line_bytes,
                cwd=cell.home, env={**environment(), **cell.environment}, process_group=0,
                preexec_fn=lambda: cell.enter(parent),  # a few system calls that were prepared
            )  # fmt: skip
        finally:
            cell.close()
        send, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        sent, take = anyio.create_memory_object_stream[SessionMessage](0)
        pumps = [asyncio.create_task(self._pump_in(process, send)), asyncio.create_task(self._pump_out(process, take))]
        try:
            yield received, sent
        finally:
            with contextlib.suppress(OSError):  # its group is its own until it is waited for
                os.killpg(process.pid, signal.SIGKILL)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            for stream in (send, received, sent, take):
                stream.close()

    async def _pump_in(self, process: asyncio.subprocess.Process, send: MemoryObjectSendStream[Any]) -> None:
        """What it says; lines that are no messages are counted."""
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                try:
                    message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    self._note(line)
                    if self.why:
                        return
                    continue
                await send.send(SessionMessage(message))
            self._end(f"has ended{self._noise()}")
        except ValueError:  # as asyncio says it
            self._end(f"wrote a line of more than {self._line_bytes} bytes, which is the limit")
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._end("has ended")
        finally:
            send.close()  # who waits for an answer hears that there will be none

    def _note(self, line: bytes) -> None:
        self._garbage, self._last = self._garbage + 1, readable(line[:80].decode(errors="replace"))
        print(f"the tool server {self.name} wrote what is no message: {self._last!r}", file=sys.stderr, flush=True)
        if self._garbage >= GARBAGE:
            self._end(f"wrote {GARBAGE} lines that are no messages, the last: {self._last!r}")

    async def _pump_out(self, process: asyncio.subprocess.Process, take: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """What it is told."""
        assert process.stdin is not None
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            async for one in take:
                process.stdin.write(one.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                await process.stdin.drain()

    # -- its tools
    async def _list(self, session: ClientSession) -> None:
        tools: dict[str, Tool] = {}
        validators: dict[str, Validator] = {}
        cursor: str | None = None
        while len(tools) < MOST_TOOLS:
            page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor) if cursor else None)
            for one in page.tools[: MOST_TOOLS - len(tools)]:
                tools[one.name], validator = _tool(one)
                if validator:
                    validators[one.name] = validator
            cursor = page.next_cursor
            if not cursor or not page.tools:
                break
        self.tools, self._validators = tools, validators

    async def _list_again(self, session: ClientSession) -> None:
        """Its tools have changed, it says; if it does not say how, the old ones stay."""
        with contextlib.suppress(MCPError, TimeoutError, ValueError):
            async with asyncio.timeout(START_S):
                await self._list(session)

    async def call(self, tool: str, given: dict[str, Any], key: str, limit_s: float) -> Any:
        """What a tool gives. Raises Failed."""
        begun = False
        try:
            async with asyncio.timeout(limit_s):
                session = await self.ready()
                await self._steady()
                self._check(tool, given)
                begun = True
                result = await session.call_tool(tool, given, meta=cast("RequestParamsMeta", {"mai/key": key}))
        except TimeoutError:
            if begun:
                self._probing = self._spawn(self._probe())
                raise Failed(f"the tool server {self.name} did not answer within {limit_s:g} s", late=True) from None
            still = f"the tool server {self.name} was not ready within {limit_s:g} s{self._noise()}"
            raise Failed(f"{still}; it goes on starting, ask again") from None
        except MCPError as error:
            if self.why or error.error.code == types.CONNECTION_CLOSED:
                await asyncio.sleep(0)  # whoever reads from it may know better
                raise Failed(f"the tool server {self.name} {self.why or 'has ended'}", late=True) from None
            raise Failed(f"the tool server {self.name} refuses: {readable(str(error))}") from None
        except (RuntimeError, ValueError) as error:  # what it answered is not what it had declared, or not MCP
            raise Failed(f"the tool server {self.name} answered what it may not: {said(error)}") from None
        return value(result)

    def _check(self, tool: str, given: dict[str, Any]) -> None:
        if tool not in self.tools:
            raise Failed(
                f"the tool server {self.name} has no tool {tool!r}; it has {', '.join(sorted(self.tools)[:20]) or 'none'}"
            )
        if fault := self.tools[tool].get("fault"):
            raise Failed(f"the tool {tool} of the tool server {self.name} {fault}")
        try:
            wrong = next(iter(self._validators[tool].iter_errors(given)), None)
        except Exception as error:  # a reference to elsewhere, a pattern that is none
            raise Failed(f"the tool {tool} of the tool server {self.name} cannot check its input: {said(error)}") from None
        if wrong:
            raise Failed(
                f"the tool {tool}: {wrong.json_path.removeprefix('$').lstrip('.') or 'the input'}: {wrong.message[:300]}"
            )

    async def _probe(self) -> None:
        """Is it only slow, or does it hang? Then it is ended, and the next call gets another life of it."""
        try:
            async with asyncio.timeout(PROBE_S):
                await (await self.ready()).send_ping()
        except Failed:
            return
        except MCPError:
            return  # an answer
        except TimeoutError:
            self._end(f"hangs: it answered neither a call nor a ping within {PROBE_S:g} s")


def _tool(found: types.Tool) -> tuple[Tool, Validator | None]:
    """A tool as we tell of it, and what checks its input; with a `fault` if it cannot be used."""
    about = readable(found.description or found.title or "", ABOUT_CHARS)
    schema, told = found.input_schema, {"name": found.name, "about": about, "schema": {"type": "object"}}
    if len(repr(schema)) > SCHEMA_BYTES:
        return {**told, "fault": f"has a schema of more than {SCHEMA_BYTES} bytes"}, None
    try:
        kind = validator_for(schema)
        kind.check_schema(schema)
    except SchemaError as error:
        return {**told, "fault": f"has a schema that is none: {readable(error.message, 200)}"}, None
    # A registry of its own: the default one would fetch what a schema refers to from the network.
    return {**told, "schema": schema}, kind(schema, registry=referencing.Registry())


def value(result: types.CallToolResult) -> Any:
    """What a tool gave: its structured content, or else its text; of other content it is named what it is. Raises Failed."""
    text = "\n".join(_block(one) for one in result.content)
    if result.is_error:
        raise Failed(f"the tool says: {readable(text) or 'it gives no reason'}")
    return text if result.structured_content is None else result.structured_content


def _block(block: Any) -> str:
    match block:
        case types.TextContent(text=text):
            return text
        case types.ImageContent(data=data) | types.AudioContent(data=data):
            size = len(data) * 3 // 4 - data[-2:].count("=")
            return f"[{block.type} of type {block.mime_type}, {size} bytes, not passed on]"
        case types.ResourceLink(uri=uri, name=name):
            return f"[a link to the resource {name}: {uri}]"
        case types.EmbeddedResource(resource=types.TextResourceContents(text=text)):
            return text
        case types.EmbeddedResource(resource=resource):
            return f"[the resource {resource.uri}, not passed on]"
    return f"[{type(block).__name__}, not passed on]"


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
