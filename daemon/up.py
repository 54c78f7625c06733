"""Starting and ending the whole: `mai up` in a shell is the parent of the supervisor and shows what it does."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from mai.agents import check
from mai.daemon.door import Door, Reply
from mai.daemon.roll import warnings
from mai.daemon.settle import settle
from mai.sandbox.errors import Expired, MaiError, NotRunning, UsageFault
from mai.sandbox.life import die_with_parent
from mai.sandbox.lock import holder
from mai.sandbox.passage import closed
from mai.sandbox.place import Place
from mai.sandbox.settings import setting

READY_S = 60.0
LOOK_S = 0.02  # between two looks for a door that is not there yet
LOG_BYTES = 1 << 20  # of the supervisor's output, before it begins anew
STOP_S = 60.0  # supervisord's own bounds end everything well before


def organisation_file(given: str | None, place: Place) -> Path:
    """The file to start with: as given, as $MAI_CONFIG says, or the copy of the last start. Raises UsageFault."""
    named = given or setting("MAI_CONFIG")
    if named:
        return Path(named).absolute()
    if place.organisation.exists() and (kept := place.state / "organisation.path").exists():
        return Path(kept.read_text())
    raise UsageFault("no organisation file is named", "name one: mai up company.toml, or set MAI_CONFIG")


class Start:
    """A supervisor that was started from this process, and is ended with it unless it is detached.

    What it prints goes to its log. With `heed`, SIGINT, SIGTERM and SIGHUP end it in order from the first moment on; a
    second one ends it less so, see duties.py. `asked` counts them. `warned`: what keeps people from its doors. Raises MaiError.
    """

    def __init__(self, place: Place, file: Path, *, detach: bool, heed: bool = False) -> None:
        organisation = settle(check.load(file))
        doors = organisation.doors
        place.prepare()
        self.warned = [*map(str, warnings(file, doors, organisation.clients)), *(closed(place) if doors else ())]
        if pid := holder(place.state):
            hint = "end it with `mai down`, or name another with --state"
            raise UsageFault(f"{place.state} is in use by another daemon{of(pid)}", hint)
        self.place, self.asked = place, 0
        self.log = place.supervisor / "output.log"
        self.process: subprocess.Popen[bytes]
        self._spawned = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if heed else ():
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._ask)
        try:
            (place.state / "organisation.path").write_text(str(file))
            self._spawn(file, detach=detach)
        except OSError as error:
            sentence = f"{error.filename or place.state} cannot be used: {error.strerror}"
            raise UsageFault(sentence, "make room, or set its rights") from error

    def _spawn(self, file: Path, *, detach: bool) -> None:
        place, parent = self.place, os.getpid()
        short = not self.log.exists() or self.log.stat().st_size < LOG_BYTES
        with self.log.open("ab" if short else "wb") as log:
            self._printed = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mai.daemon.supervisor", str(place.state), str(place.run), str(file)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=None if detach else lambda: die_with_parent(parent),  # noqa: PLW1509  no threads here
                env={**os.environ, "MAI_STATE": str(place.state), "MAI_RUN": str(place.run)},
            )  # fmt: skip
        self._spawned = True
        if self.asked:  # before that line
            self.process.terminate()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1
        if self.asked == 1:
            with contextlib.suppress(OSError):  # the terminal may be gone; not print(), which this may have interrupted
                os.write(2, "stopping …\n".encode())
        if self._spawned:
            self.process.terminate()

    def progress(self, timeout_s: float = READY_S) -> Iterator[Reply]:
        """What the watchdog tells until all are ready, or the end was asked for. Raises MaiError if neither happens."""
        end_s = time.monotonic() + timeout_s
        while not self._ended():
            try:
                left_s = max(1.0, end_s - time.monotonic())
                yield from Door(self.place.door, timeout_s).ask({"do": "wait_ready", "timeout_s": left_s})
                return
            except NotRunning:
                if time.monotonic() > end_s:
                    raise Expired(f"the daemon was not ready within {timeout_s:g} s", f"look at {self.place.logs}") from None
                time.sleep(LOOK_S)

    def _ended(self) -> bool:
        """Has it ended as it was asked to? Raises MaiError, with its last words, if it ended otherwise."""
        status = self.process.poll()
        if status is None or status == 0 or self.asked:
            return status is not None
        raise self._last_words() or MaiError(f"the supervisor ended with status {status}", f"look at {self.log}")

    def _last_words(self) -> UsageFault | None:
        """The error that the supervisor ended with, as it printed it."""
        with self.log.open("rb") as log:
            log.seek(self._printed)
            lines = log.read().decode(errors="replace").splitlines()
        at = next((number for number, line in enumerate(lines) if line.startswith("mai: ")), None)
        if at is None:
            return None
        hint = next((line for line in lines[at + 1 : at + 2] if line.startswith("hint: ")), f"look at {self.log}")
        return UsageFault(lines[at].removeprefix("mai: "), hint.removeprefix("hint: "))

    def ready(self) -> Reply:
        """Wait until all are ready or given up; the last that the watchdog told of it."""
        *_, last = self.progress()
        return last

    def wait(self) -> None:
        """Stay until it has ended as somebody asked it to. Raises MaiError if it ended otherwise."""
        self.process.wait()
        self._ended()

    def stop(self) -> None:
        """End it in order, and by force if that takes too long."""
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def of(pid: int) -> str:
    """Which process, if that is known."""
    return f" (process {pid})" if pid > 0 else ""


def down(place: Place) -> int:
    """End the daemon in order and wait until it has gone; returns the pid that it had, -1 if unknown. Raises NotRunning."""
    try:
        pid = holder(place.state)
    except PermissionError:  # its files are not ours to look at: the door says who may
        return int(Door(place.door, STOP_S).call({"do": "down"})["pid"])
    if not pid:
        raise NotRunning(f"no daemon runs in {place.state}", "start one with: mai up")
    try:
        Door(place.door, STOP_S).call({"do": "down"})
    except NotRunning:
        if pid > 0:  # no watchdog just now: the supervisor knows how to stop alone
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    end_s = time.monotonic() + STOP_S
    while holder(place.state) == pid:
        if time.monotonic() > end_s:
            raise MaiError(f"the daemon{of(pid)} did not end within {STOP_S:g} s", "look at: mai status")
        time.sleep(LOOK_S)
    return pid
