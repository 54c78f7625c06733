"""What every test gets: an environment without the user's settings, a short state directory, and two guards.

The guards: a test is ended when it takes too long, and fails when a process that it started outlives it.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import hypothesis
import psutil
import pytest

from tests.described import undescribed

LIMIT_S = 120.0  # for one test, unless it says @pytest.mark.seconds(n)
AGAIN_S = 10.0  # the alarm rings again after this, should the first exception have been swallowed
KILL_WAIT_S = 10.0  # for what a guard has killed
OF_PYTHON = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")  # children that live as long as we do

for name in ("MAI_STATE", "MAI_CONFIG", "MAI_RUN"):
    os.environ.pop(name, None)

# A shell starts what it puts in the background with these ignored, and every child would inherit that: no Ctrl-C to test.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


@contextmanager
def state_directory() -> Iterator[Path]:
    """A directory for the state of one daemon, removed afterwards, and all processes that name it with it.

    Its path is short, because a Unix socket's may have 107 bytes. A process that still runs for it when the test is
    over is killed, and is a failure: this finds what has lost its parent too, which the guard of children cannot.
    """
    state = Path(tempfile.mkdtemp(prefix="mai-", dir="/tmp"))  # 0700
    try:
        yield state
    finally:
        left = running_for(state)
        said = [describe(process) for process in left]
        end(left)
        unknown = undescribed(state)
        shutil.rmtree(state, ignore_errors=True)
    if unknown:
        pytest.fail(f"the watchdog wrote what watchdog_records.py does not describe: {', '.join(sorted(unknown))}", pytrace=False)
    if said:
        pytest.fail(f"still running for {state} after the test: {'; '.join(said)}", pytrace=False)


@pytest.fixture
def state() -> Iterator[Path]:
    """A fresh state directory for one test."""
    with state_directory() as path:
        yield path


@pytest.fixture(scope="module")
def module_state() -> Iterator[Path]:
    """A state directory for all the tests of a file, for a daemon that they share."""
    with state_directory() as path:
        yield path


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """To ask while something else goes on."""
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """Fail a test that leaves a child of this process running; what a module's fixture started before it may stay."""
    before = set(psutil.Process().children())
    yield
    left = [child for child in psutil.Process().children() if child not in before and alive(child)]
    left = [child for child in left if not any(word in describe(child) for word in OF_PYTHON)]
    said = [describe(child) for child in left]
    end([below for child in left for below in family(child)])
    if said:
        pytest.fail(f"still running after the test: {'; '.join(said)}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """End a test that takes too long with an exception where it hangs, so that its fixtures can still clean up."""
    marker = item.get_closest_marker("seconds")
    limit_s = float(marker.args[0]) if marker else LIMIT_S

    def ring(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"not done after {limit_s:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def running_for(state: Path) -> list[psutil.Process]:
    """All processes, but this one, whose arguments name the state directory or something in it."""
    found = []
    for process in psutil.process_iter():
        try:
            named = any(str(state) in argument for argument in process.cmdline())
        except psutil.Error:
            continue
        if named and process.pid != os.getpid() and alive(process):
            found.append(process)
    return found


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; one that only nobody has waited for does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def describe(process: psutil.Process) -> str:
    """Its number and arguments."""
    try:
        return f"{process.pid} {' '.join(process.cmdline())}"
    except psutil.Error:
        return str(process.pid)


def end(processes: list[psutil.Process]) -> None:
    """Kill them, and wait until they are gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=KILL_WAIT_S)
