"""Keys of model providers: read by name from a directory that the operator fills, and shown to nobody.

The directory is systemd's ($CREDENTIALS_DIRECTORY, systemd.exec(5)), else $MAI_CREDENTIALS, else credentials/ in the
state directory.
"""

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from mai.sandbox.errors import MaiError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MOST_BYTES = 16 << 10
HIDDEN = "[key]"
SHORTEST = 4  # characters: what is shorter says nothing, and would be struck out of every word


class CredentialFault(MaiError):
    """A key that cannot be read, or must not be used."""


class Secret:
    """A key. It shows itself to nobody; `reveal` is for the one place that sends it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The key itself."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a key is not written down")


class Credentials:
    """The keys in one directory. Each is read anew whenever it is asked for: it may have been replaced."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._known: set[Secret] = set()

    def read(self, name: str) -> Secret:
        """The key of that name. Raises CredentialFault."""
        if not NAME.fullmatch(name):
            raise CredentialFault("a credential has a name that is none", "small letters, digits, . _ and - make a name")
        path = self.directory / name
        try:
            text = _content(path, name)
        except OSError as error:
            hint = f"write the key into {path}, with the rights 0600"
            raise CredentialFault(f"the credential {name} cannot be read: {error.strerror}", hint) from error
        return self.know(text)

    def has(self, name: str) -> bool:
        """Is there a key of that name?"""
        return bool(NAME.fullmatch(name)) and (self.directory / name).exists()

    def know(self, text: str) -> Secret:
        """A key that came from elsewhere, to be struck out as well."""
        secret = Secret(text)
        self._known.add(secret)
        return secret

    def scrub(self, text: str) -> str:
        """A text without any key that was ever read here."""
        return scrubbed(text, self._known)

    def mask(self, data: bytes) -> bytes:
        """Bytes in which each such key is stars, as many as it had characters."""
        for key in (secret.reveal().encode() for secret in self._known):
            data = data.replace(key, b"*" * len(key)) if len(key) >= SHORTEST else data
        return data


def scrubbed(text: str, secrets: Iterable[Secret]) -> str:
    """A text in which each of these keys is struck out, the longest first."""
    for key in sorted((secret.reveal() for secret in secrets), key=len, reverse=True):
        if len(key) >= SHORTEST:
            text = text.replace(key, HIDDEN)
    return text


def directory_of(state: Path) -> Path:
    """Where the keys of this installation are."""
    named = os.environ.get("CREDENTIALS_DIRECTORY") or os.environ.get("MAI_CREDENTIALS")
    return Path(os.path.abspath(os.path.expanduser(named))) if named else state / "credentials"


def _content(path: Path, name: str) -> str:
    """What the file says. Raises OSError, CredentialFault; what it says is in neither."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not block us
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise CredentialFault(f"the credential {name} is no regular file", f"write the key into {path}")
        of_systemd = about.st_uid == 0 != os.geteuid()  # its own files name us in an ACL, whose mask the group's bits are
        if about.st_mode & (0o007 if of_systemd else 0o077):
            raise CredentialFault(f"the credential {name} may be used by others than its owner", f"chmod 600 {path}")
        data = file.read(MOST_BYTES + 1)
    text = data.removesuffix(b"\n").removesuffix(b"\r").decode("ascii", errors="replace")
    if not text:
        raise CredentialFault(f"the credential {name} is empty", f"write the key into {path}")
    if len(data) > MOST_BYTES or not text.isascii() or not text.isprintable() or text != text.strip():
        raise CredentialFault(f"the credential {name} holds something else than a key", "expected one line of ASCII, no spaces")
    return text
