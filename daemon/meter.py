"""What is metered: each Mai's journal and the watchdog's, each record read once, and the watchdog's word of how things are.

A journal is counted from its beginning; what an exporter has counted it keeps while it lives. Outcomes are those of `mai sla`.
"""

from contextlib import suppress
from typing import Any, Final

import msgspec

from mai.agents import events
from mai.daemon import outcomes
from mai.daemon.availability import ENDS, HOLDS, Course, Held
from mai.daemon.door import Door
from mai.daemon.exposition import SECONDS, TOKENS, Figure, Figures
from mai.daemon.reader import NotFound, Reader
from mai.daemon.records import ErrandChecked, ErrandEnded, RequestEnded
from mai.sandbox.errors import LedgerFault, MaiError
from mai.sandbox.place import WATCHDOG, Place

PORTION: Final = 2000  # numbers of records of one journal in one step
ERRANDS: Final = (ErrandChecked.kind, ErrandEnded.kind)
SWITCHED: Final = "fallback.switched"
READ: Final = (*ENDS, *HOLDS, *ERRANDS, SWITCHED)
CHAT: Final = "chat"
DOOR_S: Final = 5.0
STATES: Final = ("ready", "starting", "replaying", "draining", "backoff", "failed", "stopped")

KNOWN: Final = (
    Figure("mai_up", "gauge", "1 if the watchdog answers."),
    Figure("mai_process_state", "gauge", "1 for the state that a process is in."),
    Figure("mai_process_restarts_total", "counter", "Starts after the first one, under this supervisor."),
    Figure("mai_process_uptime_seconds", "gauge", "Since its last start."),
    Figure("mai_process_memory_bytes", "gauge", "Resident memory."),
    Figure("mai_process_queue", "gauge", "What it has open."),
    Figure("mai_process_done_total", "counter", "What it has done in this life."),
    Figure("mai_process_last_progress_seconds", "gauge", "Since it last made progress."),
    Figure("mai_disk_free_bytes", "gauge", "Room below the state directory."),
    Figure("mai_incidents_total", "counter", "Incidents, by process and kind."),
    Figure("mai_remedies_total", "counter", "Remedies that were done, by process and name."),
    Figure("mai_requests_total", "counter", "Requests that have ended, by client and outcome as in mai sla."),
    Figure("mai_request_duration_seconds", "histogram", "From a request's acceptance to its end.", SECONDS),
    Figure("mai_department_tasks_total", "counter", "Tasks that Mai gave a department and that have ended, by outcome."),
    Figure("mai_fallback_switches_total", "counter", "Switches to a backup, by client."),
    Figure("gen_ai_client_token_usage", "histogram", "Tokens of one operation (gen_ai.client.token.usage).", TOKENS),
    Figure(
        "gen_ai_client_operation_duration_seconds", "histogram",
        "From Mai's verdict to the end of an operation (gen_ai.client.operation.duration).", SECONDS,
    ),
    Figure("mai_model_cost_total", "counter", "What models cost, in the currency of the organisation's prices."),
    Figure("mai_tool_operation_duration_seconds", "histogram", "The same for tools that need the network.", SECONDS),
)  # fmt: skip


