"""Healing by agents, against real processes: incidents reach them through Mai; what they choose is done, watched, on record."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mai.daemon.scripted import running
from tests.small import ORGANISATION, Daemon, until
from tests.test_watching import awaited, bounded, incidents

FINANCE = "acme/finance"
PAGE = 'cat >> "$(dirname "$0")/pages"; echo >> "$(dirname "$0")/pages"\n'
OPERATIONS = '\n[operations]\npage = ["sh", "page.sh"]\nwatch_s = 1\n'


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Up, with the built-in operations department and its medic by rules."""
    made = Daemon(tmp_path, ORGANISATION + OPERATIONS)
    (made.file.parent / "page.sh").write_text(PAGE)
    try:
        yield made.up()
    finally:
        made.mai("down")


def give_up(daemon: Daemon, process: str) -> None:
    """Kill each life of a process as soon as it is seen, until it is given up."""
    before = len(given_up(daemon, process))
    seen = set[int]()

    def failed() -> bool:
        for pid in daemon.pids().get(process, []):
            if pid not in seen:
                seen.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return len(given_up(daemon, process)) > before

    until(failed, f"{process} is given up")


def given_up(daemon: Daemon, process: str) -> list[dict[str, Any]]:
    """The records that say so."""
    return [body for _, body in daemon.journal("watchdog", "given_up") if body["process"] == process]


def remedies(daemon: Daemon) -> list[dict[str, Any]]:
    """What `mai remedies` says."""
    ran = daemon.mai("remedies", "acme", "--json")
    assert ran.returncode == 0, ran.stderr
    return list(json.loads(ran.stdout)["remedies"])


def pages(daemon: Daemon) -> list[dict[str, Any]]:
    """What the command that pages was told."""
    file = daemon.file.parent / "pages"
    return [json.loads(line) for line in file.read_text().splitlines() if line] if file.exists() else []


def test_what_was_given_up_comes_back_by_the_medic(daemon: Daemon) -> None:
    """Reset by an agent, through Mai and the watchdog; nobody is paged; everything is on record and holds together."""
    assert daemon.ask("Refund order 1", "r1")["state"] == "answered"
    give_up(daemon, FINANCE)
    until(lambda: daemon.status()[FINANCE]["state"] == "ready", "it is back, and nobody has typed anything")
    assert daemon.ask("Refund order 2", "r2")["state"] == "answered" and daemon.refunds() == [1, 2]
    opened = [body for _, body in daemon.journal("acme/mai", "incident.opened")]
    assert {one["process"] for one in opened} == {FINANCE} and opened[-1]["what"] == "failed"
    (checked,) = [body for _, body in daemon.journal("acme/mai", "remedy.checked") if body["remedy"] == "reset"]
    assert checked["allowed"] and checked["agent"] == "acme/operations/medic" and checked["target"] == FINANCE
    until(lambda: [one for one in remedies(daemon) if one["state"] == "kept"], "its figure was watched, and is no worse")
    (reset,) = [one for one in remedies(daemon) if one["remedy"] == "reset"]
    assert reset["by"] == "acme/operations/medic" and reset["text"].startswith("better: ")
    assert "reset kept: better" in daemon.mai("remedies").stdout
    assert pages(daemon) == []
    until(lambda: daemon.journal("acme/operations", "task.ended") or daemon.journal("acme/operations", "hop"), "it has a journal")
    daemon.down()
    ran = daemon.mai("verify", "--deep")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_person_is_paged_when_the_list_is_used_up(daemon: Daemon) -> None:
    """What is given up again soon after its one more chance is a person's: once, with what has happened."""
    give_up(daemon, FINANCE)
    until(lambda: daemon.status()[FINANCE]["state"] == "ready", "one more chance")
    give_up(daemon, FINANCE)
    (page,) = until(lambda: pages(daemon), "a person is paged")
    assert page["process"] == FINANCE and page["incidents"][-1]["what"] == "failed"
    until(
        lambda: [one for one in remedies(daemon) if one["remedy"] == "page" and "ended well" in one["text"]], "the command ended"
    )
    assert daemon.status()[FINANCE]["state"] == "failed" and len(pages(daemon)) == 1


def test_a_bound_is_raised(tmp_path: Path) -> None:
    """Who was ended at its bound may take half as much again; restarts do not forget it."""
    with bounded(tmp_path, "descriptors = 100", ORGANISATION + OPERATIONS) as daemon:
        daemon.ask("leak 120", "r1")
        raised = until(lambda: daemon.journal("watchdog", "raised"), "it is raised")[-1][1]
        assert (raised["process"], raised["bound"], raised["times"]) == ("acme/taking", "descriptors", 1.5)
        until(daemon.ready, "ready")
        (known,) = [one for one in remedies(daemon) if one["remedy"] == "raise"]
        assert known["by"] == "acme/operations/medic" and known["process"] == "acme/taking"
        for name in ("watchdog", "acme/taking"):
            os.kill(daemon.pids()[name][0], signal.SIGKILL)
        until(daemon.ready, "ready again")
        deaths = len(incidents(daemon, "bloated"))
        assert daemon.ask("leak 110", "r3")["state"] == "answered"
        awaited(daemon, "near")  # its new bound, and lives
        assert len(incidents(daemon, "bloated")) == deaths


def test_nobody_but_mai_orders_remedies(daemon: Daemon) -> None:
    """At the watchdog's door the kernel says who asks."""
    from mai.daemon.door import Door
    from mai.sandbox.errors import Refused

    order = {"do": "remedy", "id": "x", "client": "acme", "remedy": "restart", "target": FINANCE, "by": "acme/mai", "why": "fun"}
    with pytest.raises(Refused, match="is not the Mai of 'acme'"):
        Door(daemon.place.door, 30).call(order)
    assert remedies(daemon) == []


SCRIPT = r"""
[[rules]]
user = '"what":"failed".*"task":"operations.incident"'
json = { move = { do = "tool", name = "remedy.reset", input = { target = "acme/finance", why = "one more chance" } } }

[[rules]]
user = '"from":"tool remedy.reset"'
[rules.json.move]
do = "answer"
text = "It runs again."
value = { remedy = "reset", target = "acme/finance", why = "one more chance", text = "" }

[[rules]]
schema = "ruling"
json = { ruling = "sign", reason = "It keeps to the list." }
"""
BY_MODEL = """
[operations]
medic = "model"
watch_s = 1

[[models.providers]]
name = "first"
url = "URL"

[[models.models]]
name = "thinker"
chain = [{ provider = "first", model = "large" }]
"""


def test_a_model_heals_by_the_same_list(tmp_path: Path) -> None:
    """The medic is a model: its choice goes the same way, through the same checks."""
    with running(SCRIPT) as provider:
        daemon = Daemon(tmp_path, ORGANISATION + BY_MODEL.replace("URL", provider.url))
        try:
            daemon.up()
            give_up(daemon, FINANCE)
            until(lambda: daemon.status()[FINANCE]["state"] == "ready", f"it is back: {provider.heard()[-3:]}")
            (reset,) = [one for one in remedies(daemon) if one["remedy"] == "reset"]
            assert (reset["by"], reset["why"]) == ("acme/operations/medic", "one more chance")
            assert daemon.ask("Refund order 2", "r2")["state"] == "answered"
        finally:
            daemon.mai("down")
