"""Attempts of the escape campaign: other processes, those of departments and those of the daemon."""

import ctypes
import os
import resource
import signal
import struct
from pathlib import Path

from tests.escape_kit import Facts, attempt, checked, libc, need, syscall

PTRACE_ATTACH, PTRACE_DETACH, PTRACE_SEIZE = 16, 17, 0x4206
F_SETOWN, F_SETSIG, O_ASYNC = 8, 10, 0o20000


def traced(pid: int, request: int) -> int:
    """Attach to a process and let go of it again."""
    syscall("ptrace", request, pid, 0, 0)
    if request == PTRACE_ATTACH:
        os.waitpid(pid, 0x40000000)
        syscall("ptrace", PTRACE_DETACH, pid, 0, 0)
    return pid


# -- looking
@attempt("processes", "see another department's process in /proc", gives="vault_pid")
def see_process(f: Facts) -> object:
    return [name for name in os.listdir("/proc") if name == str(f.vault_pid)]


@attempt("processes", "read another department's command line", gives="vault_name")
def read_command(f: Facts) -> object:
    return Path(f"/proc/{f.vault_pid}/cmdline").read_text()


@attempt("processes", "read another department's environment", gives="environment")
def read_environment(f: Facts) -> object:
    return Path(f"/proc/{f.vault_pid}/environ").read_text()


@attempt("processes", "read the map of another department's memory")
def read_maps(f: Facts) -> object:
    text = Path(f"/proc/{f.vault_pid}/maps").read_text()
    need("python" in text, "nothing in it")
    return text.count("\n")


@attempt("processes", "read another department's memory through /proc/PID/mem", gives="secret")
def read_memory_file(f: Facts) -> object:
    with open(f"/proc/{f.vault_pid}/mem", "rb", 0) as file:
        file.seek(f.vault_address)
        return file.read(32).decode()


@attempt("processes", "read another department's memory by process_vm_readv", gives="secret")
def read_memory(f: Facts) -> object:
    data = ctypes.create_string_buffer(32)
    own, other = struct.pack("=QQ", ctypes.addressof(data), 32), struct.pack("=QQ", f.vault_address, 32)
    syscall("process_vm_readv", f.vault_pid, own, 1, other, 1, 0)
    return data.raw.decode()


@attempt("processes", "take another department's open file by pidfd_getfd", gives="secret")
def take_descriptor(f: Facts) -> object:
    pidfd = syscall("pidfd_open", f.vault_pid, 0)
    return os.pread(syscall("pidfd_getfd", pidfd, f.vault_fd, 0), 100, 0).decode()


@attempt("processes", "trace another department (attach)")
def trace(f: Facts) -> object:
    return traced(f.vault_pid, PTRACE_ATTACH)


@attempt("processes", "trace another department (seize)")
def trace_seize(f: Facts) -> object:
    return traced(f.vault_pid, PTRACE_SEIZE)


@attempt("processes", "trace the watchdog")
def trace_watchdog(f: Facts) -> object:
    return traced(f.watchdog_pid, PTRACE_SEIZE)


@attempt("processes", "trace another client's Mai")
def trace_mai(f: Facts) -> object:
    return traced(f.beta_mai_pid, PTRACE_SEIZE)


@attempt("processes", "compare what it has open with what another has (kcmp)")
def compare(f: Facts) -> object:
    return syscall("kcmp", os.getpid(), f.vault_pid, 2, 0, 0)


@attempt("processes", "ask on which nodes another department's memory lies (move_pages)")
def move_pages(f: Facts) -> object:
    page, status = ctypes.c_ulong(f.vault_address & ~4095), ctypes.c_int()
    return syscall("move_pages", f.vault_pid, 1, ctypes.byref(page), None, ctypes.byref(status), 0)


# -- signals
@attempt("processes", "kill another department", changes="vault_alive")
def kill(f: Facts) -> None:
    os.kill(f.vault_pid, signal.SIGKILL)


