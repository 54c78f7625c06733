"""Whether a remedy did good: the figure that it was to improve, before and after. Pure.

Deaths are counted over the same time before the remedy and after it, so more of them is worse at any moment; a queue and
memory may grow a little without that meaning anything.
"""

from typing import Literal

import msgspec

from mai.agents.remedies import Figure

Judgement = Literal["better", "same", "worse"]
GROWN = 1.5  # so much more is worse
FEW = 10  # waiting tasks that mean nothing


class Figures(msgspec.Struct, frozen=True):
    """How a process does at one moment."""

    failed: bool = False  # given up
    ready: bool = True
    deaths: int = 0  # in the time that is watched
    queue: int = 0
    memory_bytes: int = 0


def judge(figure: Figure, before: Figures, after: Figures) -> Judgement:
    """Has it got better? That it was given up since is worse, whatever the figure."""
    if after.failed and not before.failed:
        return "worse"
    if before.failed and not after.failed and after.ready:
        return "better"
    match figure:
        case "deaths":
            return _fewer(before.deaths, after.deaths)
        case "queue":
            return _grown(before.queue, after.queue, FEW)
        case "memory":
            return _grown(before.memory_bytes, after.memory_bytes, 0)
    return "same"


def _fewer(before: int, after: int) -> Judgement:
    return "same" if after == before else "better" if after < before else "worse"


def _grown(before: int, after: int, few: int) -> Judgement:
    if after > max(before * GROWN, before + few):
        return "worse"
    return "better" if after < before else "same"


def told(figure: Figure, before: Figures, after: Figures) -> str:
    """Both figures in words: `deaths 4 → 0`."""
    match figure:
        case "deaths":
            words = f"deaths {before.deaths} → {after.deaths}"
        case "queue":
            words = f"waiting {before.queue} → {after.queue}"
        case "memory":
            words = f"memory {before.memory_bytes >> 20} → {after.memory_bytes >> 20} MiB"
        case _:
            return ""
    if before.failed != after.failed:
        words += "; given up since" if after.failed else "; it runs again" if after.ready else ""
    return words
