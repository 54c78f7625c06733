"""What stands ready for the attempts: a real daemon with two clients, and on the host's side what could be reached from it.

The harness owns the secrets and looks at what was done. Everything is in one temporary directory, bound to loopback, or named
`mai-escape-…`, and is gone afterwards.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from mai.sandbox.errors import MaiError
from mai.sandbox.place import Place
from mai.sandbox.proof import NAME
from tests.escape_company import ORGANISATION, VICTIM
from tests.escape_host import Host
from tests.escape_kit import Attempt
from tests.small import Daemon, until

HERE = Path(__file__).parent
ASK_S = 10.0


class World:
    """One daemon, in one configuration."""

    def __init__(self, directory: Path, walls: str | None) -> None:
        """`walls`: the layers to use, "" for none; None for all that there are."""
        self.directory, self.walls = directory, walls
        self.daemon = Daemon(directory, ORGANISATION)
        self.place = self.daemon.place
        self.code = self.daemon.file.parent
        (self.code / "victim.py").write_text(VICTIM)
        (self.code / "tests").mkdir()
        for path in HERE.glob("escape_*.py"):
            shutil.copy(path, self.code / "tests")
        for path in (directory, self.code, self.code / "tests", *self.code.rglob("*.py")):
            path.chmod(0o755)
        self.host = Host(directory)
        self.count = 0
        self.believed, self.patience_s = False, 0.0  # do those inside say that it has worked; how long that may take to be seen
        self.kept: dict[str, dict[str, Any]] = {}
        self.facts: dict[str, Any] = {}

    # -- start and end
    def up(self) -> "World":
        """Start all, and let the victims keep their secrets."""
        more: dict[str, Any] = {} if self.walls is None else {"MAI_WALLS": self.walls or "none"}
        ran = self.daemon.mai("up", "--detach", str(self.daemon.file), **more)
        assert ran.returncode == 0, ran.stderr
        self.keep()
        return self

    def keep(self) -> None:
        """Let the victims keep their secrets, wherever they are now."""
        for client in ("acme", "beta"):
            self.kept[client] = self.ask(client, "keep it")
            assert "secret" in self.kept[client], self.kept
        self.bait()
        self.facts = self.known()

    def down(self) -> None:
        """End all."""
        self.daemon.mai("down")
        self.host.close()

    def pid(self, name: str) -> int:
        """The pid of a process."""
        return int(self.daemon.status()[name]["pid"] or 0)

    def revive(self) -> None:
        """Start the lair anew: what it was told to do may have been done to its own link."""
        self.daemon.mai("restart", "acme/lair")
        if self.rest("acme/lair", "ready", "failed") == "failed":
            self.daemon.mai("reset", "acme/lair")
            self.rest("acme/lair", "ready")

    def rest(self, name: str, *states: str) -> str:
        """Wait until a process is in one of these states; which."""

        def look() -> str:
            state = str(self.daemon.status()[name]["state"])
            return state if state in states else ""

        return until(look, f"{name} is {' or '.join(states)}")

    # -- what the attempts are told
    def known(self) -> dict[str, Any]:
        """Where everything is."""
        place, status = self.place, self.daemon.status()
        home = {name: str(place.home(name)) for name in ("acme/vault", "beta/vault", "acme/mai")}
        return {
            **self.host.known(),
            "vault_home": home["acme/vault"], "beta_home": home["beta/vault"], "mai_home": home["acme/mai"],
            "vault_pid": status["acme/vault"]["pid"], "vault_address": self.kept["acme"]["address"],
            "vault_uid": os.stat(place.ledger("acme/vault")).st_uid, "vault_fd": self.kept["acme"]["fd"],
            "watchdog_pid": status["watchdog"]["pid"], "supervisor_pid": status["supervisor"]["pid"],
            "beta_mai_pid": status["beta/mai"]["pid"], "host_pid": os.getpid(), "code": str(self.code),
            "packages": sysconfig.get_path("purelib"), "link": str(mai_socket(place, "acme")),
            "beta_link": str(mai_socket(place, "beta")), "notify": str(place.notice("acme/lair")), "door": str(place.door),
            "proof": str(place.run / NAME),
            "supervisor_socket": str(place.supervisor_socket), "acme_door": str(door_of(place, "acme")),
            "beta_mai_key": (place.home("beta/vault") / "mai.key").read_text(),
            "beta_door": str(door_of(place, "beta")), "native": self.native(), "disk": disk_of(self.directory),
            "vault_next": 0, "beta_next": 0, "open_task": "", "open_request": "",
        }  # fmt: skip

    def native(self) -> str:
        """A library in C, if there is a compiler; it lies beside the handlers."""
        library = self.code / "native.so"
        if not library.exists() and (compiler := shutil.which("gcc") or shutil.which("cc")):
            made = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "escape_native.c")]
            subprocess.run(made, check=False, capture_output=True)
        return str(library) if library.exists() else ""

    def secret(self, name: str) -> str:
        """What an attempt has to give to be believed."""
        place = self.place
        table: dict[str, Callable[[], str]] = {
            "secret": lambda: str(self.kept["acme"]["secret"]),
            "beta_secret": lambda: str(self.kept["beta"]["secret"]),
            "vault_key": lambda: (place.home("acme/vault") / "key").read_text().split()[1],
            "signing_key": lambda: (place.watchdog / "signing.key").read_text().strip(),
            "organisation": lambda: 'clients = ["acme", "beta"]',
            "listed_name": lambda: self.listed,
            "bait_time": lambda: str(self.bait_path.stat().st_mtime_ns),
            "vault_pid": lambda: f"'{self.pid('acme/vault')}'",
            "vault_name": lambda: "acme/vault",
            "environment": lambda: "NOTIFY_SOCKET",
            "watchdog_word": lambda: '"processes"',
            "supervisor_word": lambda: "RUNNING",
            "door_word": lambda: '"history"',
            "zmq_word": lambda: "ff00000000",  # how ZMTP greets
        }
        return table[name]() if name in table else self.host.secret(name)

    # -- one attempt
    def ask(self, client: str, text: str, request: str = "") -> dict[str, Any]:
        """What the one department that this is for has answered: values, or in `said` why there are none."""
        from mai.daemon.asking import ask

        self.count += 1
        request = request or f"r{self.count}"
        replies = list(ask(self.place, client, text, request=request, timeout_s=ASK_S, watch=False))
        answer = dict(replies[-1]["answer"])
        return dict((answer.get("parts") or [{}])[0].get("value") or {"worked": False, "said": answer["answer"]})

    def make(self, one: Attempt) -> tuple[bool, str]:
        """Let it be made inside; whether it worked, as seen from here, and what it said."""
        from tests import escape_checks, escape_witness  # noqa: F401  # the second registers its checks in the first

        self.count += 1
        self.facts |= {"token": f"token-{secrets.token_hex(8)}", "request": f"r{self.count}x"}
        with escape_checks.around(self, one) as judge:
            (self.code / "facts.json").write_text(json.dumps(self.facts))
            (self.code / "facts.json").chmod(0o644)
            try:
                said = self.ask("acme", f"try {one.name}", self.facts["request"])
            except MaiError as error:
                said = {"worked": False, "said": f"no answer: {error}"}
            worked = self.believed = bool(said["worked"])
            sent = one.group == "messages"  # which does not mean that it was heard
            self.patience_s = escape_checks.SOON_S if sent else (escape_checks.AT_ONCE_S, escape_checks.PATIENT_S)[worked]
            if one.gives:
                worked = worked and self.secret(one.gives) in str(said["said"])
            if one.changes:
                worked = judge()
        return worked, str(said["said"])

    # -- the bait
    @property
    def bait_path(self) -> Path:
        """A file of the vault's that attempts try to change."""
        return self.place.home("acme/vault") / "files" / "bait"

    @property
    def listed(self) -> str:
        """A name in its directory that nobody else knows."""
        return f"listed-{self.host.token[:12]}"

    def bait(self) -> None:
        """Lay it out as it was."""
        directory = self.bait_path.parent
        owner = os.stat(self.place.home("acme/vault") / "files" / "secret")
        shutil.rmtree(self.bait_path, ignore_errors=True)
        self.bait_path.unlink(missing_ok=True)
        (directory / "planted").unlink(missing_ok=True)
        for path in (self.bait_path, directory / self.listed):
            path.write_text("bait")
            path.chmod(0o600)
            if os.geteuid() == 0:
                os.chown(path, owner.st_uid, owner.st_gid)
        self.bait_seen = self.bait_state()

    def bait_state(self) -> object:
        """All of it that an attempt could change."""
        try:
            seen = self.bait_path.stat()
            return seen.st_mode, seen.st_nlink, seen.st_size, seen.st_mtime_ns, os.listxattr(self.bait_path), seen.st_ino
        except OSError as error:
            return str(error)


def mai_socket(place: Place, client: str) -> Path:
    """Where Mai's ROUTER is bound."""
    return next(iter(sorted(place.sockets(client).rglob("mai.sock"))), place.sockets(client) / "mai.sock")


def door_of(place: Place, client: str) -> Path:
    """Where her door is."""
    return next(iter(sorted(place.sockets(client).rglob("door.sock"))), place.sockets(client) / "door.sock")


def disk_of(path: Path) -> tuple[int, int]:
    """The device that a path lies on."""
    device = path.stat().st_dev
    return os.major(device), os.minor(device)


@contextlib.contextmanager
def world(directory: Path, walls: str | None) -> Iterator[World]:
    """A daemon that is up; down and gone afterwards, with everything that was started."""
    one = World(directory, walls)
    try:
        yield one.up()
    finally:
        one.down()
        for process in psutil.process_iter(["name", "cmdline"]):
            words = " ".join(process.info["cmdline"] or [])
            if str(directory) in words and process.pid != os.getpid():
                with contextlib.suppress(psutil.Error):
                    process.kill()
