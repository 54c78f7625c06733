"""Loop guards: what a stop says is so by the records before it, and what it stops is refused in the same commit. Pure."""

from mai.agents.events import Ended, Event, Hopped, HopRefused, Stepped
from mai.agents.guards import GuardStopped, ancestors
from mai.agents.markers import marked
from mai.daemon.invariants import Handler, Invariant, Notes
from mai.daemon.records import ContractChecked


class Guarded(Invariant):
    """The stops of one process, a department's or Mai's."""

    law = "guards"

    def __init__(self, process: str, notes: Notes) -> None:
        super().__init__(process, notes)
        self.open: dict[str, Hopped] = {}  # tasks of a department, by their id

    def handlers(self) -> dict[str, Handler]:
        """What takes which kind of record."""
        return {
            GuardStopped.kind: self._stopped,
            Hopped.kind: self._hopped,
            Ended.kind: self._ended,
            HopRefused.kind: self._refused,
            Stepped.kind: self._refused,
            ContractChecked.kind: self._refused,
        }

    def _hopped(self, seq: int, event: Event) -> None:
        assert isinstance(event, Hopped)
        self.open[event.task] = event

    def _ended(self, seq: int, event: Event) -> None:
        assert isinstance(event, Ended)
        self.open.pop(event.task, None)

    def _stopped(self, seq: int, event: Event) -> None:
        assert isinstance(event, GuardStopped)
        if not marked(event.why):  # else it was erased, and the refusal says it in other words
            self.dues.owe((event.task, event.why), seq, f"{event.task} is stopped, and nothing is refused because of it")
        if not event.chain or event.count < event.limit:
            self.found(seq, f"record {seq} stops {event.task} after {event.count} of {event.limit}, without a reason")
        elif event.guard in ("same", "returns") and event.agent != "mai":
            self._counted(seq, event)

    def _counted(self, seq: int, event: GuardStopped) -> None:
        """How often who was not to have it once more stands in the chain, by the hops that are open."""
        hops = [self.open[name] for name in ancestors(event.task) if name in self.open]
        count = 1 + sum(f"{self.process}/{hop.agent}" == event.chain[-1] for hop in hops)
        if count < event.count:
            what = f"record {seq} stops {event.task} at {event.chain[-1]}, time {event.count}; by the hops it is time {count}"
            self.found(seq, what)

    def _refused(self, seq: int, event: Event) -> None:
        """It is refused in the words of the stop."""
        if self.dues and not getattr(event, "allowed", False):
            said = str(getattr(event, "rule", "") or getattr(event, "refused", ""))
            self.dues.settle((str(getattr(event, "task", "")), said))
