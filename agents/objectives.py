"""What an organisation promises its clients: availability and latency, for the whole and for each department. Pure.

How a request counts stands in `daemon/outcomes.py`, what is made of the counts in `daemon/burn.py`.
"""

from typing import Annotated

from msgspec import Meta

from mai.agents.parts import Part

Share = Annotated[float, Meta(ge=0.5, le=0.99999)]
DAY_S = 86_400
SHARE = 0.95  # of the answers that have to come within latency_s, if nothing else is said


class Objectives(Part, frozen=True, kw_only=True):
    """The table `objectives` of an organisation file."""

    availability: Share = 0.999  # good requests among those that count
    latency_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0  # within which answers have to come; 0: nothing is promised
    latency_share: Share = SHARE  # how many of the answers have to
    window_days: Annotated[int, Meta(ge=1, le=366)] = 30  # over which all this is counted

    @property
    def window_s(self) -> int:
        """The window in seconds."""
        return self.window_days * DAY_S


class OwnObjectives(Part, frozen=True, kw_only=True):
    """What a department promises instead of the organisation's; 0: as the organisation."""

    availability: Annotated[float, Meta(ge=0, le=0.99999)] = 0.0
    latency_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    latency_share: Annotated[float, Meta(ge=0, le=0.99999)] = 0.0
    window_days: Annotated[int, Meta(ge=0, le=366)] = 0

    def over(self, whole: Objectives) -> Objectives:
        """The department's objectives, complete."""
        return Objectives(
            availability=self.availability or whole.availability,
            latency_s=self.latency_s or whole.latency_s,
            latency_share=self.latency_share or whole.latency_share,
            window_days=self.window_days or whole.window_days,
        )
