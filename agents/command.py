"""Command agents: any executable that speaks JSON lines on its standard streams.

We write a line {"task", "text", "contract", "input", "asker"}, with "correction" if its reply came back, "handover" if a
colleague had it before, "case" if it is a board that is asked which of the claims in the input stands; it answers with lines:

    {"call": "ask", "to": "sales.pipeline", "text": "", "input": {...}}      -> {"value": {...}, "text": "...", "by": "..."}
    {"call": "tool", "name": "find_order", "input": {...}}                   -> {"value": ...}
    {"call": "recall", "key": "k", "level": "agent", "version": 3}           -> {"value": ...}      a version is not needed
    {"call": "remember", "key": "k", "value": ..., "expires_s": 60}          -> {"value": the version's number}
    {"call": "forget", "key": "k"}                                           -> {"value": whether there was one}
    {"call": "recall_all", "prefix": "k", "limit": 100, "after": ""}         -> {"value": [{"key", "value", ...}], "more": false}
    {"call": "search", "text": "late payment", "limit": 10}                  -> {"value": [...], "more": false}
    {"call": "versions", "key": "k"}                                         -> {"value": [...], "more": false}
    {"call": "conclude", "subject": "s", "attribute": "a", "value": ...}     -> {"value": {"claim": "..."}}
    {"call": "rulings", "subject": "s", "attribute": ""}                     -> {"value": [{"attribute", "value", ...}]}
    {"call": "escalate", "reason": "why"}                                    -> {"value": {...}, "text": "...", "by": "..."}
    {"text": "...", "value": {...}}      the answer        {"refused": "why"}   or   {"escalate": "why"}

A refused call is answered {"refused": "why"}. After its last word `escalate` the answer of those above is the task's. The
program lives on for the next task; it has one at a time, and says nothing that it is not asked for. A line may name its `task`:
one that names another than the present is a fault, and not taken for the present one's.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import msgspec

from mai.agents.cells import Cells
from mai.agents.context import Answer, Assignment, Context, Memories, Refusal, Reply
from mai.agents.organisation import Agent
from mai.agents.pipes import Pipe
from mai.agents.plain import readable
from mai.agents.program import Program, located

CALLS = "ask, tool, recall, remember, forget, recall_all, search, versions, conclude, rulings, escalate"

MEMORY = {  # calls, and what each may be given
    "recall": ("key", "level", "version"),
    "remember": ("key", "value", "level", "expires_s"),
    "forget": ("key", "level"),
    "recall_all": ("prefix", "level", "limit", "after"),
    "search": ("text", "level", "limit"),
    "versions": ("key", "level"),
}


class Line:
    """The next line of a program; await it. Raises Refusal when none will come."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def __await__(self) -> Generator["Line", None, bytes]:
        while not self.ready():
            yield self
        if self.program.lines:
            return self.program.lines.popleft()
        raise Refusal(f"the command of {self.program.agent} {self.program.closed}", "failed")

    def ready(self) -> bool:
        """Is there a line, or will there be none?"""
        return bool(self.program.lines or self.program.closed)


class Seat:
    """A place among the programs at work; await it."""

    def __init__(self, programs: "Programs", task: str) -> None:
        self._programs, self.task = programs, task

    def __await__(self) -> Generator["Seat", None, None]:
        while not self.ready():
            yield self

    def ready(self) -> bool:
        """Is there room?"""
        return self._programs.room(self.task)


