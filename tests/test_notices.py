"""The datagrams by which processes say how they are, both ends of it over a real socket."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import ANY

import pytest

from mai.daemon.case import Case
from mai.daemon.notices import PER_SECOND, Ears, Notice, Notices
from mai.daemon.ward import Ward
from mai.sandbox.notify import Notifier, interval_s


@pytest.fixture
def notices(state: Path) -> Iterator[Notices]:
    """A listener."""
    listener = Notices(state / "notify.sock")
    yield listener
    listener.close()


def one(notices: Notices) -> Notice:
    """The only notice that is there."""
    (notice,) = notices.receive()
    return notice


def test_a_heartbeat_says_everything_anew(notices: Notices) -> None:
    """Each heartbeat carries readiness, state and figures, so that a listener needs no memory of earlier ones."""
    Notifier(str(notices.path)).beat(
        "ready",
        queue=3,
        done=9,
        progress_ms=1_700_000_000_000,
        commits=5,
        pending=4,
        waits_for=("acme/sales",),
        floods=("acme/web",),
        replayed=7,
        head=(8, b"\x0a"),
        status="serving",
    )
    fields = one(notices).fields
    assert (fields["READY"], fields["WATCHDOG"], fields["STATUS"]) == ("1", "1", "serving")
    told = {"state": "ready", "queue": 3, "done": 9, "progress_ms": 1_700_000_000_000, "commits": 5, "replayed": 7}
    told |= {
        "pending": 4,
        "waits_for": ["acme/sales"],
        "floods": ["acme/web"],
        "seq": 8,
        "head": "0a",
        "keys": "",
        "files": ANY,
        "walls": "none",
    }
    assert json.loads(fields["X_MAI"]) == told


def test_who_is_not_ready_does_not_say_so(notices: Notices) -> None:
    """While it replays or drains, a heartbeat keeps a process alive without READY=1."""
    Notifier(str(notices.path)).beat("replaying")
    assert "READY" not in one(notices).fields


def test_a_status_cannot_smuggle_in_a_field(notices: Notices) -> None:
    """A line break in a status, which may hold a user's text, does not become a field of its own."""
    Notifier(str(notices.path)).beat("replaying", status="x\nREADY=1")
    assert "READY" not in one(notices).fields


NONSENSE = ("{", '{"state":"ready","x":' + "[" * 3900, '{"state":"odd"}', '{"seq":99999999999999999999}', "\x00")


@pytest.mark.parametrize("said", NONSENSE, ids=["cut", "deep", "odd", "large", "zero"])
def test_a_heartbeat_may_say_anything(tmp_path: Path, said: str) -> None:
    """Nonsense in the word of a process, deep nesting too, leaves what was known of it; whoever listens goes on."""
    ward = Ward("acme/support", tmp_path / "log", Case())
    assert ward.hear(Notice(1, 0, {"X_MAI": '{"state":"ready"}'})) == "ready"
    assert ward.hear(Notice(1, 0, {"X_MAI": said})) == "ready"


def test_who_floods_keeps_nobody_else_from_being_heard(state: Path) -> None:
    """Each process has a queue to itself; from one that is always full so much is taken in a second, from the others all."""
    for name in ("loud", "calm"):
        (state / name).mkdir()
    loud, calm = state / "loud" / "notify.sock", state / "calm" / "notify.sock"
    ears = Ears(state / "notify.sock")
    ears.listen((loud, calm))
    flood = "import socket,sys\none = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\none.connect(sys.argv[1])\n"
    with subprocess.Popen([sys.executable, "-c", f"{flood}while True: one.send(b'STATUS=loud')", str(loud)]) as other:
        try:
            heard = list[str]()
            while heard.count("loud") < PER_SECOND:  # the flood has begun, and its share of this second is used up
                heard += [notice.fields["STATUS"] for notice in ears.receive(1.0)]
            for _ in range(20):
                Notifier(str(calm)).beat("ready", status="calm")
                heard += [notice.fields["STATUS"] for notice in ears.receive(1.5)]
            assert heard.count("calm") == 20 and heard.count("loud") == PER_SECOND
            assert {notice.fields["STATUS"] for notice in ears.receive(2.6)} == {"loud"}, "in the next second it is heard again"
        finally:
            other.kill()


def test_the_kernel_says_who_spoke(notices: Notices) -> None:
    """The pid and the uid of a notice are the kernel's, whatever the sender claims."""
    code = "import socket,sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'MAINPID=1\\nREADY=1', sys.argv[1])"
    with subprocess.Popen([sys.executable, "-c", code, str(notices.path)]) as other:
        assert other.wait(30) == 0
    notice = one(notices)
    assert (notice.pid, notice.uid) == (other.pid, os.getuid())


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"no equals sign", b"=", b"A" * 100_000])
def test_rubbish_is_no_exception(notices: Notices, data: bytes) -> None:
    """Bytes that are no notice are received like any other and say nothing that is known."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(data, str(notices.path))
    assert not one(notices).fields.keys() & {"READY", "WATCHDOG", "STOPPING", "X_MAI"}


def test_nobody_needs_to_listen(state: Path) -> None:
    """Without a listener, with a full queue or without an address a heartbeat is lost, and nothing else happens."""
    absent = Notifier(str(state / "nobody.sock"))
    absent.ready()
    full = Notices(state / "full.sock")
    notifier = Notifier(str(full.path))
    for _ in range(1000):  # more than net.unix.max_dgram_qlen: must neither block nor raise
        notifier.ready()
    Notifier("").ready()
    Notifier(str(state / "no" / "such" / "directory.sock")).ready()
    full.close()


def test_a_new_listener_is_found(state: Path) -> None:
    """A process goes on being heard when the listener was replaced at the same path."""
    notifier = Notifier(str(state / "notify.sock"))
    first = Notices(state / "notify.sock")
    second = Notices(state / "notify.sock")  # over the stale socket
    notifier.ready()
    assert not list(first.receive())
    assert one(second).fields["READY"] == "1"
    second.close()


def test_a_long_path_works(state: Path) -> None:
    """Listener and notifier meet at a path longer than a socket's address may be."""
    deep = state / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    listener = Notices(deep / "notify.sock")
    Notifier(str(deep / "notify.sock")).ready()
    assert one(listener).fields["READY"] == "1"
    listener.close()


@pytest.mark.parametrize(("microseconds", "seconds"), [("3000000", 1.5), ("", 0.0), ("soon", 0.0)])
def test_heartbeats_come_twice_in_the_limit(monkeypatch: pytest.MonkeyPatch, microseconds: str, seconds: float) -> None:
    """The interval is half of WATCHDOG_USEC, and none where that is missing or no number."""
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    assert interval_s() == seconds
