"""A secret of one department in a real daemon: whatever its agents do with it, no file but those of its own process has it."""

from pathlib import Path

import pytest

from tests.small import Daemon

SECRET = "7654321"
ORGANISATION = """
[organisation]
name = "Kept"
clients = ["acme"]

[departments.people]
charter = "Employees."
shows = "nothing"
memory = { client = { write = ["pay"] } }

[departments.people.leaves]
withheld = ["salary"]

[[departments.people.agents]]
name = "clerk"
rank = "operator"
handler = "kept.py:clerk"
tools = ["look_up"]

[[departments.people.tools]]
name = "look_up"
handler = "kept.py:look_up"

[[departments.people.contracts]]
name = "who"
about = "Who somebody is"
served_by = "clerk"
may_ask = ["client", "finance"]
subject = "employee"
bound = ["finance"]
request = { employee = "int", how = "str" }
reply = { name = "str", more = "any?" }
phrases = ["who is employee {employee} by {how}"]

[departments.finance]
charter = "Money."

[[departments.finance.agents]]
name = "desk"
rank = "operator"
handler = "kept.py:desk"
skills = ["paying"]

[[departments.finance.contracts]]
name = "ask"
about = "Ask people"
served_by = "desk"
may_ask = ["client"]
request = { employee = "int", how = "str" }
reply = { came = "str" }
phrases = ["ask people of employee {employee} by {how}"]
"""
HANDLERS = '''
from mai.agents.context import Answer, Refusal


def look_up(files, employee: int) -> dict:
    """Who it is, and what he earns."""
    return {"name": "Ann", "salary": SECRET}


async def clerk(ctx, task):
    """Says too much, in the way that it is asked for; `once` and `told` only until it is told so."""
    seen = await ctx.tool("look_up", employee=task.input["employee"])
    how, salary, fine = task.input["how"], seen["salary"], {"name": seen["name"]}
    if task.correction and how in ("once", "told"):
        return Answer("", fine | ({"more": task.correction} if how == "told" else {}))
    match how:
        case "field" | "once" | "told":
            return Answer("", {**fine, f"salary_{salary}": salary})
        case "inside":
            return Answer("", {**fine, "more": [{"deep": {"salary": 5}}]})
        case "text":
            return Answer(f"She earns {salary:,} a year.", fine)
        case "value":
            return Answer("", {**fine, "more": [str(salary)]})
        case "refusal":
            raise Refusal(f"I will not tell that it is {salary}")
        case "error":
            raise ValueError(f"no such thing as {salary}")
        case "memory":
            await ctx.remember("pay", {"salary": salary}, "client")
    return Answer("Here you are.", fine)


async def desk(ctx, task):
    """Asks people, and tells what came of it."""
    try:
        reply = await ctx.ask("people.who", employee=int(task.text.split()[4]), how=task.input["how"])
    except Refusal as refusal:
        return {"came": f"{refusal.state}: {refusal}"}
    return {"came": f"{reply.value} {reply.text!r} {reply.by}"}
'''
WITHHELD = "people withholds its reply, which does not keep to its contract people.who"
TOLD = (
    "your reply did not leave people: it has a field that people.who does not name; "
    "allowed are the fields name, more.*, but never salary"
)


@pytest.mark.seconds(180)
def test_what_a_department_withholds_is_in_no_file_but_its_own(state: Path) -> None:
    """By a field, a text, another name, a refusal, an error, the client's memory: who asks is told that it is withheld.

    A corrected reply arrives. Nobody's disk, log or answer has the number, but for the department's own.
    """
    daemon = Daemon(state, ORGANISATION)
    (daemon.file.parent / "kept.py").write_text(HANDLERS.replace("SECRET", SECRET))
    came = {}
    try:
        daemon.up()
        for how in ("field", "inside", "text", "value", "refusal", "error", "memory", "once", "told", "well"):
            asked = daemon.ask(f"ask people of employee 7 by {how}", f"d-{how}")
            client = daemon.ask(f"who is employee 7 by {how}", f"c-{how}")
            came[how] = asked["parts"][0]["value"]["came"], client["state"]
            assert SECRET not in f"{asked} {client}" and f"{int(SECRET):,}" not in f"{asked} {client}", how
        strange = daemon.mai("ask", "acme", "ask people of employee 7 by well", "--id", "x", "--json")
        refused = daemon.mai("ask", "acme", "who is employee 7 by field")
        verified = daemon.mai("verify", "--deep")
    finally:
        daemon.mai("down")
    assert verified.returncode == 0, verified.stdout
    assert (refused.returncode, strange.returncode) == (4, 0) and WITHHELD in refused.stdout and "by people:" in refused.stdout
    for how in ("field", "inside", "text", "value", "refusal", "error"):
        assert came[how] == (f"refused: {WITHHELD}", "refused"), how
    assert came["memory"] == ("refused: people withholds salary", "refused")
    assert came["once"] == came["well"] == ("{'name': 'Ann'} '' acme/people", "answered")
    assert TOLD in came["told"][0] and came["told"][1] == "answered"
    own = (daemon.place.home("acme/people"), daemon.place.state / "log" / "acme.people.log", daemon.file.parent)
    kept = [path for path in state.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert kept and not [path for path in kept if not any(path.is_relative_to(one) for one in own)]
