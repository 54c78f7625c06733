"""The process that speaks MCP with a department's tool servers, so that the department need not load the SDK.

python -P -m mai.agents.mcp_host: its lines on standard input and output are those of servers.py. It starts a server with
the first need of it, and anew when that has ended; it ends, and all servers with it, when its standard input does.
"""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mai.agents.cells import Cells
from mai.agents.plain import NotPlain, plain, said

if TYPE_CHECKING:
    from mai.agents.mcp_server import Server

MISSING = "tool servers need the package mcp: pip install 'mai-company[mcp]'"
LINE_BYTES = 1 << 27  # from the department, which keeps its own bounds


class Host:
    """All servers of one department."""

    def __init__(self, given: dict[str, Any], output: int) -> None:
        """`given`: the first line."""
        self._given, self._limit_bytes, self._output = given["servers"], given["limit_bytes"], output
        self._cells = Cells(Path(given["home"]), Path(given["base"]), [Path(one) for one in given["secret"]])
        self._servers: dict[str, Server] = {}
        self._errands: dict[int, asyncio.Task[None]] = {}

    def take(self, line: dict[str, Any]) -> None:
        """Do what a line asks for."""
        if "drop" in line:
            if errand := self._errands.get(line["drop"]):
                errand.cancel()
            return
        errand = asyncio.create_task(self._tell(line) if "tools" in line else self._call(line))
        self._errands[line["id"]] = errand
        errand.add_done_callback(lambda _: self._errands.pop(line["id"], None))

    def _server(self, name: str) -> "Server":
        """A life of that server."""
        from mai.agents.mcp_server import Server

        if name not in self._servers or self._servers[name].why:
            # Room for what stands around a value, and for its being there twice: as text and as structured content.
            given = self._given[name]
            cell = partial(self._cells.cell, "servers", name, given["files"], given["command"])
            self._servers[name] = Server(name, given["command"], cell, 4 * self._limit_bytes)
        return self._servers[name]

    async def _call(self, line: dict[str, Any], again: bool = False) -> None:
        from mai.agents.mcp_server import Failed

        name, ident = line["server"], line["id"]
        try:
            found = await self._server(name).call(line["tool"], line["input"], line["key"], line["limit_s"])
            self._say({"id": ident, "value": plain(found, self._limit_bytes)})
        except Failed as failed:
            if failed.again and not again:
                await self._call(line, again=True)
            else:
                self._say({"id": ident, "refused": failed.why, "late": failed.late})
        except NotPlain as error:
            self._say({"id": ident, "refused": f"the tool {line['tool']} of the tool server {name} returned {error}"})
        except Exception as error:
            self._say({"id": ident, "refused": f"the tool server {name} cannot be used: {said(error)}", "late": True})

    async def _tell(self, line: dict[str, Any]) -> None:
        names = line["tools"]
        told = await asyncio.gather(*(self._tools(name, line["limit_s"]) for name in names))
        answer = {"id": line["id"], "tools": dict(zip(names, told, strict=True))}
        if len(msgspec.json.encode(answer)) > self._limit_bytes:
            fault = f"the tools of {', '.join(names)} take more than {self._limit_bytes} bytes to describe"
            answer["tools"] = {name: {"tools": [], "fault": fault} for name in names}
        self._say(answer)

    async def _tools(self, name: str, limit_s: float) -> dict[str, Any]:
        """What tools a server has, or why that is not known."""
        from mai.agents.mcp_server import Failed

        server = self._server(name)
        try:
            async with asyncio.timeout(limit_s):
                await server.ready()
        except Failed as failed:
            return {"tools": [], "fault": failed.why}
        except TimeoutError:
            return {"tools": [], "fault": f"the tool server {name} was not ready within {limit_s:g} s"}
        return {"tools": list(server.tools.values()), "fault": ""}

    def _say(self, answer: dict[str, Any]) -> None:
        write(self._output, answer)

    async def close(self) -> None:
        """End all servers."""
        for errand in list(self._errands.values()):
            errand.cancel()
        await asyncio.gather(*(server.close() for server in self._servers.values()))


def write(output: int, answer: dict[str, Any]) -> None:
    """One line for the department, which reads whatever it does besides."""
    data = memoryview(msgspec.json.encode(answer) + b"\n")
    while data:
        data = data[os.write(output, data) :]


async def serve(output: int) -> None:
    """Work until standard input ends."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    first = msgspec.json.decode(await reader.readline())
    host = Host(first, output)
    write(output, {"ready": True})
    try:
        while line := await reader.readline():
            host.take(msgspec.json.decode(line))
    finally:
        await host.close()


def main() -> int:
    """The process. What others print on standard output goes to the log."""
    output = os.dup(1)
    os.set_inheritable(output, False)
    os.dup2(2, 1)
    try:
        import mai.agents.mcp_server  # noqa: F401  it is only seen whether it can be
    except ImportError as error:
        write(output, {"fault": f"{MISSING} ({error})"})
        return 1
    asyncio.run(serve(output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
