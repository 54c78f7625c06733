"""A daemon whose support answers mail: what the tests of channels start, write to, kill, and look into."""

import json
from pathlib import Path
from typing import Any

from tests.small import Daemon, until

DESK = """
import json
import os

async def answer(ctx, task):
    wait = await ctx.tool("gate", text=task.text)
    before = [one["text"] for one in task.input["conversation"]]
    return f"{task.input['sender']} wrote {task.text} after {before}"


def gate(files, text):
    if text.startswith("die") and not (files / "died").exists():
        (files / "died").touch()
        os._exit(9)
    return text


def post(files, to, text, message, reply_to="", *, key):
    with open(files / "outbox", "a") as box:
        box.write(json.dumps({"to": to, "text": text, "message": message, "reply_to": reply_to, "key": key}) + chr(10))
    return "posted"
"""
ORGANISATION = """
[organisation]
name = "Mail"
clients = ["acme"]

[limits]
request_bytes = 4096
{more}

[[channels]]
name = "mail"
department = "support"
parse = "mail"
tool = "post"
spool = true

[[channels]]
name = "form"
department = "support"
parse = "json"
tool = "post"
message_bytes = 2048

[[policies]]
name = "all"
verdict = "allow"
tools = ["*"]

[departments.support]
charter = "Answers mail."

[[departments.support.agents]]
name = "desk"
rank = "operator"
charter = "Answers mail."
skills = ["mail"]
tools = ["gate"]
handler = "desk.py:answer"

[[departments.support.tools]]
name = "gate"
handler = "desk.py:gate"

[[departments.support.tools]]
name = "post"
handler = "desk.py:post"
effect = "opaque"
"""


class Mailing(Daemon):
    """The daemon with channels."""

    def __init__(self, directory: Path, more: str = "") -> None:
        super().__init__(directory, ORGANISATION.replace("{more}", more))
        (self.file.parent / "desk.py").write_text(DESK)

    def letter(self, text: str, who: str = "anna@example.org", ident: str = "") -> bytes:
        """A mail."""
        return f"From: {who}\nSubject: Order\n{f'Message-ID: <{ident}@x>' if ident else 'X: y'}\n\n{text}\n".encode()

    def deliver(self, data: bytes, *more: str, channel: str = "mail") -> dict[str, Any]:
        """The receipt for a message."""
        ran = self.mai("deliver", "acme", "--channel", channel, "--json", *more, "-", stdin=data)
        assert ran.returncode == 0, ran.stderr
        return dict(json.loads(ran.stdout))

    def thread(self, name: str = "mail:anna@example.org") -> list[dict[str, Any]]:
        """The lines of a conversation."""
        ran = self.mai("thread", "acme", name, "--json", "-n", "1000")
        return list(json.loads(ran.stdout)) if ran.returncode == 0 else []

    def outbox(self) -> list[dict[str, Any]]:
        """What has left."""
        file = self.place.home("acme/support") / "files" / "outbox"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def left(self, count: int) -> list[dict[str, Any]]:
        """What has left, once it is so much."""
        return until(lambda: found if len(found := self.outbox()) >= count else None, f"{count} answers in the outbox") or []

    def sound(self) -> None:
        """Nothing lost, nothing twice, by all journals; the state is what they give."""
        for how in ("--state", "--deep"):
            ran = self.mai("verify", how)
            assert ran.returncode == 0, ran.stdout + ran.stderr
