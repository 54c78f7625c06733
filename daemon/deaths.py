"""Each death has a file: what it died of, what it said last, what it had in hand, and how soon it was back.

    STATE/deaths/acme.support/1764000000123-4711.json

It is begun when the process is gone and completed when its next life is ready. The last `KEPT` of each process are kept.
A disk that takes no file keeps nobody dead: the incident stands in the watchdog's journal in any case.
"""

import contextlib
import json
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pysqlite3 as sqlite3

from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import connect

if TYPE_CHECKING:
    from mai.daemon.case import Case, Ended
    from mai.daemon.ward import Ward
    from mai.sandbox.place import Place

KEPT: Final = 50  # files for each process
TASKS: Final = 100  # in one file
TRACEBACK_BYTES: Final = 1 << 16
HELD: Final = ("task", "request")  # nouns of what a department and a Mai have in hand


class Deaths:
    """The files of one state directory."""

    def __init__(self, place: "Place") -> None:
        self._place = place
        self._open: dict[str, tuple[Path, dict[str, Any]]] = {}  # process -> what has no next life yet

    def begin(self, ward: "Ward", before: "Case", event: "Ended", now_s: float) -> str:
        """A process is gone, and not started again yet. Returns the file's name below the state directory."""
        at_ms = time.time_ns() // 1_000_000
        path = self._place.state / "deaths" / ward.log.stem / f"{at_ms}-{event.pid}.json"
        lived_s = round(now_s - ward.spawned_s, 3)
        word = ward.word
        self._open[ward.name] = path, {
            "process": ward.name, "pid": event.pid, "at_ms": at_ms, "how": event.how, "code": event.code,
            "state": before.state, "why": before.why, "lived_s": lived_s, "queue": word.queue if word else 0,
            "output": ward.output(), "traceback": self._traceback(ward.name),
        }  # fmt: skip
        return str(path.relative_to(self._place.state))

    def write(self, ward: "Ward", task: str) -> None:
        """Put it down, with what it had in hand; its next life may be on its way already."""
        if found := self._open.get(ward.name):
            path, said = found
            said |= {"task": task, "tasks": self._tasks(ward.name)}
            self._put(path, said)
            _thin(path.parent)

    def over(self, ward: "Ward", now_s: float) -> None:
        """It is ready again, or was given up."""
        if found := self._open.pop(ward.name, None):
            path, said = found
            if ward.case.state == "failed":
                said["failed"] = ward.case.why
            else:
                back_s = round(time.time() - said["at_ms"] / 1000, 3)
                replayed = ward.word.replayed if ward.word else 0
                said["again"] = {"pid": ward.case.pid, "back_s": back_s, "replayed": replayed}
            self._put(path, said)

    def _put(self, path: Path, said: dict[str, Any]) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(said, indent=1, ensure_ascii=False))
            part.replace(path)
        except OSError as error:
            print(f"watchdog: {path}: {error}", file=sys.stderr, flush=True)

    def _traceback(self, process: str) -> str:
        """What the process left for its next life, which takes it away when it starts."""
        try:
            return (self._place.home(process) / "traceback").read_bytes()[-TRACEBACK_BYTES:].decode(errors="replace").strip()
        except OSError:
            return ""

    def _tasks(self, process: str) -> list[dict[str, Any]]:
        """What it had in hand, by its ledger."""
        path = self._place.ledger(process)
        found: list[dict[str, Any]] = []
        wrong = (LedgerFault, OSError, sqlite3.Error, msgspec.MsgspecError)  # it may have died of that
        with contextlib.suppress(*wrong), closing(connect(path, write=False)) as db:
            query = f"SELECT value FROM state WHERE noun IN ({','.join('?' * len(HELD))}) ORDER BY key LIMIT ?"
            for (value,) in db.execute(query, (*HELD, TASKS)):
                row = msgspec.json.decode(value)
                found.append({name: row[name] for name in ("task", "request", "agent", "deadline_ms") if name in row})
        return found


def _thin(directory: Path) -> None:
    """Only the newest stay."""
    for old in sorted(directory.glob("*.json"))[:-KEPT]:
        old.unlink(missing_ok=True)
