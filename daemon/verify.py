"""`mai verify`: every ledger is whole, every journal is the one that was written, and they bear each other out.

First all snapshots are fixed, then each ledger is read up to its own; then, so that what one journal claims of another
can be held against it, each is read a little further, to where it has got meanwhile (see witness.py).
"""

import time
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import msgspec
import pysqlite3 as sqlite3

from mai.daemon import refold, signed, witness
from mai.daemon.against import compare as compare_with
from mai.daemon.checkpoint import Checkpoint
from mai.daemon.reader import NotFound, chosen
from mai.daemon.scrub import OTHER, REBUILD, Scrub
from mai.daemon.status import painted
from mai.daemon.summary import clean
from mai.daemon.witness import Finding
from mai.sandbox import made
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import fault
from mai.sandbox.place import Place

SHOWN = 20  # findings of one ledger that are shown to people
INVENTED = "keep the file as evidence, and look at the code of that department: it has written into its own journal"
UNPROVEN = "stop the process, and put its mandate back or start the daemon once; then verify again"

Progress = Callable[[str, int, int], None]  # process, how many records are read, of how many


class Checked(msgspec.Struct, frozen=True):
    """What was looked at in one ledger."""

    process: str
    records: int
    messages: int
    blobs: int
    seconds: float
    sound: bool


class Report(msgspec.Struct, frozen=True):
    """All that was found; `sound` if that is nothing."""

    sound: bool
    findings: tuple[Finding, ...]
    ledgers: tuple[Checked, ...]
    records: int
    seconds: float
    records_per_s: int
    heads: int = 0  # signed ones that were held against these journals
    keys: tuple[str, ...] = ()  # public keys that they are signed with


def quiet(process: str, done: int, of: int) -> None:
    """Show no progress."""


def verify(
    place: Place, names: Sequence[str] = (), *, state: bool = False, against: Checkpoint | None = None, progress: Progress = quiet
) -> Report:
    """Examine these processes (or clients), or all; with `state` their state is folded anew. Raises NotFound.

    Links are examined where both of their ends are. `against`: where the journals ended once, as it was kept elsewhere.
    """
    begun_s = time.monotonic()
    processes = dict.fromkeys(process for name in names or (None,) for process in chosen(place, name))
    scrubs = [Scrub(process) for process in processes]
    try:
        signatures = _examine(place, scrubs, state, progress)
        if against:
            signatures.findings += compare_with(place, against, scrubs, signatures, whole=not names)
    finally:
        for scrub in scrubs:
            scrub.close()
    return _report(scrubs, signatures, time.monotonic() - begun_s)


def _examine(place: Place, scrubs: list[Scrub], state: bool, progress: Progress) -> signed.Signatures:
    def read(scrub: Scrub) -> None:
        scrub.file()
        scrub.journal(scrub.upto, lambda done: progress(scrub.process, done, scrub.upto))
        scrub.claim()

    def read_on(scrub: Scrub) -> None:
        scrub.journal(scrub.reader.last(), lambda done: None)
        scrub.blob()
        scrub.broken()

    for scrub in scrubs:
        _guarded(scrub, lambda scrub: scrub.open(place))
    for scrub in scrubs:
        _guarded(scrub, lambda scrub: scrub.snapshot(whole=state))
    for work in (read, read_on):
        for scrub in scrubs:
            _guarded(scrub, work)
    signatures = signed.compare(place, scrubs)
    _links(place, scrubs, signatures.good)
    _vanished(place, scrubs)
    if state:
        for scrub in scrubs:
            _guarded(scrub, lambda scrub: _state(place, scrub))
    return signatures


def _guarded(scrub: Scrub, work: Callable[[Scrub], None]) -> None:
    """Do something with a ledger unless it could not be read before; that it cannot be is a finding too."""
    if not scrub.readable:
        return
    begun_s = time.monotonic()
    try:
        work(scrub)
    except (LedgerFault, NotFound) as error:
        scrub.found(scrub.seq + 1 if scrub.seq else 0, error.sentence, error.hint)
        scrub.readable = scrub.usable = False
    except sqlite3.Error as error:
        said = fault(scrub.reader.path, error)
        scrub.found(scrub.seq + 1 if scrub.seq else 0, said.sentence, said.hint)
        scrub.readable = scrub.usable = False
    scrub.seconds += time.monotonic() - begun_s


# -- across ledgers
def _links(place: Place, scrubs: list[Scrub], vouched: dict[str, int]) -> None:
    """`vouched`: by process the last record that fits a signed head."""
    usable = {scrub.process: scrub for scrub in scrubs if scrub.usable}
    for scrub in usable.values():
        for peer, (sent, _, received) in sorted(scrub.ends.counts().items()):
            if not place.ledger(peer).exists():
                text = (
                    f"the ledger of {peer} is gone: {scrub.process} has exchanged messages with it "
                    f"and has {received} of its messages and {sent} to it"
                )
                scrub.findings.append(Finding(peer, 0, text, "put it back from a backup"))
    for sender, receiver in permutations(usable.values(), 2):
        if sender.process in receiver.ends.peers() or receiver.process in sender.ends.peers():
            for claim in witness.claims(sender.ends, receiver.ends):
                _claimed(sender, receiver, claim, vouched.get(sender.process, 0))
            for far, by_seq, has in witness.overdrawn(sender.ends, receiver.ends):
                told = f"{sender.process} was told (its record {by_seq}) that {far} of its messages had come"
                text = f"the journal ends with record {receiver.seq} and holds {has}, but {told}: it was cut, or is an older copy"
                receiver.found(receiver.seq + 1, text)


