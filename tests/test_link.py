"""The link protocol: over any wire and any deaths each message is taken exactly once, in order; and broken, it is caught."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents.decider import Input
from mai.agents.events import Event, Sent
from mai.agents.link import WINDOW, Flight, Link, Receipt, Transit, receipt, settle
from mai.agents.messages import Ack, Envelope, Hello, Numbered
from mai.agents.shell import Shell
from tests.pair import Wire

SEEDS = range(60)
MISHAPS = 200


def violations(directory: Path, seed: int, kind: type[Shell] = Shell) -> list[str]:
    """What one seeded world ends with."""
    random, wire = Random(seed), Wire(directory, kind)
    wire.connect()
    for _ in range(MISHAPS):
        wire.mishap(random)
        if any(end.halted for end in wire.ends):
            break
    for end in wire.ends:
        end.shell.commit(all_of_it=True)
    wire.heal()
    found = wire.violations()
    for end in wire.ends:
        end.ledger.close()
    return found


@pytest.mark.parametrize("part", range(4))
def test_each_message_is_taken_once_and_in_order(tmp_path: Path, part: int) -> None:
    """Over loss, repetition, reordering, disconnections and deaths at any point, for every seed."""
    for seed in SEEDS[part::4]:
        (directory := tmp_path / str(seed)).mkdir()
        assert violations(directory, seed) == [], f"seed {seed}"


# -- mutants: each has to be caught, or the test above proves nothing
class AcknowledgesBeforeCommit(Shell):
    """It says that it has what it has not written yet."""

    def _take(self, peer: str, envelope: Envelope, body: Numbered) -> None:
        super()._take(peer, envelope, body)
        self.tell(peer, Ack(self.decider.state.link(peer).received))


class GreetsBeforeCommit(Shell):
    """Its Hello counts what it has not written yet."""

    def greet(self, peer: str) -> None:
        """At once."""
        self.tell(peer, Hello(self.decider.state.link(peer).received, self.ledger.boot))

    def _gap(self, peer: str, lseq: int) -> None:
        self.greet(peer)


class ForgetsItsCursor(Shell):
    """It does not store how far the link has come."""

    def _write(self) -> None:
        for row in [row for row in self.decider.state.changes if row[0] == "link"]:
            del self.decider.state.changes[row]
        super()._write()


class SendsBeforeCommit(Shell):
    """What it decides leaves at once."""

    def apply(self, event: Event) -> list[Input]:
        """Journal, fold, send."""
        following = super().apply(event)
        if isinstance(event, Sent) and self.decider.state.transit(event.to).connected:
            self._fly(event.to)
        return following


class WritesTwice(Shell):
    """Journal and state in two transactions, the state later."""

    def _write(self) -> None:
        kept = dict(self.decider.state.changes)
        self.decider.state.changes.clear()
        super()._write()
        self.decider.state.changes.update(kept)


class TakesWhatComesNext(Shell):
    """It does not look at numbers beyond the next."""

    def _take(self, peer: str, envelope: Envelope, body: Numbered) -> None:
        if envelope.lseq > self.decider.state.link(peer).received:
            self.decider.state.link(peer).received = envelope.lseq - 1
        super()._take(peer, envelope, body)


class NeverSendsAgain(Shell):
    """It believes that what it has sent has come."""

    def _hello(self, peer: str, received: int) -> None:
        flown = self.decider.state.transit(peer).flown
        super()._hello(peer, received)
        self.decider.state.transit(peer).flown = max(flown, received)


MUTANTS = (
    AcknowledgesBeforeCommit,
    GreetsBeforeCommit,
    ForgetsItsCursor,
    SendsBeforeCommit,
    WritesTwice,
    TakesWhatComesNext,
    NeverSendsAgain,
)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_protocol_is_caught(tmp_path: Path, mutant: type[Shell]) -> None:
    """The same worlds show what is wrong with each deliberate bug."""
    for seed in SEEDS:
        (directory := tmp_path / str(seed)).mkdir()
        if violations(directory, seed, mutant):
            return
    pytest.fail(f"{mutant.__name__} is not caught by any of {len(SEEDS)} seeds")


# -- the pure parts
@given(st.integers(0, 50), st.integers(-5, 60))
def test_a_number_is_seen_new_or_behind_a_gap(received: int, lseq: int) -> None:
    """Exactly the next number is new."""
    expected: Receipt = "seen" if lseq <= received else "new" if lseq == received + 1 else "gap"
    assert receipt(Link("p", received=received), lseq) == expected


@given(st.integers(0, 30), st.integers(0, 40), st.integers(0, 40))
def test_an_acknowledgement_forgets_what_it_covers(acked: int, more: int, received: int) -> None:
    """Frames up to the number go, the rest stays, and the oldest record that is needed is known."""
    link, transit = Link("p", sent=acked + more, acked=acked), Transit()
    transit.waiting.extend(Flight(lseq, 100 + lseq, b"") for lseq in range(acked + 1, acked + more + 1))
    settle(link, transit, received)
    rest = [flight.lseq for flight in transit.waiting]
    assert rest == [lseq for lseq in range(acked + 1, acked + more + 1) if lseq > received]
    assert link.acked == max(acked, received)
    assert link.oldest == (100 + rest[0] if rest else 0)


@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(-3, 3000))
def test_what_is_due_is_what_has_not_flown_within_the_window(acked: int, more: int, flown: int) -> None:
    """The quick way by positions gives what a look at every frame would."""
    transit = Transit()
    transit.waiting.extend(Flight(lseq, lseq, b"") for lseq in range(acked + 1, acked + more + 1))
    transit.flown = flown
    assert transit.due(acked) == [one for one in transit.waiting if flown < one.lseq <= acked + WINDOW]
