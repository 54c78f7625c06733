"""What the users' files import from beside them: compiled once, into the department's own directory.

Python would write the compiled files beside the sources, which are not ours to write to; a prefix for the whole process
(sys.pycache_prefix) would compile the standard library anew as well.
"""

import sys
from collections.abc import Callable
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType


class PrivateLoader(SourceFileLoader):
    """Loads a source file as usual, with its compiled form in `cache`."""

    cache = ""

    def get_code(self, fullname: str) -> CodeType | None:
        """The module's code, from the cache or compiled into it."""
        before, sys.pycache_prefix = sys.pycache_prefix, self.cache
        try:
            return super().get_code(fullname)
        finally:
            sys.pycache_prefix = before


def import_from(base: Path, cache: Path) -> None:
    """Let modules below `base` be imported; what is compiled of them lies in `cache`. Once in a process for each base."""
    if str(base) not in sys.path:
        sys.path_hooks.insert(0, _hook(base, type("Loader", (PrivateLoader,), {"cache": str(cache)})))
        sys.path.append(str(base))


def _hook(base: Path, loader: type[PrivateLoader]) -> Callable[[str], FileFinder]:
    def find(path: str) -> FileFinder:
        if not Path(path).is_relative_to(base) or not Path(path).is_dir():
            raise ImportError(f"{path} is not below {base}", path=path)
        return FileFinder(path, (loader, [".py"]))

    return find
