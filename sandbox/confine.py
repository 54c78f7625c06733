"""The inner half of a process's walls: what it does to itself, before any code of the users' and before its second thread.

Its parent has put it into namespaces and made it its own user (`outer.py`), and told it in its environment what it may reach.
The order: descriptors and keyring; limits; capabilities; memory; Landlock; seccomp, which refuses what the others needed.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from mai.sandbox import capabilities, landlock, limits, seccomp
from mai.sandbox.errors import MaiError
from mai.sandbox.syscalls import call
from mai.sandbox.walls import SETTING, UNWALLED, Confinement, Layer, Layers, Report, Walls, report

_JOIN_SESSION_KEYRING: Final = 1  # keyctl(2)
_DEVICES: Final = ("zero", "full", "random", "urandom")
_SCRATCH: Final = ("/tmp", "/dev/shm")  # of a root of its own
_said, _pid = UNWALLED, 0


class Unwalled(MaiError):
    """A layer that this host gives could not be put up: the process must not run."""


def confine() -> None:
    """Put up what the environment says; without it nothing. Ends the process if that cannot be done: it must not run then."""
    global _said, _pid  # a process has one set of walls, for good
    text = os.environ.pop(SETTING, "")
    if not text:
        return
    given = msgspec.json.decode(text, type=Confinement)
    try:
        put_up(given.walls, given.layers)
    except Unwalled as error:
        print(f"mai: {error.sentence}\nhint: {error.hint}", file=sys.stderr, flush=True)
        sys.exit(1)
    _said, _pid = report(given.layers), given.pid


def walled() -> Report:
    """How this process is walled."""
    return _said


def host_pid() -> int:
    """Our pid as the daemon and its operators know it; in a namespace of our own we have another one."""
    return _pid or os.getpid()


def put_up(walls: Walls, layers: Layers) -> None:
    """The layers themselves. Raises Unwalled."""
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        raise Unwalled(f"{threads} threads run, and Landlock binds only the one that asks", "this is a bug of ours")
    private = "namespaces" in layers
    steps: dict[Layer, Callable[[], None]] = {
        "hygiene": tidy,
        "limits": lambda: limits.limit(_limits(walls, layers)),
        "capabilities": lambda: _give_up(walls),
        "memory": lambda: None if walls.compiles else capabilities.no_written_code(programs=walls.programs),
        "landlock": lambda: landlock.restrict(rules(walls, private=private), None if walls.network else ()),
        "seccomp": lambda: _refuse(walls, private=private),
    }
    for layer, step in steps.items():
        if layer in layers:
            try:
                step()
            except (OSError, ValueError) as error:
                raise Unwalled(f"the wall {layer} cannot be put up: {error}", "mai doctor says what this host gives") from error


def tidy(kept: int = 2) -> None:
    """Close all descriptors above `kept`, and have a keyring of our own: the user's is shared by all that is the user's."""
    call("close_range", kept + 1, 0xFFFFFFFF, 0)
    with contextlib.suppress(OSError):  # no keyrings here, or another filter around us refuses them: nothing to reach, then
        call("keyctl", _JOIN_SESSION_KEYRING, None)
    os.umask(0o077)


def _limits(walls: Walls, layers: Layers) -> dict[str, int]:
    """Processes are counted by user and user namespace: shared with others, a bound would be theirs as well."""
    shared = not (walls.user and "user" in layers) and (os.geteuid() == 0 or "namespaces" not in layers)
    return {name: value for name, value in walls.limits.items() if not (shared and name == "processes")}


def _give_up(walls: Walls) -> None:
    capabilities.drop(walls.kept)
    capabilities.no_new_privileges()
    capabilities.hide()


def _refuse(walls: Walls, *, private: bool) -> None:
    families = seccomp.UNIX | (seccomp.INTERNET | seccomp.NETLINK if walls.network else frozenset())
    seccomp.install(families, programs=walls.programs, metadata=private or walls.modes)


def rules(walls: Walls, *, private: bool) -> Iterator[tuple[str, int]]:
    """For Landlock. `private`: in a root of its own, where /tmp and /proc are its own as well."""
    read = landlock.READ | (landlock.EXECUTE if walls.programs else 0)
    hidden = () if private else tuple(path for path in walls.hidden if path not in walls.reads)
    for paths, rights in ((walls.reads, landlock.READ), (walls.runs, read)):
        for path in paths:
            yield from around(path, rights, hidden)
    if private:
        yield from ((path, landlock.WRITE | landlock.SOCKETS | landlock.LINKS) for path in _SCRATCH)
        yield from ((path, landlock.READ) for path in ("/proc", "/etc", "/sys"))
        yield "/", landlock.LIST  # what is not to be seen is not there
    else:
        yield from ((f"/etc/{name}", landlock.READ) for name in walls.etc)
        yield from ((path, landlock.LIST) for path in walls.lists)
        yield from ((path, landlock.READ) for path in (["/proc", "/sys/devices/system/cpu"] if walls.machine else ["/proc/self"]))
    yield from ((path, landlock.CONNECT) for path in walls.connects)
    yield from ((path, landlock.WRITE) for path in (walls.home, *walls.writes))
    yield from ((path, landlock.WRITE | landlock.SOCKETS | landlock.CONNECT) for path in walls.binds)
    yield from ((path, landlock.WRITE | landlock.SOCKETS | landlock.LINKS | landlock.CONNECT) for path in walls.links)
    yield from ((f"/dev/{name}", landlock.READ) for name in _DEVICES)
    yield "/dev/null", landlock.CHANGE


def around(path: str, rights: int, hidden: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Rules for a path without the hidden ones below it: a rule cannot be taken back further down, so its other parts get them.

    The names in the directories on the way to them stay readable.
    """
    below = [one for one in hidden if one.startswith(path.rstrip("/") + "/")]
    if path in hidden:
        return
    if not below:
        yield path, rights
        return
    yield path, landlock.LIST
    try:
        names = os.listdir(path)
    except OSError:
        return
    for name in names:
        yield from around(os.path.join(path, name), rights, tuple(below))


def hide() -> None:
    """For the supervisor and the watchdog, which wall the others off: no new rights, and nobody of their user looks in."""
    capabilities.no_new_privileges()
    capabilities.hide()
