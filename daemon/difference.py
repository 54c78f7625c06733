"""What differs between two organisations: in words for people, and the processes that it touches. Pure."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from mai.agents.metering import Metrics
from mai.agents.objectives import Objectives, OwnObjectives
from mai.agents.organisation import Organisation, engine_settings, mandate
from mai.agents.watching import OwnWatching, Watching

SHOWN: Final = 60  # characters of a value
IGNORED: Final = ("base", "digest", "offsets")  # where the file lies, what its bytes are: of a comment too; what the zone says
LISTED: Final = {  # tables with names: one of them
    "departments": "department", "agents": "agent", "contracts": "contract", "tools": "tool", "servers": "server",
    "models": "model", "providers": "provider", "policies": "policy",
}  # fmt: skip


class Difference(msgspec.Struct, frozen=True):
    """From the organisation of the digest `before` to that of `after`; the rest are names of processes."""

    before: str
    after: str
    changes: tuple[str, ...] = ()  # for people, a line each
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()  # what they are told of the organisation is different
    drained: tuple[str, ...] = ()  # departments that have to be idle for it, and the Mai of a client that goes
    clients: tuple[str, ...] = ()  # all that there are afterwards

    @property
    def touched(self) -> set[str]:
        """Processes that do not go on as they were."""
        return {*self.added, *self.removed, *self.changed}


def difference(old: Organisation, new: Organisation) -> Difference:
    """Hold two organisations against each other."""
    before, after = _told(old), _told(new)
    changed = tuple(name for name in after if name in before and before[name] != after[name])
    removed = tuple(name for name in before if name not in after)
    return Difference(
        before=old.digest, after=new.digest, changes=tuple(_words("", _plain(old), _plain(new))),
        added=tuple(name for name in after if name not in before), removed=removed, changed=changed,
        drained=_drained(old, {*changed, *removed}, new.clients), clients=new.clients,
    )  # fmt: skip


def _told(organisation: Organisation) -> dict[str, bytes]:
    """Process -> what it is told of the organisation, as bytes that can be compared."""
    bare = msgspec.structs.replace(organisation, base="", digest="")
    engines = {name: msgspec.json.encode(settings) for name, settings in engine_settings(bare).items()}
    names = [name.split("/") for name in bare.processes()]
    parts = {f"{client}/{name}": mandate(bare if name == "mai" else _inside(bare), client, name) for client, name in names}
    return engines | {name: msgspec.msgpack.encode(part) for name, part in parts.items()}


def _inside(organisation: Organisation) -> Organisation:
    """Without what concerns the watchdog and Mai alone."""
    departments = tuple(
        msgspec.structs.replace(one, watchdog=OwnWatching(), after=(), objectives=OwnObjectives())
        for one in organisation.departments
    )
    return msgspec.structs.replace(
        organisation, departments=departments, watchdog=Watching(), objectives=Objectives(), metrics=Metrics(), operations=None
    )  # fmt: skip


def _drained(old: Organisation, touched: set[str], clients: tuple[str, ...]) -> tuple[str, ...]:
    """Who has to be idle: departments that are touched, those whose calls a touched service may have under way, Mais that go."""
    found = []
    for client in old.clients:
        for department in old.departments:
            uses = {
                "tools": any(tool.hosts for tool in department.tools),
                "models": any(agent.kind == "model" for agent in department.agents),
            }
            through = any(used and f"{client}/{service}" in touched for service, used in uses.items())
            if through or f"{client}/{department.name}" in touched:
                found.append(f"{client}/{department.name}")
        if client not in clients:
            found.append(f"{client}/mai")
    return tuple(found)


# -- words
def _plain(organisation: Organisation) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(organisation)
    return {name: value for name, value in found.items() if name not in IGNORED}


def _words(where: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """A line for each thing that is not the same; tables with names are compared name by name."""
    found = []
    for key in dict.fromkeys((*old, *new)):
        one, other = old.get(key), new.get(key)
        if one == other:
            continue
        if key in LISTED and isinstance(one, list | tuple) and isinstance(other, list | tuple):
            found += _listed(where, LISTED[key], one, other)
        elif isinstance(one, dict) and isinstance(other, dict):
            found += _words(f"{where}{key}.", one, other)
        elif key == "clients":
            found += [f"- client {name}" for name in one or () if name not in (other or ())]
            found += [f"+ client {name}" for name in other or () if name not in (one or ())]
        else:
            found.append(f"  {where}{key}: {_shown(one)} → {_shown(other)}")
    return found


def _listed(where: str, noun: str, old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[str]:
    """What has come, gone and changed of the things of one kind."""
    before, after = {one["name"]: one for one in old}, {one["name"]: one for one in new}
    found = [f"- {where}{noun} {name}" for name in before if name not in after]
    found += [f"+ {where}{noun} {name}" for name in after if name not in before]
    for name, one in before.items():
        if (other := after.get(name, one)) != one:
            found += _words(f"{where}{noun} {name}: ", one, other)
    return found or [f"  {where}each {noun}: in another order"]


def _shown(value: Any) -> str:
    """A value for people."""
    text = "nothing" if value in (None, "", [], {}) else value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
