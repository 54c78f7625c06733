"""What the supervisor has to know to wall its children off: which layers this host gives, who is run as whom, where things lie.

SUPERVISOR/walls    the layers, as they were found at the start, for the watchdog and the command line
"""

import compileall
import os
import shutil
import site as sites
import sys
from pathlib import Path
from typing import Final

import msgspec

import mai.agents
import mai.daemon
import mai.sandbox
from mai.agents.organisation import Department, Organisation
from mai.daemon.credentials import directory_of
from mai.daemon.programs import is_mai
from mai.daemon.walled import Facts, starts_programs, walls
from mai.sandbox import users
from mai.sandbox.cell import commands
from mai.sandbox.errors import MaiError, UsageFault
from mai.sandbox.place import Place
from mai.sandbox.points import SETTING as POINTS
from mai.sandbox.probe import probe
from mai.sandbox.settings import setting
from mai.sandbox.walls import LAYERS, Layers, Walls

SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
AT_THE_DOOR: Final = "in a user namespace its door could not tell the users apart who have roles; started as root it needs none"
CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Walling:
    """Makes the walls of each child of one supervisor."""

    def __init__(self, place: Place, organisation: Organisation) -> None:
        """Try what this host gives, and say so. Raises UsageFault, OSError."""
        self._place = place
        user = users.fresh(place).first if os.geteuid() == 0 else 0
        self.layers = probe(str(place.home("supervisor")), user, wanted())
        write(place, self.layers)
        self.take_up(organisation)
        compile_ours()

    def take_up(self, organisation: Organisation) -> None:
        """Wall off the processes of this organisation from now on. Raises UsageFault, OSError."""
        self._organisation = organisation
        handed = None
        if "user" in self.layers:
            handed = users.hand_out(self._place, (*organisation.engines(), *organisation.processes()))
        self._facts = facts(self._place, organisation, handed)

    def walls(self, process: str) -> Walls:
        """What a process may reach."""
        return walls(self._facts, self._organisation, process)

    def given(self, process: str) -> Layers:
        """Which layers hold it there: all that there are, but for a Mai whose door has to tell users of the host apart."""
        if os.geteuid() == 0 or not (self._organisation.doors and is_mai(process) and "namespaces" in self.layers):
            return self.layers
        using = tuple(layer for layer in self.layers.using if layer != "namespaces")
        return Layers(using, {**self.layers.missing, "namespaces": AT_THE_DOOR})


def wanted() -> frozenset[str]:
    """The layers that MAI_WALLS names: all of them, unless somebody looks for a fault. Raises UsageFault."""
    named = setting("MAI_WALLS")
    if named in ("all", "none"):
        return frozenset(LAYERS) if named == "all" else frozenset()
    found = frozenset(named.replace(",", " ").split())
    if strange := sorted(found - LAYERS.keys()):
        raise UsageFault(f"MAI_WALLS names no layer {', '.join(strange)}", f"all, none, or some of {', '.join(LAYERS)}")
    return found


def write(place: Place, layers: Layers) -> None:
    """Tell the watchdog and the command line."""
    path = place.supervisor / "walls"
    part = path.with_name("walls.part")
    part.write_bytes(msgspec.json.encode(layers))
    os.replace(part, path)


def layers_of(place: Place) -> Layers:
    """What the supervisor found; no layers if there was none yet."""
    try:
        return msgspec.json.decode((place.supervisor / "walls").read_bytes(), type=Layers)
    except (OSError, msgspec.MsgspecError):
        return Layers()


def facts(place: Place, organisation: Organisation, handed: users.Users | None) -> Facts:
    """Where things lie, as of now."""
    credentials = directory_of(place.state)
    if organisation.models.models and credentials.is_relative_to(place.state):
        credentials.mkdir(mode=0o700, exist_ok=True)  # what is put there later has to be seen as well
    base = Path(organisation.base)
    points, (_, _, tape) = os.environ.get(POINTS, ""), os.environ.get("MAI_TAPE", "").partition(":")
    if handed and points:
        os.chmod(points, 0o777)
    return Facts(
        state=str(place.state),
        run=str(place.run),
        secret=_both(place.state, place.run, credentials),
        system=_there(*SYSTEM, sys.prefix, sys.base_prefix, os.path.dirname(os.path.realpath(sys.executable))),
        code=_there(*_packages(), *os.environ.get("PYTHONPATH", "").split(os.pathsep), *_user_site()),
        commands=_there(*commands()),
        programs={one.name: _programs(one, base) for one in organisation.departments if starts_programs(one)},
        linked=_there(*_linked(organisation, base)),
        credentials=_there(str(credentials)),
        certificates=_there(*(os.environ.get(name, "") for name in CERTIFICATES)),
        weights=_weights(organisation),
        points=points,
        tape=os.path.abspath(tape) if tape else "",
        closed=_closed(base),
        users=dict(handed.of) if handed else {},
        groups={process: handed.group(process) for process in handed.of} if handed else {},
    )


