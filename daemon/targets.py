"""The targets of a model's chain as the models process sees them: which answers, which is left for the next. Pure.

Their breakers fold from the attempts themselves; the receipt for who goes on to the next target, and for whose turn it is
again, are those of all that stand in for each other (agents/fallback.py).
"""

from mai.agents import fallback
from mai.agents.breaker import FAILURES, SLOW_SHARE, Breaker
from mai.agents.events import Event
from mai.agents.fallback import FallbackReturned, FallbackSwitched
from mai.agents.models import Model, Target
from mai.daemon.calling import Attempt, AttemptBegun, AttemptEnded, Call, CallsState, by


def breaker_of(name: str) -> str:
    """Under which the breaker of "provider/model" is kept."""
    return fallback.key("model", name)


def spoken(shut: Breaker) -> str:
    """Why an open breaker is open, in a reason that the agent reads."""
    slow = shut.too_slow and shut.failures < FAILURES
    return "most of the last calls were slow" if slow else f"{shut.failures} failures in a row"


# -- decide
def slow(model: Model | None, attempt: Attempt, now_ms: int) -> bool:
    """Did an attempt take so long that another target, if there is one, should be asked?"""
    if model is None or len(model.chain) < 2 or not attempt.at_ms:
        return False
    return now_ms - attempt.at_ms > (model.slow_s or model.call_s * SLOW_SHARE) * 1000


def switched(call: Call, name: str, to: Target, why: str, now_ms: int) -> FallbackSwitched:
    """The receipt for a call that goes on to the next target."""
    next_ = by(to.provider, to.model)
    return FallbackSwitched(
        request=call.request, task=call.id, what="model", name=name, to=next_, evidence=fallback.evidence(why),
        gives_up=f"{next_} answers instead of {name}", at_ms=now_ms,
    )  # fmt: skip


def returned(state: CallsState, attempt: Attempt, ended: AttemptEnded) -> list[Event]:
    """A target for which others stood in answers again."""
    name = by(attempt.provider, attempt.model)
    known = state.breakers.get(breaker_of(name))
    if known is None or not known.since_ms or not _well(ended):
        return []
    after_ms = max(0, ended.at_ms - known.since_ms)
    return [FallbackReturned(what="model", name=name, after_ms=after_ms, to=known.to, switches=known.switches)]


def _well(ended: AttemptEnded) -> bool:
    """It answered; or refused as one who is well refuses."""
    return not ended.sick and not ended.slow and (bool(ended.answer) or ended.counts)


# -- evolve
def begun(state: CallsState, event: AttemptBegun) -> None:
    """If it is the one that tries, others wait for it."""
    key = breaker_of(by(event.provider, event.model))
    if key in state.breakers:
        state.breakers[key].begun(f"{event.task} {event.n}")
        fallback.keep(state, key)


def ended(state: CallsState, attempt: Attempt, event: AttemptEnded) -> None:
    """What an attempt says of its target: nothing, if it was cut off, or told to wait."""
    key, name = breaker_of(by(attempt.provider, attempt.model)), f"{event.task} {event.n}"
    if event.sick or event.slow:
        known = state.breakers.setdefault(key, Breaker())
        known.ended(name, sick=event.sick, slow=event.slow, now_ms=event.at_ms, why=event.why)
    elif key not in state.breakers:
        return
    elif _well(event):
        state.breakers[key].ended(name, sick=False, now_ms=event.at_ms)
    else:
        state.breakers[key].let_go(name)
    fallback.keep(state, key)
