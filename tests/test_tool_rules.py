"""What `mai check` says of tools and servers: each mistake is one fault, with its line and what would be right."""

from pathlib import Path

import pytest

from mai.agents.check import load
from mai.agents.faults import Faulty

FILE = """
[organisation]
clients = ["acme"]

[departments.support]
charter = "Helps."

[[departments.support.agents]]
name = "desk"
rank = "specialist"
handler = "code.py:desk"
tools = ["act"]

[[departments.support.policies]]
name = "acts"
verdict = "allow"
tools = ["act"]

[[departments.support.servers]]
name = "files"
command = ["sh", "server.sh"]

[[departments.support.tools]]
name = "act"
"""
CODE = """
import datetime
from typing import Annotated, Literal, Optional

async def desk(ctx, task): ...

class Order: ...

def good(files, a: int, b: "Optional[datetime.date]", c: Annotated[str, "words that are no names"], d: Literal["x y"] | None,
         e: list[Order], *, key: "whatever"): ...

def asked(files, key): ...

def other(files, a: int): ...

def strange(files, size: complex): ...

def unknown(files, size: list["Sise"]): ...

def multiline(
    files,
    a: int,
    b: Nonesuch = 3,
): ...

def back(files, undoes, input, value, *, key): ...

def short(files, undoes, input): ...
"""
UNDONE = 'command = ["sh"]\neffect = "opaque"\nundo = "back"\n[[departments.support.tools]]\nname = "back"\n'
GOOD = (
    'handler = "code.py:good"',
    'handler = "code.py:good"\nhosts = ["api.example.com", "[::1]:443"]\ntimeout_s = 600',
    'command = ["sh", "-c", "true"]\ntimeout_s = 86400\ninput = { a = "int" }',
    'server = "files"\ntool = "read-file"\ntimeout_s = 60',
    UNDONE + 'handler = "code.py:back"\neffect = "opaque"',
    UNDONE + 'command = ["sh"]\neffect = "idempotent"\ninput = { undoes = "str", input = { a = "int" }, value = "any" }',
    UNDONE + 'server = "files"\neffect = "idempotent"',
    'handler = "code.py:good"\neffect = "queryable"\nasked_by = "code.py:asked"',
    'command = ["sh", "-c", "true"]\neffect = "queryable"\nasked_by = ["sh", "asked.sh"]',
    'server = "files"\neffect = "queryable"\nasked_by = "was_done"',
)
BAD = (
    ("", "the tool act of support has neither a handler nor a command nor a server", "expected one of handler"),
    ('handler = "code.py:good"\ncommand = ["sh"]', "has both a handler and a command", "expected one of"),
    ('command = ["sh"]\nserver = "files"', "has both a command and a server", "expected one of"),
    ('command = ["nonesuch-program"]', "there is no program 'nonesuch-program'", "is it installed"),
    ('server = "fils"', "is at the server 'fils', which support has not", "did you mean files?"),
    ('handler = "code.py:good"\ntool = "x"', "has the key tool and no server", "leave it out"),
    ('handler = "code.py:good"\ntimeout_s = 9', "may take 9 s", "no heartbeat for 5 s"),
    ('command = ["sh"]\nhosts = ["a.example"]', "has hosts and is no function", "inside a Python process"),
    ('server = "files"\nhosts = ["a.example"]', "has hosts and is no function", "inside a Python process"),
    ('handler = "code.py:good"\nhosts = ["https://a.example"]', "'https://a.example' is no host", "no address of a page"),
    ('handler = "code.py:good"\nhosts = ["a.example", "a.example"]', "lists the host a.example twice", "once is enough"),
    ('command = ["sh"]\ninput = { a = "number" }', "input.a: 'number' is no type", "the types are"),
    ('command = ["sh"]\nundo = "act"', "the tool act of support has an undo and no effect", "there is nothing to undo"),
    ('command = ["sh"]\neffect = "opaque"\nundo = "akt"', "is undone by 'akt', which support has not", "did you mean act?"),
    (UNDONE + 'handler = "code.py:back"', "is undone by back, which has no effect", "give back an effect"),
    (UNDONE + 'handler = "code.py:back"\nhosts = ["a.b"]\neffect = "opaque"', "which has hosts", "for a request that has ended"),
    (
        UNDONE + 'handler = "code.py:short"\neffect = "opaque"',
        "is undone by back, which does not take value",
        "it is called with",
    ),
    (
        UNDONE + 'command = ["sh"]\neffect = "opaque"\ninput = { undoes = "str" }',
        "which does not take input",
        "it is called with",
    ),
    ('handler = "code.py:good"\neffect = "queryable"', "is queryable and does not say how it is asked", 'asked_by = "file.py:'),
    ('command = ["sh"]\neffect = "queryable"', "is queryable and does not say how it is asked", 'asked_by = ["program"'),
    ('server = "files"\neffect = "queryable"', "is queryable and does not say how it is asked", "another tool of the server"),
    ('handler = "code.py:good"\nasked_by = "code.py:asked"', "has asked_by and is none", 'effect = "queryable", or leave'),
    ('command = ["sh"]\neffect = "queryable"\nasked_by = "a.py:b"', "a command is not asked in this way", "MAI_KEY"),
    ('handler = "code.py:good"\neffect = "queryable"\nasked_by = ["sh"]', "a handler is not asked in this way", "file.py"),
    ('handler = "code.py:good"\neffect = "queryable"\nasked_by = "code.py:askd"', "code.py has no function askd", "asked?"),
    ('handler = "code.py:good"\neffect = "queryable"\nasked_by = "code.py:good"', "is asked by itself", "only looks"),
    ('server = "files"\neffect = "queryable"\nasked_by = "act"', "is asked by itself", "only looks"),
    ('handler = "code.py:good"\neffect = "queryable"\nasked_by = "code.py:desk"', "desk is a coroutine function", "(files, key)"),
    ('handler = "code.py:other"\neffect = "queryable"\nasked_by = "code.py:asked"', "a key that its function", "*, key"),
    ('command = ["sh"]\neffect = "queryable"\nasked_by = ["nonesuch"]', "there is no program 'nonesuch'", "is it installed"),
    ('handler = "code.py:good"\neffect = "queryable"\nasked_by = 5', "asked_by is 5, expected", ""),
    ('handler = "code.py:strange"', "code.py:16: the parameter size of strange is annotated with complex", "values of JSON"),
    ('handler = "code.py:unknown"', "code.py:18: the parameter size of unknown is annotated with Sise", "values of JSON"),
    ('handler = "code.py:multiline"', "code.py:23: the parameter b of multiline is annotated with Nonesuch", "values of JSON"),
)


