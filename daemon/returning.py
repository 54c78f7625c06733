"""What comes back to Mai: held against contract and scope before any of it is on her disk, then on to who asked. Pure.

An answer that may not leave its department is cut down to the rule that it breaks (`screen`). It goes back to the department's
board with that rule and what would be allowed, once, if nothing was changed for it, nobody stands in for the department and there
is time: the board has the task again, under an id of its own (`R/1c1`, `R/1.2.m4c1`). After that it is refused, and who asked is
told in a sentence that has nothing of the answer.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from mai.agents.data_scope import Way, cut, neutral
from mai.agents.decider import Send, sooner_ms
from mai.agents.events import Event, MessageRefused, ReplyBreached
from mai.agents.messages import Numbered, Result, Task
from mai.daemon import cover, escalations, referring, resting, subjects, voice
from mai.daemon.desk import CORRECTED, Amended, Holding, MaiState, Passage, Returned, first
from mai.daemon.records import ContractEnded, PartAnswer, PartEnded

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

UNAWAITED: Final = "nobody waits for it"
UNANSWERED: Final = "what is not answered has no values and no text"
AUTHORS: Final = "it names as its author who is not of the department, or as its source what is no department"
STANDS: Final = "{}; what was done for it stands"


# -- before it is on the disk
def screen(mai: "MaiDecider", peer: str, body: Numbered) -> Numbered:
    """What of a message may be taken in: all of it, unless it is an answer that may not leave its department."""
    if not isinstance(body, Result):
        return body
    holding = mai.holding(body.task)
    if holding is None:
        holding = voice.awaited(mai, body.task)
    if holding is None or holding.process != peer:
        return msgspec.structs.replace(cut(body, UNAWAITED, Way(peer.partition("/")[2], "", "", {})), by=peer)
    way = way_of(mai, holding, first(body.task))
    if not _known(mai, holding, body):
        return msgspec.structs.replace(cut(body, AUTHORS, way), by=peer)
    if body.state == "answered":
        return mai.scopes.screen(way, body)
    return cut(body, body.breach or UNANSWERED, way) if body.text or body.value else body


def _known(mai: "MaiDecider", holding: Holding, body: Result) -> bool:
    """Is who did the work an agent of that department, and are those departments that it rests on?"""
    process, _, agent = body.by.rpartition("/")
    own = process == holding.process and mai.table.rank(process.partition("/")[2], agent)
    late = voice.missed(mai, body.task)
    persons = late.persons if late else escalations.speakers(mai.state, body.request)
    known = own or body.by in (holding.process, mai.address, *persons)
    return bool(known) and all(mai.mandate.organisation.department(name) for name in body.sources)


def way_of(mai: "MaiDecider", holding: Holding, task: str) -> Way:
    """The way of an answer to an open task of hers."""
    department = holding.process.partition("/")[2]
    if turn := mai.state.turns.get(task):
        return Way(department, turn.now, turn.body.asker, turn.body.input)
    if passage := mai.state.passages.get(task):
        return Way(department, passage.contract, passage.asking, passage.body.input if passage.body else {})
    if found := voice.missed(mai, task):
        return Way(department, found.part.contract, f"{mai.mandate.client}/client", found.part.input)
    request = mai.state.requests[task.rpartition("/")[0]]
    part = mai.part(request, task)
    assert part is not None, "a part that nobody has"
    return Way(department, part.contract, request.asker, part.input)


# -- decide
def returned(mai: "MaiDecider", given: Returned, now_ms: int) -> list[Event | Send]:
    """A department answers a task of hers."""
    holding = mai.holding(given.body.task)
    if holding is None:
        return voice.late(mai, given, now_ms)  # it has ended meanwhile
    if holding.process != given.peer:
        detail = f"{given.peer} answers {given.body.task[:80]!r}, which {holding.process} has"
        return [MessageRefused(peer=given.peer, why="out of place", detail=detail)]
    body = given.body if given.screened else screen(mai, given.peer, given.body)
    assert isinstance(body, Result), "a result is screened into a result"
    task, request = first(body.task), mai.state.requests.get(body.request)
    if request and task in request.touched:  # its department may have ended before it heard of that
        body = msgspec.structs.replace(body, changed=True)
    if body.breach:
        return _breached(mai, given, body, holding, now_ms)
    return _on(mai, task, body, now_ms)


def _on(mai: "MaiDecider", task: str, body: Result, now_ms: int) -> list[Event | Send]:
    if (turn := mai.state.turns.get(task)) is None:
        return _ends_or_waits(mai, msgspec.structs.replace(body, task=task), body, now_ms)
    verdict = cover.came(mai, turn, body, now_ms)
    return [*verdict.events, *(_ends_or_waits(mai, verdict.result, body, now_ms) if verdict.result else [])]


def _ends_or_waits(mai: "MaiDecider", body: Result, came: Result, now_ms: int) -> list[Event | Send]:
    """The end of a task of hers, as it `came` from its department or after all others; or a person is asked first."""
    return referring.instead(mai, body, came, now_ms) or ends(mai, body, now_ms)


def _breached(mai: "MaiDecider", given: Returned, body: Result, holding: Holding, now_ms: int) -> list[Event | Send]:
    """Back to the board that has answered so, or refused."""
    task, way = first(body.task), way_of(mai, holding, first(body.task))
    again = _again(mai, body, holding, way, now_ms)
    breached = ReplyBreached(
        request=body.request, task=task, process=holding.process, contract=way.contract, rule=body.breach,
        record=given.record, digest=given.digest, again=again.id if again else "",
    )  # fmt: skip
    if again:
        return [breached, again]
    reason = STANDS.format(neutral(way)) if body.changed else neutral(way)
    refused = msgspec.structs.replace(body, state="refused", text="", value={}, reason=reason, sources=(), breach="")
    if task in mai.state.turns:  # to who has it next
        refused = msgspec.structs.replace(refused, state="failed")
    return [breached, *_on(mai, task, refused, now_ms)]


def _again(mai: "MaiDecider", body: Result, holding: Holding, way: Way, now_ms: int) -> Send | None:
    """The task for the same board, with what was wrong; None if it is not to have it once more."""
    task = first(body.task)
    sent = asked(mai, task)
    over = body.request in mai.state.cancellations or body.request not in mai.state.requests
    if sent is None or over or body.changed or task in mai.state.turns or _had_again(mai, task):
        return None
    if holding.deadline_ms <= now_ms or body.breach == UNANSWERED:
        return None
    said = f"your reply did not leave {way.department}: {body.breach}; allowed are {mai.scopes.allowed(way)}"
    ident = f"{task}{CORRECTED}1"
    return Send(
        holding.process, ident, sooner_ms(now_ms, holding.deadline_ms),
        msgspec.structs.replace(sent, task=ident, correction=said),
    )  # fmt: skip


def asked(mai: "MaiDecider", task: str) -> Task | None:
    """What was sent for an open task of hers."""
    if passage := mai.state.passages.get(task):
        return passage.body
    request = mai.state.requests.get(task.rpartition("/")[0])
    part = mai.part(request, task) if request else None
    return mai.task(request, part, task) if request and part else None


def _had_again(mai: "MaiDecider", task: str) -> bool:
    request = mai.state.requests.get(task.rpartition("/")[0])
    return task in mai.state.amended or (request is not None and task in request.again)


def _ident(mai: "MaiDecider", task: str) -> str:
    """The id under which a task of hers is open now."""
    turn, amended = mai.state.turns.get(task), mai.state.amended.get(task)
    return turn.ident if turn else amended.ident if amended else task


# -- what others see
def begun(mai: "MaiDecider", department: str, task: Task) -> str:
    """What who looks on is told of a task that goes to a department."""
    return {"result": task.contract or task.text, "summary": task.contract}.get(mai.scopes.shows(department), "")


def done(mai: "MaiDecider", department: str, body: Result) -> str:
    """What who looks on is told of a task that comes back."""
    return "done" if mai.scopes.shows(department) == "nothing" else body.state


def _shown(mai: "MaiDecider", process: str, body: Result) -> Result:
    """A result with as much as others see of who has made it, and of whom it rests on."""
    department = process.partition("/")[2]
    shows = mai.scopes.shows(department)
    if shows == "result" or body.by.startswith((mai.address, f"{mai.mandate.client}/{escalations.OWNER}/")):
        return body
    sources = body.sources if shows == "summary" else tuple(name for name in body.sources if name == department)
    return msgspec.structs.replace(body, by=process, sources=sources)


# -- the end
def ends(mai: "MaiDecider", body: Result, now_ms: int) -> list[Event | Send]:
    """The end of a task of hers, by its first id, and what follows; unless it rests on claims that are open, or have lost."""
    holding = mai.holding(_ident(mai, body.task))
    found, sound = resting.gate(mai, body, holding, now_ms)
    if sound is None:
        return found
    body = _shown(mai, holding.process, sound) if holding else sound
    if passage := mai.state.passages.get(body.task):
        return [*found, *goes_back(mai, passage, body)]
    request = mai.state.requests[body.task.rpartition("/")[0]]
    part = mai.part(request, body.task)
    assert part is not None, "a part that nobody has"
    answer = PartAnswer(part.department, part.text, body.state, body.text, body.value, body.reason, body.by, body.sources)
    ended = PartEnded(request=request.request, task=body.task, answer=answer)
    return [*found, ended, *mai.whole_of(request, {**request.answers, body.task: answer}, now_ms)]


def goes_back(mai: "MaiDecider", passage: Passage, body: Result) -> list[Event | Send]:
    """The end of what one department has asked of another: on record, and to who asked."""
    of = subjects.told(mai, passage, body.value)
    ended = ContractEnded(
        request=passage.request, task=passage.task, state=body.state, reason=body.reason, subjects=of, changed=body.changed
    )
    return [ended, Send(passage.asking, f"{passage.task}=", 0, body)]


# -- evolve
def fold(state: MaiState, event: ReplyBreached) -> None:
    """A board has its task once more."""
    if event.again:
        resting.once_more(state, event.task, event.again)


def end(state: MaiState, task: str) -> None:
    """A task has ended, whoever had it."""
    if state.amended.pop(task, None):
        state.changed("amended", task, None)


def load(state: MaiState, rows: dict[str, bytes]) -> None:
    """From the rows of her state."""
    state.amended.update({task: msgspec.json.decode(data, type=Amended) for task, data in rows.items()})
