"""The organisation of the storm: the reference organisation, and one department more whose agents fail when the script says so.

`trials` stands on a directory of switches, files that the script makes and removes:

    slow      the weigher takes a second for each task, which its backup, a table, does not
    sick      the weigher fails

    weigh 12      answered with a weight, by the weigher or by the table
    brief 12      answered in a model's words, or by the clerk who has none
    crush 12      kills the process of `press` which it has: poison
    press 12      a department that does nothing else, so that it can be killed again and again
"""

import shutil
from pathlib import Path
from typing import NamedTuple

from mai.agents import check
from mai.daemon.example import company

CLIENT = "acme"
VICTIM = "press"  # the department that is killed until it is given up
SWITCHES = ("slow", "sick")

MORE = """
# ---------------------------------------------------------------- what fails when the storm's script says so

[[models.providers]]
name = "first"
url = "FIRST"
silence_s = 5

[[models.providers]]
name = "second"
url = "SECOND"
silence_s = 5

[[models.models]]
name = "writer"
chain = [{ provider = "first", model = "large" }, { provider = "second", model = "small" }]
output_tokens = 50
call_s = 4
attempts = 1

[departments.trials]
charter = "Weighs and briefs."

[[departments.trials.agents]]
name = "weigher"
rank = "operator"
charter = "Weighs exactly."
skills = ["weighing"]
handler = "trials.py:weigher"
backups = ["table"]

[[departments.trials.agents]]
name = "table"
rank = "operator"
charter = "Knows weights from a table."
skills = ["weights"]
handler = "trials.py:table"

[[departments.trials.agents]]
name = "briefer"
rank = "specialist"
charter = "Briefs in a few words."
skills = ["briefs"]
handler = "trials.py:briefer"
model = "writer"

[[departments.trials.contracts]]
name = "weigh"
about = "Weigh something"
served_by = "weigher"
may_ask = ["client"]
request = { n = "int" }
reply = { grams = "int" }
phrases = ["weigh {n}"]

[[departments.trials.contracts]]
name = "brief"
about = "Brief on something"
served_by = "briefer"
may_ask = ["client"]
request = { n = "int" }
reply = { words = "int" }
phrases = ["brief {n}"]

[departments.press]
charter = "Presses."

[[departments.press.agents]]
name = "presser"
rank = "operator"
charter = "Presses."
skills = ["pressing"]
handler = "trials.py:presser"

[[departments.press.agents]]
name = "crusher"
rank = "operator"
charter = "Crushes, and its process with it."
skills = ["crushing"]
handler = "trials.py:crusher"

[[departments.press.contracts]]
name = "press"
about = "Press something"
served_by = "presser"
may_ask = ["client"]
request = { n = "int" }
reply = { n = "int" }
phrases = ["press {n}"]

[[departments.press.contracts]]
name = "crush"
about = "Crush something"
served_by = "crusher"
may_ask = ["client"]
request = { n = "int" }
reply = { n = "int" }
phrases = ["crush {n}"]
"""
HANDLERS = """
import os, pathlib, time
from mai.agents.context import Answer, Refusal

SWITCHES = pathlib.Path("DIRECTORY")


def on(name):
    return (SWITCHES / name).exists()


async def weigher(ctx, task):
    if on("slow"):
        time.sleep(1.0)
    if on("sick"):
        raise ValueError("the scales are broken")
    return Answer(f"{task.input['n']} weighs {task.input['n'] * 3} g.", {"grams": task.input["n"] * 3})


async def table(ctx, task):
    return Answer(f"{task.input['n']} weighs about {task.input['n'] * 3} g.", {"grams": task.input["n"] * 3})


async def briefer(ctx, task):
    reply = await ctx.model([{"role": "user", "content": f"A brief on {task.input['n']}."}])
    return Answer(reply.text, {"words": len(reply.text.split())})


async def presser(ctx, task):
    return Answer(f"{task.input['n']} is pressed.", {"n": task.input["n"]})


async def crusher(ctx, task):
    os.abort()
"""
PAGE = """#!/bin/sh
cat >>"FILE"
echo >>"FILE"
"""


class Storm(NamedTuple):
    """Where things lie."""

    file: Path  # of the organisation
    switches: Path
    pages: Path  # a line for each time that somebody was paged


def lay_out(directory: Path, first: str, second: str) -> Storm:
    """The organisation's files in a new directory. `first`, `second`: the providers' addresses."""
    shutil.copytree(company().parent, directory)
    storm = Storm(directory / "storm.toml", directory / "switches", directory / "pages")
    storm.switches.mkdir()
    storm.pages.touch()
    hook = directory / "page.sh"
    hook.write_text(PAGE.replace("FILE", str(storm.pages)))
    hook.chmod(0o755)
    (directory / "trials.py").write_text(HANDLERS.replace("DIRECTORY", str(storm.switches)))
    text = (directory / "company.toml").read_text() + MORE.replace("FIRST", first).replace("SECOND", second)
    storm.file.write_text(with_page(text, hook))
    return storm


def with_page(text: str, hook: Path) -> str:
    """The organisation, with a command that pages a person."""
    head = "[operations]\n"
    assert head in text, "the reference organisation heals itself"
    return text.replace(head, f'{head}page = ["{hook}"]\n')


def processes(file: Path) -> list[str]:
    """What the watchdog starts for it."""
    return check.load(file).processes()