class Meter:
    """All figures of one state directory. Raises nothing: what cannot be read now is read the next time."""

    def __init__(self, place: Place) -> None:
        self.place, self.figures = place, Figures(KNOWN)
        self._clients: dict[str, ClientMeter] = {}
        self._watchdog: Journal | None = None

    def step(self) -> bool:
        """Read on, a bounded part of each journal; true if there is more."""
        behind = False
        for process in self.place.processes():
            if process == WATCHDOG or process.endswith("/mai"):
                behind = self._open(process) or behind
        return behind

    def all(self) -> Figures:
        """Everything as it is now."""
        while self.step():
            pass
        self.look()
        return self.figures

    def _open(self, process: str) -> bool:
        with suppress(LedgerFault, NotFound, OSError):
            if process == WATCHDOG:
                self._watchdog = self._watchdog or Journal(self.place, process, ("incident", "remedy"))
                for _, kind, body in self._watchdog.more():
                    self._note(kind, msgspec.json.decode(body))
                return self._watchdog.behind
            client = process.partition("/")[0]
            meter = self._clients.setdefault(client, ClientMeter(self.place, client, self.figures))
            return meter.step()
        return False

    def _note(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "incident":
            self.figures.add("mai_incidents_total", process=body["process"], what=body["what"])
        elif body.get("state") == "done":
            self.figures.add("mai_remedies_total", process=body["process"], remedy=body["remedy"])

    def look(self) -> None:
        """Ask the watchdog how things are."""
        gauges = [figure.name for figure in KNOWN if figure.name.startswith(("mai_process_", "mai_disk_"))]
        for name in gauges:
            self.figures.clear(name)
        try:
            found = Door(self.place.door, DOOR_S).call({"do": "status"})
        except MaiError:
            return self.figures.set("mai_up", 0.0)
        self.figures.set("mai_up", 1.0)
        self.figures.set("mai_disk_free_bytes", found["disk"]["free_bytes"])
        for one in found["processes"]:
            self._process(one)

    def _process(self, one: dict[str, Any]) -> None:
        name = one["name"]
        for state in STATES:
            self.figures.set("mai_process_state", float(one["state"] == state), process=name, state=state)
        for figure, key in (
            ("restarts_total", "restarts"), ("uptime_seconds", "uptime_s"), ("memory_bytes", "memory_bytes"),
            ("queue", "queue"), ("done_total", "done"), ("last_progress_seconds", "last_progress_s"),
        ):  # fmt: skip
            if one.get(key) is not None:
                self.figures.set(f"mai_process_{figure}", float(one[key]), process=name)


class Journal:
    """A journal, and how far it has been read."""

    def __init__(self, place: Place, process: str, kinds: tuple[str, ...]) -> None:
        self.reader = Reader(place, process)
        self._kinds, self._read, self.behind = kinds, 0, False

    def more(self) -> list[tuple[int, str, str]]:
        """Time in nanoseconds, kind and body of what follows, of the kinds that are wanted."""
        last = self.reader.last()
        upto = min(last, self._read + PORTION)
        records = self.reader.of_kinds(self._kinds, self._read, upto) if upto > self._read else []
        found = [(one.at_ns, one.kind, self.reader.body(one, trust=True)) for one in records]
        self._read, self.behind = upto, upto < last
        return found


class ClientMeter:
    """One client, by its Mai's journal."""

    def __init__(self, place: Place, client: str, figures: Figures) -> None:
        self.client, self._figures = client, figures
        self._journal, self._course = Journal(place, f"{client}/mai", READ), Course()
        self._errands: dict[str, tuple[ErrandChecked, int]] = {}

    def step(self) -> bool:
        """Read on; true if there is more. Raises LedgerFault."""
        for at_ns, kind, body in self._journal.more():
            if kind in HOLDS:
                held = msgspec.json.decode(body, type=Held)
                outcomes.hold(self._course.marks, kind, held.department, held.how)
            elif kind == SWITCHED:
                self._figures.add("mai_fallback_switches_total", client=self.client)
            else:
                self._take(events.decode(kind, body), at_ns)
        return self._journal.behind

    def _take(self, event: events.Event, at_ns: int) -> None:
        if isinstance(event, ErrandChecked | ErrandEnded):
            self._errand(event, at_ns)
        else:
            self._ends(event)

    def _ends(self, event: events.Event) -> None:
        for end in self._course.step(event):
            if end.department:
                labels = {"client": self.client, "department": end.department, "outcome": end.outcome}
                self._figures.add("mai_department_tasks_total", end.times, **labels)
                continue
            self._figures.add("mai_requests_total", end.times, client=self.client, outcome=end.outcome)
            if isinstance(event, RequestEnded):
                self._figures.add("mai_request_duration_seconds", event.elapsed_ms / 1000, client=self.client)

    def _errand(self, event: ErrandChecked | ErrandEnded, at_ns: int) -> None:
        if isinstance(event, ErrandChecked):
            if event.allowed:
                self._errands[event.task] = event, at_ns
            return
        if (found := self._errands.pop(event.task, None)) is None:
            return
        checked, since_ns = found
        took_s = max(0.0, (at_ns - since_ns) / 1e9)
        error = {"error_type": event.state} if event.state != "answered" else {}
        if checked.service != "models":
            return self._figures.add(
                "mai_tool_operation_duration_seconds", took_s, client=self.client, gen_ai_tool_name=checked.what, **error
            )  # fmt: skip
        provider, _, model = event.by.partition("/")
        asked = {
            "client": self.client, "gen_ai_operation_name": CHAT, "gen_ai_request_model": checked.what,
            "gen_ai_provider_name": provider, "gen_ai_response_model": model,
        }  # fmt: skip
        self._figures.add("gen_ai_client_operation_duration_seconds", took_s, **asked, **error)
        self._figures.add("mai_model_cost_total", event.usage.cost_nano / 1e9, **asked)
        for kind, tokens in (("input", event.usage.input_tokens), ("output", event.usage.output_tokens)):
            if tokens:
                self._figures.add("gen_ai_client_token_usage", float(tokens), **asked, gen_ai_token_type=kind)
        return None
