"""What must hold of `[[channels]]`: who answers exists, what comes fits, and what carries answers out can take them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from mai.agents.channels import CARRIER, CARRY, DOOR, OUT, Channel
from mai.agents.door_rules import LISTS, NAMED
from mai.agents.faults import nearest, shown
from mai.agents.fields import flaws
from mai.agents.lines import KeyPath
from mai.agents.organisation import Department

if TYPE_CHECKING:
    from mai.agents.rules import Scene

Broken = Iterator[tuple[KeyPath, str, str]]
NEEDED: Final = ("to", "text")
GIVEN: Final = {  # field of a contract -> its type, where what came is no JSON object
    "text": "str", "sender": "str", "subject": "str", "channel": "str", "thread": "str", "message": "str", "conversation": "list"
}  # fmt: skip


def channels_lead_somewhere(scene: "Scene") -> Broken:
    """Each channel has a name of its own, a department, and there a contract, desks and a tool, if it names them."""
    names: list[str] = []
    for index, channel in enumerate(scene.organisation.channels):
        where: KeyPath = ("channels", index)
        if channel.name in names:
            yield (*where, "name"), f"there are two channels {channel.name}", "give one of them another name"
        if channel.name == DOOR:
            yield (*where, "name"), f"no channel can be named {DOOR}", "conversations at Mai's own door are named so"
        names.append(channel.name)
        department = scene.departments.get(channel.department)
        if department is None:
            if scene.findings.sound(where, "department"):
                hint = nearest(channel.department, scene.departments, "the departments")
                yield (
                    (*where, "department"),
                    f"{_label(channel)} leads to {shown(channel.department)}, which is no department",
                    hint,
                )
            continue
        yield from _served(scene, channel, department, where)
        yield from _carried(scene, channel, department, where)
        for key in LISTS:
            for at, name in enumerate(getattr(channel, key)):
                if not NAMED.fullmatch(name):
                    yield (*where, key, at), f"{shown(name)} is no name of a {key[:-1]}", "a name of this host, or a number"


def _label(channel: Channel) -> str:
    return f"the channel {channel.name}"


def _served(scene: "Scene", channel: Channel, department: Department, where: KeyPath) -> Broken:
    """Who gets what comes."""
    for at, name in enumerate(channel.desk):
        agent = department.agent(name)
        if agent is None or agent.rank not in ("specialist", "operator"):
            known = [one.name for one in department.agents if one.rank in ("specialist", "operator")]
            hint = nearest(name, known, f"the workers of {department.name}")
            yield (*where, "desk", at), f"{_label(channel)} goes to {shown(name)}, no worker of {department.name}", hint
    if channel.desk and channel.contract:
        yield (
            (*where, "desk"),
            f"{_label(channel)} has both a contract and a desk",
            "who serves the contract gets it: leave one out",
        )
    if not channel.desk and not channel.contract and all(one.rank != "operator" for one in department.agents):
        yield where, f"{_label(channel)} has nobody who answers", f'{department.name} has no operators: say desk = ["AGENT"]'
    if not channel.contract:
        return
    contract = department.contract(channel.contract)
    if contract is None:
        hint = nearest(channel.contract, [one.name for one in department.contracts], f"the contracts of {department.name}")
        yield (
            (*where, "contract"),
            f"{_label(channel)} asks for {shown(channel.contract)}, no contract of {department.name}",
            hint,
        )
    elif channel.parse != "json" and not flaws(contract.request):
        for name, kind in contract.request.items():
            if str(kind) != "any" and not str(kind).endswith("?") and not str(kind).startswith(GIVEN.get(name, "nothing")):
                hint = f'what comes there gives {", ".join(GIVEN)}; or parse = "json"'
                yield (*where, "contract"), f"{_label(channel)} cannot give {contract.name} the field {name}, {shown(kind)}", hint


def _carried(scene: "Scene", channel: Channel, department: Department, where: KeyPath) -> Broken:
    """What carries answers out."""
    if not channel.tool:
        return
    tool = next((one for one in department.tools if one.name == channel.tool), None)
    if tool is None:
        hint = nearest(channel.tool, [one.name for one in department.tools], f"the tools of {department.name}")
        yield (*where, "tool"), f"{_label(channel)} answers by {shown(channel.tool)}, no tool of {department.name}", hint
        return
    if tool.effect == "none":
        hint = 'say of the tool effect = "idempotent", "queryable" or "opaque"'
        yield (*where, "tool"), f"{_label(channel)} answers by {tool.name}, which says that it changes nothing", hint
    takes = scene.sources.parameters(tool.handler) if tool.handler else set(tool.input)
    if takes is not None and tool.handler:
        takes |= set(tool.input)
    for name in NEEDED if takes is not None and not tool.server else ():
        if name not in (takes or ()):
            hint = f"it is called with those that it takes of {', '.join(OUT)}; {' and '.join(NEEDED)} are needed"
            yield (*where, "tool"), f"{_label(channel)} answers by {tool.name}, which takes no {name}", hint
    if department.agent(CARRIER):
        yield (
            (*where, "tool"),
            f"{department.name} cannot have an agent {CARRIER} of its own",
            "it is built in: name yours otherwise",
        )
    if department.contract(f"{CARRY}{channel.name}"):
        what = f"{department.name} cannot have a contract {CARRY}{channel.name} of its own"
        yield (*where, "tool"), what, "it is built in: name yours otherwise"
