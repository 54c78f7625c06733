"""`mai owed`: who owes whom what, and by when, read from the ledgers of the processes; also of those that do not run.

`TABLE` has one line for each kind of thing that may be open: the noun of its rows of state, whose ledgers hold it, and a small
function that says of one row who owes it to whom. A new kind is one more line. What has no owner or no deadline is a finding of
`mai verify --deep`: nothing is ever parked so.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from mai.daemon.reader import chosen, opened
from mai.daemon.witness import Finding
from mai.sandbox.place import Place

PERSON: Final = "person"
SOON_MS: Final = 60_000  # what processes do about an order that names no time
LOOK_MS: Final = 86_400_000  # a person who is to look at something that waits for ever
WHAT_CHARS: Final = 160
ROWS: Final = "SELECT key, value FROM state WHERE noun = ?"
FINDING: Final = "somebody has to have it, and until some time: keep a copy of the state directory, and report it"


class Owed(msgspec.Struct, frozen=True):
    """One thing that is open."""

    kind: str
    id: str
    process: str  # in whose ledger it stands
    owner: str  # who has to do something
    to: str  # who waits
    what: str
    since_ms: int  # 0: not known
    due_ms: int


class Row(msgspec.Struct):
    """What the rows of state that are looked at have; each kind has some of it."""

    task: str = ""
    id: str = ""
    request: str = ""
    agent: str = ""
    asker: str = ""
    asking: str = ""
    sender: str = ""
    contract: str = ""
    service: str = ""
    text: str = ""
    process: str = ""
    to: Any = ""
    by: str = ""
    order: str = ""
    remedy: str = ""
    target: str = ""
    tool: str = ""
    key: str = ""
    state: str = ""
    thread: str = ""
    message: str = ""
    why: str = ""
    answered: bool = False
    deadline_ms: int = 0
    accepted_ms: int = 0
    since_ms: int = 0
    at_ms: int = 0
    due_ms: int = 0
    subject: str = ""
    attribute: str = ""
    owner: str = ""
    opened_ms: int = 0
    tasks: dict[str, str] = {}
    votes: Any = ()
    until_ms: int = 0
    last_ms: int = 0
    waiting: tuple[str, ...] = ()
    wanted: str = ""
    parts: list[Any] = []
    answers: dict[str, Any] = {}
    doubt: Any = None
    approval: Any = None
    name: str = ""
    one: Any = None
    body: Any = None
    work: Any = None


Says = Callable[[str, str, Row], Iterator[Owed]]  # process, key, row


def mai_of(process: str) -> str:
    """The Mai of the client whose process it is."""
    return f"{process.partition('/')[0]}/mai"


# -- at Mai
def request(process: str, key: str, row: Row) -> Iterator[Owed]:
    """A client waits for Mai, and she for each department that has not answered its part."""
    yield Owed("request", key, process, process, row.asker, row.text, row.accepted_ms, row.deadline_ms)
    client = process.partition("/")[0]
    for number, part in enumerate(row.parts, 1):
        if (task := f"{key}/{number}") not in row.answers:
            what = part.get("contract") or part.get("text", "")
            yield Owed("part", task, process, f"{client}/{part['department']}", process, what, row.accepted_ms, row.deadline_ms)


def passage(process: str, key: str, row: Row) -> Iterator[Owed]:
    """A department has asked another for a contract."""
    owner = f"{process.partition('/')[0]}/{row.contract.partition('.')[0]}"
    yield Owed("passage", key, process, owner, row.asking, row.contract, 0, row.deadline_ms)


def errand(process: str, key: str, row: Row) -> Iterator[Owed]:
    """An agent has asked a model, or uses a tool through Mai."""
    owner = f"{process.partition('/')[0]}/{row.service}"
    yield Owed("errand", key, process, owner, row.asking, f"a question to {row.service}", 0, row.deadline_ms)


def held(process: str, key: str, row: Row) -> Iterator[Owed]:
    """A task waits for a department that takes none now."""
    yield Owed("held task", key, process, str(row.to), process, "waits until its department takes tasks", 0, row.deadline_ms)


def doubt(process: str, key: str, row: Row) -> Iterator[Owed]:
    """Nobody knows whether an effect happened: a person has to say, also after its task has ended."""
    of = row.doubt
    yield Owed(
        "effect in doubt", key, process, PERSON, of["agent"], of["tool"], row.at_ms, of["deadline_ms"] or row.at_ms + LOOK_MS
    )


def approval(process: str, key: str, row: Row) -> Iterator[Owed]:
    """A call waits for persons."""
    of = row.approval
    owner = f"{PERSON} ({of['approvers']})"
    yield Owed("approval", key, process, owner, of["agent"], f"{of['call']} {of['name']}", of["at_ms"], of["expires_ms"])


def ask(process: str, key: str, row: Row) -> Iterator[Owed]:
    """What the client asks for waits for the board of who serves it; what waits for persons is an approval, too."""
    if (of := row.one).get("at", "board") == "board":
        client, until_ms = process.partition("/")[0], of["at_ms"] + (of["expires_ms"] - of["at_ms"]) // 2
        owner = f"{client}/{row.name.partition('.')[0]}"
        yield Owed("approval", of["id"], process, owner, f"{client}/client", f"ask {row.name}", of["at_ms"], until_ms)


def escalation(process: str, key: str, row: Row) -> Iterator[Owed]:
    """What nobody in the company could do waits for a person."""
    if not row.state:
        plea = row.body["plea"]
        yield Owed("escalation", key, process, PERSON, plea["agent"], plea["reason"], row.at_ms, row.due_ms)


def conflict(process: str, key: str, row: Row) -> Iterator[Owed]:
    """Claims contradict each other: each board that has not voted, or a person, has to say which stands."""
    what = f"{row.subject} {row.attribute}: which claim stands"
    owners = [PERSON] if row.owner == PERSON else [one for one in row.tasks.values() if one not in row.votes]
    for owner in owners if row.owner else ():
        whose = owner if owner == PERSON else f"{process.partition('/')[0]}/{owner}"
        yield Owed("case", key, process, whose, process, what, row.opened_ms, row.deadline_ms)


def cancellation(process: str, key: str, row: Row) -> Iterator[Owed]:
    """A request is being cancelled; some processes have not said so yet."""
    for one in row.to or ():
        if one not in row.answers:
            yield Owed("cancellation", key, process, one, row.by, f"stops {key}", row.at_ms, row.at_ms + SOON_MS)


def release(process: str, key: str, row: Row) -> Iterator[Owed]:
    """A task is to leave quarantine."""
    if not row.answered:
        at_ms = int(row.order[:11], 16) if all(one in "0123456789abcdef" for one in row.order[:11]) and row.order else 0
        yield Owed("release", key, process, row.process, row.by, f"lets {row.task} out of quarantine", at_ms, at_ms + SOON_MS)


def remedy(process: str, key: str, row: Row) -> Iterator[Owed]:
    """An agent has asked for a remedy."""
    yield Owed("remedy", key, process, "watchdog", row.agent, f"{row.remedy} {row.target}", 0, row.deadline_ms)


def letter(process: str, key: str, row: Row) -> Iterator[Owed]:
    """Something is to leave on a channel."""
    due_ms = (row.due_ms or row.at_ms) + SOON_MS
    yield Owed("channel message", row.message or key, process, process, row.thread, row.text, row.at_ms, due_ms)


def behind(process: str, key: str, row: Row) -> Iterator[Owed]:
    """Messages of a conversation that wait for the end of the one before."""
    due_ms = row.until_ms or row.last_ms + LOOK_MS
    for number, message in enumerate(row.waiting, 1):
        yield Owed("message", message, process, process, key, f"its turn, as number {number}", row.last_ms, due_ms)


# -- in a department
def task(process: str, key: str, row: Row) -> Iterator[Owed]:
    """An agent has a task."""
    to = mai_of(process) if row.sender == "mai" else f"{process}/{row.sender}"
    yield Owed("task", key, process, f"{process}/{row.agent}", to, row.contract or row.text, row.since_ms, row.deadline_ms)


def parked(process: str, key: str, row: Row) -> Iterator[Owed]:
    """A task waits until somebody is on: for the next shift, or for a person who lets one come back."""
    owner, due_ms = (f"{process}/{row.wanted}", row.until_ms) if row.until_ms else (PERSON, row.deadline_ms)
    yield Owed("shift", key, process, owner, process, f"waits until somebody is on for {row.wanted}", row.at_ms, due_ms)


def quarantined(process: str, key: str, row: Row) -> Iterator[Owed]:
    """A task that killed its process: a person has to look."""
    agent = f"{process}/{row.work['agent']}"
    yield Owed("quarantine", key, process, PERSON, agent, "run it again, or drop it", row.at_ms, row.at_ms + LOOK_MS)


class Kind(NamedTuple):
    """The rows of one noun, in the ledgers of Mai or of the departments."""

    noun: str
    mai: bool
    says: Says


TABLE: Final = (
    Kind("request", True, request),
    Kind("passage", True, passage),
    Kind("errand", True, errand),
    Kind("waiting", True, held),
    Kind("doubt", True, doubt),
    Kind("approval", True, approval),
    Kind("ask", True, ask),
    Kind("escalation", True, escalation),
    Kind("conflict", True, conflict),
    Kind("cancel", True, cancellation),
    Kind("release", True, release),
    Kind("remedy", True, remedy),
    Kind("carry", True, letter),
    Kind("thread", True, behind),
    Kind("task", False, task),
    Kind("parked", False, parked),
    Kind("quarantine", False, quarantined),
)
_decode = msgspec.json.Decoder(Row).decode


def owed(place: Place, what: str | None = None) -> list[Owed]:
    """All that is open, of one client or process or of all; what is due first comes first. Raises NotFound, LedgerFault."""
    return sorted(
        (one for found in _of(place, chosen(place, what)) for one in found), key=lambda one: (one.due_ms, one.process, one.id)
    )


def _of(place: Place, processes: Sequence[str]) -> Iterator[Iterator[Owed]]:
    for reader in opened(place, [process for process in processes if "/" in process]):
        mai = reader.process.endswith("/mai")
        for kind in TABLE:
            if kind.mai == mai:
                for key, value in reader.plain(ROWS, kind.noun):
                    yield kind.says(reader.process, key, _decode(value))


def ownerless(found: Sequence[Owed]) -> list[Finding]:
    """What is parked without an owner or a deadline."""
    return [
        Finding(one.process, 0, f"the {one.kind} {one.id} has {'no deadline' if one.owner else 'no owner'}", FINDING, "owed")
        for one in found
        if not one.owner or one.due_ms <= 0
    ]


def late(found: Sequence[Owed], at_ms: int = 0) -> list[Owed]:
    """Those whose time is over."""
    at_ms = at_ms or time.time_ns() // 1_000_000
    return [one for one in found if one.due_ms <= at_ms]


def text_of(one: Owed) -> str:
    """What is owed, for a line."""
    return one.what if len(one.what) <= WHAT_CHARS else one.what[:WHAT_CHARS] + "…"
