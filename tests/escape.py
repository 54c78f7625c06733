"""The escape campaign: what code in a department can do to the others, to the daemon and to the host. `make escape`.

    python -m tests.escape                       all configurations, as root (if we are) and as an ordinary user
    python -m tests.escape --only full,none      some of them
    python -m tests.escape --attempts read_file,kill

Each configuration is a real daemon with two clients; one department's agent makes the attempts, inside, one after the other;
the harness, outside, judges them. Unconfined they have to work: what does not proves nothing on this host. Exit status 1 if
something works behind all walls that SECURITY.md does not list.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests import escape_inside  # noqa: F401  # registers the attempts
from tests.escape_kit import ATTEMPTS, Attempt
from tests.escape_report import FULL, NONE, table, verdict
from tests.escape_world import world

ORDINARY = 54_321  # the user of the second half, if we are root
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
IMPORTS = "import sys, subprocess, mai.cli, pysqlite3, zmq; subprocess.run([sys.executable, '-c', ''], check=True)"
LAYERS = {  # configuration -> layers of mai.sandbox.walls; None: all that this host gives
    NONE: "",
    "hygiene, limits": "hygiene,limits",
    "user": "namespaces,user",
    "namespaces": "namespaces",
    "Landlock": "landlock",
    "seccomp": "seccomp",
    "capabilities, memory": "capabilities,memory",
    "without namespaces": "hygiene,limits,capabilities,memory,landlock,seccomp",
    "without Landlock": "hygiene,limits,namespaces,user,capabilities,memory,seccomp",
    FULL: None,
}
LAST = (
    "stolen_key",
    "stolen_clients_key",
)  # if they work, their victims halt for good: Mai has heard more of them than they said
Found = dict[str, dict[str, tuple[bool, str]]]  # configuration -> attempt -> did it work, what was said


def campaign(only: list[str], attempts: list[Attempt]) -> Found:
    """All configurations, as this user."""
    found: Found = {}
    for name in only:
        if name == "user" and os.geteuid():
            continue
        begun_s = time.monotonic()
        found[name] = configuration(LAYERS[name], attempts)
        worked = sum(one for one, _ in found[name].values())
        who = "root" if os.geteuid() == 0 else "a user"
        print(
            f"{who}, {name}: {worked} of {len(attempts)} worked, {time.monotonic() - begun_s:.0f} s", file=sys.stderr, flush=True
        )
    return found


def configuration(walls: str | None, attempts: list[Attempt]) -> dict[str, tuple[bool, str]]:
    """One daemon, all attempts."""
    directory = Path(tempfile.mkdtemp(prefix="mai-escape-", dir="/tmp"))
    directory.chmod(0o755)
    found: dict[str, tuple[bool, str]] = {}
    try:
        with world(directory, walls) as one:
            for attempt in attempts:
                if sys.stderr.isatty():
                    print(f"\r\x1b[K{len(found)} {attempt.name}", end="", file=sys.stderr, flush=True)
                found[attempt.name] = one.make(attempt)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return found


def as_user(arguments: list[str]) -> Found:
    """The same as an ordinary user, in a process of that user's. Raises SystemExit if there is no way to be one."""
    who = ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups"]
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "TERM") if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="mai-escape-venv-") as directory:
        for python in interpreters(Path(directory)):
            able = subprocess.run([*who, python, "-c", IMPORTS], capture_output=True, env=environment, check=False)
            if able.returncode == 0:
                break
        else:
            sys.exit(f"user {ORDINARY} cannot run {sys.executable}, and no python{VERSION} of the system can stand in for it")
        ran = subprocess.run(
            [*who, python, "-m", "tests.escape", "--raw", *arguments], stdout=subprocess.PIPE, env=environment, check=False
        )
    if ran.returncode:
        sys.exit("the campaign of the ordinary user has failed")
    found: Found = json.loads(ran.stdout)
    return found


def interpreters(directory: Path) -> Iterator[str]:
    """Ours, and one of the system's that has our packages: ours may lie in somebody's home."""
    yield sys.executable
    system = shutil.which(f"python{VERSION}", path="/usr/bin:/usr/local/bin")
    if system:
        directory.chmod(0o755)
        subprocess.run([system, "-m", "venv", "--without-pip", str(directory)], check=True)
        (site,) = directory.glob("lib/python*/site-packages")
        shutil.copytree(sysconfig.get_path("purelib"), site, copy_function=linked, dirs_exist_ok=True)  # no process sees ours
        yield str(directory / "bin" / "python")


def linked(source: str, target: str) -> None:
    """A file in two places; a copy of it on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(["all"]), help=f"configurations, of: {'; '.join(LAYERS)}")
    parser.add_argument("--attempts", default="", help="names of attempts; all by default")
    parser.add_argument("--raw", action="store_true", help="as this user only, results as JSON")
    parser.add_argument("--as", dest="who", choices=("both", "root", "user"), default="both")
    parser.add_argument("--details", action="store_true", help="what each attempt said, in each configuration")
    given = parser.parse_args()
    only = list(LAYERS) if given.only == "all" else [name for name in LAYERS if name in given.only.split(";")]
    attempts = [one for one in ATTEMPTS.values() if not given.attempts or one.name in given.attempts.split(",")]
    attempts.sort(key=lambda one: (one.name in LAST, one.group == "messages"))
    if given.raw:
        print(json.dumps(campaign(only, attempts)))
        return 0
    found: dict[str, Found] = {}
    if os.geteuid() == 0 and given.who != "user":
        found["root"] = campaign(only, attempts)
    if given.who != "root":
        rest = ["--only", given.only, "--attempts", given.attempts]
        found["user"] = as_user(rest) if os.geteuid() == 0 else campaign(only, attempts)
    print(table(found, attempts))
    if given.details:
        details(found)
    said, status = verdict(found, attempts)
    print(said)
    return status


def details(found: dict[str, Found]) -> None:
    """Everything that was said."""
    for who, configurations in found.items():
        for name, made in configurations.items():
            for attempt, (worked, said) in made.items():
                print(f"{who:<5} {name:<20} {'WORKED ' if worked else 'stopped'} {attempt:<24} {said[:150]!r}")


if __name__ == "__main__":
    sys.exit(main())
