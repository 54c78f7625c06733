"""A department's tool servers: its end of the process that speaks MCP with them (mcp_host.py), which nobody else loads.

That process starts with the first need, ends with us, and is started again after its death, later each time. What we
write to it is one JSON object a line:

    {"servers": {"files": {"command": ["python", "server.py"], "files": "read"}}, "limit_bytes": 1000000,
     "home": "/…/acme/support", "base": "/etc/mai", "secret": ["/…"]}                first of all; it answers {"ready": true}
    {"id": 7, "server": "files", "tool": "read", "input": {...}, "key": "r/1/2", "limit_s": 4.0}
    {"id": 8, "tools": ["files"], "limit_s": 30.0}
    {"drop": 7}                                                                      nobody waits for it any more

and it answers {"id": 7, "value": ...} or {"id": 7, "refused": "why", "late": true}, `late` if it may have happened;
{"id": 8, "tools": {"files": {"tools": [{"name", "about", "schema"}], "fault": ""}}}; or {"fault": "why"} before it ends.
"""

import sys
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from mai.agents.cells import Cells, named, ours
from mai.agents.organisation import Server, Tool
from mai.agents.parts import Access
from mai.agents.pipes import Pipe
from mai.agents.plain import readable
from mai.agents.program import Program, located

HOST: Final = (sys.executable, "-P", "-m", "mai.agents.mcp_host")
READY_S: Final = 30.0  # for the host: it loads much
GRACE_S: Final = 5.0  # beyond a call's own time, which the host keeps: it hangs, then
BACKOFF_S: Final = (0.0, 0.5, 2.0, 8.0)  # before its next start, by how often it has died in a row
Answer = dict[str, Any]


class Errand(msgspec.Struct):
    """Something that the host was asked for. `until_s` is when we give it up."""

    line: dict[str, Any]
    limit_s: float
    done: Callable[[Answer], None]
    until_s: float
    given: bool = False  # to the host


class Servers:
    """The host, and what it has been asked for. Answers come as `done(answer)` while a pipe is served or in `tend`."""

    def __init__(self, servers: tuple[Server, ...], cells: Cells, limit_bytes: int) -> None:
        self._servers, self._cells, self._limit_bytes = servers, cells, limit_bytes
        self._host: Program | None = None
        self._ready = False
        self._started_s, self._deaths = 0.0, 0
        self._fault = ""  # what the host said before its end: that it cannot work at all
        self._errands: dict[int, Errand] = {}
        self._number = 0

    # -- errands
    def call(self, tool: Tool, given: dict[str, Any], key: str, done: Callable[[Answer], None]) -> int:
        """Call a tool of a server; the number to drop it by."""
        line = {"server": tool.server, "tool": tool.tool or tool.name, "input": given, "key": key}
        return self._ask(line, tool.timeout_s, done)

    def describe(self, servers: list[str], limit_s: float, done: Callable[[Answer], None]) -> int:
        """What tools these servers have."""
        return self._ask({"tools": servers}, limit_s, done)

    def _ask(self, line: dict[str, Any], limit_s: float, done: Callable[[Answer], None]) -> int:
        self._number += 1
        errand = Errand({"id": self._number, **line, "limit_s": limit_s}, limit_s, done, time.monotonic() + READY_S)
        self._errands[self._number] = errand
        self._start()
        if self._ready:
            self._give(errand)
        return self._number

    def _give(self, errand: Errand) -> None:
        assert self._host is not None, "a host that is ready and not there"
        errand.given, errand.until_s = True, time.monotonic() + errand.limit_s + GRACE_S
        self._host.write(errand.line)

    def drop(self, number: int) -> bool:
        """Nobody waits for it any more. Has it been given to the host?"""
        errand = self._errands.pop(number, None)
        if errand is None or not errand.given:
            return False
        if self._host:
            self._host.write({"drop": number})
        return True

    # -- the host
    def _start(self) -> None:
        if self._host or not self._errands or time.monotonic() < self._next_s:
            return
        self._started_s, self._ready = time.monotonic(), False
        try:
            words = [word for one in self._servers for word in named(located(one.command, self._cells.base))]
            cell = self._cells.cell("servers", files=self._most, more=[*ours(), *words])
            self._host = Program("tool servers", HOST, cell, self._cells.base, 2 * self._limit_bytes + (1 << 16))
        except (OSError, ValueError) as error:
            self._died(f"cannot be started: {error}")
            return
        cells = self._cells
        servers = {one.name: {"command": located(one.command, cells.base), "files": one.files} for one in self._servers}
        places = {"home": str(cells.home), "base": str(cells.base), "secret": [str(one) for one in cells.secret]}
        self._host.write({"servers": servers, "limit_bytes": self._limit_bytes, **places})

    @property
    def _most(self) -> Access:
        """The host may do what one of its servers may."""
        wanted = {one.files for one in self._servers}
        return "write" if "write" in wanted else "read" if "read" in wanted else ""

    @property
    def _next_s(self) -> float:
        """When the host may be started again."""
        return self._started_s + BACKOFF_S[min(self._deaths, len(BACKOFF_S) - 1)]

    def _died(self, why: str) -> None:
        """What it had been given may have happened; what it had not, waits for its successor."""
        if self._host:
            self._host.kill()
        fault, self._host, self._ready = self._fault, None, False
        self._deaths, self._fault = self._deaths + 1, ""
        for number, errand in list(self._errands.items()):
            if errand.given or fault:
                del self._errands[number]
                refused = fault or f"the process of the tool servers {why}"
                errand.done({"refused": readable(refused), "late": errand.given})

    def pipes(self) -> list[Pipe]:
        """What is to be waited for."""
        if self._host is None:
            return []
        host = self._host
        return [Pipe(host.stdout, False, self._read), *([Pipe(host.stdin, True, host.flush)] if host.stuck else [])]

    def _read(self) -> None:
        host = self._host
        if host is None:
            return
        host.read()
        while host.lines and self._host is host:
            self._heard(host.lines.popleft())
        if host.closed and self._host is host:
            self._died(host.closed)

    def _heard(self, line: bytes) -> None:
        try:
            answer = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._died("said what is no JSON object")
            return
        if answer.get("fault"):
            self._fault = str(answer["fault"])
        elif answer.get("ready"):
            self._ready = True
            for errand in self._errands.values():
                if not errand.given:
                    self._give(errand)
        elif (known := self._errands.pop(answer.get("id", 0), None)) is not None:
            self._deaths = 0
            known.done(answer)

    def tend(self) -> None:
        """Give up what has lasted too long, start what is to be started."""
        now_s = time.monotonic()
        late = [errand for errand in self._errands.values() if errand.until_s <= now_s]
        if late and (self._host or late[0].given):
            self._died(f"did not answer within {late[0].limit_s if late[0].given else READY_S:g} s")
        for number, errand in list(self._errands.items()):
            if errand.until_s <= now_s:
                del self._errands[number]
                errand.done({"refused": f"the process of the tool servers was not ready within {READY_S:g} s", "late": False})
        self._start()

    def next_s(self) -> float | None:
        """When `tend` is due, on the monotonic clock; None for never."""
        times = [errand.until_s for errand in self._errands.values()]
        if self._errands and not self._host:
            times.append(self._next_s)
        return min(times, default=None)

    def close(self) -> None:
        """End the host, and with it the servers."""
        if self._host:
            self._host.kill()
            self._host = None
