"""`mai doctor` says what is so: each layer was tried, each setting looked at, and what is wrong comes with what to do."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mai.daemon import doctor, host_checks, unit_checks
from mai.daemon.host_checks import Finding
from mai.sandbox import landlock
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place
from mai.sandbox.walls import LAYERS, Layers
from tests.small import MAI, environment, running

FILTERED = """
import sys
from mai.sandbox import seccomp
seccomp.install(programs=True)
sys.argv[1:] = ["--state", sys.argv[1], "doctor", "--json"]
from mai.cli import main
main(prog_name="mai")
"""


@pytest.fixture
def place(state: Path) -> Place:
    """A state directory with one process in it, that never ran."""
    made = Place(state / "s")
    made.prepare()
    made.home("acme/support").mkdir(mode=0o700, parents=True)
    Ledger(made.ledger("acme/support"), "acme/support").close()
    for path in (made.home("acme/support") / "key", *made.home("acme/support").glob("ledger*")):
        path.touch()
        path.chmod(0o600)
    return made


def found(findings: Iterator[Finding]) -> Finding:
    """The one that there is."""
    (one,) = findings
    assert one.ok or one.hint, "what is wrong comes with what to do"
    return one


def asked(place: Place, *command: str) -> tuple[int, dict[str, Any]]:
    """Exit status and report of the command, or of another in its stead."""
    run = command or (*MAI, "--state", str(place.state), "doctor", "--json")
    ran = subprocess.run(run, env=environment(), capture_output=True, timeout=60, check=False)
    assert not ran.stderr, ran.stderr.decode()
    return ran.returncode, dict(json.loads(ran.stdout))


def test_it_needs_no_daemon_and_says_what_this_host_gives(place: Place) -> None:
    """Each layer is named, well or with a reason and a hint; the exit status is 0 only if nothing is missing."""
    status, told = asked(place)
    assert [one["check"] for one in told["layers"]] == [name for name in LAYERS if name != "user" or os.geteuid() == 0]
    assert all(one["ok"] or one["hint"] or one["says"] for one in told["layers"])
    whole = all(one["ok"] for one in (*told["layers"], *told["host"], *told["unit"]))
    assert (status, told["well"], told["processes"]) == (0 if whole else 1, whole, [])
    assert told["level"] == ("full" if all(one["ok"] for one in told["layers"]) else told["level"]) in ("full", "partial", "none")
    names = {one["check"] for one in told["host"]}
    assert names == {
        "kernel", "programs", "cgroup", "sqlite", "state", "room", "file system", "rights", "clock", "descriptors",
    }  # fmt: skip


def test_a_layer_that_something_refuses_is_missing(place: Place) -> None:
    """Under a filter that refuses namespaces it is not full, and says which layer, why, and what stands in the way."""
    status, told = asked(place, sys.executable, "-P", "-c", FILTERED, str(place.state))
    layers = {one["check"]: one for one in told["layers"]}
    assert status == 1 and told["level"] in ("partial", "none") and not layers["namespaces"]["ok"]
    assert "RestrictNamespaces" in layers["namespaces"]["hint"] or "userns" in layers["namespaces"]["hint"]
    assert layers["seccomp"]["ok"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({doctor.USERNS: "0"}, "kernel.unprivileged_userns_clone=1"),
        ({doctor.MOST_USERNS: "0"}, "user.max_user_namespaces"),
        ({doctor.APPARMOR: "1", doctor.USERNS: "1"}, "userns, }"),
    ],
)
def test_what_refuses_namespaces_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], words: str
) -> None:
    """A switch of the kernel's, or Ubuntu's AppArmor: with the very words that help."""
    names = {"USERNS": doctor.USERNS, "MOST_USERNS": doctor.MOST_USERNS, "APPARMOR": doctor.APPARMOR}
    for name, path in names.items():
        (tmp_path / name).write_text(files.get(path, "")) if path in files else None
        monkeypatch.setattr(doctor, name, str(tmp_path / name))
    assert words in doctor.why_no_namespaces()


def test_a_kernel_without_landlock_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """And an old one, with what it does not hold back."""
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    assert "no Landlock" in found(host_checks.kernel(place)).says and "ledger" in found(host_checks.programs(place)).says
    monkeypatch.setattr(landlock, "abi", lambda: 5)
    assert "signals" in found(host_checks.kernel(place)).says and "ABI 9" in found(host_checks.kernel(place)).says


def test_rights_are_looked_at(place: Place) -> None:
    """A directory or a key that others may read is named."""
    assert found(host_checks.rights(place)).ok
    place.home("acme/support").chmod(0o755)
    (place.home("acme/support") / "key").chmod(0o640)
    said = found(host_checks.rights(place))
    assert not said.ok and "support has the rights 0755" in said.says and "key has the rights 0640" in said.says


def test_a_clock_behind_the_records_is_named(place: Place) -> None:
    """Somebody has written here in the future."""
    later = place.ledger("acme/support").stat().st_mtime + 86_400
    os.utime(place.ledger("acme/support"), (later, later))
    said = found(host_checks.clock(place))
    assert not said.ok and "behind what is on record" in said.says


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [("nfs4", "rw", "on nfs4"), ("ext4", "ro,noatime", "read-only"), ("tmpfs", "rw", "outlives"), ("xfs", "rw", "")],
)
def test_the_file_system_is_looked_at(place: Place, monkeypatch: pytest.MonkeyPatch, kind: str, options: str, words: str) -> None:
    """Over a network, read-only, in memory: named; on a disk it is well."""
    monkeypatch.setattr(host_checks, "_mount", lambda path: ("/mnt", kind, options))
    said = found(host_checks.disk(place))
    assert said.ok is not bool(words) and words in said.says


def test_room_and_state_are_looked_at(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little of the one, a newer one of the other."""
    assert found(host_checks.versions(place)).ok and found(host_checks.disk(place)).check == "file system"
    (place.state / "format").write_text("99\n")
    assert "format 99" in found(host_checks.versions(place)).says
    monkeypatch.setattr(host_checks, "free_bytes", lambda path: 1 << 20)
    assert "1 MiB free" in found(host_checks.room(place)).says


