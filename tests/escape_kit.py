"""What the attempts of the escape campaign are made of. Runs inside a department, with the standard library alone.

    @attempt("files", "read another department's file", gives="secret")
    def read_secret(facts): return Path(facts.secret).read_text()

An attempt works if it returns, does not raise, and is believed outside: with `gives`, what it returns has to hold that secret,
which only its owner and the harness know; with `changes`, a check of the harness has to see what was done. `listed`: it is
expected to work in full, and SECURITY.md says so.
"""

import ctypes
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

Facts = SimpleNamespace  # where things are, as the harness knows it: paths, pids, ports, never a secret
Call = Callable[[Facts], object]

GROUPS = ("files", "processes", "ipc", "network", "kernel", "resources", "messages", "journal")
AUDIT_ARCH = os.uname().machine
# x86_64 / aarch64, from the kernel's headers
NUMBERS = {
    name: numbers[AUDIT_ARCH == "aarch64"]
    for name, numbers in {
        "ptrace": (101, 117), "process_vm_readv": (310, 270), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
        "pidfd_send_signal": (424, 424), "rt_tgsigqueueinfo": (297, 240), "kcmp": (312, 272), "ioprio_set": (251, 30),
        "process_madvise": (440, 440), "prlimit64": (302, 261), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
        "inotify_init1": (294, 26), "inotify_add_watch": (254, 27), "memfd_create": (319, 279), "execveat": (322, 281),
        "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "pivot_root": (155, 41), "chroot": (161, 51),
        "fsopen": (430, 430), "open_tree": (428, 428), "io_uring_setup": (425, 425), "perf_event_open": (298, 241),
        "bpf": (321, 280), "userfaultfd": (323, 282), "add_key": (248, 217), "keyctl": (250, 219), "syslog": (103, 116),
        "personality": (135, 92), "seccomp": (317, 277), "capset": (126, 91), "mknodat": (259, 33), "clone3": (435, 435),
        "fanotify_init": (300, 262), "sethostname": (170, 161), "quotactl": (179, 60), "memfd_secret": (447, 447),
        "move_pages": (279, 239), "shmget": (29, 194), "shmat": (30, 196), "semget": (64, 190), "semctl": (66, 191),
        "msgget": (68, 186), "msgrcv": (70, 188), "mq_open": (240, 180), "mq_timedreceive": (243, 183), "vmsplice": (278, 75),
        "landlock_create_ruleset": (444, 444), "landlock_add_rule": (445, 445), "landlock_restrict_self": (446, 446),
        "kexec_load": (246, 104), "init_module": (175, 105), "sched_setaffinity": (203, 122),
    }.items()
}  # fmt: skip


class Attempt(NamedTuple):
    """One attempt, and how it is judged."""

    name: str
    group: str
    says: str
    call: Call
    gives: str = ""
    changes: str = ""
    listed: str = ""
    inside: bool = False  # in the department's process itself, not in a child of it


ATTEMPTS: dict[str, Attempt] = {}


def attempt(
    group: str, says: str, *, gives: str = "", changes: str = "", listed: str = "", inside: bool = False
) -> Callable[[Call], Call]:
    """Register an attempt under its function's name."""

    def register(call: Call) -> Call:
        name = getattr(call, "__name__", "")
        assert name not in ATTEMPTS and group in GROUPS
        ATTEMPTS[name] = Attempt(name, group, says, call, gives, changes, listed, inside)
        return call

    return register


class Failed(Exception):
    """It did not work, though nothing was refused."""


libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.mmap.restype = ctypes.c_void_p
libc.shmat.restype = ctypes.c_void_p


def syscall(name: str, *given: Any) -> int:
    """A system call by name; numbers go as long. Raises OSError."""
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in given]
    return checked(int(libc.syscall(ctypes.c_long(NUMBERS[name]), *wide)), name)


def checked(result: int, what: str) -> int:
    """A result of a function of C that is -1 on an error. Raises OSError."""
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def need(true: object, what: str) -> None:
    """It has not worked unless this is so."""
    if not true:
        raise Failed(what)
