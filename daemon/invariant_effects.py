"""Effects: each intent has one outcome, and what nobody knows to have happened is not simply done again. Pure.

    intent    → step | unknown | queried
    queried   → step, if it was found | intent again, if not
    intent, or queried and not found → fallback.switched, if nothing has happened: another tool has the step
    unknown   → resolved, once | nothing more: its task has ended | intent again, if it may simply be repeated
    resolved  → step with that value, if it happened | intent again, if not

Before effects were resolved, a step that said so followed an unknown at once: such journals are sound as well.
"""

from typing import Any

from mai.agents.events import EffectIntent, EffectUnknown, Ended, Event, Stepped
from mai.agents.fallback import FallbackSwitched
from mai.daemon.invariants import End, Handler, Ids, Invariant, Notes

SIMPLY = ("none", "idempotent")  # effects that may be repeated without a question


class Open:
    """An effect between its intent and its outcome."""

    __slots__ = ("effect", "over", "phase", "seq", "since", "value")

    def __init__(self, seq: int, effect: str) -> None:
        self.seq, self.since, self.effect = seq, seq, effect  # of the intent; of the last that is known of it
        self.phase = "intended"  # found, absent, unknown, happened, denied
        self.value: Any = None  # as it was resolved
        self.over = 0  # the record in which its task ended

    def goes(self, phase: str, seq: int) -> None:
        """More is known of it."""
        self.phase, self.since = phase, seq


