"""Commands as another user of this host: a forked child that has given root away, with everything imported before.

Not a new interpreter, because that of the tests may lie where nobody but root gets to.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mai.cli import ELSEWHERE, main
from mai.daemon.door import Door, refusal
from mai.sandbox.errors import MaiError

LATE = (
    "door",
    "asking",
    "afar",
    "status",
    "showing",
    "tail",
    "output",
    "logs",
    "trace",
    "trace_commands",
    "timeline_svg",
    "timeline_html",
    "why",
    "why_form",
    "otlp",
    "otlp_sending",
    "tree",
    "budgets",
    "ordering",
    "up",
)
only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


class Guest(NamedTuple):
    """A user by number, with supplementary groups."""

    uid: int
    groups: tuple[int, ...] = ()


class Ran(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def prepared() -> None:
    """Import all that a command may import while it runs."""
    for module in (*ELSEWHERE.values(), *(f"mai.daemon.{name}" for name in LATE)):
        import_module(module)


def become(guest: Guest) -> None:
    """Give root away for good."""
    os.setgroups(guest.groups)
    os.setresgid(guest.uid, guest.uid, guest.uid)
    os.setresuid(guest.uid, guest.uid, guest.uid)


def forked(guest: Guest, work: Callable[[], int]) -> tuple[int, int, int]:
    """A child that does this as that user; its pid, and the ends of its standard output and error."""
    prepared()
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for end, descriptor in ((out_end, 1), (err_end, 2)):
                os.dup2(end, descriptor)
            for descriptor in (out, out_end, err, err_end):
                os.close(descriptor)
            sys.stdout, sys.stderr = (open(descriptor, "w", encoding="utf-8") for descriptor in (1, 2))  # noqa: SIM115
            signal.setitimer(signal.ITIMER_REAL, 0)
            become(guest)
            status = work()
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            os.write(2, traceback.format_exc().encode())
            os._exit(99)
        os._exit(status)
    os.close(out_end)
    os.close(err_end)
    return pid, out, err


def _main(state: Path, arguments: Sequence[str]) -> int:
    os.environ.pop("MAI_RUN", None)
    try:
        main(["--state", str(state), *arguments], prog_name="mai")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def mai(guest: Guest, state: Path, *arguments: str) -> Ran:
    """Run a command to its end, as that user."""
    pid, out, err = follow(guest, state, *arguments)
    with open(out, "rb") as output, open(err, "rb") as errors:
        said = output.read().decode(errors="replace"), errors.read().decode(errors="replace")
    return Ran(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), *said)


def follow(guest: Guest, state: Path, *arguments: str) -> tuple[int, int, int]:
    """Begin a command as that user; its pid, and the ends of its standard output and error."""
    return forked(guest, lambda: _main(state, arguments))


def knock(guest: Guest, door: Path, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first reply of a door to each of these requests, which have a connection of their own; or why there is none."""

    def work() -> int:
        for request in requests:
            try:
                reply = next(iter(Door(door, 60).ask(request)))
            except MaiError as error:
                reply = refusal(error)
            print(json.dumps(reply), flush=True)
        return 0

    pid, out, err = forked(guest, work)
    with open(out, "rb") as output, open(err, "rb") as errors:
        lines, said = output.read().splitlines(), errors.read().decode()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    return [json.loads(line) for line in lines]
