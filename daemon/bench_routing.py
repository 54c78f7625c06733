"""`mai bench routing`: which of the requests in etc/company/routing.toml find their department, by words and by embeddings.

The planner is Mai's own; only the process between it and the model is left out.
"""

import math
import resource
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from mai.agents import behaviour, check
from mai.agents.department import DepartmentDecider
from mai.agents.organisation import Organisation, mandate
from mai.agents.process import matcher
from mai.agents.state import Work
from mai.agents.table import Table
from mai.daemon.closeness import Closeness
from mai.daemon.descriptions import described, planner
from mai.daemon.embedder import MODELS, cosines, model
from mai.daemon.embedding import LONGEST
from mai.daemon.plan import Plan
from mai.sandbox.errors import UsageFault

SURE = 1.96  # standard deviations: of a normal distribution 95 % lie within


class Wanted(msgspec.Struct, frozen=True):
    """A request, and who should get it."""

    text: str
    language: str = ""  # "" for none
    department: str = ""  # "" for nobody
    agent: str = ""


class Requests(msgspec.Struct, frozen=True):
    """The file: what is measured, what fits nothing, and what settings are chosen on."""

    requests: tuple[Wanted, ...]
    strange: tuple[Wanted, ...]
    development: tuple[Wanted, ...]


class Routed(NamedTuple):
    """One method's result. `chosen` is right by the closest department, `kept` what is not asked back or refused."""

    method: str
    requests: int
    right: int
    accuracy: float
    low: float
    high: float
    languages: dict[str, tuple[int, int]]  # right, of so many
    kept: int
    kept_right: int
    asked_back: int
    strange_refused: int
    strange: int
    ms: float  # for one request
    load_s: float
    memory_mb: float
    note: str = ""
    agents: int = 0  # requests that name the right agent, and are passed on to its department alone
    agents_right: int = 0  # of these: that agent gets it


Find = Callable[[str], tuple[str, Plan]]  # the department that comes first, and the plan


def read(file: Path) -> Requests:
    """The requests. Raises UsageFault."""
    try:
        return msgspec.convert(tomllib.loads(file.read_text()), type=Requests)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageFault(f"{file} cannot be read: {error}", "it lies beside the reference organisation") from None


def run(file: Path, progress: Callable[[str], None]) -> Iterator[Routed]:
    """Measure one method after the other. Raises Faulty, UsageFault."""
    organisation, given = check.load(file), read(file.parent / "company" / "routing.toml")
    progress("words")
    yield measure("words", by_words(organisation), given, organisation, load_s=0.0, memory_mb=0.0)
    for name in MODELS:
        progress(f"{name}: embedding the descriptions")
        begun_s, before_mb = time.perf_counter(), _peak_mb()
        try:
            find, load_s = by_closeness(organisation, name)
        except UsageFault as fault:
            nothing = Routed(name, 0, 0, 0.0, 0.0, 0.0, {}, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, f"{fault.sentence}: {fault.hint}")
            yield nothing
            continue
        described_s = time.perf_counter() - begun_s - load_s
        progress(f"{name}: {len(given.requests) + len(given.strange)} requests")
        found = measure(name, find, given, organisation, load_s=load_s, memory_mb=_peak_mb() - before_mb)
        yield found._replace(note=f"the descriptions took {described_s:.1f} s, once")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def by_words(organisation: Organisation) -> Find:
    """As Mai plans without embeddings."""
    planned = planner(organisation)

    def find(text: str) -> tuple[str, Plan]:
        plan = planned.by_words(text, "")
        return (plan.parts[0].department if len(plan.parts) == 1 else ""), plan

    return find


def by_closeness(organisation: Organisation, name: str) -> tuple[Find, float]:
    """As Mai plans with the embedder, and the seconds that its model took to load. Raises UsageFault."""
    begun_s = time.perf_counter()
    embeddings = model(name)
    load_s = time.perf_counter() - begun_s
    import numpy

    planned, descriptions = planner(organisation), described(organisation)
    matrix = numpy.stack([embeddings.embed(one.text, query=False) for one in descriptions])
    owners, agents = [one.department for one in descriptions], [one.agents for one in descriptions]
    closeness = Closeness(owners, organisation.routing.margin, agents=agents)

    def find(text: str) -> tuple[str, Plan]:
        texts = planned.doubtful(text)
        vectors = [embeddings.embed(piece[:LONGEST], query=True) for piece in texts]
        verdicts = dict(zip(texts, map(closeness.judge, cosines(matrix, vectors)), strict=True))
        return verdicts[text].departments[0], planned.judged(text, verdicts)

    return find, load_s