GOOD = {
    "Type": "notify", "KillMode": "mixed", "NoNewPrivileges": "yes", "StateDirectoryMode": "0700", "Delegate": "yes",
    "DelegateControllers": "cpu memory pids", "RestrictNamespaces": "cgroup ipc net mnt pid user uts",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        ({"RestrictNamespaces": "no"}, ""),
        ({"RestrictNamespaces": "yes"}, "no process gets namespaces"),
        ({"RestrictNamespaces": "net"}, "no process gets namespaces"),
        ({"ProtectKernelTunables": "yes"}, "/proc of its own"),
        ({"Delegate": "no"}, "memory of several processes"),
        ({"DelegateControllers": "cpu"}, "memory of several processes"),
        ({"SystemCallFilter": "read write seccomp mount pivot_root"}, "landlock_create_ruleset"),
        ({"SystemCallFilter": "~ptrace"}, ""),
        ({"Type": "simple"}, "readiness"),
        ({"RootDirectory": "/srv/mai"}, "changed root"),
    ],
)
def test_the_unit_is_held_against_what_the_walls_need(changed: dict[str, str], words: str) -> None:
    """Each setting that stands in the way is named, with the one that does not."""
    said = list(unit_checks.faults({**GOOD, **changed}))
    assert len(said) == bool(words) and all(words in one.says and one.hint for one in said)


def test_the_unit_of_a_process_is_found(tmp_path: Path) -> None:
    """None is, where there is none."""
    assert list(unit_checks.look(None)) == [] and unit_checks.unit_of(2**22) == ""


def test_each_process_of_a_daemon_is_told_of(tmp_path: Path) -> None:
    """What the daemon says of its walls is held against what the kernel says of each process."""
    with running(tmp_path) as daemon:
        _, told = asked(daemon.place)
        by_name = {one["name"]: one for one in told["processes"]}
        assert set(by_name) == {"acme/mai", "acme/support", "acme/finance", "watchdog", "supervisor"}
        assert by_name["watchdog"]["level"] == by_name["supervisor"]["level"] == "trusted"
        levels = {by_name[name]["level"] for name in ("acme/mai", "acme/support", "acme/finance")}
        assert levels == {told["level"]}, told  # this host gives them what it gives to a new one
        claimed = Layers(("namespaces", "capabilities", "landlock", "seccomp"), {})
        assert set(doctor.contradicted(os.getpid(), claimed)) == {"namespaces", "capabilities", "seccomp"}
        assert doctor.contradicted(2**22, claimed) == {}
