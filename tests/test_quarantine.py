"""Quarantine: a task that kills its process is put away with all that is known, and a person decides what becomes of it."""

import json
import os
import signal
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from mai.agents import quarantine
from mai.agents.events import EffectIntent, Ended, Interrupted, Stepped, decode
from mai.agents.messages import Result, Task
from mai.agents.order_messages import Cancel, Release, Released
from mai.agents.organisation import Organisation, Tool
from mai.agents.quarantine import NO_TRACE, TaskQuarantined, TaskReleased
from tests.lone import COUNTED, TOOL, Lone, desk
from tests.small import HANDLERS, ORGANISATION, PATIENCE_S, Daemon, environment, until

POISON = """
async def desk(ctx, task):
    n = await ctx.tool("count", what="calls")
    await ctx.tool("count", what="others")  # whose intent takes the first step to the disk
    if not (ctx.files / "antidote").exists():
        os._exit(9)
    return {"cents": n}
"""
ONCE = Tool(name="once", handler="w.py:once", effect="opaque")


def die(home: Path, place: Organisation, left: str = "") -> int:
    """One life in a child process; its exit status."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    Lone(home, place, left).settle()
    os._exit(0)


def poisoned(home: Path, code: str = COUNTED + POISON, *tools: Tool, left: str = "", text: str = "desk") -> Lone:
    """A department after three deaths by one task."""
    place = desk(home, code, tools=tools or (TOOL,))
    lone = Lone(home, place)
    lone.task(text, "support.refund", {"order": 1})
    lone.shell.commit()
    lone.close()
    kill(home, place, left)
    lone = Lone(home, place, left)
    lone.settle()
    return lone


def kill(home: Path, place: Organisation, left: str = "") -> None:
    """Three lives that end by the poison."""
    for number in range(3):
        assert die(home, place, left * (number > 1)) == 9


def release(lone: Lone, how: str, ident: str = "o", task: str = "r/1.1.1") -> Released:
    """An order, and the answer to it."""
    lone.say(Release(ident, "r", task, how, "ann"))
    lone.settle()
    return next(body for body in lone.sent.values() if isinstance(body, Released) and body.id == ident)


def ends(lone: Lone) -> list[Ended]:
    """All ends of the poisonous task, of all lives."""
    records = [record for record in lone.ledger.records(kind=Ended.kind) if record.task == "r/1.1.1"]
    events = [decode(record.kind, lone.ledger.body(record)) for record in records]
    return [event for event in events if isinstance(event, Ended)]


def test_three_deaths_and_it_is_put_away(tmp_path: Path) -> None:
    """Its asker gets a refusal, the row keeps its steps and the tracebacks of its deaths, the process goes on."""
    lone = poisoned(tmp_path, left="Fatal Python error: Segmentation fault")
    assert lone.result().state == "refused"
    assert lone.result().reason == "the process died 3 times while desk worked on this; it is in quarantine"
    (event,) = lone.of_kind(TaskQuarantined)
    assert (event.attempts, event.traces[0], event.traces[2]) == (3, NO_TRACE, "Fatal Python error: Segmentation fault")
    held = lone.decider.state.quarantine["r/1.1.1"]
    assert [step.n for step in held.steps] == [1, 2] and held.steps[0].value == 1  # the second: if its turn was over
    assert lone.runner.files.joinpath("calls").read_text() == "x"
    lone.check()
    lone = lone.again()
    assert lone.decider.state.quarantine["r/1.1.1"] == held
    lone.task("nothing that anybody does", ident="q/1")
    lone.settle()
    assert lone.result("q/1").state == "refused"
    lone.close()


def test_a_task_that_kills_before_it_is_on_the_disk_is_counted_too(tmp_path: Path) -> None:
    """Mai sends it again each time: after three deaths its code does not run, and nobody else has waited for ever."""
    code = "async def desk(ctx, task):\n    os._exit(9)"
    place = desk(tmp_path, code)
    for _ in range(3):
        if child := os.fork():
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
            continue
        lone = Lone(tmp_path, place)
        lone.task()
        lone.settle()
        os._exit(0)
    lone = Lone(tmp_path, place, "Fatal Python error: Aborted")
    assert [suspect.deaths for suspect in lone.decider.state.suspects.values()] == [3]
    assert lone.ask().state == "refused"
    (event,) = lone.of_kind(TaskQuarantined)
    assert event.traces == (NO_TRACE, NO_TRACE, "Fatal Python error: Aborted")
    assert not lone.decider.state.suspects
    lone.check()
    lone.close()


def test_what_each_death_left_is_on_record(tmp_path: Path) -> None:
    """A traceback, cut to a bound, or that there is none."""
    lone = poisoned(tmp_path, left="y" * 9000)
    records = [decode(record.kind, lone.ledger.body(record)) for record in lone.ledger.records(kind=Interrupted.kind)]
    assert [len(one.traceback) for one in records if isinstance(one, Interrupted)] == [0, 4096, 4096]
    (event,) = lone.of_kind(TaskQuarantined)
    assert event.traces == (NO_TRACE, "y" * 4096, "y" * 4096)
    lone.close()


def test_a_retry_goes_on_over_the_recorded_steps(tmp_path: Path) -> None:
    """With the antidote it ends as it should; nothing is done twice, and nobody is told again."""
    lone = poisoned(tmp_path)
    (lone.runner.files / "antidote").touch()
    before = len([body for body in lone.sent.values() if isinstance(body, Result)])
    assert release(lone, "retry") == Released("o", "r", "r/1.1.1")
    assert [(one.state, one.value) for one in ends(lone)] == [("refused", {}), ("answered", {"cents": 1})]
    assert len([body for body in lone.sent.values() if isinstance(body, Result)]) == before
    assert (lone.runner.files / "calls").read_text() == "x"
    assert not lone.decider.state.quarantine and not lone.decider.state.work
    lone.check()
    lone.close()


def test_a_retry_that_kills_again_goes_back(tmp_path: Path) -> None:
    """Three deaths more, and it is in quarantine once more; a second retry is as good as the first."""
    lone = poisoned(tmp_path)
    lone.say(Release("o", "r", "r/1.1.1", "retry", "ann"))
    lone.shell.commit(all_of_it=True)
    lone.close()
    place = lone.organisation
    kill(tmp_path, place)
    lone = Lone(tmp_path, place)
    lone.settle()
    assert list(lone.decider.state.quarantine) == ["r/1.1.1"]
    assert [one.state for one in ends(lone)] == ["refused", "refused"]
    (lone.runner.files / "antidote").touch()
    assert not release(lone, "retry", "p").refused
    assert ends(lone)[-1].state == "answered"
    lone.check()
    lone.close()


def test_a_drop_removes_it(tmp_path: Path) -> None:
    """It is gone, with who said so on record; a second order is refused."""
    lone = poisoned(tmp_path)
    assert not release(lone, "drop").refused
    (event,) = lone.of_kind(TaskReleased)
    assert (event.how, event.by) == ("drop", "ann")
    assert not lone.decider.state.quarantine
    assert release(lone, "retry", "p").refused == "r/1.1.1 is not in quarantine"
    assert len(ends(lone)) == 1
    lone.check()
    lone.close()


def test_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What falls out is the oldest, and said."""
    monkeypatch.setattr(quarantine, "MOST", 1)
    lone = poisoned(tmp_path)
    held = lone.decider.state.quarantine["r/1.1.1"]
    lone.task("desk", "support.refund", {"order": 1}, ident="q/1")
    lone.shell.commit()
    place = lone.organisation
    lone.close()
    kill(tmp_path, place)
    lone = Lone(tmp_path, place)
    lone.settle()
    assert list(lone.decider.state.quarantine) == ["q/1.1.1"]
    (event,) = lone.of_kind(TaskReleased)
    assert (event.task, event.how) == (held.work.task, "drop") and "this was the oldest" in event.why
    lone.check()
    lone.close()


