"""What becomes of what nobody in the company can do: the table `escalation` of an organisation file. Pure."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from mai.agents.escalation_messages import Cause
from mai.agents.parts import Count, Part, Seconds

Level = Literal["no", "board", "person"]  # how far something goes up by itself
TRIGGERS: Final = ("refusal", "deadline", "doubt", "fallback", "budget")  # causes that nobody chooses


class Escalations(Part, frozen=True, kw_only=True):
    """How persons are asked, and what goes up by itself, how far."""

    person_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 3600.0  # a person has so long; 0: as long as the task that waits
    per_request: Count = 20  # how often persons are asked for one request
    refusal: Level = "board"  # what an agent wanted was refused, and its code does not handle that
    deadline: Level = "board"  # an agent has not ended in its own time, and who waits for it has some left
    doubt: Level = "no"  # two fit a free text about as well; "no": the better one gets it
    fallback: Level = "person"  # all backups have had it
    budget: Level = "person"  # the budget of a request or a day is spent
    margin: Annotated[float, Meta(ge=0, le=1)] = 0.1  # of a text's words, between the best and the next; below it is doubt
    announce: tuple[str, ...] = ()  # the command that tells persons; it gets each escalation as JSON on standard input
    announce_s: Seconds = 10.0  # that command may take so long

    def level(self, cause: Cause) -> Level:
        """How far what has this cause goes up; what an agent has chosen to give up, as far as there is somebody."""
        return getattr(self, cause) if cause in TRIGGERS else "person"
