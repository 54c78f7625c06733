"""llama.cpp's own server on loopback, in a process that does nothing else: the child of local.py.

python -P -m mai.daemon.llama DIRECTORY, with an Order as a line of JSON on standard input. Its answer on standard output
is the server's address, once the weights are loaded; it ends when standard input does.

A process of its own, because loading holds the interpreter for its whole time (no heartbeat, no SIGTERM), and because a
fault in native code ends the process that it happens in.
"""

import importlib
import os
import resource
import sys
from typing import Any, Final

import msgspec

from mai.sandbox.life import leave_traceback

MOST_WAITING: Final = 64  # requests at once, most of them waiting for a slot; each has a thread of the server
WARNINGS: Final = 2  # llama.cpp's level; the next one tells the whole life of the model


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve, and how."""

    file: str
    model: str  # the name that it answers to
    key: str
    threads: int
    slots: int  # requests at work at once
    context: int  # tokens of each, prompt and answer together


def parameters(order: Order, xllamacpp: Any) -> Any:
    """An order as llama.cpp has it."""
    wanted = xllamacpp.CommonParams()
    wanted.model.path, wanted.model_alias = order.file, {order.model}
    wanted.hostnames, wanted.port, wanted.api_keys = ["127.0.0.1"], 0, [order.key]
    wanted.n_parallel, wanted.n_ctx = order.slots, order.slots * order.context
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = order.threads
    wanted.n_threads_http = MOST_WAITING
    wanted.cache_ram_mib, wanted.cache_idle_slots = 0, False  # else up to 8 GB of old prompts; each slot has its last one
    wanted.offline, wanted.ui, wanted.endpoint_slots = True, False, True
    wanted.verbosity = WARNINGS
    return wanted


def confine(directory: str) -> None:
    """Nothing is written to any file from here on, not even a core; what is relative is relative to our own directory."""
    os.chdir(directory)
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))


def main(directory: str) -> int:
    """Serve until standard input ends."""
    leave_traceback()
    answer = os.dup(1)
    os.dup2(2, 1)  # what native code prints is for the log
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    confine(directory)
    xllamacpp = importlib.import_module("xllamacpp")  # by name: an extra, which no type checker has to know
    server = xllamacpp.Server(parameters(order, xllamacpp))
    os.write(answer, f"{server.listening_address}\n".encode())
    while os.read(0, 4096):
        pass
    os._exit(0)  # to give back the model in order takes as long as the answer that is just being written


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
