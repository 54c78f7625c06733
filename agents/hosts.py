"""Hosts as an organisation file names them: "api.example.com", "api.example.com:8443", "[::1]:443". Pure."""

import ipaddress
import re
from typing import Final

HOST: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?))(?::(?P<port>\d{1,5}))?"
)


def parse(host: str) -> tuple[str, int] | None:
    """A host's name, as `plain_name` gives it, and its port, 0 for any; None if it is no host."""
    found = HOST.fullmatch(host)
    port = int(found["port"] or 0) if found else 0
    if found is None or len(host) > 260 or port > 65535 or (found["port"] and not port):
        return None
    if found["six"]:
        try:
            ipaddress.IPv6Address(found["six"])
        except ValueError:
            return None
    return plain_name(found["six"] or found["name"]), port


def plain_name(name: str) -> str:
    """A name or an address in the one form that it is compared in."""
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name.lower().rstrip(".")
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
