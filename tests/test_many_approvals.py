"""Ten thousand calls that wait for persons, in a real daemon: the lists answer, a killed Mai and a killed department lose none.

`python -P -m pytest -s tests/test_many_approvals.py` prints the times that README has.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.small import HANDLERS, ORGANISATION, Daemon, until
from tests.test_approvals_daemon import POLICIES

MANY = 9_999  # a task makes 10,000 steps at most
ASKS = f"""
async def desk(ctx, task):
    await ctx.all(*(ctx.tool("give", order=number) for number in range({MANY})))

def give(files, order, *, key):
    return order
"""
GIVES = """
[[departments.support.tools]]
name = "give"
handler = "small.py:give"
effect = "idempotent"
"""
GIVEN = """
[[policies]]
name = "gifts"
verdict = "person"
tools = ["support.give"]
"""


@pytest.fixture
def daemon(state: Path) -> Iterator[Daemon]:
    """Its desk wants ten thousand things at once."""
    head, allowed, rest = ORGANISATION.replace(
        'handler = "small.py:desk"', 'handler = "small.py:desk"\ntools = ["give"]'
    ).partition("[[policies]]")
    limits = head.replace("request_s = 60\ntask_s = 60", "request_s = 3600\ntask_s = 3600")
    fresh = Daemon(state, limits + GIVEN + POLICIES + allowed + rest + GIVES)
    (fresh.file.parent / "small.py").write_text(HANDLERS.partition("async def desk")[0] + ASKS)
    try:
        yield fresh.up()
    finally:
        fresh.mai("down")


def count(daemon: Daemon) -> int:
    """How many wait, as the first page says."""
    reply = daemon.raw({"do": "approvals"})
    return len(reply["approvals"]) + int(reply["behind"])


def again(daemon: Daemon, process: str) -> None:
    """Kill it, and wait until it is back."""
    (pid,) = daemon.pids()[process]
    os.kill(pid, signal.SIGKILL)
    until(lambda: daemon.pids().get(process, [pid]) != [pid] and daemon.ready(), f"{process} is back")


@pytest.mark.seconds(400)
def test_ten_thousand_wait(daemon: Daemon) -> None:
    """All of them are listed, page by page, also after Mai and the department were killed; nothing of them has happened."""
    began_s = time.monotonic()
    Thread(target=lambda: daemon.mai("ask", "acme", "refund order 7", "--id", "R"), daemon=True).start()
    end_s = time.monotonic() + 200
    while count(daemon) < MANY:
        assert time.monotonic() < end_s, f"{count(daemon)} wait"
        time.sleep(0.2)
    print(f"\n{MANY} approvals after {time.monotonic() - began_s:.1f} s")
    for moment in ("before", "after"):
        at_s = time.monotonic()
        assert count(daemon) == MANY
        door_s, at_s = time.monotonic() - at_s, time.monotonic()
        ran = daemon.mai("approvals", "acme")
        command_s = time.monotonic() - at_s
        assert ran.returncode == 0 and f"… and {MANY - 300} more of acme" in ran.stdout
        print(
            f"{moment} the kills: the door answers in {door_s * 1000:.0f} ms, `mai approvals acme` in {command_s * 1000:.0f} ms"
        )
        if moment == "before":
            for process in ("acme/mai", "acme/support"):
                at_s = time.monotonic()
                again(daemon, process)
                until(lambda: count(daemon) == MANY, "all wait again")
                print(f"{process} is killed, and all wait again after {time.monotonic() - at_s:.1f} s")
    seen: set[str] = set()
    after = ""
    while len(seen) < MANY:
        page = daemon.raw({"do": "approvals", "most": 1000, "after": after})["approvals"]
        assert page, f"{len(seen)} were listed"
        seen |= {one["id"] for one in page}
        after = page[-1]["id"]
    at_s = time.monotonic()
    ran = daemon.mai("deny", sorted(seen)[5000], "--reason", "no")
    print(f"`mai deny` in {(time.monotonic() - at_s) * 1000:.0f} ms")
    assert ran.returncode == 0 and count(daemon) == MANY - 1
    assert daemon.mai("cancel", "R", "--reason", "enough").returncode == 0
    until(lambda: count(daemon) == 0, "nobody waits any more")
    assert not daemon.journal("acme/support", "effect.intent")
