"""Where everything lies: one state directory, one directory for each process in it, one for the sockets.

STATE/format                      the number of the layout; a newer one is refused
STATE/lock                        held by the supervisor for life
STATE/organisation.toml           a copy of the running organisation file
STATE/organisation.path           where it was read from
STATE/clients.json                which clients were added and removed at run time
STATE/log/acme.support.log        what a process printed
STATE/supervisor/                 its pid, what it printed, the organisation as it was checked
STATE/watchdog/                   ledger.db, ledger.made
STATE/deaths/acme.support/        a file for each of its last deaths
STATE/verified                    how far `mai verify` has found the journals sound
STATE/certificates/               one of each erasure of a client, signed
STATE/local-model/, embedder/     settings of the host's processes that hold a model's weights
STATE/credentials/                keys of model providers, put there by the operator; read by no process but models
STATE/clients/acme/support/       lock, ledger.db, ledger.made, mandate, key, proof (Mai's), files/ (its own data), pycache/
STATE/clients/acme/seal           the key of what the watchdog has on record of this client
STATE/spool/acme/mail/            tmp, new, cur, bad: what is delivered as files on that channel
STATE/run                         the sockets, or a link to where they are
RUN/proof                         what a person of our own user shows at the doors
RUN/supervisorctl.conf            for supervisorctl: where it asks, and the proof
RUN/supervisor.sock               supervisorctl
RUN/door.d/door.sock              the watchdog's door, for operators
RUN/notify.d/notify.sock          what the supervisor tells, READY and heartbeats of the host's processes
RUN/notify.d/acme.support/notify.sock   the same of this process: who floods his own keeps nobody else from being heard
RUN/local-model.d/local-model.json  where the local model listens, and with which key
RUN/metrics.d/metrics.sock        figures for a collector, where the organisation wants them; RUN/metrics.sock is a link to it
RUN/embedder.d/embedder.sock      the embedder's door, for each Mai
RUN/acme/link/mai.sock            the client's only ROUTER
RUN/acme/door.sock                Mai's door, for the client

Each socket that a walled process may use has a directory of its own: what is shown to the process is that directory, because
the socket in it is another one with each life of who listens. No client has a name with a dot.
"""

import os
import shutil
from pathlib import Path

from mai.sandbox import proof
from mai.sandbox.errors import UsageFault
from mai.sandbox.settings import setting

ONLY = "MAI_ONLY"  # in the environment of who reads for somebody: the clients that this one may see, with commas
WATCHDOG = "watchdog"  # the process that has no client
TERMINAL = "MAI_TERMINAL"  # in the environment of who reads for somebody's terminal
FORMAT = 4  # of the layout above and of the ledgers in it
SOCKET_PATH_LIMIT = 107  # bytes that fit into sockaddr_un.sun_path, unix(7)


