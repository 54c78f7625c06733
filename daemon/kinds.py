"""Every kind of record that a journal may hold: what it is made of, and how much it matters to who looks on.

The level of a kind is a matter of the kind alone, so that a tail can leave the choice to SQLite.
"""

from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Final

import msgspec

from mai.agents.events import KINDS

REGISTERING: Final = (  # the modules that add kinds to `events.KINDS`
    "mai.agents.allowance", "mai.agents.approval_records", "mai.agents.cancelling", "mai.agents.claims", "mai.agents.duty",
    "mai.agents.erased",
    "mai.agents.escalating", "mai.agents.fallback", "mai.agents.guards", "mai.agents.judging", "mai.agents.memory",
    "mai.agents.noticed", "mai.agents.quarantine", "mai.agents.rotation_events", "mai.agents.sealing", "mai.daemon.breach",
    "mai.daemon.calling",
    "mai.daemon.cancel", "mai.daemon.cases", "mai.daemon.cover", "mai.daemon.dispute_records", "mai.daemon.doubts",
    "mai.daemon.escalations", "mai.daemon.granting", "mai.daemon.held", "mai.daemon.keyed",
    "mai.daemon.pending", "mai.daemon.records", "mai.daemon.releasing", "mai.daemon.resting",
    "mai.daemon.rostering", "mai.daemon.spooled", "mai.daemon.told", "mai.daemon.tooling", "mai.daemon.transcript_records",
    "mai.daemon.turned", "mai.daemon.visits", "mai.daemon.voice_records",
)  # fmt: skip
INFO, NOTICE, WARNING, ERROR = LEVELS = ("info", "notice", "warning", "error")
_LEVELLED: Final = {
    NOTICE: """
        process.started process.stopped state.rebuilt rotated segment.thinned segment.removed
        started start wanted revived raised term reload reloaded exported
        erased person values.erased segment.erased erasing
        turnover keys.known watchdog.stands department.freed fallback.returned breaker.probed objective.kept
        request.cancelled request.pending task.cancelled task.released release.ordered release.answered
        cancel.taken cancel.ended cancel.answered undo.planned undo.done undo.intent
        approval.asked approval.raised approval.voted approval.referred approval.decided doubt.resolved effect.resolved
        escalation.answered escalation.parked case.opened case.reopened case.ruled case.appealed ruling.told
        answer.held shift.ordered shift.set task.handed remedy remedy.checked remedy.ended incident.noted wakes sleeps lies_down
        """,
    WARNING: """
        hop.refused message.refused memory.refused door.denied door.refused spool.refused reply.breached wording.dropped
        escalated escalation.raised escalation.ended approval.expired approval.closed case.expired
        fallback.switched breaker.noted department.held task.held target.left task.interrupted task.suspected
        inbound.waits guard.stopped budget.stopped budget.nearly answer.returned tool.doubted effect.queried incident.opened
        """,
    ERROR: """
        incident given_up effect.unknown undo.unknown doubt.raised task.quarantined objective.breached
        """,
}
OF_KIND: Final = MappingProxyType({kind: level for level, kinds in _LEVELLED.items() for kind in kinds.split()})


def level_of(kind: str) -> str:
    """One of LEVELS; what is not in the table is the ordinary course of things: `info`."""
    return OF_KIND.get(kind, INFO)


def from_level(level: str) -> tuple[str, ...] | None:
    """The kinds that are at least of a level; None for all."""
    wanted = LEVELS[LEVELS.index(level) :]
    return None if level == INFO else tuple(kind for kind, one in OF_KIND.items() if one in wanted)


@cache
def kinds() -> dict[str, type[msgspec.Struct]]:
    """All of them, each with the Struct that its body is."""
    from mai.daemon.watchdog_records import RECORDS

    for name in REGISTERING:
        import_module(name)
    return dict(sorted({**KINDS, **RECORDS}.items()))
