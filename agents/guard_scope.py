"""When a loop is stopped: the table `guards` of an organisation file. Pure."""

from typing import Annotated

from msgspec import Meta

from mai.agents.parts import Part

Times = Annotated[int, Meta(ge=2, le=10_000)]


class Guards(Part, frozen=True, kw_only=True):
    """The how manieth time is the one that is stopped. Chains lead from a request to who works now; each link waits for the next.

    What is done again honestly is not counted: a task that runs again after a crash or from quarantine, one that comes back
    to its board for a correction, one that a backup has.
    """

    same: Times = 3  # along one chain an agent is given the same task: contract, text and input
    returns: Times = 6  # along one chain a task comes back to the same agent, or the same contract, whatever it says
    repeats: Times = 5  # one task asks another agent or contract for the same
    calls: Times = 100  # one task calls a tool with the same input, and has had the same of it each time
