"""The watchdog's records at its door, and how Mai hears them: each once, over kills of either."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mai.daemon import told
from mai.daemon.book import Book
from mai.daemon.bridge import Bridge
from mai.daemon.desk import MaiState
from mai.daemon.door import Door, Doorkeeper
from mai.daemon.stream import AT_ONCE, Follower
from mai.daemon.told import Standing, Told, WatchdogTold
from tests.small import Daemon, running, until

PATIENCE_S = 30.0


class Dog:
    """A watchdog's book and door, without processes: what follows it is the production code."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.book = Book(path / "ledger.db")
        self.keeper = Doorkeeper(path / "door")
        self.followers: list[Follower] = []

    def turn(self) -> bool:
        """Let in who asks, tell who follows; true if there is more to tell."""
        for caller, request in self.keeper.turn():
            self.followers.append(Follower(self.book, caller, request["client"], request["after"]))
        self.book.flush(1e9)
        for follower in self.followers:
            follower.step()
        return any(follower.behind for follower in self.followers)

    def death(self, process: str, number: int = 0) -> None:
        """Enter an incident."""
        self.book.incident(process, "death", f"number {number}")


@pytest.fixture
def dog(tmp_path: Path) -> Iterator[Dog]:
    """With a ledger of its own."""
    made = Dog(tmp_path)
    yield made
    made.keeper.close()


def heard(dog: Dog, bridge: Bridge) -> list[Any]:
    """What a bridge is told until there is no more."""
    bridge.look(float("inf"))
    found: list[Any] = []
    for _ in range(100):  # more turns than any of these tests needs
        dog.turn()
        found += bridge.turn()
    return [told.heard(one) for one in found]


def test_a_bridge_hears_what_concerns_its_client(dog: Dog) -> None:
    """Its own processes and the host's; not another client's. First how things stand."""
    bridge = Bridge(dog.path / "door", "acme", -1)
    dog.death("acme/sales")
    dog.book.want("acme/web", "stop", "root")
    dog.book.want("other/web", "stop", "root")
    dog.book.give_up("acme/sales", "died too often", "b")
    dog.turn()
    assert heard(dog, bridge) == [Standing(4, {"acme/web": "stop"}, {"acme/sales": "died too often"}, {"acme/web": ("root", "")})]
    for process in ("acme/sales", "other/sales", "embedder", "acme/mai"):
        dog.death(process)
    assert [(one.kind, one.process, "text" in one.body) for one in heard(dog, bridge) if isinstance(one, Told)] == [
        ("incident", "acme/sales", True), ("incident", "embedder", False), ("incident", "acme/mai", True),
    ]  # fmt: skip
    bridge.close()


def test_a_bridge_goes_on_where_it_was(dog: Dog) -> None:
    """After the watchdog went away and came again nothing is missing and nothing comes twice, however much it is."""
    bridge, numbers = Bridge(dog.path / "door", "acme", 0), list[int]()
    for life in range(3):
        for number in range(2 * AT_ONCE + 7):
            dog.death("acme/sales", number)
            if number % 100 == 0:
                dog.turn()  # the book keeps so many unwritten
        numbers += [one.seq for one in heard(dog, bridge) if isinstance(one, Told)]
        dog.keeper.close()
        assert bridge.turn() == [] and not bridge.there
        if life < 2:
            dog.followers.clear()
            dog.keeper = Doorkeeper(dog.path / "door")
    assert numbers == sorted(set(numbers)) and len(numbers) == 3 * (2 * AT_ONCE + 7)
    bridge.close()


@pytest.mark.parametrize(
    "said", [b"no json\n", b"[]\n", b'{"record": {}}\n', b'{"more": true}\n', b'{"record": 1}\n', b"x" * (5 << 20)]
)
def test_what_no_watchdog_says_is_hung_up_on(tmp_path: Path, said: bytes) -> None:
    """Nonsense ends the connection and not Mai."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "door"))
        server.listen(1)
        bridge = Bridge(tmp_path / "door", "acme", -1)
        bridge.look(float("inf"))
        other, _ = server.accept()
        other.setblocking(False)
        left = said
        while bridge.there:
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                left = left[other.send(left) :] if left else b""
            assert bridge.turn() == []
        other.close()
        bridge.close()


def test_mai_folds_what_she_is_told() -> None:
    """Wanted and given up are kept as they stand; an older record changes nothing; a watchdog that was put back begins anew."""

    class Mai:
        state = MaiState()

    mai: Any = Mai()

    def tell(given: Told | Standing) -> int:
        events = told.decide(mai, given)
        for event in events:
            assert isinstance(event, told.WatchdogTold | told.WatchdogStands)
            told.fold(mai.state, event)
        return len(events)

    assert tell(Standing(7, {}, {})) == 1 and mai.state.watched.seq == 7, "from here on nothing is missed"
    assert tell(Standing(9, {}, {})) == 0 and mai.state.watched.seq == 7, "records 8 and 9 are still to come"
    assert tell(Told(8, 1, "wanted", "acme/web", {"wanted": "stop", "by": "root"})) == 1
    assert tell(Told(8, 1, "wanted", "acme/web", {"wanted": "run", "by": "root"})) == 0
    assert mai.state.watched.wanted == {"acme/web": "stop"}
    assert tell(Told(9, 1, "given_up", "acme/web", {"why": "died"})) == 1 and mai.state.watched.failed == {"acme/web": "died"}
    assert tell(Told(10, 1, "revived", "acme/web", {})) == 1 and mai.state.watched.failed == {}
    assert tell(Told(11, 1, "wanted", "acme/web", {"wanted": "run"})) == 1 and mai.state.watched.wanted == {}
    assert tell(Standing(3, {"acme/x": "stop"}, {})) == 1
    assert (mai.state.watched.seq, mai.state.watched.wanted) == (3, {"acme/x": "stop"})


def test_mai_hears_of_each_death_once(tmp_path: Path) -> None:
    """Over kills of the department, the watchdog and Mai herself; the door tells a person the same."""
    with running(tmp_path) as daemon:
        for victim in ("acme/finance", "watchdog", "acme/mai", "acme/support"):
            os.kill(daemon.pids()[victim][0], signal.SIGKILL)
            until(partial(died, daemon, victim), f"the death of {victim}")
        assert sorted(deaths(daemon)) == sorted(["acme/finance", "watchdog", "acme/mai", "acme/support"])
        replies = Door(daemon.place.door, PATIENCE_S).ask({"do": "follow", "client": "acme", "after": 0})
        assert "standing" in next(replies)
        assert next(replies)["record"]["kind"] == "started"
        assert daemon.mai("verify", "--state", "--deep").returncode == 0
        lines = daemon.mai("tail", "acme", "--kind", "watchdog.told", "-n", "50").stdout
        assert "acme/finance death: process" in lines


def died(daemon: Daemon, process: str) -> bool:
    """Has Mai heard of its death?"""
    return process in deaths(daemon)


def deaths(daemon: Daemon) -> list[str]:
    """Of whose death Mai has heard."""
    told_ = [body for _, body in daemon.journal("acme/mai", WatchdogTold.kind)]
    return [body["process"] for body in told_ if body["body"].get("what") == "death"]
