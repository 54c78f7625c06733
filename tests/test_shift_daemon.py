"""Shifts with a real daemon, from the command line: who is on, a person's word, a pause in the middle of a task, and kill -9."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.small import HANDLERS, ORGANISATION, Daemon, until

TEAM = """
[[departments.support.agents]]
name = "porter-two"
rank = "operator"
charter = "Opens the other gate."
skills = ["other"]
handler = "small.py:second"

[[departments.support.shifts]]
name = "all-day"
operators = ["porter", "porter-two"]
"""
SECOND = """

async def second(ctx, task):
    return Answer(f"after {task.handover.by if task.handover else 'nobody'}")
"""


@pytest.fixture
def daemon(state: Path):
    """The small organisation, with a second porter and a shift that never ends."""
    small = Daemon(state, ORGANISATION + TEAM)
    (small.file.parent / "small.py").write_text(HANDLERS + SECOND)
    try:
        yield small.up()
    finally:
        small.mai("down")


def on(daemon: Daemon, *words: str) -> dict[str, dict[str, Any]]:
    """Who is on, by agent."""
    ran = daemon.mai("shift", *words, "--json")
    assert ran.returncode == 0, ran.stderr
    return {one["agent"]: one for dept in json.loads(ran.stdout)["departments"] for one in dept["agents"]}


def test_the_command_says_who_is_on_and_keeps_a_persons_word(daemon: Daemon) -> None:
    """On record at Mai and in the department with the user; it survives a kill of the department, and auto takes it back."""
    assert {name: one["on"] for name, one in on(daemon, "acme").items()} == {
        "acme/support/porter": True, "acme/support/porter-two": True
    }  # fmt: skip
    ran = daemon.mai("shift", "off", "acme/support/porter", "--why", "is ill")
    assert ran.returncode == 0 and "porter is off, says" in ran.stdout, ran.stderr
    until(lambda: not on(daemon)["acme/support/porter"]["on"], "the department has heard it")
    (ordered,) = [body for _, body in daemon.journal("acme/mai", "shift.ordered")]
    assert ordered["uid"] == os.getuid() and ordered["why"] == "is ill"
    os.kill(daemon.pids()["acme/support"][0], signal.SIGKILL)
    until(daemon.ready, "it is back")
    assert not on(daemon)["acme/support/porter"]["on"] and "is ill" in daemon.mai("shift").stdout
    assert daemon.ask("gate", "r1")["answer"].startswith("after nobody")
    assert daemon.mai("shift", "auto", "acme/support/porter").returncode == 0
    until(lambda: on(daemon)["acme/support/porter"]["on"], "the calendar counts again")
    for wrong in (("on", "acme/support/nobody"), ("off", "acme/support/porter", "--until", "yesterday")):
        assert daemon.mai("shift", *wrong).returncode == 2
    assert daemon.mai("verify", "--deep").returncode == 0


def test_who_is_paused_gets_no_more_and_what_waits_goes_on(daemon: Daemon) -> None:
    """Both paused: a task waits with its coordinator, over a kill; a resume lets it go on, and it is answered once."""
    for name in ("porter", "porter-two"):
        assert daemon.mai("pause", f"acme/support/{name}").returncode == 0
    until(lambda: not any(one["on"] for one in on(daemon).values()), "both are paused")
    answers: list[dict[str, Any]] = []
    asker = threading.Thread(target=lambda: answers.append(daemon.ask("gate", "r2")))
    asker.start()
    until(lambda: daemon.journal("acme/support", "shift.waits"), "it waits")
    owed = [one for one in json.loads(daemon.mai("owed", "acme", "--json").stdout) if one["kind"] == "shift"]
    assert [(one["owner"], one["due_ms"] > 0) for one in owed] == [("person", True)]
    os.kill(daemon.pids()["acme/support"][0], signal.SIGKILL)
    until(daemon.ready, "it is back")
    assert daemon.mai("resume", "acme/support/porter-two").returncode == 0
    asker.join(60)
    assert answers[0]["answer"].startswith("after nobody")
    assert daemon.mai("verify", "--deep").returncode == 0
