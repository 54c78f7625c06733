"""The closed list of remedies: what each takes, which figure it is to improve, what takes it back, what bounds it. Pure.

An agent of the operations department uses them as tools, `remedy.restart` and so on. Mai checks who asks, the watchdog what
is asked and how often; it does what may be done, watches the figure, and takes back what has made it worse (judge.py).
"""

from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta

from mai.agents.parts import Count, Fields, Name, Part, Seconds

PREFIX: Final = "remedy."
HANDLER: Final = "mai:medic"  # what stands in an organisation for the code of the built-in medic
BOUNDS: Final = {"memory": "memory_bytes", "descriptors": "descriptors", "cpu": "cpu_cores"}  # word -> the key in [watchdog]
RAISED: Final = 1.5  # a bound, each time
Figure = Literal["", "deaths", "queue", "memory"]


class Operations(Part, frozen=True, kw_only=True):
    """Who heals, and within which bounds: `[operations]` of the organisation file."""

    department: Name = "operations"
    medic: Literal["rules", "model"] = "rules"
    page: tuple[str, ...] = ()  # the command that calls a person; it gets what has happened as JSON on standard input
    page_s: Seconds = 10.0  # that command may take so long
    remedies_per_hour: Count = 12  # for one process; pages are counted apart
    pages_per_hour: Count = 4  # about one process
    watch_s: Seconds = 20.0  # so long the figure is watched that a remedy is to improve
    raise_most: Annotated[float, Meta(ge=1, le=100)] = 2.0  # a bound is raised up to so many times what [watchdog] says
    pause_most_s: Seconds = 600.0  # a department that was paused as a remedy goes on by itself after this


class Remedy(NamedTuple):
    """One entry of the list."""

    name: str
    about: str
    takes: Fields  # beside `target` and `why`
    figure: Figure  # that it is to improve; "": nothing is watched
    undo: str = ""  # the remedy, or the word, that takes it back; "": nothing can
    departments: bool = False  # only for departments: not for a client's services


LIST: Final = (
    Remedy("restart", "Start a process again.", {}, "queue"),
    Remedy("reset", "Forgive a process its deaths: one that was given up is started again.", {}, "deaths"),
    Remedy(
        "quarantine", "Put a task away that kills its department: it is refused to who asked, and its department starts "
        "without it.", {"task": "str"}, "deaths", "release", departments=True,
    ),
    Remedy("switch", "Give the work of a department to the backups of its contracts.", {}, "deaths", "return", departments=True),
    Remedy(
        "pause", "Keep new work from a department for some seconds; what it has it finishes.",
        {"for_s": "float"}, "deaths", "resume", departments=True,
    ),
    Remedy("resume", "Give new work to a department again, or to its own contracts.", {}, "queue", "pause", departments=True),
    Remedy(
        "raise", "Let a process take more of what it was ended for: memory, descriptors or cpu; half as much again.",
        {"bound": "str"}, "deaths", "lower",
    ),
    Remedy("page", "Call a person, who is told why.", {}, ""),
)  # fmt: skip
REMEDIES: Final = {remedy.name: remedy for remedy in LIST}


def named(tool: str) -> Remedy | None:
    """The remedy that a tool of this name is."""
    return REMEDIES.get(tool.removeprefix(PREFIX)) if tool.startswith(PREFIX) else None


def takes(remedy: Remedy) -> Fields:
    """All that a remedy takes, as a tool's input has it."""
    return {"target": "str", "why": "str", **remedy.takes}


def process_of(client: str, target: str) -> str:
    """The process that is meant: agents may leave the client away."""
    return target if "/" in target else f"{client}/{target}"


def out_of_scope(operations: Operations, client: str, remedy: str, target: str, processes: frozenset[str]) -> str:
    """Why this may not be done to that, whoever asks; "" if it may. `processes` are all that there are."""
    known, name = REMEDIES.get(remedy), target.partition("/")[2]
    if known is None:
        return f"there is no remedy {remedy[:40]!r}; the list is {', '.join(REMEDIES)}"
    if not target.startswith(f"{client}/") or target not in processes:
        return f"{client} has no process {target[:80]!r}"
    if remedy != "page" and name in ("mai", operations.department):
        return f"{target} is not healed by its own department: a person is paged for it"
    if known.departments and name in ("models", "tools"):
        return f"{target} is no department, which is what {remedy} is for"
    return ""


def out_of_bounds(operations: Operations, remedy: str, given: Fields) -> str:
    """Why this goes beyond the bounds that the organisation sets; "" if it does not."""
    if remedy == "pause":
        for_s = given.get("for_s")
        if not isinstance(for_s, int | float) or not 0 < for_s <= operations.pause_most_s:
            return f"a pause lasts up to {operations.pause_most_s:g} s, not {for_s!r:.40}"
    if remedy == "raise" and given.get("bound") not in BOUNDS:
        return f"there is a bound of {', '.join(BOUNDS)}, not of {given.get('bound')!r:.40}"
    if remedy == "page" and not operations.page:
        return "the organisation names no command that pages a person"
    return ""


def too_often(operations: Operations, remedy: str, at_ms: list[int], worse: bool, now_ms: int) -> str:
    """Why not now; "" if it may be done. `at_ms`: when remedies of this class were done; `worse`: this one made it worse."""
    most = operations.pages_per_hour if remedy == "page" else operations.remedies_per_hour
    lately = sum(one > now_ms - 3_600_000 for one in at_ms)
    if lately >= most:
        return f"{lately} {'pages' if remedy == 'page' else 'remedies'} in the last hour, which is the limit for one process"
    return f"{remedy} has made it worse within the last hour" if worse else ""