class Programs:
    """The command agents of one department: programs that wait for a task, and programs that have one.

    At most `most` are at work at once; one that waits for an answer from others is not. `wake(task)` is told which task
    can go on.
    """

    def __init__(self, cells: Cells, most: int, wake: Callable[[str], None]) -> None:
        """`cells`: where they work; its base is what paths among their arguments are relative to."""
        self._cells, self._base, self._most, self._wake = cells, cells.base, most, wake
        self._idle: dict[str, list[Program]] = {}
        self._busy: dict[str, Program] = {}  # by task
        self._asking: set[str] = set()  # tasks of programs that wait for others
        self._seeking: deque[str] = deque()  # tasks that wait for a seat
        self._files_seen: dict[str, tuple[str, tuple[int, ...]]] = {}  # by path, as many as the commands name

    def at_work(self) -> list[Program]:
        """Programs that have a task and do not wait for others: what they say is to be read."""
        return [program for task, program in self._busy.items() if task not in self._asking]

    def pipes(self) -> list[Pipe]:
        """What is to be waited for."""
        found = []
        for program in self.at_work():
            if program.wanted:
                found.append(Pipe(program.stdout, False, partial(self._read, program)))
            if program.stuck:
                found.append(Pipe(program.stdin, True, program.flush))
        return found

    def _read(self, program: Program) -> None:
        program.read()
        self._wake(program.task)

    def room(self, task: str) -> bool:
        """May this task take a seat? If not it waits in line."""
        if len(self._busy) - len(self._asking) < self._most:
            return True
        if task not in self._seeking:
            self._seeking.append(task)
        return False

    async def work(self, agent: Agent, context: Context, given: Assignment) -> Answer | None:
        """The coroutine of a command agent's task."""
        await Seat(self, given.task)
        program = self._take(agent, given.task)
        first = {"task": given.task, "text": given.text, "contract": given.contract, "input": given.input, "asker": given.asker}
        handed = msgspec.to_builtins(given.handover) if given.handover else None
        more = {"correction": given.correction, "case": given.case, "handover": handed}
        program.write({**first, **{name: one for name, one in more.items() if one}})
        while True:
            message = decode(agent.name, await Line(program))
            if (meant := message.pop("task", given.task)) != given.task:
                raise Refusal(
                    f"the command of {agent.name} spoke of the task {readable(str(meant), 80)!r}, which it has not", "failed"
                )
            if "call" not in message:
                if "escalate" in message:
                    await self._escalate(context, message, given.task)
                    return None
                program.free = bool(message.keys() & {"refused"})  # what is no answer may not have been its last word
                answer = _answer(message)
                program.free = True
                return answer
            self._asking.add(given.task)
            self._next_seat()
            try:
                program.write(await _call(context, message))
            except Refusal as refusal:
                program.write({"refused": refusal.reason})
            finally:
                self._asking.discard(given.task)

    async def _escalate(self, context: Context, message: dict[str, Any], task: str) -> None:
        """Its last word: it has nothing more to do with the task, which ends with the answer of those above."""
        self._busy[task].free = True
        self.release(task)
        await context.escalate(readable(str(message["escalate"])))

    def digest(self, agent: Agent) -> str:
        """Of a command: its words, and the files below the base that they name."""
        digest = hashlib.sha256()
        for word, part in zip(agent.command, located(agent.command, self._base), strict=True):
            digest.update(f"{word}\0{self._file(part) if part != word else ''}\0".encode())
        return digest.hexdigest()[:16]

    def _file(self, path: str) -> str:
        """The digest of a file, which is read again only when it has changed."""
        try:
            stat = os.stat(path)
            version = stat.st_mtime_ns, stat.st_size, stat.st_ino
            if self._files_seen.get(path, ("", ()))[1] != version:
                with open(path, "rb") as file:
                    self._files_seen[path] = hashlib.file_digest(file, "sha256").hexdigest(), version
            return self._files_seen[path][0]
        except OSError:
            return ""  # it cannot be started either, which says why

    def _take(self, agent: Agent, task: str) -> Program:
        idle = self._idle.get(agent.name, [])
        program = idle.pop() if idle else None
        if program is not None and not program.quiet():  # it ended, or spoke without being asked
            program.kill()
            program = None
        try:
            if program is None:
                cell = self._cells.cell("agents", agent.name, agent.files, located(agent.command, self._base))
                program = Program(agent.name, agent.command, cell, self._base)
        except (OSError, ValueError) as error:
            raise Refusal(f"the command of {agent.name} cannot be started: {error}", "failed") from None
        program.task, program.free = task, False
        self._busy[task] = program
        return program

    def release(self, task: str) -> None:
        """A task has ended by itself: its program waits for the next, unless it is in the middle of something."""
        program = self._leave(task)
        if program and program.quiet():
            self._idle.setdefault(program.agent, []).append(program)
        elif program:
            program.kill()

    def kill(self, task: str) -> None:
        """A task was ended from outside: its program is in the middle of it, and goes."""
        if program := self._leave(task):
            program.kill()

    def _leave(self, task: str) -> Program | None:
        if task in self._seeking:
            self._seeking.remove(task)
        program = self._busy.pop(task, None)
        self._asking.discard(task)
        self._next_seat()
        return program

    def _next_seat(self) -> None:
        if self._seeking:
            self._wake(self._seeking.popleft())

    def close(self) -> None:
        """End all programs."""
        for program in (*self._busy.values(), *(one for idle in self._idle.values() for one in idle)):
            program.kill()


