"""What must hold of an organisation's tools and of the servers that they are at; the rules of rules.py go on here."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from mai.agents.backup_rules import tool_is_backed_up
from mai.agents.cancelling import FIELDS
from mai.agents.faults import nearest, shown
from mai.agents.fields import flaws
from mai.agents.hosts import parse
from mai.agents.lines import KeyPath
from mai.agents.organisation import Department, Tool
from mai.agents.sources import ASKED, TOOL

if TYPE_CHECKING:
    from mai.agents.rules import Scene

Broken = Iterator[tuple[KeyPath, str, str]]
KINDS: Final = ("handler", "command", "server")
ONE: Final = 'expected one of handler = "file.py:function", command = ["program"] and server = "NAME"'


def servers_can_be_started(scene: "Scene", department: Department, where: KeyPath) -> Broken:
    """Each server of a department has a name of its own and a program that exists."""
    names = [server.name for server in department.servers]
    for index, server in enumerate(department.servers):
        at = (*where, "servers", index)
        if not scene.findings.sound(at):
            continue
        if server.name in names[:index]:
            yield (*at, "name"), f"{department.name} has two servers named {server.name}", "give one of them another name"
        yield from _program(scene, f"the server {server.name} of {department.name}", server.command, at)


def _program(scene: "Scene", label: str, command: tuple[str, ...], where: KeyPath) -> Broken:
    if not scene.findings.sound(where, "command"):
        return
    if not command:
        yield (*where, "command"), f"{label} has an empty command", 'expected command = ["program", "argument"]'
    elif wrong := scene.sources.executable(command[0]):
        yield (*where, "command"), f"{label}: {wrong[0]}", wrong[1]


def tool_can_be_called(scene: "Scene", department: Department, tool: Tool, where: KeyPath) -> Broken:
    """A tool is one thing that exists: a function, a command, or a tool of one of the department's servers."""
    label = f"the tool {tool.name} of {department.name}"
    given = [kind for kind in KINDS if getattr(tool, kind) or not scene.findings.sound(where, kind)]
    if not given:
        yield where, f"{label} has neither a handler nor a command nor a server", ONE
    elif len(given) > 1:
        yield (*where, given[1]), f"{label} has both a {given[0]} and a {given[1]}", ONE
    if tool.handler and (wrong := scene.sources.function(tool.handler, TOOL) or scene.sources.annotations(tool.handler)):
        yield (*where, "handler"), f"{label}: {wrong[0]}", wrong[1]
    if tool.command:
        yield from _program(scene, label, tool.command, where)
    servers = [server.name for server in department.servers]
    if tool.server and tool.server not in servers and scene.findings.sound(where, "server"):
        hint = nearest(tool.server, servers, f"the servers of {department.name}")
        yield (*where, "server"), f"{label} is at the server {shown(tool.server)}, which {department.name} has not", hint
    if tool.files and not tool.command:
        hint = "a function gets them anyway, a server has the key itself: leave it out"
        yield (*where, "files"), f"{label} has the key files and is no command", hint
    if tool.tool and not tool.server:
        yield (*where, "tool"), f"{label} has the key tool and no server", "it is a server's name for its tool: leave it out"


def tool_keeps_its_time(scene: "Scene", department: Department, tool: Tool, where: KeyPath) -> Broken:
    """A function that runs in its department's own loop returns before the process is taken for hung."""
    if tool.handler and not tool.hosts and tool.timeout_s >= scene.heartbeat_s:
        hint = f"a process that sends no heartbeat for {scene.heartbeat_s:g} s is killed: timeout_s has to be less"
        yield (*where, "timeout_s"), f"the tool {tool.name} of {department.name} may take {tool.timeout_s:g} s", hint


def tool_has_its_hosts(scene: "Scene", department: Department, tool: Tool, where: KeyPath) -> Broken:
    """Only a function may have the network, and its hosts are named."""
    label = f"the tool {tool.name} of {department.name}"
    if tool.hosts and not tool.handler and scene.findings.sound(where, "handler", "command", "server", "hosts"):
        hint = "the list of hosts is kept inside a Python process: a program of another's would not be held to it"
        yield (*where, "hosts"), f"{label} has hosts and is no function", hint
    for index, host in enumerate(tool.hosts):
        at = (*where, "hosts", index)
        if parse(host) is None and scene.findings.sound(at):
            yield (
                at,
                f"{label}: {shown(host)} is no host",
                'expected "api.example.com" or "api.example.com:443", no address of a page',
            )
        elif host in tool.hosts[:index]:
            yield at, f"{label} lists the host {host} twice", "once is enough"


