"""Each layer of the walls by itself, in a child: what it stops works without it. As root and as an ordinary user."""

import contextlib
import ctypes
import faulthandler
import mmap
import os
import pwd
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mai.sandbox import capabilities, confine, landlock, limits, namespaces, outer, seccomp
from mai.sandbox.landlock import EXECUTE, LIST, READ, WRITE
from mai.sandbox.namespaces import Root, Shown
from mai.sandbox.probe import attempt, probe
from mai.sandbox.syscalls import NEWEST, call, prctl
from mai.sandbox.walls import LAYERS, Layers, Walls, report

SYSTEM = [path for path in ("/usr", "/bin", "/lib", "/lib64", sys.prefix, sys.base_prefix) if os.path.exists(path)]
ALL = probe("/tmp")
needs_namespaces = pytest.mark.skipif("namespaces" not in ALL, reason=f"no namespaces here: {ALL.missing.get('namespaces')}")
needs_landlock = pytest.mark.skipif("landlock" not in ALL, reason=f"no Landlock here: {ALL.missing.get('landlock')}")
needs_memory = pytest.mark.skipif("memory" not in ALL, reason=f"not on this kernel: {ALL.missing.get('memory')}")
Deed = Callable[[], object]


def stops(wall: Deed, deed: Deed) -> bool:
    """Does the deed work without the wall, and not behind it? Each in a child of its own."""
    assert attempt(deed) is None, "it does not even work without the wall"

    def behind() -> None:
        wall()
        try:
            deed()
        except OSError:
            return
        raise AssertionError("the wall does not stop it")

    return attempt(behind) is None


def allows(wall: Deed, deed: Deed) -> str | None:
    """Why the deed does not work behind the wall; None if it does."""

    def behind() -> None:
        wall()
        deed()

    return attempt(behind)


# -- Landlock
def fenced(directory: Path, rights: int = READ) -> Deed:
    """Only this directory, and what Python needs to go on."""
    return lambda: landlock.restrict([*((path, READ | EXECUTE) for path in SYSTEM), (directory, rights)])


@needs_landlock
def test_landlock_leaves_only_the_files_that_are_listed(tmp_path: Path) -> None:
    """What is listed for reading can be read and not written; what is not listed can be neither."""
    (own := tmp_path / "own").mkdir()
    (other := tmp_path / "other").mkdir()
    for directory in (own, other):
        (directory / "file").write_text("x")
    assert stops(fenced(own), (other / "file").read_text)
    assert stops(fenced(own), lambda: os.listdir(other))
    assert stops(fenced(own), lambda: (own / "file").write_text("y"))
    assert stops(fenced(own, WRITE), lambda: (other / "new").write_text("y"))
    assert stops(fenced(own, WRITE), lambda: os.symlink("/etc", own / "link" if not (own / "link").exists() else own / "again"))
    assert allows(fenced(own), (own / "file").read_text) is None
    assert allows(fenced(own, WRITE), lambda: (own / "file").write_text("y")) is None


@needs_landlock
@pytest.mark.skipif(landlock.abi() < 6, reason="scopes of signals and abstract sockets came with ABI 6")
def test_landlock_keeps_from_foreign_processes_and_abstract_sockets(tmp_path: Path) -> None:
    """No signal to a process outside, no abstract socket of one, no TCP at all unless a port is listed."""
    name = f"\0mai-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listens, socket.create_server(("127.0.0.1", 0)) as server:
        listens.bind(name)
        listens.listen()
        port, needs = server.getsockname()[1], [(path, READ) for path in SYSTEM]
        assert stops(fenced(tmp_path), lambda: os.kill(os.getppid(), 0))
        assert stops(fenced(tmp_path), lambda: socket.socket(socket.AF_UNIX).connect(name))
        assert stops(fenced(tmp_path), lambda: socket.create_connection(("127.0.0.1", port)))
        listed: Deed = lambda: landlock.restrict(needs, connect=[port])  # noqa: E731
        assert allows(listed, lambda: socket.create_connection(("127.0.0.1", port))) is None
        assert allows(lambda: landlock.restrict(needs, None), lambda: socket.create_connection(("127.0.0.1", port))) is None


