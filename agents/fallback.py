"""What is on record of who stands in for whom, and of the breakers behind it; the same in departments and at Mai. Pure.

    breaker.probed    one call is let through to who was not asked for a while
    breaker.noted     how a call went, if anything speaks or spoke against who was called
    fallback.switched another gets what was his to do: the receipt
    fallback.returned he does his work himself again

Breakers fold from these records: what a process knows of who fails survives its restart.
"""

from typing import ClassVar, Final, Literal

import msgspec

from mai.agents.breaker import Breaker, How
from mai.agents.events import Event, register
from mai.agents.plain import readable
from mai.agents.state import State

What = Literal["agent", "tool", "model", "contract"]
EVIDENCE_CHARS: Final = 300


class BreakerProbed(Event, frozen=True, kw_only=True):
    """A call is let through to try whether it answers again."""

    kind: ClassVar[str] = "breaker.probed"
    request: str
    task: str
    what: What
    name: str
    attempt: str


class BreakerNoted(Event, frozen=True, kw_only=True):
    """A call to it has ended. Of who does well, and has always done, there is no such record."""

    kind: ClassVar[str] = "breaker.noted"
    request: str
    task: str
    what: What
    name: str
    attempt: str
    how: How
    at_ms: int
    why: str = ""


class FallbackSwitched(Event, frozen=True, kw_only=True):
    """`to` does what was `name`'s to do; `task` is the task for which somebody is looked for."""

    kind: ClassVar[str] = "fallback.switched"
    request: str
    task: str
    what: What
    name: str
    to: str
    evidence: str
    gives_up: str = ""  # what its answer may lack, as the organisation says
    at_ms: int = 0
    tried: bool = False  # has `name` had this very task?
    n: int = 0  # of a tool: the step
    clear: bool = False  # of a tool that was tried: it is known that nothing has happened


class FallbackReturned(Event, frozen=True, kw_only=True):
    """It answers again, and gets its own work again."""

    kind: ClassVar[str] = "fallback.returned"
    what: What
    name: str
    after_ms: int
    to: str = ""  # who stood in last
    switches: int = 0  # how often somebody did


register(BreakerProbed, BreakerNoted, FallbackSwitched, FallbackReturned)
EVENTS: Final = (BreakerProbed, BreakerNoted, FallbackSwitched, FallbackReturned)


def key(what: str, name: str) -> str:
    """Under which a breaker is kept."""
    return f"{what} {name}"


def evidence(text: str) -> str:
    """A reason, as a receipt holds it."""
    return readable(text, EVIDENCE_CHARS)


# -- decide
def probe(state: State, what: What, name: str, attempt: str, *, request: str, task: str) -> list[Event]:
    """What goes on record before a call that the breaker lets through; nothing if it is closed."""
    known = state.breakers.get(key(what, name))
    if known is None or not known.until_ms:
        return []
    return [BreakerProbed(request=request, task=task, what=what, name=name, attempt=attempt)]


def note(
    state: State, what: What, name: str, attempt: str, *, how: How, now_ms: int, request: str, task: str, why: str = ""
) -> list[Event]:
    """What goes on record when a call has ended: that it went well only if something has spoken against it before."""
    known = state.breakers.get(key(what, name))
    if how == "well" and known is None:
        return []
    noted = BreakerNoted(
        request=request, task=task, what=what, name=name, attempt=attempt, how=how, at_ms=now_ms, why=evidence(why)
    )
    if how != "well" or known is None or not known.since_ms:
        return [noted]
    after_ms = max(0, now_ms - known.since_ms)
    return [noted, FallbackReturned(what=what, name=name, after_ms=after_ms, to=known.to, switches=known.switches)]


# -- evolve
def fold(state: State, event: Event) -> bool:
    """Fold one fact into the breakers; False if it is none of these."""
    match event:
        case BreakerProbed():
            breaker = state.breakers.setdefault(key(event.what, event.name), Breaker())
            breaker.begun(event.attempt)
        case BreakerNoted():
            breaker = state.breakers.setdefault(key(event.what, event.name), Breaker())
            sick, slow = event.how == "sick", event.how == "slow"
            breaker.ended(event.attempt, sick=sick, slow=slow, now_ms=event.at_ms, why=event.why)
        case FallbackSwitched():
            breaker = state.breakers.setdefault(key(event.what, event.name), Breaker())
            breaker.stood_in(event.to, event.at_ms)
        case FallbackReturned():
            return True
        case _:
            return False
    keep(state, key(event.what, event.name))
    return True


def keep(state: State, name: str) -> None:
    """A breaker stands so now; what speaks against nobody any more is not kept."""
    breaker = state.breakers.get(name)
    if breaker is not None and breaker.blank:
        del state.breakers[name]
        breaker = None
    state.changed("breaker", name, breaker)


def let_go(state: State, what: What, name: str, attempt: str) -> None:
    """An attempt has ended, whatever came of it: another may try."""
    known = state.breakers.get(key(what, name))
    if known is not None and known.trial == attempt:
        known.let_go(attempt)
        keep(state, key(what, name))


def load(state: State, rows: dict[str, bytes]) -> None:
    """Take up the breakers as they were committed."""
    state.breakers.update({name: msgspec.json.decode(data, type=Breaker) for name, data in rows.items()})
