"""What Mai remembers of incidents and remedies: a case for each process, an order for each remedy that is under way. Pure."""

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec
from msgspec import field

from mai.agents.body import Fields
from mai.agents.events import Event, register

if TYPE_CHECKING:
    from mai.daemon.desk import MaiState
    from mai.daemon.told import WatchdogTold

INCIDENTS: Final = ("death", "hung", "stuck", "bloated", "failed", "breach")  # that open a case, the gravest last but breach
CASES: Final = 20  # open at once
RECENT: Final = 10  # incidents of a process that are kept
AGAIN: Final = 3  # deaths in a short time that are more than an accident
SETTLED: Final = 2  # the level of what goes on by itself no more
TRIED_MS: Final = 600_000  # a remedy that was used so lately is not used again
GRAVE: Final = ("failed", "breach", "bloated", "stuck", "hung", "death")


class Case(msgspec.Struct):
    """The incidents of one process, and the last request about them."""

    process: str
    request: str = ""
    opened_ms: int = 0
    level: int = 0
    seq: int = 0  # the watchdog's record that opened it
    recent: tuple[Fields, ...] = ()  # {"seq", "at_ms", "what", "text", "task", "bound"}, the last ones
    tried: tuple[Fields, ...] = ()  # {"at_ms", "remedy"}, the last ones


class RemedyOrder(msgspec.Struct):
    """A remedy that Mai has let pass, until the watchdog has said what became of it."""

    id: str
    request: str
    asking: str  # the process
    agent: str  # an address
    remedy: str
    target: str
    given: Fields
    why: str
    deadline_ms: int


class Healing:
    """All of both."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self.orders: dict[str, RemedyOrder] = {}


class IncidentOpened(Event, frozen=True, kw_only=True):
    """Mai has something healed: a request of her own."""

    kind: ClassVar[str] = "incident.opened"
    request: str
    process: str
    what: str
    text: str
    level: int  # 0 once, 1 again and again, 2 given up
    at_ms: int
    seq: int  # the watchdog's record that opened it


class RemedyChecked(Event, frozen=True, kw_only=True):
    """Mai's verdict on a remedy; if it is allowed, the watchdog is asked for it."""

    kind: ClassVar[str] = "remedy.checked"
    request: str
    task: str  # the id
    agent: str
    asking: str  # the process
    remedy: str
    target: str
    given: Fields = field(default_factory=dict)
    why: str
    allowed: bool
    rule: str
    deadline_ms: int


class RemedyEnded(Event, frozen=True, kw_only=True):
    """What the watchdog has made of it: done, refused, or nothing until the deadline."""

    kind: ClassVar[str] = "remedy.ended"
    request: str
    task: str
    state: str  # done, refused, expired
    text: str = ""


register(IncidentOpened, RemedyChecked, RemedyEnded)


def lately(recent: tuple[Fields, ...], after_ms: int) -> tuple[Fields, ...]:
    """Those since then."""
    return tuple(one for one in recent if one["at_ms"] > after_ms)


def level(recent: tuple[Fields, ...]) -> int:
    """How grave they are together: 0 an accident, 1 again and again or of its own kind, 2 given up."""
    kinds = [one["what"] for one in recent]
    if "failed" in kinds:
        return SETTLED
    return int(kinds.count("death") >= AGAIN or any(kind in ("stuck", "bloated", "breach") for kind in kinds))


def grave(recent: tuple[Fields, ...]) -> Fields:
    """The gravest of them, the last of its kind."""
    return min(reversed(recent), key=lambda one: GRAVE.index(one["what"]))


def guilty(recent: tuple[Fields, ...]) -> tuple[str, int]:
    """The task that was at work at most of the deaths, and at how many; ("", 0) if none was."""
    tasks = [str(one["task"]) for one in recent if one["what"] == "death" and one.get("task")]
    return max(((task, tasks.count(task)) for task in tasks), key=lambda one: one[1], default=("", 0))


def tried(case: Case, now_ms: int) -> list[str]:
    """Remedies that were used on it lately, each once."""
    return list(dict.fromkeys(str(one["remedy"]) for one in case.tried if one["at_ms"] > now_ms - TRIED_MS))


# -- evolve
def fold(state: "MaiState", event: IncidentOpened | RemedyChecked | RemedyEnded) -> None:
    """Fold one fact."""
    healing = state.healing
    match event:
        case IncidentOpened():
            case = healing.cases.setdefault(event.process, Case(event.process))
            case.request, case.opened_ms, case.level = event.request, event.at_ms, event.level
            case.seq = event.seq
            state.changed("case", event.process, case)
        case RemedyChecked(allowed=True):
            order = RemedyOrder(
                event.task, event.request, event.asking, event.agent, event.remedy, event.target, event.given, event.why,
                event.deadline_ms,
            )  # fmt: skip
            healing.orders[event.task] = order
            state.changed("remedy", event.task, order)
        case RemedyEnded(task=task) if task in healing.orders:
            del healing.orders[task]
            state.changed("remedy", task, None)


def note(state: "MaiState", event: "WatchdogTold") -> None:
    """Count what the watchdog tells: incidents of a process, and what was done about them."""
    body, at_ms = event.body, event.at_ms
    case = state.healing.cases.get(event.process) or Case(event.process)
    if event.what == "incident" and body.get("what") in INCIDENTS:
        entry = {
            "seq": event.seq,
            "at_ms": at_ms,
            **{key: str(body.get(key, ""))[:400] for key in ("what", "text", "task", "bound")},
        }
        case.recent = (*case.recent, entry)[-RECENT:]
    elif event.what == "revived":
        case.recent = ()  # what it does from now on is a story of its own; what was tried is not forgotten
    elif event.what == "remedy" and body.get("state") in ("done", "refused"):
        case.tried = (*case.tried, {"at_ms": at_ms, "remedy": str(body.get("remedy", ""))})[-RECENT:]
    else:
        return
    state.healing.cases[event.process] = case
    state.changed("case", event.process, case)