class Effects(Invariant):
    """The effects of one department's tools."""

    law = "effects"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.open: dict[str, Open] = {}
        self.of_task: dict[str, set[str]] = {}
        self.closed = Ids()
        self.life = 0  # the record in which the present life began

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            EffectIntent.kind: self._intent,
            EffectUnknown.kind: self._unknown,
            "effect.queried": self._queried,
            "effect.resolved": self._resolved,
            FallbackSwitched.kind: self._switched,
            Stepped.kind: self._stepped,
            Ended.kind: self._ended,
            "process.started": self._started,
        }

    def _started(self, seq: int, event: Event) -> None:
        self.life = seq

    def _intent(self, seq: int, event: Event) -> None:
        assert isinstance(event, EffectIntent)
        key, one = event.key, self.open.get(event.key)
        if key != f"{event.task}/{event.n}":
            self.found(seq, f"record {seq}: the effect of step {event.n} of {event.task} has the key {key}")
        if one is None:  # one that has its outcome, or whose task has ended, is a step that is begun again: see tasks
            self.open[key] = Open(seq, event.effect)
            self.of_task.setdefault(event.task, set()).add(key)
            return
        if one.phase not in ("absent", "denied") and not (one.effect in SIMPLY and (one.phase == "unknown" or one.over)):
            known = {
                "intended": "is one more intent, and the first has no outcome",
                "unknown": "calls it again though nobody knows whether it happened",
                "found": "calls it again though it was found to have happened",
                "happened": "calls it again though it is known to have happened",
            }[one.phase]
            self.found(seq, f"record {seq}: {event.tool} ({one.effect}, key {key}) {known}", one.seq, *_other(one))
        one.seq, one.over = seq, 0
        one.goes("intended", seq)
        self.of_task.setdefault(event.task, set()).add(key)

    def _queried(self, seq: int, event: Event) -> None:
        key, found = str(getattr(event, "key", "")), bool(getattr(event, "found", False))
        if (one := self._known(seq, key, "asks whether it happened")) is None:
            return
        if one.phase != "intended" or one.effect != "queryable":
            why = f"an effect that is {one.effect}" if one.effect != "queryable" else f"one that is {one.phase} already"
            self.found(seq, f"record {seq} asks whether {key} happened: {why}", *_other(one))
        one.goes("found" if found else "absent", seq)

    def _switched(self, seq: int, event: Event) -> None:
        """Another tool has the step: only if it is known that nothing has happened."""
        assert isinstance(event, FallbackSwitched)
        if event.what != "tool" or (one := self.open.get(key := f"{event.task}/{event.n}")) is None:
            return
        if one.phase not in ("absent", "denied") and not (one.phase == "intended" and event.clear):
            how = "may have happened" if one.phase in ("intended", "unknown") else "has happened"
            self.found(seq, f"record {seq} gives {key} to {event.to}, and what {event.name} was called for {how}", one.seq)
        one.goes("absent", seq)

    def _unknown(self, seq: int, event: Event) -> None:
        assert isinstance(event, EffectUnknown)
        if (one := self._known(seq, event.key, "says that nobody knows about it")) is None:
            return
        if one.phase not in ("intended", "absent", "found"):
            self.found(seq, f"record {seq} says that nobody knows about {event.key}, which is {one.phase} already", *_other(one))
        one.goes("unknown", seq)

    def _resolved(self, seq: int, event: Event) -> None:
        key, happened = str(getattr(event, "key", "")), bool(getattr(event, "happened", False))
        if (one := self._known(seq, key, "resolves it")) is None:
            return
        if one.phase != "unknown":
            self.found(seq, f"record {seq} resolves {key}, which is not in doubt but {one.phase}", *_other(one))
        one.goes("happened" if happened else "denied", seq)
        one.value = getattr(event, "value", None)
        if one.over:
            self._close(key, seq)

    def _known(self, seq: int, key: str, what: str) -> Open | None:
        one = self.open.get(key)
        if one is None:
            before = self.closed.seq_of(key)
            why = f"has its outcome in record {before}" if before else "was never intended"
            self.found(seq, f"record {seq} {what}: {key} {why}", before)
        return one

    def _stepped(self, seq: int, event: Event) -> None:
        assert isinstance(event, Stepped)
        key = f"{event.task}/{event.n}"
        if event.call != "tool" or (one := self.open.get(key)) is None:
            return
        if one.phase == "unknown" and event.refused:
            return  # as it was before effects were resolved: it stays in doubt
        done = not event.refused
        if done and one.phase in ("unknown", "absent", "denied"):
            said = {"unknown": "nobody knows", "absent": "it was found not to have happened", "denied": "it did not happen"}
            self.found(seq, f"record {seq} says what {key} gave, and record {one.since} that {said[one.phase]}", one.since)
        if one.phase == "happened" and (event.refused or event.value != one.value):
            self.found(seq, f"record {seq} says other of {key} than record {one.since}, which says that it happened", one.since)
        self._close(key, seq)

    def _close(self, key: str, seq: int) -> None:
        self.open.pop(key)
        self.closed.add(key, seq)
        keys = self.of_task.get(key.rpartition("/")[0], set())
        keys.discard(key)

    def _ended(self, seq: int, event: Event) -> None:
        """What has no outcome yet gets one: it is in doubt."""
        assert isinstance(event, Ended)
        for key in self.of_task.pop(event.task, ()):
            one = self.open[key]
            one.over = seq
            if one.phase not in ("intended", "unknown"):
                self._close(key, seq)

    def close(self, end: End) -> None:
        """An intent without an outcome belongs to an open task, or its process was killed in this very moment."""
        super().close(end)
        for key, one in self.open.items():
            if one.phase != "intended":
                continue
            if one.over and (end.at_rest or self.life > one.over):
                what = f"record {one.seq} is the intent of {key}, without an outcome; its task ended in record {one.over}"
                self.found(one.seq, what, one.over)
            elif not one.over and end.at_rest:
                self.found(one.seq, f"record {one.seq} is the intent of {key}, without an outcome, and all is at rest")

    def under_way(self) -> dict[str, int]:
        """Effects that have no outcome yet, and those in doubt."""
        doubts = sum(one.phase == "unknown" for one in self.open.values())
        return {"effects": len(self.open) - doubts, "effects in doubt": doubts}


def _other(one: Open) -> tuple[int, ...]:
    return (one.since,) if one.since != one.seq else ()
