"""Where a process lives: its directory, its mandate, its keys; all made before it is started for the first time."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from mai.agents.organisation import Organisation, engine_settings, mandate
from mai.daemon.keyring import Keyring
from mai.daemon.programs import is_mai
from mai.daemon.roll import gid_of
from mai.daemon.seals import Seals
from mai.daemon.walling import layers_of
from mai.sandbox import keys, proof, users
from mai.sandbox.place import Place


def furnish(place: Place, organisation: Organisation, keyring: Keyring | None = None) -> None:
    """Make what is missing, and tell every process its part of the organisation. Raises OSError, UsageFault.

    `keyring` knows which keys were given to whom; without one those that lie there are good. Where processes have users of
    their own, each gets its directories; what is shared is opened to those who can reach it, and RUN and STATE let nobody
    through: a process gets there only in a root directory that shows it.
    """
    owners = Owners(place, (*organisation.engines(), *organisation.processes()))
    for common in (place.notify.parent, place.door.parent):
        owners.lay(common, shared=0o011)
    for engine, settings in engine_settings(organisation).items():
        home = place.home(engine)
        owners.lay(home, engine)
        keys.write(home / "settings", msgspec.json.encode(settings))
        owners.lay(place.run / f"{engine}.d", engine, shared=0o011)
    if "metrics" in organisation.engines() and not (place.run / "metrics.sock").is_symlink():
        (place.run / "metrics.sock").unlink(missing_ok=True)  # of an older version
        (place.run / "metrics.sock").symlink_to(place.metrics.relative_to(place.run))
    for client in organisation.clients:
        owners.lay(place.sockets(client), f"{client}/mai")
        owners.lay(place.link(client).parent, f"{client}/mai", shared=0o010)
        _furnish_client(place, organisation, client, keyring or Keyring(place), owners)
        _furnish_spools(place, organisation, client, owners)


class Owners:
    """Whose each directory is: the user of a process, where it has one, else ours."""

    def __init__(self, place: Place, processes: Iterable[str]) -> None:
        self._users = users.hand_out(place, processes) if "user" in layers_of(place) else None

    def lay(self, directory: Path, process: str = "", shared: int = 0) -> None:
        """Make a directory of this process, 0700; with users, `shared` says who else may pass through it. Raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            uid, gid = (self._users.of[process], self._users.group(process)) if self._users and process else (0, 0)
            os.chown(directory, uid, gid)
        directory.chmod(0o700 | (shared if self._users else 0))


def _furnish_client(place: Place, organisation: Organisation, client: str, keyring: Keyring, owners: Owners) -> None:
    Seals(place.state).make(client)
    for process in processes_of(organisation, client):
        home = place.home(process)
        owners.lay(home, process)
        owners.lay(home / "files", process)
        owners.lay(place.notice(process).parent, shared=0o011)
        part = mandate(organisation, client, process.split("/")[1])
        keys.write(home / "mandate", msgspec.msgpack.encode(part))
        keyring.settle(process)
        if is_mai(process):
            proof.tell(home, place.run)
    keyring.publish(client, processes_of(organisation, client))


def _furnish_spools(place: Place, organisation: Organisation, client: str, owners: Owners) -> None:
    """Directories for files that are delivered: Mai's, open to the group that may deliver on the channel, if it names one."""
    channels = [channel for channel in organisation.channels if channel.spool]
    mai, shared = f"{client}/mai", 0o011 if any(channel.groups for channel in channels) else 0
    for directory in (place.spool(client).parent, place.spool(client)) if channels else ():
        owners.lay(directory, mai if directory == place.spool(client) else "")
        directory.chmod(0o700 | shared)
    for channel in channels:
        root, group = place.spool(client, channel.name), gid_of(channel.groups[0]) if channel.groups else None
        for directory in (root, *(root / name for name in ("tmp", "new", "cur", "bad"))):
            owners.lay(directory, mai)
            if group is None:
                continue
            with contextlib.suppress(PermissionError):  # who is not root gives only groups of his own
                os.chown(directory, -1, group)
                directory.chmod(0o3770 if directory.name in ("tmp", "new") else 0o2750)


def processes_of(organisation: Organisation, client: str) -> Iterable[str]:
    """The processes of one client, Mai first."""
    return (process for process in organisation.processes() if process.split("/")[0] == client)
