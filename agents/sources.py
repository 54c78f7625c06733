"""The users' code that an organisation names: does it exist, and can it be called? Read, never imported or run."""

import ast
import builtins
import contextlib
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mai.agents.faults import nearest, shown

HANDLER: Final = re.compile(r"(?P<file>[^:\0]+\.py):(?P<function>[A-Za-z_][A-Za-z0-9_]*)")


class Role(NamedTuple):
    """How a function is called: with how many values, whether named ones follow, whether it may be a coroutine's."""

    called: str
    values: int
    more: bool
    coroutine: bool


AGENT: Final = Role("async def {}(ctx, task)", 2, False, True)
TOOL: Final = Role("def {}(files, …)", 1, True, False)
ASKED: Final = Role("def {}(files, key)", 2, False, False)
PREPARE: Final = Role("def {}(files)", 1, False, False)
TYPES: Final = frozenset({"bool", "bytes", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"})
Wrong = tuple[str, str]  # a sentence and a hint
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Sources:
    """The files below one directory, each read once; or none at all, and then nothing is wrong with them."""

    def __init__(self, base: str, look: bool = True) -> None:
        self.base, self.look = base, look
        self._names: dict[str, dict[str, ast.stmt] | str] = {}

    def function(self, handler: str, role: Role) -> Wrong | None:
        """What is wrong with `file.py:function`; None if it can be called in this role."""
        parts = HANDLER.fullmatch(handler)
        if parts is None:
            return f"{shown(handler)} names no function", 'expected "file.py:function", relative to the organisation file'
        if not self.look:
            return None
        file, function = parts["file"], parts["function"]
        names = self._read(file)
        if isinstance(names, str):
            return names, f"the file is looked for in {self.base}"
        if function not in names:
            return f"{file} has no function {function}", nearest(function, names, "it has")
        if wrong := _misfit(names[function], role):
            return f"{file}:{names[function].lineno}: {function} {wrong}", f"expected {role.called.format(function)}"
        return None

    def annotations(self, handler: str) -> Wrong | None:
        """What is wrong with the annotations of a tool's function, as far as reading it tells; None if nothing is."""
        file, _, function = handler.rpartition(":")
        names = self._read(file) if self.look else ""
        found = names.get(function) if isinstance(names, dict) else None
        if not isinstance(names, dict) or not isinstance(found, Function) or "*" in names or vars(found).get("type_params"):
            return None
        for argument in _arguments(found.args):
            for name, line in _type_names(argument.annotation):
                if wrong := _no_type(name, names):
                    hint = (
                        f"a tool is called with values of JSON; the types are {', '.join(sorted(TYPES))}, and what msgspec knows"
                    )
                    return f"{file}:{line}: the parameter {argument.arg} of {function} is annotated with {name}, {wrong}", hint
        return None

    def parameters(self, handler: str) -> set[str] | None:
        """The names of what a function takes, as far as reading it tells; None if it may take anything, or is not known."""
        found = self.annotated(handler)
        return None if found is None else set(found)

    def annotated(self, handler: str) -> dict[str, ast.expr | None] | None:
        """The annotations of what a function takes, by name; None if it may take anything, or is not known."""
        file, _, function = handler.rpartition(":")
        names = self._read(file) if self.look else ""
        found = names.get(function) if isinstance(names, dict) else None
        if not isinstance(found, Function) or found.args.kwarg or found.decorator_list:
            return None
        return {argument.arg: argument.annotation for argument in _arguments(found.args)}

    def keyless(self, handler: str) -> bool:
        """Has a tool's function certainly no place for its key?"""
        file, _, function = handler.rpartition(":")
        names = self._read(file) if self.look else ""
        found = names.get(function) if isinstance(names, dict) else None
        if not isinstance(found, Function) or found.decorator_list:
            return False
        return found.args.kwarg is None and all(one.arg != "key" for one in found.args.kwonlyargs)

    def executable(self, command: str) -> Wrong | None:
        """What is wrong with the first word of a command; None if it can be started."""
        program = command.replace("{base}", self.base)
        if not self.look:
            return None
        if "/" not in program:
            return None if shutil.which(program) else (f"there is no program {shown(program)}", "is it installed, and in PATH?")
        path = os.path.join(self.base, program)
        if not os.path.isfile(path):
            return f"there is no program {shown(command)}", f"it is looked for at {path}"
        return None if os.access(path, os.X_OK) else (f"{shown(command)} is not executable", f"chmod +x {path}")

    def _read(self, file: str) -> dict[str, ast.stmt] | str:
        """The names that a file binds at its top level, or why it cannot be read."""
        if file not in self._names:
            self._names[file] = _names(Path(self.base, file), file)
        return self._names[file]


def _names(path: Path, file: str) -> dict[str, ast.stmt] | str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the file's own, about its escapes
            module = ast.parse(path.read_bytes(), file)
    except FileNotFoundError:
        return f"there is no file {file}"
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}"
    except SyntaxError as error:
        return f"{file}:{error.lineno or 1}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{file} is no Python: {error}"
    return dict(_bound(module.body))


def _bound(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Names that statements bind, also below `if` and `try`."""
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, statement
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from ((alias.asname or alias.name.split(".")[0], statement) for alias in names)
            case ast.Assign(targets=targets):
                yield from ((name.id, statement) for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                yield name, statement
            case _ if isinstance(alias := vars(statement).get("name"), ast.Name):  # `type X = …`, from Python 3.12 on
                yield alias.id, statement
            case ast.If() | ast.Try() | ast.With():
                for block in (statement.body, *(getattr(statement, part, []) for part in ("orelse", "finalbody"))):
                    yield from _bound(block)


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    """What a tool's function is called with: neither the directory nor the key."""
    by_name = [one for one in arguments.kwonlyargs if one.arg != "key"]
    return [*(*arguments.posonlyargs, *arguments.args)[1:], *by_name]


def _type_names(node: ast.expr | None) -> Iterator[tuple[str, int]]:
    """The names in an annotation that stand for types, each with its line."""
    match node:
        case ast.Name(id=name):
            yield name, node.lineno
        case ast.Attribute(value=value):
            yield from _type_names(value)
        case ast.Constant(value=str() as text):
            with contextlib.suppress(SyntaxError, ValueError):
                yield from ((name, node.lineno) for name, _ in _type_names(ast.parse(text, mode="eval").body))
        case ast.BinOp(left=left, right=right):
            yield from (*_type_names(left), *_type_names(right))
        case ast.Subscript(value=outer, slice=inner):
            yield from _type_names(outer)
            first = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            said = ast.unparse(outer).rpartition(".")[2]
            for one in [] if said == "Literal" else first[:1] if said == "Annotated" else first:
                yield from _type_names(one)


def _no_type(name: str, names: dict[str, ast.stmt]) -> str:
    """Why a name stands for no type of an argument; "" if it may."""
    if name in names or name in TYPES:
        return ""
    return "which is no type of a value in JSON" if hasattr(builtins, name) else "a name that the file does not have"


def _misfit(found: ast.stmt, role: Role) -> str:
    """Why what a name is bound to cannot be called in this role; "" if it can, or if only running it could tell."""
    if not isinstance(found, Function) or found.decorator_list:
        return ""
    if isinstance(found, ast.AsyncFunctionDef) and not role.coroutine:
        return "is a coroutine function"
    return "" if _accepts(found.args, role) else "does not take what it is called with"


def _accepts(arguments: ast.arguments, role: Role) -> bool:
    """Can a function with these arguments be called in this role?"""
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needed = positional - len(arguments.defaults)
    needed_by_name = [one for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None]
    enough = positional >= role.values or arguments.vararg is not None
    return enough and (role.more or (needed <= role.values and not needed_by_name))
