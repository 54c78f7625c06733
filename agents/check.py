"""Read an organisation file: complete and sound, or every fault of it at once. Runs in the supervisor, too: be quick."""

import hashlib
import os
import re
import stat
import tomllib
from typing import Any, Final

from msgspec.structs import replace

from mai.agents import carrying, decode, healing, rules, zones
from mai.agents.faults import Fault, Faulty, Findings
from mai.agents.organisation import Agent, Department, Organisation
from mai.agents.sources import Sources
from mai.sandbox.errors import UsageFault

LARGEST_BYTES: Final = 1 << 20  # of an organisation file; that of 100 agents has 50 thousand
BUILT_IN: Final = {
    "board": "Checks what its department answers, decides and signs.",
    "coordinator": "Gives each task to the worker whom it fits.",
}


def load(path: str | os.PathLike[str], code: bool = True) -> Organisation:
    """The organisation of a file, with its defaults filled in. Raises Faulty with all of its faults, or UsageFault.

    Half of the time goes into parsing the users' code; `code=False` leaves it unread, for who has just had it checked.
    """
    name = os.fspath(path)
    data = _read(name)
    text = _text(data, name)
    document = _parse(text, name)
    findings, base = Findings(), os.path.dirname(os.path.abspath(name))
    draft = decode.organisation(document, os.path.splitext(os.path.basename(name))[0], findings)
    rules.apply(rules.Scene(draft, findings, Sources(base, code)))
    if faults := findings.faults(name, text):
        raise Faulty(faults)
    draft = carrying.equipped(healing.equipped(draft))
    departments = tuple(_complete(department, draft.timezone) for department in draft.departments)
    return replace(draft, departments=departments, base=base, digest=digest_of(data), offsets=zones.offsets(draft.timezone))


def digest_of(data: bytes) -> str:
    """How an organisation file is named in journals: SHA-256 of its bytes, 16 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()[:16]


def _read(name: str) -> bytes:
    """The bytes of the file. Raises UsageFault."""
    hint = "name an organisation file, or set MAI_CONFIG"
    try:
        # Not to hang on a pipe that nobody writes to.
        with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageFault(f"{name} is no regular file", hint)
            data = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise UsageFault(f"there is no file {name}", hint) from None
    except (OSError, ValueError) as error:
        raise UsageFault(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}", hint) from None
    if len(data) > LARGEST_BYTES:
        raise UsageFault(f"{name} is larger than {LARGEST_BYTES >> 20} MiB, which no organisation file is", hint)
    return data


def _text(data: bytes, name: str) -> str:
    """The file as a text. Raises Faulty."""
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Faulty([Fault(name, line, f"byte {error.start} is no text in UTF-8", "an organisation file is TOML")]) from None


def _parse(text: str, name: str) -> dict[str, Any]:
    """The file as TOML. Raises Faulty."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(
            r"(?P<what>.*?)(?: \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\))?", str(error), re.S
        )
        assert found is not None  # it matches every text
        line = int(found["line"] or text.rstrip().count("\n") + 1)
        place = f" at column {found['column']}" if found["column"] else " at the end of the file"
        raise Faulty([Fault(name, line, f"not TOML: {found['what']}{place}", "texts stand in quotes, tables in [ ]")]) from None
    except (RecursionError, ValueError) as error:
        what = "lists or tables too deep in each other" if isinstance(error, RecursionError) else "a number with too many digits"
        raise Faulty([Fault(name, 1, f"no organisation file: {what}")]) from None


def _complete(department: Department, timezone: str) -> Department:
    """The department with a board, a coordinator, and a coordinator for each worker."""
    agents = list(department.agents)
    for rank in rules.BUILT_IN:
        if not any(agent.rank == rank for agent in agents):
            agents.append(Agent(name=rank, rank=rank, charter=BUILT_IN[rank]))
    first = next(agent.name for agent in agents if agent.rank == "coordinator")
    calendar = tuple(replace(one, offsets=zones.offsets(one.timezone or timezone)) for one in department.shifts)
    return replace(department, agents=tuple(_placed(agent, first) for agent in agents), shifts=calendar)


def _placed(agent: Agent, coordinator: str) -> Agent:
    if agent.rank in rules.WORKERS and not agent.reports_to:
        return replace(agent, reports_to=coordinator)
    return agent
