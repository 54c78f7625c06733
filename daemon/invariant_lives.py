"""The lives of one process: one after the other, each with a start and at most one end; its clock and its terms. Pure."""

from mai.agents.erased import Values
from mai.agents.events import ProcessStarted, ProcessStopped, StateRebuilt
from mai.agents.rotation_events import SegmentErased
from mai.daemon.invariants import GRACE_MS, Fact, Notes

LAW = "lives"
FIRST = (
    ProcessStarted.kind,
    StateRebuilt.kind,
    Values.kind,
    SegmentErased.kind,
)  # how a life begins: of all but the first it may be no more than that
BACK_NS = 1_000_000_000  # that the clock may go back before it is named
LOOK = "look at the host's clock (chronyc tracking, timedatectl): deadlines are wall clock"


class Lives:
    """Looks at every record of one journal, whatever it says."""

    def __init__(self, process: str, notes: Notes) -> None:
        self.process, self.notes = process, notes
        self.boot, self.term, self.last_ns, self.lives = "", 0, 0, 0
        self.awake_ns = 0  # since when it has worked without a pause longer than half the grace
        self._boots: dict[str, int] = {}  # -> its first record
        self._started = self._stopped = 0  # the records that say so, in this life
        self._first = 0  # the first record of this life, if that is not a start
        self._told = False  # do the lives of this journal say that they begin?

    def take(self, fact: Fact, kind: str) -> None:
        """One record."""
        seq = fact.seq
        if fact.boot != self.boot or not self._boots:
            self._life(fact, kind)
        elif kind == ProcessStarted.kind and self._started:
            self._found(seq, f"record {seq}: {self.process} starts again in the life that began with record {self._started}")
        if self._stopped:
            self._found(seq, f"record {seq} was written after the end of that life, record {self._stopped}", self._stopped)
        if kind == ProcessStarted.kind:
            self._started, self._told = seq, True
        elif kind == ProcessStopped.kind:
            self._stopped = seq
        if fact.term < self.term:
            self._found(seq, f"record {seq} is of term {fact.term}, the one before it of term {self.term}")
        self.term = fact.term
        self._clock(fact)

    def _life(self, fact: Fact, kind: str) -> None:
        """Another life than that of the record before."""
        if fact.boot in self._boots:
            first = self._boots[fact.boot]
            text = (
                f"record {fact.seq} is of the life that began with record {first} and was followed by another: two wrote at once"
            )
            self._found(fact.seq, text, first, fact.seq - 1)
        elif kind not in FIRST and self._told:
            self._found(fact.seq, f"record {fact.seq} is the first of a life, and does not say that one begins")
        self._boots.setdefault(fact.boot, fact.seq)
        self.boot, self._started, self._stopped, self.lives = fact.boot, 0, 0, self.lives + 1
        self.awake_ns = fact.at_ns
        self.last_ns = 0

    def _clock(self, fact: Fact) -> None:
        if self.last_ns and fact.at_ns < self.last_ns - BACK_NS:
            back_s = (self.last_ns - fact.at_ns) / 1e9
            what = f"record {fact.seq}: the clock went back by {back_s:.1f} s"
            self.notes.warn(LAW, self.process, fact.seq, what, LOOK)
            self.awake_ns = fact.at_ns
        elif fact.at_ns - self.last_ns > GRACE_MS * 500_000:
            self.awake_ns = fact.at_ns
        self.last_ns = fact.at_ns

    def _found(self, seq: int, what: str, *also: int) -> None:
        self.notes.found(LAW, self.process, seq, what, *((self.process, one) for one in also))
