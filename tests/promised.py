"""A Mai whose facts are written by hand, each at its own time, and the ledgers that hold them."""

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from mai.agents import events
from mai.agents.events import Event, ProcessStarted
from mai.agents.objectives import Objectives, OwnObjectives
from mai.agents.organisation import Agent, Department, Organisation, mandate
from mai.daemon.records import PartAnswer, PartEnded, PartPlan, RequestAccepted, RequestEnded, RequestPlanned
from mai.sandbox import ledger as ledgers
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place

NOW_MS = 1_800_000_000_000  # a whole minute
ROOM = "no room; ask again later"
Timed = tuple[int, Event]  # when, what


def organisation(**objectives: Any) -> Organisation:
    """Two departments, of which sales promises less."""
    agents = (Agent(name="board", rank="board"), Agent(name="clerk", rank="operator", handler="x.py:x"))
    return Organisation(
        name="Test", clients=("acme",), objectives=Objectives(**objectives),
        departments=(
            Department(name="support", charter="", agents=agents),
            Department(name="sales", charter="", agents=agents, objectives=OwnObjectives(availability=0.9)),
        ),
    )  # fmt: skip


def part(department: str, state: str, reason: str = "", by: str = "") -> PartAnswer:
    """What came back for a part."""
    return PartAnswer(department, "", state, "", {}, reason, by, ())


def accepted(request: str, at_ms: int, *departments: str) -> list[Timed]:
    """A request that was taken in and planned."""
    plans = tuple(PartPlan(name, "", "", {}, "") for name in departments)
    taken = RequestAccepted(request=request, asker="acme/client", text="", accepted_ms=at_ms, deadline_ms=at_ms + 10_000)
    return [(at_ms, taken), (at_ms, RequestPlanned(request=request, parts=plans))]


def asked(
    request: str, at_ms: int, state: str = "answered", reason: str = "", *, took_ms: int = 100, to: str = "support"
) -> list[Timed]:
    """A request of one part that its department has answered, or that has expired, with all its facts."""
    found, end_ms = accepted(request, at_ms, to), at_ms + took_ms
    answer = part(to, state, reason, f"acme/{to}/clerk")
    if state != "expired":
        found.append((end_ms, PartEnded(request=request, task=f"{request}/1", answer=answer)))
    ended = RequestEnded(request=request, state=state, answer="", parts=(answer,), elapsed_ms=took_ms)
    return [*found, (end_ms, ended)]


def started(at_ms: int) -> Timed:
    """Mai begins a life."""
    return at_ms, ProcessStarted(process="acme/mai", version="0", organisation="", pid=1)


class Book:
    """A state directory whose ledgers a test writes, record by record at the time that it says."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, what: Organisation | None = None) -> None:
        self.place = Place(directory / "state", directory / "run")
        self.place.prepare()
        self._at_ms = NOW_MS
        monkeypatch.setattr(ledgers, "time", SimpleNamespace(time_ns=lambda: self._at_ms * 1_000_000))
        home = self.place.home("acme/mai")
        home.mkdir(parents=True)
        (home / "mandate").write_bytes(msgspec.msgpack.encode(mandate(what or organisation(), "acme", "mai")))

    def write(self, facts: Iterable[Timed]) -> None:
        """One life of Mai's journal more."""
        ledger = Ledger(self.place.ledger("acme/mai"), "acme/mai")
        for at_ms, event in facts:
            self._at_ms = at_ms
            columns = {name: getattr(event, name, "") for name in ("request", "task", "agent")}
            ledger.append(event.kind, events.encode(event), **columns)
        ledger.commit()
        ledger.close()

    def watch(self, facts: Iterable[tuple[int, str, dict[str, Any]]]) -> None:
        """The watchdog's records."""
        self.place.watchdog.mkdir(exist_ok=True)
        ledger = Ledger(self.place.ledger("watchdog"), "watchdog")
        for at_ms, kind, body in facts:
            self._at_ms = at_ms
            ledger.append(kind, msgspec.json.encode(body))
        ledger.commit()
        ledger.close()
