"""Where figures are offered to a collector: the table `metrics` of an organisation file. Pure."""

import re
from typing import Final

from mai.agents.parts import Part

SOCKET: Final = "socket"
_LOOPBACK: Final = re.compile(r"(?:127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost):(\d{1,5})")


class Metrics(Part, frozen=True, kw_only=True):
    """An endpoint for Prometheus. Its labels name all clients: who may read it sees that there are these."""

    listen: str = ""  # "socket": RUN/metrics.sock, for the daemon's own user; "127.0.0.1:9464": for every user of the host


def flaw(listen: str) -> str:
    """What is wrong with an address; "" if nothing is."""
    found = _LOOPBACK.fullmatch(listen)
    if listen in ("", SOCKET) or (found and 0 < int(found[1]) < 65536):
        return ""
    return f"listen is {listen!r:.60}, expected {SOCKET!r} or an address of this host alone such as '127.0.0.1:9464'"
