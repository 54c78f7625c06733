"""Deadlines: what is late is refused and not worked on, wherever it waits."""

import os
import signal
import subprocess
import textwrap
from pathlib import Path

from mai.agents.decider import Send
from mai.agents.events import Begun, Ended, Remembered
from mai.agents.memory import MemoryRefused
from mai.agents.memory_messages import Recalled, Remember
from mai.agents.organisation import Limits, Tool
from mai.agents.shell import now_ms
from mai.daemon.desk import Asked, Memory, Planned
from mai.daemon.mai import MaiDecider
from mai.daemon.records import PartPlan, RequestEnded
from tests.lone import COUNTED, TOOL, Lone, desk
from tests.small import PATIENCE_S, Daemon, environment, running, until
from tests.wired import Wired


def late(deadline_ms: int) -> None:
    """Wait until it has passed."""
    until(lambda: now_ms() > deadline_ms, "the deadline")


def test_what_waits_for_its_turn_beyond_its_deadline_is_not_begun(tmp_path: Path) -> None:
    """Another's code held the loop: the task ends as expired, and its own code never runs."""
    code = """
    async def desk(ctx, task):
        (ctx.files / task.task.replace("/", "_")).touch()
        until = time.time() + 0.4
        while task.request == "r" and task.text == "desk long" and time.time() < until: pass
        return "done"
    """
    lone = Lone(tmp_path, desk(tmp_path, code))
    lone.task("desk long", ident="r/1")
    lone.task("desk", ident="r/2", limit_ms=200)
    lone.runner.run()
    lone.settle()
    assert lone.result("r/1").state == "answered" and lone.result("r/2").state == "expired"
    assert [event.task for event in lone.of_kind(Begun)] == ["r/1.1.1"]
    lone.check()
    lone.close()


def test_a_tool_is_not_called_after_the_deadline(tmp_path: Path) -> None:
    """The code took so long that it is late when it comes to its tool, within one and the same turn."""
    code = """
    async def desk(ctx, task):
        (ctx.files / "begun").touch()
        while time.time() * 1000 <= task.deadline_ms: pass
        await ctx.tool("count", what="calls")
    """
    lone = Lone(tmp_path, desk(tmp_path, COUNTED + textwrap.dedent(code), tools=(TOOL,)))
    lone.task(limit_ms=40)
    lone.settle()
    lone.expire()
    assert lone.result().state == "expired"
    assert not (lone.runner.files / "calls").exists()
    lone.check()
    lone.close()


def test_a_command_that_waits_for_its_place_is_not_started_after_the_deadline(tmp_path: Path) -> None:
    """The place gets free in the very turn in which the task expires."""
    script = "cd $MAI_FILES; echo x >>begun; while ! test -e go; do sleep 0.01; done"
    wait = Tool(name="wait", command=("sh", "-c", script), files="write", timeout_s=3600)
    code = 'async def desk(ctx, task):\n    await ctx.tool("wait")\n    return "done"'
    lone = Lone(tmp_path, desk(tmp_path, code, tools=(wait,), limits=Limits(running=1)))
    lone.task(ident="r/1")
    lone.turn()
    lone.task(ident="r/2", limit_ms=300)
    lone.turn()
    (job, _), *_ = lone.runner.toolbox._jobs.values()
    until((lone.runner.files / "begun").exists, "the first one has begun")
    (lone.runner.files / "go").touch()
    lone.wait_for_programs()
    late(lone.decider.next_deadline_ms() + 50)
    lone.settle()
    lone.expire()
    assert job.ended
    assert lone.result("r/2").state in ("expired", "failed")
    assert (lone.runner.files / "begun").read_text() == "x\n"
    lone.check()
    lone.close()


