"""Checkpoints: where all journals of a state directory end, in a signed text that is kept elsewhere.

Who may write the state directory can replace all of it, with the watchdog's journal and key: nothing that lies in it tells. A
checkpoint that lies elsewhere does, because each head pins all records before it. `mai verify --against FILE` looks whether each
journal still holds the record that the file names, and reads the whole chain up to it.
"""

import re
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from mai.daemon.heads import LARGEST, Head
from mai.daemon.reader import START, NotFound, Reader, missing
from mai.daemon.signed_note import ID_BYTES, note, opened, public_of, verifier
from mai.sandbox.bodies import sound
from mai.sandbox.errors import UsageFault
from mai.sandbox.ledger import GENESIS, Record
from mai.sandbox.place import Place
from mai.sandbox.signing import NAME as SIGNING_KEY
from mai.sandbox.signing import Signer, signed

TITLE: Final = "mai-checkpoint-v1"
SIGNER: Final = "mai-watchdog"  # the name of the key
LARGEST_BYTES: Final = 16 << 20  # of a file
_HEAD: Final = re.compile(r"([^\s/]+(?:/[^\s/]+)?) (\d{1,19}) ([0-9a-f]{64})")


class Checkpoint(msgspec.Struct, frozen=True):
    """Where the journals ended at a time."""

    at: str  # UTC, as it stands in the text
    key: str  # the public key, in hexadecimal digits
    heads: dict[str, Head]  # by process
    signed: bool = True  # does the signature fit?
    file: str = ""  # where it was read from

    def text(self) -> str:
        """What is signed: a line for each head."""
        lines = [f"{process} {seq} {digest}" for process, (seq, digest) in sorted(self.heads.items())]
        return "\n".join([TITLE, f"at {self.at}", f"key {verifier(SIGNER, self.key)}", *lines, ""])


def take(place: Place) -> tuple[Checkpoint, str]:
    """Where the journals end now, and that as a signed note. Raises NotFound, UsageFault, LedgerFault, OSError.

    Each head is a record that is what was written; whether all before it are, `mai verify` says.
    """
    if not (processes := place.processes()):
        raise missing(place, "")
    if not (place.watchdog / SIGNING_KEY).exists():
        raise NotFound(f"nothing is signed in {place.state} yet", START)
    signer = Signer(place.watchdog)
    heads = {process: _head(place, process) for process in processes}
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    checkpoint = Checkpoint(at, signer.public, heads)
    return checkpoint, note(checkpoint.text(), SIGNER, signer.public, signer.sign)


def _head(place: Place, process: str) -> Head:
    with closing(Reader(place, process)) as reader:
        last = reader.last()
        for row in reader.portion(last - 1, last):
            record = Record(*row)
            sound(reader.connection, record)
            return record.seq, record.digest.hex()
    return 0, GENESIS.hex()


def read(file: Path) -> Checkpoint:
    """A checkpoint that was kept in a file. Raises UsageFault if it is none; a signature that does not fit is told in it."""
    try:
        with file.open("rb") as lines:
            data = lines.read(LARGEST_BYTES)
    except OSError as error:
        raise UsageFault(f"{file} cannot be read: {error.strerror}", "name a file of `mai checkpoint export`") from error
    try:
        text, signatures = opened(data)
        return _parsed(text, signatures.get(SIGNER, ()), str(file))
    except UsageFault as fault:
        raise UsageFault(f"{file} is no checkpoint: {fault.sentence}", fault.hint) from None


def _parsed(text: str, signatures: Iterable[bytes], file: str) -> Checkpoint:
    title, at, key, *lines = [*text.splitlines(), "", "", ""]
    lines = lines[:-3]
    public = public_of(SIGNER, key.removeprefix("key "))
    heads = {match[1]: (int(match[2]), match[3]) for line in lines if (match := _HEAD.fullmatch(line))}
    if title != TITLE or not at.startswith("at ") or not public or len(heads) != len(lines):
        raise UsageFault("its lines are not those of one", "was it changed, or written by a newer version?")
    if any(seq > LARGEST for seq, _ in heads.values()):
        raise UsageFault("a number in it is none of a record", "was it changed?")
    fits = any(signed(public, one[ID_BYTES:].hex(), text.encode()) for one in signatures)
    return Checkpoint(at.removeprefix("at "), public, heads, fits, file)
