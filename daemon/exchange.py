"""One exchange with a provider as a line of a tape: its format, and a tape read and written.

A tape is a directory with a file for each client, `CLIENT.jsonl`, one exchange a line. A line holds what was asked and what
came, byte for byte in the pieces in which it came, and where it broke off. It never holds a header of the request.
"""

import base64
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from mai.sandbox.errors import MaiError, UsageFault

ENDING: Final = ".jsonl"
SECRET_CHARACTERS: Final = 8  # a shorter one is no secret, and would be found in every text
KEPT_HEADERS: Final = (
    "content-type",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-request-id",
    "x-should-retry",
)  # of an answer
_encoder = msgspec.json.Encoder(order="deterministic")
Piece = str | dict[str, str]  # as text, or {"base64": …} where it is none by itself


class Exchange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was asked and what came. `error`: the name of the error with which it broke off; `status` 0: before any answer."""

    provider: str
    method: str
    path: str
    digest: str  # of the request's body
    request: Any  # its body: JSON as it is, anything else as a piece
    status: int
    headers: dict[str, str] = {}
    pieces: tuple[Piece, ...] = ()
    error: str = ""
    sentence: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """By what it is found again."""
        return self.provider, f"{self.method} {self.path}", self.digest


_decoder = msgspec.json.Decoder(Exchange)


def asked(body: bytes) -> tuple[str, Any]:
    """The digest of a request's body and the body as a tape keeps it; the order of a JSON object's keys does not matter."""
    try:
        value = msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return hashlib.sha256(body).hexdigest(), piece(body)
    return hashlib.sha256(_encoder.encode(value)).hexdigest(), value


def piece(data: bytes) -> Piece:
    """Bytes as a line can hold them."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def data_of(kept: Piece) -> bytes:
    """The bytes again."""
    return kept.encode() if isinstance(kept, str) else base64.b64decode(kept["base64"])


def masked(pieces: list[bytes], secrets: list[str]) -> list[bytes]:
    """The pieces with each secret replaced by as many stars, also one that a border cuts."""
    whole = b"".join(pieces)
    for secret in secrets:
        if len(secret) >= SECRET_CHARACTERS:
            whole = whole.replace(secret.encode(), b"*" * len(secret.encode()))
    borders = [0]
    for one in pieces:
        borders.append(borders[-1] + len(one))
    return [whole[start:end] for start, end in pairwise(borders)]


def tapes(directory: Path) -> list[Path]:
    """The files of a tape. Raises UsageFault if there are none."""
    found = sorted(directory.glob(f"*{ENDING}")) if directory.is_dir() else []
    if not found:
        raise UsageFault(f"{directory} is no tape", "make one with: mai record FILE TAPE")
    return found


def read(path: Path) -> Iterator[Exchange]:
    """The exchanges of a tape's file, in the order in which they ended. Raises UsageFault with the line that is damaged."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                if not line.endswith(b"\n"):
                    raise ValueError("it ends in the middle")
                yield _decoder.decode(line)
            except ValueError as error:
                hint = "take the line out; a last line is mended by recording on"
                raise UsageFault(f"{path}:{number}: the line is damaged: {error}", hint) from None


class Writer:
    """Writes exchanges to the end of a tape's file; one process at a time. Raises MaiError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 0  # who share it, see tape.py
        self._file = -1
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._mend()
        except BlockingIOError:
            self.close()
            raise UsageFault(f"{path} is being recorded by another process", "name another tape") from None
        except OSError as error:
            raise _fault(path, error) from error

    def _mend(self) -> None:
        """Take off a last line that was not written whole: its answer was given to nobody."""
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise UsageFault(f"{self.path} is no regular file", "name another tape")
        length = end = os.fstat(self._file).st_size
        while end:
            block = os.pread(self._file, min(end, 1 << 16), max(0, end - (1 << 16)))
            if (newline := block.rfind(b"\n")) >= 0:
                end += newline + 1 - len(block)
                break
            end -= len(block)
        if end != length:
            os.ftruncate(self._file, end)

    def write(self, exchange: Exchange) -> None:
        """Add one, and see it on the disk."""
        line = memoryview(_encoder.encode(exchange) + b"\n")
        try:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError as error:
            raise _fault(self.path, error) from error

    def close(self) -> None:
        """Let others record; harmless if repeated."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _fault(path: Path, error: OSError) -> MaiError:
    return MaiError(f"the tape {path} cannot be written: {error.strerror}", "make room, or set its rights")
