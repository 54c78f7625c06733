"""The settings of the systemd unit that the daemon runs in, held against what its walls need (etc/mai.service)."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mai.daemon.host_checks import Finding

SHOW_S: Final = 10.0
NAMESPACES: Final = frozenset({"user", "mnt", "pid", "net", "ipc", "uts"})
CALLS: Final = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp", "mount", "pivot_root")
CONTROLLERS: Final = frozenset({"cpu", "memory", "pids"})
PLAIN: Final = {  # property: what it has to be, and why
    "Type": ("notify", "readiness and the watchdog's sign of life are spoken in it"),
    "KillMode": ("mixed", "the supervisor stops the others in order"),
    "ProtectKernelTunables": ("no", "with it no process can have a /proc of its own"),
    "ProtectKernelLogs": ("no", "with it no process can have a /proc of its own"),
    "ProtectControlGroups": ("no", "with it nothing can be delegated"),
    "NoNewPrivileges": ("yes", "no program gets more rights than the daemon has"),
    "StateDirectoryMode": ("0700", "nobody else looks into the state"),
    "RootDirectory": ("", "in a changed root the kernel refuses user namespaces"),
}
NAMES: Final = (*PLAIN, "RestrictNamespaces", "Delegate", "DelegateControllers", "SystemCallFilter", "User")


def look(pid: int | None) -> Iterator[Finding]:
    """The unit that this process, the supervisor, is in; nothing if it is in none."""
    unit = unit_of(pid) if pid else ""
    if not unit:
        return
    if not shutil.which("systemctl"):
        yield Finding(
            "unit", False, f"the daemon runs as {unit}, and there is no systemctl to ask", "look at it with etc/mai.service"
        )
        return
    try:
        shown = subprocess.run(
            ["systemctl", "show", unit, "-p", ",".join(NAMES)], capture_output=True, text=True, timeout=SHOW_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("unit", False, f"{unit} cannot be asked for: {error}", "run this as root")
        return
    found = dict(line.partition("=")[::2] for line in shown.splitlines())
    wrong = list(faults(found))
    yield from wrong
    if not wrong:
        yield Finding("unit", True, f"{unit} leaves room for the walls")


def unit_of(pid: int) -> str:
    """The service that a process is in; "" for none."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return ""
    parts = [part for line in lines if line.startswith(("0::", "1:name=systemd:")) for part in line.split("/")]
    return next((part for part in reversed(parts) if part.endswith(".service") and not part.startswith("user@")), "")


def faults(unit: dict[str, str]) -> Iterator[Finding]:
    """What stands in the way in these properties, as `systemctl show` gives them; one that it does not know is well. Pure."""
    for name, (right, why) in PLAIN.items():
        if (value := unit.get(name, right)) != right:
            yield Finding("unit", False, f"{name}={value}: {why}", f"set {name}={right}")
    allowed = unit.get("RestrictNamespaces", "no")
    if allowed != "no" and not set(allowed.split()) >= NAMESPACES:
        hint = "set RestrictNamespaces=user mnt pid net ipc uts cgroup"
        yield Finding("unit", False, f"RestrictNamespaces={allowed}: no process gets namespaces of its own", hint)
    if unit.get("Delegate", "yes") != "yes" or not set(unit.get("DelegateControllers", "cpu memory pids").split()) >= CONTROLLERS:
        says = "no cgroup with cpu, memory and pids is delegated: memory of several processes is not bounded"
        yield Finding("unit", False, says, "set Delegate=cpu memory pids")
    listed = unit.get("SystemCallFilter", "")
    missing = [call for call in CALLS if listed and not listed.startswith("~") and call not in listed.split()]
    if missing:
        hint = "add @mount seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self to SystemCallFilter="
        yield Finding("unit", False, f"SystemCallFilter= lacks {', '.join(missing)}", hint)
