"""Attempts of the escape campaign: what the kernel offers to whoever asks for it. Nothing of it changes the machine."""

import ctypes
import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

from tests.escape_kit import NUMBERS, Facts, attempt, checked, libc, need, syscall

MAP_PRIVATE, MAP_ANONYMOUS, READ, WRITE, EXEC = 2, 32, 1, 2, 4
NEW_NS, NEW_USER, NEW_NET, NEW_PID = 0x20000, 0x10000000, 0x40000000, 0x20000000
RETURNS_42 = {"x86_64": b"\xb8\x2a\x00\x00\x00\xc3", "aarch64": b"\x40\x05\x80\x52\xc0\x03\x5f\xd6"}[os.uname().machine]


# -- another user, other programs
@attempt("kernel", "become root")
def become_root(f: Facts) -> object:
    os.setresuid(0, 0, 0)
    need(os.access("/proc/self/mem", os.W_OK) and os.geteuid() == 0 and capable(), "root in name only")
    return os.geteuid()


def capable() -> bool:
    """Is there any capability over anything?"""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return int(line.split()[1], 16) != 0


@attempt("kernel", "become another user")
def become_other(f: Facts) -> None:
    os.setresuid(12345, 12345, 12345)


@attempt("kernel", "have a capability")
def have_capability(f: Facts) -> object:
    need(capable(), "none")
    return Path("/proc/self/status").read_text().split("CapEff:")[1][:20]


@attempt("kernel", "start a program of the host")
def start_program(f: Facts) -> None:
    done = subprocess.run(["/bin/sh", "-c", "echo ran"], capture_output=True, text=True, timeout=5, check=True)
    need("ran" in done.stdout, done.stderr)


@attempt("kernel", "start a program of its own making")
def start_own_program(f: Facts) -> object:
    program = shutil.copy("/bin/true", f"{f.home}/program")
    os.chmod(program, 0o700)
    try:
        return subprocess.run([program], timeout=5, check=True).returncode
    finally:
        os.unlink(program)


@attempt("kernel", "start a program that lies in memory only")
def start_from_memory(f: Facts) -> None:
    descriptor = syscall("memfd_create", b"program", 0)
    os.write(descriptor, Path("/bin/true").read_bytes())
    pid = os.fork()
    if pid == 0:
        empty = (ctypes.c_char_p * 2)(b"program", None)
        syscall("execveat", descriptor, b"", empty, (ctypes.c_char_p * 1)(None), 0x1000)
        os._exit(1)
    need(os.waitpid(pid, 0)[1] == 0, "not started")


@attempt("kernel", "get root by a setuid program")
def start_setuid(f: Facts) -> None:
    program = next((p for p in ("/usr/bin/su", "/bin/su", "/usr/bin/passwd", "/bin/mount") if os.path.exists(p)), "")
    need(program and os.stat(program).st_mode & 0o4000, "none here")
    status = "import os,sys; print(open('/proc/self/status').read())"
    done = subprocess.run(["/usr/bin/python3", "-c", status], capture_output=True, text=True, timeout=5, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("NoNewPrivs"))
    need(line.endswith("0"), "programs get no new rights")


# -- code
@attempt("kernel", "load a library of its own making")
def load_library(f: Facts) -> object:
    source = next(
        line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libm.so" in line or "libz.so" in line
    )
    own = shutil.copy(source, f"{f.home}/library.so")
    try:
        return ctypes.CDLL(own)
    finally:
        os.unlink(own)


@attempt("kernel", "write code into memory and run it")
def write_code(f: Facts) -> None:
    place = libc.mmap(None, ctypes.c_size_t(4096), READ | WRITE | EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, ctypes.c_long(0))
    need(place != ctypes.c_void_p(-1).value, "not mapped")
    ctypes.memmove(place, RETURNS_42, len(RETURNS_42))
    need(ctypes.CFUNCTYPE(ctypes.c_int)(place)() == 42, "it did not run")


@attempt("kernel", "make written memory executable afterwards")
def turn_code(f: Facts) -> None:
    place = libc.mmap(None, ctypes.c_size_t(4096), READ | WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, ctypes.c_long(0))
    ctypes.memmove(place, RETURNS_42, len(RETURNS_42))
    checked(libc.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(4096), READ | EXEC), "mprotect")
    need(ctypes.CFUNCTYPE(ctypes.c_int)(place)() == 42, "it did not run")


@attempt("kernel", "map a file of its own as code")
def map_code(f: Facts) -> object:
    path = Path(f.home, "code")
    path.write_bytes(RETURNS_42 + bytes(4096))
    with path.open("rb") as file:
        path.unlink()
        mapped = mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, READ | EXEC)
        return mapped[0]


