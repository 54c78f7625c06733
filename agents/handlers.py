"""The users' Python code: files loaded once, functions by `file.py:name`, tools called. All of it within bounds in time."""

import hashlib
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from mai.agents.bounded import TooLong, bounded, lets_in
from mai.agents.imports import import_from
from mai.agents.organisation import Tool
from mai.agents.plain import NotPlain, plain, said
from mai.sandbox.errors import MaiError

if TYPE_CHECKING:
    from mai.agents.signatures import Signature  # with `inspect`, which a department without tools starts without


class Broken(MaiError):
    """The users' code cannot be loaded or did not do its part."""


class Used(NamedTuple):
    """What came of a tool: its value, or why it has none; `late` if it was stopped, done or not; `barred`: it may not begin."""

    value: Any
    refused: str = ""
    late: bool = False
    barred: bool = False
    unbegun: bool = False  # it could not be begun


class Handlers:
    """The functions that an organisation names; `base` is the directory of its file."""

    def __init__(self, base: Path, files: Path, turn_s: float, limit_bytes: int) -> None:
        """`files`: the department's own directory; `turn_s`: for loading a file; `limit_bytes`: of a tool's value."""
        self._base, self._files, self._turn_s, self._limit_bytes = base, files, turn_s, limit_bytes
        self._modules: dict[str, tuple[ModuleType, str]] = {}
        self._signatures: dict[str, Signature] = {}
        import_from(base, files.parent / "pycache")

    def function(self, handler: str) -> tuple[Callable[..., Any], str]:
        """A function by `file.py:name`, and the digest of its file. Raises Broken."""
        name, _, attribute = handler.rpartition(":")
        module, digest = self._module(name)
        found = vars(module).get(attribute)
        if not callable(found):
            raise Broken(f"{name} has no function {attribute}")
        return found, digest

    def _module(self, name: str) -> tuple[ModuleType, str]:
        if name not in self._modules:
            path = self._base / name
            try:
                source = path.read_bytes()
                digest = hashlib.sha256(source).hexdigest()[:16]
                self._modules[name] = bounded(self._turn_s, load, path, source), digest
            except BaseException as error:
                show(error)
                raise Broken(f"{name} cannot be loaded: {said(error)}") from None
        return self._modules[name]

    def prepare(self, handler: str) -> None:
        """Let a function lay out the department's directory; it may take its time. Raises Broken."""
        function, _ = self.function(handler)
        try:
            function(self._files)
        except BaseException as error:
            show(error)
            raise Broken(
                f"{handler} could not prepare {self._files}: {said(error)}", "correct it, then start the process again"
            ) from None

    def signature(self, tool: Tool) -> "Signature":
        """What a tool's function takes; its file is loaded with the first need. Raises Broken or Unfit."""
        if tool.name not in self._signatures:
            from mai.agents.signatures import Signature

            function, _ = self.function(tool.handler)
            self._signatures[tool.name] = bounded(self._turn_s, Signature, function, tool.input, f"the tool {tool.name}")
        return self._signatures[tool.name]

    def fit(self, tool: Tool, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments to call a tool's function with. Raises MaiError."""
        try:
            return bounded(self._turn_s, self.signature(tool).fit, given)
        except MaiError:
            raise
        except BaseException as error:  # the users' own types look at their values
            show(error)
            raise Broken(f"the tool {tool.name} cannot take its input: {said(error)}") from None

    def use(self, tool: Tool, fitting: dict[str, Any], key: str) -> Used:
        """Call a tool's function with what `fit` gave; its value is plain."""
        try:
            function, _ = self.function(tool.handler)
            keyed = {"key": key} if self.signature(tool).keyed else {}
        except BaseException as error:
            return _failed(error, f"the tool {tool.name}", tool.timeout_s)._replace(late=False, unbegun=True)
        try:
            return Used(plain(bounded(tool.timeout_s, function, self._files, **fitting, **keyed), self._limit_bytes))
        except BaseException as error:
            return _failed(error, f"the tool {tool.name}", tool.timeout_s)

    def ask(self, tool: Tool, key: str) -> Used:
        """Ask a queryable tool's function `asked_by` whether the call with this key happened: its value, or None."""
        handler = str(tool.asked_by)
        try:
            function, _ = self.function(handler)
            return Used(plain(bounded(tool.timeout_s, function, self._files, key), self._limit_bytes))
        except BaseException as error:
            return _failed(error, handler, tool.timeout_s)


def _failed(error: BaseException, what: str, limit_s: float) -> Used:
    """What is said of a function that gave no value."""
    match error:
        case Broken():
            return Used(None, error.sentence)
        case TooLong():
            return Used(None, f"{what} did not return within {limit_s:g} s", late=True)
        case NotPlain():
            return Used(None, f"{what} returned {error}")
    show(error)
    return Used(None, f"{what} failed: {said(error)}")


@lets_in
def load(path: Path, source: bytes) -> ModuleType:
    """Import a file of the users' under a name of its own.

    It is compiled from the bytes whose digest goes on record: a cached compilation is told apart by second and size only.
    """
    name = "mai_user_" + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(compile(source, path, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@lets_in
async def run(function: Callable[..., Any], *given: Any) -> Any:
    """Any function as a coroutine: one that returns a coroutine (async, decorated or not), or a value."""
    result = function(*given)
    return await result if isinstance(result, Coroutine) else result


def show(error: BaseException) -> None:
    """The traceback on standard error, for the developer; what the users' code did to that stream is no fault of ours."""
    import traceback

    try:
        traceback.print_exception(error)
    except Exception:
        return
