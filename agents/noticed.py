"""What a department makes of a notice that it has failed: what its coordinators are told, and keep. Pure.

A coordinator is concerned if work of his, or of who reports to him, is open; if nobody's is, all are. He finds it in his own
memory, under `incident`, and on record.
"""

from typing import TYPE_CHECKING, ClassVar, Final

from mai.agents.decider import Send
from mai.agents.events import Event, Remembered, register
from mai.agents.order_messages import Notice

if TYPE_CHECKING:
    from mai.agents.department import DepartmentDecider

KEY: Final = "incident"
MOST_TASKS: Final = 20  # named in a notice


class IncidentNoted(Event, frozen=True, kw_only=True):
    """A coordinator was told what failed, what was read again, and what waits."""

    kind: ClassVar[str] = "incident.noted"
    request: str
    agent: str
    what: str
    text: str
    replayed: int  # records
    open: tuple[str, ...]  # tasks of his that go on, the first ones
    waits: int  # messages that waited at Mai


register(IncidentNoted)


def noted(decider: "DepartmentDecider", notice: Notice) -> list[Event | Send]:
    """Tell each coordinator whom it concerns."""
    found: list[Event | Send] = []
    for name, tasks in concerned(decider).items():
        event = IncidentNoted(
            request=notice.request, agent=name, what=notice.what, text=notice.text, replayed=notice.replayed,
            open=tasks[:MOST_TASKS], waits=notice.waits,
        )  # fmt: skip
        value = {
            "request": notice.request, "what": notice.what, "text": notice.text, "replayed": notice.replayed,
            "open": list(event.open), "waits": notice.waits,
        }  # fmt: skip
        found += [event, Remembered(request=notice.request, agent=name, level="agent", key=KEY, value=value)]
    return found


def concerned(decider: "DepartmentDecider") -> dict[str, tuple[str, ...]]:
    """The coordinators whom an incident concerns, and the tasks of each that are open."""
    name, table = decider.own.name, decider.table
    coordinators = {agent.name: list[str]() for agent in decider.own.agents if agent.rank == "coordinator"}
    for work in decider.state.work.values():
        above = work.agent if work.agent in coordinators else table.coordinator_of(name, work.agent)
        if above in coordinators:
            coordinators[above].append(work.task)
    busy = {one: tuple(tasks) for one, tasks in coordinators.items() if tasks}
    return busy or dict.fromkeys(coordinators, ())
