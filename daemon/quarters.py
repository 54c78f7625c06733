"""Where a process lives: its directory, its mandate, its keys; all made before it is started for the first time."""

from collections.abc import Iterable

import msgspec

from mai.agents.organisation import Organisation, engine_settings, mandate
from mai.daemon.keyring import Keyring
from mai.daemon.seals import Seals
from mai.sandbox import keys
from mai.sandbox.place import Place


def furnish(place: Place, organisation: Organisation, keyring: Keyring | None = None) -> None:
    """Make what is missing, and tell every process its part of the organisation. Raises OSError, UsageFault.

    `keyring` knows which keys were given to whom; without one those that lie there are good.
    """
    for engine, settings in engine_settings(organisation).items():
        home = place.home(engine)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys.write(home / "settings", msgspec.json.encode(settings))
    for client in organisation.clients:
        place.sockets(client).mkdir(mode=0o700, parents=True, exist_ok=True)
        _furnish_client(place, organisation, client, keyring or Keyring(place))


def _furnish_client(place: Place, organisation: Organisation, client: str, keyring: Keyring) -> None:
    Seals(place.state).make(client)
    for process in processes_of(organisation, client):
        home = place.home(process)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = mandate(organisation, client, process.split("/")[1])
        keys.write(home / "mandate", msgspec.msgpack.encode(part))
        keyring.settle(process)
    keyring.publish(client, processes_of(organisation, client))


def processes_of(organisation: Organisation, client: str) -> Iterable[str]:
    """The processes of one client, Mai first."""
    return (process for process in organisation.processes() if process.split("/")[0] == client)
