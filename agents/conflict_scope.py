"""What the organisation file says of conflicts between claims: `[conflicts]`, and who wins where its boards do not agree. Pure.

    [conflicts]
    settle_s = 10
    [[conflicts.precedence]]
    name = "credit before turnover"      # the clause that a ruling names
    attribute = "standing"               # of which claims; * stands for any characters
    by = ["votes", "finance", "confidence"]

The first clause that fits decides, and of its `by` the first that leaves one side: "votes" (more than half of the boards that
were asked), "rank", "confidence", "newest", "oldest", a department, or an agent as "department/agent". What none decides, or
"person", is a person's. `[[departments.sales.precedence]]` is the same for claims of that department alone.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Final

from msgspec import Meta

from mai.agents.parts import Part, Seconds

VOTES, PERSON = "votes", "person"
CRITERIA: Final = (VOTES, "rank", "confidence", "newest", "oldest", PERSON)
Clause = Annotated[str, Meta(min_length=1, max_length=80)]
Long = Annotated[float, Meta(ge=0.05, le=10 * 366 * 86_400)]


class Precedence(Part, frozen=True, kw_only=True):
    """One clause: for which attributes, and by what the winner is found."""

    name: Clause
    attribute: str = "*"
    by: tuple[str, ...] = (VOTES,)


class Conflicts(Part, frozen=True, kw_only=True):
    """How long boards and persons have, and how long a claim is valid that does not say so (`[conflicts]`)."""

    settle_s: Seconds = 10.0  # for the boards to vote; then precedence decides
    person_s: Long = 86_400.0  # for a person to rule; then it is asked for again
    valid_s: Long = 30 * 86_400.0  # of a claim
    precedence: tuple[Precedence, ...] = ()


BUILT_IN: Final = Precedence(name="the boards' word")


def clause_for(attribute: str, *lists: Iterable[Precedence]) -> Precedence:
    """The first clause that fits, of these lists in their order; the built-in one if none does."""
    return next((one for clauses in lists for one in clauses if fnmatchcase(attribute, one.attribute)), BUILT_IN)
