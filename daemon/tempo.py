"""How fast a process may speak to its Mai: what it asks, and all that carries no work, each have a bound a second. Pure.

    asks     what it wants done: another department's contract, a model, a tool, the client's memory, a result nobody waits for
    words    Hello, notices, complaints, malformed and forged frames, numbers that were seen or come too early

What it owes to open work costs nothing. Who goes beyond its bounds, or takes nothing of what waits for it, is not heard for
`PAUSE_S`: its frames are thrown away unread. Nothing is lost by that, because nothing of it was acknowledged: then it is told
why, both sides say Hello, and it sends again what was not heard.

Who sends on and on meanwhile floods: its frames have to be deciphered before they can be thrown away. Its connections are cut,
and it is not let in again for twice as long each time, up to `LONGEST_S`. After `FLOODS` times the watchdog is to stop it.
"""

from typing import Final, Literal, NamedTuple

import msgspec

from mai.agents.decider import crowded
from mai.agents.errand_messages import Thought, Used
from mai.agents.link import TOO_FAST, WINDOW, receipt
from mai.agents.messages import Ack, Complaint, Envelope, Hello, Hop, Result
from mai.agents.organisation import Limits
from mai.daemon.mai import MaiDecider

PAUSE_S: Final = 0.5
IGNORED: Final = 2 * WINDOW  # frames in one pause; who keeps to its window sends fewer
LONGEST_S: Final = 60.0
FORGIVEN_S: Final = 300.0  # after its last flood
FLOODS: Final = 4
ACCUSED_S: Final = 3.0  # for so long the watchdog is told, in heartbeats, of which one may be lost
HELLO_S: Final = 2.0  # within which who is heard again says Hello
STORED_S: Final = 5.0  # of its pace that who was quiet may use at once
HELLO: Final = 10  # as many words: up to a window of frames may go again because of it
FLOOD: Final = "flood"  # the reason that stands on record when it is cut off
NONSENSE: Final = 5  # it is answered, and put on record
HANDSHAKES_PER_S: Final = 4.0  # a process makes one in its life, and one for each life of Mai

What = Literal["asks", "words", "handshakes"]


class Price(NamedTuple):
    """What one frame costs its sender."""

    what: What = "words"
    many: int = 0


FREE: Final = Price()


class Bucket(msgspec.Struct):
    """So many may be had at once; they come back with time."""

    left: float
    at_s: float

    def take(self, count: int, per_s: float, now_s: float) -> bool:
        """Have so many; False if there are not as many."""
        self.left = min(per_s * STORED_S, self.left + max(0.0, now_s - self.at_s) * per_s)
        self.at_s = now_s
        if self.left < count:
            return False
        self.left -= count
        return True


class Pause(msgspec.Struct):
    """A process that is not heard."""

    until_s: float
    why: str
    detail: str
    for_s: float = PAUSE_S
    ignored: int = 0  # frames that came all the same
    cut: bool = False  # it is not let in either


class Floods(msgspec.Struct):
    """How often a process flooded, and when last."""

    count: int
    at_s: float


