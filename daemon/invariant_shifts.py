"""Tasks that change hands: once, to one successor in the same commit, and only where nothing was changed for them. Pure."""

from mai.agents.duty import ShiftWaits, TaskHanded
from mai.agents.events import EffectIntent, Ended, Event, Hopped
from mai.daemon.invariants import End, Handler, Ids, Invariant, Notes


class Handed(Invariant):
    """The hand-overs of one department."""

    law = "shifts"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.effects: dict[str, int] = {}  # open tasks that have begun an effect -> its record
        self.parked: dict[str, int] = {}  # what waits for a shift, TASK/N
        self.handed = Ids()

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            TaskHanded.kind: self._hands,
            Hopped.kind: self._hopped,
            EffectIntent.kind: self._effect,
            ShiftWaits.kind: self._waits,
            Ended.kind: self._ended,
        }

    def _hands(self, seq: int, event: Event) -> None:
        assert isinstance(event, TaskHanded)
        self.handed.add(event.task, seq)
        if event.task in self.effects:
            what = f"record {seq} hands {event.task} over, for which record {self.effects[event.task]} has begun an effect"
            self.found(seq, what, self.effects[event.task])
        self.dues.owe(("hop", event.successor), seq, f"{event.task} is handed over, and {event.to} does not get it")

    def _hopped(self, seq: int, event: Event) -> None:
        assert isinstance(event, Hopped)
        due = self.dues.settle(("hop", event.task))
        if bool(due) != (event.handover is not None):
            what = f"record {seq} gives {event.agent} the task {event.task} as handed over, and it is not"
            self.found(seq, what, due.seq if due else 0)
        self.parked.pop(f"{event.parent}/{event.step}", None)

    def _effect(self, seq: int, event: Event) -> None:
        assert isinstance(event, EffectIntent)
        self.effects.setdefault(event.task, seq)

    def _waits(self, seq: int, event: Event) -> None:
        assert isinstance(event, ShiftWaits)
        self.parked[f"{event.task}/{event.n}"] = seq

    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, Ended)
        self.effects.pop(event.task, None)
        for key in [key for key in self.parked if key.rpartition("/")[0] == event.task]:
            del self.parked[key]

    def under_way(self) -> dict[str, int]:
        """What waits for a shift."""
        return {"tasks that wait for a shift": len(self.parked)} if self.parked else {}

    def close(self, end: End) -> None:
        """Each task changes hands once."""
        super().close(end)
        for first, seq in self.handed.twice():
            self.found(seq, f"record {seq} hands a task over that record {first} has handed over", first)
