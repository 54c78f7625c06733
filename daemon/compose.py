"""One voice: the parts of a request become one answer, which says what came from where and what failed. Pure."""

from typing import Any, NamedTuple

from mai.daemon.records import PartAnswer

_GRAVEST = ("failed", "expired", "refused", "answered")


def state_of(parts: tuple[PartAnswer, ...]) -> str:
    """The state of the whole: answered only if every part is; else the gravest."""
    return next(state for state in _GRAVEST if any(outward(part.state) == state for part in parts))


def outward(state: str) -> str:
    """A part's state as a client sees it: what was escalated waits for a person, so it failed here."""
    return "failed" if state == "escalated" else state


class Piece(NamedTuple):
    """Some words of an answer, and the part that gave them: its number from 1, or 0 for Mai's own."""

    part: int
    text: str


def answer(parts: tuple[PartAnswer, ...]) -> str:
    """The text of the answer."""
    return "".join(piece.text for piece in pieces(parts))


def pieces(parts: tuple[PartAnswer, ...]) -> list[Piece]:
    """The same, with whose words they are."""
    if len(parts) == 1:
        return [Piece(1, said(parts[0]))]
    joints = (("\n\n" if number > 1 else "") + f"{number}. " for number in range(1, len(parts) + 1))
    return [
        piece
        for n, (joint, part) in enumerate(zip(joints, parts, strict=True), 1)
        for piece in (Piece(0, joint), Piece(n, said(part)))
    ]


def said(part: PartAnswer) -> str:
    """One part: what it says and where that comes from, or which part failed and why."""
    if part.state == "answered":
        return f"{part.answer or listed(part.value)}\n   [{provenance(part)}]"
    verb = {"refused": "was refused", "expired": "was not answered in time"}.get(part.state, "could not be answered")
    what = f"“{part.text[:120]}” {verb}" if part.text else f"Your request {verb}"
    where = f" by {part.department}" if part.department else ""
    return f"{what}{where}: {part.reason or 'no reason was given'}"


def provenance(part: PartAnswer) -> str:
    """Who answered, and whose figures it rests on."""
    who = part.by.split("/", 1)[-1]
    others = [name for name in part.sources if name != part.department]
    return f"{who}, with {' and '.join(others)}" if others else who


def listed(value: dict[str, Any]) -> str:
    """Values without a text, for a person."""
    return ", ".join(f"{name}: {one}" for name, one in value.items()) or "done"