def decode(agent: str, line: bytes) -> dict[str, Any]:
    """One line of a program. Raises Refusal."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        shown = line[:80].decode(errors="replace")
        raise Refusal(f"the command of {agent} wrote a line that is no JSON object: {shown!r}", "failed") from None


def _answer(message: dict[str, Any]) -> Answer:
    if "refused" in message:
        raise Refusal(readable(str(message["refused"])))
    if not message or message.keys() - {"text", "value"}:
        said = readable(", ".join(sorted(message)), 80) or "nothing"
        raise Refusal(f"the command answered with {said}; an answer has a text, a value or both", "failed")
    try:
        return msgspec.convert(message, Answer)
    except msgspec.ValidationError as error:
        raise Refusal(f"the command answered in a wrong form: {error}", "failed") from None


async def _call(context: Context, message: dict[str, Any]) -> dict[str, Any]:
    """Do what a line asks for. What is wrong with it is told to the program."""
    match message["call"]:
        case "ask":
            reply: Reply = await context.asked(message.get("to", ""), message.get("text", ""), _input(message))
            return {"value": reply.value, "text": reply.text, "by": reply.by}
        case "tool":
            return {"value": await context.tool(message.get("name", ""), **_input(message))}
        case "recall" | "remember" | "forget" | "recall_all" | "search" | "versions" as call:
            return await _memory(context, call, message)
        case "conclude":
            grounds = message.get("grounds", [])
            if not isinstance(grounds, list):
                raise Refusal("the grounds of a conclusion have to be a list of texts")
            confidence = message.get("confidence", 1.0)
            subject, attribute = message.get("subject", ""), message.get("attribute", "")
            value, why = message.get("value"), message.get("why", "")
            return {"value": await context.conclude(subject, attribute, value, confidence=confidence, grounds=grounds, why=why)}
        case "rulings":
            return {"value": await context.rulings(message.get("subject", ""), message.get("attribute", ""))}
        case "escalate":
            reply = await context.escalate(readable(str(message.get("reason", ""))))
            return {"value": reply.value, "text": reply.text, "by": reply.by}
        case other:
            raise Refusal(f"there is no call {readable(str(other), 40)!r}; the calls are {CALLS}")


async def _memory(context: Context, call: str, message: dict[str, Any]) -> dict[str, Any]:
    """What a line wants of memory; what it leaves out is as it is in Python."""
    given = {name: message[name] for name in MEMORY[call] if name in message}
    first = ["text"] if call == "search" else ["key"] if call != "recall_all" else []
    given |= {name: "" for name in first if name not in message}
    given |= {"value": None} if call == "remember" and "value" not in message else {}
    found = await getattr(context, call)(**given)
    if isinstance(found, Memories):
        return {"value": msgspec.to_builtins(list(found)), "more": found.more}
    return {"value": found}


def _input(message: dict[str, Any]) -> dict[str, Any]:
    given = message.get("input", {})
    if not isinstance(given, dict):
        raise Refusal("the input of a call has to be an object")
    return given