class Place:
    """The paths of one state directory; creates nothing but what `prepare` and `home` are asked for."""

    def __init__(self, state: str | os.PathLike[str] | None = None, run: str | os.PathLike[str] | None = None) -> None:
        self.state = Path(os.path.abspath(state or setting("MAI_STATE")))
        self.run = Path(os.path.abspath(run or (setting("MAI_RUN") if state is None else "") or self.state / "run"))
        self.lock = self.state / "lock"
        self.organisation = self.state / "organisation.toml"
        self.clientele = self.state / "clients.json"
        self.supervisor = self.state / "supervisor"
        self.watchdog = self.state / WATCHDOG
        self.logs = self.state / "log"
        self.door = self.run / "door.d" / "door.sock"
        self.notify = self.run / "notify.d" / "notify.sock"
        self.embedder = self.run / "embedder.d" / "embedder.sock"
        self.local_model = self.run / "local-model.d" / "local-model.json"
        self.metrics = self.run / "metrics.d" / "metrics.sock"
        self.supervisor_socket = self.run / "supervisor.sock"
        self.supervisorctl = self.run / "supervisorctl.conf"
        self._only = frozenset(filter(None, os.environ.get(ONLY, "").split(",")))

    def notice(self, process: str) -> Path:
        """Where this process says that it is ready and alive."""
        client, slash, name = process.partition("/")
        return self.notify.parent / f"{client}.{name}" / self.notify.name if client and slash else self.notify

    def prepare(self) -> None:
        """Create the directories (0700), and check the number of the layout. Raises UsageFault."""
        try:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.check_format()
            self._find_run()
            for directory in (self.run, self.door.parent, self.notify.parent, self.supervisor, self.watchdog, self.logs):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            proof.make(self.run)
            self._write_format()
        except OSError as error:
            raise UsageFault(
                f"the state directory {self.state} cannot be used: {error.strerror}",
                "name another with --state or MAI_STATE, or make room and set its rights",
            ) from error

    def _write_format(self) -> None:
        """From now on an older version refuses this directory; each process brings its own ledger up to date when it opens it."""
        path, part = self.state / "format", self.state / "format.part"
        if not path.exists() or path.read_text() != f"{FORMAT}\n":
            part.write_text(f"{FORMAT}\n")
            os.replace(part, path)

    def _find_run(self) -> None:
        """Sockets elsewhere (a service's /run/mai) are found through a link in the state directory."""
        own = self.state / "run"
        if own.is_symlink() and (self.run == own or own.readlink() != self.run):
            own.unlink()
        if self.run != own and not own.is_symlink():
            shutil.rmtree(own, ignore_errors=True)  # nothing but sockets of an earlier start
            own.symlink_to(self.run)

    def check_format(self) -> None:
        """Refuse a state directory that a newer version has written."""
        try:
            found = int((self.state / "format").read_text())
        except FileNotFoundError:
            return
        except ValueError:
            raise UsageFault(f"{self.state / 'format'} holds no number", "is this a state directory of mai?") from None
        if found > FORMAT:
            raise UsageFault(
                f"the state directory {self.state} is of format {found}, this version reads up to {FORMAT}",
                "install the newer version again, or name another directory with --state",
            )

    def sees(self, process: str) -> bool:
        """Is it to be shown here? Only who reads for others is shown less than all."""
        return not self._only or process.partition("/")[0] in self._only

    def home(self, process: str) -> Path:
        """The directory of a process: `watchdog`, `local-model`, or `client/department`. Raises UsageFault if it is hidden."""
        if "/" in process and not self.sees(process):
            raise UsageFault(f"there is no process {process!r:.80}", "see: mai status")
        return self.state / "clients" / process if "/" in process else self.state / process

    def ledger(self, process: str) -> Path:
        """The ledger of a process."""
        return self.home(process) / "ledger.db"

    def spool(self, client: str, channel: str = "") -> Path:
        """Where files are put for a channel, or the directory of all spools of a client."""
        return self.state / "spool" / client / channel if channel else self.state / "spool" / client

    def log(self, process: str) -> Path:
        """What a process printed."""
        return self.logs / f"{process.replace('/', '.')}.log"

    def sockets(self, client: str) -> Path:
        """The directory of a client's sockets."""
        return self.run / client

    def link(self, client: str) -> Path:
        """The socket of a client's Mai for her departments."""
        return self.sockets(client) / "link" / "mai.sock"

    def processes(self, file: str = "ledger.db") -> list[str]:
        """Every process that has a ledger (or another file) here, Mai first within a client, the watchdog last."""
        found = [f"{p.parent.parent.name}/{p.parent.name}" for p in (self.state / "clients").glob(f"*/*/{file}")]
        found.sort(key=lambda name: (name.split("/")[0], not name.endswith("/mai"), name))
        found += [WATCHDOG] if (self.watchdog / file).exists() else []
        return [name for name in found if self.sees(name)]


def socket_mode(path: Path) -> int:
    """The rights of a socket: its directory says whether only its owner uses it, or its group, or all who get that far."""
    through = path.parent.stat().st_mode
    return 0o600 | (0o060 if through & 0o010 else 0) | (0o006 if through & 0o001 else 0)


def short(path: Path, spare: int = 0) -> str:
    """A name for a socket's path that fits into sun_path with so many bytes to `spare`, through a descriptor if it must.

    The descriptor stays open for the life of the process, because ZeroMQ connects again by name.
    """
    if len(os.fsencode(path)) + spare <= SOCKET_PATH_LIMIT:
        return str(path)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{directory}/{path.name}"
