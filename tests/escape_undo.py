"""Attempts of the escape campaign: taking the walls down again, and leaving something behind."""

import ctypes
import os
import resource
import signal
import struct
from pathlib import Path

from tests.escape_kit import Facts, attempt, checked, libc, need, syscall

PR_SET_DUMPABLE, PR_GET_DUMPABLE, PR_SET_PTRACER, PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 4, 3, 0x59616D61, 1, 38


def prctl(option: int, *given: int) -> int:
    """prctl(2). Raises OSError."""
    return checked(libc.prctl(option, *[ctypes.c_ulong(one) for one in (*given, 0, 0, 0, 0)[:4]]), f"prctl {option}")


@attempt("kernel", "let others look into its memory again (PR_SET_DUMPABLE)")
def make_dumpable(f: Facts) -> None:
    prctl(PR_SET_DUMPABLE, 1)
    need(prctl(PR_GET_DUMPABLE) == 1, "still not")


@attempt("kernel", "raise its limits again")
def raise_limits(f: Facts) -> object:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    wanted = min(before[1] + 1000, 900_000)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except ValueError:
        need(before[1] > 10_000, "not above what it has")  # there was no limit worth the name
    return resource.getrlimit(resource.RLIMIT_NOFILE)


@attempt("kernel", "allow itself more by a Landlock ruleset of its own", gives="secret")
def widen_landlock(f: Facts) -> object:
    given = struct.pack("=Q", 4)
    ruleset = syscall("landlock_create_ruleset", given, len(given), 0)
    rule = struct.pack("=Qi", 4, os.open("/", os.O_PATH))
    syscall("landlock_add_rule", ruleset, 1, rule, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    syscall("landlock_restrict_self", ruleset, 0)
    return Path(f.vault_home, "files", "secret").read_text()


@attempt("kernel", "allow itself more by a filter of its own (seccomp)")
def widen_seccomp(f: Facts) -> object:
    program = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000), 8)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    libc.syscall(
        ctypes.c_long(317 if os.uname().machine == "x86_64" else 277),
        1,
        0,
        struct.pack("=HxxxxxxQ", 1, ctypes.addressof(program)),
    )
    return syscall("unshare", 0x10000000)


@attempt("kernel", "allow everybody to trace it (PR_SET_PTRACER)")
def allow_tracing(f: Facts) -> None:
    try:
        prctl(PR_SET_PTRACER, (1 << 64) - 1)
    except OSError as error:
        need(error.errno == 22, str(error))  # EINVAL: this kernel has no such restriction at all


@attempt("kernel", "leave a core file, with what is in its memory")
def leave_core(f: Facts) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    need(resource.getrlimit(resource.RLIMIT_CORE)[0], "a core file may have no bytes")
    pid = os.fork()
    if pid == 0:
        os.chdir(f.home)
        os.kill(os.getpid(), signal.SIGSEGV)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    for path in Path(f.home).glob("core*"):
        path.unlink()
    need(os.WCOREDUMP(status), "no core file")


@attempt("kernel", "live on when its department ends", changes="survivor")
def live_on(f: Facts) -> object:
    """A child that gives itself another parent and session; killed by the harness if it is left."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        prctl(PR_SET_PDEATHSIG, 0)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2:
                with open(os.devnull) as null:
                    os.dup2(null.fileno(), int(name))
        libc.prctl(15, ctypes.c_char_p(f.survivor.encode()), 0, 0, 0)
        signal.alarm(120)
        while True:
            signal.pause()
    return os.waitpid(pid, 0)[1]


@attempt("kernel", "change the compiled code that another department loads", changes="own_code")
def change_compiled(f: Facts) -> object:
    found = list(Path(f.vault_home, "pycache").rglob("*.pyc"))
    need(found, "nothing there")
    return [path.write_bytes(path.read_bytes() + b"x") for path in found]