def worker(organisation: Organisation, plan: Plan) -> str:
    """Who gets the first part of a plan, as its board and coordinators hand it on; "" if nobody does."""
    if not plan.parts:
        return ""
    part = plan.parts[0]
    told = mandate(organisation, organisation.clients[0], part.department)
    own = told.organisation.department(part.department)
    assert own is not None, "a plan for a department that there is not"
    fits = matcher(own).fits

    def fit(text: str, among: tuple[str, ...]) -> list[str]:
        return [one.name for one in fits(text) if one.name in among]

    decider = DepartmentDecider(told, Table(told.organisation), fit, lambda *_: "")
    sender, agent = "mai", own.agent(own.board.name)
    while agent is not None and agent.rank in ("board", "coordinator"):
        work = Work("R/1", "R", "", 0, sender, agent.name, "", part.contract, part.text, {}, 0, 9, ranked=part.agents)
        sender, agent = agent.name, own.agent(behaviour.next_hand(decider, work))
    return agent.name if agent else ""


def measure(method: str, find: Find, given: Requests, organisation: Organisation, *, load_s: float, memory_mb: float) -> Routed:
    """Let a method find the departments of all requests."""
    begun_s = time.perf_counter()
    found = [find(wanted.text) for wanted in given.requests]
    ms = (time.perf_counter() - begun_s) * 1e3 / len(found)
    strange = [find(wanted.text)[1] for wanted in given.strange]
    pairs = list(zip(given.requests, found, strict=True))
    right = sum(first == wanted.department for wanted, (first, _) in pairs)
    kept = [(wanted, plan) for wanted, (_, plan) in pairs if plan.parts]
    low, high = interval(right, len(pairs))
    named = [(w.agent, plan) for w, plan in kept if w.agent and [part.department for part in plan.parts] == [w.department]]
    return Routed(
        method, len(pairs), right, right / len(pairs), low, high, _by_language(pairs), len(kept),
        sum([part.department for part in plan.parts] == [wanted.department] for wanted, plan in kept),
        sum(bool(plan.question) for _, (_, plan) in pairs), sum(not plan.parts for plan in strange), len(strange),
        ms, load_s, memory_mb, "", len(named), sum(worker(organisation, plan) == agent for agent, plan in named),
    )  # fmt: skip


def _by_language(pairs: list[tuple[Wanted, tuple[str, Plan]]]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for wanted, (first, _) in pairs:
        right, count = found.get(wanted.language, (0, 0))
        found[wanted.language] = (right + (first == wanted.department), count + 1)
    return found


def interval(right: int, count: int) -> tuple[float, float]:
    """Wilson's score interval, 95 %, of a share (E. B. Wilson, 1927)."""
    share, z2 = right / count, SURE**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = SURE * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return middle - half, middle + half


def render(routed: Routed) -> str:
    """A few lines for people."""
    if not routed.requests:
        return f"{routed.method:8} {routed.note}"
    english, others = routed.languages.get("en", (0, 0)), [pair for name, pair in routed.languages.items() if name != "en"]
    each = ", ".join(f"{name} {right}/{count}" for name, (right, count) in sorted(routed.languages.items()))
    sure = f"{routed.kept_right} of {routed.kept} right ({routed.kept_right / routed.kept:.0%})" if routed.kept else "none"
    nothing = routed.requests - routed.kept - routed.asked_back
    return "\n".join((
        f"{routed.method:8} {routed.right} of {routed.requests} right: {routed.accuracy:.1%} "
        f"(95 %: {routed.low:.0%} to {routed.high:.0%}); {routed.ms:.1f} ms each",
        f"         English {english[0]}/{english[1]}, others {sum(r for r, _ in others)}/{sum(n for _, n in others)}: {each}",
        f"         passed on {routed.kept}, {sure}; asked back {routed.asked_back}; said that nothing fits {nothing}",
        f"         right agent of {routed.requests}: {routed.agents_right}, of {routed.agents} that were passed on rightly",
        f"         of {routed.strange} that fit nothing {routed.strange_refused} were not passed on",
        *([f"         loaded in {routed.load_s * 1e3:.0f} ms, {routed.memory_mb:.0f} MB at its peak; {routed.note}"]
          if routed.load_s else []),
    ))  # fmt: skip
