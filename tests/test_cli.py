"""The command line without a daemon: its help, its exit statuses, and what it says when something is wrong."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mai.agents.faults import Fault, Faulty
from mai.cli import SECTIONS, main
from mai.daemon.status import duration, render
from mai.daemon.terminal import Commands, count, printable, told
from mai.sandbox.errors import MaiError, NotRunning, Refused
from mai.sandbox.settings import SETTINGS
from tests.small import MAI, PATIENCE_S, environment

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = "".join((ROOT / name).read_text() for name in ("README.md", "MANUAL.md"))


def found(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """All commands of a group, and what lies below them: `verify`, `effects list`."""
    commands: dict[str, click.Command] = {}
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None, name
            commands |= found(command, f"{before}{name} ") if isinstance(command, click.Group) else {before + name: command}
    return commands


EACH = found(main)
COMMANDS = sorted(EACH)
FAULTY = """
[departments.support]
charter = "Helps."
[[departments.support.agents]]
name = "Desk"
rank = "operater"
handler = "nowhere.py:desk"
"""


def mai(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run(
        [*MAI, *arguments], env=environment(**more), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(name: str) -> None:
    """A sentence that says what it does, and at least one line that can be copied, which names the command."""
    command = EACH[name]
    with click.Context(command, info_name=f"mai {name}") as context:
        text = command.get_help(context)
    assert command.help and command.help.split("\n")[0].strip().endswith(".")
    examples = text.split("Examples:\n")[1].splitlines()
    assert any(f"mai {name}" in line or f"{name} " in line for line in examples)
    assert all(param.help for param in command.params if isinstance(param, click.Option)), "an option without help"


def test_help_names_every_command_and_setting() -> None:
    """`mai --help`, and `-h` for short."""
    shown = mai("--help")
    assert shown.returncode == 0 and shown.stdout == mai("-h").stdout
    assert all(re.search(rf"^  {name.split()[0]} ", shown.stdout, re.MULTILINE) for name in COMMANDS)
    assert all(setting.name in shown.stdout and setting.help in shown.stdout for setting in SETTINGS)


def test_each_command_stands_in_one_section_of_the_help() -> None:
    """None is left to the end, none stands in two, and none is named that is not there."""
    named = [name for names in SECTIONS.values() for name in names.split()]
    assert sorted(named) == main.list_commands(click.Context(main))


@pytest.mark.parametrize("name", [*COMMANDS, *(setting.name for setting in SETTINGS)])
def test_the_documents_name_every_command_and_setting(name: str) -> None:
    """What is not in it is not known to anybody."""
    assert re.search(rf"`{name}`|\bmai {name}\b|\${name}\b", DOCUMENTS)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--version"], 0),
        (["dance"], 2),
        (["ask"], 2),
        (["ask", "acme"], 2),
        (["ask", "acme", "hello", "--timeout", "x"], 2),
        (["ask", "acme", "hello"], 3),
        (["chat", "acme"], 3),
        (["status"], 3),
        (["status", "--json"], 3),
        (["down"], 3),
        (["start", "acme/support"], 3),
        (["stop", "acme/support"], 3),
        (["restart", "acme/support"], 3),
        (["reset", "acme/support"], 3),
        (["up"], 2),
        (["up", "/nowhere/company.toml"], 2),
        (["check", "/nowhere/company.toml"], 2),
        (["check", "/"], 2),
        (["chart", "/nowhere/company.toml"], 2),
        (["check", str(ROOT / "etc" / "first.toml")], 0),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else str(given),
)
def test_the_exit_status_says_what_it_was(tmp_path: Path, arguments: list[str], status: int) -> None:
    """0 done, 2 usage or configuration, 3 not running; an error is short, on standard error, and no traceback."""
    ran = mai(*arguments, MAI_STATE=str(tmp_path / "none"))
    assert ran.returncode == status, ran.stderr
    assert bool(ran.stderr) == bool(status) and "Traceback" not in ran.stderr and len(ran.stderr.splitlines()) < 10
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("name", "status"), [(name, 3) for name in ("ask", "down", "status")])
def test_a_state_that_is_no_directory_is_no_daemon(tmp_path: Path, name: str, status: int) -> None:
    """A file in its place: nobody runs there."""
    (tmp_path / "file").write_text("")
    ran = mai("--state", str(tmp_path / "file"), name, *(["acme", "hello"] if name == "ask" else []))
    assert ran.returncode == status and "Traceback" not in ran.stderr


def test_all_faults_are_shown_at_once(tmp_path: Path) -> None:
    """By `check`, by `chart` and by `up` alike: each with file and line, then their number."""
    file = tmp_path / "faulty.toml"
    file.write_text(FAULTY)
    for arguments in (["check"], ["chart"], ["--state", str(tmp_path / "s"), "up"]):
        ran = mai(*arguments, str(file))
        *faults, count = ran.stderr.splitlines()
        assert ran.returncode == 2 and not ran.stdout
        assert sum(line.startswith(f"{file}:") for line in faults) > 1
        assert re.fullmatch(rf"mai: {file} has \d+ faults", count)
    assert len(json.loads(mai("check", "--json", str(file)).stdout)["faults"]) > 1


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        (Refused("the door is shut", "knock"), 4, "mai: the door is shut\nhint: knock\n"),
        (MaiError("it broke"), 1, "mai: it broke\n"),
        (PermissionError(13, "Permission denied", "/x"), 4, "hint: run the command as the daemon's user\n"),
        (OSError(5, "Input/output error", "/dev/x"), 1, "mai: [Errno 5] Input/output error: '/dev/x'\n"),
    ],
    ids=["ours", "without a hint", "rights", "system"],
)
def test_what_goes_wrong_is_one_sentence_and_a_hint(
    capsys: pytest.CaptureFixture[str], error: Exception, status: int, shown: str
) -> None:
    """Our errors and those of the system; never a traceback."""
    commands = Commands("test")

    @commands.command()
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        commands.main(["fail"])
    said = capsys.readouterr()
    assert end.value.code == status and said.err.endswith(shown) and said.err.startswith("mai: ") and not said.out


def test_an_error_is_told_with_its_hint() -> None:
    """Without one there is no empty line; of an organisation file all faults are told."""
    assert told(NotRunning("nobody", "start it")) == "mai: nobody\nhint: start it"
    assert told(MaiError("broken")) == "mai: broken"
    faults = [Fault("a.toml", line, f"wrong {line}", "right") for line in (3, 9)]
    assert told(Faulty(faults)).splitlines() == [*map(str, faults), "mai: a.toml has 2 faults"]


def test_an_answer_cannot_command_the_terminal() -> None:
    """What comes from data or from another process has no control characters but line breaks and tabs when it is shown."""
    assert printable("a\x1b[2Jb\x07\r\x9b1m\u202ec\n\td é 你 👍") == "a�[2Jb���1m�c\n\td é 你 👍"
    assert printable("Order 5.\n") == "Order 5.\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_each_shell(shell: str, tmp_path: Path) -> None:
    """A script is printed; and completing where nothing runs completes nothing, quietly."""
    script = mai("completion", shell)
    assert script.returncode == 0 and "_MAI_COMPLETE" in script.stdout
    words = {"COMP_WORDS": "mai ask ", "COMP_CWORD": "2", "_MAI_COMPLETE": f"{shell}_complete"}
    ran = mai(MAI_STATE=str(tmp_path / "none"), **words)
    assert not ran.stdout.strip() and not ran.stderr


@pytest.mark.parametrize(("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals_that_want_it(more: dict[str, str], coloured: bool) -> None:
    """On a terminal the chart is coloured, unless NO_COLOR or TERM says otherwise; in a pipe it never is."""
    arguments = [*MAI, "chart", str(ROOT / "etc" / "company.toml")]
    terminal, other = pty.openpty()
    with subprocess.Popen(arguments, env=environment(**{"TERM": "xterm", **more}), stdout=other, stdin=other) as process:
        os.close(other)
        shown = b""
        while select.select([terminal], [], [], PATIENCE_S)[0]:
            try:
                data = os.read(terminal, 1 << 16)
            except OSError:  # the end of a terminal
                break
            shown += data
        assert process.wait(PATIENCE_S) == 0
    os.close(terminal)
    assert (b"\x1b[" in shown) is coloured
    assert "\x1b" not in mai(*arguments[len(MAI) :], TERM="xterm").stdout


@pytest.mark.parametrize(
    "more", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1", "COLUMNS": "20"}]
)
def test_a_chart_in_any_locale(more: dict[str, str]) -> None:
    """Letters that cannot be written become marks."""
    ran = subprocess.run(
        [*MAI, "chart", str(ROOT / "etc" / "company.toml")], env=environment(**more), capture_output=True, check=False
    )
    assert ran.returncode == 0 and b"marketing" in ran.stdout and not ran.stderr


# -- the table of `mai status`
@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (-1, "0.0 s"), (0, "0.0 s"), (119.9, "119.9 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")],  # noqa: RUF001
)
def test_durations_are_short(seconds: float | None, shown: str) -> None:
    """Two figures are enough for a person."""
    assert duration(seconds) == shown


def test_what_is_wrong_stands_below_the_table() -> None:
    """A process that failed, or waits for its restart, says why; those that run do not."""
    still = {"pid": None, "uptime_s": 0, "restarts": 5, "memory_bytes": 0, "queue": 0, "done": 0, "last_progress_s": None}
    processes = [
        {"name": "acme/sales", "state": "failed", "status": "died 5 times", **still},
        {"name": "supervisor", "state": "ready", "status": "all well", **still, "pid": 7, "uptime_s": 3},
        {"name": "beta/mai", "state": "backoff", "status": "soon", **still},
    ]
    shown = render({"processes": processes}, colour=False)
    assert [line.split()[0] for line in shown.splitlines()[1:6]] == ["supervisor", "acme", "└──", "beta", "└──"]
    assert shown.splitlines()[-2:] == ["acme/sales: died 5 times", "beta/mai: soon"] and "all well" not in shown
    assert "\x1b[31m" in render({"processes": processes}, colour=True)


def test_a_narrow_terminal_gets_fewer_columns() -> None:
    """No line is wrapped; the name and the state are always there."""
    still = {"pid": 70_000, "uptime_s": 5, "restarts": 0, "memory_bytes": 1 << 25, "queue": 0, "done": 0, "last_progress_s": 1}
    processes = [{"name": "acme/engineering", "state": "ready", "status": "", **still}]
    for width in (0, 200, 80, 40, 24, 5):
        lines = render({"processes": processes}, colour=False, width=width).splitlines()
        assert "engineering" in lines[-1] and "ready" in lines[-1]
        assert width in (0, 5) or all(len(line) <= width for line in lines)
    assert "last progress" in render({"processes": processes}, colour=False, width=200)


def test_long_work_is_counted_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The count stands on one line of standard error and is wiped at the end; in a pipe there is none."""
    count("acme/mai", 5000, 10000)
    assert capsys.readouterr() == ("", "")
    reader, writer = os.openpty()
    with os.fdopen(writer, "w") as terminal, os.fdopen(reader, "rb") as screen:
        monkeypatch.setattr(sys, "stderr", terminal)
        count("acme/mai", 5000, 10000)
        count("acme/mai", 10000, 10000)
        due = b"\r\x1b[Kacme/mai: 5,000 of 10,000\r\x1b[K"
        shown = b""
        while len(shown) < len(due):  # a terminal hands over what it has
            shown += os.read(screen.fileno(), 1000)
        assert shown == due
