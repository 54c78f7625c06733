"""Asking a client's Mai from the command line: the id makes it safe to ask again when the connection breaks."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator

from mai.daemon import afar
from mai.daemon.door import LINE_BYTES, Door, Reply, fault
from mai.sandbox.errors import EXPIRED, FAILED, REFUSED, Expired, MaiError, NotRunning, UsageFault
from mai.sandbox.place import Place, short

LONGEST_BYTES = LINE_BYTES  # of a text; Mai's own limit is lower
LONGEST_S = 24 * 3600.0  # a request's deadline
AGAIN_S = 0.05  # between two tries while Mai is away
AWAY_S = 30.0  # Mai may be away for so long at a time
GRACE_S = 5.0  # how much longer than the request's deadline we wait for its answer
CODES = {"answered": 0, "refused": REFUSED, "expired": EXPIRED, "failed": FAILED}  # state of an answer -> exit status


def new_id() -> str:
    """An id for a request: the time in milliseconds, so that ids sort, and some randomness."""
    return f"{int(time.time() * 1000):011x}{os.urandom(3).hex()}"


def client_of(place: Place, client: str) -> str:
    """The client, checked against those that this state directory knows. Raises UsageFault, NotRunning."""
    if afar.closed(place) and "/" not in client:
        return client  # her door knows
    known = sorted({name.split("/")[0] for name in place.processes() if "/" in name})
    if client not in known:
        if not known:
            raise NotRunning(f"nothing has run in {place.state} yet", "start the daemon with: mai up")
        raise UsageFault(f"there is no client {client!r:.80}", f"the clients are: {', '.join(known)}")
    return client


def text_of(data: bytes) -> str:
    """The text of a request, as the shell or a pipe gives it. Raises UsageFault."""
    if len(data) > LONGEST_BYTES:
        raise UsageFault(f"the request has more than {LONGEST_BYTES} bytes", "say it shorter")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageFault(f"the request is not a text: byte {error.start + 1} is not UTF-8", "send it as UTF-8") from None


def ask(
    place: Place, client: str, text: str, *, request: str, timeout_s: float | None, watch: bool, who: str = ""
) -> Iterator[Reply]:
    """The replies of Mai: `accepted`, with `watch` each `hop`, `notice` if it takes longer, and at last `answer`.

    `who` asks, of several for whom one user of the host speaks.

    While she is away (a restart) it is asked again with the same id; so a reply may come twice, the answer comes once.
    Raises MaiError: NotRunning if she will not be back by herself, Expired if there is no answer in time.
    """
    client_of(place, client)
    if timeout_s is not None and not 0 < timeout_s <= LONGEST_S:
        raise UsageFault(f"{timeout_s:g} s is no time-out", f"a number of seconds, more than 0 and up to {LONGEST_S:.0f}")
    asked: Reply = {"do": "ask", "request": request, "text": text, "watch": watch}
    asked |= {"as": who} if who else {}
    if timeout_s is not None:
        asked["timeout_s"] = timeout_s
    wait = Door(place.sockets(client) / "door.sock", (LONGEST_S if timeout_s is None else timeout_s) + GRACE_S)
    until_s, accepted = 0.0, False  # when she will have been away for too long; 0 while she is there
    while True:
        try:
            for reply in wait.ask(asked):
                if "error" in reply:
                    raise fault(reply)
                until_s, accepted = 0.0, True
                yield reply
            return
        except NotRunning:
            why = gone(place, client)
            until_s = until_s or time.monotonic() + AWAY_S
            if why is None and time.monotonic() > until_s:
                why = NotRunning(f"{client}'s Mai has been away for {AWAY_S:g} s", "look at: mai status")
            if why:
                raise type(why)(why.sentence, f"{why.hint}; {kept(request)}" if accepted else why.hint) from None
            time.sleep(AGAIN_S)
        except Expired:
            raise Expired(f"no answer to {request} yet", kept(request)) from None


def kept(request: str) -> str:
    """The hint that nothing is lost."""
    return f"{request} is kept and goes on; ask for its answer with the same text and --id {request}"


def gone(place: Place, client: str) -> MaiError | None:
    """Why a client's Mai will not be back by herself; None if she may be."""
    with contextlib.suppress(MaiError):
        processes = Door(place.door, GRACE_S).call({"do": "status"})["processes"]
        mai: Reply = next((process for process in processes if process["name"] == f"{client}/mai"), {})
        state = mai.get("state", "")
        if state == "stopped" and not mai.get("asleep"):
            return NotRunning(f"{client}/mai is stopped", f"start it with: mai start {client}/mai")
        if state == "failed":
            return NotRunning(f"{client}/mai has failed", f"look at `mai logs {client}/mai`, then: mai reset {client}/mai")
        if state:
            return None
        return UsageFault(f"the running organisation has no client {client!r}", "its clients are in: mai status")
    if afar.closed(place) and place.run.exists() and not place.sockets(client).exists():
        return UsageFault(f"the running organisation has no client {client!r:.80}", "ask who has given you a role at its door")
    return None if lives(place) else NotRunning(f"no daemon runs in {place.state}", "start it with: mai up")


def lives(place: Place) -> bool:
    """Does the daemon's supervisor listen? Its lock is not asked, because to look at a lock is to hold it for a moment."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(GRACE_S)
        try:
            connection.connect(short(place.supervisor_socket))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            pass  # it is there, and busy or not ours to ask
    return True
