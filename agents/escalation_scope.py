"""What becomes of what nobody in the company can do: the table `escalation` of an organisation file. Pure."""

from typing import Annotated

from msgspec import Meta

from mai.agents.parts import Count, Part


class Escalations(Part, frozen=True, kw_only=True):
    """How persons are asked."""

    person_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 0.0  # a person has so long; 0: as long as the task that waits
    per_request: Count = 20  # how often persons are asked for one request