def test_an_idempotent_tool_that_killed_is_called_again(tmp_path: Path) -> None:
    """The death was inside the tool: a retry calls it again with its key, once it is mended."""
    code = """
    def count(files, what, *, key):
        if not (files / "antidote").exists():
            os._exit(9)
        (files / what).write_text(key)
        return 7

    async def desk(ctx, task):
        return {"cents": await ctx.tool("count", what="calls")}
    """
    lone = poisoned(tmp_path, code)
    (lone.runner.files / "antidote").touch()
    release(lone, "retry")
    assert ends(lone)[-1].value == {"cents": 7}
    assert (lone.runner.files / "calls").read_text() == "r/1.1.1/1"
    assert len(lone.of_kind(EffectIntent)) == 1
    lone.check()
    lone.close()


def test_what_was_asked_before_has_no_answer_any_more(tmp_path: Path) -> None:
    """The answer of another department came while it was in quarantine: a retry hears that, and asks nobody again."""
    code = """
    async def desk(ctx, task):
        asked = ctx.ask("sales.pipeline", quarter=1)
        await ctx.tool("count", what="calls")
        if not (ctx.files / "antidote").exists():
            os._exit(9)
        try:
            await asked
        except Refusal as refusal:
            return {"cents": 1 if refusal.state == "failed" else 2}
    """
    lone = poisoned(tmp_path, COUNTED + textwrap.dedent(code))
    (lone.runner.files / "antidote").touch()
    asked = [body for body in lone.sent.values() if isinstance(body, Task)]
    release(lone, "retry")
    assert ends(lone)[-1].value == {"cents": 1}
    assert [body for body in lone.sent.values() if isinstance(body, Task)] == asked
    (stepped,) = [event for event in lone.of_kind(Stepped) if event.task == "r/1.1.1" and event.n == 1]
    assert stepped.refused == "nobody waited for its outcome while the task was in quarantine"
    lone.check()
    lone.close()


