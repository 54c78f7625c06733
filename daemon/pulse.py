"""What Mai knows of her objectives: what ended in each of the last minutes, what is held, which breaches go on. Pure."""

from collections import defaultdict

import msgspec

from mai.agents.objectives import Objectives
from mai.agents.organisation import Organisation
from mai.daemon.burn import Minutes


class Marks(msgspec.Struct):
    """What has to be known beside the open requests to judge an end."""

    held: dict[str, str] = {}  # department -> how
    delayed: set[str] = set()  # open requests of which something was held up on purpose
    cancelled: set[str] = set()  # requests whose end follows at once


class Mark(msgspec.Struct):
    """A row of the marks: how a department is held, or that a request is delayed."""

    how: str


class Open(msgspec.Struct):
    """A breach that goes on."""

    scope: str
    window_s: int
    since_ms: int


class Pulse:
    """All of it. Departments by name, "" for the whole client."""

    def __init__(self) -> None:
        self.minutes: dict[str, Minutes] = defaultdict(dict)
        self.minute = 0  # the latest that the journal has told
        self.marks = Marks()
        self.breaches: dict[tuple[str, int], Open] = {}  # by department and span
        self._objectives = {"": Objectives()}

    def promise(self, organisation: Organisation) -> None:
        """Take the objectives from the organisation."""
        whole = organisation.objectives
        self._objectives = {"": whole, **{one.name: one.objectives.over(whole) for one in organisation.departments}}

    def of(self, department: str) -> Objectives:
        """The objectives of a department; the client's, if it is none of this organisation's any more."""
        return self._objectives.get(department) or self._objectives[""]
