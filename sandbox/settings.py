"""Every setting of the environment, once: name, default, help. `mai --help` and README or MANUAL are checked against it."""

import os
from typing import NamedTuple


class Setting(NamedTuple):
    """One variable of the environment."""

    name: str
    default: str
    help: str


SETTINGS = (
    Setting("MAI_STATE", "~/.local/state/mai", "directory of all state; the service uses /var/lib/mai"),
    Setting("MAI_CONFIG", "", "the organisation file"),
    Setting("MAI_MODEL_URL", "local", "where models of providers without a url are asked; local is this host's own"),
    Setting("MAI_MODEL", "", "the model that is asked for there"),
    Setting("MAI_CREDENTIALS", "", "directory of the models' keys; by default credentials/ in the state directory"),
    Setting("MAI_ARCHIVE", "", "where segments were carried to that do not lie beside their ledgers any more"),
    Setting("MAI_WALLS", "all", "layers of the walls around each process; fewer, or none, only to look for a fault"),
    Setting("MAI_UIDS", "", "users that processes are run as when the daemon is root; by default 1024 from 1900000000 on"),
    Setting("MAI_RUN", "", "directory of the sockets; by default run/ in the state directory"),
)
DEFAULTS = {setting.name: setting.default for setting in SETTINGS}


def setting(name: str) -> str:
    """The value of a setting: from the environment, else its default, with `~` expanded. Unknown names are our bug."""
    return os.path.expanduser(os.environ.get(name) or DEFAULTS[name])
