"""The names of all kinds of record, for who reads an organisation file: many are made above, see `daemon/kinds.py`. Pure."""

from typing import Final

NAMES: Final = frozenset(
    """
    answer.held answer.returned approval.announced approval.asked approval.closed approval.decided approval.expired
    approval.passed approval.raised approval.referred approval.used approval.voted attempt.begun attempt.ended
    breaker.noted breaker.probed budget.granted budget.nearly budget.returned budget.stopped call.ended call.taken
    cancel.answered cancel.ended cancel.taken case.appealed case.asked case.expired case.opened case.reopened case.ruled
    case.voted claim claim.noted contract.checked contract.ended cover.given day.begun decision department.freed
    department.held door.denied door.refused door.used doubt.raised doubt.resolved effect.intent effect.queried
    effect.resolved effect.unknown erased erasing errand.checked errand.ended escalated escalation.announced
    escalation.answered escalation.ended escalation.parked escalation.raised exported fallback.returned
    fallback.switched forgotten given_up guard.stopped heads.signed hop hop.refused inbound.taken inbound.waits incident
    incident.noted incident.opened key key.spoken keys.known lies_down memory.expired memory.forgotten memory.read
    memory.refused memory.written message.acked message.received message.refused message.sent model.request
    model.response objective.breached objective.kept part.ended person policy.judged process.started process.stopped
    raised release.answered release.ordered reload reloaded remedy remedy.checked remedy.ended reply.breached
    request.accepted request.cancelled request.ended request.pending request.planned revived rotated ruling.told
    segment.erased segment.removed segment.thinned shift.assigned shift.ordered shift.set shift.waits sleeps spool.moved
    spool.refused start started state.rebuilt step step.asked target.left task.begun task.cancelled task.ended
    task.handed task.held task.interrupted task.quarantined task.released task.suspected term tool.begun tool.counted
    tool.doubted tool.ended tool.queried turnover undo.done undo.intent undo.planned undo.unknown values.erased
    voice.said voice.sent wakes wanted watchdog.stands watchdog.told wording.dropped
    """.split()
)
