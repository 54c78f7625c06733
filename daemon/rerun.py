"""`mai replay --run`: a decision made once more in a scratch process, without effects, to see what would have come out.

What the process needs is read from the ledgers here and given to it; it runs in a cell (sandbox/cell.py): a directory that is
removed afterwards, the organisation's code to read, no socket. Nothing is written to the company's state.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from mai.agents import cells, check
from mai.agents.events import Hopped
from mai.agents.organisation import Mandate, Organisation, mandate
from mai.agents.sealing import Sealed
from mai.daemon.decisions import name_of, one
from mai.daemon.reader import Reader
from mai.daemon.replaying import addresses
from mai.daemon.rerun_case import Case, Entry, Outcome
from mai.sandbox.cell import Cell
from mai.sandbox.errors import LedgerFault, MaiError, UsageFault
from mai.sandbox.place import Place

PATIENCE_S: Final = 120.0
MOST: Final = 20_000  # records of a request in one ledger

Answer = TypeVar("Answer")


class Wanted(NamedTuple):
    """What is asked for."""

    file: Path  # the organisation
    policy: Path | None = None  # an organisation whose policies are to hold instead
    edit: dict[str, Any] | None = None  # what is to be otherwise in what the decision answers


class Rerun(msgspec.Struct, frozen=True):
    """The decision, and what would have come out."""

    decision: str
    what: str
    agent: str
    outcome: Outcome


def rerun(place: Place, what: str, wanted: Wanted) -> Rerun:
    """Make one decision once more. Raises NotFound, MaiError."""
    process, sealed, seq = one(place, what)
    organisation = check.load(wanted.file)
    told, more = _mandates(process, organisation, wanted)
    with closing(Reader(place, process)) as reader:
        case = gather(reader, sealed, told, more)
        notes = _other_organisation(reader, sealed, organisation)
    if wanted.edit is not None:
        case = edited(case, wanted.edit)
    with tempfile.TemporaryDirectory(prefix="mai-") as room:
        outcome = in_cell(case, Path(room), organisation)
    outcome = msgspec.structs.replace(outcome, notes=(*notes, *outcome.notes))
    return Rerun(name_of(process, seq), sealed.what, sealed.agent, outcome)


def read_edit(path: str) -> dict[str, Any]:
    """What a file says is to be otherwise. Raises UsageFault."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageFault(f"{path} holds no JSON object: {error}", 'such as {"input": {"order": 7}}') from None


def _mandates(process: str, organisation: Organisation, wanted: Wanted) -> tuple[Mandate, Mandate | None]:
    client, _, department = process.partition("/")
    if client not in organisation.clients:
        organisation = msgspec.structs.replace(organisation, clients=(*organisation.clients, client))
    if department != "mai" and organisation.department(department) is None:
        raise UsageFault(f"{wanted.file} has no department {department}", "name the organisation with --organisation FILE")
    told = mandate(organisation, client, department)
    if wanted.policy is None:
        return told, None
    other = check.load(wanted.policy, code=False)
    named = {one_.name: one_ for one_ in other.departments}
    departments = tuple(
        msgspec.structs.replace(own, policies=named[own.name].policies if own.name in named else ())
        for own in organisation.departments
    )
    changed = msgspec.structs.replace(organisation, policies=other.policies, departments=departments)
    return told, mandate(changed, client, department)


def gather(reader: Reader, sealed: Sealed, told: Mandate, other: Mandate | None) -> Case:
    """What the scratch process needs to know. Raises LedgerFault, UsageFault."""
    entries = tuple(_entries(reader, sealed.request))
    decided = next((entry for entry in entries if entry.seq == sealed.record), None)
    if decided is None:
        raise LedgerFault(f"record {sealed.record}, the decision, is missing", "run `mai verify`")
    named = dict.fromkeys(address for entry in entries for address in addresses(entry.body))
    found = [data for address in named if (data := reader.blob(address)) is not None]
    texts = tuple(data.decode() for data in found if _is_text(data))
    return Case(reader.process, sealed.task, decided, entries, texts, told, other, sealed.code)


