"""Which walls this host gives, found out by putting each of them up in a child: once, when the daemon starts.

A version says little: a container's filter refuses what its kernel has, and some hosts let a user namespace be made and
then refuse the first mount in it.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Callable
from typing import Final

from mai.sandbox import capabilities, confine, landlock, limits, namespaces, outer, seccomp
from mai.sandbox.syscalls import ARCH, KNOWN
from mai.sandbox.walls import LAYERS, NOT_WANTED, Layer, Layers, Walls

SAID_BYTES: Final = 400
HINTS: Final = {
    "namespaces": "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces), on Ubuntu with an"
    " AppArmor profile that has `userns,`; or start the daemon as root",
    "user": "start the daemon where these users are mapped, or name others with MAI_UIDS",
    "landlock": "a kernel from 6.12 on, booted with lsm=landlock,…",
    "memory": "a kernel from 6.6 on",
    "seccomp": "a kernel with CONFIG_SECCOMP_FILTER, and a container that lets seccomp(2) through",
}


def probe(room: str, user: int = 0, wanted: frozenset[str] = frozenset(LAYERS)) -> Layers:
    """Try all layers that are wanted. `room`: a directory of ours; `user`: one that processes may be run as, 0 without."""
    if ARCH not in KNOWN:
        return Layers((), dict.fromkeys(LAYERS, f"the system calls of {ARCH} are not known here"))
    given: list[Layer] = []
    missing: dict[str, str] = {}
    for layer, test in _tests(room, user).items():
        if layer not in wanted:
            why: str | None = NOT_WANTED
        elif layer == "user" and user and "namespaces" not in given:
            why = "it needs a root directory of its own"
        else:
            why = test()
        if why is None:
            given.append(layer)
        elif why:
            missing[layer] = why
    if "landlock" in given and landlock.lacking():
        missing["landlock"] = ", ".join(landlock.lacking())
    return Layers(tuple(given), missing)


def _tests(room: str, user: int) -> dict[Layer, Callable[[], str | None]]:
    """Layer -> a test that gives None if it can be had, why not, or "" if it is not for us."""
    sample = Walls(home=room, runs=_system())
    return {
        "hygiene": lambda: attempt(confine.tidy),
        "limits": lambda: attempt(lambda: limits.limit({"core": 0, "files": 256})),
        "namespaces": lambda: attempt(lambda: _enter(sample), outer.flags(network=False)),
        "user": lambda: attempt(lambda: _become(user)) if user else "",
        "capabilities": lambda: attempt(_give_up),
        "memory": lambda: attempt(lambda: capabilities.no_written_code(programs=True)),
        "landlock": lambda: attempt(lambda: _restrict(room)),
        "seccomp": lambda: attempt(_refuse),
    }


def attempt(function: Callable[[], object], flags: int = 0) -> str | None:
    """Do something in a child, in these namespaces; None if it went well, else why not."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = namespaces.fork_into(flags) if flags else os.fork()
    except OSError as error:
        os.close(reader)
        os.close(writer)
        return str(error)
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(writer, str(error).encode()[:SAID_BYTES])
        finally:
            os._exit(status)
    os.close(writer)
    said = os.read(reader, SAID_BYTES).decode(errors="replace")
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None if status == 0 else said or f"the child that tried it ended with {status}"


def _system() -> tuple[str, ...]:
    return tuple(path for path in ("/usr", "/bin", "/lib", "/lib64", sys.prefix, sys.base_prefix) if os.path.exists(path))


def _enter(walls: Walls) -> None:
    outer.move(walls)
    if os.getpid() != 1 or os.listdir("/proc/self/task") != ["1"]:
        raise OSError("the namespaces do not hold")


def _become(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _give_up() -> None:
    capabilities.bound()
    capabilities.drop()
    capabilities.no_new_privileges()
    capabilities.hide()


def _restrict(room: str) -> None:
    landlock.restrict([(room, landlock.READ)])
    try:
        os.listdir("/")
    except PermissionError:
        return
    raise OSError("Landlock does not hold")


def _refuse() -> None:
    seccomp.install()
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    except OSError:
        return
    raise OSError("seccomp does not hold")
