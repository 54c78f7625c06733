"""What Mai's facts do to her state: the other half of mai.py, which decides them. Pure.

Every change of a row is noted on the state, for the shell to write in the transaction of the fact's record.
"""

from mai.agents import fallback, memory
from mai.agents.decider import Input, fold_link
from mai.agents.events import Event, ReplyBreached
from mai.daemon import (
    approving,
    asks,
    breach,
    cancel,
    cases,
    cover,
    dispute_folding,
    dispute_records,
    doubts,
    errands,
    escalations,
    granting,
    healing,
    held,
    inbound,
    keyed,
    pending,
    releasing,
    resting,
    returning,
    spooled,
    subjects,
    told,
    visits,
    voice,
)
from mai.daemon.desk import Answered, Forsaken, MaiState, Passage, Request, first, origin, tasks
from mai.daemon.records import (
    ContractChecked,
    ContractEnded,
    ErrandChecked,
    ErrandEnded,
    PartEnded,
    RequestAccepted,
    RequestEnded,
    RequestPlanned,
)
from mai.daemon.threads import Said, channel_of
from mai.daemon.voice_records import InboundTaken, InboundWaits, VoiceSaid, VoiceSent


def evolve(state: MaiState, event: Event, seq: int) -> list[Input]:
    """Fold one fact; returns what has to be decided because of it."""
    if fold_link(state, event, seq):
        return []
    following = breach.fold(state, event)
    granting.fold(state, event)
    match event:
        case RequestAccepted():
            open_ = Request(
                event.request, event.asker, event.text, event.accepted_ms, event.deadline_ms, event.watch,
                thread=event.thread, notice_ms=event.notice_ms,
            )  # fmt: skip
            open_.by, open_.uid = event.by, event.uid
            state.requests[event.request] = open_
            state.changed("request", event.request, open_)
            voice.accepted(state, event)
        case RequestPlanned(request=request) if request in state.requests:
            state.requests[request].parts = event.parts
            state.changed("request", request, state.requests[request])
        case PartEnded(request=request) if request in state.requests:
            state.requests[request].answers[event.task] = event.answer
            _end(state, event.task)
            state.changed("request", request, state.requests[request])
        case RequestEnded(request=request) if request in state.requests:
            ended, persons = state.requests.pop(request), escalations.speakers(state, request)
            _fold_end(state, event, ended, seq)
            following += [*healing.ended(state, event), *voice.ended(state, event, ended, persons)]
        case ContractChecked(allowed=True):
            passage = Passage(event.task, event.request, event.asking, event.contract, event.deadline_ms, event.body)
            state.passages[event.task] = passage
            state.changed("passage", event.task, passage)
        case ContractEnded(task=task) if task in state.passages:
            del state.passages[task]
            state.changed("passage", task, None)
            _end(state, task)
            subjects.fold(state, event)
            resting.passed(state, event)
            _touch(state, event)
        case ErrandChecked(allowed=True) | ErrandEnded():
            state.changed("errand", event.task, errands.fold(state.errands, event))
        case doubts.DoubtRaised() | doubts.DoubtResolved():
            doubts.fold(state, event, seq)
        case (
            pending.ApprovalRaised()
            | pending.ApprovalVoted()
            | pending.ApprovalClosed()
            | pending.ApprovalPassed()
            | pending.ApprovalAnnounced()
        ):
            approving.fold(state, event, seq)
        case told.WatchdogTold() | told.WatchdogStands() | cancel.RequestCancelled():
            following += _heard(state, event)
        case _:
            following += _fold_more(state, event, seq)
    return following


def _fold_more(state: MaiState, event: Event, seq: int) -> list[Input]:
    """What may bring something further, beside a request's way."""
    if isinstance(event, asks.FACTS):
        asks.fold(state, event)
        return []
    if isinstance(event, dispute_records.EVENTS):
        return dispute_folding.fold(state, event, seq)
    if isinstance(event, resting.AnswerHeld | resting.AnswerReturned):
        resting.fold(state, event)
        return []
    return held.fold(state, event, seq) if isinstance(event, held.EVENTS) else _fold_aside(state, event)


def _fold_aside(state: MaiState, event: Event) -> list[Input]:
    """What is no step of a request's way."""
    match event:
        case spooled.SpoolRefused() | spooled.SpoolMoved():
            spooled.fold(state, event)
        case InboundTaken() | InboundWaits():
            return inbound.fold(state, event) if isinstance(event, InboundTaken) else inbound.waits(state, event)
        case VoiceSaid() | VoiceSent():
            return voice.said(state, event) if isinstance(event, VoiceSaid) else voice.sent(state, event)
        case cancel.CancelAnswered():
            cancel.fold(state, event)
        case releasing.ReleaseOrdered() | releasing.ReleaseAnswered():
            releasing.fold(state, event)
        case cases.IncidentOpened() | cases.RemedyChecked() | cases.RemedyEnded():
            cases.fold(state, event)
        case cover.CoverGiven():
            cover.fold(state, event)
        case keyed.KeysKnown() | keyed.KeySpoken():
            keyed.fold(state, event)
        case ReplyBreached():
            returning.fold(state, event)
        case fallback.FallbackSwitched():
            cover.fold_switched(state, event)
        case visits.DoorUsed() | visits.DoorDenied():
            pass  # who was at the door changes nothing
        case _ if not (escalations.fold(state, event) or memory.fold(state, event)):
            fallback.fold(state, event)
    return []


def _heard(state: MaiState, event: told.WatchdogTold | told.WatchdogStands | cancel.RequestCancelled) -> list[Input]:
    """What may follow from outside: what waits is cancelled, backups have the turn, departments are held or freed."""
    if isinstance(event, cancel.RequestCancelled):
        cancel.fold(state, event)
        return held.cancelled(state, event.request)
    told.fold(state, event)
    if isinstance(event, told.WatchdogTold):
        cases.note(state, event)
    if isinstance(event, told.WatchdogTold) and event.what not in ("wanted", "given_up", "revived"):
        return []
    if isinstance(event, told.WatchdogTold) and event.what == "given_up":
        return [Forsaken(event.process), held.Heed()]
    return [held.Heed()]


def _end(state: MaiState, task: str) -> None:
    """A task of Mai's has ended: nobody has it, nor waits for it."""
    asks.ended(state, task)
    cover.end(state, task)
    returning.end(state, task)
    resting.end(state, task)
    subjects.end(state, task)
    held.end(state, task)


def _touch(state: MaiState, event: ContractEnded) -> None:
    """Something was done for all tasks of hers from which this one derives: no other may do them again."""
    request, ours = state.requests.get(event.request), origin(event.task)
    if request is None or not event.changed:
        return
    found = set(request.touched)
    while ours:
        found.add(first(ours))
        ours = origin(ours)
    request.touched = tuple(sorted(found))
    state.changed("request", request.request, request)


def _fold_end(state: MaiState, event: RequestEnded, request: Request, seq: int) -> None:
    approving.ended(state, request.request)
    answered = Answered(
        request.request,
        request.asker,
        request.text,
        request.accepted_ms,
        event.state,
        event.answer,
        event.parts,
        event.elapsed_ms,
        request.thread,
        event.note,
    )
    for task in tasks(request.request, request.parts):
        _end(state, task)
        dispute_folding.over(state, task)
    granting.end(state, request.request)
    state.parking.drop(state, request.request, event.state, seq)
    state.changed("request", request.request, None)
    state.changed("answer", request.request, answered)
    if not request.asker.endswith("/mai") and not channel_of(request.thread):  # her own are no part of the client's history
        state.changed("said", f"{seq:012}", Said(request.request))
