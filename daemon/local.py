"""The host's own model: llama.cpp's server on loopback, with a key that is new at each start, for all clients.

python -P -m mai.daemon.local STATE RUN

What is to be loaded stands in STATE/local-model/settings. Once the server answers, RUN/local-model.json says where it is
and with which key, readable by this user alone. The server runs in a child (llama.py); here is its life: heartbeats only
while it answers, an end within moments on SIGTERM, a word when it dies.
"""

import contextlib
import importlib.util
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Final

import msgspec

from mai.daemon.glance import Glance
from mai.daemon.llama import Order
from mai.daemon.weights import Unfit, find
from mai.sandbox import keys
from mai.sandbox.confine import confine
from mai.sandbox.errors import MaiError
from mai.sandbox.life import EX_CONFIG, Signals, die_with_parent, leave_traceback, stdin_ended, stdin_to_watch
from mai.sandbox.lock import Lock
from mai.sandbox.notify import Notifier
from mai.sandbox.place import Place

NAME: Final = "local-model"
EXTRA: Final = "pip install 'mai-company[local]'"
BEAT_S: Final = 1.0
LOAD_S: Final = 600.0  # for weights of many gigabytes on a slow disk
LOCK_WAIT_S: Final = 5.0
MOST_SLOTS: Final = 8
MOST_THREADS: Final = 32
FOREIGN: Final = "this processor lacks an instruction that xllamacpp was compiled for (on x86: AVX2, FMA, F16C, BMI2)"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor wrote down of the provider."""

    file: str = ""
    context: int = 4096  # tokens of one request, prompt and answer together


class Address(msgspec.Struct, frozen=True):
    """What RUN/local-model.json says."""

    url: str
    key: str
    model: str


class Slot(msgspec.Struct, frozen=True):
    """What llama.cpp says of one of its slots, as far as we look."""

    is_processing: bool


def settings(home: Path) -> Settings:
    """What is to be loaded; the defaults if nothing was written. Raises Unfit."""
    try:
        return msgspec.json.decode((home / "settings").read_bytes(), type=Settings)
    except FileNotFoundError:
        return Settings()
    except (OSError, msgspec.MsgspecError) as error:
        hint = "remove the file, it is written anew at the next `mai up`"
        raise Unfit(f"{home / 'settings'} cannot be read: {error}", hint) from error


def order(wanted: Settings) -> Order:
    """What the child has to serve. A slot for each core: the more are answered at once the slower is each, and each holds
    the memory of its context. Raises Unfit.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise Unfit("the package xllamacpp is not installed, which runs the local model", EXTRA)
    file, cores = find(wanted.file), len(os.sched_getaffinity(0))
    return Order(
        file=str(file), model=file.stem, key=secrets.token_urlsafe(32),
        threads=min(MOST_THREADS, cores), slots=min(MOST_SLOTS, cores), context=wanted.context,
    )  # fmt: skip


