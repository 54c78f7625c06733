"""`mai doctor`: which walls this host and its settings give, for each process that runs, and what to do about what is missing.

It looks by doing: each layer is put up in a child, as the user to whom the state belongs. Of processes that run it is told
what they have said, and what the kernel says of them in /proc. It changes nothing, and needs no daemon.
"""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mai.daemon import host_checks, unit_checks
from mai.daemon.door import Door
from mai.daemon.host_checks import Finding
from mai.daemon.programs import SUPERVISOR
from mai.daemon.status import painted
from mai.daemon.walling import layers_of, wanted
from mai.sandbox import users
from mai.sandbox.errors import NotRunning
from mai.sandbox.place import Place
from mai.sandbox.probe import HINTS, probe
from mai.sandbox.walls import LAYERS, Layers, report

Level = Literal["full", "partial", "none"]
DOOR_S: Final = 10.0
KEPT: Final = 1 << 2  # CAP_DAC_READ_SEARCH, of some processes
USERNS: Final = "/proc/sys/kernel/unprivileged_userns_clone"  # of Debian
MOST_USERNS: Final = "/proc/sys/user/max_user_namespaces"
APPARMOR: Final = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"  # of Ubuntu from 23.10 on
PROFILE: Final = "abi <abi/4.0>, include <tunables/global> profile mai {} flags=(unconfined) {{ userns, }}"


class Walled(msgspec.Struct, frozen=True):
    """One process: how it is walled, which layers it lacks, and why."""

    name: str
    pid: int | None
    level: Level | Literal["trusted"]
    missing: dict[str, str] = {}


class Report(msgspec.Struct, frozen=True):
    """All that was found. `level` is that of a process which is started now."""

    level: Level
    layers: tuple[Finding, ...]
    host: tuple[Finding, ...]
    unit: tuple[Finding, ...]
    processes: tuple[Walled, ...]

    @property
    def well(self) -> bool:
        """Is nothing missing?"""
        findings = (*self.layers, *self.host, *self.unit)
        return all(one.ok for one in findings) and all(one.level in ("full", "trusted") for one in self.processes)


def examine(place: Place) -> Report:
    """Look at everything."""
    given, status = layers(place), running(place)
    said = layers_of(place)  # what the supervisor has found when it started, and puts up around each process
    processes = tuple(_walled(one, said) for one in status.get("processes", ()))
    supervisor = next((one.pid for one in processes if one.name == SUPERVISOR), None)
    host = [host_checks.bounded(status["cgroup"]) if one.check == "cgroup" and status else one for one in host_checks.look(place)]
    return Report(
        report(given).level,
        tuple(_layer(name, given) for name in LAYERS if name != "user" or name in given or name in given.missing),
        tuple(host), tuple(unit_checks.look(supervisor)), processes,
    )  # fmt: skip


# -- the layers
def layers(place: Place) -> Layers:
    """What this host gives the user to whom the state belongs; tried as that user, if we are root."""
    owner = place.state.stat() if place.state.exists() else None
    if owner is None or os.geteuid() != 0 or owner.st_uid == 0:
        return _probed(place)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    if not (child := os.fork()):
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
            os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
            os.write(writer, msgspec.json.encode(_probed(place)))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        data = told.read()
    os.waitpid(child, 0)
    return msgspec.json.decode(data, type=Layers) if data else Layers((), dict.fromkeys(LAYERS, "the trial of it died"))


def _probed(place: Place) -> Layers:
    user = users.fresh(place).first if os.geteuid() == 0 else 0
    with tempfile.TemporaryDirectory(prefix="mai-doctor-") as room:
        return probe(room, user, wanted())


def _layer(name: str, given: Layers) -> Finding:
    what, why = next(text for layer, text in LAYERS.items() if layer == name), given.missing.get(name, "")
    if not why:
        return Finding(name, True, what)
    return Finding(name, False, why, why_no_namespaces() if name == "namespaces" else HINTS.get(name, ""))


