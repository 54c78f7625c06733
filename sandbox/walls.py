"""What walls a process off, as data: what it may reach, which layers hold it there, and which of them could not be had. Pure.

`Walls` is what is wanted of a process, `Layers` what this host gives; both together are told to the child when it is
started. `sandbox/outer.py` puts up what has to be done before the exec, `sandbox/confine.py` the rest.
"""

from typing import Final, Literal

import msgspec

Layer = Literal["hygiene", "limits", "namespaces", "user", "capabilities", "landlock", "memory", "seccomp"]
LAYERS: Final[dict[Layer, str]] = {  # in the order in which they are put up
    "hygiene": "no descriptor, variable or keyring of another's",
    "limits": "memory, files, processes: no more than so many",
    "namespaces": "a root directory with nothing else in it, no network, no other process",
    "user": "a user of its own, when the daemon was started as root",
    "capabilities": "no rights, no new ones, and nobody of the same user looks in",
    "memory": "no memory that is writable and executable",
    "landlock": "a list of what may be read and written",
    "seccomp": "no system call that no department needs",
}
NOT_WANTED: Final = "switched off by MAI_WALLS"  # why a layer is missing, then
SETTING: Final = "MAI_CONFINE"  # of the child's environment: a `Confinement`, which it takes out before anything else


class Walls(msgspec.Struct, frozen=True, kw_only=True):
    """What one process may reach. Paths are absolute; what lies below one counts as well."""

    home: str  # its own directory, and where it works
    reads: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()  # it sees the names in there
    runs: tuple[str, ...] = ()  # it reads these too, and there are programs and libraries in them
    writes: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()  # it writes there too, and makes sockets
    links: tuple[str, ...] = ()  # it writes there too, and makes symbolic links and pipes
    connects: tuple[str, ...] = ()  # to sockets in there
    hidden: tuple[str, ...] = ()  # though a path above is readable
    etc: tuple[str, ...] = ()  # names in /etc
    network: bool = False
    programs: bool = False  # it starts programs
    machine: bool = False  # it sees the host's processors and memory in /proc and /sys
    compiles: bool = False  # it translates code in its memory
    modes: bool = False  # it sets the modes of its files
    user: int = 0  # 0: the daemon's own
    group: int = 0
    kept: tuple[int, ...] = ()  # capabilities that it keeps, of those that the daemon has
    limits: dict[str, int] = {}  # see sandbox/limits.py


class Layers(msgspec.Struct, frozen=True):
    """Which layers this host and the user's rights give, and why not the others. The same for all processes."""

    using: tuple[Layer, ...] = ()
    missing: dict[str, str] = {}  # layer -> why; a layer may be used and yet lack a part

    def __contains__(self, layer: object) -> bool:
        return layer in self.using


class Confinement(msgspec.Struct, frozen=True):
    """What a child is told when it is started."""

    walls: Walls
    layers: Layers
    pid: int = 0  # as the parent sees it


class Report(msgspec.Struct, frozen=True):
    """How a process is walled: `full`, `partial`, or `none` if neither namespaces nor Landlock hold it."""

    level: Literal["full", "partial", "none"] = "none"
    missing: dict[str, str] = {}  # layer -> why

    def __str__(self) -> str:
        what = "; ".join(f"{layer}: {why}" for layer, why in self.missing.items())
        return f"{self.level} ({what})" if what else self.level


UNWALLED: Final = Report("none", {"all": "it was not started by the daemon"})


def report(layers: Layers) -> Report:
    """What is said of a process that has put up these layers."""
    if not layers.missing:
        return Report("full")
    return Report("partial" if "namespaces" in layers or "landlock" in layers else "none", layers.missing)
