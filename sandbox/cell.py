"""A cell: what a program that we start finds around it, tighter than our own walls.

    cell = Cell(home / "work" / "agents" / "porter", reads=[files])
    subprocess.Popen(..., cwd=cell.home, preexec_fn=lambda: cell.enter(parent)); cell.close()

It has a directory of its own and sees of all others' files only programs and libraries, and what it is shown: no ledger, no
key, no mandate, nothing of another program. It reaches no socket, signals and traces nobody but what it has started itself.
All is prepared before the fork; between fork and exec there are a few system calls. It adds to the walls of who starts it, and
holds without them: it needs Landlock (signals: ABI 6) and seccomp, and `lacking` says what the kernel does not give.
"""

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mai.sandbox import capabilities, landlock, limits, seccomp
from mai.sandbox.confine import around, walled
from mai.sandbox.life import die_with_parent
from mai.sandbox.syscalls import NUMBERS, fault, held, prctl
from mai.sandbox.walls import NOT_WANTED, Layer

GIB: Final = 1 << 30
LIMITS: Final = {"core": 0, "files": 1024, "data_bytes": 4 * GIB, "file_bytes": 4 * GIB, "processes": 256}
SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store")
READABLE: Final = ("/etc", "/proc", "/sys/devices/system/cpu", "/sys/fs/cgroup")
DEVICES: Final = ("/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
RUN: Final = landlock.READ | landlock.EXECUTE
OWN: Final = landlock.WRITE | landlock.LINKS
_NO_NEW_PRIVS, _SET_FILTER = 38, 1
_FULL_MAP: Final = "4294967295"  # how many users the first namespace has


class Cell:
    """Prepared for one start. `environment` is to be added to the program's."""

    def __init__(
        self,
        home: Path,
        *,
        runs: Iterable[str | Path] = (),
        reads: Iterable[str | Path] = (),
        writes: Iterable[str | Path] = (),
        hidden: Iterable[str | Path] = (),
        network: bool = False,
    ) -> None:
        """`home`: its directory, made if it is not there; `runs`: it reads and starts what is in these; `hidden`: but not these.

        Raises OSError.
        """
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home = home
        self.environment = {"HOME": str(home), "TMPDIR": str(home)}
        self._limits = {name: value for name, value in LIMITS.items() if name != "processes" or own_users()}
        secret = tuple(map(str, hidden))
        rules: list[tuple[str, int]] = [(path, RUN) for path in (*SYSTEM, sys.prefix, sys.base_prefix)]
        rules += [
            rule for path in (*commands(), *runs) for rule in around(str(path), RUN, secret) if rule[1] == RUN
        ]  # no names on the way
        rules += [(path, landlock.READ) for path in (*READABLE, *DEVICES, os.path.realpath("/etc/resolv.conf"))]
        rules += [*((str(path), landlock.READ) for path in reads), *((str(path), OWN) for path in (home, *writes))]
        rules.append(("/dev/null", landlock.CHANGE))
        self._ruleset = landlock.ruleset(rules, None if network else ()) if landlock.abi() and wanted("landlock") else -1
        self._filter = _filter(seccomp.INTERNET | seccomp.NETLINK if network else frozenset()) if wanted("seccomp") else None

    def enter(self, parent: int) -> None:
        """In the child, before the exec; for good. `parent`: its pid, taken before the fork. Raises OSError."""
        die_with_parent(parent)
        limits.limit(self._limits)
        if os.geteuid() == 0:
            capabilities.drop()  # root's ignore some of these walls
        prctl(_NO_NEW_PRIVS, 1)
        if self._ruleset >= 0:
            _call("landlock_restrict_self", self._ruleset, 0)
        if self._filter:
            _call("seccomp", _SET_FILTER, 0, self._filter.header)

    def close(self) -> None:
        """It was started, or will not be."""
        if self._ruleset >= 0:
            os.close(self._ruleset)
            self._ruleset = -1


def lacking() -> list[str]:
    """What this kernel does not hold a program back from; nothing where cells are whole."""
    found = [] if _filter(frozenset()) and wanted("seccomp") else ["sockets, and calls that no program needs (no seccomp)"]
    if landlock.abi() and wanted("landlock"):
        return [*found, *landlock.lacking()]
    return [*found, "all files of the department, its ledger and key among them, and its processes (no Landlock)"]


def wanted(layer: Layer) -> bool:
    """Has nobody switched it off, to look for a fault?"""
    return walled().missing.get(layer) != NOT_WANTED


@functools.cache
def _filter(families: frozenset[int]) -> seccomp.Filter | None:
    with contextlib.suppress(OSError):
        return seccomp.Filter(seccomp.program(families, programs=True, metadata=False, alone=True))
    return None


@functools.cache
def own_users() -> bool:
    """Are we in a user namespace of our own, so that processes of others are not counted among ours?"""
    try:
        return Path("/proc/self/uid_map").read_text().split()[2:] != [_FULL_MAP]
    except OSError:
        return False


def commands() -> list[str]:
    """Where programs lie; of version managers (pyenv, asdf …), whose shims lead to what lies beside them, all of it."""
    paths = [path for path in os.environ.get("PATH", "").split(os.pathsep) if os.path.isabs(path)]
    return [os.path.dirname(path) if os.path.basename(path) == "shims" else path for path in paths]


def _call(name: str, *arguments: object) -> None:
    """As syscalls.call; without letting others run, of whom there are none between fork and exec."""
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    if held.syscall(ctypes.c_long(NUMBERS[name]), *words) < 0:
        raise fault(name)
