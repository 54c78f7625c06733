"""Random organisations from a seed: departments, ranks, contracts, scopes of data and of memory. All of them pass `mai check`.

A number of each department is its secret: it stands where its scope keeps it back, and in texts. Nobody else may ever see it.
"""

from random import Random
from typing import Final

import msgspec

from mai.agents.body import Fields
from mai.agents.budget_scope import DayLimits, RequestLimits
from mai.agents.guard_scope import Guards
from mai.agents.leaves import Leaves, Shows
from mai.agents.memory_scope import ClientMemory, MemoryScope
from mai.agents.organisation import Agent, Contract, Department, Limits, Organisation, Rank
from mai.agents.shift_scope import Shift

NAMES: Final = ("sales", "people", "finance", "legal")
WORKERS: Final[tuple[Rank, ...]] = ("specialist", "operator")
PLAIN: Final = ("sum", "name", "note")  # fields of replies and requests
KEPT: Final = ("salary", "iban")  # fields that some departments withhold
TYPES: Final = {"sum": "int", "name": "str", "note": "str", "salary": "int", "iban": "str", "who": "int", "more": "any?"}
SUBJECTS: Final = (101, 102, 103, 104)
KEYS: Final = ("sales.a", "people.b", "common")


def secret(department: str) -> int:
    """The number that only this department knows."""
    return 7_000_000 + 1111 * (1 + NAMES.index(department))


def organisation(chance: Random) -> Organisation:
    """One of them."""
    names = NAMES[: chance.randrange(2, 5)]
    departments = tuple(_department(chance, name, names) for name in names)
    guards = Guards(same=chance.randrange(2, 4), returns=chance.randrange(2, 5), repeats=chance.randrange(2, 4))
    return Organisation(
        name="Realm", clients=("acme",), digest="0123456789abcdef", departments=departments, guards=guards,
        limits=Limits(hops=12, queue=40, request=_request(chance)),
    )  # fmt: skip


def _request(chance: Random) -> RequestLimits:
    """A third of them let a request do little."""
    if chance.random() < 0.85:
        return RequestLimits()
    return RequestLimits(hops=chance.choice([0, 3, 6, 20]), asks=chance.choice([0, 1, 3]))


def _day(chance: Random) -> DayLimits:
    """Some departments may do little in a day."""
    if chance.random() < 0.9:
        return DayLimits()
    return DayLimits(
        tasks=chance.choice([0, 2, 5]), hops=chance.choice([0, 5, 12]), seconds=chance.choice([0, 15, 40, 100])
    )  # fmt: skip


def _shifts(chance: Random, workers: list[str]) -> tuple[Shift, ...]:
    """Some departments have two that follow each other, a minute or two each; it is 00:16 when a realm begins."""
    if chance.random() < 0.8:
        return ()
    times = chance.choice([("00:00", "00:17", "00:18"), ("00:15", "00:17", "00:20"), ("00:17", "00:18", "00:16")])
    spans = (("first", times[0], times[1]), ("second", times[1], times[2]))
    teams = [tuple(one for one in workers if chance.random() < 0.7) or (workers[0],) for _ in spans]
    return tuple(
        Shift(name=name, begins=begins, ends=ends, operators=team)
        for (name, begins, ends), team in zip(spans, teams, strict=True)
    )


def _department(chance: Random, name: str, names: tuple[str, ...]) -> Department:
    kept = tuple(one for one in KEPT if chance.random() < 0.6)
    shows: tuple[Shows, ...] = ("result", "result", "summary", "nothing")
    leaves = Leaves(
        withheld=kept, text=chance.random() < 0.3, fields=(*PLAIN, "who", "more") if chance.random() < 0.2 else (),
        subjects=("who/101", "who/102") if chance.random() < 0.2 else (),
    )  # fmt: skip
    if leaves.fields:
        kept = KEPT
    agents = _agents(chance)
    workers = [agent.name for agent in agents if agent.rank in WORKERS]
    contracts = tuple(_contract(chance, f"c{n}", name, names, workers, kept) for n in range(chance.randrange(1, 4)))
    offered = {field for one in contracts for field in one.reply}
    leaves = msgspec.structs.replace(leaves, fields=tuple(one for one in leaves.fields if one in offered))
    told = any(one.subject for one in contracts)
    return Department(
        name=name, charter=name, agents=agents, contracts=contracts, shows=chance.choice(shows), memory=_memory(chance),
        day=_day(chance), shifts=_shifts(chance, workers),
        leaves=leaves if told else Leaves(withheld=leaves.withheld, text=leaves.text, fields=leaves.fields),
    )  # fmt: skip


def _agents(chance: Random) -> tuple[Agent, ...]:
    """A board, coordinators, and workers of both ranks; most have code, some have a scope of memory of their own."""
    made = [_agent(chance, "board", "board", chance.random() < 0.2)]
    made += [_agent(chance, f"lead{n}", "coordinator", chance.random() < 0.3) for n in range(chance.randrange(1, 3))]
    leads = [agent.name for agent in made[1:]]
    ranks = [chance.choice(WORKERS) for _ in range(chance.randrange(1, 4))]
    made += [_agent(chance, f"hand{n}", rank, True, chance.choice(leads)) for n, rank in enumerate(ranks)]
    return tuple(made)


def _agent(chance: Random, name: str, rank: Rank, coded: bool, above: str = "") -> Agent:
    handler = f"realm.py:{name}" if coded else ""
    memory = _memory(chance) if chance.random() < 0.2 else MemoryScope()
    return Agent(name=name, rank=rank, handler=handler, reports_to=above, skills=("things",), memory=memory)


def _memory(chance: Random) -> MemoryScope:
    keys = (*KEYS, "sales.*", "*")
    read, write = (tuple(one for one in keys if chance.random() < 0.15) for _ in range(2))
    return MemoryScope(client=ClientMemory(read=read, write=write))


def _contract(  # noqa: PLR0917  # what a department has decided so far
    chance: Random, name: str, own: str, names: tuple[str, ...], workers: list[str], kept: tuple[str, ...]
) -> Contract:
    others = [*(one for one in names if one != own), "client"]
    may_ask = tuple(one for one in others if chance.random() < 0.6) or ("client",)
    subject = "who" if chance.random() < 0.6 else ""
    request: Fields = {one: TYPES[one] for one in PLAIN if chance.random() < 0.3} | ({"who": "int"} if subject else {})
    may_leave = [*PLAIN, "who", "more", *(one for one in KEPT if one not in kept)]
    reply: Fields = {one: TYPES[one] for one in may_leave if chance.random() < 0.4}
    bound = tuple(one for one in may_ask if one != "client" and chance.random() < 0.5) if subject else ()
    return Contract(
        name=name, about="", served_by=chance.choice(workers), may_ask=may_ask, request=request, reply=reply, subject=subject,
        bound=bound,
    )  # fmt: skip
