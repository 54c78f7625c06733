"""How much a record matters to who looks on: one of four levels, by its kind alone, so that SQLite can choose. Pure."""

from types import MappingProxyType
from typing import Final

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