def tool_is_typed(scene: "Scene", department: Department, tool: Tool, where: KeyPath) -> Broken:
    """What it takes has types."""
    for path, sentence, hint in flaws(tool.input):
        field = ".".join(str(part) for part in path if isinstance(part, str))
        yield (*where, "input", *path), f"the tool {tool.name} of {department.name}: input.{field}: {sentence}", hint


def tool_can_be_undone(scene: "Scene", department: Department, tool: Tool, where: KeyPath) -> Broken:
    """What undoes a tool is another of the same department, which changes something, here, and takes what it is called with."""
    if not tool.undo or not scene.findings.sound(where, "undo"):
        return
    at, label = (*where, "undo"), f"the tool {tool.name} of {department.name}"
    other = next((one for one in department.tools if one.name == tool.undo), None)
    if tool.effect == "none":
        yield at, f"{label} has an undo and no effect", "there is nothing to undo: give it an effect, or leave undo out"
        return
    if other is None:
        names = [one.name for one in department.tools]
        yield (
            at,
            f"{label} is undone by {shown(tool.undo)}, which {department.name} has not",
            nearest(tool.undo, names, "its tools"),
        )
        return
    if other.effect == "none":
        yield (
            at,
            f"{label} is undone by {other.name}, which has no effect",
            f"give {other.name} an effect of idempotent, queryable or opaque",
        )
    if other.hosts:
        yield (
            at,
            f"{label} is undone by {other.name}, which has hosts",
            "what undoes runs in its department, for a request that has ended",
        )
    lacking = [name for name in FIELDS if other.input and name not in other.input]
    declared = scene.sources.parameters(other.handler) if other.handler else None
    lacking = lacking or [name for name in FIELDS if declared is not None and name not in declared]
    if lacking:
        yield at, f"{label} is undone by {other.name}, which does not take {lacking[0]}", UNDOES


UNDOES: Final = "it is called with undoes (the effect's key), input (what the tool was called with) and value (what it gave)"
HOW: Final = {
    "handler": 'asked_by = "file.py:function", called with the directory and the key: its value, or None if it did not happen',
    "command": 'asked_by = ["program", "argument"], started with MAI_KEY: it writes the value, or nothing if it did not happen',
    "server": 'asked_by = "tool", another tool of the server, called with {"key"}: its value, or null if it did not happen',
}


def tool_can_be_asked(scene: "Scene", department: Department, tool: Tool, where: KeyPath) -> Broken:
    """A queryable tool, and no other, says how it is asked by its key whether it happened."""
    label = f"the tool {tool.name} of {department.name}"
    kind = next((kind for kind in KINDS if getattr(tool, kind)), "")
    if not kind or not scene.findings.sound(where, *KINDS, "effect", "asked_by"):
        return
    if tool.asked_by and tool.effect != "queryable":
        hint = 'effect = "queryable", or leave asked_by out'
        yield (*where, "asked_by"), f"{label} has asked_by and is {tool.effect}", hint
    elif tool.effect == "queryable" and not tool.asked_by:
        yield (*where, "effect"), f"{label} is queryable and does not say how it is asked whether it happened", HOW[kind]
    elif isinstance(tool.asked_by, str) == (kind == "command") and tool.asked_by:
        yield (*where, "asked_by"), f"{label}: a {kind} is not asked in this way", HOW[kind]
    elif tool.asked_by:
        yield from _asking(scene, tool, label, (*where, "asked_by"))


def _asking(scene: "Scene", tool: Tool, label: str, at: KeyPath) -> Broken:
    """What is useless about the way in which a queryable tool is asked."""
    asked = tool.asked_by
    itself = {tool.handler, tool.server and (tool.tool or tool.name), tool.command} - {"", ()}
    if asked in itself:
        yield at, f"{label} is asked by itself, which would do it again", "name what only looks whether it happened"
    elif isinstance(asked, tuple):
        if wrong := scene.sources.executable(asked[0]):
            yield at, f"{label}: {wrong[0]}", wrong[1]
    elif tool.handler and (wrong := scene.sources.function(asked, ASKED)):
        yield at, f"{label}: {wrong[0]}", wrong[1]
    elif tool.handler and scene.sources.keyless(tool.handler):
        hint = "expected def …(files, …, *, key): what it does has to be found by that key"
        yield (*at[:-1], "handler"), f"{label} is asked by a key that its function does not take", hint


OF_TOOL: Final = (
    tool_can_be_called, tool_can_be_asked, tool_keeps_its_time, tool_has_its_hosts, tool_is_typed, tool_can_be_undone,
    tool_is_backed_up,
)  # fmt: skip
