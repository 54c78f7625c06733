"""`mai verify`: every ledger is whole, every journal is the one that was written, and they bear each other out.

First all snapshots are fixed, then each ledger is read up to its own; then, so that what one journal claims of another
can be held against it, each is read a little further, to where it has got meanwhile (see witness.py, sweep.py). A run reads
everything, or what came since an earlier one (verified.py).
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import permutations
from typing import Any

import msgspec

from mai.agents.reaching import first
from mai.daemon import hearsay, keycheck, refold, sealed_check, signed, witness
from mai.daemon.against import compare as compare_with
from mai.daemon.checkpoint import Checkpoint
from mai.daemon.reader import Reader, chosen, clock
from mai.daemon.redacted import ordered
from mai.daemon.scrub import OTHER, REBUILD, Scrub
from mai.daemon.seals import client_of
from mai.daemon.status import painted
from mai.daemon.summary import clean
from mai.daemon.sweep import Progress, Stopped, Sweep
from mai.daemon.verified import Memory, Verified
from mai.daemon.witness import Finding
from mai.sandbox import made
from mai.sandbox.errors import LedgerFault
from mai.sandbox.place import WATCHDOG, Place

REMEMBERED = "it only saves time, and is written anew now; but look who has changed it"
SHOWN = 20  # findings of one ledger that are shown to people
INVENTED = "keep the file as evidence, and look at the code of that department: it has written into its own journal"
UNPROVEN = "stop the process, and put its mandate back or start the daemon once; then verify again"

Keep = Callable[[Memory], None]


class Checked(msgspec.Struct, frozen=True):
    """What was looked at in one ledger."""

    process: str
    records: int
    messages: int
    blobs: int
    seconds: float
    sound: bool
    known: int = 0  # records before these, which an earlier run has read
    redacted: int = 0  # records whose values were erased, as the journal says


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
    warnings: tuple[Finding, ...] = ()  # what need not be wrong
    known: int = 0  # records before these, which an earlier run has read
    since: str = ""  # when that was; "" if everything was read


def quiet(process: str, done: int, of: int) -> None:
    """Show no progress."""


def verify(
    place: Place, names: Sequence[str] = (), *, state: bool = False, against: Checkpoint | None = None,
    memory: Memory | None = None, full: bool = True, keep: Keep | None = None, progress: Progress = quiet,
) -> Report:  # fmt: skip
    """Examine these processes (or clients), or all; with `state` their state is folded anew. Raises NotFound.

    Links are examined where both of their ends are. `against`: where the journals ended once, as it was kept elsewhere.
    `memory`: what earlier runs know. If it is not to be `full`, what they found sound is not read again; else it goes on from
    where a full run was interrupted. `keep` is given what is known so far, now and then, and in the end. If `progress` raises
    Stopped, it is given that as well, and so is the caller.
    """
    begun_s = time.monotonic()
    processes = dict.fromkeys(process for name in names or (None,) for process in chosen(place, name))
    sweep = Sweep(place, processes, progress)
    part, before = (memory.part, memory.verified) if memory else (None, Verified())
    whole = full or not before.marks
    try:
        sweep.open(whole=whole, fold=state)
        before = sweep.remember(before)
        if part and whole:
            sweep.go_on(part)
        elif not whole:
            sweep.begin(before, f"at {told_when(before)}")
        sweep.read(whole=whole, keep=(lambda part: keep(Memory(verified=before, part=part))) if keep and whole else None)
        known = not whole and all(scrub.process in sweep.since.marks for scrub in sweep.scrubs)
        signatures = signed.compare(place, sweep.scrubs, sweep.since if known else None)
        if WATCHDOG in processes:
            watchdog = next(scrub for scrub in sweep.scrubs if scrub.process == WATCHDOG)
            sweep.guarded(watchdog, lambda _: hearsay.compare(sweep.scrubs))
        if against:
            signatures.findings += compare_with(place, against, sweep.scrubs, signatures, whole=not names)
        _links(place, sweep.scrubs, signatures.good)
        _vanished(place, sweep.scrubs)
        _ordered(place, sweep.scrubs)
        for process in sweep.gone if not names else ():
            text = f"the ledger of {process} is gone: it was verified at {told_when(before)}"
            gone = Finding(process, 0, text, "put it back from a backup")
            signatures.findings += [] if process in {one.process for one in signatures.findings} else [gone]
        if whole:
            signatures.findings += keycheck.check(place, processes, signatures.keys)
        if state:
            for scrub in sweep.scrubs:
                sweep.guarded(scrub, lambda scrub: _state(place, scrub))
        report = _report(sweep.scrubs, signatures, time.monotonic() - begun_s, "" if whole else told_when(before))
        if keep:
            wrong = {finding.process for finding in report.findings}
            keep(Memory(verified=sweep.result(signatures, wrong, whole=whole), part=None if whole else part))
        return report
    except Stopped:
        sweep.keep()
        raise
    finally:
        for scrub in sweep.scrubs:
            scrub.close()


def amended(report: Report, changed: str, unkept: str) -> Report:
    """With what there is to say of the file that remembers: it was changed, or it could not be read or written."""
    if changed:
        finding = Finding(WATCHDOG, 0, f"{changed}; everything was read instead", REMEMBERED)
        report = msgspec.structs.replace(report, sound=False, findings=(*report.findings, finding))
    if unkept:
        warning = Finding(WATCHDOG, 0, unkept, "the next run reads everything again; see to the directory's rights")
        report = msgspec.structs.replace(report, warnings=(*report.warnings, warning))
    return report


def told_when(verified: Verified) -> str:
    """When it was that the older records were read."""
    return f"{clock(verified.at_ms * 1_000_000):%Y-%m-%d %H:%M}"


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
                receiver.found(receiver.seq + 1, text, good_seq=receiver.seq)


def _vanished(place: Place, scrubs: list[Scrub]) -> None:
    """Ledgers that are not there, and were: nobody but the file beside them may know."""
    for process in place.processes(made.NAME) if scrubs else []:
        if lost := made.lost(place.ledger(process)):
            scrubs[0].findings.append(Finding(process, 0, lost, made.way_out(place.ledger(process))))


def _ordered(place: Place, scrubs: list[Scrub]) -> None:
    """What a journal calls erased was ordered by somebody: the watchdog has it on record, with the requests that it is about."""
    erased = [scrub for scrub in scrubs if scrub.usable and scrub.touched and scrub.process != WATCHDOG]
    if not erased or not place.ledger(WATCHDOG).exists():
        return
    try:
        with closing(Reader(place, WATCHDOG)) as reader:
            known = ordered(reader)
    except LedgerFault:
        return  # the examination of the watchdog's own ledger says so
    for scrub in erased:
        for seq, request in scrub.touched.items():
            touched = scrub.erasures.touched[seq]
            order = known.get((client_of(scrub.process), touched.erasure, touched.round))
            if order is None or scrub.process not in order.processes:
                scrub.found(seq, f"record {seq} was changed and called erased, by {touched.erasure}, which nobody has ordered")
            elif request and first(request) not in order.requests:
                scrub.found(seq, f"record {seq} was changed and called erased; {touched.erasure} is not about its request")


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
        sender.found(sender.seq + 1, text + fits, good_seq=sender.seq)
    elif claim.own_seq != witnessed:
        sender.found(witnessed, f"record {witnessed} is not message {claim.lseq} that {by}{fits}", good_seq=claim.good_seq)
    elif claim.head_differs:
        text = f"record {witnessed} is not the one that {by}: the journal was written anew"
        sender.found(witnessed, text + fits, good_seq=claim.good_seq)
    else:
        text = f"message {claim.lseq} in record {witnessed} does not say what {by}"
        sender.found(witnessed, text + fits, good_seq=claim.good_seq)


# -- state
def _state(place: Place, scrub: Scrub) -> None:
    """Fold the journal anew. The watchdog has no decider: what it keeps is a copy of its last entries."""
    if "/" not in scrub.process:
        return
    if lacking := sealed_check.lacking(scrub.reader):
        scrub.warn(0, f"the state is not folded anew: {lacking}", sealed_check.GONE)
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
def _report(scrubs: list[Scrub], signatures: signed.Signatures, seconds: float, since: str) -> Report:
    findings = (*(finding for scrub in scrubs for finding in scrub.findings), *signatures.findings)
    wrong = {finding.process for finding in findings}
    ledgers = tuple(
        Checked(s.process, s.records, s.ends.taken, s.blobs, round(s.seconds, 3), s.process not in wrong, s.known, s.redacted)
        for s in scrubs
    )
    records, warnings = sum(scrub.records for scrub in scrubs), tuple(one for scrub in scrubs for one in scrub.warnings)
    return Report(
        not findings, findings, ledgers, records, round(seconds, 3), int(records / max(seconds, 1e-9)),
        signatures.heads, tuple(signatures.keys), warnings, sum(scrub.known for scrub in scrubs), since,
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
    rate = rate.replace("records", "new records", 1) if report.since else rate
    ledgers = f"{len(report.ledgers)} ledger{'s' if len(report.ledgers) > 1 else ''}"
    keys = f", {report.heads:,} heads signed by {', '.join(key[:16] for key in report.keys)}" if report.keys else ""
    lines += warned(report.warnings, colour)
    lines.append(f"{ledgers}, {rate}{keys}: {word}")
    if report.since:
        lines.append(f"{report.known:,} older records were read at {report.since}, and not again: mai verify --full reads them")
    elif report.known:
        lines.append(f"{report.known:,} records were read by the run that was interrupted")
    return "\n".join(lines)


def warned(warnings: Iterable[Finding], colour: bool) -> list[str]:
    """What need not be wrong, as people read it."""
    return [painted(f"warning: {one.process}: {clean(one.what, 400)}", 33, colour) + f"\n  hint: {one.hint}" for one in warnings]


def _ledger(report: Report, checked: Checked, width: int, colour: bool) -> list[str]:
    mark = painted("ok ", 32, colour) if checked.sound else painted("BAD", 31, colour)
    figures = f"{checked.records:>9,} records {checked.messages:>9,} messages {checked.blobs:>5,} blobs"
    figures += f" {checked.redacted:,} redacted" if checked.redacted else ""
    own = [finding for finding in report.findings if finding.process == checked.process]
    more = [f"    {len(own) - SHOWN} more"] if len(own) > SHOWN else []
    return [f"{mark} {checked.process:<{width}} {figures}", *(_finding(finding, colour) for finding in own[:SHOWN]), *more]


def _finding(finding: Finding, colour: bool) -> str:
    return f"    {painted(clean(finding.what, 400), 31, colour)}\n      hint: {finding.hint}"


def fields(report: Report) -> dict[str, Any]:
    """The report as scripts read it."""
    data: dict[str, Any] = msgspec.to_builtins(report)
    return data
