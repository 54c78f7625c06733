"""Where a value names a subject, and what stands in its place once the subject is erased. Pure.

A subject is a word as it stands in keys, subjects of claims, names of conversations and typed arguments: `anna@example.org`,
`customer/42`, `10423`. A text names it if it is that word, or has it between the separators of keys and names; a number if it is
written so. Upper and lower case are the same. A word in a sentence names nobody.
"""

import hashlib
import hmac
import re
from typing import Any, Final

import msgspec

VEIL: Final = "erased-"  # how begins what stands in the place of a digest
EDGE: Final = r"[/:|,#]"  # of the parts of a key, of the name of a conversation, of an address


class Names:
    """One subject, and what replaces it: the same everywhere, so that what was one key stays one key."""

    def __init__(self, subject: str, erasure: str, salt: bytes = b"") -> None:
        self.subject, self.erasure, self._salt = subject, erasure, salt
        self._found = re.compile(rf"(?:^|(?<={EDGE})){re.escape(subject)}(?=$|{EDGE})", re.IGNORECASE)
        self._needle = msgspec.json.encode(subject).decode()[1:-1].casefold()

    def near(self, body: str) -> bool:
        """May it be in this JSON at all? Quick, and never wrong where it says no."""
        return self._needle in body.casefold()

    def name(self, text: str) -> bool:
        """Does this text name the subject?"""
        return self._found.search(text) is not None

    def renamed(self, text: str) -> str:
        """The text with something else in the subject's place; another spelling gets another name."""
        return self._found.sub(lambda found: self._instead(found[0]), text)

    def _instead(self, spelling: str) -> str:
        own = f"erased-{self.erasure}"
        return own if spelling == self.subject else f"{own}-{self.veiled(spelling)[len(VEIL) :][:6]}"

    def veiled(self, text: str) -> str:
        """Instead of a digest of something that could be guessed: the same for the same, as long as the salt is there."""
        if text.startswith(VEIL):
            return text
        return VEIL + hmac.new(self._salt, text.encode(), hashlib.sha256).hexdigest()[: 64 - len(VEIL)]

    def inside(self, value: Any) -> bool:
        """Does a value, as JSON has it, name the subject anywhere, be it as a key?"""
        match value:
            case str():
                return self.name(value)
            case bool() | None:
                return False
            case int() | float():
                return str(value) == self.subject
            case dict():
                return any(self.name(key) or self.inside(one) for key, one in value.items())
            case list():
                return any(map(self.inside, value))
        return False
