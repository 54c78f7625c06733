"""`--follow` at the doors of several Mais at once: what waits for persons, and each new one in the moment in which it comes."""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from mai.daemon.terminal import place_of

Fresh = queue.Queue[dict[str, Any] | Exception]


def following(context: click.Context, clients: Sequence[str], word: str) -> Iterator[dict[str, Any]]:
    """What waits, and then what comes, of all clients: `word` is the door's verb and its reply's key.

    A Mai that goes away is asked again when she is back. Raises NotRunning if she stays away, and what her door refuses.
    """
    fresh = Fresh()
    for client in clients:
        threading.Thread(target=_follow, args=(context, client, word, fresh), daemon=True).start()
    seen: set[tuple[str, str]] = set()
    while True:
        one = fresh.get()
        if isinstance(one, Exception):
            raise one
        if (name := (one.get("client", ""), one["id"])) not in seen:
            seen.add(name)
            yield one


def _follow(context: click.Context, client: str, word: str, fresh: Fresh) -> None:
    from mai.daemon.asking import AGAIN_S, AWAY_S, client_of
    from mai.daemon.door import Door, fault
    from mai.sandbox.errors import MaiError, NotRunning

    place, until_s = place_of(context), 0.0  # when she will have been away for too long; 0 while she is there
    while True:
        try:
            for reply in Door(place.sockets(client_of(place, client)) / "door.sock").ask({"do": word, "follow": True}):
                if "error" in reply:
                    raise fault(reply)
                until_s = 0.0
                for one in reply[word]:
                    fresh.put({"client": client, **one})
        except NotRunning as error:
            until_s = until_s or time.monotonic() + AWAY_S
            if time.monotonic() > until_s:
                fresh.put(error)
                return
            time.sleep(AGAIN_S)
        except MaiError as error:
            fresh.put(error)
            return
