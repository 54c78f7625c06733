"""Contracts with backups between real processes: who fails is left for who stands in, and the journals hold together."""

import json
from pathlib import Path

from tests.small import HANDLERS, ORGANISATION, Daemon, until

SPARE = """
[[departments.support.agents]]
name = "looker"
rank = "operator"
charter = "Looks."
skills = ["looks"]
handler = "small.py:blind"
tools = ["eye", "glass"]

[[departments.support.tools]]
name = "eye"
handler = "small.py:eye"
backup = "glass"
[[departments.support.tools]]
name = "glass"
handler = "small.py:glass"
quality = "it sees less"

[[departments.support.contracts]]
name = "look"
about = "Look at an order"
served_by = "looker"
may_ask = ["client"]
request = { order = "int" }
reply = { seen = "int" }
phrases = ["look at {order}"]
backups = ["spare.look"]
"""
DEPARTMENT = """
[departments.NAME]
charter = "Looks, too."

[[departments.NAME.agents]]
name = "looker"
rank = "operator"
charter = "Looks."
skills = ["glances"]
handler = "small.py:HANDLER"

[[departments.NAME.contracts]]
name = "look"
about = "Look at an order"
served_by = "looker"
may_ask = ["client", "support"]
request = { order = "int" }
reply = { seen = "int" }
BACKUPS
"""
CODE = """

def eye(files):
    raise ValueError("dust")


def glass(files):
    return "dimly"


async def blind(ctx, task):
    if task.contract == "support.look":
        await ctx.tool("eye")
    raise ValueError("nothing to be seen")


async def seeing(ctx, task):
    return Answer("Seen.", {"seen": task.input["order"]})


async def desk(ctx, task):
    reply = await ctx.ask("second.look", order=task.input["order"])
    return Answer("Refunded.", {"refund": reply.value["seen"]})
"""


def department(name: str, handler: str, backups: str = "") -> str:
    """One that offers `look`."""
    return DEPARTMENT.replace("NAME", name).replace("HANDLER", handler).replace("BACKUPS", backups)


def test_who_stands_in_is_on_record(tmp_path: Path) -> None:
    """For the client and for a department that asks; `mai fallback` tells it, `mai verify --deep` finds nothing."""
    more = department("spare", "seeing") + department("second", "blind", 'backups = ["spare.look"]')
    daemon = Daemon(tmp_path, ORGANISATION + SPARE + more)
    (daemon.file.parent / "small.py").write_text(HANDLERS + CODE)
    try:
        daemon.up()
        for order in range(1, 6):
            assert daemon.ask(f"Look at {order}", f"a{order}")["state"] == "answered"
            assert daemon.ask(f"Refund order {order}", f"b{order}")["parts"][0]["answer"]
        found = json.loads(daemon.mai("fallback", "acme", "--json").stdout)["fallbacks"]
        assert {(one["what"], one["name"], *one["to"], one["switches"]) for one in found} == {
            ("contract", "support.look", "spare.look", 5),
            ("contract", "second.look", "spare.look", 5),
            ("tool", "eye", "glass", 5),
        }
        assert all(one["returned_ms"] is None and one["evidence"] for one in found)
        said = daemon.mai("fallback", "--open").stdout
        assert "support.look → spare.look  5 times, not back" in said and "tool eye → glass  5 times, not back" in said
        assert "the tool eye failed: ValueError: dust" in said and "given up: it sees less" in said
        until(lambda: not daemon.mai("verify", "--deep").returncode, "all is at rest")
        assert "nobody stands in" in daemon.mai("fallback", "acme/spare").stdout
    finally:
        daemon.mai("down")
