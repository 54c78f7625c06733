"""What our processes run on, with versions: for the record of each start. What is imported is asked, other things looked up."""

import contextlib
import functools
import platform
import sys


@functools.cache
def libraries(later: tuple[str, ...] = ()) -> dict[str, str]:
    """Names and versions: the interpreter, the kernel, SQLite, ZeroMQ, and our packages as far as they are loaded.

    `later` names distributions that are loaded only once they are needed; who is not installed is left out.
    """
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name in ("msgspec", "zmq"):
        if module := sys.modules.get(name):
            found[name] = str(getattr(module, "__version__", ""))
    if zmq := sys.modules.get("zmq"):
        found["libzmq"] = str(zmq.zmq_version())
    if sqlite := sys.modules.get("pysqlite3"):
        found["sqlite"] = str(sqlite.sqlite_version)
    return found | _installed(later)


def _installed(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    if names:  # the import takes longer than all else here
        from importlib import metadata

        for name in names:
            with contextlib.suppress(metadata.PackageNotFoundError):
                found[name] = metadata.version(name)
    return found