def why_no_namespaces() -> str:
    """What stands in the way, as far as the host says it, and what to do."""
    if _number(USERNS) == 0:
        return "sysctl kernel.unprivileged_userns_clone=1, for good in /etc/sysctl.d/; or start the daemon as root"
    if _number(MOST_USERNS) == 0:
        return "sysctl user.max_user_namespaces=15000, for good in /etc/sysctl.d/; or start the daemon as root"
    if _number(APPARMOR) == 1:
        profile = PROFILE.format(os.path.realpath(sys.executable))
        return f"write to /etc/apparmor.d/mai: {profile} and load it: apparmor_parser -r /etc/apparmor.d/mai"
    if _field("/proc/self/status", "Seccomp") == "2":
        return "a filter around us refuses them, a container's or a unit's: RestrictNamespaces=user mnt pid net ipc uts cgroup"
    return HINTS["namespaces"]


def _number(path: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(Path(path).read_text())
    return None


# -- the processes
def running(place: Place) -> dict[str, Any]:
    """What the daemon says of itself; nothing if none runs. Raises MaiError: it does not answer us."""
    try:
        return Door(place.door, DOOR_S).call({"do": "status"})
    except NotRunning:
        return {}


def _walled(process: dict[str, Any], said: Layers) -> Walled:
    name, pid, word = process["name"], process["pid"], process["walls"]
    if word == "trusted" or not pid:
        return Walled(name, pid, word or report(said).level)
    missing = {**said.missing, **contradicted(pid, said)}
    if word != report(said).level:
        missing["all"] = f"the process itself says that it is {word or 'not up yet'}"
    return Walled(name, pid, "partial" if word == "full" and missing else word or "none", missing)


def contradicted(pid: int, said: Layers) -> dict[str, str]:
    """Layers that a process should have, and of which the kernel says that it has not."""
    status = f"/proc/{pid}/status"
    fields = {name: _field(status, name) for name in ("Seccomp", "NoNewPrivs", "CapEff", "NSpid")}
    if not all(fields.values()):
        return {}  # it has gone, or this kernel does not say
    holds = {
        "seccomp": fields["Seccomp"] == "2",
        "capabilities": fields["NoNewPrivs"] == "1" and not int(fields["CapEff"], 16) & ~KEPT,
        "namespaces": len(fields["NSpid"].split()) > 1,
    }
    return {layer: "the kernel says that it does not hold" for layer, there in holds.items() if layer in said and not there}


def _field(path: str, name: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(f"{name}:"):
                return line.partition(":")[2].strip()
    return ""


# -- shown
def told(found: Report) -> dict[str, Any]:
    """As `--json` shows it."""
    return {"well": found.well, **json.loads(msgspec.json.encode(found))}


def render(found: Report, *, colour: bool = False) -> str:
    """For people: what is missing with what to do, and what is well in a word."""
    lines = [f"walls of a process that is started now: {painted(found.level, _colour(found.level), colour)}"]
    for findings in (found.layers, found.host, found.unit):
        lines += [_line(one, colour) for one in findings]
    if found.processes:
        lines.append("processes:")
        for one in found.processes:
            why = "; ".join(f"{layer}: {what}" for layer, what in one.missing.items())
            lines.append(f"  {one.name:<24} {painted(one.level, _colour(one.level), colour)}" + f" ({why})" * bool(why))
    else:
        lines.append("no daemon runs here: processes are looked at when one does")
    return "\n".join(lines)


def _line(one: Finding, colour: bool) -> str:
    mark = painted("well", 32, colour) if one.ok else painted("MISSING", 31, colour)
    return f"  {mark:<8} {one.check:<14} {one.says}" + f"\n           do: {one.hint}" * bool(one.hint)


def _colour(level: str) -> int:
    return {"full": 32, "trusted": 32, "partial": 33}.get(level, 31)
