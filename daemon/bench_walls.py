"""`mai bench walls`: what the walls add to the start of a process, by layer, and beside a start without them.

In each round a Python that imports what a department imports is started without walls and with all of a department's, one after
the other, as the supervisor starts it: from the fork to its first word. Each layer is put up by itself in a child, too.
"""

import os
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from mai.agents import check
from mai.daemon import walling
from mai.daemon.bench import Figure, render
from mai.daemon.example import CLIENT
from mai.daemon.quarters import furnish
from mai.daemon.settle import settle
from mai.daemon.walled import walls
from mai.sandbox import confine, namespaces, outer, users
from mai.sandbox.errors import MaiError
from mai.sandbox.life import die_with_parent
from mai.sandbox.place import Place
from mai.sandbox.probe import probe
from mai.sandbox.walls import LAYERS, SETTING, Layer, Layers, Walls

__all__ = ("render", "run")

PROCESS: Final = f"{CLIENT}/sales"
ROUNDS: Final = 40
IMPORTS: Final = "import zmq, msgspec, pysqlite3"
BARE: Final = f"{IMPORTS}; import os, socket; os.write(1, b'.')"
WALLED: Final = f"{IMPORTS}; import os, socket; from mai.sandbox.confine import confine; confine(); os.write(1, b'.')"
TOOK: Final = struct.Struct("d")
NOT_SAID: Final = "the child that was measured said nothing: its walls cannot be put up"


def run(file: Path, progress: Callable[[str], None], rounds: int = ROUNDS) -> Iterator[Figure]:
    """Measure. Raises MaiError. `file`: the reference organisation."""
    with tempfile.TemporaryDirectory(prefix="mai-") as directory:
        made, layers = laid(Path(directory), file)
        bare_ms, walled_ms = list[float](), list[float]()
        for number in range(rounds):
            progress(f"start {number + 1} of {rounds}")
            bare_ms.append(started_ms(None, layers, BARE))
            walled_ms.append(started_ms(made, layers, WALLED))
        by_layer = {}
        for layer in layers.using:
            progress(f"the layer {layer}")
            by_layer[layer] = statistics.median(layer_ms(layer, made, layers) for _ in range(rounds))
    yield from figures(bare_ms, walled_ms, by_layer, layers)


def laid(directory: Path, file: Path) -> tuple[Walls, Layers]:
    """A department's directory and walls, and the layers that this host gives."""
    place = Place(directory / "state")
    place.prepare()
    organisation = settle(check.load(file))
    layers = probe(str(place.supervisor), users.fresh(place).first if os.geteuid() == 0 else 0)
    walling.write(place, layers)
    furnish(place, organisation)
    walling.compile_ours()
    return walls(walling.facts(place, organisation, users.known(place)), organisation, PROCESS), layers


def started_ms(made: Walls | None, layers: Layers, code: str) -> float:
    """From the fork until a Python with this code has imported all, and is walled off if it is to be."""
    reader, writer = os.pipe()
    parent, begun_s = os.getpid(), time.perf_counter()
    pid = outer.fork(layers, network=made.network) if made else os.fork()
    if pid == 0:
        try:
            os.dup2(writer, 1)
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            if made:
                environment[SETTING] = msgspec.json.encode(outer.enter(made, layers, parent)).decode()
            else:
                die_with_parent(parent)
            os.execve(sys.executable, [sys.executable, "-P", "-c", code], environment)
        finally:
            os._exit(1)
    os.close(writer)
    said = os.read(reader, 1)
    took_ms = (time.perf_counter() - begun_s) * 1e3
    os.close(reader)
    os.waitpid(pid, 0)
    if not said:
        raise MaiError(NOT_SAID, "mai doctor says what this host gives")
    return took_ms


def layer_ms(layer: Layer, made: Walls, layers: Layers) -> float:
    """One layer alone, in a child; namespaces with the fork, less a fork without."""
    apart = layer == "namespaces"
    if apart:
        plain_ms = forked_ms(lambda: None, 0)
        return forked_ms(lambda: outer.move(made), outer.flags(network=False)) - plain_ms
    one = Layers((layer,))
    return forked_ms(lambda: outer.become(made) if layer == "user" else confine.put_up(made, one), 0, inner=True)


def forked_ms(deed: Callable[[], object], flags: int, *, inner: bool = False) -> float:
    """A deed in a child: with the fork, or, `inner`, as the child itself sees it."""
    reader, writer = os.pipe()
    begun_s = time.perf_counter()
    pid = namespaces.fork_into(flags) if flags else os.fork()
    if pid == 0:
        try:
            os.dup2(writer, 2)  # which no layer closes
            own_s = time.perf_counter()
            deed()
            os.write(2, TOOK.pack((time.perf_counter() - own_s) * 1e3))
        finally:
            os._exit(0)
    os.close(writer)
    said = os.read(reader, TOOK.size)
    took_ms = (time.perf_counter() - begun_s) * 1e3
    os.close(reader)
    os.waitpid(pid, 0)
    if len(said) != TOOK.size:
        raise MaiError(NOT_SAID, "mai doctor says what this host gives")
    return float(TOOK.unpack(said)[0]) if inner else took_ms


def figures(bare_ms: list[float], walled_ms: list[float], by_layer: dict[Layer, float], layers: Layers) -> Iterator[Figure]:
    """What is shown."""
    count = len(bare_ms)
    added_ms = statistics.median(walled - bare for bare, walled in zip(bare_ms, walled_ms, strict=True))
    yield Figure("start without walls", statistics.median(bare_ms), "ms", f'python -c "{IMPORTS}", median of {count}')
    yield Figure("start with walls", statistics.median(walled_ms), "ms", "the same behind the walls of a department")
    yield Figure("added", added_ms, "ms", "median of the differences")
    yield Figure(
        "added", min(walled_ms) - min(bare_ms), "ms", "quickest with less quickest without, where others use the machine"
    )
    for layer, took_ms in by_layer.items():
        yield Figure(layer, took_ms, "ms", LAYERS[layer])
    for layer_, why in layers.missing.items():
        yield Figure(layer_, 0.0, "ms", f"MISSING: {why}")
