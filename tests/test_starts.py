"""How many processes start at a time, and in which order: the pure queue, and real processes by what the journals say."""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.daemon.case import Case, State
from mai.daemon.starts import HOLDS_S, STARTING, Starts
from tests.small import ORGANISATION, Daemon, environment, until
from tests.test_draining import state_of

RANKS = {"mai": 0, "busy": 1}
NAMES = [f"{client}/{process}" for client in ("acme", "beta") for process in ("mai", "busy", "calm", "idle")]


def rank(name: str) -> int:
    """Mai, then who has work, then the rest."""
    return RANKS.get(name.partition("/")[2], 2)


def queued(starts: Starts, *names: str, now_s: float = 0.0) -> None:
    """They wait for their turn."""
    for name in names:
        starts.note(name, Case(state="queued", since_s=now_s))


def begun(starts: Starts, name: str, now_s: float = 0.0) -> None:
    """It starts."""
    starts.note(name, Case(state="starting", since_s=now_s, begun_s=now_s))


def order(starts: Starts, now_s: float = 0.0) -> list[str]:
    """In which order they start, if each is ready before the next one."""
    found = []
    while name := starts.next(now_s):
        found.append(name)
        begun(starts, name, now_s)
        starts.note(name, Case(state="ready"))
    return found


def test_mai_then_who_has_work_then_the_rest() -> None:
    """However long the others have waited."""
    starts = Starts(1, rank)
    queued(starts, "acme/calm")
    queued(starts, "acme/busy", now_s=1.0)
    queued(starts, "acme/mai", "embedder", now_s=2.0)
    assert order(starts)[0] == "acme/mai"
    queued(starts, "acme/calm", "acme/idle")
    queued(starts, "acme/busy", now_s=1.0)
    assert order(starts) == ["acme/busy", "acme/calm", "acme/idle"]


def test_clients_take_turns() -> None:
    """The second start of one comes after the first of another that has as much reason."""
    starts = Starts(1, rank)
    queued(starts, "acme/calm", "acme/idle")
    queued(starts, "beta/calm", now_s=1.0)
    assert order(starts) == ["acme/calm", "beta/calm", "acme/idle"]


def test_a_place_is_held_until_the_process_is_ready_or_gone() -> None:
    """Replaying is a part of the start; an end, a failure and a stop free the place."""
    starts = Starts(1, rank)
    ends: tuple[State, ...] = ("ready", "backoff", "failed", "stopped", "stopping", "aborted", "queued")
    for end in ends:
        queued(starts, "beta/calm")
        begun(starts, "acme/calm")
        assert not starts.next(0.1) and starts.due_s(0.1) == HOLDS_S
        starts.note("acme/calm", Case(state="replaying", since_s=0.1))
        assert not starts.next(0.1)
        starts.note("acme/calm", Case(state=end))
        assert starts.next(0.1)


def test_a_start_that_hangs_does_not_hold_its_place_for_ever() -> None:
    """After a while the next one starts beside it, and the record says so."""
    starts = Starts(1, rank)
    queued(starts, "acme/calm")
    begun(starts, "acme/mai")
    assert not starts.next(HOLDS_S - 0.001)
    assert starts.next(HOLDS_S) == "acme/calm" and starts.due_s(HOLDS_S) == HOLDS_S
    assert starts.figures(HOLDS_S) == {"beside": 0, "late": 1, "most": 1, "waiting": 1}
    starts.forget("acme/calm")
    assert not starts.next(HOLDS_S) and starts.due_s(HOLDS_S) == float("inf")


STATES: st.SearchStrategy[State] = st.sampled_from(["queued", "ready", "backoff", "stopped"])


@given(st.integers(1, 3), st.lists(st.tuples(st.sampled_from(NAMES), STATES, st.floats(0, 1)), max_size=60))
def test_no_history_lets_more_start_than_may(most: int, history: list[tuple[str, State, float]]) -> None:
    """Whoever dies, is ready or gives up in whatever order; and in the end each that waits has its turn."""
    starts, cases, now_s = Starts(most, rank), dict.fromkeys(NAMES, Case(state="ready")), 0.0

    def now(name: str, state: State) -> None:
        cases[name] = Case(state=state, since_s=now_s, begun_s=now_s)
        starts.note(name, cases[name])

    def let_go() -> None:
        while name := starts.next(now_s):
            waiting = [rank(one) for one in NAMES if cases[one].state == "queued"]
            assert cases[name].state == "queued" and rank(name) == min(waiting)
            now(name, "starting")

    for name, state, later_s in history:
        now_s += later_s
        now(name, state)
        let_go()
        held = [one for one in cases.values() if one.state in STARTING and now_s < one.begun_s + HOLDS_S]
        assert len(held) <= most
        assert len(held) == most or all(one.state != "queued" for one in cases.values())
    for _ in NAMES:
        now_s = starts.due_s(now_s) if any(one.state == "queued" for one in cases.values()) else now_s
        let_go()
    assert all(one.state != "queued" for one in cases.values())


