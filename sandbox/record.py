"""One record of a journal, and the digest that chains it to the one before it. Pure."""

import hashlib
import struct
from functools import lru_cache
from typing import Final, NamedTuple

GENESIS = bytes(32)  # what comes before the first record
ERASED = "values.erased"  # the kind of the records that say whose bodies were replaced, and by what (redaction.py)
BLOB = '{"blob":'  # how a body begins that lies elsewhere
REDACTED = "redacted"  # the noun of the rows of state that say it, of one record each
_NUMBERS = struct.Struct(">QQQ")


class Record(NamedTuple):
    """One line of a journal, as it stands in the file."""

    seq: int
    at_ns: int
    term: int
    boot: str
    kind: str
    request: str
    task: str
    agent: str
    body: str
    prev: bytes
    digest: bytes


COLUMNS: Final = ", ".join(Record._fields)  # of the table `journal`, in SQL


def key_of(seq: int) -> str:
    """The key of a record's row of state."""
    return f"{seq:012}"


def chain(prev: bytes, seq: int, at_ns: int, term: int, texts: tuple[str, ...]) -> bytes:
    """The digest of a record: SHA-256 over its predecessor's and every column, each text with its length before it."""
    boot, kind, request, task, agent, body = texts
    data = body.encode()
    return hashlib.sha256(
        b"mai-journal-v1\0%b%b%b%b%b%b%b%b%b" % (
            prev, _NUMBERS.pack(seq, at_ns, term), _measured(boot), _measured(kind), _measured(request), _measured(task),
            _measured(agent), len(data).to_bytes(4, "big"), data,
        )
    ).digest()  # fmt: skip


@lru_cache(1024)
def _measured(text: str) -> bytes:
    """A text as the digest has it, its length before it; most stand in many records."""
    data = text.encode()
    return len(data).to_bytes(4, "big") + data


def digest_of(record: Record) -> bytes:
    """What the digest of this record has to be."""
    return chain(record.prev, record.seq, record.at_ns, record.term, record[3:9])
