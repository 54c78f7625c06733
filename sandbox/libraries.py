"""What our processes run on, with versions: for the record of each start. Only what is imported anyway is asked."""

import functools
import platform
import sys


@functools.cache
def libraries() -> dict[str, str]:
    """Names and versions: the interpreter, the kernel, SQLite, ZeroMQ, and our packages as far as they are loaded."""
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name in ("msgspec", "zmq"):
        if module := sys.modules.get(name):
            found[name] = str(getattr(module, "__version__", ""))
    if zmq := sys.modules.get("zmq"):
        found["libzmq"] = str(zmq.zmq_version())
    if sqlite := sys.modules.get("pysqlite3"):
        found["sqlite"] = str(sqlite.sqlite_version)
    return found
