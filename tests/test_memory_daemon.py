"""Memory in a real daemon: random programs of agents of two departments, killed while they run, see what a dict would give them.

What an agent says that it saw is what its department's journal has, step by step, and what Mai's journal has of the client's
memory; and each value is what was last written, whoever was killed meanwhile.
"""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mai.daemon import deep
from tests.rememberers import PLAYER, Model, Op, comparable, program
from tests.small import Daemon, until

ORGANISATION = """
[organisation]
name = "Memories"
clients = ["acme"]

[limits]
request_s = 60
task_s = 60

[departments.support]
charter = "Remembers."
memory = { client = { read = ["*"], write = ["a*"] } }

[[departments.support.agents]]
name = "ann"
rank = "operator"
handler = "play.py:ann"
memory = { client = { write = ["b/*"] } }

[[departments.support.agents]]
name = "ben"
rank = "operator"
handler = "play.py:ben"

[[departments.sales.agents]]
name = "cid"
rank = "operator"
handler = "play.py:cid"
"""
CONTRACT = """
[[departments.{department}.contracts]]
name = "{agent}_plays"
about = "Plays a program"
served_by = "{agent}"
may_ask = ["client"]
request = {{ name = "int" }}
reply = {{ saw = "any" }}
phrases = ["{agent} plays {{name}}"]
"""
WHO = {"ann": "support", "ben": "support", "cid": "sales"}
SCOPES: dict[str, dict[str, tuple[str, ...]]] = {
    "ann": {"read": ("",), "write": ("a", "b/")}, "ben": {"read": ("",), "write": ("a",)}, "cid": {"read": ("a",)}
}  # fmt: skip
PROGRAMS = 24
CALLS = 40
VICTIMS = ("acme/support", "acme/sales", "acme/mai")


@pytest.fixture
def daemon(state: Path) -> Iterator[Daemon]:
    """Two departments whose agents play what stands in a file beside their code."""
    sales = '[departments.sales]\ncharter = "Reads."\nmemory = { client = { read = ["a*"] } }\n'
    parts = ORGANISATION.replace("[[departments.sales.agents]]", f"{sales}\n[[departments.sales.agents]]")
    contracts = "".join(CONTRACT.format(department=department, agent=agent) for agent, department in WHO.items())
    made = Daemon(state, parts + contracts)
    base = made.file.parent
    agents = "".join(
        f"\n\nasync def {agent}(ctx, task):\n"
        f"    groups = json.load(open({str(base)!r} + f\"/{{task.input['name']}}.json\"))\n"
        "    return {'saw': await play(ctx, groups)}\n"
        for agent in WHO
    )
    (base / "play.py").write_text(PLAYER + agents)
    yield made.up()
    made.mai("down")


@pytest.mark.seconds(240)
def test_what_agents_saw_is_what_the_journals_have(daemon: Daemon) -> None:
    """Puts, gets, lists, searches, versions, forgets and expiries at all levels, with `kill -9` of departments and of Mai."""
    dice, model = random.Random(20), Model(SCOPES)
    with ThreadPoolExecutor(1) as asking:
        for number in range(PROGRAMS):
            agent = dice.choice(list(WHO))
            groups = program(dice, CALLS)
            (daemon.file.parent / f"{number}.json").write_text(json.dumps(groups))
            answer = asking.submit(daemon.ask, f"{agent} plays {number}", f"R{number}")
            if number % 2:
                kill(daemon, dice.choice(VICTIMS), dice.uniform(0.0, 0.25))
            told = answer.result()
            assert told["state"] == "answered", told
            ops = [op for group in groups for op in group]
            saw = told["parts"][0]["value"]["saw"]
            assert [comparable(op, one) for op, one in zip(ops, saw, strict=True)] == [
                model.see(WHO[agent], agent, op) for op in ops
            ], f"program {number} of {agent}"
            model.expire()
            pass_by()
    until(daemon.ready, "all processes are back")
    daemon.down()
    for number in range(PROGRAMS):
        on_record(daemon, f"R{number}")
    starts = [len(bodies(daemon, process, "process.started")) for process in VICTIMS]
    assert sum(starts) >= len(VICTIMS) + PROGRAMS // 4, "hardly anybody was killed"
    report = deep.check(daemon.place)
    assert report.sound, deep.render(report)


def kill(daemon: Daemon, process: str, after_s: float) -> None:
    """End it in the middle of whatever it does. The time is the dice's: no matter what has happened by then."""
    until_s = time.monotonic() + after_s
    while time.monotonic() < until_s:
        os.sched_yield()
    for pid in daemon.pids().get(process, []):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def pass_by() -> None:
    """Until the wall clock is past what was to expire in a millisecond."""
    until_s = time.time() + 0.002
    while time.time() <= until_s:
        pass


