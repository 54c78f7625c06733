"""Figures: the text format, what they count, and the endpoint of a real daemon."""

import http.client
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mai.agents.check import load
from mai.agents.faults import Faulty
from mai.agents.metering import flaw
from mai.daemon.exposition import Figure, Figures
from mai.daemon.status_form import Status
from tests.small import ORGANISATION, Daemon, until

LISTEN = '\n[metrics]\nlisten = "{}"\n'


def test_the_text_is_prometheus() -> None:
    """Labels are escaped, buckets add up to +Inf, whole numbers have no point."""
    figures = Figures(
        (Figure("a_total", "counter", "Of a\nkind."), Figure("b", "histogram", "B.", (0.1, 1.0)), Figure("c", "gauge", "C"))
    )
    figures.add("a_total", x='say "\\n"\n', y="1")
    figures.add("a_total", 2.0, x='say "\\n"\n', y="1")
    for value in (0.05, 0.1, 0.5, 7.0):
        figures.add("b", value)
    assert figures.text().splitlines() == [
        "# HELP a_total Of a\\nkind.",
        "# TYPE a_total counter",
        'a_total{x="say \\"\\\\n\\"\\n",y="1"} 3',
        "# HELP b B.",
        "# TYPE b histogram",
        'b_bucket{le="0.1"} 2',
        'b_bucket{le="1"} 3',
        'b_bucket{le="+Inf"} 4',
        "b_sum 7.65",
        "b_count 4",
    ]


@pytest.mark.parametrize("listen", ["0.0.0.0:9464", "10.0.0.1:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "[::]:1", "x"])
def test_figures_stay_on_the_host(tmp_path: Path, listen: str) -> None:
    """No address that others could reach is taken."""
    assert flaw(listen)
    daemon = Daemon(tmp_path, ORGANISATION + LISTEN.format(listen))
    with pytest.raises(Faulty, match="listen is"):
        load(daemon.file)


class OnSocket(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        """To the path."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def page(connection: http.client.HTTPConnection, path: str) -> tuple[int, str]:
    """Status and text."""
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def values(text: str) -> dict[str, float]:
    """Each line of the text: name with labels -> value; the format is kept."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_the_daemon_offers_its_figures(tmp_path: Path) -> None:
    """What was asked, what died and what stands; over a kill of the process that offers them; only for the daemon's own user."""
    daemon = Daemon(tmp_path, ORGANISATION + LISTEN.format("socket"))
    path = daemon.place.run / "metrics.sock"
    try:
        daemon.up()
        assert daemon.ask("Refund order 7", "r1")["state"] == "answered"
        for order in ("pause", "resume"):
            assert daemon.mai(order, "acme/support").returncode == 0
        assert daemon.ask("What is the weather?", "r2")["state"] == "refused"
        (pid,) = daemon.pids()["acme/finance"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: daemon.pids().get("acme/finance", [pid]) != [pid], "it is back")
        until(daemon.ready, "ready")
        status, text = page(OnSocket(path), "/metrics")
        found = values(text)
        assert status == 200 and path.stat().st_mode & 0o777 == 0o600
        assert found['mai_requests_total{client="acme",outcome="answered"}'] == 1
        assert found['mai_requests_total{client="acme",outcome="refused"}'] == 1
        assert found['mai_department_tasks_total{client="acme",department="finance",outcome="answered"}'] == 1
        assert found['mai_request_duration_seconds_count{client="acme"}'] == 2
        assert found['mai_incidents_total{process="acme/finance",what="death"}'] == 1
        assert found['mai_process_state{process="acme/finance",state="ready"}'] == 1 and found["mai_up"] == 1
        assert found['mai_process_restarts_total{process="acme/finance"}'] == 1
        assert page(OnSocket(path), "/")[0] == 404
        status, told = page(OnSocket(path), "/status")
        assert {one["name"] for one in json.loads(told)["processes"]} == {*daemon.status()}
        form = msgspec.json.decode(daemon.mai("status", "--json").stdout, type=Status)
        assert next(one for one in form.processes if one.name == "acme/finance").incidents[0].file
        assert "last_progress_s" in daemon.mai("status", "--schema").stdout
        (pid,) = daemon.pids()["metrics"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: daemon.pids().get("metrics", [pid]) != [pid] and daemon.ready(), "it is back")
        again = values(page(OnSocket(path), "/metrics")[1])
        assert again['mai_requests_total{client="acme",outcome="answered"}'] == 1
        shown = json.loads(daemon.mai("metrics", "--json").stdout)["metrics"]
        assert {one["name"]: one["value"] for one in shown if one["name"] == "mai_up"} == {"mai_up": 1}
    finally:
        daemon.mai("down")
    ran = daemon.mai("metrics")
    assert ran.returncode == 0 and values(ran.stdout)["mai_up"] == 0
    assert values(ran.stdout)['mai_requests_total{client="acme",outcome="answered"}'] == 1


def test_a_silent_collector_holds_nobody_up(tmp_path: Path) -> None:
    """Collectors that say nothing are hung up on; others, and the heartbeats, go on meanwhile."""
    daemon = Daemon(tmp_path, ORGANISATION + LISTEN.format("socket"))
    try:
        daemon.up()
        (pid,) = daemon.pids()["metrics"]
        path = daemon.place.run / "metrics.sock"
        silent: list[Any] = []
        for _ in range(5):
            one = socket.socket(socket.AF_UNIX)
            one.connect(str(path))
            silent.append(one)
        assert page(OnSocket(path), "/metrics")[0] == 200
        silent[0].settimeout(30)
        assert silent[0].recv(1) == b""
        assert page(OnSocket(path), "/metrics")[0] == 200 and daemon.pids()["metrics"] == [pid]
        for one in silent:
            one.close()
    finally:
        daemon.mai("down")