@needs_landlock
def test_what_is_hidden_in_a_readable_directory_is_not_granted(tmp_path: Path) -> None:
    """Rules go around a hidden directory: its neighbours can be read, it and what lies in it cannot."""
    (tmp_path / "base/state/clients").mkdir(parents=True)
    (tmp_path / "base/state/clients/key").write_text("secret")
    (tmp_path / "base/handler.py").write_text("code")
    base, hidden = str(tmp_path / "base"), (str(tmp_path / "base/state"),)
    assert dict(confine.around(base, READ, hidden)) == {base: LIST, f"{base}/handler.py": READ}
    fence: Deed = lambda: landlock.restrict(confine.around(base, READ, hidden))  # noqa: E731
    assert stops(fence, (tmp_path / "base/state/clients/key").read_text)
    assert allows(fence, (tmp_path / "base/handler.py").read_text) is None
    assert allows(fence, lambda: os.listdir(base)) is None


# -- seccomp
@pytest.mark.parametrize(
    "deed",
    [
        lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        lambda: os.memfd_create("code"),
        lambda: call("inotify_init1", 0),
        lambda: call("kcmp", os.getpid(), os.getpid(), 2, 0, 0),
        lambda: os.sched_setaffinity(os.getpid(), os.sched_getaffinity(0)),
        lambda: os.setpriority(os.PRIO_PROCESS, os.getpid(), os.getpriority(os.PRIO_PROCESS, 0)),
        lambda: prctl(capabilities.SET_DUMPABLE, 1),
        lambda: subprocess.run(["true"], check=True),
    ],
    ids=["tcp", "udp", "memfd", "inotify", "kcmp", "affinity", "priority", "dumpable", "exec"],
)
def test_seccomp_refuses_what_no_department_needs(deed: Deed) -> None:
    """Each works without the filter, and gives an error, not a death, behind it."""
    assert stops(seccomp.install, deed)


def test_seccomp_lets_through_what_is_wanted() -> None:
    """Unix sockets always; programs and the network where they are asked for; metadata unless they are not."""
    assert allows(seccomp.install, socket.socketpair) is None
    assert allows(seccomp.install, lambda: os.pidfd_open(os.getpid())) is None
    assert allows(lambda: seccomp.install(programs=True), lambda: subprocess.run(["true"], check=True)) is None
    net: Deed = lambda: seccomp.install(seccomp.UNIX | seccomp.INTERNET)  # noqa: E731
    assert allows(net, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)) is None


def test_seccomp_can_refuse_metadata(tmp_path: Path) -> None:
    """Without a root of its own, a process changes the mode and the times of no file."""
    file = tmp_path / "file"
    file.touch()
    wall: Deed = lambda: seccomp.install(metadata=False)  # noqa: E731
    assert stops(wall, lambda: file.chmod(0o600)) and stops(wall, lambda: os.utime(file))
    assert allows(seccomp.install, lambda: file.chmod(0o600)) is None


def test_a_system_call_that_is_newer_than_the_table_is_unknown() -> None:
    """It gives ENOSYS, as on an older kernel, so that libraries fall back."""

    def newer() -> None:
        seccomp.install()
        result = ctypes.CDLL(None, use_errno=True).syscall(NEWEST + 1, 0, 0, 0, 0)
        assert (result, ctypes.get_errno()) == (-1, 38)

    assert attempt(newer) is None


# -- capabilities, memory, limits, hygiene
@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has no capabilities to drop")
def test_capabilities_are_gone(tmp_path: Path) -> None:
    """Root without them can neither give files away nor read what is not its own."""
    (file := tmp_path / "file").touch()
    os.chown(file, 65534, 65534)
    file.chmod(0o600)

    def drop() -> None:
        capabilities.bound()
        capabilities.drop()

    assert stops(drop, file.read_text)
    assert stops(drop, lambda: os.chown(file, 65534, 65534))
    assert allows(lambda: capabilities.drop([2]), file.read_text) is None


