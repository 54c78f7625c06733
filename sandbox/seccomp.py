"""seccomp: system calls that no process of ours needs are refused, in a filter that the kernel runs before each call.

    install(programs=True)                  # may start programs; sockets of the family unix only
    install(families=UNIX | INTERNET)       # may use the network, starts no program

A list of what is refused and not of what is allowed: whatever Python, SQLite, ZeroMQ and the users' packages call would
have to be on the other one, for every version of each. What is newer than our table answers ENOSYS, as on an older
kernel. Binds every thread and all that is started, for good; can be done again, to refuse more. See seccomp(2).
"""

import ctypes
import errno
import socket
import struct
from typing import Final

from mai.sandbox.syscalls import ARCH, NEWEST, NUMBERS, call, prctl

UNIX: Final = frozenset({int(socket.AF_UNIX)})
INTERNET: Final = frozenset({int(socket.AF_INET), int(socket.AF_INET6)})
NETLINK: Final = frozenset({16})  # getaddrinfo asks it which addresses there are, and does without

REFUSED: Final = """ptrace process_vm_readv process_vm_writev bpf keyctl add_key request_key mount umount2 pivot_root chroot
unshare setns kexec_load kexec_file_load perf_event_open io_uring_setup io_uring_enter io_uring_register userfaultfd
open_by_handle_at name_to_handle_at pidfd_getfd kcmp init_module finit_module delete_module reboot swapon swapoff acct
settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname iopl ioperm modify_ldt personality
lookup_dcookie quotactl quotactl_fd nfsservctl syslog vhangup fanotify_init fanotify_mark move_mount open_tree fsopen
fsconfig fsmount fspick mount_setattr process_madvise process_mrelease move_pages migrate_pages memfd_secret memfd_create
mq_open mq_unlink shmget shmat shmctl semget semop semctl semtimedop msgget msgsnd msgrcv msgctl pidfd_send_signal
rt_tgsigqueueinfo vmsplice uselib ustat sysfs _sysctl remap_file_pages mknod mknodat inotify_init inotify_init1 setxattr
lsetxattr fsetxattr removexattr lremovexattr""".split()
NEEDED_BY_PROGRAMS: Final = frozenset({"inotify_init", "inotify_init1", "memfd_create"})  # of Node.js and of compilers
# Landlock lets a process change these of each file of its user's; behind a root of its own there are no other files.
METADATA: Final = "chmod fchmodat fchmodat2 chown lchown fchownat utime utimes utimensat futimesat".split()
# Only for oneself, pid 0. Not sched_setscheduler: libzmq passes its own thread's id and aborts if it is refused.
OWN: Final = {"prlimit64": 0, "sched_setaffinity": 0, "setpriority": 1, "ioprio_set": 1}  # which argument is the pid

_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NEW_NAMESPACES: Final = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_PUSHES_INPUT: Final = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: type on another's terminal
_UNDOES: Final = (4, 35, 0x59616D61)  # PR_SET_DUMPABLE, PR_SET_MM, PR_SET_PTRACER
_STREAMS: Final = (int(socket.SOCK_STREAM), int(socket.SOCK_SEQPACKET))
_KIND: Final = 0xF  # of a socket; above it are flags
_AND: Final = 0x54
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # bpf(4), as <linux/bpf_common.h> numbers them
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # places in struct seccomp_data
_SET_FILTER, _ALL_THREADS, _NO_NEW_PRIVS = 1, 1, 38


def install(families: frozenset[int] = UNIX, *, programs: bool = False, metadata: bool = True) -> None:
    """Refuse what the table refuses, sockets of other families, and unless they are wanted new programs and METADATA.

    `programs`: execve works, and what Node.js and compilers call. `metadata` False: of no file, not even its own. A refused
    call gives EPERM, a family EAFNOSUPPORT, an unknown call ENOSYS. Raises OSError; ENOSYS on a machine that is not known.
    """
    filter_ = Filter(program(families, programs=programs, metadata=metadata))
    prctl(_NO_NEW_PRIVS, 1)
    call("seccomp", _SET_FILTER, _ALL_THREADS, filter_.header)


