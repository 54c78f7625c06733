"""Both ends of the wire, with their keys: bursts of frames between a DEALER and the ROUTER."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import zmq

from mai.agents.link import BURST
from mai.agents.wire import Dealer
from mai.daemon.router import Router
from mai.daemon.turns import Parcel
from mai.sandbox import keys
from tests.wired import waited

NAME = "acme/sales"


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[Router, Dealer]]:
    """A router, and a dealer that has connected and sent one frame, so that it is known."""
    for name in ("mai", "sales"):
        (tmp_path / name).mkdir()
    mai, own = keys.ensure(tmp_path / "mai"), keys.ensure(tmp_path / "sales")
    path = tmp_path / "m.sock"
    with (
        closing(Router(path, mai, keys.Known({own.public: NAME}), 1 << 20)) as router,
        closing(Dealer(NAME, path, own, mai.public, 1 << 20)) as dealer,
    ):
        waited(lambda: bool(router.authenticate() or dealer.send(b"first")), "the handshake")
        waited(lambda: any(router.heard(parcel) for parcel in router.receive()), "the first frame")
        yield router, dealer


@pytest.mark.parametrize("count", [1, 2, BURST])
def test_a_burst_comes_frame_by_frame(ends: tuple[Router, Dealer], count: int) -> None:
    """Both ways, in order and whole, under the name that the key proves."""
    router, dealer = ends
    frames = [b"%d" % n * 100 for n in range(count)]
    assert dealer.burst(frames)
    router.socket.poll(10_000)
    came = list(router.receive())
    assert [(parcel.name, parcel.frame) for parcel in came] == [(NAME, frame) for frame in frames]
    router.burst(NAME, frames)
    dealer.socket.poll(10_000)
    assert list(dealer.receive()) == frames


def test_more_than_a_burst_is_no_message(ends: tuple[Router, Dealer]) -> None:
    """What lies above the bound is told as one refusal, and costs no memory here."""
    router, dealer = ends
    dealer.socket.send_multipart([b"x"] * (3 * BURST))
    router.socket.poll(10_000)
    came = list(router.receive())
    assert [parcel.frame for parcel in came] == [b"x"] * BURST + [None]


def test_a_burst_to_nobody_is_refused(ends: tuple[Router, Dealer]) -> None:
    """Of a peer that was never heard nothing is taken, and the next burst is not mixed with it."""
    router, dealer = ends
    with pytest.raises(zmq.ZMQError):
        router.burst("acme/finance", [b"lost", b"lost"])
    router.burst(NAME, [b"a", b"b"])
    dealer.socket.poll(10_000)
    assert list(dealer.receive()) == [b"a", b"b"]


def test_the_last_words_of_a_dead_life_do_not_hide_the_next_one(tmp_path: Path) -> None:
    """Read after the first word of the present life, they lead nowhere: Mai writes to the present one, and hears it."""
    for name in ("mai", "sales"):
        (tmp_path / name).mkdir()
    mai, own = keys.ensure(tmp_path / "mai"), keys.ensure(tmp_path / "sales")
    path = tmp_path / "m.sock"
    with closing(Router(path, mai, keys.Known({own.public: NAME}), 1 << 20)) as router:
        with closing(Dealer(NAME, path, own, mai.public, 1 << 20)) as dead:
            waited(lambda: bool(router.authenticate() or dead.send(b"dead")), "the handshake")
            router.socket.poll(10_000)
        with closing(Dealer(NAME, path, own, mai.public, 1 << 20)) as present:
            waited(lambda: bool(router.authenticate() or present.send(b"present")), "the next handshake")
            came = dict[bytes | None, Parcel]()

            def both() -> bool:
                came.update({one.frame: one for one in router.receive()})
                return len(came) == 2

            waited(both, "both words")
            for word in (b"present", b"dead"):
                assert router.heard(came[word])
            assert router.stale(came[b"present"])
            router.burst(NAME, [b"to", b"you"])
            assert present.socket.poll(10_000)
            assert list(present.receive()) == [b"to", b"you"]
            assert not router.stale(came[b"present"])
            assert router.stale(came[b"dead"])