class Tempo:
    """Of all who speak to one Mai. Seconds are those of a clock that is not set back."""

    def __init__(self, limits: Limits) -> None:
        self._per_s: dict[What, float] = {
            "asks": limits.asks_per_s, "words": limits.words_per_s, "handshakes": HANDSHAKES_PER_S
        }  # fmt: skip
        self._buckets: dict[tuple[str, What], Bucket] = {}
        self._pauses: dict[str, Pause] = {}
        self._floods: dict[str, Floods] = {}
        self._awaited: dict[str, Pause] = {}  # heard again, and told so: their Hello is due

    def admits(self, peer: str, now_s: float) -> bool:
        """May it make one more connection?"""
        return not self._is_cut(peer) and self._take(peer, Price("handshakes", 1), now_s)

    def spend(self, peer: str, price: Price, now_s: float) -> bool:
        """May this be taken? If not, its sender is not heard for a while."""
        if not price.many or self._take(peer, price, now_s):
            return True
        self.silence(peer, TOO_FAST, f"it brings more than {self._per_s[price.what]:g} {price.what} a second", now_s)
        return False

    def _take(self, peer: str, price: Price, now_s: float) -> bool:
        per_s = self._per_s[price.what]
        bucket = self._buckets.setdefault((peer, price.what), Bucket(per_s * STORED_S, now_s))
        return bucket.take(price.many, per_s, now_s)

    def silence(self, peer: str, why: str, detail: str, now_s: float) -> None:
        """Hear nothing of it from now on, for a while."""
        self._pauses.setdefault(peer, Pause(now_s + PAUSE_S, why, detail))

    def ignore(self, peer: str, many: int, now_s: float) -> bool:
        """So many frames of one who is not heard have come. Does it flood, so that its connections have to be cut?"""
        pause = self._pauses[peer]
        pause.ignored += many
        if pause.ignored > IGNORED and not pause.cut:
            before = self._floods.get(peer)
            count = 1 + (before.count if before and now_s < before.at_s + FORGIVEN_S else 0)
            self._floods[peer] = Floods(count, now_s)
            pause.cut, pause.for_s = True, min(LONGEST_S, PAUSE_S * 2**count)
            pause.until_s = now_s + pause.for_s
            pause.detail = f"{pause.detail}, and went on when it was not heard: cut off for {pause.for_s:g} s"
        return pause.cut

    def _is_cut(self, peer: str) -> bool:
        pause = self._pauses.get(peer)
        return pause is not None and pause.cut

    def floods(self, now_s: float) -> tuple[str, ...]:
        """Processes that have just flooded once too often. An old key's is nobody's flood."""
        found = (peer for peer, one in self._floods.items() if one.count >= FLOODS and now_s < one.at_s + ACCUSED_S)
        return tuple(sorted(peer for peer in found if " " not in peer))

    def deaf(self, peer: str) -> bool:
        """Is nothing of it heard now?"""
        return peer in self._pauses

    def why(self, peer: str) -> Pause | None:
        """Why nothing of it is heard now; None if it is."""
        return self._pauses.get(peer)

    def told(self, peer: str, pause: Pause, now_s: float) -> None:
        """It knows that it is heard again; if its Hello does not come for `HELLO_S`, its word or ours was lost."""
        self._awaited[peer] = msgspec.structs.replace(pause, until_s=now_s + HELLO_S)

    def greeted(self, peer: str) -> None:
        """Its Hello has come."""
        self._awaited.pop(peer, None)

    def over(self, now_s: float) -> list[tuple[str, Pause]]:
        """Who is heard again from now on, and has to be told."""
        both = (self._pauses, self._awaited)
        found = [(peer, pause) for ones in both for peer, pause in ones.items() if now_s >= pause.until_s]
        for peer, _ in found:
            self._pauses.pop(peer, None)
            self._awaited.pop(peer, None)
        return found

    def wait_ms(self, wait_ms: int, now_s: float) -> int:
        """No longer than until the next one is heard again."""
        dues = (pause.until_s for ones in (self._pauses, self._awaited) for pause in ones.values())
        due_s = min(dues, default=now_s + wait_ms / 1000)
        return min(wait_ms, max(0, int((due_s - now_s) * 1000) + 1))

    def status(self) -> str:
        """For `mai status`; "" if all are heard."""
        said = sorted((peer, pause.for_s, pause.detail) for peer, pause in self._pauses.items())
        return "; ".join(f"{peer} is not heard for {for_s:g} s: {detail}" for peer, for_s, detail in said)


def price(mai: MaiDecider, peer: str, envelope: Envelope) -> Price:
    """What a frame costs the process that it is from."""
    body, link = envelope.body, mai.state.link(peer)
    match body:
        case Hello():
            return Price("words", HELLO)
        case Ack(received=received):
            return Price("words", int(received <= link.acked))
        case Hop() | Complaint():
            return Price("words", 1)
    if receipt(link, envelope.lseq) != "new":
        return Price("words", 1)
    return FREE if owed(mai, peer, body) else Price("asks", 1)


def owed(mai: MaiDecider, peer: str, body: object) -> bool:
    """Is this the answer to what Mai has open with this process?"""
    match body:
        case Result(task=task):
            holding = mai.holding(task)
            return holding is not None and holding.process == peer
        case Thought(id=ident) | Used(id=ident):
            return ident in mai.state.errands
    return False


def unread(mai: MaiDecider, peer: str) -> str:
    """Why nothing more may be asked by a process, because it does not take what waits for it; "" if it may."""
    return crowded(mai.state, peer, mai.limits.queue)
