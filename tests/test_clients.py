"""Clients that are added and removed while others run, against real processes: the others notice nothing, nothing is lost."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mai.agents.check import load
from mai.daemon.asking import ask
from mai.daemon.client_list import laid_over
from mai.daemon.clientele import Clientele, Mark, addable, over, removable
from mai.daemon.door import Door
from mai.sandbox.errors import MaiError, NotRunning, Refused, UsageFault
from mai.sandbox.traps import order
from tests.small import HANDLERS, ORGANISATION, PATIENCE_S, Daemon, environment, running, until

MARK = Mark("somebody", 1)
FAILING = HANDLERS.replace(
    "def prepare(files):\n", 'def prepare(files):\n    if "beta" in str(files):\n        raise ValueError("no room for beta")\n'
)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Up and ready."""
    with running(tmp_path) as made:
        yield made


def client(daemon: Daemon, *arguments: str) -> dict[str, Any]:
    """`mai client … --json`, which must do well."""
    ran = daemon.mai("client", *arguments, "--json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return dict(json.loads(ran.stdout))


def listed(daemon: Daemon) -> tuple[dict[str, str], list[str]]:
    """The clients that run, and where each stands; those that were removed."""
    found = client(daemon, "list")
    return {one["name"]: one["from"] for one in found["clients"]}, [one["name"] for one in found["removed"]]


def asked(daemon: Daemon, client: str, text: str, request: str) -> dict[str, Any]:
    """A client's answer."""
    replies = list(ask(daemon.place, client, text, request=request, timeout_s=PATIENCE_S, watch=False))
    return dict(replies[-1]["answer"])


def others(daemon: Daemon) -> dict[str, list[int]]:
    """The pids of all that is not beta's."""
    return {name: pids for name, pids in daemon.pids().items() if not name.startswith("beta/")}


def settled(daemon: Daemon) -> bool:
    """Is no change under way?"""
    return Door(daemon.place.door, PATIENCE_S).call({"do": "clients"})["changing"] is None


def verified(daemon: Daemon) -> None:
    """All journals are sound."""
    ran = daemon.mai("verify", "--deep")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@contextmanager
def load_on(daemon: Daemon) -> Iterator[list[str]]:
    """Acme is asked all the time; the list has how each of its requests ended."""
    states: list[str] = []
    over_ = threading.Event()

    def work() -> None:
        while not over_.is_set():
            number = len(states)
            states.append(str(daemon.ask(f"Refund order {number}", f"load-{number}")["state"]))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield states
    finally:
        over_.set()
        thread.join()


# -- what is decided
def test_decisions_are_laid_over_the_file() -> None:
    """One more, one less, and back again; what the file has come to say is forgotten, and then it alone says it."""
    none, named = Clientele(), ("acme", "beta")
    more = none.with_client("gamma", MARK)
    assert more.over(named) == ("acme", "beta", "gamma") and more.origin("gamma") == "added" and more.origin("acme") == "file"
    assert more.settled((*named, "gamma")) == none and more.over((*named, "gamma")) == ("acme", "beta", "gamma")
    assert more.without("gamma", MARK) == none
    less = none.without("beta", MARK)
    assert less.over(named) == ("acme",) and "mai client add beta" in less.remarks()[0]
    assert less.with_client("beta", MARK) == none
    assert less.settled(("acme",)) == none


def test_what_cannot_be_a_client(tmp_path: Path) -> None:
    """Names that are none, that are taken, that are there; and the last client stays."""
    for name in ("Beta", "be/ta", "..", "", "a" * 41, "watchdog", "mai", "local-model", "be.ta"):
        with pytest.raises(UsageFault):
            addable(name, ("acme",))
    with pytest.raises(Refused, match="there already"):
        addable("acme", ("acme",))
    with pytest.raises(Refused, match="limit"):
        addable("beta", tuple(f"c{number}" for number in range(256)))
    with pytest.raises(UsageFault):
        removable("beta", ("acme",))
    with pytest.raises(Refused, match="last"):
        removable("acme", ("acme",))
    organisation = load(Daemon(tmp_path).file)
    with pytest.raises(UsageFault, match="were removed"):
        over(organisation, Clientele(removed={"acme": MARK}))


# -- real processes
def test_a_client_comes_and_goes_while_another_works(daemon: Daemon) -> None:
    """Acme's requests are all answered by the same processes; what beta had is there again when it is added again."""
    before = others(daemon)
    with load_on(daemon) as states:
        told = client(daemon, "add", "beta")
        assert told["state"] == "done" and asked(daemon, "beta", "Refund order 7", "b7")["state"] == "answered"
        assert listed(daemon) == ({"acme": "file", "beta": "added"}, [])
        assert "beta (added at run time)" in daemon.mai("status").stdout
        assert "added at run time: beta" in daemon.mai("check", str(daemon.file)).stdout
        assert client(daemon, "remove", "beta") == {"state": "done", "why": "", "client": "beta", "open": {}}
        assert listed(daemon) == ({"acme": "file"}, ["beta"])
        assert not [name for name in daemon.pids() if name.startswith("beta/")]
        with pytest.raises(UsageFault, match="no client"):
            asked(daemon, "beta", "Refund order 7", "b7")
        client(daemon, "add", "beta")
        assert asked(daemon, "beta", "Refund order 7", "b7")["state"] == "answered", "the same request, the same answer"
        assert len(daemon.journal("beta/finance", "task.begun")) == 1, "which was not worked out again"
    assert states and set(states) == {"answered"} and others(daemon) == before
    verified(daemon)
    for record, body in daemon.journal("acme/mai"):
        assert "beta" not in json.dumps(body), f"record {record.seq} of acme tells of beta"


def test_what_was_decided_survives_a_new_start(daemon: Daemon) -> None:
    """Beta was added, acme was removed though the file names it, which is said; then the file agrees, and it is silent."""
    client(daemon, "add", "beta")
    client(daemon, "remove", "acme")
    daemon.down()
    assert listed(daemon) == ({"beta": "added"}, ["acme"])
    daemon.up()
    assert listed(daemon) == ({"beta": "added"}, ["acme"])
    ran = daemon.mai("reload")
    assert "the file names the client acme" in ran.stderr and "clients: beta (added at run time)" in ran.stdout
    assert "the file names the client acme" in daemon.mai("check", str(daemon.file)).stdout
    daemon.file.write_text(ORGANISATION.replace('["acme"]', '["beta"]'))
    before = daemon.pids()
    ran = daemon.mai("reload")
    assert ran.returncode == 0 and not ran.stderr and daemon.pids() == before
    assert listed(daemon) == ({"beta": "file"}, ["acme"])
    organisation, clients = laid_over(daemon.place, daemon.file, load(daemon.file))
    assert organisation.clients == ("beta",) and clients == Clientele()
    verified(daemon)


def test_what_does_not_become_ready_is_taken_back(tmp_path: Path) -> None:
    """A department of the newcomer fails: it does not run, the others never noticed; mended, it is added."""
    daemon = Daemon(tmp_path)
    (daemon.file.parent / "small.py").write_text(FAILING)
    daemon.up()
    try:
        before = daemon.pids()
        ran = daemon.mai("client", "add", "beta", "--json")
        assert ran.returncode == 1 and "no room for beta" in ran.stderr, ran.stderr
        assert json.loads(ran.stdout)["state"] == "undone"
        assert daemon.pids() == before and listed(daemon)[0] == {"acme": "file"}
        assert not [body for _, body in daemon.journal("acme/mai") if "beta" in json.dumps(body)]
        (daemon.file.parent / "small.py").write_text(HANDLERS)
        client(daemon, "add", "beta")
        assert asked(daemon, "beta", "Refund order 7", "b7")["state"] == "answered"
        assert others(daemon) == before
        verified(daemon)
    finally:
        daemon.mai("down")


def test_what_is_open_waits_for_the_client(daemon: Daemon) -> None:
    """Removed with a request under way: new ones are refused, its own goes on when it is added again."""
    client(daemon, "add", "beta")
    gate = daemon.place.home("beta/support") / "files" / "gate"
    os.mkfifo(gate)
    porter = subprocess.Popen(
        daemon.command("ask", "beta", "Open the gate", "--id", "g1"), env=environment(), stdout=-3, stderr=subprocess.PIPE
    )
    until(lambda: daemon.journal("beta/support", "task.begun"), "the porter works")
    removing = subprocess.Popen(
        daemon.command("client", "remove", "beta", "--timeout", "5", "--json"), env=environment(), stdout=subprocess.PIPE
    )
    until(lambda: daemon.status()["beta/mai"]["wanted"] == "drain", "beta is drained")

    def refused() -> bool:
        with pytest.raises(MaiError) as found:
            asked(daemon, "beta", "Refund order 8", "b8")
        return "is being removed by" in str(found.value)

    until(refused, "Mai has heard it")
    assert daemon.mai("client", "add", "gamma").returncode == 4, "one change at a time"
    out, _ = removing.communicate(timeout=60)
    assert json.loads(out)["open"]["beta/mai"] == 1
    _, err = porter.communicate(timeout=60)
    assert b"g1 is kept and goes on" in err, err
    client(daemon, "add", "beta")
    gate.write_text("sesame\n")
    assert "sesame" in asked(daemon, "beta", "Open the gate", "g1")["answer"]
    verified(daemon)


@pytest.mark.parametrize("point", ["commit.before", "commit.after"])
@pytest.mark.parametrize("verb", ["add", "remove"])
def test_the_watchdog_dies_amid_it(tmp_path: Path, verb: str, point: str) -> None:
    """At each of its commits: what was begun comes to its end, or had not begun; never half a client."""
    points, daemon = tmp_path / "points", Daemon(tmp_path)
    points.mkdir()
    ran = daemon.mai("up", "--detach", str(daemon.file), MAI_POINTS=str(points))
    assert ran.returncode == 0, ran.stderr
    try:
        before = {name: pids for name, pids in others(daemon).items() if name != "watchdog"}
        until(daemon.ready, "ready")
        looked = "the first look is on record, and those after it are counted: the next commits are those of the change"
        until(lambda: any(one["verb"] == "status" for _, one in daemon.journal("watchdog", "door.used")), looked)
        for nth in (1, 2, 3):
            if verb == "remove":
                client(daemon, "add", "beta")
            until(daemon.ready, "ready")
            order(points, "watchdog", point, nth, signal.SIGKILL, 0)
            daemon.mai("client", verb, "beta")
            until(lambda: settled(daemon) and daemon.ready(), "it is over")
            mine = {name for name in daemon.pids() if name.startswith("beta/")}
            here = "beta" in listed(daemon)[0]
            assert mine == ({"beta/mai", "beta/support", "beta/finance"} if here else set())
            if here != (verb == "add"):
                begun = [body for _, body in daemon.journal("watchdog", "reload") if body["step"] == "begun"]
                assert len(begun) == len(daemon.journal("watchdog", "reloaded")), "it was on record, and did not come to its end"
                client(daemon, verb, "beta")
            if verb == "add":
                assert asked(daemon, "beta", "Refund order 7", "b7")["state"] == "answered"
                client(daemon, "remove", "beta")
            assert {name: pids for name, pids in others(daemon).items() if name != "watchdog"} == before
        verified(daemon)
    finally:
        daemon.mai("down")


@pytest.mark.parametrize("verb", ["add", "remove"])
def test_everything_dies_amid_it(tmp_path: Path, verb: str) -> None:
    """The supervisor is killed at each commit of the watchdog: all starts again with the client or without it."""
    points, daemon = tmp_path / "points", Daemon(tmp_path)
    points.mkdir()
    supervisor = daemon.supervisor(MAI_POINTS=str(points))
    try:
        until(daemon.ready, "ready")
        for nth in (1, 2, 3):
            if verb == "remove" and "beta" not in listed(daemon)[0]:
                client(daemon, "add", "beta")
            order(points, "watchdog", "commit.after", nth, signal.SIGKILL, supervisor.pid)
            daemon.mai("client", verb, "beta")
            supervisor.wait(60)
            until(lambda: not daemon.pids(), "all is gone")
            supervisor = daemon.supervisor(MAI_POINTS=str(points))
            until(lambda: daemon.ready() and settled(daemon), "ready again")
            here = "beta" in listed(daemon)[0]
            assert ("beta/mai" in daemon.pids()) is here
            wanted = {one["wanted"] for one in daemon.status().values()}
            assert wanted == {"run"}, "nobody is held any more"
            if verb == "add" and here:
                client(daemon, "remove", "beta")
        verified(daemon)
    finally:
        supervisor.terminate()
        supervisor.wait(60)


def test_nobody_is_asked_where_nothing_runs(tmp_path: Path) -> None:
    """Exit status 3, and what to do."""
    daemon = Daemon(tmp_path)
    for arguments in (["add", "beta"], ["remove", "beta"], ["list"]):
        ran = daemon.mai("client", *arguments)
        assert ran.returncode == NotRunning.code and "mai up" in ran.stderr
