"""When operators are on: `[[departments.X.shifts]]` of an organisation file. Pure."""

from typing import Annotated, Literal

from msgspec import Meta

from mai.agents.clock import UTC, Offsets
from mai.agents.parts import Name, Part

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Clock = Annotated[str, Meta(pattern=r"\A([01][0-9]|2[0-3]):[0-5][0-9]\Z")]
Date = Annotated[str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
WEEK: tuple[Day, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Shift(Part, frozen=True, kw_only=True):
    """Who is on, from when to when. One that ends at or before its begin ends on the next day.

    The operators of all shifts of one team can do each other's work: each task for one of them goes to who is on and has least.
    """

    name: Name
    operators: tuple[Name, ...]  # agents of rank operator or specialist
    begins: Clock = "00:00"
    ends: Clock = "00:00"
    days: tuple[Day, ...] = WEEK  # on which it begins
    holidays: tuple[Date, ...] = ()  # days on which it does not begin all the same
    also: tuple[Date, ...] = ()  # and on which it does
    team: str = ""  # by default the department has one
    timezone: str = ""  # by default the organisation's
    offsets: Offsets = UTC  # the same as a table; no key of the file