def write(base: Path, tool: str, file: str = FILE) -> Path:
    """The organisation file with this tool, and what it names."""
    (base / "code.py").write_text(CODE)
    (base / "org.toml").write_text(f"{file}{tool}\n")
    return base / "org.toml"


@pytest.mark.parametrize("tool", GOOD)
def test_a_sound_tool(tmp_path: Path, tool: str) -> None:
    """Of each kind."""
    assert load(write(tmp_path, tool)).departments[0].tools[0].name == "act"


@pytest.mark.parametrize(("tool", "sentence", "hint"), BAD)
def test_a_faulty_tool(tmp_path: Path, tool: str, sentence: str, hint: str) -> None:
    """One fault, and a hint."""
    with pytest.raises(Faulty) as caught:
        load(write(tmp_path, tool))
    (fault,) = caught.value.faults
    assert sentence in fault.sentence and hint in fault.hint


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('["sh", "server.sh"]', '["nonesuch-program"]', "the server files of support: there is no program"),
        ('["sh", "server.sh"]', "[]", "the server files of support has an empty command"),
        (
            "[[departments.support.tools]]",
            '[[departments.support.servers]]\nname = "files"\ncommand = ["sh"]\n[[departments.support.tools]]',
            "support has two servers named files",
        ),
    ],
)
def test_a_faulty_server(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    """Its program exists, its name is its own."""
    with pytest.raises(Faulty) as caught:
        load(write(tmp_path, 'server = "files"', FILE.replace(old, new)))
    (fault,) = caught.value.faults
    assert sentence in fault.sentence
