"""Groups of the kernel, in a tree that the test delegates as systemd would."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mai.sandbox import cgroup
from mai.sandbox.cgroup import Groups
from tests.small import ORGANISATION, Daemon, environment, until
from tests.standins import alive

STAY = "import sys, time; print('up', flush=True); time.sleep(60)"
LONE = """
import os, sys
from mai.sandbox.cgroup import delegated
groups = delegated()
print(groups and groups.root, flush=True)
if groups:
    groups.prepare()
    print(open("/proc/self/cgroup").read(), groups.controllers(), delegated().root == groups.root, flush=True)
"""


def tree() -> Path | None:
    """Where cgroups of version 2 may be made here."""
    own = cgroup._own_directory()
    return own if own is not None and os.geteuid() == 0 and os.access(own / "cgroup.procs", os.W_OK) else None


pytestmark = pytest.mark.skipif(tree() is None, reason="only root may make cgroups, where version 2 is mounted")


@pytest.fixture
def root() -> Iterator[Path]:
    """A delegated group for one test; all that is in it is killed afterwards."""
    above = tree()
    assert above is not None
    path = above / f"mai-test-{os.getpid()}"
    path.mkdir()
    os.setxattr(path, "trusted.delegate", b"1")
    yield path
    (path / "cgroup.kill").write_text("1")
    until(lambda: not cgroup.populated(path), "all have gone")
    for group in [path, *path.rglob("*")][::-1]:
        if group.is_dir():
            group.rmdir()


def started(root: Path, code: str, process: str = "") -> subprocess.Popen[str]:
    """A Python that is in the root, or in a process's group."""

    def enter() -> None:
        if process:
            Groups(root).enter(process)
        else:
            (root / "cgroup.procs").write_text("0")

    command = [sys.executable, "-P", "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=enter)  # noqa: PLW1509  one write


def test_a_delegated_tree_is_found_and_prepared(root: Path) -> None:
    """The supervisor finds the root by its mark, leaves it for a group of its own, and finds it again from there."""
    (root / "acme.gone").mkdir()
    said, _ = started(root, LONE).communicate(timeout=30)
    assert said.startswith(f"{root}\n") and f"/{root.name}/supervisor\n" in said and said.endswith("True\n"), said
    assert not (root / "acme.gone").exists()


def test_what_is_not_delegated_is_left_alone(root: Path) -> None:
    """Without the mark nothing is made, moved or enabled: the tree is another's."""
    os.removexattr(root, "trusted.delegate")
    said, _ = started(root, LONE).communicate(timeout=30)
    assert said == "None\n" and not [one for one in root.iterdir() if one.is_dir()]


def test_nothing_of_a_group_survives_its_end(root: Path) -> None:
    """A child in a session of its own, whose parent has gone, is killed as well."""
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STAY!r}], start_new_session=True).stdout"
    parent = started(root, code, "acme/support")
    assert parent.stdout is not None and parent.stdout.readline() == "up\n"
    parent.wait(30)
    groups = Groups(root)
    (left,) = map(int, (groups.group("acme/support") / "cgroup.procs").read_text().split())
    groups.kill("acme/never")
    groups.kill("acme/support")
    until(lambda: not cgroup.populated(groups.group("acme/support")), "it is empty")
    assert not alive(left)
    parent.stdout.close()


def test_bounds_are_set_where_their_controllers_are(root: Path) -> None:
    """Memory and processes are bounded if the host gives these controllers; where it does not, nothing is made up."""
    started(root, LONE).communicate(timeout=30)
    groups, process = Groups(root), started(root, STAY, "acme/support")
    groups.bound("acme/support", 1 << 30)
    own = groups.group("acme/support")
    for controller, name, value in (("memory", "memory.max", str(5 << 28)), ("pids", "pids.max", "1024")):
        if controller in groups.controllers():
            assert (own / name).read_text().strip() == value
        else:
            assert not (own / name).exists()
    assert groups.memory_kills("acme/support") == 0
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


@pytest.mark.skipif(
    (found := tree()) is None or "memory" not in (found / "cgroup.controllers").read_text().split(),
    reason="the memory controller is not part of version 2 here",
)
def test_memory_over_the_bound_ends_the_group(root: Path) -> None:
    """Spread over several processes, too; and it is counted."""
    started(root, LONE).communicate(timeout=30)
    groups = Groups(root)
    groups.group("acme/support").mkdir()
    groups.bound("acme/support", 64 << 20)
    code = "import os; [os.fork() for _ in range(3)]; held = bytearray(os.urandom(1 << 20) * 40); print('all', flush=True)"
    process = started(root, code, "acme/support")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL and groups.memory_kills("acme/support") > 0


LEAVER = """
import os, time


def leave(files):
    left = os.fork()
    if not left:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    return left


async def leaver(ctx, task):
    return Answer("Left.", {"n": await ctx.tool("leave")})
"""
LEAVING = """
[departments.leaving]
charter = "Leaves something behind."
tools = [{ name = "leave", handler = "small.py:leave" }]

[[departments.leaving.agents]]
name = "leaver"
rank = "operator"
skills = ["leaving"]
handler = "small.py:leaver"
tools = ["leave"]

[[departments.leaving.contracts]]
name = "leave"
about = "Leave something behind"
served_by = "leaver"
may_ask = ["client"]
reply = { n = "int" }
phrases = ["leave it"]
"""


def members(root: Path, group: str) -> set[int]:
    """The processes of a group."""
    return set(map(int, (root / group / "cgroup.procs").read_text().split()))


def test_each_process_of_a_daemon_has_a_group(root: Path, state: Path) -> None:
    """What a department has started in a session of its own goes with it, and the status tells what bounds it."""
    daemon = Daemon(state, ORGANISATION + LEAVING)
    with (daemon.file.parent / "small.py").open("a") as file:
        file.write(LEAVER)
    command = daemon.command("up", "--detach", str(daemon.file))
    enter = (root / "cgroup.procs").write_text
    subprocess.run(command, env=environment(), check=True, capture_output=True, preexec_fn=lambda: enter("0"))
    try:
        for process, pids in daemon.pids().items():
            assert set(pids) <= members(root, process.replace("/", ".")), process
        assert not members(root, ".")
        before = daemon.pids()["acme/leaving"]
        assert daemon.ask("leave it", "r1")["state"] == "answered"
        (left,) = members(root, "acme.leaving") - {*before}
        os.kill(before[0], signal.SIGKILL)
        until(lambda: daemon.pids().get("acme/leaving", before) != before, "a new life")
        until(lambda: not alive(left), "what it left has gone")
        told = daemon.mai("status", "--json").stdout
        assert json.loads(told)["cgroup"] == Groups(root).controllers()
    finally:
        daemon.mai("down")