def on_record(daemon: Daemon, request: str) -> None:
    """What the agent of this request said that it saw is what its steps say, and what Mai's records say of the client's."""
    program_: list[list[Op]] = json.loads((daemon.file.parent / f"{request[1:]}.json").read_text())
    ops = [op for group in program_ for op in group]
    (answer,) = [body["parts"][0] for record, body in bodies(daemon, "acme/mai", "request.ended") if record.request == request]
    saw, (_, department, agent) = answer["value"]["saw"], answer["by"].split("/")
    asked = {
        body["n"]: body for record, body in bodies(daemon, f"acme/{department}", "step.asked")
        if record.request == request and record.agent == agent
    }  # fmt: skip
    steps = [
        (record, {**asked.get(body["n"], {}), **body}) for record, body in bodies(daemon, f"acme/{department}", "step")
        if record.request == request and record.agent == agent
    ]  # fmt: skip
    assert [body["n"] for _, body in sorted(steps, key=lambda one: one[1]["n"])] == list(range(1, len(ops) + 1))
    told = {body["id"]: body for kind in ("memory.read", "memory.refused") for _, body in bodies(daemon, "acme/mai", kind)}
    for record, body in steps:
        op, seen = ops[body["n"] - 1], saw[body["n"] - 1]
        assert body["call"] == op["call"] and body["given"]["level"] == op["level"]
        assert said(body) == seen, f"{op}: {seen} is not what the journal has"
        if op["level"] == "client" and not body.get("refused") and op["call"] not in ("remember", "forget"):
            assert said(told[f"{record.task}.m{body['n']}"]) == seen


def said(body: dict[str, Any]) -> Any:
    """A recorded outcome as the player says it."""
    value = body.get("value")
    if body.get("refused"):
        return {"refused": True}
    if isinstance(value, dict) and "items" in value:
        return {"items": [[one["key"], one["version"], one["value"]] for one in value["items"]], "more": value["more"]}
    return value


def bodies(daemon: Daemon, process: str, kind: str) -> list[tuple[Any, dict[str, Any]]]:
    """Records of a kind, with their bodies, wherever these lie."""
    from contextlib import closing

    from mai.daemon.reader import Reader

    with closing(Reader(daemon.place, process)) as reader:
        return [(record, reader.fields(record)) for record in reader.records("kind = ?", kind, limit=100_000)]


def test_people_look_into_memory_and_leave_no_trace(daemon: Daemon) -> None:
    """`mai memory` lists, shows and searches each level, as text and as JSON; what is not there is said; nothing is journaled."""
    ops: list[Op] = [
        {"call": "remember", "key": "customer.311", "value": {"note": "pays late"}, "level": "agent"},
        {"call": "remember", "key": "customer.311", "value": {"note": "pays in time"}, "level": "agent"},
        {"call": "remember", "key": "rule", "value": "credit note first", "level": "department"},
        {"call": "remember", "key": "a.vip", "value": True, "level": "client"},
        {"call": "remember", "key": "gone", "value": 1, "level": "agent", "expires_s": 0.001},
    ]
    (daemon.file.parent / "1.json").write_text(json.dumps([ops]))
    daemon.ask("ann plays 1", "R1")
    pass_by()
    before = {process: len(daemon.journal(process)) for process in ("acme/mai", "acme/support")}
    listed = json.loads(daemon.mai("memory", "list", "acme/support/ann", "--json").stdout)["memories"]
    assert [(one["key"], one["version"], one["value"], one["by"]) for one in listed] == [
        ("customer.311", 2, {"note": "pays in time"}, "ann")
    ]
    shown = daemon.mai("memory", "show", "acme/support/ann", "customer.311").stdout
    assert "version 2" in shown and '{"note":"pays late"}' in shown and ", by ann in R1/" in shown
    assert daemon.mai("memory", "search", "acme/support", "credit").stdout.startswith("rule  version 1")
    assert "a.vip" in daemon.mai("memory", "list", "acme").stdout
    assert daemon.mai("memory", "list", "acme/support/ben").stdout == "nothing\n"
    missing = daemon.mai("memory", "show", "acme/support/ann", "none")
    assert missing.returncode == 2 and "acme/support/ann keeps nothing under 'none'" in missing.stderr
    wrong = daemon.mai("memory", "list", "acme/support/ann/x")
    assert wrong.returncode == 2 and "names no memory" in wrong.stderr
    checked = daemon.mai("check", str(daemon.file)).stdout
    assert "support reads * and writes a*; support/ann writes b/*; sales reads a*" in checked
    after = {process: [record.kind for record, _ in daemon.journal(process)] for process in before}
    assert not [kind for process, kinds in after.items() for kind in kinds[before[process] :] if kind.startswith("memory.r")]
