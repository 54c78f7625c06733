"""Keys: made once, changed while everything runs, and worth nothing afterwards; whoever dies on the way."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import zmq

from mai.agents.wire import routing_id
from mai.sandbox import keys, traps
from tests.rounds import rounds
from tests.small import Daemon, environment, running, until

CLIENTS = 4  # that ask without a pause
TO_DIE = [
    ("watchdog", "keys.offered", 1),
    ("watchdog", "keys.taken", 3),
    ("watchdog", "keys.published", 2),
    ("acme/mai", "keys.heeded", 1),
    ("acme/finance", "keys.heeded", 2),
]
OTHER_TIMES = [
    ("watchdog", "keys.taken", 1),
    ("watchdog", "keys.published", 1),
    ("watchdog", "keys.published", 3),
    ("acme/mai", "keys.heeded", 2),
    ("acme/mai", "keys.heeded", 3),
    ("acme/finance", "keys.heeded", 1),
]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Up and ready."""
    with running(tmp_path) as made:
        yield made


def listed(daemon: Daemon) -> dict[str, dict[str, Any]]:
    """`mai keys list --json`, by process."""
    ran = daemon.mai("keys", "list", "--json")
    assert ran.returncode == 0, ran.stderr
    return {one["process"]: one for one in json.loads(ran.stdout)["keys"]}


