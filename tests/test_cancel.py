"""Cancelling a request: what is at work for it stops, what can be undone is undone once, and the rest is named."""

import os
from pathlib import Path
from typing import Any

import pytest

from mai.agents.cancelling import TaskCancelled, UndoIntent
from mai.agents.events import Ended
from mai.agents.messages import Result, Task
from mai.agents.order_messages import Cancel, Cancelled
from mai.agents.organisation import Agent, Tool
from mai.sandbox import points
from tests.lone import Lone, desk

CODE = """
def book(files, what):
    with open(files / "book", "a") as file:
        file.write(f"+{what}")
    return {"row": what}

def unbook(files, undoes, input, value, *, key):
    done = files / key.replace("/", "_")
    assert value == {"row": input["what"]} and key == undoes + "!"
    if not done.exists():
        with open(files / "book", "a") as file:
            file.write(f"-{input['what']}")
        done.touch()

def unbook_once(files, undoes, input, value):
    with open(files / "book", "a") as file:
        file.write(f"-{input['what']}")

def fail(files, undoes, input, value):
    raise ValueError("the till is closed")

async def desk(ctx, task):
    for what in task.text.split()[1:]:
        await ctx.tool("book", what=what)
    await ctx.ask("sales.pipeline", quarter=1)
    await ctx.tool("book", what="late")
"""
BOOK = Tool(name="book", handler="w.py:book", effect="idempotent", undo="unbook")
UNBOOK = Tool(name="unbook", handler="w.py:unbook", effect="idempotent")


def tools(effect: str = "idempotent", handler: str = "unbook") -> tuple[Tool, ...]:
    """The tool, and what undoes it."""
    return BOOK, Tool(name="unbook", handler=f"w.py:{handler}", effect=effect)  # type: ignore[arg-type]  # a Literal


def booked(home: Path) -> str:
    """What was done and undone, in order."""
    found = home / "files" / "book"
    return found.read_text() if found.exists() else ""


def at_work(home: Path, *given: Tool, text: str = "desk a b") -> Lone:
    """A department whose desk has booked, and waits for sales."""
    lone = Lone(home, desk(home, CODE, tools=given or tools()))
    lone.task(text)
    lone.settle()
    return lone


def cancelled(lone: Lone) -> Cancelled:
    """The one answer to the order."""
    found = [body for body in lone.sent.values() if isinstance(body, Cancelled)]
    assert len(found) == 1, found
    return found[0]


def states(lone: Lone) -> list[tuple[str, str]]:
    """What became of each effect."""
    return [(one.key, one.state) for one in cancelled(lone).undone]


TASKS = ["r/1", "r/1.1", "r/1.1.1", "r/1.1.1.1", "r/1.1.1.1.1"]  # down to the desk, and up to the board, who asks Mai
ORDER = Cancel("r", "ann", "asked twice")


def test_all_of_a_request_stops_and_is_undone_backwards(tmp_path: Path) -> None:
    """Every open task of it ends as refused, nothing is handed on instead, and its effects are undone, the newest first."""
    lone = at_work(tmp_path, text="desk a b")
    lone.say(ORDER)
    lone.settle()
    assert booked(tmp_path) == "+a+b-b-a"
    assert not lone.decider.state.work and not lone.decider.state.cancels and not lone.decider.state.undos
    assert (lone.result().state, lone.result().reason) == ("refused", "cancelled by ann: asked twice")
    assert [event.task for event in lone.of_kind(TaskCancelled)] == TASKS
    assert cancelled(lone).stopped == tuple(TASKS)
    assert states(lone) == [("r/1.1.1/2", "undone"), ("r/1.1.1/1", "undone")]
    lone.check()
    lone.close()


