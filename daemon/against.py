"""Journals held against a checkpoint that was kept elsewhere: part of `mai verify --against FILE`."""

from collections.abc import Iterable

from mai.daemon.checkpoint import Checkpoint
from mai.daemon.scrub import Scrub
from mai.daemon.seals import client_of
from mai.daemon.signed import Pinned, Signatures
from mai.daemon.witness import Finding
from mai.sandbox import signing
from mai.sandbox.errors import LedgerFault
from mai.sandbox.place import WATCHDOG, Place

FORGED = "was the file changed where it lay? take another copy of it"
REPLACED = (
    "keep the state directory as evidence, and put a backup back; `mai verify --against` the same file tells whether it fits"
)
ANOTHER = "the state directory is another one, or the key was replaced: if you did it, take a new checkpoint"


def compare(
    place: Place, checkpoint: Checkpoint, scrubs: Iterable[Scrub], signatures: Signatures, *, whole: bool
) -> list[Finding]:
    """Hold these journals against the heads of a checkpoint; with `whole` no journal that it names may lack.

    What differs is noted with each journal; what is about none of them is returned.
    """
    by = {scrub.process: scrub for scrub in scrubs}
    found = [*_signed(place, checkpoint, signatures)]
    watchdog_seq, _ = checkpoint.heads.get(WATCHDOG, (0, ""))
    for process, (seq, digest) in sorted(checkpoint.heads.items()):
        erased = signatures.erased.get(client_of(process), 0)
        if erased > watchdog_seq:
            continue  # since then, on record: what has its name now, if anything, is another journal
        if (scrub := by.get(process)) is not None:
            if scrub.readable:
                _held(scrub, seq, digest, _name(checkpoint))
        elif whole and not place.ledger(process).exists():
            text = f"the ledger of {process} is gone: {_name(checkpoint)} record {seq} of it"
            found.append(Finding(process, 0, text, REPLACED))
    return found


def _held(scrub: Scrub, seq: int, digest: str, by: str) -> None:
    try:
        Pinned(scrub).hold(seq, digest, by)
    except LedgerFault as error:
        scrub.found(0, error.sentence, error.hint)


def _name(checkpoint: Checkpoint) -> str:
    return f"the checkpoint of {checkpoint.at} ({checkpoint.file}) has"


def _signed(place: Place, checkpoint: Checkpoint, signatures: Signatures) -> Iterable[Finding]:
    """Is it signed, and by the key of this state directory?"""
    if not checkpoint.signed:
        yield Finding(WATCHDOG, 0, f"the signature of the checkpoint {checkpoint.file} does not fit what it says", FORGED)
    try:
        own = (place.watchdog / signing.PUBLIC).read_text().strip()
    except (OSError, ValueError):
        own = ""
    if checkpoint.key not in (*signatures.keys, own):
        text = f"the checkpoint {checkpoint.file} is signed with the key {checkpoint.key[:16]}, which has signed nothing here"
        yield Finding(WATCHDOG, 0, text, ANOTHER)
