"""Which ends count for a client's objectives, and how: the one definition of availability. Pure.

    availability = good / (good + bad), of the requests that ended in a span of time

| outcome | of a request, or of a task that Mai gave a department | counts |
|---|---|---|
| answered | it was answered; Mai lets nothing count as answered after its deadline | good |
| refused | by policy, by a contract, by a budget, by what the client asked for: the company worked | good |
| failed | it failed, or was given up to a person | bad |
| expired | nobody answered before the deadline | bad |
| unavailable | refused because there was no room for it, or because a department is failed | bad |
| cancelled | by an operator, or nobody waited for it any more when it ended | not |
| maintenance | it was not answered because a department was paused or drained on purpose | not, shown apart |

A request that is open has no outcome yet. Whoever refuses for lack of room ends the sentence with `AGAIN`: that is what tells
such a refusal from one by policy, however many hands it has gone through. A request counts by its gravest part. What was turned
away at the door counts as unavailable if Mai had no room; a mistake of the caller's (no text, an id used twice) does not count.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, Protocol

from mai.agents.events import Event
from mai.daemon.cancel import RequestCancelled
from mai.daemon.desk import Passage, Request, tasks
from mai.daemon.pulse import Marks
from mai.daemon.records import ContractEnded, PartAnswer, PartEnded, RequestEnded
from mai.daemon.turned import DoorRefused

Outcome = Literal["answered", "refused", "failed", "expired", "unavailable", "cancelled", "maintenance"]
GOOD: Final = frozenset[Outcome]({"answered", "refused"})
BAD: Final = frozenset[Outcome]({"failed", "expired", "unavailable"})
OUTCOMES: Final[tuple[Outcome, ...]] = ("answered", "refused", "failed", "expired", "unavailable", "cancelled", "maintenance")
GRAVEST: Final[tuple[Outcome, ...]] = ("failed", "expired", "unavailable", "maintenance", "refused", "answered")
AGAIN: Final = "again later"  # how a refusal ends that is for lack of room
HELD: Final = "department.held"
FREED: Final = "department.freed"
ON_PURPOSE: Final = frozenset({"paused", "draining", "stopped"})


class End(NamedTuple):
    """A request of the client has ended (no department), or a task that Mai gave to a department."""

    department: str
    outcome: Outcome
    elapsed_ms: int = 0  # of a request
    times: int = 1


class View(Protocol):
    """What is open, before the end is folded."""

    @property
    def requests(self) -> dict[str, Request]:
        """The open requests, by id."""

    @property
    def passages(self) -> dict[str, Passage]:
        """What departments have asked of each other, by task."""


def of(state: str, reason: str, how: str = "", *, by_mai: bool = True) -> Outcome:
    """The outcome of one end; `how` its department is held, and whether Mai herself has ended it."""
    if state == "answered":
        return "answered"
    if how in ON_PURPOSE and (state == "expired" or AGAIN in reason or (by_mai and state == "refused")):
        return "maintenance"
    if state == "refused":
        return "unavailable" if AGAIN in reason or (by_mai and how == "failed") else "refused"
    return "expired" if state == "expired" else "failed"


def ends(view: View, marks: Marks, event: Event) -> Iterable[End]:
    """What this fact ends, as things stand before it is folded."""
    match event:
        case RequestEnded() if event.request in view.requests and not view.requests[event.request].asker.endswith("/mai"):
            return _request(view.requests[event.request], marks, event)
        case PartEnded() if event.request in view.requests:
            department = event.answer.department
            return [End(department, _part(event.answer, marks.held.get(department, "")))]
        case ContractEnded() if event.task in view.passages:
            department = view.passages[event.task].contract.partition(".")[0]
            found = of(event.state, event.reason, marks.held.get(department, ""))
            unheard = event.request not in view.requests and found not in GOOD
            return [End(department, "cancelled") if unheard else End(department, found)]
        case DoorRefused():
            return [End("", "unavailable", times=event.count)]
    return []


def _part(part: PartAnswer, how: str) -> Outcome:
    return of(part.state, part.reason, how, by_mai=not part.by or part.by.endswith("/mai"))


def _request(request: Request, marks: Marks, event: RequestEnded) -> list[End]:
    """The request's own end, and those of its tasks that no department has ended."""
    if event.request in marks.cancelled:
        return [End("", "cancelled", event.elapsed_ms), *(End(one, "cancelled") for one, _ in _left(request, event))]
    left = [(department, _part(part, marks.held.get(department, ""))) for department, part in _left(request, event)]
    done = [_part(part, marks.held.get(part.department, "")) for part in request.answers.values()]
    found = [*(outcome for _, outcome in left), *done] or [_part(part, "") for part in event.parts]
    whole: Outcome = next((outcome for outcome in GRAVEST if outcome in found), "failed")
    if whole in BAD and event.request in marks.delayed:
        whole = "maintenance"
    planned = len(event.parts) == len(request.parts)  # else it was refused before anything was handed on
    charged = [
        End(department, outcome)
        for department, outcome in left
        if outcome != "refused" and (planned or f"/{department}," in event.parts[0].reason)
    ]
    return [End("", whole, event.elapsed_ms), *charged]


def _left(request: Request, event: RequestEnded) -> list[tuple[str, PartAnswer]]:
    """Department and answer of the parts that no department has ended."""
    planned = list(zip(tasks(request.request, request.parts), request.parts, strict=True))
    answers = event.parts if len(event.parts) == len(planned) else event.parts[:1] * len(planned)
    rows = zip(planned, answers, strict=True)
    return [(plan.department, answer) for (task, plan), answer in rows if task not in request.answers]


def mark(view: View, marks: Marks, event: Event) -> None:
    """Fold what later ends are judged by; as `ends`, before the fact itself is folded."""
    match event:
        case RequestCancelled():
            marks.cancelled.add(event.request)
        case RequestEnded():
            marks.cancelled.discard(event.request)
            marks.delayed.discard(event.request)
        case PartEnded() | ContractEnded() if event.request in view.requests:
            if any(end.outcome == "maintenance" for end in ends(view, marks, event)):
                marks.delayed.add(event.request)
        case _ if event.kind in (HELD, FREED):
            hold(marks, event.kind, getattr(event, "department", ""), getattr(event, "how", ""))


def hold(marks: Marks, kind: str, department: str, how: str) -> None:
    """A department is held, or is not any more."""
    name = department.rpartition("/")[2]
    marks.held.pop(name, None)
    if kind == HELD:
        marks.held[name] = how
