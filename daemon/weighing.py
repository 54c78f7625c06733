"""What a process takes, held against what it may: a word at four fifths, the end at the whole. Pure."""

from typing import Final, NamedTuple

from mai.daemon.case import Case, Measured, Rules

NEAR: Final = 0.8  # of a bound: there is a word of warning
FAR: Final = 0.7  # below that the next one is a new warning
MIB: Final = 1 << 20


class Weighed(NamedTuple):
    """`over`: why it has to end, or "", and at which `bound`.

    `near` and `warned`: the words of warning that are new, and all that hold.
    """

    over: str
    bound: str  # which that is
    near: tuple[str, ...]
    stuck: str
    warned: tuple[str, ...]


def weigh(case: Case, found: Measured, rules: Rules) -> Weighed:
    """Hold what was measured against the bounds."""
    shares = [(what, used / most, text) for what, used, most, text in _figures(found, rules) if most]
    bound, over = next(((what, text) for what, share, text in shares if share >= 1), ("", ""))
    near = {what: text for what, share, text in shares if share >= (FAR if what in case.warned else NEAR)}
    stuck = bool(rules.stuck_s) and found.idle_s > rules.stuck_s
    said = f"has work, and made no progress for {found.idle_s:.0f} s" if stuck and "stuck" not in case.warned else ""
    fresh = tuple(text for what, text in near.items() if what not in case.warned)
    return Weighed(over, bound, fresh, said, (*near, *(["stuck"] if stuck else [])))


def _figures(found: Measured, rules: Rules) -> list[tuple[str, float, float, str]]:
    """What, how much, how much at the most, and both in words."""
    memory = f"takes {found.memory_bytes / MIB:.0f} of {rules.memory_bytes / MIB:.0f} MiB of memory"
    files = f"has {found.descriptors} of {rules.descriptors} descriptors open"
    cores = f"takes {found.cpu_cores:.2f} of {rules.cpu_cores:g} cores"
    return [
        ("memory", found.memory_bytes, rules.memory_bytes, memory),
        ("descriptors", found.descriptors, rules.descriptors, files),
        ("cpu", found.cpu_cores, rules.cpu_cores, cores),
    ]