def test_a_hidden_process_cannot_be_looked_into() -> None:
    """Nobody of the same user reads its environment."""
    other = 65534

    def look() -> None:
        reader, writer = os.pipe()
        if os.geteuid() == 0:
            os.setresuid(other, other, other)
        if not (child := os.fork()):
            capabilities.hide()
            os.write(writer, b".")
            time.sleep(60)
            os._exit(0)
        os.read(reader, 1)
        try:
            Path(f"/proc/{child}/environ").read_bytes()
            raise AssertionError("it can be read")
        except PermissionError:
            pass
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    assert attempt(look) is None


@needs_memory
def test_no_memory_is_writable_and_executable() -> None:
    """Neither at once nor one after the other; a program that was started may have it where that is allowed."""
    both: Deed = lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)  # noqa: E731
    assert stops(capabilities.no_written_code, both)
    code = "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)"
    program: Deed = lambda: subprocess.run([sys.executable, "-c", code], check=True)  # noqa: E731
    assert allows(lambda: capabilities.no_written_code(programs=True), program) is None


def test_limits_hold(tmp_path: Path) -> None:
    """Descriptors, the size of a file, and memory are bounded; a bound is never raised."""
    files: Deed = lambda: [os.dup(0) for _ in range(64)]  # noqa: E731
    assert stops(lambda: limits.limit({"files": 32}), files)
    assert stops(lambda: limits.limit({"file_bytes": 4096}), lambda: (tmp_path / "large").write_bytes(bytes(8192)))
    assert stops(lambda: limits.limit({"address_bytes": 1 << 30}), lambda: mmap.mmap(-1, 2 << 30))

    def again() -> None:
        limits.limit({"files": 32})
        limits.limit({"files": 64})
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (32, 32)

    assert attempt(again) is None


def test_inherited_descriptors_are_closed(tmp_path: Path) -> None:
    """What another has left open, even if it is inheritable, is not ours."""
    file = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(file, True)
    try:
        assert stops(confine.tidy, lambda: os.fstat(file))
    finally:
        os.close(file)


# -- namespaces
def apart(*shown: Shown, network: bool = False) -> tuple[Deed, int]:
    """A wall that moves into a root with the system's programs and these, and the flags to be in namespaces first."""

    def enter() -> None:
        if os.geteuid():
            namespaces.map_own_user()
        Root([*(Shown(path, "read", runs=True) for path in SYSTEM), *shown]).enter("/")

    return enter, outer.flags(network=network)


def inside(deed: Deed, *shown: Shown) -> str | None:
    """Why something does not go well in there; None if it does."""
    enter, flags = apart(*shown)

    def both() -> None:
        enter()
        deed()

    return attempt(both, flags)


