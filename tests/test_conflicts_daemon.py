"""`mai conflicts`, end to end: cases wait for a person over the death of Mai, and what was ruled is what the client hears."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mai.sandbox.errors import REFUSED, USAGE
from tests.small import Daemon, environment, until

CASES = 1000
ORGANISATION = """
[organisation]
clients = ["acme"]
[limits]
request_s = 60
[conflicts]
settle_s = 2
"""
DEPARTMENT = """
[departments.{name}]
charter = "Says {value}."
[[departments.{name}.agents]]
name = "teller"
rank = "operator"
skills = ["{name}"]
handler = "small.py:{name}"
[[departments.{name}.contracts]]
name = "many"
about = "Many claims"
served_by = "teller"
may_ask = ["client"]
phrases = ["many of {name}"]
[[departments.{name}.contracts]]
name = "one"
about = "One claim"
served_by = "teller"
may_ask = ["client"]
reply = {{ colour = "str" }}
phrases = ["one of {name}"]
"""
CODE = """
from mai.agents.context import Answer, Refusal


async def claims(ctx, task, value):
    if task.contract.endswith("many"):
        for n in range(1000):
            await ctx.conclude(f"thing/{n}", "colour", value)
        return Answer("", {})
    try:
        await ctx.conclude("sky", "colour", value, grounds=["task"], why="I have looked")
    except Refusal:
        value = (await ctx.rulings("sky", "colour"))[0]["value"]
    return Answer(f"The sky is {value}.", {"colour": value})


async def day(ctx, task):
    return await claims(ctx, task, "blue")


async def night(ctx, task):
    return await claims(ctx, task, "black")
"""


@pytest.fixture
def daemon(state: Path) -> Iterator[Daemon]:
    """Two departments that contradict each other, and nothing that decides between them."""
    departments = [DEPARTMENT.format(name=name, value=value) for name, value in (("day", "blue"), ("night", "black"))]
    made = Daemon(state, "\n".join([ORGANISATION, *departments]))
    (made.file.parent / "small.py").write_text(CODE)
    try:
        yield made.up()
    finally:
        made.mai("down")


def cases(daemon: Daemon, *more: str) -> list[dict[str, Any]]:
    """What the command says."""
    ran = daemon.mai("conflicts", "list", "acme", "--json", *more)
    assert ran.returncode == 0, ran.stderr
    return list(json.loads(ran.stdout))


def kill_mai(daemon: Daemon) -> None:
    """And wait until she is back."""
    pid = daemon.status()["acme/mai"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: (one := daemon.status()["acme/mai"])["state"] == "ready" and one["pid"] != pid, "Mai is back")


def test_a_person_rules_and_the_client_hears_that(daemon: Daemon) -> None:
    """Both answers wait, over the death of Mai; the ruling makes one voice of them; who ruled is on record; an appeal is once."""
    asking = daemon.command("ask", "acme", "One of day. One of night.", "--json")
    waiting = subprocess.Popen(asking, env=environment(), stdout=subprocess.PIPE, text=True)
    (case,) = until(lambda: [one for one in cases(daemon) if one["owner"] == "person"], "a person is asked")
    kill_mai(daemon)
    shown = json.loads(daemon.mai("conflicts", "show", case["case"], "--json").stdout)
    assert {one["value"] for one in shown["claims"]} == {"blue", "black"} and shown["waiting"]
    assert daemon.mai("conflicts", "rule", case["case"], "--for", "nobody", "--why", "x").returncode == REFUSED
    assert daemon.mai("conflicts", "appeal", case["case"], "--why", "x").returncode == REFUSED
    assert daemon.mai("conflicts", "rule", case["case"], "--for", "night", "--why", "").returncode == USAGE
    ran = daemon.mai("conflicts", "rule", case["case"], "--for", "night", "--why", "It is late.")
    assert ran.returncode == 0 and "has won" in ran.stdout, ran.stderr
    answer = json.loads(waiting.communicate(timeout=60)[0])
    assert answer["state"] == "answered" and {part["value"]["colour"] for part in answer["parts"]} == {"black"}
    (ruled,) = [body for _, body in daemon.journal("acme/mai", "case.ruled")]
    assert (ruled["uid"], ruled["ruling"]["why"]) == (os.getuid(), "It is late.")
    assert cases(daemon) == [] and cases(daemon, "--all")[0]["state"] == "ruled"
    assert daemon.mai("conflicts", "appeal", case["case"], "--why", "It dawns.").returncode == 0
    assert cases(daemon)[0]["appealed"] and case["case"] in daemon.mai("owed", "acme").stdout
    verified = daemon.mai("verify", "--deep")
    assert verified.returncode == 0, verified.stdout


def test_a_restart_loses_no_case(daemon: Daemon) -> None:
    """A thousand open cases are listed, and are the same after Mai was killed; her state is what her journal gives."""
    assert daemon.mai("ask", "acme", "Many of day", "--timeout", "100").returncode == 0
    daemon.mai("ask", "acme", "Many of night", "--timeout", "15")  # it waits for its cases
    before = until(
        lambda: [found] if len(found := cases(daemon)) == CASES and {one["owner"] for one in found} == {"person"} else [], "all"
    )
    kill_mai(daemon)
    assert [one["case"] for one in cases(daemon)] == [one["case"] for one in before[0]]
    verified = daemon.mai("verify", "--deep")
    assert verified.returncode == 0, verified.stdout
