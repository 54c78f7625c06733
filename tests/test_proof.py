"""The proof at the doors: who comes as the daemon's own user is believed with it, and not for the user alone."""

import http.client
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mai.daemon.control import Control
from mai.daemon.door import Door
from mai.sandbox import proof
from mai.sandbox.errors import NotRunning, Refused
from tests.small import ORGANISATION, PATIENCE_S, Daemon
from tests.standins import until


@pytest.fixture(scope="module")
def daemon(module_state: Path) -> Iterator[Daemon]:
    """One that runs."""
    made = Daemon(module_state, ORGANISATION)
    try:
        yield made.up()
    finally:
        made.mai("down")


def said(door: Path, request: dict[str, object]) -> dict[str, object]:
    """The first reply to a line that is written as it is."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(door))
        connection.sendall(json.dumps(request).encode() + b"\n")
        reply: dict[str, object] = json.loads(connection.makefile("rb").readline())
    return reply


def doors(daemon: Daemon) -> list[Path]:
    """The watchdog's, and Mai's if she runs as our own user: as root she has another, and root is no process of ours there."""
    mais = daemon.place.sockets("acme") / "door.sock"
    uid = os.stat(daemon.place.ledger("acme/mai")).st_uid
    return [daemon.place.door, *([mais] if uid == os.geteuid() else [])]


@pytest.mark.parametrize("shown", [None, "", "0" * 64, 5, ["x"], {"a": 1}])
def test_our_own_user_alone_is_not_believed(daemon: Daemon, shown: object) -> None:
    """Without the proof, or with a wrong one, nothing is done at a door, and that is on record."""
    for door in doors(daemon):
        process = "watchdog" if door == daemon.place.door else "acme/mai"
        before = len(daemon.journal(process, "door.used"))
        reply = said(door, {"do": "status", **({} if shown is None else {"proof": shown})})
        assert reply["code"] == Refused.code and "proof" in str(reply["error"])
        assert len(daemon.journal(process, "door.used")) == before


def test_a_refusal_for_want_of_the_proof_is_on_record(daemon: Daemon) -> None:
    """Counted with the user and the verb; what was shown in its stead stands nowhere."""
    said(daemon.place.door, {"do": "down", "proof": "f" * 64})
    found: list[dict[str, object]] = []

    def on_record() -> bool:
        found[:] = [body for _, body in daemon.journal("watchdog", "door.denied") if body["verb"] == "down"]
        return bool(found)

    until(on_record, "the refusal is on record")
    assert found[0]["uid"] == os.geteuid() and "proof" in str(found[0]["why"])
    assert b"f" * 64 not in daemon.place.ledger("watchdog").read_bytes()


def test_with_the_proof_all_is_as_ever(daemon: Daemon) -> None:
    """The command shows it by itself; it lies where nobody but its owner reads, and stands in no journal."""
    file = daemon.place.run / proof.NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Door(daemon.place.door, PATIENCE_S).call({"do": "status"})["processes"]
    shown = file.read_bytes()
    for process in ("watchdog", "acme/mai"):
        ledger = daemon.place.ledger(process)
        assert all(shown not in part.read_bytes() for part in ledger.parent.glob("ledger.db*"))
    assert shown not in daemon.place.home("acme/mai").joinpath(proof.NAME).read_bytes()


def test_the_supervisor_asks_for_it_as_well(daemon: Daemon, tmp_path: Path) -> None:
    """Its socket takes orders from who shows it: supervisorctl by its file, the watchdog by itself, nobody else."""
    assert Control(daemon.place.supervisor_socket, PATIENCE_S).processes().pid
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(daemon.place.supervisor_socket))
        connection.sendall(b"POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: 0\r\n\r\n")
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        assert reply.status == http.client.UNAUTHORIZED
    (tmp_path / "supervisor.sock").symlink_to(daemon.place.supervisor_socket)  # no proof beside it
    with pytest.raises(NotRunning):
        Control(tmp_path / "supervisor.sock", PATIENCE_S).processes()
    assert stat.S_IMODE(daemon.place.supervisorctl.stat().st_mode) == 0o600


def test_it_outlives_a_restart_of_all(tmp_path: Path) -> None:
    """A new start keeps it, so that who follows a door by an old connection or file is not shut out; half a one is made anew."""
    proof.make(tmp_path)
    first = proof.shown(tmp_path)
    proof.make(tmp_path)
    assert first and proof.shown(tmp_path) == first
    (tmp_path / proof.NAME).write_text(first[:10])
    proof.make(tmp_path)
    assert len(proof.shown(tmp_path)) == len(first) and proof.shown(tmp_path) != first


def test_a_door_that_was_told_nothing_believes_nobody(tmp_path: Path) -> None:
    """No digest, no empty text, and no digest of the empty text lets anybody in; another user needs none."""
    told_nothing = proof.Proven.at(tmp_path)
    assert not any(told_nothing.holds(os.geteuid(), one) for one in ("", "x", None, proof.digest("")))
    assert told_nothing.holds(os.geteuid() + 1, None)
