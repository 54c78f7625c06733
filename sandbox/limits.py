"""What a process can take at most, setrlimit(2). Memory of several processes together is not bounded by this."""

import resource
from collections.abc import Mapping
from typing import Final

SIGPENDING, MSGQUEUE = 11, 12  # not named by Python's resource
KINDS: Final = {
    "core": resource.RLIMIT_CORE,
    "files": resource.RLIMIT_NOFILE,
    "file_bytes": resource.RLIMIT_FSIZE,
    "locked_bytes": resource.RLIMIT_MEMLOCK,
    "address_bytes": resource.RLIMIT_AS,
    "data_bytes": resource.RLIMIT_DATA,
    "signals": SIGPENDING,
    "queue_bytes": MSGQUEUE,
    "processes": resource.RLIMIT_NPROC,  # threads, counted by user and user namespace
}


def limit(limits: Mapping[str, int]) -> None:
    """Bound what is named here, for good; nothing is raised above what we have. Raises OSError, ValueError."""
    for name, value in limits.items():
        kind = KINDS[name]
        _, hard = resource.getrlimit(kind)
        lower = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lower, lower))
