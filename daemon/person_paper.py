"""The certificate of an erasure of a person's values: how much was destroyed, where, when, by whom, and what it does not cover.

    STATE/certificates/acme-e3-20261128T201500.123Z.json

It does not say whose values they were: whoever ordered it may give a reference of his own. Signed by the watchdog, as that of a
client's erasure is, and checked by the same command.
"""

import time
from pathlib import Path
from typing import Final

import msgspec

from mai.daemon.certificate import directory
from mai.sandbox.errors import LedgerFault, UsageFault
from mai.sandbox.place import Place
from mai.sandbox.signing import Signer, signed

METHOD: Final = (
    "In each ledger the values in all records that were reached were replaced by markers, the texts that models were asked and "
    "have answered were removed, memory was forgotten, the state was made anew from the journal, and the file was written anew "
    "with its free pages overwritten and its write-ahead log emptied. Sealed segments of the journal that held any of it were "
    "written anew without it, and the old files overwritten and removed. Each ledger's own journal lists the records, with the "
    "digests of before and after."
)
NOT_COVERED: Final = (
    "backups, exports and replicas that were made before: they hold what they held, and are erased only by being destroyed",
    "blocks that the disk or the file system keeps of its own accord: on SSDs, on journaling and copy-on-write file systems and "
    "in snapshots overwriting is no promise",
    "what was told to others: answers, prompts that went to providers of models, effects of tools outside",
    "digests of records stay in the chain: who knows all else of a record can try whether a guess of its value fits",
    "what somebody has written about the person in the free text of another request, and what an agent has made of it elsewhere, "
    "prompts of models among it: where such requests have read what these had written is named as left",
)


class Erased(msgspec.Struct, frozen=True):
    """What was destroyed in one ledger."""

    process: str
    records: int
    texts: int
    keys: int  # of memory


class Paper(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One erasure. `signature` is over all the rest."""

    version: int = 1
    client: str
    erasure: str
    reference: str = ""  # of whoever ordered it
    by: str
    role: str
    asked_ms: int
    done_ms: int
    requests: int
    ledgers: list[Erased]
    log_lines: int = 0
    deaths: int = 0
    spool_files: int = 0
    left: list[str] = []  # where given words still stand
    method: str = METHOD
    not_covered: tuple[str, ...] = NOT_COVERED
    key: str = ""
    signature: str = ""

    def statement(self) -> bytes:
        """What is signed."""
        return b"mai-person-erasure-v1\n" + msgspec.json.encode(msgspec.structs.replace(self, signature=""))

    def signed_by(self, signer: Signer) -> "Paper":
        """The same, signed."""
        made = msgspec.structs.replace(self, key=signer.public)
        return msgspec.structs.replace(made, signature=signer.sign(made.statement()))


def path_of(place: Place, client: str, erasure: str, asked_ms: int) -> Path:
    """Where one lies."""
    at = time.strftime("%Y%m%dT%H%M%S", time.gmtime(asked_ms / 1000))
    return directory(place) / f"{client}-{erasure}-{at}.{asked_ms % 1000:03}Z.json"


def read(path: Path) -> Paper | None:
    """One that lies there; None if it is the certificate of something else. Raises UsageFault, OSError."""
    try:
        found = msgspec.json.decode(path.read_bytes())
        return msgspec.convert(found, Paper) if isinstance(found, dict) and "erasure" in found else None
    except msgspec.MsgspecError as error:
        raise UsageFault(f"{path} is no certificate: {error}", "they lie in certificates/ of a state directory") from None


def check(paper: Paper, path: Path, key: str) -> bool:
    """Is it signed with the key that was expected ("": none is known)? Raises LedgerFault if it was changed."""
    if not signed(paper.key, paper.signature, paper.statement()):
        raise LedgerFault(f"{path} was changed: its signature does not fit what it says", "ask for the original")
    if key and paper.key != key:
        raise LedgerFault(f"{path} is signed with the key {paper.key}, not with {key}", "name that one's key with --key")
    return bool(key)


def render(one: Paper) -> str:
    """In words."""
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(one.done_ms / 1000))
    named = f" ({one.reference})" if one.reference else ""
    lines = [f"{one.erasure}{named}: values of a person were erased from {one.client} at {at} by {one.by}, {one.role}"]
    lines += [
        f"  {led.process}: {led.records:,} records, {led.texts:,} texts, {led.keys:,} keys of memory"
        for led in one.ledgers if led.records or led.keys
    ]  # fmt: skip
    lines.append(
        f"  of {one.requests:,} requests; {one.log_lines:,} lines printed, {one.deaths:,} deaths, {one.spool_files:,} files"
    )
    lines += [f"left: {what}" for what in one.left]
    return "\n".join(
        [*lines, one.method, *(f"not covered: {text}" for text in one.not_covered), f"signed with the key {one.key}"]
    )
