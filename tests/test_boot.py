"""The unit under a real systemd, booted for it alone: ready, killed, stopped, reloaded and ended as an operator would see it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small import ORGANISATION, Daemon, until

ROOT = Path(__file__).resolve().parent.parent
MODELS = """
[[models.providers]]
name = "first"
url = "http://127.0.0.1:9/v1"

[[models.models]]
name = "writer"
chain = [{ provider = "first", model = "large" }]
"""
PROBE = """
set -u
show() { systemctl show mai -p ActiveState -p NRestarts -p MainPID -p StatusText --value | tr '\\n' '|'; echo; }
ready() { for _ in $(seq 300); do case $(show) in *"4 of 4 ready|$1|active|") return;; esac; sleep 0.1; done; }
note() { echo "$1 $(show)"; }
main() { systemctl show mai -p MainPID --value; }
systemctl start mai || systemctl status mai --no-pager --full; note started
for pid in $(cat /sys/fs/cgroup/system.slice/mai.service/*/cgroup.procs); do
  echo "process $(tr '\\0' ' ' </proc/$pid/cmdline) user $(stat -c %u /proc/$pid)" \
    "in $(sed -n 's,0::/system.slice/mai.service/,,p' /proc/$pid/cgroup)" \
    "sees $(tr '\\0' '\\n' </proc/$pid/environ | grep -c ^CREDENTIALS_DIRECTORY=)"
done
PYTHON -P -c 'from mai.cli import main; main(prog_name="mai")' --state /var/lib/mai doctor >ROOM/doctor
old=$(main); kill -9 $old; until [ "$(main)" != $old ] && [ "$(main)" != 0 ]; do sleep 0.05; done; ready 1; note killed
old=$(main); kill -STOP $old; until [ "$(main)" != $old ] && [ "$(main)" != 0 ]; do sleep 0.05; done; ready 2; note silent
sed -i 's/Opens the gate/Opens gates/' /run/organisation/small.toml
systemctl reload mai && note reloaded
systemctl stop mai; note stopped
ls /sys/fs/cgroup/system.slice/mai.service/cgroup.procs 2>/dev/null && cat /sys/fs/cgroup/system.slice/mai.service/cgroup.procs
echo "walls $(cat /var/lib/mai/supervisor/walls)"
echo done
"""


def why_not() -> str:
    """Why no systemd can be booted here; "" if it can."""
    if os.geteuid():
        return "only root may boot a systemd in namespaces of its own"
    missing = [tool for tool in ("unshare", "systemctl", "systemd", "ip") if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} is not installed"
    tried = subprocess.run(
        ["unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net", "--fork", "true"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else "this host gives no namespaces"


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory that the booted system and we both see."""
    path = Path(tempfile.mkdtemp(prefix="mai-", dir="/dev/shm"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_the_unit_lives_under_a_real_systemd(room: Path) -> None:
    """READY, WATCHDOG and STATUS are heard; SIGKILL and silence bring it back; reload and stop do what they say."""
    daemon = Daemon(room, ORGANISATION + MODELS)
    subprocess.run(["chown", "-R", "65534:65534", str(daemon.file.parent)], check=True)
    kept = {str(ROOT), sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)}
    outermost = [one for one in sorted(kept) if not any(one != other and one.startswith(f"{other}/") for other in kept)]
    text = (ROOT / "etc" / "mai.service").read_text()
    for old, new in (
        ("@PYTHON@", sys.executable),
        ("/etc/mai/organisation.toml", "/run/organisation/small.toml"),
        ("WatchdogSec=10", "WatchdogSec=2"),
        ("User=mai", "User=65534"),
        ("Group=mai", "Group=65534"),
        ("[Install]", f"StandardError=append:{room}/output\n\n[Install]"),
        ("ProtectHome=yes", f"ProtectHome=tmpfs\nBindReadOnlyPaths={' '.join(outermost)}"),  # the tests' own code and interpreter
        ("#LoadCredential=openai:/etc/mai/credentials/openai", "LoadCredential=first:/run/mai.key"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (room / "key").write_text("sesame")
    (room / "mai.service").write_text(text)
    (room / "probe.sh").write_text(PROBE.replace("PYTHON", sys.executable).replace("ROOM", str(room)))
    (room / "probe.service").write_text(
        f"[Service]\nType=oneshot\nExecStart=/bin/bash {room}/probe.sh\nStandardOutput=file:{room}/said\n"
        f"StandardError=file:{room}/errors\nTimeoutStartSec=90\n"
    )
    said = room / "said"
    with open(room / "console", "wb") as console:
        booted = subprocess.Popen(
            ["bash", str(ROOT / "tests" / "boot.sh"), str(room), *outermost], stdout=console, stderr=console
        )
        try:
            until(lambda: booted.poll() is not None or (said.exists() and said.read_text().endswith("done\n")), "it is seen")
        finally:
            booted.send_signal(signal.SIGKILL)
            booted.wait()
    told = said.read_text() if said.exists() else ""
    lines = {line.split()[0]: line.partition(" ")[2] for line in told.splitlines() if " " in line}
    trouble = (
        told
        + (room / "errors").read_text()
        + (room / "output").read_text()
        + (room / "console").read_text(errors="replace")[-3000:]
    )
    processes = [line for line in told.splitlines() if line.startswith("process ")]
    assert len(processes) == 6 and all("user 65534" in line for line in processes), trouble
    groups = sorted(line.split(" in ")[1].split()[0] for line in processes)
    assert groups == ["acme.finance", "acme.mai", "acme.models", "acme.support", "supervisor", "watchdog"], trouble
    for line in processes:
        assert line.endswith("sees 1") is ("mai.daemon.supervisor" in line or "acme/models" in line), trouble
    for name, restarts in (("started", 0), ("killed", 1), ("silent", 2), ("reloaded", 2)):
        assert f"|4 of 4 ready|{restarts}|active|" in lines.get(name, ""), trouble
    doctor = (room / "doctor").read_text()
    assert "mai.service leaves room for the walls" in doctor, doctor
    assert all(f"acme/{name:<19} full\n" in doctor for name in ("mai", "models", "support", "finance")), doctor
    assert "0||0|inactive|" in lines["stopped"] and told.endswith("\ndone\n"), trouble
    assert '"missing":{}' in lines["walls"], trouble
