"""Attempts of the escape campaign: more of the machine than a department's share. All are bounded, and end with their process.

What counts as too much is far above what a department needs, and far below what would hurt the machine that this runs on.
"""

import mmap
import os
import resource
import signal
import socket
import struct
import threading
import time
from pathlib import Path

from tests.escape_kit import Facts, attempt, need, syscall

GIB = 1 << 30
PROCESSES, DESCRIPTORS, MEMORY, FILE, SHARED, LOCKED = 200, 8000, 20 * GIB, 65 * GIB, 400 << 20, 64 << 20


def reserved(size: int, flags: int) -> int:
    """Address space, of which only the first and the last page are touched."""
    with mmap.mmap(-1, size, flags=flags) as area:
        area[0] = area[size - 1] = 1
        return len(area)


@attempt("resources", "more processes than are good for the others", changes="exhausted")
def processes(f: Facts) -> object:
    reader, writer = os.pipe()
    count = 0
    try:
        for _ in range(PROCESSES):
            if os.fork() == 0:
                os.close(writer)
                signal.alarm(20)
                os.read(reader, 1)
                os._exit(0)
            count += 1
    except OSError as error:
        need(False, f"{count}, then {error.strerror}")
    finally:
        os.close(writer)
    return count


@attempt("resources", "more threads than are good for the others", changes="exhausted")
def threads(f: Facts) -> object:
    threading.stack_size(64 << 10)
    end, count = threading.Event(), 0
    try:
        for _ in range(PROCESSES):
            threading.Thread(target=end.wait, args=(20,), daemon=True).start()
            count += 1
    except RuntimeError as error:
        need(False, f"{count}, then {error}")
    finally:
        end.set()
    return count


@attempt("resources", "20 GiB of memory in one process")
def memory(f: Facts) -> object:
    return reserved(MEMORY, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)


@attempt("resources", "20 GiB of shared memory in one process (MAP_SHARED)")
def shared_memory(f: Facts) -> object:
    return reserved(MEMORY, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x4000)


@attempt("resources", "memory in a file that has no name (memfd), beside all limits")
def memory_file(f: Facts) -> object:
    descriptor = syscall("memfd_create", b"hoard", 0)
    block = bytes(1 << 20)
    return sum(os.write(descriptor, block) for _ in range(64))


@attempt("resources", "fill /dev/shm, which is memory too")
def fill_shm(f: Facts) -> object:
    return filled("/dev/shm/mai-escape-fill", SHARED)


@attempt("resources", "fill /tmp")
def fill_tmp(f: Facts) -> object:
    return filled("/tmp/mai-escape-fill", SHARED)


def filled(path: str, size: int) -> int:
    """A file of this size, block by block; removed again."""
    block, wrote = bytes(4 << 20), 0
    try:
        with open(path, "wb", 0) as file:
            while wrote < size:
                part = file.write(block)
                need(part == len(block), f"full after {wrote >> 20} MiB")
                wrote += part
    finally:
        if os.path.exists(path):
            os.unlink(path)
    return wrote


@attempt("resources", "one file larger than any ledger")
def large_file(f: Facts) -> object:
    path = f"{f.home}/large"
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with open(path, "wb") as file:
            file.truncate(FILE)
        return os.path.getsize(path)
    finally:
        os.unlink(path)


@attempt("resources", "more descriptors than a process needs")
def descriptors(f: Facts) -> object:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    opened = []
    try:
        for _ in range(DESCRIPTORS):
            opened.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        for one in opened:
            os.close(one)
    return soft, len(opened)


@attempt("resources", "memory that is never paged out (mlock)")
def locked(f: Facts) -> object:
    from tests.escape_kit import checked, libc

    place = libc.mmap(None, LOCKED, 3, 0x22, -1, 0)
    import ctypes

    return checked(libc.mlock(ctypes.c_void_p(place), ctypes.c_size_t(LOCKED)), "mlock")


@attempt("resources", "a priority above the others'")
def priority(f: Facts) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, -10)


@attempt("resources", "real time, before which all others wait")
def real_time(f: Facts) -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@attempt("resources", "a queue of messages in the kernel (POSIX)")
def message_queue(f: Facts) -> object:
    attributes = struct.pack("=8q", 0, 10, 8192, 0, 0, 0, 0, 0)
    return syscall("mq_open", b"mai-escape-hoard", os.O_CREAT | os.O_RDWR, 0o600, attributes)


@attempt(
    "resources", "memory in the buffers of pipes and sockets, beside all limits", listed="memory of the kernel for one's own"
)
def buffers(f: Facts) -> None:
    held, wrote = [], 0
    for _ in range(40):
        one, other = socket.socketpair()
        one.setblocking(False)
        held.append((one, other))
        try:
            while wrote < 4 << 20:
                wrote += one.send(bytes(32 << 10))
        except BlockingIOError:
            continue
    need(wrote >= 4 << 20, f"{wrote} bytes")


@attempt("resources", "memory in several processes together", listed="total memory without a cgroup")
def much_memory(f: Facts) -> object:
    """Each takes less than it may, together they have more: 12 times 2 GiB of address space, of which 8 MiB each are touched."""
    reader, writer = os.pipe()
    for _ in range(12):
        if os.fork() == 0:
            signal.alarm(20)
            with mmap.mmap(-1, 2 * GIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000) as area:
                area[: 8 << 20] = b"x" * (8 << 20)
                os.write(writer, b"1")
                time.sleep(10)
            os._exit(0)
    said = b""
    while len(said) < 12:
        said += os.read(reader, 12)
    return len(said)


@attempt("resources", "the disk, by many files", listed="the disk, filled by many files")
def many_files(f: Facts) -> object:
    """None of them too large: 20 files of 1 MiB stand for as many as one likes."""
    directory = Path(f.home, "files", "hoard")
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(20):
        (directory / str(number)).write_bytes(bytes(1 << 20))
    size = sum(path.stat().st_size for path in directory.iterdir())
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    return size


@attempt("resources", "all of a processor", listed="time of the processors without a cgroup")
def processor(f: Facts) -> object:
    end, turns = time.process_time() + 0.5, 0
    while time.process_time() < end:
        turns += 1
    return turns
