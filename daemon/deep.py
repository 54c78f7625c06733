"""`mai verify --deep`: nothing lost, nothing twice. All that `mai verify --state` checks, and what the records mean.

    report = check(place, ["acme"])                  # beside a daemon that runs, or after whatever has happened to it
    report = check(place, at_rest=True)              # nothing is under way: so nothing may be open

The journals are read as verify.py reads them: first all snapshots are fixed, then each is read up to its own, then a little
further, only for what the others claim of it.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence

import msgspec
import pysqlite3 as sqlite3

from mai.agents import events
from mai.agents.events import Acked, Event, Received, Sent
from mai.daemon import calling, owed, records, tooling, verify  # noqa: F401  # they register their kinds
from mai.daemon.checkpoint import Checkpoint
from mai.daemon.examination import Examination, Verdict
from mai.daemon.invariants import Fact
from mai.daemon.reader import NotFound, Reader, chosen
from mai.daemon.scrub import OTHER
from mai.daemon.sealed_check import GONE, lacking
from mai.daemon.summary import clean
from mai.daemon.sweep import Progress
from mai.daemon.verify import Checked, quiet
from mai.daemon.witness import Finding
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import Record
from mai.sandbox.place import Place
from mai.sandbox.record import BLOB

LINKS = frozenset({Sent.kind, Received.kind, Acked.kind})


class Report(verify.Report, frozen=True):
    """All that was found; `sound` if that is nothing."""

    under_way: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # messages, requests, tasks … -> how many are open or on their way
    deep_s: float = 0.0  # of the time
    deep_records: int = 0


def check(
    place: Place, names: Sequence[str] = (), *, at_rest: bool = False, against: Checkpoint | None = None,
    progress: Progress = quiet,
) -> Report:  # fmt: skip
    """Examine these processes or clients, or all. `at_rest`: nothing may be open or on its way. Raises NotFound."""
    first = verify.verify(place, names, state=True, against=against, progress=progress)
    begun_s = time.monotonic()
    verdict = examined(place, names, at_rest=at_rest, progress=progress)
    deep_s = time.monotonic() - begun_s
    named = {finding.process for finding in first.findings}
    parked = _parked(place, names)
    findings = (*first.findings, *parked, *(one for one in verdict.findings if not _said(one, named)))
    wrong = {finding.process for finding in findings}
    ledgers = tuple(msgspec.structs.replace(one, sound=one.process not in wrong) for one in first.ledgers)
    return _report(first, findings, ledgers, verdict, deep_s)


def _parked(place: Place, names: Sequence[str]) -> list[Finding]:
    """What waits without an owner or a deadline; of a ledger that cannot be read something else was found."""
    found: list[Finding] = []
    for name in names or (None,):
        with contextlib.suppress(LedgerFault, msgspec.MsgspecError):
            found += owed.ownerless(owed.owed(place, name))
    return found


def _said(finding: Finding, named: set[str]) -> bool:
    """Has `verify`, which knows the digests, said it in its own words?"""
    peers = {other.partition(" ")[0] for other in finding.also}
    return finding.law in ("links", "readable") and bool(named & {finding.process, *peers})


def _report(
    first: verify.Report, findings: tuple[Finding, ...], ledgers: tuple[Checked, ...], deep: Verdict, deep_s: float
) -> Report:
    seconds = first.seconds + deep_s
    named = {(one.process, one.seq) for one in first.warnings}
    warnings = (*first.warnings, *(one for one in deep.warnings if (one.process, one.seq) not in named))
    return Report(
        sound=not findings, findings=findings, ledgers=ledgers, records=first.records, seconds=round(seconds, 3),
        records_per_s=int(first.records / max(seconds, 1e-9)), warnings=warnings, under_way=deep.under_way,
        heads=first.heads, keys=first.keys,
        deep_s=round(deep_s, 3), deep_records=deep.records,
    )  # fmt: skip


def examined(place: Place, names: Sequence[str] = (), *, at_rest: bool = False, progress: Progress = quiet) -> Verdict:
    """Only what the records mean: not the chains, not the state. Raises NotFound."""
    processes = dict.fromkeys(process for name in names or (None,) for process in chosen(place, name))
    examination, source = Examination(), Source(place)
    try:
        for process in [*processes]:
            source.leave_out(process, examination, processes)
        upto = {process: source.last(process, examination) for process in processes}
        for process in processes:
            journal = examination.journal(process)
            for done, fact in enumerate(source.facts(process, 0, upto[process], examination), 1):
                journal.take(fact)
                if done % 5000 == 0:
                    progress(process, done, upto[process])
        examination.fix()
        for process in processes:
            journal = examination.journal(process)
            for fact in source.facts(process, upto[process], source.last(process, examination), examination, links=True):
                journal.answer(fact)
    finally:
        source.close()
    return examination.verdict(at_rest=at_rest)


class Source:
    """The journals of a state directory as facts. What cannot be read is found, and ends that journal."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._readers: dict[str, Reader] = {}

    def last(self, process: str, examination: Examination) -> int:
        """The newest record; 0 if the ledger cannot be read, which `mai verify` has said."""
        try:
            if process not in self._readers:
                self._readers[process] = Reader(self.place, process)
            return self._readers[process].last()
        except (LedgerFault, NotFound) as error:
            examination.unreadable(process, 0, error.sentence, error.hint)
            return 0

    def leave_out(self, process: str, examination: Examination, processes: dict[str, None]) -> None:
        """A client of whose journals retention has removed something is not examined: laws speak of whole journals."""
        if process in processes and self.last(process, examination) and (why := lacking(self._readers[process])):
            client = process.partition("/")[0]
            examination.notes.warnings.append(Finding(process, 0, f"the invariants of {client} are not examined: {why}", GONE))
            for one in [one for one in processes if one.partition("/")[0] == client]:
                del processes[one]

    def facts(self, process: str, after: int, upto: int, examination: Examination, *, links: bool = False) -> Iterator[Fact]:
        """The records behind one, up to another; with `links` only those of messages."""
        decided = "/" in process  # others' kinds are nobody's here
        while after < upto:
            try:
                rows = self._readers[process].portion(after, upto)
                bodies = [self._body(process, row) for row in rows]
            except (LedgerFault, sqlite3.Error) as error:
                examination.unreadable(process, after + 1, f"{process} cannot be read from record {after + 1} on: {error}", OTHER)
                return
            for row, body in zip(rows, bodies, strict=True):
                kind = row[4]
                if links and kind not in LINKS:
                    continue
                try:
                    event: Event | None = events.decode(kind, body) if decided else None
                except msgspec.MsgspecError as error:
                    what = f"record {row[0]} cannot be read: {clean(str(error), 200)}"
                    examination.unreadable(process, row[0], what, OTHER)
                    event = None
                yield Fact(process, row[0], event, row[1], row[3], row[2], kind)
            if not rows:
                return
            after = rows[-1][0]

    def _body(self, process: str, row: tuple[object, ...]) -> str:
        body = str(row[8])
        return self._readers[process].body(Record(*row)) if body.startswith(BLOB) else body  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the ledgers."""
        for reader in self._readers.values():
            reader.close()


def render(report: Report, *, colour: bool = False) -> str:
    """As `verify.render`, with the warnings, and what is under way."""
    open_ = [f"{count} {name if count != 1 else name.removesuffix('s')}" for name, count in report.under_way.items() if count]
    line = f"under way: {', '.join(open_)}" if open_ else "at rest: nothing is open or on its way"
    return f"{verify.render(report, colour=colour)}\n{line}"
