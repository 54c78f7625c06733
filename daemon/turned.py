"""Whom Mai turns away at her door for lack of room: on record, so that the journals count what the client's log has. Pure."""

from typing import ClassVar

from mai.agents.decider import Input
from mai.agents.events import Event, register


class DoorRefused(Event, frozen=True, kw_only=True):
    """So many requests were refused at the door in one turn, none of which was accepted; their callers hear it after this."""

    kind: ClassVar[str] = "door.refused"
    count: int
    why: str
    at_ms: int


class TurnedAway(Input, frozen=True):
    """The same, as the door tells it."""

    count: int
    why: str


register(DoorRefused)
