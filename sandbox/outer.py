"""The outer half of a process's walls: what its parent does for it between fork and exec.

    pid = fork(layers, network=False)           the child is the first process of namespaces of its own
    if not pid: enter(walls, layers, parent)    it moves into its root and becomes its own user; then the exec

Whatever cannot be put up though it was tried before raises OSError: the child has to end then, and not to run.
"""

import contextlib
import os
import signal
from typing import Final

from mai.sandbox import capabilities, namespaces
from mai.sandbox.life import PR_SET_PDEATHSIG, die_with_parent
from mai.sandbox.namespaces import Root, Shown
from mai.sandbox.syscalls import call, prctl
from mai.sandbox.walls import Confinement, Layers, Walls

PROCESSORS: Final = "/sys/devices/system/cpu"
ASKED_TO_STOP: Final = (signal.SIGTERM, signal.SIGINT)


def fork(layers: Layers, *, network: bool) -> int:
    """A fork, into namespaces if this host gives them; `network`: it stays in the host's network. Raises OSError."""
    return namespaces.fork_into(flags(network=network)) if "namespaces" in layers else os.fork()


def flags(*, network: bool) -> int:
    """Which namespaces."""
    apart = namespaces.MOUNTS | namespaces.PIDS | namespaces.IPC | namespaces.NAMES
    return apart | (0 if network else namespaces.NETWORK) | (namespaces.USER if os.geteuid() else 0)


def enter(walls: Walls, layers: Layers, parent: int) -> Confinement:
    """In the child, before the exec. `parent`: its pid, taken before the fork. What the child has to be told. Raises OSError."""
    own(walls)
    if "namespaces" not in layers:
        _give_up(walls, layers)
        die_with_parent(parent)
        return Confinement(walls, layers, os.getpid())
    # A signal with no handler is dropped by the first process of a namespace, unless it is blocked: Signals unblocks them.
    signal.pthread_sigmask(signal.SIG_BLOCK, ASKED_TO_STOP)
    status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)  # the host's: getppid() is 0 in here
    with contextlib.suppress(OSError):  # no such namespace in this kernel; not in fork, because the child may not have been in
        call("unshare", namespaces.CGROUP)  # its cgroup yet
    move(walls)
    _give_up(walls, layers)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
    found = _numbers(status)
    if found["PPid"] != parent:
        os._exit(1)
    os.close(status)
    return Confinement(walls, layers, found["Pid"])


def move(walls: Walls) -> None:
    """Into a root directory with nothing in it but what these walls show. Raises OSError."""
    if os.geteuid():
        prctl(capabilities.SET_DUMPABLE, 1)  # or its files in /proc are root's
        namespaces.map_own_user()
    root = Root(shown(walls), walls.etc)
    root.enter(walls.home, {"/etc/passwd": _passwd(walls), "/etc/group": b""}, whole_proc=walls.machine)


def shown(walls: Walls) -> list[Shown]:
    """What is put into its root."""
    return [
        *(Shown(path, "hidden") for path in walls.hidden),
        *(Shown(path, "read") for path in (*walls.reads, *([PROCESSORS] if walls.machine else []))),
        *(Shown(path, "read", runs=True) for path in walls.runs),
        *(Shown(path, "socket") for path in walls.connects),
        *(Shown(path, "write") for path in (walls.home, *walls.writes, *walls.binds, *walls.links)),
    ]


def own(walls: Walls) -> None:
    """As root: what lies in its directory becomes its own, if another has put it there, such as `mai rebuild`."""
    if not os.geteuid():
        _own(walls.home, walls)
        files = os.path.join(walls.home, "files")  # laid out for it, with what `mai restore` has put there
        if os.path.isdir(files) and not os.path.islink(files):
            _own(files, walls)


def _own(directory: str, walls: Walls) -> None:
    """The directory, what is in it, and all below what was not its own: a look at each file of it would be too dear."""
    for path in (directory, *(entry.path for entry in os.scandir(directory))):
        found = os.lstat(path)
        if found.st_uid != walls.user:
            os.chown(path, walls.user, walls.group, follow_symlinks=False)
            if path != directory and os.path.isdir(path) and not os.path.islink(path):
                _own(path, walls)


def _give_up(walls: Walls, layers: Layers) -> None:
    """Capabilities that no program may have again, and being root."""
    if "capabilities" in layers:
        capabilities.bound(walls.kept)
    if "user" in layers and walls.user:
        become(walls)
    if "capabilities" in layers:
        capabilities.no_new_privileges()


def become(walls: Walls) -> None:
    """Its own user, with the capabilities that it keeps. Raises OSError."""
    if walls.kept:
        capabilities.keep_over_change_of_user()
    os.setgroups([])
    os.setresgid(walls.group, walls.group, walls.group)
    os.setresuid(walls.user, walls.user, walls.user)
    if walls.kept:
        capabilities.drop(walls.kept)


def _passwd(walls: Walls) -> bytes:
    uid, gid = walls.user or os.geteuid(), walls.group or os.getegid()
    return f"mai:x:{uid}:{gid}::{walls.home}:/bin/sh\n".encode()


def _numbers(status: int) -> dict[str, int]:
    """Our pid and our parent's, as the /proc that this file is of counts."""
    fields = (line.split() for line in os.pread(status, 4096, 0).decode().splitlines())
    return {field[0].rstrip(":"): int(field[1]) for field in fields if field[0] in ("Pid:", "PPid:")}