@needs_namespaces
def test_a_process_in_its_own_root_sees_what_it_was_shown(tmp_path: Path) -> None:
    """A home to write to, sources to read, and neither their neighbours nor other processes, nor a network."""
    for name in ("home", "sources/state/secret", "other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "sources/handler.py").write_text("code")
    home, sources = tmp_path / "home", tmp_path / "sources"

    def look() -> None:
        assert os.getpid() == 1 and {name for name in os.listdir("/proc") if name.isdigit()} == {"1"}
        assert sorted(os.listdir(tmp_path)) == ["home", "sources"], os.listdir(tmp_path)
        assert os.listdir(sources / "state") == []
        assert (sources / "handler.py").read_text() == "code"
        (home / "mine").write_text("x")
        for path in (sources / "handler.py", sources / "state" / "x", Path("/x")):
            with pytest.raises(OSError):
                path.write_text("y")
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
        subprocess.run(["true"], check=True)

    shown = (Shown(str(home), "write"), Shown(str(sources), "read"), Shown(str(sources / "state"), "hidden"))
    assert inside(look, *shown) is None
    assert (home / "mine").read_text() == "x"
    assert not (home / "mine").stat().st_mode & 0o111


@needs_namespaces
def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Nothing is left out in silence."""
    assert "No such file" in str(inside(lambda: None, Shown(str(tmp_path / "absent"), "read")))


@needs_namespaces
def test_any_user_has_namespaces_of_its_own() -> None:
    """Also who is not root and not 65534, which is what everybody is in there until somebody says who he was."""

    def ordinary() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(54_321, 54_321, 54_321)
            os.setresuid(54_321, 54_321, 54_321)
            prctl(capabilities.SET_DUMPABLE, 1)
        uid, walls = os.geteuid(), Walls(home="/tmp", runs=tuple(path for path in SYSTEM if not path.startswith("/root")))

        def enter() -> None:
            outer.move(walls)
            assert os.geteuid() == uid

        if why := attempt(enter, outer.flags(network=False)):
            raise OSError(why)

    assert attempt(ordinary) is None


@needs_namespaces
def test_the_names_of_the_hosts_users_are_those_that_it_has(tmp_path: Path) -> None:
    """Where a process sees them: what it says of a person goes on record. Its own user has a name too, if the host has none."""
    ours, first = os.geteuid(), min(pwd.getpwall(), key=lambda one: one.pw_uid)
    own = next((one.pw_name for one in pwd.getpwall() if one.pw_uid == ours), "mai")

    def names() -> None:
        walls = Walls(home="/tmp", runs=tuple(path for path in SYSTEM if not path.startswith("/root")), etc=("passwd",))

        def enter() -> None:
            outer.move(walls)
            found = (pwd.getpwuid(first.pw_uid).pw_name, pwd.getpwuid(ours).pw_name, pwd.getpwnam("mai").pw_uid)
            assert found == (first.pw_name, own, ours), found

        if why := attempt(enter, outer.flags(network=False)):
            raise OSError(why)

    assert attempt(names) is None


@needs_namespaces
@pytest.mark.parametrize(("end", "status"), [("exit", 7), ("kill", -signal.SIGKILL), ("fault", -signal.SIGSEGV)])
def test_the_parent_sees_how_a_process_in_namespaces_ends(end: str, status: int) -> None:
    """An ordinary pid, an exact exit status; what it had started dies with it."""
    enter, flags = apart()
    reader, writer = os.pipe()
    if not (pid := namespaces.fork_into(flags)):
        with contextlib.suppress(BaseException):
            enter()
            ours, theirs = os.pipe()
            if not os.fork():
                os.write(theirs, b".")
                time.sleep(600)
            os.write(writer, os.read(ours, 1))
            if end == "exit":
                os._exit(7)
            if end == "fault":
                faulthandler.disable()
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                ctypes.string_at(0)
            time.sleep(600)
        os._exit(1)
    os.close(writer)
    assert os.read(reader, 1) == b"."
    if end == "kill":
        os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
    assert os.read(reader, 1) == b"", "what it had started still holds the pipe"
    os.close(reader)


@needs_namespaces
def test_it_dies_with_its_parent_also_as_another_user(tmp_path: Path) -> None:
    """The change of user clears the parent's hold on it, so that is taken afterwards."""
    user = 1_900_000_123 if os.geteuid() == 0 else 0
    layers = probe(str(tmp_path), user)
    walls = Walls(home=str(tmp_path), runs=tuple(SYSTEM), user=user, group=user)
    reader, writer = os.pipe()
    if not (parent := os.fork()):
        with contextlib.suppress(BaseException):
            ours = os.getpid()
            if not outer.fork(layers, network=False):
                with contextlib.suppress(BaseException):
                    outer.enter(walls, layers, ours)
                    os.write(writer, b"u" if os.getuid() == (user or os.getuid()) else b"!")
                    time.sleep(600)
                os._exit(1)
            time.sleep(600)
        os._exit(1)
    os.close(writer)
    assert os.read(reader, 1) == b"u"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert os.read(reader, 1) == b"", "it has outlived its parent"
    os.close(reader)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([Shown("/a/b", "read"), Shown("/a", "read")], ["/a"]),
        ([Shown("/a/b", "write"), Shown("/a", "read")], ["/a", "/a/b"]),
        ([Shown("/a/b", "hidden"), Shown("/a", "read"), Shown("/a/b/c", "write")], ["/a", "/a/b", "/a/b/c"]),
        ([Shown("/a/b", "hidden"), Shown("/a/b/c", "read")], ["/a/b/c"]),
        ([Shown("/a-b/c", "read"), Shown("/a", "read"), Shown("/a/b", "hidden"), Shown("/a/b/c", "read")], None),
    ],
)
def test_parents_are_shown_before_what_lies_below_them(given: list[Shown], kept: list[str] | None) -> None:
    """And nothing twice; a hidden directory needs no room where nothing above it is shown."""
    assert [one.path for one in namespaces.needed(given)] == (kept or ["/a", "/a/b", "/a/b/c", "/a-b/c"])


