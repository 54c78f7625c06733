"""Sixty model agents in six departments, for the tests that let them all think at once with a scripted provider.

Each serves a contract of its own (`case 17 for desk 3 of billing`), notes the case with a tool that changes something, and
gives its verdict. What they cost is in the models process's ledger, and what the provider saw is in his book.
"""

import json
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pysqlite3 as sqlite3

from mai.daemon.door import Door
from mai.sandbox.errors import Refused
from mai.sandbox.ledger import connect
from tests.small import PATIENCE_S, Daemon

DEPARTMENTS = ("billing", "claims", "fleet", "garden", "harbour", "lab")
DESKS = 10
KEY = "key-that-must-appear-nowhere-51f0"

HEAD = """
[organisation]
name = "Minds"
clients = ["acme"]

[[policies]]
name = "all"
verdict = "allow"
tools = ["*"]

[limits]
request_s = 60
task_s = 55

[models]
budget = {{ tokens = {tokens} }}

[[models.providers]]
name = "scripted"
url = "{url}"
key = "scripted"
running = 64
per_minute = 100000
silence_s = {silence_s}

[[models.models]]
name = "mind"
chain = [{{ provider = "scripted", model = "scripted", input_price = 1.0, output_price = 2.0 }}]
call_s = 40
attempts = 8
output_tokens = 64
"""
DEPARTMENT = """
[departments.{name}]
charter = "Sees to the cases of {name}."

[[departments.{name}.tools]]
name = "note"
handler = "minds.py:note"
effect = "idempotent"
about = "Put a case on the list."
input = {{ number = "int" }}
"""
DESK = """
[[departments.{name}.agents]]
name = "desk-{desk}"
rank = "specialist"
kind = "model"
charter = "Gives a verdict on a case."
skills = ["case"]
tools = ["note"]

[[departments.{name}.contracts]]
name = "case_{desk}"
about = "A verdict on a case"
served_by = "desk-{desk}"
may_ask = ["client"]
request = {{ number = "int" }}
reply = {{ verdict = "str" }}
phrases = ["case {{number}} for desk {desk} of {name}"]
"""
HANDLERS = """
import pysqlite3 as sqlite3


def note(files, number, *, key):
    with sqlite3.connect(files / "notes.db", timeout=30) as db:
        db.execute("CREATE TABLE IF NOT EXISTS notes(key TEXT PRIMARY KEY, number INTEGER)")
        db.execute("INSERT OR IGNORE INTO notes VALUES(?, ?)", (key, number))
    return "noted"
"""


class Minds(Daemon):
    """The daemon of such an organisation; `url` is the provider's."""

    def __init__(self, directory: Path, url: str, *, tokens: int = 0, silence_s: float = 1.0, departments: int = 6) -> None:
        self.names = DEPARTMENTS[:departments]
        text = HEAD.format(url=url, tokens=tokens, silence_s=silence_s)
        for name in self.names:
            text += DEPARTMENT.format(name=name)
            text += "".join(DESK.format(name=name, desk=desk) for desk in range(DESKS))
        super().__init__(directory, text)
        (self.file.parent / "minds.py").write_text(HANDLERS)
        credentials = self.place.state / "credentials"
        credentials.mkdir(mode=0o700, parents=True)
        (credentials / "scripted").touch(mode=0o600)
        (credentials / "scripted").write_text(f"{KEY}\n")

    def text(self, number: int) -> str:
        """The request for one case; the cases go round the desks."""
        desk = number % (DESKS * len(self.names))
        return f"case {number} for desk {desk % DESKS} of {self.names[desk // DESKS]}"

    def refuse_all(self) -> list[dict[str, Any]]:
        """A person wants nothing more done of what waits for one; what that was."""
        door = Door(self.place.sockets("acme") / "door.sock", PATIENCE_S)
        found: list[dict[str, Any]] = door.call({"do": "escalations"})["escalations"]
        for one in found:
            with suppress(Refused):  # it has ended meanwhile
                door.call({"do": "answer", "id": one["id"], "refused": "that is all we pay for"})
        return found

    def notes(self) -> Counter[int]:
        """Number of a case -> how often the tool has noted it."""
        found: Counter[int] = Counter()
        for name in self.names:
            path = self.place.home(f"acme/{name}") / "files" / "notes.db"
            if path.exists():
                with closing(sqlite3.connect(path)) as db:
                    found.update(number for (number,) in db.execute("SELECT number FROM notes"))
        return found

    def state(self, process: str, noun: str) -> dict[str, Any]:
        """Rows of a process's state."""
        with closing(connect(self.place.ledger(process), write=False)) as db:
            rows = db.execute("SELECT key, value FROM state WHERE noun = ?", (noun,)).fetchall()
        return {key: json.loads(value) for key, value in rows}
