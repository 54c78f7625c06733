"""The network of a simulated world: one wire from each department to Mai, which loses, doubles, swaps, holds back and breaks.

What stands in for ZeroMQ's sockets: a wire is made and lost, its ends are told; what was under way when it broke arrives
up to some point. A Hello is never overtaken: it is the first word on a connection, and ZeroMQ keeps the order of one.
"""

from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

import zmq

from mai.daemon import router
from mai.daemon.turns import Parcel
from tests import sim_company

HELLO = b"\xa5hello"
FULL_SHARE = 0.02  # of the sends that find a full pipe, while there are faults


class Faults:
    """How bad the network is; all 0 when it is quiet."""

    def __init__(self, chance: Random) -> None:
        self.lose = chance.choice([0, 0, 0.01, 0.08])
        self.double = chance.choice([0, 0.02, 0.2])
        self.swap = chance.choice([0, 0.02, 0.2])
        self.hold = chance.choice([0, 0.2, 0.6])
        self.full = FULL_SHARE

    def quiet(self) -> None:
        """No more of it."""
        self.lose = self.double = self.swap = self.hold = self.full = 0


class Pipe(NamedTuple):
    """What one life of a department has sent to Mai, and she has not read."""

    route: bytes
    frames: deque[bytes]


class Wire:
    """Both directions between one department and Mai."""

    def __init__(self, department: str) -> None:
        self.department = department
        self.up = False
        self.route = b""  # of the department's present life
        self.pipes: list[Pipe] = []  # to Mai: ZeroMQ keeps what a dead one has sent, and reads from all in turn
        self.down_frames: deque[bytes] = deque()
        self.made = self.lost = False  # not told to the department yet


class Network:
    """All wires. `told(what, department)` is for the record; `left(sender, frame)` looks at each frame that leaves."""

    def __init__(
        self, chance: Random, told: Callable[[str, str], None], left: Callable[[str, str, bytes], None], departments: list[str]
    ) -> None:
        self.chance, self.told, self.left = chance, told, left
        self.faults = Faults(chance)
        self.wires = {name: Wire(name) for name in departments}
        self.dealers: dict[str, Dealer] = {}
        self.router: Router | None = None
        self.lives = 0

    # -- connections
    def connect(self, name: str) -> bool:
        """A department finds Mai, if both live."""
        wire = self.wires[name]
        if wire.up or name not in self.dealers or self.router is None:
            return False
        wire.up = wire.made = True
        self.told("connect", name)
        return True

    def cut(self, name: str) -> None:
        """The connection breaks; some of what was under way still arrives."""
        wire = self.wires[name]
        if not wire.up:
            return
        wire.up, wire.made, wire.lost = False, False, True
        for frames in (*(pipe.frames for pipe in wire.pipes), wire.down_frames):
            kept = self.chance.randrange(len(frames) + 1)
            while len(frames) > kept:
                frames.pop()
        self.told("cut", name)

    def gone(self, name: str) -> None:
        """A process has ended: what was in its hands is lost."""
        if name in self.wires:
            self.cut(name)
            self.dealers.pop(name, None)
            self.wires[name].down_frames.clear()
            return
        self.router = None
        for wire in self.wires.values():
            self.cut(wire.department)
            wire.pipes.clear()

    def waits_for(self, name: str) -> bool:
        """Is there something for this process?"""
        if wire := self.wires.get(name):
            return bool(wire.down_frames or wire.made or wire.lost)
        return any(pipe.frames for wire in self.wires.values() for pipe in wire.pipes)

    @property
    def still(self) -> bool:
        """Is nothing under way?"""
        return not self.waits_for("acme/mai") and all(
            wire.up and not (wire.down_frames or wire.made or wire.lost) for wire in self.wires.values()
        )

    # -- frames
    def arrived(self, frames: deque[bytes]) -> list[bytes]:
        """What of the frames under way arrives now, with all that a network does to it."""
        faults, chance = self.faults, self.chance
        if not frames:
            return []
        count = chance.randrange(len(frames) + 1) if faults.hold and chance.random() < faults.hold else len(frames)
        found: list[bytes] = []
        for _ in range(count):
            frame = frames.popleft()
            if faults.lose and chance.random() < faults.lose:
                self.told("lose", "")
                continue
            found.append(frame)
            if faults.double and chance.random() < faults.double:
                found.append(frame)
                self.told("double", "")
        if faults.swap:
            self._swap(found)
        return found

    def _swap(self, found: list[bytes]) -> None:
        for index in range(len(found) - 1):
            if HELLO not in found[index] and HELLO not in found[index + 1] and self.chance.random() < self.faults.swap:
                found[index], found[index + 1] = found[index + 1], found[index]
                self.told("swap", "")

    def full(self) -> bool:
        """Does a pipe take nothing now?"""
        return bool(self.faults.full) and self.chance.random() < self.faults.full


class Dealer:
    """A department's end, as agents/wire.py has it."""

    def __init__(self, network: Network, name: str) -> None:
        self.network, self.name = network, name
        self.socket, self.monitor = "socket", "monitor"
        network.lives += 1
        self.wire = network.wires[name]
        self.wire.route = f"{name}#{network.lives}".encode()
        self.wire.made = self.wire.lost = False
        network.dealers[name] = self

    def send(self, frame: bytes) -> bool:
        """Onto the wire."""
        if self.network.dealers.get(self.name) is not self or not self.wire.up or self.network.full():
            return False
        self.network.left(self.name, "acme/mai", frame)
        pipes = self.wire.pipes
        if not pipes or pipes[-1].route != self.wire.route:
            pipes.append(Pipe(self.wire.route, deque()))
        pipes[-1].frames.append(frame)
        return True

    def burst(self, frames: list[bytes]) -> bool:
        """Several, all or none."""
        if not self.send(frames[0]):
            return False
        full, self.network.faults.full = self.network.faults.full, 0
        for frame in frames[1:]:
            self.send(frame)
        self.network.faults.full = full
        return True

    def receive(self) -> Iterator[bytes]:
        """From the wire."""
        yield from self.network.arrived(self.wire.down_frames)

    def connections(self) -> tuple[bool, bool]:
        """Lost, made."""
        found = self.wire.lost, self.wire.made
        self.wire.lost = self.wire.made = False
        return found


class Router(router.Router):
    """Mai's end: whom she hears and writes to is the production code's, the sockets are the network's."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.socket, self.zap = "socket", "zap"  # type: ignore[assignment]  # what is polled
        self._listen()
        network.router = self

    def receive(self, skips: Callable[[str], bool] = lambda name: False) -> Iterator[Parcel]:
        """From all wires."""
        arrived: list[tuple[str, bytes, deque[bytes]]] = []
        for wire in self.network.wires.values():
            arrived += [(wire.department, pipe.route, deque(self.network.arrived(pipe.frames))) for pipe in wire.pipes]
            wire.pipes = [pipe for pipe in wire.pipes if pipe.frames or pipe.route == wire.route]
        while arrived := [one for one in arrived if one[2]]:
            name, route, frames = self.network.chance.choice(arrived)
            yield Parcel(name, route, frames.popleft(), sim_company.key(name))

    def _hand(self, route: bytes, frames: list[bytes]) -> None:
        """Onto the wire with this end, all or none."""
        wire = next((wire for wire in self.network.wires.values() if wire.route == route and wire.up), None)
        if self.network.router is not self or wire is None:
            raise zmq.ZMQError(zmq.EHOSTUNREACH)
        if self.network.full():
            raise zmq.Again
        for frame in frames:
            self.network.left("acme/mai", wire.department, frame)
            wire.down_frames.append(frame)
