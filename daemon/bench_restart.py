"""`mai bench restart`: from SIGKILL of a department to its next answer, beside its imports alone and stock supervisord.

In each round, in this order: a department of the reference organisation gets SIGKILL and is asked in the same moment; a Python
imports what a department imports; and, in some of the rounds, a child of stock supervisord that does no more than these
imports gets SIGKILL. Everything is asked of processes that have been up for long enough that their restart is the first in a row.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mai.daemon.asking import ask, new_id
from mai.daemon.bench import Figure, render
from mai.daemon.case import Rules
from mai.daemon.door import Door
from mai.daemon.example import CLIENT, daemon
from mai.sandbox.errors import MaiError
from mai.sandbox.place import Place

__all__ = ("render", "run")

VICTIM: Final = f"{CLIENT}/sales"
QUESTION: Final = "What is the sales forecast?"
ROUNDS: Final = 20
STOCK_ROUNDS: Final = 5
IMPORTS: Final = "import zmq, msgspec, pysqlite3"
SETTLED_S: Final = 2.2  # as supervisord counts it: more than its startsecs
PATIENCE_S: Final = 30.0
STOCK: Final = """
[supervisord]
nodaemon = true
logfile = %(here)s/log
pidfile = %(here)s/pid

[program:child]
command = {python} -P {child}
autorestart = true
"""
CHILD: Final = f"""
{IMPORTS}
import os, socket, sys, time
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(str(os.getpid()).encode(), sys.argv[0] + ".sock")
time.sleep(600)
"""


def run(file: Path, progress: Callable[[str], None], rounds: int = ROUNDS) -> Iterator[Figure]:
    """Measure. Raises MaiError. `file`: the reference organisation."""
    restarts_ms, imports_ms, stock_ms = list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory(prefix="mai-") as directory, stock(Path(directory)) as child, daemon(file) as (place, start):
        start.ready()
        for number in range(rounds):
            progress(f"restart {number + 1} of {rounds}")
            time.sleep(Rules().settled_s * 1.2)  # so that it is no restart in a row, which would wait
            restarts_ms.append(restarted_ms(place))
            imports_ms.append(imported_ms())
            if number < STOCK_ROUNDS:
                stock_ms.append(child())
    yield from figures(restarts_ms, imports_ms, stock_ms)


def figures(restarts_ms: list[float], imports_ms: list[float], stock_ms: list[float]) -> Iterator[Figure]:
    """What is shown."""
    median_ms, import_ms = statistics.median(restarts_ms), statistics.median(imports_ms)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(restarts_ms, imports_ms, strict=True))
    count = len(restarts_ms)
    yield Figure("SIGKILL to answer", median_ms, "ms", f"{VICTIM}, median of {count}; {ratio:.2f} times the imports beside it")
    yield Figure("SIGKILL to answer", sorted(restarts_ms)[int(count * 0.9) - 1], "ms", "nine of ten are no slower")
    yield Figure("imports", import_ms, "ms", f'python -c "{IMPORTS}", median of {count}')
    ends = f"{min(stock_ms):.0f} to {max(stock_ms):.0f}"
    yield Figure(
        "stock supervisord", statistics.median(stock_ms), "ms", f"SIGKILL to the first word of a child that only imports, {ends}"
    )


def restarted_ms(place: Place) -> float:
    """Kill the department, ask it at once."""
    processes = Door(place.door, PATIENCE_S).call({"do": "status"})["processes"]
    pid = next(one["pid"] for one in processes if one["name"] == VICTIM)
    begun_s = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    *_, last = ask(place, CLIENT, QUESTION, request=new_id(), timeout_s=PATIENCE_S, watch=False)
    took_ms = (time.perf_counter() - begun_s) * 1e3
    if last["answer"]["state"] != "answered":
        raise MaiError(f"{VICTIM} was killed, and {QUESTION!r} was {last['answer']['state']}", "look at its log")
    return took_ms


def imported_ms() -> float:
    """A Python that starts, imports and ends."""
    begun_s = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return (time.perf_counter() - begun_s) * 1e3


@contextmanager
def stock(directory: Path) -> Iterator[Callable[[], float]]:
    """Stock supervisord with one child; call it to kill the child and hear how many milliseconds later the next one speaks."""
    child, conf = directory / "child.py", directory / "supervisord.conf"
    child.write_text(CHILD)
    conf.write_text(textwrap.dedent(STOCK).format(python=sys.executable, child=child))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"{child}.sock")
        heard.settimeout(PATIENCE_S)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as supervisord:
            try:
                pid = int(heard.recv(64))

                def kill() -> float:
                    nonlocal pid
                    time.sleep(SETTLED_S)
                    begun_s = time.perf_counter()
                    os.kill(pid, signal.SIGKILL)
                    pid = int(heard.recv(64))
                    return (time.perf_counter() - begun_s) * 1e3

                yield kill
            finally:
                supervisord.terminate()