def rotated(daemon: Daemon, *what: str) -> dict[str, Any]:
    """`mai keys rotate --json`, which must do well."""
    ran = daemon.mai("keys", "rotate", *what, "--json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return dict(json.loads(ran.stdout))


def refused(daemon: Daemon, why: str) -> list[dict[str, Any]]:
    """What Mai put on record as refused for this reason."""
    return [body for _, body in daemon.journal("acme/mai", "message.refused") if body["why"] == why]


def knock(daemon: Daemon, pair: keys.Pair, name: str = "acme/support", mai: bytes = b"") -> int:
    """What becomes of a connection with this key."""
    context = zmq.Context()
    try:
        dealer = context.socket(zmq.DEALER)
        dealer.linger, dealer.reconnect_ivl, dealer.identity = 0, -1, routing_id(name)
        dealer.curve_publickey, dealer.curve_secretkey = pair
        dealer.curve_serverkey = mai or (daemon.place.home(name) / keys.MAI).read_bytes()
        ends = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        monitor = dealer.get_monitor_socket(ends | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_DISCONNECTED)
        dealer.connect(f"ipc://{daemon.place.link('acme')}")
        assert monitor.poll(60_000)
        return int.from_bytes(monitor.recv_multipart()[0][:2], "little")
    finally:
        context.destroy(linger=0)


def sound(daemon: Daemon) -> None:
    """All journals are."""
    ran = daemon.mai("verify", "--deep")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_files_are_replaced_whole_and_never_through_a_link(tmp_path: Path) -> None:
    """What somebody puts in the place of a key file is neither followed nor waited for."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "key.part").symlink_to(target)
    os.mkfifo(tmp_path / "key")
    pair = keys.made()
    keys.keep(tmp_path / "key", pair)
    assert target.read_bytes() == b"precious" and keys.own(tmp_path) == pair
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    before = keys.stamp(tmp_path)
    keys.keep(tmp_path / "key", pair)
    assert keys.stamp(tmp_path) == before
    keys.keep(tmp_path / "key", keys.made())
    assert keys.stamp(tmp_path) != before


def test_a_key_is_changed_while_all_runs(daemon: Daemon) -> None:
    """One process, then Mai's own, then all: other keys, the same processes; old keys are refused, and on record as such."""
    before, pids, old = listed(daemon), daemon.pids(), keys.own(daemon.place.home("acme/support"))
    assert set(before) == {"acme/mai", "acme/support", "acme/finance"}
    assert all(one["spoken"] and one["pid"] == pids[name][0] for name, one in before.items())
    assert before["acme/support"]["key"] == keys.fingerprint(old.public)
    assert rotated(daemon, "acme/support")["state"] == "done"
    now = listed(daemon)
    assert {name for name in now if now[name]["key"] != before[name]["key"]} == {"acme/support"}
    assert daemon.ask("Refund order 1", "r1")["state"] == "answered"
    assert knock(daemon, old) == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    (found,) = until(lambda: refused(daemon, "old key"), "the refusal on record")
    assert (found["peer"], found["detail"]) == ("acme/support", before["acme/support"]["key"])

    before, mai = now, keys.own(daemon.place.home("acme/mai"))
    rotated(daemon, "acme/mai")
    now = listed(daemon)
    assert {name for name in now if now[name]["key"] != before[name]["key"]} == {"acme/mai"}
    assert daemon.ask("Refund order 2", "r2")["state"] == "answered"
    support = keys.own(daemon.place.home("acme/support"))
    assert knock(daemon, support, mai=mai.public) != zmq.EVENT_HANDSHAKE_SUCCEEDED
    assert knock(daemon, support) == zmq.EVENT_HANDSHAKE_SUCCEEDED

    rotated(daemon)
    assert all(one["key"] != now[name]["key"] and one["spoken"] and not one["next"] for name, one in listed(daemon).items())
    assert daemon.ask("Refund order 3", "r3")["state"] == "answered"
    assert daemon.pids() == pids and daemon.refunds() == [1, 2, 3]
    changed = [body for _, body in daemon.journal("watchdog", "key") if body["step"] == "changed"]
    assert [body["process"] for body in changed[:2]] == ["acme/support", "acme/mai"] and len(changed) == 5
    assert all(body["by"] and body["before"] != body["key"] for body in changed)
    spoken = [body["key"] for _, body in daemon.journal("acme/mai", "key.spoken") if body["process"] == "acme/support"]
    assert spoken == [keys.fingerprint(old.public), before["acme/support"]["key"], listed(daemon)["acme/support"]["key"]]
    assert not list(daemon.place.home("acme/support").glob("key.*")) and not refused(daemon, "forgery")
    sound(daemon)


def test_a_connection_made_with_a_key_ends_with_it(daemon: Daemon) -> None:
    """Whoever has a copy of a key, and spoke with it while it was good, is not heard any more when it is not."""
    home = daemon.place.home("acme/support")
    old, context = keys.own(home), zmq.Context()
    thief = context.socket(zmq.DEALER)
    thief.linger, thief.identity = 0, routing_id("acme/finance")
    thief.curve_publickey, thief.curve_secretkey = old
    thief.curve_serverkey = (home / keys.MAI).read_bytes()
    thief.connect(f"ipc://{daemon.place.link('acme')}")
    try:
        thief.send(b"noise")
        assert thief.poll(60_000), "it is answered"
        rotated(daemon, "acme/support")
        thief.send(b"noise")
        until(lambda: refused(daemon, "old key"), "the refusal on record")
    finally:
        context.destroy(linger=0)
    assert daemon.ask("Refund order 1", "r1")["state"] == "answered"
    sound(daemon)


def test_a_copy_of_an_old_key_is_worth_nothing(tmp_path: Path) -> None:
    """Put back into its directory it is replaced at the next start, which is on record; so is one that somebody has made."""
    with running(tmp_path) as daemon:
        home, other = daemon.place.home("acme/support"), daemon.place.home("acme/finance")
        shutil.copy(home / keys.KEY, tmp_path / "copy")
        rotated(daemon, "acme/support")
        daemon.down()
        shutil.copy(tmp_path / "copy", home / keys.KEY)
        (other / keys.KEY).unlink()
        (other / keys.NEXT).write_bytes(b"rubbish")
        daemon.up()
        assert keys.own(home) != keys.own(tmp_path, "copy") and not (other / keys.NEXT).exists()
        replaced = {body["process"]: body["why"] for _, body in daemon.journal("watchdog", "key") if body["step"] == "replaced"}
        assert set(replaced) == {"acme/support", "acme/finance"}
        assert keys.fingerprint(keys.own(tmp_path, "copy").public) in replaced["acme/support"]
        assert knock(daemon, keys.own(tmp_path, "copy")) == zmq.EVENT_HANDSHAKE_FAILED_AUTH
        assert until(lambda: refused(daemon, "old key"), "the refusal on record")[0]["peer"] == "acme/support"
        assert daemon.ask("Refund order 1", "r1")["state"] == "answered"
        sound(daemon)


def test_what_cannot_be_changed_now_is_refused(daemon: Daemon) -> None:
    """Nobody's keys, two changes at once, one beside a change of the organisation; who is stopped gets its key all the same."""
    ran = daemon.mai("keys", "rotate", "acme/sales")
    assert ran.returncode == 2 and "acme/finance" in ran.stderr
    assert daemon.mai("stop", "acme/finance").returncode == 0
    os.kill(daemon.pids()["acme/support"][0], signal.SIGSTOP)
    changing = subprocess.Popen(daemon.command("keys", "rotate", "acme"), env=environment(), stdout=-3, stderr=-3)
    until(lambda: daemon.journal("watchdog", "turnover"), "it has begun")
    second = daemon.mai("keys", "rotate")
    assert second.returncode == 4 and "are being changed by" in second.stderr
    assert daemon.mai("reload").returncode == 4
    assert "reads it now" in daemon.mai("keys", "list").stdout or not listed(daemon)["acme/support"]["spoken"]
    os.kill(daemon.pids()["acme/support"][0], signal.SIGCONT)
    assert changing.wait(60) == 0
    assert listed(daemon)["acme/finance"]["pid"] is None
    assert daemon.mai("start", "acme/finance").returncode == 0
    assert daemon.ask("Refund order 1", "r1")["state"] == "answered"
    sound(daemon)


@pytest.mark.seconds(300)
def test_under_load_nothing_is_lost_whoever_dies_on_the_way(tmp_path: Path) -> None:
    """Several clients ask without a pause while all keys are changed, and at each step of it somebody is killed."""
    points, strikes = tmp_path / "points", rounds(TO_DIE, TO_DIE + OTHER_TIMES)
    points.mkdir()
    daemon, over, asked = Daemon(tmp_path), Event(), list[int]()
    ran = daemon.mai("up", "--detach", str(daemon.file), MAI_POINTS=str(points))
    assert ran.returncode == 0, ran.stderr

    def client(first: int) -> list[str]:
        states = []
        for order in range(first, 1_000_000, CLIENTS):
            if over.is_set():
                break
            asked.append(order)
            states.append(str(daemon.ask(f"Refund order {order}", f"r{order}")["state"]))
        return states

    try:
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(client, first) for first in range(CLIENTS)]
            try:
                for victim, point, nth in strikes:
                    _strike(daemon, points, victim, point, nth)
            finally:
                over.set()
            states = [state for one in clients for state in one.result(60)]
        assert set(states) == {"answered"} and len(states) == len(asked)
        assert daemon.refunds() == sorted(asked)
        until(daemon.ready, "all are ready")
        assert all(one["spoken"] for one in listed(daemon).values())
        verified = daemon.mai("verify", "--deep")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        changed = [body for _, body in daemon.journal("watchdog", "key") if body["step"] == "changed"]
        assert len(changed) == 3 * len(strikes)
        assert not {body["before"] for body in changed} & {one["key"] for one in listed(daemon).values()}
    finally:
        daemon.mai("down")


def _strike(daemon: Daemon, points: Path, victim: str, point: str, nth: int) -> None:
    """Change all keys, with the death of one process at this moment; at the end they are changed once."""
    begun, changed = (len(daemon.journal("watchdog", kind)) for kind in ("turnover", "key"))
    before = listed(daemon)
    traps.order(points, victim, point, nth, signal.SIGKILL, 0)
    changing = subprocess.Popen(daemon.command("keys", "rotate"), env=environment(), stdout=-3, stderr=-3)
    until(lambda: not traps.waits(points, victim), f"{victim} dies at {point}")
    changing.wait(120)
    until(daemon.ready, "all are ready")
    if len(daemon.journal("watchdog", "turnover")) == begun:  # it died before that was on record: nothing was begun
        assert {name: one["key"] for name, one in listed(daemon).items()} == {name: one["key"] for name, one in before.items()}
        assert len(daemon.journal("watchdog", "key")) == changed
        rotated(daemon)
    until(lambda: daemon.journal("watchdog", "turnover")[-1][1]["step"] == "done", "the change is done")
    assert not {one["key"] for one in listed(daemon).values()} & {one["key"] for one in before.values()}, (victim, point)
