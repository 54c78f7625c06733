"""What the built-in medic thinks: an incident and what was tried before → one remedy, or none. Pure.

Deaths of one task: that task is put away. Given up: one more chance; then its backups; then a person. Again and again: a
pause, or the backups. Ended at a bound: more of that. No progress: a restart. What a restart has healed needs nothing. A person
is called for what was given up, and for what hangs, stands still or grows again and again.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from mai.agents.parts import Fields

AGAIN: Final = 3  # incidents in a short time that are more than an accident
PAUSE_S: Final = 10.0
GUILTY: Final = 2  # deaths with the same task at work
MOST_TRIES: Final = 3  # remedies for one incident


class Choice(NamedTuple):
    """A remedy, what it is given beside its target, and why."""

    remedy: str
    given: Fields
    why: str


def choose(incident: Fields, tried: Sequence[str]) -> Choice | None:
    """The next remedy for an incident, as its contract has it; `tried` are names of remedies that were done or refused lately."""
    return next((choice for choice in _choices(incident) if choice.remedy not in tried), None)


def _choices(incident: Fields) -> Iterator[Choice]:
    """What comes into question, best first; a person is the last."""
    what, name = str(incident["what"]), str(incident["process"])
    failed, often = what == "failed", _number(incident, "incidents") >= AGAIN
    task, guilty = str(incident.get("task") or ""), _number(incident, "guilty")
    if task and guilty >= GUILTY and (failed or often):
        yield Choice("quarantine", {"task": task}, f"{guilty} deaths of {name} with {task} at work")
    if what == "stuck":
        yield Choice("restart", {}, f"{name} has work and makes no progress")
    if what == "bloated" and (bound := str(incident.get("bound") or "")):
        yield Choice("raise", {"bound": bound}, f"{name} was ended at its bound of {bound}")
    if failed:
        yield Choice("reset", {}, f"{name} was given up: one more chance")
    if (failed or often or what == "breach") and incident.get("backup"):
        yield Choice("switch", {}, f"{name} {'was given up' if failed else 'fails again and again'}, and has backups")
    if often and not failed and incident.get("department"):
        why = f"{_number(incident, 'incidents')} incidents of {name} in a short time: no new work until it has settled"
        yield Choice("pause", {"for_s": PAUSE_S}, why)
    if failed or (what in ("hung", "stuck", "bloated") and _number(incident, "alike") >= AGAIN):  # one hang among deaths is none
        yield Choice("page", {}, f"nothing that operations may do has helped {name}: {incident.get('text')}")


def _number(incident: Fields, key: str) -> int:
    found = incident.get(key)
    return found if isinstance(found, int) else 0
