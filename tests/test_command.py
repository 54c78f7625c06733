"""Command agents: any executable, and whatever it does on its standard streams."""

import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from mai.agents import command as commands
from mai.agents.command import decode
from mai.agents.context import Refusal
from mai.agents.events import Ended
from mai.agents.organisation import Agent, Limits, Tool
from tests.conftest import alive
from tests.lone import Lone, desk, organisation

ECHO = """
import json, sys
for line in sys.stdin:
    task = json.loads(line)
    print(json.dumps({"text": "you said " + task["text"], "value": task["input"]}), flush=True)
"""


def command(
    base: Path, script: str, *, limits: Limits | None = None, tools: tuple[Tool, ...] = (), argv: tuple[str, ...] = ()
) -> Lone:
    """A department whose desk is this Python script, or another command."""
    (base / "desk.py").write_text(script)
    run = argv or (sys.executable, "-S", "desk.py")
    worker = Agent(name="desk", rank="operator", command=run, tools=tuple(tool.name for tool in tools))
    return Lone(base, organisation(base, worker, tools=tools, limits=limits))


def test_one_program_serves_task_after_task(tmp_path: Path) -> None:
    """It is started with the first task and stays; it gets the text and the values, and its answer is the task's."""
    lone = command(tmp_path, ECHO + "\n")
    lone.task("desk one", ident="r/1")
    lone.settle()
    first = psutil.Process().children()
    lone.task("desk two", ident="r/2")
    lone.settle()
    assert (lone.result("r/1").text, lone.result("r/2").text) == ("you said desk one", "you said desk two")
    assert psutil.Process().children() == first and len(first) == 1
    lone.check()
    lone.close()


def test_a_program_in_shell(tmp_path: Path) -> None:
    """No language is needed that knows of us: sh and printf will do."""
    script = 'while read -r line; do printf \'{"text": "from sh"}\\n\'; done'
    lone = command(tmp_path, "", argv=("sh", "-c", script))
    assert lone.ask().text == "from sh"
    lone.close()


CALLS = """
import json, sys
def call(**given):
    print(json.dumps(given), flush=True)
    return json.loads(sys.stdin.readline())
json.loads(sys.stdin.readline())
said = [
    call(call="remember", key="k", value=[1, "ä"]),
    call(call="recall", key="k"),
    call(call="tool", name="twice", input={"number": 4}),
    call(call="ask", to="sales.pipeline", input={"quarter": 1, "text": "a field"}),
    call(call="conclude", subject="s", attribute="a", value=1, confidence=0.5, grounds=["step:3"]),
    call(call="ask", to="board"), call(call="ask", to=5), call(call="tool", name="drill"), call(call="tool", input=[]),
    call(call="conclude", subject="s", attribute="a", grounds=5), call(call="dance"), call(call=["x"]),
]
print(json.dumps({"value": {"said": said}}), flush=True)
"""


def test_its_calls_are_steps(tmp_path: Path) -> None:
    """What ctx offers is there for a program, with the same rules; what is refused is told to it, and it goes on."""
    (tmp_path / "w.py").write_text("def twice(files, number): return number * 2")
    lone = command(tmp_path, CALLS, tools=(Tool(name="twice", handler="w.py:twice"),))
    lone.task()
    lone.settle()
    (asked,) = lone.asked()
    assert asked.input == {"quarter": 1, "text": "a field"}
    lone.reply(asked, {"total": 9})
    lone.settle()
    said = lone.result().value["said"]
    assert said[:3] == [{"value": 1}, {"value": [1, "ä"]}, {"value": 8}]
    assert said[3] == {"value": {"total": 9}, "text": "", "by": "acme/sales/board"} and said[4] == {
        "value": {"claim": "r/1.1.1/5"}
    }
    refused = [one["refused"] for one in said[5:]]
    assert refused[0] == "an operator may hand a task to a coordinator only, not to the board: ask coordinator"
    assert refused[1:] == [
        "an address has to be a str, not int",
        "desk may not use the tool drill; its tools are: twice",
        "the input of a call has to be an object",
        "the grounds of a conclusion have to be a list of texts",
        f"there is no call 'dance'; the calls are {commands.CALLS}",
        f"there is no call \"['x']\"; the calls are {commands.CALLS}",
    ]
    lone.check()
    lone.close()