# -- real processes
MORE = "".join(
    f"""
[departments.{name}]
charter = "Is there."
[[departments.{name}.agents]]
name = "clerk"
rank = "operator"
charter = "Keeps {name}."
handler = "small.py:clerk"
"""
    for name in ("stock", "staff", "post")
)
COMPANY = ORGANISATION.replace('["acme"]', '["acme", "beta"]').replace("[limits]", "[watchdog]\nstarts = 1\n\n[limits]", 1) + MORE
OWN = [f"acme/{name}" for name in ("mai", "support", "finance", "stock", "staff", "post")]


@contextmanager
def company(directory: Path, text: str = COMPANY) -> Iterator[Daemon]:
    """Two clients, six processes each; one start at a time."""
    daemon = Daemon(directory, text)
    try:
        yield daemon.up()
    finally:
        daemon.mai("down")


def crowded(daemon: Daemon, after: int) -> list[dict[str, Any]]:
    """The starts on record after this number; none had more beside it than may be, as the processes' own journals say."""
    records = [(one.at_ns, body) for one, body in daemon.journal("watchdog", "start") if one.seq > after]
    spoke = {name: [one.at_ns for one, _ in daemon.journal(name, "process.started")] for name in OWN}
    ready = [next((at for at in spoke[body["process"]] if at > began), 0) for began, body in records]
    assert all(ready), "a start of which nothing came"
    for number, (began, body) in enumerate(records):
        under_way = sum(at > began for at in ready[:number])
        assert under_way <= body["beside"] + body["late"], (body, under_way)
        assert body["beside"] < body["most"] == 1, body
    return [body for _, body in records]


@pytest.mark.parametrize("watchdog", [False, True])
def test_a_sub_server_that_dies_whole_starts_one_after_the_other(state: Path, watchdog: bool) -> None:
    """Mai first, then who has work; never more at a time than may be, also if the watchdog dies with them; nobody is left out."""
    with company(state) as daemon:
        os.mkfifo(daemon.place.home("acme/support") / "files" / "gate")
        words = ("ask", "acme", "Open the gate", "--json", "--id", "g1")
        porter = subprocess.Popen(daemon.command(*words), stdout=-1, stderr=-1, env=environment())
        until(lambda: daemon.status()["acme/support"]["queue"], "support says that it has work")
        before = daemon.pids()
        last = daemon.journal("watchdog")[-1][0].seq
        for name in (*OWN[:1], *sorted(OWN[1:]), *(["watchdog"] if watchdog else [])):
            os.kill(before[name][0], signal.SIGKILL)
        until(lambda: all(daemon.pids().get(name, before[name]) != before[name] for name in OWN), "all start again")
        until(daemon.ready, "ready")
        starts = [one["process"] for one in crowded(daemon, last)]
        missing = Counter(OWN) - Counter(starts)  # a watchdog acts, and writes at the end of its turn: it may die in between
        assert not Counter(starts) - Counter(OWN) and missing.total() <= watchdog, starts
        waited = [{"acme/mai": 0, "acme/support": 1}.get(name, 2) for name in starts[1:]]  # the first whose end is seen does not
        assert watchdog or waited == sorted(waited), starts
        after = daemon.pids()
        assert all(after[name] == pids for name, pids in before.items() if name.startswith("beta/"))
        (daemon.place.home("acme/support") / "files" / "gate").write_text("sesame\n")
        assert state_of(porter) == "answered"


HANGING = """
def prepare_forever(files):
    import time
    while not (files / "gate").exists():
        time.sleep(0.01)
"""


def test_a_start_that_hangs_keeps_nobody_away(state: Path) -> None:
    """One place, and who has it does not get ready: all others do."""
    text = COMPANY.replace('charter = "Is there."', 'charter = "Is there."\nprepare = "small.py:prepare_forever"', 1)
    daemon = Daemon(state, text.replace('["acme", "beta"]', '["acme"]'))
    with (daemon.file.parent / "small.py").open("a") as code:
        code.write(HANGING)
    up = subprocess.Popen(daemon.command("up", str(daemon.file)), stdout=subprocess.DEVNULL, env=environment())
    try:
        others = [name for name in OWN if name != "acme/stock"]
        until(lambda: all(daemon.status()[name]["state"] == "ready" for name in others), "the others are ready")
        assert daemon.status()["acme/stock"]["state"] != "ready"
        assert any(body["late"] for _, body in daemon.journal("watchdog", "start")), "its place was given on"
        (daemon.place.home("acme/stock") / "files" / "gate").write_text("sesame\n")
        until(daemon.ready, "all are ready")
        assert json.loads(daemon.mai("status", "--json").stdout)
    finally:
        daemon.mai("down")
        up.wait()
