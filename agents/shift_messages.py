"""What Mai tells a department of a person's word about one of its agents. Pure."""

from mai.agents.body import Body


class ShiftOrder(Body, frozen=True, tag="shift"):
    """An agent is on or off, or paused, whatever the calendar says; or it counts again."""

    id: str
    agent: str  # of the department
    how: str  # on, off, pause; "": as the calendar says
    until_ms: int  # 0: until another word
    by: str
    uid: int
    why: str = ""
    at_ms: int = 0