SAY = "import sys, os, json, time, subprocess; sys.stdin.readline()\n"
BAD = {
    "it exits": (SAY + "sys.exit(3)", "exited with status 3 before it answered"),
    "it exits before it reads": ("import sys; sys.exit(4)", "exited with status 4 before it answered"),
    "it is killed": (SAY + "os.kill(os.getpid(), 9)", "was ended by signal 9 before it answered"),
    "half a line": (
        SAY + 'os.write(1, b\'{"text": "ha\'); sys.exit()',
        'exited with status 0 before it answered after half a line: \'{"text": "ha\'',
    ),
    "garbage": (SAY + "print('hello', flush=True); time.sleep(60)", "wrote a line that is no JSON object: 'hello'"),
    "bytes that are no text": (SAY + "os.write(1, b'\\xff\\xfe\\n'); time.sleep(60)", "wrote a line that is no JSON object"),
    "depths": (SAY + "print('[' * 5000, flush=True); time.sleep(60)", "wrote a line that is no JSON object"),
    "a number": (SAY + "print(5, flush=True)", "wrote a line that is no JSON object: '5'"),
    "nothing in it": (SAY + "print('{}', flush=True)", "answered with nothing; an answer has a text, a value or both"),
    "a word that is none": (SAY + 'print(\'{"txt": "a"}\', flush=True)', "answered with txt; an answer has a text"),
    "a text that is none": (SAY + "print('{\"text\": 5}', flush=True)", "answered in a wrong form: Expected `str`, got `int`"),
    "a line without end": (SAY + "while True: os.write(1, b'x' * 65536)", "wrote a line of more than 1048576 bytes"),
    "lines without end": (SAY + "while True: os.write(1, b'x\\n' * 1000)", "wrote a line that is no JSON object: 'x'"),
    "empty lines without end": (SAY + "while True: os.write(1, b'\\n' * 1000)", "did not answer before its deadline"),
    "it closes its output": (SAY + "os.close(1); time.sleep(60)", "closed its standard output"),
    "it hangs": (SAY + "time.sleep(60)", "did not answer before its deadline"),
    "it never reads": ("import time; time.sleep(60)", "did not answer before its deadline"),
    "it refuses": (SAY + 'print(\'{"refused": "not today"}\', flush=True)', "not today"),
    "a huge number": (
        SAY + 'print(\'{"value": {"a": %d}}\' % 2**70, flush=True)',
        "returned what cannot be an answer: a value that JSON",
    ),
    "noise beside": (SAY + "os.write(2, b'\\xff' * 100000); sys.exit(5)", "exited with status 5 before it answered"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_programs_fault_is_one_answer(tmp_path: Path, what: str) -> None:
    """Its task fails with a sentence, the program is gone, and the next task gets a new one."""
    script, reason = BAD[what]
    lone = command(tmp_path, script, limits=Limits(task_s=0.5 if "deadline" in reason else 20.0))
    result = lone.ask("desk " + "x" * 100_000)
    assert reason in result.reason, result.reason
    assert result.state in ("failed", "refused", "expired")
    lone.settle()
    lone.check()
    lone.close()
    assert not psutil.Process().children()


@pytest.mark.parametrize("argv", [("no-such-program",), ("./desk.py",), ("/",), ("a\0b",)])
def test_a_program_that_cannot_be_started(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """Missing, not executable, a directory, no name at all: the task fails and says so."""
    lone = command(tmp_path, "", argv=argv)
    assert "the command of desk cannot be started" in lone.ask().reason
    lone.close()


def test_a_program_that_speaks_unasked_is_replaced(tmp_path: Path) -> None:
    """What it says after its answer is not taken for the answer to the next task."""
    script = SAY.replace("sys.stdin.readline()", "") + (
        'sys.stdin.readline(); print(\'{"text": "%d"}\' % os.getpid(), flush=True)\n'
        'print(\'{"text": "unasked"}\', flush=True); open("spoken", "w").close(); time.sleep(60)'
    )
    lone = command(tmp_path, script)
    lone.task(ident="r/1")
    lone.settle()
    while (
        not (lone.home / "work" / "agents" / "desk" / "spoken").exists() and psutil.Process().children()
    ):  # if heard at once, it is gone already
        time.sleep(0.01)
    lone.task(ident="r/2")
    lone.settle()
    texts = {lone.result(ident).text for ident in ("r/1", "r/2")}
    assert "unasked" not in texts and len(texts) == 2
    lone.close()


def test_an_answer_may_name_its_task(tmp_path: Path) -> None:
    """A program that says which task it speaks of is never taken to speak of another, however late it is."""
    script = SAY.replace("sys.stdin.readline()", "") + (
        'first = json.loads(sys.stdin.readline())["task"]; print(json.dumps({"task": first, "text": "one"}), flush=True)\n'
        'sys.stdin.readline(); print(json.dumps({"task": first, "text": "one again"}), flush=True); time.sleep(60)'
    )
    lone = command(tmp_path, script)
    lone.task(ident="r/1")
    lone.settle()
    lone.task(ident="r/2")
    lone.settle()
    assert lone.result("r/1").text == "one"
    assert lone.result("r/2").state == "failed" and "spoke of the task 'r/1" in lone.result("r/2").reason
    lone.close()


@pytest.mark.parametrize("end", ["sys.exit()", "print('garbage', flush=True); time.sleep(60)"])
def test_what_it_has_started_ends_with_it(tmp_path: Path, end: str) -> None:
    """Its own children die with its task, whether it has exited itself or is ended."""
    script = SAY + f"child = subprocess.Popen(['sleep', '600'], stdout=2)\nopen('pid', 'w').write(str(child.pid))\n{end}"
    lone = command(tmp_path, script)
    assert lone.ask().state == "failed"
    pid = int((lone.home / "work" / "agents" / "desk" / "pid").read_text())
    while psutil.pid_exists(pid) and alive(psutil.Process(pid)):  # the signal is on its way, or this test takes too long
        continue
    lone.close()


def test_a_command_escalates(tmp_path: Path) -> None:
    """Its task goes to those above it, whose answer is the task's; the program is free meanwhile."""
    lone = command(tmp_path, SAY + 'print(\'{"escalate": "too hard"}\', flush=True)')
    assert lone.given_up().plea.reason == "too hard" and not lone.runner.programs.at_work()
    lone.rule("do this")
    lone.settle()
    assert (lone.result().text, lone.result().by) == ("do this", "acme/person/ann")
    lone.close()


def test_only_so_many_programs_are_at_work(tmp_path: Path) -> None:
    """Beyond the limit tasks wait for a seat, in their order, and all are served."""
    lone = command(tmp_path, ECHO, limits=Limits(running=2))
    for n in range(7):
        lone.task(ident=f"r/{n}")
    most = 0
    while lone.decider.state.work:
        lone.turn()
        most = max(most, len(lone.runner.programs.at_work()))
        lone.wait_for_programs()
    assert [event.request for event in lone.of_kind(Ended) if event.agent == "desk"] == ["r"] * 7
    assert most == 2 == len(psutil.Process().children())
    lone.close()


def test_programs_that_ask_each_other_do_not_block_each_other(tmp_path: Path) -> None:
    """One that waits for another's answer gives its seat up meanwhile: even a single seat is enough."""
    script = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"call": "ask", "to": "clerk"}), flush=True)
    print(json.dumps({"text": json.loads(sys.stdin.readline())["text"]}), flush=True)