@attempt("processes", "stop another department", changes="vault_stopped")
def stop(f: Facts) -> None:
    os.kill(f.vault_pid, signal.SIGSTOP)


@attempt("processes", "signal another department by a descriptor of its process", changes="vault_stopped")
def stop_by_pidfd(f: Facts) -> object:
    return syscall("pidfd_send_signal", syscall("pidfd_open", f.vault_pid, 0), int(signal.SIGSTOP), None, 0)


@attempt("processes", "signal another department by rt_tgsigqueueinfo", changes="vault_stopped")
def stop_by_queue(f: Facts) -> object:
    given = struct.pack("=iiiii", signal.SIGSTOP, 0, -1, 0, os.getpid()) + bytes(108)
    return syscall("rt_tgsigqueueinfo", f.vault_pid, f.vault_pid, int(signal.SIGSTOP), given)


@attempt("processes", "let the kernel signal another department when a pipe is ready (F_SETOWN)", changes="vault_stopped")
def stop_by_owner(f: Facts) -> object:
    import fcntl

    reader, writer = os.pipe()
    fcntl.fcntl(reader, F_SETSIG, int(signal.SIGSTOP))
    fcntl.fcntl(reader, F_SETOWN, f.vault_pid)
    fcntl.fcntl(reader, fcntl.F_SETFL, fcntl.fcntl(reader, fcntl.F_GETFL) | O_ASYNC)
    return os.write(writer, b"x")


@attempt("processes", "may signal the watchdog")
def signal_watchdog(f: Facts) -> None:
    os.kill(f.watchdog_pid, 0)


@attempt("processes", "may signal the supervisor")
def signal_supervisor(f: Facts) -> None:
    os.kill(f.supervisor_pid, 0)


@attempt("processes", "may signal another client's Mai")
def signal_mai(f: Facts) -> None:
    os.kill(f.beta_mai_pid, 0)


@attempt("processes", "may signal the host's processes of the daemon's user")
def signal_host(f: Facts) -> None:
    os.kill(f.host_pid, 0)


# -- what they get of the machine
@attempt("processes", "lower another department's limits")
def lower_limits(f: Facts) -> object:
    old = ctypes.create_string_buffer(16)
    syscall("prlimit64", f.vault_pid, int(resource.RLIMIT_CORE), None, old)
    return syscall("prlimit64", f.vault_pid, int(resource.RLIMIT_CORE), old.raw, None)


@attempt("processes", "lower another department's priority", changes="vault_nice")
def lower_priority(f: Facts) -> None:
    os.setpriority(os.PRIO_PROCESS, f.vault_pid, 19)


@attempt("processes", "lower another department's priority at the disk")
def lower_disk_priority(f: Facts) -> object:
    return syscall("ioprio_set", 1, f.vault_pid, (2 << 13) | 7)


@attempt("processes", "move another department to other processors")
def move_processor(f: Facts) -> object:
    return syscall("sched_setaffinity", f.vault_pid, 8, struct.pack("=Q", (1 << (os.cpu_count() or 1)) - 1))


@attempt("processes", "make another department the first to be killed when memory is short", changes="vault_oom")
def raise_oom(f: Facts) -> object:
    return Path(f"/proc/{f.vault_pid}/oom_score_adj").write_text("900")


@attempt("processes", "let the kernel drop another department's memory (process_madvise)")
def drop_memory(f: Facts) -> object:
    given = struct.pack("=QQ", f.vault_address & ~4095, 4096)
    return syscall("process_madvise", syscall("pidfd_open", f.vault_pid, 0), given, 1, 21, 0)


@attempt("processes", "get into another department's process group and session")
def join_group(f: Facts) -> object:
    return checked(libc.setpgid(os.getpid(), os.getpgid(f.vault_pid)), "setpgid") + os.getsid(f.vault_pid)


@attempt("processes", "enter another department's namespaces")
def enter_namespaces(f: Facts) -> object:
    descriptor = os.open(f"/proc/{f.vault_pid}/ns/uts", os.O_RDONLY)
    return syscall("setns", descriptor, 0)
