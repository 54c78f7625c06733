"""The certificate of an erasure: what was destroyed, when, by whom, how, and what it does not say; signed by the watchdog.

    STATE/certificates/beta-20261128T140000.123Z.json

It says the truth of the files under the state directory. Copies elsewhere (backups, exports, what an answer told somebody) and
blocks that a disk keeps of its own accord are beyond it, and it says so.
"""

import time
from pathlib import Path
from typing import Any, Final

import msgspec

from mai.daemon.destroying import Destroyed, Ended
from mai.sandbox.durable import write
from mai.sandbox.errors import LedgerFault, UsageFault
from mai.sandbox.place import Place
from mai.sandbox.signing import PUBLIC, Signer, signed

METHOD: Final = (
    "Each file was overwritten once with zeros where it had data, synced, cut to nothing and unlinked, its directories were "
    "removed and their parents synced. Those marked unlinked (links, sockets, files with another name elsewhere, files on a disk "
    "that keeps each version and had no room for one more) were only unlinked."
)
NOT_COVERED: Final = (
    "blocks that the disk or the file system keeps of its own accord: on SSDs, on journaling and copy-on-write file systems and "
    "in snapshots overwriting is no promise",
    "copies that somebody has made: backups, exports, recordings of models' answers",
    "what was told to others: answers to who asked, prompts that went to providers of models, effects of tools outside",
)
STAYS: Final = (
    "In the watchdog's journal, which is one for all clients and is never changed: the names of the client and of its "
    "processes, when they were started, died or were held, and by which user; digests of journal heads and keys. All else that "
    "stood there of this client is sealed with a key that was destroyed."
)


class Certificate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One erasure. `signature` is over all the rest."""

    version: int = 1
    client: str
    by: str  # the Unix user who ordered it, as the kernel vouched
    asked_ms: int
    destroyed_ms: int = 0
    journals: list[Ended]
    files: list[Destroyed]
    method: str = METHOD
    not_covered: tuple[str, ...] = NOT_COVERED
    stays: str = STAYS
    key: str = ""  # the public key of the signature
    signature: str = ""

    def statement(self) -> bytes:
        """What is signed."""
        return b"mai-erasure-v1\n" + msgspec.json.encode(msgspec.structs.replace(self, signature=""))

    @property
    def bytes(self) -> int:
        """How much was destroyed."""
        return sum(one.bytes for one in self.files)


class Checked(msgspec.Struct):
    """What a certificate is worth."""

    certificate: Certificate
    trusted: bool  # it is signed with the key that was expected


def directory(place: Place) -> Path:
    """Where they lie."""
    return place.state / "certificates"


def path_of(place: Place, client: str, asked_ms: int) -> Path:
    """Where one lies."""
    at = time.strftime("%Y%m%dT%H%M%S", time.gmtime(asked_ms / 1000))
    return directory(place) / f"{client}-{at}.{asked_ms % 1000:03}Z.json"


def draft(path: Path) -> Path:
    """What is known of an erasure before its end."""
    return path.with_suffix(".draft")


def put(path: Path, certificate: Certificate) -> None:
    """Write one down. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(path, msgspec.json.format(msgspec.json.encode(certificate), indent=1))


def sign(certificate: Certificate, signer: Signer) -> Certificate:
    """The same, signed."""
    made = msgspec.structs.replace(certificate, key=signer.public)
    return msgspec.structs.replace(made, signature=signer.sign(made.statement()))


def read(path: Path) -> Certificate:
    """One that lies here, whatever it is worth. Raises UsageFault, OSError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Certificate)
    except msgspec.MsgspecError as error:
        raise UsageFault(
            f"{path} is no certificate of an erasure: {error}", "they lie in certificates/ of a state directory"
        ) from None


def check(path: Path, key: str) -> Checked:
    """Hold one against its signature; `key`: the public key that is expected, "" if none is known. Raises MaiError, OSError."""
    found = read(path)
    if not signed(found.key, found.signature, found.statement()):
        raise LedgerFault(f"{path} was changed: its signature does not fit what it says", "ask for the original")
    if key and found.key != key:
        hint = "somebody else has made it, or it is of another installation: name that one's key with --key"
        raise LedgerFault(f"{path} is signed with the key {found.key}, not with {key}", hint)
    return Checked(found, bool(key))


def render(found: Checked) -> str:
    """In words."""
    one = found.certificate
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(one.destroyed_ms / 1000))
    lines = [
        f"{one.client} was erased at {at} by {one.by}",
        f"{len(one.files)} files with {one.bytes:,} bytes, {len(one.journals)} journals",
    ]
    lines += [f"  {end.process} ended with record {end.seq}, {end.head or 'unreadable'}" for end in one.journals]
    lines += [one.method, *(f"not covered: {text}" for text in one.not_covered), f"stays: {one.stays}"]
    whose = (
        "this installation's, or the one that was named" if found.trusted else "compare it with that of the installation: --key"
    )
    return "\n".join([*lines, f"sound: signed with the key {one.key} ({whose})"])


def public_key(place: Place) -> str:
    """The public key of an installation; "" if it has none yet."""
    try:
        return (place.watchdog / PUBLIC).read_text().strip()
    except OSError:
        return ""


def known(place: Place) -> list[dict[str, Any]]:
    """All erasures of this installation: client, when, by whom, which file; those that are no certificate are left out."""
    found = []
    for path in sorted(directory(place).glob("*.json")):
        try:
            one = read(path)  # that of a person is none of these
        except (UsageFault, OSError):
            continue
        about = {"name": one.client, "by": one.by, "at_ms": one.destroyed_ms, "bytes": one.bytes}
        found.append({**about, "certificate": str(path.relative_to(place.state))})
    return found
