"""Remedies, as the watchdog does them: checked against scope, bounds and rate, on record, watched, taken back if they did harm.

An order comes from a client's Mai at the door (who asks is what the kernel says of the connection) and is done once, however
often it is said. Its figure is watched for a while; then it is *kept*, or *undone* as soon as it has made things worse. Of Mai
and of the operations department themselves nobody heals anything: a person is paged when one of them is given up.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.fields import FieldFault, Shape
from mai.agents.judge import Figures, Judgement, judge, told
from mai.agents.mark import BYTES
from mai.agents.remedies import REMEDIES, Operations, out_of_bounds, out_of_scope, too_often
from mai.agents.withheld import Without, leave
from mai.daemon.book import Wanted
from mai.daemon.bounds import Bounds
from mai.daemon.case import Reset, Restart
from mai.daemon.door import Caller, Reply
from mai.daemon.paging import Pager
from mai.daemon.remedy_book import Done, RemedyBook
from mai.sandbox.errors import MaiError, Refused, UsageFault

if TYPE_CHECKING:
    from mai.agents.organisation import Organisation
    from mai.daemon.ward import Ward
    from mai.daemon.watchdog import Watchdog

LONGEST: Final = 4200  # characters of a text in an order: an id may be long
SHAPES: Final = {remedy.name: Shape(remedy.takes, f"the remedy {remedy.name}") for remedy in REMEDIES.values()}
DEATH: Final = "death"
HOLDS: Final[dict[str, Wanted]] = {"pause": "pause", "resume": "run", "switch": "switch"}


class RemedyAsked(msgspec.Struct):
    """An order at the door."""

    id: str
    client: str
    remedy: str
    target: str
    by: str
    why: str
    given: dict[str, Any] = {}
    request: str = ""


class Healer:
    """The watchdog's half of healing. Without `[operations]` it refuses all, and does nothing."""

    def __init__(self, watchdog: "Watchdog", organisation: "Organisation") -> None:
        self._watchdog = watchdog
        self._operations = organisation.operations
        self.remedies = RemedyBook(watchdog.book)
        self.bounds = Bounds(watchdog.book)
        self.bounds.take_up(organisation, watchdog.wards)
        self._pager = Pager(watchdog.place, self._operations or Operations(), Path(organisation.base))
        self._processes = frozenset(organisation.processes())
        watchdog.book.seen = self._seen

    def take_up(self, organisation: "Organisation") -> None:
        """Heal by another organisation from now on."""
        self._operations = organisation.operations
        self._processes = frozenset(organisation.processes())
        self.bounds.take_up(organisation, self._watchdog.wards)
        self._pager.take_up(self._operations or Operations(), Path(organisation.base))

    # -- an order
    def take(self, caller: Caller, request: Reply, now_ms: int) -> Reply:
        """Do what a Mai asks for, or not; the answer is on record. Raises UsageFault, Refused: then nothing is."""
        try:
            asked = msgspec.convert(request, RemedyAsked)
        except msgspec.ValidationError as error:
            raise UsageFault(f"no order for a remedy: {error}") from None
        if any(len(text) > LONGEST for text in (asked.id, asked.client, asked.target, asked.by, asked.why, asked.request)):
            raise UsageFault(f"a text of an order has at most {LONGEST} characters")
        mai = self._watchdog.wards.get(f"{asked.client}/mai")
        if mai is None or not mai.case.pid or caller.pid != mai.case.pid:
            raise Refused(f"process {caller.pid} is not the Mai of {asked.client[:40]!r}", "remedies are ordered through her")
        if known := self.remedies.known.get(asked.id):
            return {"remedy": msgspec.to_builtins(known)}
        return {"remedy": msgspec.to_builtins(self._do(asked, now_ms))}

    def _do(self, asked: RemedyAsked, now_ms: int) -> Done:
        """The one outcome of a new order."""
        why = self._why_not(asked, now_ms)
        ward = self._watchdog.wards.get(asked.target)
        before = self.figures(ward, now_ms) if ward else Figures()
        text = ""
        if not why:
            try:
                text = self._act(asked, now_ms)
            except (MaiError, OSError) as error:
                why = error.sentence if isinstance(error, MaiError) else str(error)
        remedy = REMEDIES.get(asked.remedy)
        done = Done(
            id=asked.id, remedy=asked.remedy, process=asked.target, by=asked.by, why=asked.why, given=asked.given,
            request=asked.request, state="refused" if why else "done", text=why or text, at_ms=now_ms,
            figure=remedy.figure if remedy else "", before=before, until_ms=self._until_ms(asked, now_ms) if not why else 0,
        )  # fmt: skip
        self.remedies.enter(done)
        return done

    def _why_not(self, asked: RemedyAsked, now_ms: int) -> str:
        """Why this is not done; "" if it may be."""
        operations = self._operations
        if operations is None:
            return "the organisation has no [operations]"
        if self._watchdog.halting:
            return "everything is being stopped"
        why = out_of_scope(operations, asked.client, asked.remedy, asked.target, self._processes)
        if why:
            return why
        try:
            SHAPES[asked.remedy].fit(asked.given)
        except FieldFault as fault:
            return fault.sentence
        at_ms, worse = self.remedies.lately(asked.target, asked.remedy, now_ms)
        return out_of_bounds(operations, asked.remedy, asked.given) or too_often(operations, asked.remedy, at_ms, worse, now_ms)

    def _until_ms(self, asked: RemedyAsked, now_ms: int) -> int:
        """Until when its figure is watched; a page has none."""
        operations = self._operations
        watched = operations is not None and asked.remedy != "page"
        return now_ms + int(operations.watch_s * 1000) if operations and watched else 0

    # -- what is done
    def _act(self, asked: RemedyAsked, now_ms: int) -> str:
        """Do it; what was done, in words. Raises MaiError, OSError."""
        ward, now_s = self._watchdog.wards[asked.target], time.monotonic()
        match asked.remedy:
            case "restart":
                self._watchdog.apply(ward, Restart(), now_s)
                return f"{ward.name} is started again"
            case "reset":
                self._watchdog.apply(ward, Reset(), now_s)
                return f"{ward.name} is forgiven its deaths"
            case "quarantine":
                return self._quarantine(ward, asked, now_s)
            case "pause" | "resume" | "switch":
                return self._hold(ward, asked, now_ms)
            case "raise":
                return self.bounds.lift(ward, str(asked.given["bound"]), self._operations)
            case "page":
                return self._pager.call(self._page(asked.target, asked.why, asked.by, asked.request, asked.id))
        raise Refused(f"{asked.remedy} is not possible here")

    def _quarantine(self, ward: "Ward", asked: RemedyAsked, now_s: float) -> str:
        """Its next start, which is now, does without the task."""
        task = str(asked.given["task"])
        leave(self._watchdog.place.home(ward.name), Without(task, asked.by, asked.why))
        self._watchdog.apply(ward, Reset() if ward.case.state in ("failed", "backoff") else Restart(), now_s)
        return f"{ward.name} starts again without {task}"

    def _hold(self, ward: "Ward", asked: RemedyAsked, now_ms: int) -> str:
        held = self._watchdog.book.wants.get(ward.name, {"how": "run", "by": ""})
        if held["how"] != "run" and not str(held["by"]).startswith(f"{asked.client}/"):
            raise Refused(f"{held['by']} wants {ward.name} to {held['how']}: an operator's word stands above a remedy")
        how = HOLDS[asked.remedy]
        self._watchdog.book.want(ward.name, how, asked.by, asked.why)
        for_s = float(asked.given.get("for_s", 0.0))
        self.remedies.term(ward.name, now_ms + int(for_s * 1000) if how == "pause" else 0)
        match how:
            case "pause":
                return f"{ward.name} gets no new work for {for_s:g} s"
            case "switch":
                return f"the backups of {ward.name} have its work"
        return f"{ward.name} gets new work again"

    # -- what time brings
    def turn(self, now_ms: int) -> None:
        """Judge what is watched, end pauses that have lasted long enough, look after the command that pages."""
        for done in self.remedies.watched():
            ward = self._watchdog.wards.get(done.process)
            if ward is not None:
                self._judge(done, ward, now_ms)
        for process in self.remedies.over(now_ms):
            self.remedies.term(process, 0)
            self._free(process, "the pause is over")
        for ident, text in self._pager.turn():
            if page := self.remedies.known.get(ident):
                self.remedies.close(page, "kept", text)

    def _judge(self, done: Done, ward: "Ward", now_ms: int) -> None:
        after = self.figures(ward, now_ms, since_ms=done.at_ms)
        found: Judgement = judge(done.figure, done.before, after)
        said = told(done.figure, done.before, after)
        if found == "worse":
            self._take_back(done, ward, f"worse: {said}", now_ms)
        elif now_ms >= done.until_ms:
            self.remedies.close(done, "kept", f"{found}: {said}")

    def _take_back(self, done: Done, ward: "Ward", said: str, now_ms: int) -> None:
        """It made things worse: undo it, where it can be undone; it is not used on this process again for a while."""
        undo = REMEDIES[done.remedy].undo
        if done.remedy in ("pause", "switch"):
            self._free(ward.name, said)
            self.remedies.term(ward.name, 0)
        if done.remedy == "raise":
            self.bounds.lower(ward)
        self.remedies.close(done, "undone" if undo else "kept", said if undo else f"{said}; nothing can take it back", worse=True)

    def _free(self, process: str, why: str) -> None:
        """Take a remedy's hold away, unless it is somebody else's by now."""
        held = self._watchdog.book.wants.get(process)
        if held and held["how"] in ("pause", "switch") and "/" in str(held["by"]):
            self._watchdog.book.want(process, "run", "the watchdog", why)

    def figures(self, ward: "Ward", now_ms: int, since_ms: int = 0) -> Figures:
        """How a process does: deaths since then, or in the time that is watched."""
        watch_s = self._operations.watch_s if self._operations else 0.0
        after_ms = since_ms or now_ms - int(watch_s * 1000)
        recent = self._watchdog.book.recent.get(ward.name, [])
        deaths = sum(one["what"] == DEATH and one["at_ms"] > after_ms for one in recent)
        state, word = ward.case.state, ward.word
        return Figures(
            failed=state == "failed", ready=state == "ready", deaths=deaths, queue=word.queue if word and ward.case.pid else 0
        )

    # -- what nobody of the client's may heal
    def _seen(self, entry: dict[str, Any]) -> None:
        """An incident was put on record."""
        _, _, name = str(entry["process"]).partition("/")
        operations = self._operations
        if operations is None or not operations.page or entry["what"] != "failed" or name not in ("mai", operations.department):
            return
        now_ms, process = time.time_ns() // 1_000_000, str(entry["process"])
        at_ms, _ = self.remedies.lately(process, "page", now_ms)
        why = f"{process} was given up: {entry['text']}"
        refused = too_often(operations, "page", at_ms, False, now_ms)
        ident = f"page-{process}-{now_ms}"
        done = Done(
            id=ident, remedy="page", process=process, by="watchdog", why=why, at_ms=now_ms,
            state="refused" if refused else "done", text=refused,
        )  # fmt: skip
        if not refused:
            done.text = self._pager.call(self._page(process, why, "watchdog", "", ident))
        self.remedies.enter(done)

    def _page(self, process: str, why: str, by: str, request: str, ident: str = "") -> dict[str, Any]:
        recent = self._watchdog.book.recent.get(process, [])
        return {"id": ident, "process": process, "why": why, "by": by, "request": request, "incidents": recent[-3:]}


def marked(home_running: bytes) -> str:
    """The task whose code was running, from the bytes that a department shares with a file; "" if none was."""
    return home_running[:BYTES].rstrip(b"\0").decode(errors="replace")
