"""Which user each process is run as when the daemon is root: a number of its own, the same for good, taken from a range.

STATE/users holds who has which. The range is MAI_UIDS, or 1024 numbers that the path of the state directory chooses among those
that nobody hands out (systemd's UIDS-GIDS.md): two facilities of one host have different users, and bound nothing for each other.
"""

import fcntl
import os
import zlib
from collections.abc import Iterable
from typing import Final

import msgspec

from mai.sandbox.errors import UsageFault
from mai.sandbox.place import Place
from mai.sandbox.settings import setting

FIRST: Final = 1_900_000_000
BLOCKS: Final = 1 << 16
EACH: Final = 1 << 10  # numbers in a block


class Users(msgspec.Struct, frozen=True):
    """Numbers from `first` to `last`, and whose they are."""

    first: int
    last: int
    of: dict[str, int] = {}

    def group(self, process: str) -> int:
        """All processes of a client have the group of its Mai; one of the host has one to itself."""
        return self.of.get(f"{process.partition('/')[0]}/mai", self.of[process])


def fresh(place: Place) -> Users:
    """The range of this place, nobody in it. Raises UsageFault."""
    if not (named := setting("MAI_UIDS")):
        first = FIRST + zlib.crc32(os.fsencode(place.state)) % BLOCKS * EACH
        return Users(first, first + EACH - 1)
    first_, _, last_ = named.partition("-")
    if not (first_.isdigit() and last_.isdigit() and 0 < int(first_) <= int(last_) < 1 << 31):
        raise UsageFault(f"MAI_UIDS is {named!r:.60}", "it is a range of numbers: 300000-300999")
    return Users(int(first_), int(last_))


def known(place: Place) -> Users | None:
    """As they were handed out; None if none ever were."""
    try:
        return msgspec.json.decode((place.state / "users").read_bytes(), type=Users)
    except (OSError, msgspec.MsgspecError):
        return None


def hand_out(place: Place, processes: Iterable[str]) -> Users:
    """Give each process that has none a number that nobody ever had; one that has one keeps it. Raises OSError, UsageFault."""
    with open(place.state / "users.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = known(place)
        users = before or fresh(place)
        of, number = dict(users.of), max([users.first - 1, *users.of.values()]) + 1
        for process in processes:
            if process not in of:
                if number > users.last:
                    raise UsageFault(f"the users {users.first}-{users.last} are all taken", "name a larger range with MAI_UIDS")
                of[process], number = number, number + 1
        users = msgspec.structs.replace(users, of=of)
        if users != before:
            part = place.state / "users.part"
            part.write_bytes(msgspec.json.format(msgspec.json.encode(users)) + b"\n")
            os.replace(part, place.state / "users")
    return users