# -- namespaces and mounts
@attempt("kernel", "make a user namespace, in which it is root")
def user_namespace(f: Facts) -> object:
    return syscall("unshare", NEW_USER)


@attempt("kernel", "make a mount namespace")
def mount_namespace(f: Facts) -> object:
    return syscall("unshare", NEW_NS)


@attempt("kernel", "make a user namespace by clone3, whose flags a filter cannot see")
def clone3_namespace(f: Facts) -> object:
    given = struct.pack("=11Q", NEW_USER, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
    pid = syscall("clone3", given, len(given))
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)[1]


@attempt("kernel", "mount a file system")
def mount_tmpfs(f: Facts) -> object:
    checked(libc.mount(b"none", f.home.encode(), b"tmpfs", ctypes.c_ulong(0), b"size=64k"), "mount")
    return checked(libc.umount2(f.home.encode(), 2), "umount")


@attempt("kernel", "mount by the newer calls (fsopen)")
def mount_new(f: Facts) -> object:
    return syscall("fsopen", b"tmpfs", 0)


@attempt("kernel", "copy a part of the tree of mounts (open_tree)")
def copy_tree(f: Facts) -> object:
    return syscall("open_tree", -100, b"/", 1)


@attempt("kernel", "change its root directory (chroot)")
def change_root(f: Facts) -> object:
    return syscall("chroot", b"/")


# -- the kernel's larger doors
@attempt("kernel", "set up io_uring")
def io_uring(f: Facts) -> object:
    return syscall("io_uring_setup", 4, ctypes.create_string_buffer(120))


@attempt("kernel", "measure by perf_event_open")
def perf(f: Facts) -> object:
    given = ctypes.create_string_buffer(struct.pack("=IIQQQQQ", 1, 112, 0, 0, 0, 0, 0x61) + bytes(64))
    return syscall("perf_event_open", given, 0, -1, -1, 0)


@attempt("kernel", "use bpf")
def bpf(f: Facts) -> object:
    given = ctypes.create_string_buffer(struct.pack("=IIIII", 2, 4, 4, 1, 0) + bytes(100))
    return syscall("bpf", 0, given, 72)


@attempt("kernel", "handle page faults of its own (userfaultfd)")
def userfaultfd(f: Facts) -> object:
    return syscall("userfaultfd", 1)


@attempt("kernel", "use the kernel's keys")
def keys(f: Facts) -> object:
    return syscall("add_key", b"user", b"own", b"x", 1, -2)


@attempt("kernel", "hide memory from the kernel (memfd_secret)")
def secret_memory(f: Facts) -> object:
    return syscall("memfd_secret", 0)


@attempt("kernel", "read the kernel's messages")
def kernel_log(f: Facts) -> object:
    return syscall("syslog", 10, None, 0)


@attempt("kernel", "ask to be told of everybody's files (fanotify)")
def fanotify(f: Facts) -> object:
    return syscall("fanotify_init", 0, 0)


@attempt("kernel", "load a module")
def load_module(f: Facts) -> None:
    try:
        syscall("init_module", b"", 0, b"")
    except OSError as error:
        need(error.errno == 8, str(error))  # ENOEXEC: it would have been allowed to, had it been a module


@attempt("kernel", "set the host's name")
def set_name(f: Facts) -> object:
    name = os.uname().nodename.encode()
    return syscall("sethostname", name, len(name))


@attempt("kernel", "change how addresses are laid out (personality)")
def personality(f: Facts) -> object:
    return syscall("personality", 0x0040000)


@attempt("kernel", "move pages between pipes and memory (vmsplice)")
def vmsplice(f: Facts) -> object:
    _, writer = os.pipe()
    data = ctypes.create_string_buffer(b"x", 1)
    return syscall("vmsplice", writer, struct.pack("=QQ", ctypes.addressof(data), 1), 1, 0)


@attempt("kernel", "call what this kernel's filter has never heard of")
def unknown_call(f: Facts) -> object:
    # landlock_restrict_self with nonsense answers EBADF or EINVAL; what lies above the table has to be ENOSYS
    libc.syscall(ctypes.c_long(467), *[ctypes.c_long(-1)] * 4)
    need(ctypes.get_errno() not in (1, 38), f"{os.strerror(ctypes.get_errno())}")
    return len(NUMBERS)


@attempt("kernel", "call by the numbers of x32")
def x32(f: Facts) -> object:
    return checked(int(libc.syscall(ctypes.c_long(0x40000000 + 39))), "getpid")