# -- the whole
def test_the_probe_says_why_a_layer_is_not_there(tmp_path: Path) -> None:
    """A layer that is not wanted is missing with its reason, and what is missing makes the whole partial, or none."""
    layers = probe(str(tmp_path), 0, frozenset(LAYERS) - {"namespaces"})
    assert "namespaces" not in layers and "MAI_WALLS" in layers.missing["namespaces"]
    assert report(layers).level == ("partial" if "landlock" in layers else "none")
    assert report(Layers(("hygiene",), {"namespaces": "no"})).level == "none"
    assert report(Layers(tuple(LAYERS))).level == "full"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_probe_leaves_everybodys_files_as_they_are(tmp_path: Path) -> None:
    """Where it tries the layers others may have files, in /tmp for one: whose they are does not change."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_text("x")
    for path in (tmp_path / "theirs", tmp_path / "theirs" / "file"):
        os.chown(path, 54_321, 54_321)
    probe(str(tmp_path), 1_900_000_123)
    assert {path.lstat().st_uid for path in tmp_path.rglob("*")} == {54_321}


def test_all_layers_together(tmp_path: Path) -> None:
    """A program behind all that this host gives works, and reaches nothing of what a neighbour has."""
    (home := tmp_path / "home").mkdir()
    (other := tmp_path / "other").mkdir()
    (other / "ledger.db").write_text("secret")
    user = 1_900_000_124 if os.geteuid() == 0 else 0
    layers = probe(str(home), user)
    walls = Walls(
        home=str(home), runs=tuple(SYSTEM), user=user, group=user, limits={"files": 64, "processes": 32, "core": 0}
    )  # fmt: skip
    deeds: list[Deed] = [
        (other / "ledger.db").read_text,
        lambda: socket.socket(socket.AF_INET),
        lambda: subprocess.run(["true"], check=True),
        lambda: os.listdir("/home"),
        lambda: os.kill(os.getppid() or parent, 0),
    ]
    parent = os.getpid()
    reader, writer = os.pipe()
    if not (pid := outer.fork(layers, network=False)):
        told = b"cannot be walled"
        with contextlib.suppress(BaseException):
            outer.enter(walls, layers, parent)
            os.dup2(writer, 2)
            confine.put_up(walls, layers)
            (home / "mine").write_text("x")
            told = b"".join(_worked(deed) for deed in deeds)
        os.write(2 if told != b"cannot be walled" else writer, told)
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 100)
    os.close(reader)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert said == b"no" * len(deeds), said
    assert (home / "mine").read_text() == "x"


def _worked(deed: Deed) -> bytes:
    try:
        deed()
    except OSError:
        return b"no"
    return b"!!"