def test_only_the_task_whose_code_ran_is_put_away(tmp_path: Path) -> None:
    """Another that waits for a command beside the loop goes on: three deaths of its process are none of its own."""
    code = """
    async def desk(ctx, task):
        if task.text == "desk":
            await ctx.tool("wait")
            return "done"
        os._exit(9)
    """
    wait = Tool(
        name="wait",
        command=("sh", "-c", "while ! test -e $MAI_FILES/go; do sleep 0.01; done"),
        files="read",
        effect="none",
        timeout_s=3600,
    )
    place = desk(tmp_path, code, tools=(wait,))
    lone = Lone(tmp_path, place)
    lone.task("desk", ident="q/1")
    lone.turn()
    lone.task("poison", "support.refund", {"order": 1})
    lone.shell.commit()
    lone.close()
    kill(tmp_path, place)
    lone = Lone(tmp_path, place)
    for _ in range(100):  # the command may take the time of a turn to begin
        if lone.decider.state.quarantine:
            break
        lone.turn()
    assert list(lone.decider.state.quarantine) == ["r/1.1.1"]
    assert [work.attempts for work in lone.decider.state.work.values()] == [0, 0, 0]
    lone.turn()
    (lone.runner.files / "go").touch()
    lone.settle()
    assert lone.result("q/1").text == "done"
    lone.close()


def test_cancelling_empties_the_quarantine(tmp_path: Path) -> None:
    """What it has done is undone: it must not go on from there."""
    lone = poisoned(tmp_path)
    lone.say(Cancel("r", "ann", ""))
    lone.settle()
    assert not lone.decider.state.quarantine
    (event,) = lone.of_kind(TaskReleased)
    assert (event.how, event.by, event.why) == ("drop", "ann", "its request was cancelled")
    lone.check()
    lone.close()