def test_a_plan_that_comes_late_is_not_carried_out(tmp_path: Path) -> None:
    """It was accepted, its plan took longer than its deadline, or Mai was away meanwhile: no department hears of it."""
    company = Wired(tmp_path)
    mai = company.desks["acme/mai"].decider
    assert isinstance(mai, MaiDecider)
    company.desks["acme/mai"].shell.feed(Asked("r", "acme/client", "plan", 1000, False, None))
    found = mai.decide(Planned("r", (PartPlan("marketing", "plan", "", {}, "the test says so"),)), 1000)
    assert [type(item) for item in found] == [RequestEnded]
    assert isinstance(found[0], RequestEnded) and found[0].state == "expired"
    company.close()


def test_memory_is_not_written_late(tmp_path: Path) -> None:
    """A task that has expired leaves nothing in the client's memory; in time it does."""
    company = Wired(tmp_path)
    mai = company.desks["acme/mai"].decider
    body = Remember("r/1.m1", "acme/sales/analyst", "k", 1)
    found = mai.decide(Memory("acme/sales", body, 1000), 1000)
    refused, send = found
    assert (
        isinstance(refused, MemoryRefused)
        and isinstance(send, Send)
        and send.body == Recalled("r/1.m1", False, None, "it came after its deadline")
    )
    assert [type(item) for item in mai.decide(Memory("acme/sales", body, 1001), 1000)] == [Remembered, Send]
    company.close()


def test_the_clock_is_set_back_while_a_task_waits(tmp_path: Path) -> None:
    """Nothing is lost by it: the task has its turn, because it is not late any more."""
    lone = Lone(tmp_path, desk(tmp_path, 'async def desk(ctx, task):\n    return "done"'))
    lone.task(limit_ms=100)
    work = next(one for one in lone.decider.state.work.values() if one.agent == "desk")
    late(work.deadline_ms)
    for one in lone.decider.state.work.values():
        one.deadline_ms += 3_600_000  # as a clock that was set back by an hour sees it
    lone.settle()
    assert lone.result().state == "answered"
    lone.close()


def test_an_answer_that_comes_after_the_deadline_is_too_late(state: Path) -> None:
    """Mai was stopped beyond the deadline, and finds the answer when she wakes: the request has expired all the same."""
    with running(state) as daemon:
        gate = daemon.place.home("acme/support") / "files" / "gate"
        os.mkfifo(gate)
        ask = asking(daemon)
        until(lambda: daemon.journal("acme/support", "task.begun"), "the porter waits")
        deadline_ms = daemon.journal("acme/mai", "request.accepted")[0][1]["deadline_ms"]
        pid = daemon.pids()["acme/mai"][0]
        os.kill(pid, signal.SIGSTOP)
        try:
            gate.write_text("wide\n")
            until(lambda: daemon.journal("acme/support", "task.ended"), "the porter has answered")
            ended_ms = daemon.journal("acme/support", "task.ended")[0][0].at_ns // 1_000_000
            late(deadline_ms)
        finally:
            os.kill(pid, signal.SIGCONT)
        out, _ = ask.communicate(timeout=PATIENCE_S)
        assert ended_ms < deadline_ms  # else the machine was too slow for this test to say anything
        assert ask.returncode == 5, out
        (ended,) = daemon.journal("acme/mai", "request.ended")
        assert ended[1]["state"] == "expired"
        assert daemon.journal("acme/mai", "message.received")  # it did come


def asking(daemon: Daemon) -> "subprocess.Popen[bytes]":
    """`mai ask` in the background, with a short deadline."""
    command = daemon.command("ask", "acme", "open the gate", "--timeout", "3", "--json")
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_result_is_never_of_two_kinds(tmp_path: Path) -> None:
    """A task whose code ends just at its deadline has one end."""
    code = """
    async def desk(ctx, task):
        while time.time() * 1000 <= task.deadline_ms: pass
        return "done"
    """
    lone = Lone(tmp_path, desk(tmp_path, code))
    lone.task(limit_ms=60)
    lone.settle()
    lone.expire()
    assert len([event for event in lone.of_kind(Ended) if event.task == "r/1.1.1"]) == 1
    lone.check()
    lone.close()