def test_a_task_that_had_ended_is_undone_too(tmp_path: Path) -> None:
    """The department was done with its part: nothing is stopped, and what it did is undone."""
    lone = at_work(tmp_path)
    asked = next(body for body in lone.asked() if isinstance(body, Task))
    lone.reply(asked, {"total": 1})
    lone.settle()
    assert lone.result().state == "failed"  # what it returned is no answer, which is not the point
    lone.say(ORDER)
    lone.settle()
    assert booked(tmp_path) == "+a+b+late-late-b-a"
    assert cancelled(lone).stopped == ()
    lone.close()


def test_another_request_is_left_alone(tmp_path: Path) -> None:
    """Nothing of it stops, nothing of it is undone."""
    lone = at_work(tmp_path)
    lone.say(Cancel("q", "ann", ""))
    lone.settle()
    assert booked(tmp_path) == "+a+b"
    assert len(lone.decider.state.work) == len(TASKS)
    assert cancelled(lone) == Cancelled("q", ())
    lone.close()


def test_what_comes_late_is_dropped(tmp_path: Path) -> None:
    """The answer that a task waited for comes after the cancelling: its code does not go on."""
    lone = at_work(tmp_path)
    asked = next(body for body in lone.asked() if isinstance(body, Task))
    lone.say(ORDER)
    lone.reply(asked, {"total": 1})
    lone.settle()
    assert booked(tmp_path) == "+a+b-b-a"
    assert len(lone.of_kind(Ended)) == len(TASKS)
    lone.close()


def test_only_what_declares_it_is_undone(tmp_path: Path) -> None:
    """Without `undo` an effect stays, and is named."""
    lone = at_work(tmp_path, Tool(name="book", handler="w.py:book", effect="opaque"))
    lone.say(ORDER)
    lone.settle()
    assert booked(tmp_path) == "+a+b"
    assert states(lone) == [("r/1.1.1/2", "stays"), ("r/1.1.1/1", "stays")]
    lone.check()
    lone.close()


def test_an_undoing_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    """What could not be undone is in the answer, with why, and what a person should do."""
    lone = at_work(tmp_path, *tools("opaque", "fail"))
    lone.say(ORDER)
    lone.settle()
    assert states(lone) == [("r/1.1.1/2", "failed"), ("r/1.1.1/1", "failed")]
    assert cancelled(lone).undone[0].note == "the tool unbook failed: ValueError: the till is closed: undo it by hand"
    lone.check()
    lone.close()


def test_an_effect_in_doubt_is_not_undone(tmp_path: Path) -> None:
    """An intent without an outcome: nobody knows whether there is something to undo, and a person is told so."""
    code = CODE.replace('        file.write(f"+{what}")\n', '        file.write(f"+{what}")\n    os._exit(9)\n')
    place = desk(tmp_path, code, tools=(Tool(name="book", handler="w.py:book", effect="opaque", undo="unbook"), UNBOOK))
    lone = Lone(tmp_path, place)
    lone.task("desk a")
    lone.shell.commit()
    lone.close()
    assert die(tmp_path, place) == 9
    lone = Lone(tmp_path, place)
    lone.say(ORDER)
    lone.settle()
    assert booked(tmp_path) == "+a"
    assert states(lone) == [("r/1.1.1/1", "unknown")]
    assert "undo it by hand if it did" in cancelled(lone).undone[0].note
    lone.check()
    lone.close()


class Died(BaseException):
    """The process ends here."""


