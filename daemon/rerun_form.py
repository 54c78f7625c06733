"""How a decision that was made once more is shown to people. Pure."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from mai.daemon.rerun_case import Judged, Move, Outcome

MARK: Final = "tried again in a scratch process: nothing of this has happened, and nothing of it is on record"
LONG: Final = 400  # characters of a value


def render(decision: str, what: str, agent: str, outcome: Outcome) -> str:
    """What came out then, and what would have come out."""
    return "\n".join(
        [
            f"{decision}: {what} by {agent or 'mai'}, {MARK}",
            *(f"  note: {note}" for note in outcome.notes),
            *([f"  it came to nothing: {outcome.fault}"] if outcome.fault else []),
            *(f"  {line}" for move in outcome.moves for line in _move(move)),
            *(f"  {line}" for judged in outcome.judged for line in _judged(judged)),
            *_ends(outcome),
            "the same would have come out" if outcome.same else "something else would have come out",
        ]
    )


def _move(move: Move) -> Iterator[str]:
    yield f"step {move.n}  {move.call} {_said(move.given)}  ({move.how})"
    if move.before is not None:
        yield f"        it was {_said(move.before)}"


def _judged(judged: Judged) -> Iterator[str]:
    arrow = judged.before if judged.before == judged.after else f"{judged.before} → {judged.after}"
    clause = f", by the policy {judged.clause}" if judged.clause else ", as no policy says otherwise"
    yield f"record {judged.record}  {judged.what} {judged.name}: {arrow}{clause}"
    if judged.why and judged.before != judged.after:
        yield f"        {judged.why}"


def _ends(outcome: Outcome) -> Iterator[str]:
    if outcome.how == "policies":
        return
    if outcome.after is None:
        yield f"  then:  {_said(outcome.before)}"
        yield "  again: nothing of its kind"
        return
    names = [*outcome.before, *(name for name in outcome.after if name not in outcome.before)]
    for name in names:
        before, after = outcome.before.get(name), outcome.after.get(name)
        if before == after:
            yield f"  both:  {name} {_said(after)}"
        else:
            yield f"  then:  {name} {_said(before)}"
            yield f"  again: {name} {_said(after)}"


def _said(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= LONG else f"{text[:LONG]}… ({len(text):,} characters)"
