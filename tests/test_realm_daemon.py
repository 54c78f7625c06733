"""Random organisations as files, run by real daemons: what their agents try at random goes where it may, and nowhere else."""

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from mai.agents import events
from mai.agents.events import Asked, Event, Hopped, Received, ReplyBreached, Stepped
from mai.agents.inputs import Call
from mai.agents.organisation import Organisation
from mai.agents.table import Table
from mai.daemon import deep  # noqa: F401  # it knows all kinds of records
from mai.daemon.records import ContractEnded
from tests.realm_law import Law
from tests.realm_organisations import KEPT, KEYS, NAMES, SUBJECTS, organisation, secret
from tests.small import Daemon

REQUESTS = 40
WORKERS = """
import random
from mai.agents.context import Answer, Refusal
CONTRACTS, SECRETS, KEYS, KEPT = {contracts!r}, {secrets!r}, {keys!r}, {kept!r}
OPEN = {open!r}  # which contracts a department may ask for
AGENTS = ("board", "lead0", "lead1", "hand0", "hand1", "hand2", "mai", "nobody")
OF = {{
    "int": lambda chance: chance.choice({subjects!r}),
    "str": lambda chance: chance.choice("ab"),
    "any?": lambda chance: {{"deep": [1]}},
}}


def values(chance, declared, own, right):
    made = {{name: OF[kind](chance) for name, kind in declared.items()}}
    if not right:
        made.setdefault(chance.choice((*KEPT, "extra")), SECRETS[own])
    return made


async def act(ctx, task):
    chance = random.Random(f"{seed}/{{task.task}}")
    own = ctx.files.parent.name
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        try:
            await attempt(ctx, task, chance, own)
        except Refusal:
            pass
    request, reply = CONTRACTS.get(task.contract, ({{}}, {{"sum": "int"}}))
    value = values(chance, reply, own, chance.random() < 0.6 or bool(task.correction) or not task.contract)
    if "who" in value and "who" in task.input:
        value["who"] = task.input["who"]
    inside = task.asker.split("/")[1] not in ("client", "mai")
    return Answer(f"it is {{SECRETS[own]}}" if inside and own in {quiet!r} else "done", value)


async def attempt(ctx, task, chance, own):
    match chance.choice(("contract", "contract", "agent", "hand", "recall", "remember")):
        case "contract":
            name = chance.choice((*CONTRACTS, "nobody.c0") if chance.random() < 0.3 else OPEN[own] or ("nobody.c0",))
            await ctx.ask(name, **values(chance, CONTRACTS.get(name, ({{}}, {{}}))[0], own, chance.random() < 0.8))
        case "agent":
            await ctx.ask(chance.choice(AGENTS), "things")
        case "hand":
            await ctx.hand(chance.choice(AGENTS))
        case "recall":
            await ctx.recall(chance.choice(KEYS), "client")
        case "remember":
            name = chance.choice(KEPT)
            await ctx.remember(chance.choice(KEYS), {{name: SECRETS[own] if name in {withheld!r}[own] else 5}}, "client")


board = lead0 = lead1 = hand0 = hand1 = hand2 = act
"""


# -- an organisation as files
def toml(value: Any) -> str:
    """A value in TOML, in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml(one)}" for name, one in value.items()) + " }"
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list | tuple) else json.dumps(value)


def file_of(whole: Organisation) -> str:
    """The organisation as a file has it."""
    lines = ['[organisation]\nname = "Realm"\nclients = ["acme"]\n[limits]\nhops = 12\n[guards]']
    lines += [f"{key} = {toml(value)}" for key, value in msgspec.to_builtins(whole.guards).items()]
    for department in msgspec.to_builtins(whole)["departments"]:
        name = department["name"]
        head = {
            "charter": f"Sees to {name}.",
            "shows": department["shows"],
            "memory": department["memory"],
            "leaves": department["leaves"],
        }
        lines.append(f"[departments.{name}]")
        lines += [f"{key} = {toml(value)}" for key, value in head.items()]
        for noun, keys in (
            ("agents", ("name", "rank", "handler", "reports_to", "skills", "memory")),
            ("contracts", ("name", "about", "served_by", "may_ask", "request", "reply", "subject", "bound")),
        ):
            for one in department[noun]:
                lines.append(f"[[departments.{name}.{noun}]]")
                lines += [f"{key} = {toml(one[key])}" for key in keys]
    return "\n".join(lines) + "\n"


def code_of(whole: Organisation, seed: int) -> str:
    """What all of its agents do."""
    contracts = {f"{one.name}.{c.name}": (c.request, c.reply) for one in whole.departments for c in one.contracts}
    quiet = [one.name for one in whole.departments if not (one.leaves.text and one.shows == "result")]
    kept = {one.name: one.leaves.withheld for one in whole.departments}
    return WORKERS.format(
        contracts=contracts, secrets={name: secret(name) for name in NAMES}, keys=KEYS, kept=KEPT, subjects=SUBJECTS, seed=seed,
        quiet=quiet, withheld=kept, open={name: Table(whole).open_to(name) for name in NAMES},
    )  # fmt: skip


# -- what came of it
def records(daemon: Daemon, names: list[str]) -> list[tuple[str, Event]]:
    """All records of Mai and the departments, in the order of their times."""
    found = [(record.at_ns, name, record.kind, body) for name in names for record, body in daemon.journal(name)]
    return [(name, events.decode(kind, json.dumps(body))) for _, name, kind, body in sorted(found, key=lambda one: one[0])]


def steps(law: Law, told: list[tuple[str, Event]]) -> int:
    """How many steps were forbidden; each was refused, on record."""
    agents = {event.task: event.agent for _, event in told if isinstance(event, Hopped)}
    outcomes = {(event.task, event.n): event for _, event in told if isinstance(event, Stepped)}
    forbidden = 0
    for name, event in told:
        if not isinstance(event, Asked) or not law.forbids(
            name, agents[event.task], Call(event.task, event.n, event.call, event.given)
        ):
            continue
        forbidden += 1
        assert outcomes[event.task, event.n].refused, (name, event)
    return forbidden


@pytest.mark.seconds(180)
@pytest.mark.parametrize("seed", [3, 11, 29])
def test_a_real_organisation_lets_nothing_through(state: Path, seed: int) -> None:
    """Each task, reply and memory that reached a department may be there, what was forbidden is refused on record, no journal
    has another's secret, and the journals keep to all invariants."""
    whole = organisation(Random(seed))
    daemon = Daemon(state, file_of(whole))
    (daemon.file.parent / "realm.py").write_text(code_of(whole, seed))
    names = ["acme/mai", *(f"acme/{one.name}" for one in whole.departments)]
    try:
        daemon.up()
        for number in range(REQUESTS):
            name = whole.departments[number % len(whole.departments)].name
            daemon.ask(f"{name}: things of {SUBJECTS[number % 4]}", f"R{number}")
        verified = daemon.mai("verify", "--deep")
        told = records(daemon, names)
    finally:
        daemon.mai("down")
    assert verified.returncode == 0, verified.stdout
    law = Law(whole, set())
    for name, event in told:
        law.look(name, event)
        if isinstance(event, Received):
            law.arrives(event.sender, name, event.body)
    assert steps(law, told) > 5 and any(isinstance(one, ContractEnded) and one.state == "answered" for _, one in told)
    breached = [event for _, event in told if isinstance(event, ReplyBreached)]
    assert breached
    for one in breached:
        assert not re.search(r"700\d{4}", one.rule)
