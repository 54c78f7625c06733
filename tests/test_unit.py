"""The systemd unit and its snippets: what systemd itself says about them, and what the daemon relies on."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ETC = Path(__file__).resolve().parent.parent / "etc"


def unit() -> dict[str, str]:
    """The settings of the service section; repeated keys do not occur in it."""
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser's own documentation does it
    parser.read_string((ETC / "mai.service").read_text())
    return dict(parser["Service"])


def run(*command: str) -> str:
    """What a tool says; it has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """The installed unit has no unknown setting, no bad value and a command that exists: systemd-analyze verify is silent."""
    path = tmp_path / "mai.service"
    path.write_text((ETC / "mai.service").read_text().replace("@PYTHON@", sys.executable))
    assert "mai.service" not in run("systemd-analyze", "verify", str(path))


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_the_user_can_be_created() -> None:
    """The sysusers snippet is understood, and creates the very user that the unit names."""
    assert "mai" in run("systemd-sysusers", "--dry-run", str(ETC / "mai.sysusers"))
    assert unit()["User"] == unit()["Group"] == "mai"


def test_the_unit_runs_the_supervisor_without_the_working_directory_on_the_path() -> None:
    """One placeholder is left for the installation, and `python -P` starts the supervisor on systemd's own directories."""
    command = unit()["ExecStart"].split()
    assert command[:4] == ["@PYTHON@", "-P", "-m", "mai.daemon.supervisor"]
    assert command[4:6] == ["${STATE_DIRECTORY}", "${RUNTIME_DIRECTORY}"]
    assert set(re.findall(r"@[A-Z]+@", (ETC / "mai.service").read_text())) == {"@PYTHON@"}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("Type", "notify"),  # ready when the company is
        ("NotifyAccess", "main"),  # nobody but the supervisor speaks for it
        ("KillMode", "mixed"),  # the ordered stop is the supervisor's
        ("OOMPolicy", "continue"),  # one department's memory is not everybody's end
        ("Restart", "always"),
        ("RestartPreventExitStatus", "2"),  # what a person has to mend
        ("Delegate", "cpu memory pids"),
        ("StateDirectory", "mai"),
        ("RuntimeDirectory", "mai"),
        ("UMask", "0077"),
    ],
)
def test_the_daemon_relies_on_this_setting(setting: str, value: str) -> None:
    """The settings that the design of the daemon depends on stand in the unit."""
    assert unit()[setting] == value


def test_nothing_in_the_unit_forbids_the_walls() -> None:
    """No hardening conflicts with the namespaces, Landlock and seccomp that each process sets up for itself."""
    settings = unit()
    assert settings["RestrictNamespaces"] != "yes"
    assert {"@mount", "seccomp", "landlock_restrict_self"} <= set(settings["SystemCallFilter"].split())
    assert not {"ProtectKernelTunables", "ProtectKernelLogs", "ProtectControlGroups"} & settings.keys()
