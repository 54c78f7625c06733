"""What goes up by itself, end to end: one daemon whose agents are refused, late, in doubt, without backups and without a budget.

A person answers from the command line, over a kill of Mai; a command and `--follow` tell of each new question.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from mai.sandbox.errors import EXPIRED, USAGE
from tests.small import Daemon, until

COMPANY = """
[organisation]
name = "Triggers"
clients = ["acme"]

[limits]
request_s = 1

[escalation]
refusal = "person"
deadline = "person"
doubt = "person"
announce = ["sh", "tell.sh"]

[departments.support]
charter = "Parcels and letters."
contracts = [
  { name = "safe", about = "Opens the safe.", served_by = "safe-desk", may_ask = ["client"], phrases = ["open the safe"] },
  { name = "wait", about = "Waits.", served_by = "slow-desk", may_ask = ["client"], phrases = ["wait for it"] },
]
agents = [
  { name = "safe-desk", rank = "operator", handler = "small.py:safe" },
  { name = "slow-desk", rank = "operator", command = ["sleep", "1000"], task_s = 0.2 },
  { name = "red-desk", rank = "operator", skills = ["parcels marked red"], handler = "small.py:red" },
  { name = "blue-desk", rank = "operator", skills = ["parcels marked blue"], handler = "small.py:blue" },
]

[departments.stock]
charter = "Goods in boxes."
day = { tasks = 1 }
agents = [{ name = "clerk", rank = "operator", handler = "small.py:broken" }]

[[departments.stock.contracts]]
name = "count"
about = "Counts."
served_by = "clerk"
may_ask = ["client"]
phrases = ["count it"]
backups = ["depot.count"]

[[departments.stock.contracts]]
name = "spend"
about = "Spends."
served_by = "clerk"
may_ask = ["client"]
phrases = ["spend it"]
[departments.depot]
charter = "Crates in rows."
contracts = [{ name = "count", about = "Counts.", served_by = "keeper", may_ask = ["client", "stock"] }]
agents = [{ name = "keeper", rank = "operator", handler = "small.py:broken" }]
"""
CODE = """
from mai.agents.context import Answer


async def safe(ctx, task):
    await ctx.tool("safe")


async def red(ctx, task):
    return "red has it"


async def blue(ctx, task):
    return "blue has it"


async def broken(ctx, task):
    raise ValueError("no idea")
"""


@pytest.fixture(scope="module")
def daemon(module_state: Path) -> Iterator[Daemon]:
    """It is asked all that goes up by itself."""
    started = Daemon(module_state, COMPANY)
    told = started.file.parent / "told"
    (started.file.parent / "small.py").write_text(CODE)
    (started.file.parent / "tell.sh").write_text(f'cat >> "{told}"\n')
    try:
        yield started.up()
    finally:
        started.mai("down")


def ask(daemon: Daemon, text: str, ident: str) -> dict[str, Any]:
    """What the client is told after its own second: a person was asked."""
    ran = daemon.mai("ask", "acme", text, "--id", ident, "--json")
    told = json.loads(ran.stdout)
    assert (ran.returncode, told["state"], len(told["pending"])) == (EXPIRED, "expired", 1), ran.stdout
    (one,) = (json.loads(daemon.mai("escalations", "show", "acme", told["pending"][0]["id"], "--json").stdout),)
    return dict(one)


def answered(daemon: Daemon, text: str, ident: str) -> str:
    """What the client is told in the end."""
    told = json.loads(daemon.mai("ask", "acme", text, "--id", ident, "--timeout", "30", "--json").stdout)
    assert told["state"] == "answered", told
    return str(told["answer"])


@contextmanager
def followed(daemon: Daemon) -> Iterator[IO[bytes]]:
    """What `--follow` says, as it comes."""
    follow = subprocess.Popen(daemon.command("escalations", "list", "acme", "--follow", "--json"), stdout=subprocess.PIPE)
    assert follow.stdout is not None
    try:
        yield follow.stdout
    finally:
        follow.kill()
        follow.wait()
        follow.stdout.close()


def back(daemon: Daemon, pid: int) -> bool:
    """Is Mai there once more?"""
    return daemon.status()["acme/mai"]["pid"] not in (0, None, pid) and daemon.ready()


def test_all_that_goes_up_by_itself_comes_to_a_person_and_goes_on_with_the_answer(daemon: Daemon) -> None:
    """Each with its cause and what was tried; followed, announced, answered after a kill of Mai; sound and at rest."""
    asked = {
        "refusal": ("open the safe", ["safe-desk", "coordinator", "board"]),
        "deadline": ("wait for it", ["slow-desk", "coordinator", "board"]),
        "doubt": ("support: parcels marked", ["coordinator", "board"]),
        "fallback": ("count it", ["stock.count", "keeper", "mai"]),
        "budget": ("spend it", ["board", "mai"]),
    }  # fmt: skip
    ids = {}
    with followed(daemon) as lines_of:
        for cause, (text, tried) in asked.items():
            one = ask(daemon, text, cause)
            assert one["cause"] == cause and [each["who"].rpartition("/")[2] for each in one["tried"]] == tried, one
            ids[cause] = one["id"]
        whole = ask(daemon, "goods in parcels", "whole")  # fits stock and support
        assert whole["cause"] == "doubt" and "stock" in whole["reason"] and "support" in whole["reason"]
        assert [json.loads(lines_of.readline())["id"] for _ in range(6)] == [*ids.values(), whole["id"]]
    lines = daemon.file.parent / "told"
    until(lambda: len(lines.read_text().splitlines()) >= 6, "the command is told of all")
    assert {json.loads(line)["id"] for line in lines.read_text().splitlines()} == {*ids.values(), whole["id"]}
    pid = daemon.status()["acme/mai"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(partial(back, daemon, pid), "Mai is back")
    wrong = daemon.mai("escalations", "answer", "acme", ids["doubt"], "--to", "nobody")
    assert wrong.returncode == USAGE and "support has no worker" in wrong.stderr
    wrong = daemon.mai("escalations", "answer", "acme", whole["id"], "--text", "me")
    assert wrong.returncode == USAGE and "--to NAME: a department" in wrong.stderr
    for cause, ident in ids.items():
        how = ["--to", "blue-desk"] if cause == "doubt" else ["--text", f"by hand: {cause}"]
        assert daemon.mai("escalations", "answer", "acme", ident, *how).returncode == 0
        assert answered(daemon, asked[cause][0], cause).startswith("blue has it" if cause == "doubt" else f"by hand: {cause}")
    assert daemon.mai("escalations", "answer", "acme", whole["id"], "--to", "support").returncode == 0
    again = ask(daemon, "goods in parcels", "whole")  # support's coordinator is in doubt now
    assert again["id"] != whole["id"] and again["cause"] == "doubt"
    assert daemon.mai("escalations", "refuse", "acme", again["id"], "--reason", "we do not").returncode == 0
    told = json.loads(daemon.mai("ask", "acme", "goods in parcels", "--id", "whole", "--timeout", "30", "--json").stdout)
    assert told["state"] == "refused" and "we do not" in told["answer"]
    until(lambda: daemon.mai("verify", "--deep", "--rest").returncode == 0, "all is sound and at rest")