def _there(*paths: str) -> tuple[str, ...]:
    """Those that exist; a link at the root, such as /lib, stays one."""
    absolute = (os.path.abspath(path) for path in paths if path)
    return tuple(dict.fromkeys(path for path in absolute if os.path.exists(path)))


def _both(*paths: str | Path) -> tuple[str, ...]:
    """Each as it is named, and as it is without links."""
    return tuple(dict.fromkeys(one for path in paths for one in (str(path), os.path.realpath(path))))


def _packages() -> list[str]:
    """Our own, wherever they were installed from, also through a link."""
    found = [directory for package in (mai.sandbox, mai.agents, mai.daemon) for directory in package.__path__]
    return list(dict.fromkeys([*map(os.path.realpath, found), *found]))


def _user_site() -> list[str]:
    """`pip install --user`, where this interpreter looks there."""
    return [sites.getusersitepackages()] if sites.ENABLE_USER_SITE else []


def _programs(department: Department, base: Path) -> tuple[str, ...]:
    """The directories of its commands, and of the files that they name."""
    commands = [agent.command for agent in department.agents] + [tool.command for tool in department.tools]
    commands += [server.command for server in department.servers]
    commands += [tool.asked_by for tool in department.tools if isinstance(tool.asked_by, tuple)]
    found = []
    for command in filter(None, commands):
        words = [word.replace("{base}", str(base)) for word in command]
        program = shutil.which(words[0])
        named = [*(_both(program) if program else ()), *(word for word in words[1:] if os.path.isabs(word))]
        found += [os.path.dirname(word) for word in named if os.path.isfile(word) and os.path.dirname(word) != "/"]
    return _there(*found)


def _linked(organisation: Organisation, base: Path) -> list[str]:
    """Where links in the organisation's directory lead that stand on the way to the users' code."""
    named = [one.prepare for one in organisation.departments]
    named += [agent.handler for one in organisation.departments for agent in one.agents]
    tools = [tool for one in organisation.departments for tool in one.tools]
    named += [handler for tool in tools for handler in (tool.handler, tool.asked_by) if isinstance(handler, str)]
    files = {base / handler.rpartition(":")[0] for handler in named if ":" in handler}
    ways = (way for file in files for way in (file, *file.parents) if way.is_relative_to(base) and way != base)
    return sorted({os.path.realpath(way) for way in ways if way.is_symlink()})


def _weights(organisation: Organisation) -> tuple[str, ...]:
    named = (one.file for one in organisation.models.providers if one.kind == "local" and one.file)
    return _there(*(os.path.expanduser(file) for file in named))


def _closed(base: Path) -> bool:
    """Is there something in the organisation's directory, or on it, that not every user may read?"""
    try:
        files = [base, *base.glob("*.py"), *base.glob("*/")]
        return any(file.stat().st_mode & (0o005 if file.is_dir() else 0o004) not in (0o005, 0o004) for file in files)
    except OSError:
        return True


def compile_ours() -> None:
    """A walled process writes nothing beside our sources, so what was changed there would be compiled at each of its starts."""
    for directory in _packages():
        if os.access(directory, os.W_OK) and not os.environ.get("PYTHONDONTWRITEBYTECODE"):
            compileall.compile_dir(directory, maxlevels=0, quiet=2)


def report_of(place: Place) -> MaiError | None:
    """Why the walls are not whole; None if they are."""
    missing = layers_of(place).missing
    what = "; ".join(f"{layer}: {why}" for layer, why in missing.items())
    return MaiError(f"the walls are not whole: {what}", "mai doctor says what can be done") if missing else None
