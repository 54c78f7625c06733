"""What the watchdog of a test wrote is held against what SCHEMA.md and the JSON schemas say of its records.

It writes them as plain JSON, so no decoder would notice a field that nobody described.
"""

from contextlib import closing, suppress
from pathlib import Path

import msgspec
import pysqlite3 as sqlite3

from mai.daemon.kinds import kinds
from mai.daemon.visits import KINDS as VISITS
from mai.sandbox.bounds import ALL
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import body_of, connect, digest_of, read


def undescribed(directory: Path) -> set[str]:
    """Kinds, and fields of kinds, that a watchdog below this directory has written and nobody has described."""
    found = set[str]()
    for path in directory.glob("**/watchdog/ledger.db"):
        with suppress(sqlite3.Error, LedgerFault, OSError), closing(connect(path, write=False)) as db:
            for record in read(db, ALL):
                if digest_of(record) == record.digest:  # what a test has changed is not the watchdog's
                    found |= _unknown(record.kind, msgspec.json.decode(body_of(db, record), type=dict[str, object]))
    return found


def _unknown(kind: str, body: dict[str, object]) -> set[str]:
    if kind not in kinds():
        return {kind}
    named = {field.encode_name for field in msgspec.structs.fields(kinds()[kind])} | {"sealed"}
    sealed = body.get("sealed")
    names = {*body, *(sealed.get("names", ()) if isinstance(sealed, dict) else ())}
    return {f"{kind}.{name}" for name in names - named - ({"process"} if kind in VISITS else set())}