class Filter:
    """A filter, prepared: `header` is the struct sock_fprog for seccomp(2), good for as long as this lives."""

    def __init__(self, data: bytes) -> None:
        self._data = ctypes.create_string_buffer(data, len(data))
        self.header = struct.pack("=HxxxxxxQ", len(data) // 8, ctypes.addressof(self._data))


def program(families: frozenset[int], *, programs: bool, metadata: bool, alone: bool = False) -> bytes:
    """The filter, struct sock_filter after struct sock_filter. Raises OSError on a machine that is not known.

    `alone`: of pairs of sockets only those of streams: a pair of datagrams can be sent to any socket that has a path.
    """
    if ARCH not in _AUDIT_ARCH:
        raise OSError(errno.ENOSYS, f"the system calls of {ARCH} are not known here")
    refused = [name for name in REFUSED if not (programs and name in NEEDED_BY_PROGRAMS)]
    refused += [*([] if metadata else METADATA), *([] if programs else ["execve", "execveat"])]
    parts = [_op(_LOAD, _ARCHITECTURE), _op(_EQUAL, _AUDIT_ARCH[ARCH], 1), _op(_RETURN, _KILL), _op(_LOAD, _NUMBER)]
    if ARCH == "x86_64":
        # A tracer of ours (strace) calls number -1 for a call that it answers itself.
        parts += [_op(_EQUAL, 0xFFFFFFFF, 0, 1), _op(_RETURN, _ALLOW)]
        parts += [_op(_AT_LEAST, 0x40000000, 0, 1), _op(_RETURN, _KILL)]  # the numbers of x32
    parts += [_op(_AT_LEAST, NEWEST + 1, 0, 1), _no(errno.ENOSYS)]
    for name in refused:
        parts += _on(name, [_no(errno.EPERM)])
    parts += _on("clone3", [_no(errno.ENOSYS)])  # its flags lie behind a pointer; glibc falls back to clone
    parts += _on("clone", [_argument(0), _op(_ANY_BIT, _NEW_NAMESPACES, 0, 1), _no(errno.EPERM), _op(_RETURN, _ALLOW)])
    allowed = [one for family in sorted(families) for one in (_op(_EQUAL, family, 0, 1), _op(_RETURN, _ALLOW))]
    parts += _on("socket", [_argument(0), *allowed, _no(errno.EAFNOSUPPORT)])
    if alone:
        streams = [one for kind in _STREAMS for one in (_op(_EQUAL, kind, 0, 1), _op(_RETURN, _ALLOW))]
        parts += _on("socketpair", [_argument(1), _op(_AND, _KIND), *streams, _no(errno.EACCES)])
        parts += [] if families else _on("connect", [_no(errno.EACCES)])
    parts += _on("ioctl", _unless(1, _PUSHES_INPUT)) + _on("prctl", _unless(0, _UNDOES))
    for name, place in OWN.items():
        parts += _on(name, [_argument(place), _op(_EQUAL, 0, 0, 1), _op(_RETURN, _ALLOW), _no(errno.EPERM)])
    return b"".join([*parts, _op(_RETURN, _ALLOW)])


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _no(error: int) -> bytes:
    return _op(_RETURN, _ERROR | error)


def _argument(place: int) -> bytes:
    """Load the lower half of an argument: all that we look at are int."""
    return _op(_LOAD, _ARGUMENTS + 8 * place)


def _on(name: str, body: list[bytes]) -> list[bytes]:
    """What happens at a call; its body has to return. Nothing where this machine has no such call."""
    return [_op(_EQUAL, NUMBERS[name], 0, len(body)), *body] if name in NUMBERS else []


def _unless(place: int, values: tuple[int, ...]) -> list[bytes]:
    refused = [one for value in values for one in (_op(_EQUAL, value, 0, 1), _no(errno.EPERM))]
    return [_argument(place), *refused, _op(_RETURN, _ALLOW)]
