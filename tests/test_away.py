"""Commands whose Mai goes away, or says nothing for long: what they wait for, and what they show when it is there after all.

Her door is a socket that says what a test tells it to; the clock is the test's own.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from mai.daemon import asking, following, talk_commands
from mai.sandbox.errors import EXPIRED, NotRunning
from mai.sandbox.place import Place, short
from tests.small import PATIENCE_S

Reply = dict[str, Any]
QUIET_S = 10 * asking.AWAY_S


class Clock:
    """Time passes when the test says so, and when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        """Seconds since the test began."""
        return self.now_s

    def sleep(self, s: float) -> None:
        """They are over at once."""
        self.now_s += s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """By which the commands measure how long she is away."""
    fresh = Clock()
    for module in (asking, following):
        monkeypatch.setattr(module, "time", fresh)
    return fresh


@contextmanager
def door(state: Path, says: Callable[[Reply], Iterator[Reply]], callers: int) -> Iterator[Place]:
    """The door of acme's Mai for so many callers, one after the other; then it closes. A supervisor listens all the time."""
    place = Place(state)
    for directory in (place.sockets("acme"), place.home("acme/mai"), place.supervisor_socket.parent):
        directory.mkdir(parents=True, exist_ok=True)
    (place.home("acme/mai") / "ledger.db").touch()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as supervisor:
        for one, path in ((listener, place.sockets("acme") / "door.sock"), (supervisor, place.supervisor_socket)):
            one.bind(short(path))
            one.listen()
        listener.settimeout(PATIENCE_S)
        serving = threading.Thread(target=_serve, args=(listener, says, callers))
        serving.start()
        yield place
        serving.join()


def _serve(listener: socket.socket, says: Callable[[Reply], Iterator[Reply]], callers: int) -> None:
    with listener:
        for _ in range(callers):
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as file:
                for reply in says(json.loads(file.readline())):
                    connection.sendall(json.dumps(reply).encode() + b"\n")


def test_who_follows_waits_for_a_mai_that_goes_away_after_a_long_quiet_time(tmp_path: Path, clock: Clock) -> None:
    """What counts is how long she is away: after that, and not before, it is over."""
    goes, lives = threading.Semaphore(0), iter("ab")

    def says(asked: Reply) -> Iterator[Reply]:
        yield {asked["do"]: [{"id": next(lives)}], "more": True}
        goes.acquire(timeout=PATIENCE_S)

    with door(tmp_path, says, 2) as place:
        coming = following.following(click.Context(click.Command("x"), obj=str(place.state)), ["acme"], "escalations")
        for life in "ab":
            assert next(coming) == {"client": "acme", "id": life}
            clock.now_s += QUIET_S
            goes.release()
    with pytest.raises(NotRunning):
        next(coming)
    assert 2 * QUIET_S + asking.AWAY_S < clock.now_s < 2 * QUIET_S + 2 * asking.AWAY_S


def test_who_asks_waits_for_a_mai_that_goes_away_after_a_long_quiet_time(tmp_path: Path, clock: Clock) -> None:
    """It is asked again with the same id, and the answer comes."""
    goes, heard = threading.Semaphore(0), list[str]()

    def says(asked: Reply) -> Iterator[Reply]:
        heard.append(asked["request"])
        if len(heard) > 1:
            yield {"answer": {"answer": "done"}}
            return
        yield {"accepted": "r1", "more": True}
        goes.acquire(timeout=PATIENCE_S)

    with door(tmp_path, says, 2) as place:
        replies = asking.ask(place, "acme", "text", request="r1", timeout_s=None, watch=False)
        assert "accepted" in next(replies)
        clock.now_s += QUIET_S
        goes.release()
        assert list(replies) == [{"answer": {"answer": "done"}}] and heard == ["r1", "r1"]


def test_an_answer_that_nobody_waits_for_any_more_is_shown_in_the_conversation(tmp_path: Path) -> None:
    """Once, when it is there, as what comes later than an answer is; an answer that was shown is not shown again."""
    asked_for: list[str] = []

    def says(asked: Reply) -> Iterator[Reply]:
        if asked["do"] == "ask":
            asked_for.append(asked["request"])
            in_time = {"answer": {"answer": "the second answer"}}
            yield {"error": "not yet", "code": EXPIRED} if len(asked_for) == 1 else in_time
            return
        told = [("answer", 0, "the first answer"), ("answer", 1, "the second answer"), ("later", 1, "and more of it")]
        lines = [
            {"n": n, "what": what, "request": asked_for[of], "text": text, "who": "mai", "at_ms": 0}
            for n, (what, of, text) in enumerate(told, 1) if len(asked_for) == 2 and n > asked.get("after", 0)
        ]  # fmt: skip
        yield {"lines": lines}

    with door(tmp_path, says, 6) as place:
        ran = CliRunner().invoke(talk_commands.chat, ["acme"], obj=str(place.state), input="one\ntwo\n")
    assert ran.exit_code == 0 and "no answer to" in ran.output, ran
    for text in ("the first answer", "the second answer", "and more of it"):
        assert ran.output.count(text) == 1, ran.output