def _vanished(place: Place, scrubs: list[Scrub]) -> None:
    """Ledgers that are not there, and were: nobody but the file beside them may know."""
    for process in place.processes(made.NAME) if scrubs else []:
        if lost := made.lost(place.ledger(process)):
            scrubs[0].findings.append(Finding(process, 0, lost, made.way_out(place.ledger(process))))


def _claimed(sender: Scrub, receiver: Scrub, claim: witness.Claim, vouched: int) -> None:
    """Say what a receiver holds against its sender, whose journal the watchdog has vouched for up to some record."""
    witnessed = receiver.witnessed(claim.by_seq)
    if 0 < witnessed <= vouched:  # the sender cannot have changed that since: the word against it is false
        text = f"record {claim.by_seq} says that {sender.process} has sent message {claim.lseq} so, with its record {witnessed}"
        receiver.found(
            claim.by_seq, f"{text}, which the watchdog has vouched for and which says otherwise: it was made up", INVENTED
        )
        return
    by = f"{receiver.process} has witnessed (its record {claim.by_seq})"
    fits = f"; up to record {claim.good_seq} it fits" if claim.good_seq else ""
    if witnessed > sender.seq:
        text = f"the journal ends with record {sender.seq}, but {by} record {witnessed}: it was cut, or is an older copy"
        sender.found(sender.seq + 1, text + fits)
    elif claim.own_seq != witnessed:
        sender.found(witnessed, f"record {witnessed} is not message {claim.lseq} that {by}{fits}")
    elif claim.head_differs:
        sender.found(witnessed, f"record {witnessed} is not the one that {by}: the journal was written anew{fits}")
    else:
        sender.found(witnessed, f"message {claim.lseq} in record {witnessed} does not say what {by}{fits}")


# -- state
def _state(place: Place, scrub: Scrub) -> None:
    """Fold the journal anew. The watchdog has no decider: what it keeps is a copy of its last entries."""
    if "/" not in scrub.process:
        return
    try:
        decider = refold.fresh(place, scrub.process)
        folded = refold.fold(decider, scrub.reader, scrub.upto)
    except LedgerFault as error:
        scrub.found(0, f"the state cannot be folded anew: {error.sentence}", UNPROVEN)
        return
    except refold.Unfolded as error:
        scrub.found(error.seq, f"record {error.seq} cannot be folded: {error}", OTHER)
        return
    for difference in refold.differences(scrub.state, folded):
        scrub.found(0, difference, REBUILD)


# -- the result
def _report(scrubs: list[Scrub], signatures: signed.Signatures, seconds: float) -> Report:
    findings = (*(finding for scrub in scrubs for finding in scrub.findings), *signatures.findings)
    wrong = {finding.process for finding in findings}
    ledgers = tuple(
        Checked(s.process, s.records, s.ends.messages(), s.blobs, round(s.seconds, 3), s.process not in wrong) for s in scrubs
    )
    records = sum(scrub.records for scrub in scrubs)
    return Report(
        not findings, findings, ledgers, records, round(seconds, 3), int(records / max(seconds, 1e-9)),
        signatures.heads, tuple(signatures.keys),
    )  # fmt: skip


def render(report: Report, *, colour: bool = False) -> str:
    """One line for each ledger, what is wrong below it, and the figures."""
    width = max((len(checked.process) for checked in report.ledgers), default=0)
    lines = [line for checked in report.ledgers for line in _ledger(report, checked, width, colour)]
    known = {checked.process for checked in report.ledgers}
    lines += [_finding(finding, colour) for finding in report.findings if finding.process not in known]
    count = len(report.findings)
    word = painted("sound", 32, colour) if report.sound else painted(f"{count} finding{'s' if count > 1 else ''}", 31, colour)
    rate = f"{report.records:,} records in {report.seconds:.1f} s, {report.records_per_s:,} records/s"
    ledgers = f"{len(report.ledgers)} ledger{'s' if len(report.ledgers) > 1 else ''}"
    keys = f", {report.heads:,} heads signed by {', '.join(key[:16] for key in report.keys)}" if report.keys else ""
    return "\n".join([*lines, f"{ledgers}, {rate}{keys}: {word}"])


def _ledger(report: Report, checked: Checked, width: int, colour: bool) -> list[str]:
    mark = painted("ok ", 32, colour) if checked.sound else painted("BAD", 31, colour)
    figures = f"{checked.records:>9,} records {checked.messages:>9,} messages {checked.blobs:>5,} blobs"
    own = [finding for finding in report.findings if finding.process == checked.process]
    more = [f"    {len(own) - SHOWN} more"] if len(own) > SHOWN else []
    return [f"{mark} {checked.process:<{width}} {figures}", *(_finding(finding, colour) for finding in own[:SHOWN]), *more]


def _finding(finding: Finding, colour: bool) -> str:
    return f"    {painted(clean(finding.what, 400), 31, colour)}\n      hint: {finding.hint}"


def fields(report: Report) -> dict[str, Any]:
    """The report as scripts read it."""
    data: dict[str, Any] = msgspec.to_builtins(report)
    return data
