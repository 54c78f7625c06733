"""The supervisor's half of `mai reload`: it reads the file again, and takes an organisation over while its processes run.

    SUPERVISOR/organisation         what runs
    SUPERVISOR/organisation.tried   what the file says now, checked and settled in the supervisor's own environment
    SUPERVISOR/organisation.next    what is to run: the watchdog's choice
    SUPERVISOR/organisation.last    what ran before

Each file holds a `Staged`, but the first, which holds the organisation alone. STATE/clients.json holds what was decided about
clients at run time (clientele.py); it changes with what runs, and is read whenever the organisation file is.
"""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from mai.agents import check
from mai.agents.organisation import Organisation
from mai.daemon.clientele import Clientele, over
from mai.daemon.settle import settle
from mai.sandbox import durable
from mai.sandbox.errors import UsageFault
from mai.sandbox.place import Place

if TYPE_CHECKING:
    from mai.daemon.supervisor import Supervisor

Stage = Literal["tried", "next", "last"]
CURRENT: Final = "organisation"


class Staged(msgspec.Struct, frozen=True):
    """An organisation that may run, the bytes of its file, and what was decided about clients at run time."""

    organisation: Organisation
    data: bytes
    clientele: Clientele = Clientele()


def path_of(place: Place, stage: Stage | Literal[""] = "") -> Path:
    """Where it lies."""
    return place.supervisor / (f"{CURRENT}.{stage}" if stage else CURRENT)


def replace(path: Path, data: bytes) -> None:
    """Write a file whole: a reader sees the old one or the new one."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)


def decided(place: Place) -> Clientele:
    """What was decided about clients at run time. Raises UsageFault if that cannot be read."""
    try:
        return msgspec.json.decode(place.clientele.read_bytes(), type=Clientele)
    except FileNotFoundError:
        return Clientele()
    except (OSError, msgspec.MsgspecError) as error:
        hint = "put it back from a backup; without it the clients are those of the organisation file"
        raise UsageFault(f"{place.clientele} cannot be read: {error}", hint) from None


def current(place: Place) -> Organisation:
    """The organisation that runs."""
    return msgspec.msgpack.decode(path_of(place).read_bytes(), type=Organisation)


def staged(place: Place, stage: Stage) -> Staged:
    """One that may run. Raises OSError."""
    return msgspec.msgpack.decode(path_of(place, stage).read_bytes(), type=Staged)


def stage(place: Place, name: Stage, one: Staged) -> None:
    """Lay it down. Raises OSError."""
    replace(path_of(place, name), msgspec.msgpack.encode(one))


def try_out(place: Place, file: Path) -> None:
    """Check a file, and lay down what it says. Raises MaiError, as `mai check` does."""
    data = file.read_bytes() if file.is_file() else b""
    organisation, clientele = over(settle(check.load(file)), decided(place))
    if check.digest_of(data) != organisation.digest:
        raise UsageFault(f"{file} is being written just now", "try again")
    stage(place, "tried", Staged(organisation, data, clientele))


def take_over(place: Place, one: Staged) -> None:
    """From now on this is what runs; a new start of the watchdog sees it. Raises OSError."""
    if place.clientele.exists() or one.clientele != Clientele():
        durable.write(place.clientele, msgspec.json.format(msgspec.json.encode(one.clientele), indent=1))
    replace(place.organisation, one.data)
    replace(path_of(place), msgspec.msgpack.encode(one.organisation))


def adopt(supervisor: "Supervisor", text: str) -> None:
    """Know these programs from now on. What runs goes on; what is no part of them any more, and is stopped, is forgotten."""
    options = supervisor.options
    options.configfile = io.StringIO(text)
    options.process_config(do_usage=False)
    wanted = {config.name: config for config in options.process_group_configs}
    for name, config in wanted.items():
        if not supervisor.add_process_group(config):
            _extend(supervisor.process_groups[name], config)
    for name, group in list(supervisor.process_groups.items()):
        _shorten(group, {one.name for one in wanted[name].process_configs} if name in wanted else set())
        if not group.processes:
            del supervisor.process_groups[name]


def _extend(group: Any, config: Any) -> None:
    """Add to a group the programs that it does not have."""
    for one in config.process_configs:
        if one.name not in group.processes:
            one.create_autochildlogs()
            group.config.process_configs.append(one)
            group.processes[one.name] = one.make_process(group)


def _shorten(group: Any, names: set[str]) -> None:
    """Take out of a group the programs that are not named and do not run."""
    for name, process in list(group.processes.items()):
        if name not in names and not process.pid:
            del group.processes[name]
            group.config.process_configs.remove(process.config)
