"""How the way from an answer back to its records is shown to people."""

from collections.abc import Iterator
from typing import Final

from mai.agents.markers import MARK
from mai.daemon.matching import Found
from mai.daemon.status import painted
from mai.daemon.summary import clean, short
from mai.daemon.why import Because, Why
from mai.daemon.why_grounds import Ground

GREY, BOLD, RED, GREEN, YELLOW = 90, 1, 31, 32, 33
TINTS: Final = {"verified": GREEN, "differs": RED}
WORDS: Final = {
    "hundredfold": "in another unit", "count": "so many", "same": "", "word": "",
}  # fmt: skip
LABELS: Final = {
    "question": "asked", "tool": "", "memory": "", "reply": "reply", "model": "model", "text": "", "claim": "claim",
    "ruling": "ruling", "named": "named as a ground", "message": "message", "record": "", "wording": "worded", "mai": "mai",
    "written": "written", "part": "", "answer": "",
}  # fmt: skip
BARE: Final = ("question", "claim")  # grounds that say nothing of where an answer comes from
LAW: Final = (
    "What is named stands in that record; that it was taken from there is not proven. All that an agent knew: mai replay."
)


def render(found: Why, *, colour: bool = False) -> str:
    """Each sentence with the tree of its grounds."""
    lines = [
        painted(f"{found.client}/{found.request}  {clean(found.asked)}", BOLD, colour),
        f"{found.state}, {found.record}",
    ]
    for one in found.sentences:
        lines += ["", *_sentence(one, colour)]
    return "\n".join([*lines, "", painted(LAW, GREY, colour)])


def _sentence(one: Because, colour: bool) -> Iterator[str]:
    by = "" if one.exact or MARK.search(one.text) else f"  (words of {one.by})" if one.by != "mai" else "  (Mai's own words)"
    text = clean(one.text, 1000)
    yield painted(f"{text if text.startswith('“') else f'“{text}”'}{by}", BOLD, colour)
    for index, ground in enumerate(one.grounds):
        yield from _ground(ground, "", index == len(one.grounds) - 1, colour)
    if one.nowhere:
        yield painted(f"in no record as they stand there: {', '.join(one.nowhere)}", YELLOW, colour)


def _ground(ground: Ground, above: str, last: bool, colour: bool) -> Iterator[str]:
    who = f" of {short(ground.who)}" if ground.what in ("reply", "ruling") and ground.who else ""
    name = f"{LABELS[ground.what]}{who}: " if LABELS[ground.what] else ""
    yield (
        painted(above + ("└─ " if last else "├─ "), GREY, colour)
        + f"{name}{ground.said}  "
        + painted(ground.record, GREY, colour)
    )
    inner = above + ("   " if last else "│  ")
    bar = "│  " if ground.grounds else "   "
    for note in _notes(ground, colour):
        yield painted(inner + bar, GREY, colour) + note
    for index, below in enumerate(ground.grounds):
        yield from _ground(below, inner, index == len(ground.grounds) - 1, colour)


def _notes(ground: Ground, colour: bool) -> Iterator[str]:
    if ground.what not in ("part", "answer") and ground.found:
        yield painted(", ".join(_found(ground.found)), GREY, colour)
    if ground.via:
        yield painted(f"passed on as it is: {', '.join(ground.via)}", GREY, colour)
    if ground.decision and ground.what == "model":
        yield painted(f"the bytes that went out: mai replay {ground.decision} --raw-request", GREY, colour)
    elif ground.decision:
        verdict = painted(ground.verdict, TINTS.get(ground.verdict, YELLOW), colour)
        code = f", code {ground.code}" if ground.code else ""
        yield f"{verdict}: mai replay {ground.decision}, of {ground.had} records{code}"
    elif ground.verdict:
        yield painted(ground.verdict, YELLOW, colour)
    if ground.made:
        yield painted(f"made by it, in nothing that it had: {', '.join(ground.made)}", YELLOW, colour)
    if ground.besides and (ground.made or all(one.what in BARE for one in ground.grounds)):
        yield painted(f"it also had: {clean('; '.join(ground.besides))}", GREY, colour)


def _found(found: tuple[Found, ...]) -> Iterator[str]:
    words = [one.said for one in found if one.how == "word"]
    for one in found:
        if one.how != "word":
            how = f", {WORDS[one.how]}" if WORDS[one.how] else ""
            value = f" = {clean(one.value)}" if one.value != one.said else ""
            yield f"{one.said} ({one.where or 'text'}{value}{how})"
    if words:
        yield f"“{'”, “'.join(words)}”"