# -- the real daemon
DEEDS = HANDLERS.replace(
    "async def desk(ctx, task):",
    """async def desk(ctx, task):
    import faulthandler, os
    if task.input["order"] == 13 and not (ctx.files / "antidote").exists():
        with open(ctx.files / "deaths", "a") as file:
            file.write("x")
        os._exit(9) if (ctx.files / "quiet").exists() else faulthandler._read_null()
    if task.input["order"] == 13:
        return {"refund": 13}
""",
)


@pytest.fixture
def daemon(state: Path) -> Iterator[Daemon]:
    """A daemon whose refund desk dies of order 13."""
    fresh = Daemon(state, ORGANISATION)
    (fresh.file.parent / "small.py").write_text(DEEDS)
    yield fresh.up()
    fresh.mai("down")


def test_the_commands_and_a_real_death(daemon: Daemon) -> None:
    """A handler that segfaults: refused, listed with its traceback, retried in vain, then with success; others are served."""
    refused = daemon.mai("ask", "acme", "refund order 13", "--id", "R", "--json")
    assert refused.returncode == 4 and "it is in quarantine" in refused.stdout
    files = daemon.place.home("acme/support") / "files"
    assert (files / "deaths").read_text() == "xxx"
    assert daemon.ask("refund order 7", "Q")["state"] == "answered"
    (entry,) = json.loads(daemon.mai("quarantine", "list", "--json").stdout)["tasks"]
    assert (entry["process"], entry["agent"], entry["attempts"], len(entry["tracebacks"])) == (
        "acme/support",
        "refund-desk",
        3,
        3,
    )
    assert all("Segmentation fault" in one and "in desk" in one for one in entry["tracebacks"])
    assert "in desk" in daemon.mai("quarantine", "list").stdout
    assert "Segmentation fault" in daemon.mai("logs", "acme/support", "-n", "200").stdout
    (files / "quiet").touch()
    ran = daemon.mai("quarantine", "retry", "R")
    assert ran.returncode == 0, ran.stderr
    until(lambda: (files / "deaths").read_text() == "x" * 6, "three deaths more")
    until(lambda: json.loads(daemon.mai("quarantine", "list", "--json").stdout)["tasks"], "it is back")
    assert NO_TRACE in daemon.mai("quarantine", "show", "R").stdout
    (files / "antidote").touch()
    assert daemon.mai("quarantine", "retry", entry["task"]).returncode == 0
    until(lambda: json.loads(daemon.mai("quarantine", "show", entry["task"], "--json").stdout)["result"], "a result")
    shown = daemon.mai("quarantine", "show", entry["task"]).stdout
    assert 'after its release: answered: {"refund":13}' in shown and "task.released" in shown
    assert "nothing is in quarantine" in daemon.mai("quarantine", "list").stdout
    gone = daemon.mai("quarantine", "drop", entry["task"])
    assert gone.returncode == 2 and "no task in quarantine" in gone.stderr
    assert "retry from quarantine by" in daemon.mai("trace", "R").stdout
    verified = daemon.mai("verify", "--state", "--deep")
    assert verified.returncode == 0, verified.stdout


def test_a_drop_while_the_department_is_killed(daemon: Daemon) -> None:
    """The order is on record with Mai, and carried out once when the department is there again."""
    daemon.mai("ask", "acme", "refund order 13", "--id", "R")
    daemon.mai("stop", "acme/support")
    ran = subprocess.Popen(daemon.command("quarantine", "drop", "R"), env=environment(), stdout=subprocess.PIPE)
    until(lambda: daemon.journal("acme/mai", "release.ordered"), "it is on record")
    os.kill(daemon.pids()["acme/mai"][0], signal.SIGKILL)
    daemon.mai("start", "acme/support")
    out, _ = ran.communicate(timeout=PATIENCE_S)
    assert ran.returncode == 0 and b"is dropped" in out
    assert [body["how"] for _, body in daemon.journal("acme/support", "task.released")] == ["drop"]
    assert len(daemon.journal("acme/mai", "release.answered")) == 1
