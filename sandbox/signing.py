"""Ed25519: a key pair of an installation's own, made where it is first needed, and what it has signed.

The secret half lies in the directory of the process that signs, readable by it alone; a signature says which public key it
is by. PyNaCl (libsodium; Apache-2.0): `cryptography` is four times its size and takes no less time to import.
"""

import binascii
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.exceptions import ValueError as WrongSize
from nacl.signing import SigningKey, VerifyKey

from mai.sandbox.errors import UsageFault
from mai.sandbox.keys import write

NAME = "signing.key"
PUBLIC = "signing.pub"  # beside it, for people: what to keep elsewhere


class Signer:
    """Signs with the key that lies in a directory; makes one if there is none. Raises UsageFault, OSError."""

    def __init__(self, home: Path) -> None:
        path = home / NAME
        if not path.exists():
            write(path, SigningKey.generate().encode().hex().encode() + b"\n")
        try:
            self._key = SigningKey(bytes.fromhex(path.read_text()))
        except (ValueError, WrongSize):
            raise UsageFault(f"{path} holds no key", "put it back, or remove it: a new one is made at the next start") from None
        self.public = self._key.verify_key.encode().hex()
        write(home / PUBLIC, f"{self.public}\n".encode())

    def sign(self, data: bytes) -> str:
        """The signature of these bytes, 64 bytes in hexadecimal digits."""
        return self._key.sign(data).signature.hex()


def signed(public: str, signature: str, data: bytes) -> bool:
    """Was this signed with the secret half of that public key? False for whatever is no key or no signature."""
    try:
        VerifyKey(bytes.fromhex(public)).verify(data, bytes.fromhex(signature))
    except (CryptoError, binascii.Error, ValueError, TypeError):
        return False
    return True
