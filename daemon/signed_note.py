"""Signed notes: a text that people read, and under it who has signed it. Pure.

The form is C2SP's (https://c2sp.org/signed-note), so that other programs can check one as well: lines of UTF-8, an empty line,
and lines of signatures ``— NAME BASE64``, whose bytes are four of the key's digest and an Ed25519 signature of all that stands
above the empty line. A verifier key names the public half: ``NAME+DIGEST+BASE64``.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Final

from mai.sandbox.errors import UsageFault

ED25519: Final = b"\x01"  # the kind of key
DASH: Final = "\u2014"
ID_BYTES, KEY_BYTES, SIGNATURE_BYTES = 4, 32, 64


def key_id(name: str, public: str) -> bytes:
    """What tells one key from another: of its name and its public half (hexadecimal digits)."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + bytes.fromhex(public)).digest()[:ID_BYTES]


def verifier(name: str, public: str) -> str:
    """A public key as a line, for who checks notes with other programs."""
    return f"{name}+{key_id(name, public).hex()}+{base64.b64encode(ED25519 + bytes.fromhex(public)).decode()}"


def public_of(name: str, line: str) -> str:
    """The public key (hexadecimal digits) that a verifier key of this name has; "" if it is none."""
    own, _, rest = line.partition("+")
    told, _, text = rest.partition("+")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ""
    public = data[1:].hex()
    fits = own == name and data[:1] == ED25519 and len(data) == 1 + KEY_BYTES and told == key_id(name, public).hex()
    return public if fits else ""


def note(text: str, name: str, public: str, sign: Callable[[bytes], str]) -> str:
    """A text with its signature; `sign` gives one in hexadecimal digits."""
    signature = base64.b64encode(key_id(name, public) + bytes.fromhex(sign(text.encode()))).decode()
    return f"{text}\n{DASH} {name} {signature}\n"


def opened(data: bytes) -> tuple[str, dict[str, list[bytes]]]:
    """The text of a note, and by the names of their keys its signatures, each behind its key's digest. Raises UsageFault."""
    fault = UsageFault("that is no signed note", "its form is https://c2sp.org/signed-note: was the file cut or changed?")
    try:
        text, empty, lines = data.decode().rpartition("\n\n")
    except UnicodeDecodeError:
        raise fault from None
    if not empty or not lines.endswith("\n"):
        raise fault
    found: dict[str, list[bytes]] = {}
    for line in lines.splitlines():
        words = line.split(" ")
        if len(words) != 3 or words[0] != DASH:
            raise fault
        try:
            found.setdefault(words[1], []).append(base64.b64decode(words[2], validate=True))
        except (binascii.Error, ValueError):
            raise fault from None
    return f"{text}\n", found