"""
    (tmp_path / "desk.py").write_text(script)
    (tmp_path / "clerk.py").write_text(ECHO.replace('"you said " + task["text"]', '"yes"'))
    run = [(sys.executable, "-S", name) for name in ("desk.py", "clerk.py")]
    agents = (Agent(name="desk", rank="operator", command=run[0]), Agent(name="clerk", rank="coordinator", command=run[1]))
    lone = Lone(tmp_path, organisation(tmp_path, *agents, limits=Limits(running=1)))
    for n in range(4):
        lone.task(ident=f"r/{n}")
    lone.settle()
    assert {lone.result(f"r/{n}").text for n in range(4)} == {"yes"}
    lone.close()


def test_an_interrupted_command_goes_on_where_it_was(tmp_path: Path) -> None:
    """The program begins anew and asks again; it gets the recorded answers, and nothing is done twice."""
    (tmp_path / "w.py").write_text(
        "def count(files):\n    (files / 'n').open('a').write('x')\n    return len((files / 'n').read_text())"
    )
    script = """
import json, sys
def call(**given):
    print(json.dumps(given), flush=True)
    return json.loads(sys.stdin.readline())
sys.stdin.readline()
print(json.dumps({"value": {"n": call(call="tool", name="count")["value"],
    "total": call(call="ask", to="sales.pipeline", input={"quarter": 1})["value"]["total"]}}), flush=True)
"""
    lone = command(tmp_path, script, tools=(Tool(name="count", handler="w.py:count"),))
    lone.task()
    lone.settle()
    (asked,) = lone.asked()
    lone = lone.again()
    lone.settle()
    lone.reply(asked, {"total": 5})
    lone.settle()
    assert lone.result().value == {"n": 1, "total": 5}
    assert [event.agent for event in lone.of_kind(Ended)].count("desk") == 1
    lone.check()
    lone.close()


def test_a_line_is_an_object() -> None:
    """Everything else is refused, with the beginning of what came."""
    assert decode("desk", b'{"a": 1}') == {"a": 1}
    for line in (b"[]", b"1", b'"a"', b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(Refusal, match="no JSON object"):
            decode("desk", line)


def test_a_python_handler_beside_a_command(tmp_path: Path) -> None:
    """The kinds live in one department, and a signal to a program is no signal to us."""
    place = desk(tmp_path, "async def desk(ctx, task): return (await ctx.ask('clerk')).text")
    (tmp_path / "clerk.sh").write_text("read -r line; kill -TERM $$")
    clerk = Agent(name="clerk", rank="coordinator", command=("sh", "clerk.sh"))
    lone = Lone(tmp_path, organisation(tmp_path, *place.departments[0].agents[2:], clerk))
    assert lone.ask().reason == f"the command of clerk was ended by signal {signal.SIGTERM} before it answered"
    lone.close()