class LocalModel:
    """The life of the server. `run` returns when it was asked to stop."""

    def __init__(self, place: Place) -> None:
        self.home, self.told = place.state / NAME, place.local_model
        for directory in (self.home, self.told.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.signals, self.notifier = Signals(), Notifier()
        self.lock = Lock(self.home, "local model", LOCK_WAIT_S)
        self.told.unlink(missing_ok=True)  # of one that was killed
        self.order = order(settings(self.home))
        self.poll = select.poll()
        self.begun_s = time.monotonic()
        self.health: Glance | None = None  # once it serves
        self.slots: Glance | None = None
        self.status, self.busy, self.progress_ms = "", 0, 0

    # -- the child
    def _spawn(self) -> "subprocess.Popen[bytes]":
        parent = os.getpid()
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "mai.daemon.llama", str(self.home)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "HOME": str(self.home)},
            preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509  no threads here
        )  # fmt: skip
        with contextlib.suppress(BrokenPipeError):  # it has died already, which the poll will tell
            _of(child.stdin).write(msgspec.json.encode(self.order) + b"\n")
            _of(child.stdin).flush()
        return child

    def _lost(self, child: "subprocess.Popen[bytes]") -> MaiError:
        """Why the child has ended, in a sentence."""
        status = child.wait()
        if status == -signal.SIGILL:
            return Unfit(FOREIGN, "name a provider with a url, such as a server that was compiled here: MAI_MODEL_URL")
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        while_ = "while it served" if self.health else "while it loaded"
        hint = "is there enough memory, and are the weights whole? What llama.cpp says of it stands above"
        return MaiError(f"llama.cpp {how} {while_} {self.order.file}", hint)

    # -- the loop
    def run(self) -> None:
        """Serve until asked to stop. Raises MaiError when the server is lost."""
        child = self._spawn()
        try:
            self._serve(child)
        finally:
            self.notifier.stopping("asked to stop" if self.signals.stop_asked else "")
            self.told.unlink(missing_ok=True)
            child.kill()  # it has nothing to save
            child.wait()

    def _serve(self, child: "subprocess.Popen[bytes]") -> None:
        stdin, answer = stdin_to_watch(), _of(child.stdout)
        for descriptor in (self.signals.fileno(), answer.fileno(), *([] if stdin is None else [stdin])):
            self.poll.register(descriptor, select.POLLIN)
        due_s = 0.0
        while not self.signals.stop_asked:
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + min(BEAT_S, self.notifier.interval_s or BEAT_S)
                self._beat()
            ready = {descriptor for descriptor, _ in self.poll.poll(max(0.0, due_s - time.monotonic()) * 1000)}
            if self.signals.fileno() in ready:
                self.signals.drain()
            if stdin in ready and stdin_ended():
                return
            if answer.fileno() in ready:
                self._hear(child, answer)
            self._look(ready)

    def _hear(self, child: "subprocess.Popen[bytes]", answer: IO[bytes]) -> None:
        """The child says where it serves, or has ended. Raises MaiError."""
        said = os.read(answer.fileno(), 4096).decode().strip()
        if not said:
            raise self._lost(child)
        self.health, self.slots = (Glance(said, path, self.order.key, self.poll) for path in ("/health", "/slots"))
        self.url = f"{said}/v1"
        self._beat()

    def _beat(self) -> None:
        """While it loads: that we are alive. Once it serves, that is for its answer to show."""
        loading_s = time.monotonic() - self.begun_s
        if self.health and self.slots:
            self.health.ask()
            self.slots.ask()
        elif loading_s > LOAD_S:
            raise MaiError(f"{self.order.file} was not loaded within {LOAD_S:g} s", "name a smaller model")
        else:
            self.notifier.beat("replaying", status=f"loading {self.order.model}, {loading_s:.0f} s")

    def _look(self, ready: set[int]) -> None:
        """Take in what the server has answered."""
        if self.slots and (found := self.slots.answer(ready)) is not None:
            with contextlib.suppress(msgspec.MsgspecError):  # a newer llama.cpp may say it otherwise
                self.busy = sum(slot.is_processing for slot in msgspec.json.decode(found, type=list[Slot]))
            self.progress_ms = int(time.time() * 1000) if self.busy else self.progress_ms
        if self.health and self.health.answer(ready) is not None:
            self._tell()
            status = f"{self.order.model}: {self.busy} of {self.order.slots} slots at work"
            self.notifier.beat("ready", queue=self.busy, progress_ms=self.progress_ms, status=status)

    def _tell(self) -> None:
        """Say where we are, to this user's processes."""
        keys.write(self.told, msgspec.json.encode(Address(self.url, self.order.key, self.order.model)))


def _of(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "a pipe that was asked for"
    return pipe


def main(arguments: list[str]) -> int:
    """Run to the end; returns the exit status, 78 if a restart would not help."""
    leave_traceback()
    confine()
    state, run = arguments
    try:
        LocalModel(Place(state, run)).run()
    except MaiError as error:
        print(f"{NAME}: {error.sentence}; {error.hint}", file=sys.stderr, flush=True)
        return EX_CONFIG if isinstance(error, Unfit) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