def _entries(reader: Reader, request: str) -> Iterator[Entry]:
    for count, record in enumerate(reader.of_request(request)):
        if count == MOST:  # with some of them left out something else would come out
            raise UsageFault(
                f"it cannot be made once more: its request has more than {MOST:,} records", "mai replay shows what it rests on"
            )
        try:
            body = msgspec.json.decode(reader.body(record), type=dict[str, Any])
        except LedgerFault as fault:
            raise LedgerFault(f"it cannot be made once more: {fault.sentence}", "mai replay says what is left of it") from None
        yield Entry(record.seq, record.at_ns, record.kind, record.task, body)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _other_organisation(reader: Reader, sealed: Sealed, organisation: Organisation) -> tuple[str, ...]:
    """That the organisation is not the one of then."""
    record = reader.record(sealed.life)
    then = msgspec.json.decode(reader.body(record), type=dict[str, Any]).get("organisation", "") if record else ""
    return (f"the organisation is another: {then} then, {organisation.digest} now",) if then != organisation.digest else ()


def edited(case: Case, change: dict[str, Any]) -> Case:
    """The case with something else in what brought the task, or the request. Raises UsageFault."""
    first = next((entry for entry in case.entries if entry.kind == Hopped.kind and entry.task == case.task), case.entries[0])
    if unknown := change.keys() - first.body.keys():
        raise UsageFault(f"record {first.seq} ({first.kind}) says nothing of {', '.join(sorted(unknown))}", _hint(first))
    body = {**first.body}
    for name, value in change.items():
        both = isinstance(body[name], dict) and isinstance(value, dict)
        body[name] = {**body[name], **value} if both else value
    other = msgspec.structs.replace(first, body=body)
    return msgspec.structs.replace(case, entries=tuple(other if entry is first else entry for entry in case.entries))


def _hint(first: Entry) -> str:
    return f"it says: {', '.join(sorted(first.body))}"


def in_cell(case: Case, room: Path, organisation: Organisation) -> Outcome:
    """Run the scratch process. Raises MaiError."""
    cell = Cell(room, runs=(Path(organisation.base), *code()))
    late = MaiError(f"it has not ended within {PATIENCE_S:g} s", "its code runs without end?")
    return scratch(("mai.daemon.rerunning", str(room)), case, Outcome, cell=cell, room=room, patience_s=PATIENCE_S, late=late)


def code() -> list[str]:
    """The directories of ours that a scratch process may read."""
    return [*cells.ours(), str(Path(__file__).parent)]


def scratch(
    words: tuple[str, ...], told: object, answer: type[Answer], *, cell: Cell, room: Path, patience_s: float, late: MaiError,
    env: tuple[str, ...] = (),
) -> Answer:  # fmt: skip
    """What a module of ours answers in a process of its own in a cell, which is closed then.

    `words`: the module and its arguments. It is `told` as msgpack on standard input, and answers as JSON; `env`: the variables of
    ours that it has besides. Raises MaiError; `late` if it has no end.
    """
    parent = os.getpid()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", *words], input=msgspec.msgpack.encode(told), cwd=room,
            env={**_environment(*env), **cell.environment}, stdout=subprocess.PIPE, timeout=patience_s, check=False,
            preexec_fn=lambda: cell.enter(parent),  # a few system calls, prepared before
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise late from None
    finally:
        cell.close()
    try:
        return msgspec.json.decode(done.stdout, type=answer)
    except msgspec.MsgspecError:
        raise MaiError(f"the scratch process ended with status {done.returncode}", "its output is above") from None


def _environment(*more: str) -> dict[str, str]:
    """Nothing of ours but where to find Python's packages, and what is named."""
    kept = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "VIRTUAL_ENV", *more)
    return {name: os.environ[name] for name in kept if name in os.environ}