def die(home: Path, place: Any) -> int:
    """One more life in a child process; its exit status."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    Lone(home, place).settle()
    os._exit(0)


KILLED = ["receive.after", "commit.before", "commit.inside", "commit.after", "undo.intended", "undo.called"]


@pytest.mark.parametrize("effect", ["idempotent", "opaque"])
@pytest.mark.parametrize("point", KILLED)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_killed_while_it_cancels(tmp_path: Path, point: str, nth: int, effect: str) -> None:
    """A death at any point of it: each effect is undone once, or it is said that nobody knows; one answer to the order."""
    lone = at_work(tmp_path, *tools(effect, "unbook" if effect == "idempotent" else "unbook_once"))
    left = [nth]

    def trap(name: str) -> None:
        left[0] -= name == point
        if left[0] == 0:
            raise Died

    points.arm(trap)
    try:
        lone.say(ORDER)
        lone.settle()
    except Died:
        points.arm(None)
        lone = lone.again()
        if lone.decider.state.link("acme/mai").received == 1:  # it was lost with the death: Mai says it again
            lone.say(ORDER)
        lone.settle()
    finally:
        points.arm(None)
    if not any(isinstance(body, Cancelled) for body in lone.sent.values()):
        lone = lone.again()  # what was sent in the life before is not acknowledged, and goes again
        lone.settle()
    told = dict(states(lone))
    assert set(told) == {"r/1.1.1/1", "r/1.1.1/2"}
    for what, key in (("a", "r/1.1.1/1"), ("b", "r/1.1.1/2")):
        done = booked(tmp_path).count(f"-{what}")
        assert done == 1 if told[key] == "undone" else (done <= 1 and told[key] == "doubt")
    if effect == "idempotent":
        assert set(told.values()) == {"undone"}
    assert [body for body in lone.sent.values() if isinstance(body, Result)]
    lone.check()
    lone.close()


def test_an_undoing_that_kills_its_process_is_given_up(tmp_path: Path) -> None:
    """Three deaths in it, and it is left to a person; the process goes on."""
    code = CODE.replace('    assert value == {"row"', '    os._exit(9)\n    assert value == {"row"')
    place = desk(tmp_path, code, tools=tools())
    lone = Lone(tmp_path, place)
    lone.task("desk a")
    lone.settle()
    lone.say(ORDER)
    lone.shell.commit()
    lone.close()
    for _ in range(3):
        assert die(tmp_path, place) == 9
    lone = Lone(tmp_path, place)
    lone.settle()
    assert states(lone) == [("r/1.1.1/1", "doubt")]
    assert [record.kind for record in lone.ledger.records(kind=UndoIntent.kind)] == [UndoIntent.kind] * 3
    lone.check()
    lone.close()


def test_a_command_undoes_beside_the_loop(tmp_path: Path) -> None:
    """A program gets undoes, input and value on its standard input, and its key in MAI_KEY."""
    script = tmp_path / "undo.sh"
    script.write_text('read -r line; echo "$MAI_KEY $line" >>"$MAI_FILES/undone"\n')
    undo = Tool(name="unbook", command=("sh", str(script)), files="write", effect="opaque")
    lone = at_work(tmp_path, BOOK, undo)
    lone.say(ORDER)
    lone.settle()
    lines = (tmp_path / "files" / "undone").read_text().splitlines()
    assert lines == [
        'r/1.1.1/2! {"undoes":"r/1.1.1/2","input":{"what":"b"},"value":{"row":"b"}}',
        'r/1.1.1/1! {"undoes":"r/1.1.1/1","input":{"what":"a"},"value":{"row":"a"}}',
    ]
    assert states(lone) == [("r/1.1.1/2", "undone"), ("r/1.1.1/1", "undone")]
    lone.close()


def test_a_program_at_work_is_ended(tmp_path: Path) -> None:
    """A command of the cancelled request is killed; whether it happened is in doubt, and said."""
    wait = Tool(
        name="wait", command=("sh", "-c", 'echo >"$MAI_FILES/begun"; sleep 1000'), files="write", effect="opaque", timeout_s=3600
    )
    code = 'async def desk(ctx, task):\n    await ctx.tool("wait")'
    lone = Lone(tmp_path, desk(tmp_path, code, Agent(name="other", rank="operator", handler="w.py:desk"), tools=(wait,)))
    lone.task()
    lone.turn()
    assert lone.runner.toolbox.pipes()
    lone.say(ORDER)
    lone.settle()
    assert not lone.runner.toolbox.pipes()
    assert states(lone) == [("r/1.1.1/1", "unknown")]
    lone.check()
    lone.close()
