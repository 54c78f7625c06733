"""What Mai decides: which department a request goes to, what may cross between departments, what the client is told. Pure.

She is the only way between departments. A board's ask is held against the contract (who may ask, typed input) before
it goes on, the reply (types, no field that the contract does not name) before it goes back.
"""

from collections.abc import Callable

from mai.agents import remembering
from mai.agents.body import Fields, Outcome
from mai.agents.data_scope import Scopes
from mai.agents.decider import Input, Send, Tick, crowded, sooner_ms, too_large
from mai.agents.errand_messages import Think, Thought, Use, Used
from mai.agents.events import Event, Received
from mai.agents.memory_messages import Browse, Forget, Recall, Remember
from mai.agents.messages import Numbered, Result, Task, address_of
from mai.agents.order_messages import Remedy
from mai.agents.organisation import Mandate
from mai.agents.table import Table
from mai.daemon import (
    approving,
    asks,
    breach,
    cancel,
    client_memory,
    compose,
    conflicts,
    cover,
    crossing,
    doubts,
    errands,
    escalations,
    granting,
    healing,
    held,
    inbound,
    mai_folding,
    policing,
    referring,
    releasing,
    resting,
    returning,
    rostering,
    told,
    voice,
    wording,
)
from mai.daemon.desk import (
    Asked,
    Cancels,
    Crossing,
    Errands,
    Forsaken,
    Freed,
    Healed,
    Holding,
    MaiState,
    Memory,
    Passage,
    Planned,
    Raised,
    Releases,
    Request,
    Resolving,
    Returned,
    Stopped,
    Wanted,
    first,
    tasks,
)
from mai.daemon.dispute_records import Disputed, Free, Look
from mai.daemon.pending import Announced, Pleaded, Voting
from mai.daemon.records import (
    ContractEnded,
    PartAnswer,
    PartPlan,
    RequestAccepted,
    RequestEnded,
    RequestPlanned,
)
from mai.daemon.threads import Delivered, Leave, Next, Outgoing
from mai.daemon.turned import TurnedAway

NOTHING_FITS = "nothing that this organisation offers fits the request"


class MaiDecider:
    """The pure half of Mai. `fault` as in DepartmentDecider.

    `keep(text)` gives the address of a text that goes into her journal for good, `read(address)` a text that is here.
    """

    def __init__(
        self,
        mandate: Mandate,
        table: Table,
        fault: Callable[[str, str, Fields], str],
        *,
        keep: Callable[[str], str] = address_of,
        read: Callable[[str], str] = str,
    ) -> None:
        self.state = MaiState()
        self.keep, self.read = keep, read
        self.mandate, self.table, self.fault = mandate, table, fault
        self.scopes = Scopes(mandate.organisation, fault)
        self.limits = mandate.organisation.limits
        self.state.pulse.promise(mandate.organisation)
        self.policing = policing.Policing(self)
        self.room_ms = 0  # when what waits for room in a department is looked at again
        self.overdue: set[str] = set()  # turns that have had their time, where nobody else could have the task then

    @property
    def address(self) -> str:
        """Her own."""
        return f"{self.mandate.client}/mai"

    # -- decide
    def decide(self, given: Input, now_ms: int) -> list[Event | Send]:
        """Turn an input into facts and sends; tasks for a department that takes none now are held."""
        found = asks.ending(self, self._decide(granting.unburdened(given), now_ms), now_ms)
        found = referring.let_go(self, found)
        found = voice.speak(self, found, now_ms)
        found = granting.account(self, given, found)
        return found if isinstance(given, held.Heed) else held.divert(self, found)

    def _decide(self, given: Input, now_ms: int) -> list[Event | Send]:
        found: list[Event | Send] = []
        match given:
            case Asked():
                found = self.asked(given, now_ms)
            case Planned():
                found = self._later(given, now_ms)
            case Crossing():
                found = crossing.decide(self, given, now_ms)
            case Returned():
                found = returning.returned(self, given, now_ms)
            case Memory():
                found = client_memory.decide(self, given, now_ms)
            case Errands():
                found = errands.decide(self, given, now_ms)
            case Cancels() | Stopped():
                found = cancel.decide(self, given, now_ms)
            case Tick():
                expired = [*self._expire(now_ms), *voice.tick(self, now_ms), *remembering.sweep(self.state, now_ms)]
                expired += conflicts.expire(self, now_ms)
                found = [*expired, *breach.decide(self.state.pulse, self.mandate.client, given, now_ms)]
            case _:
                found = self._aside(given, now_ms)
        return found

    def _aside(self, given: Input, now_ms: int) -> list[Event | Send]:
        """What is no step of a request's way."""
        found: list[Event | Send] = []
        match given:
            case Disputed() | Free() | Look():
                found = conflicts.decide(self, given, now_ms)
            case Raised() | Resolving():
                found = doubts.raised(self, given, now_ms) if isinstance(given, Raised) else doubts.resolved(self, given, now_ms)
            case Pleaded() | Voting() | Announced() | asks.Opined() | asks.Outdated():
                found = approving.decide(self, given, now_ms)
            case escalations.Pled() | escalations.TakenBack() | escalations.Answering() | escalations.Announced():
                found = escalations.decide(self, given, now_ms)
            case rostering.Rostering():
                found = rostering.decide(self, given, now_ms)
            case Releases() | Freed():
                found = releasing.decide(self, given)
            case Delivered() | Next():
                found = inbound.decide(self, given, now_ms)
            case Leave() | Outgoing():
                found = voice.out(self, given, now_ms)
            case told.Told() | told.Standing() | Forsaken():
                found = self._watched(given, now_ms)
            case Wanted() | Healed():
                found = healing.decide(self, given, now_ms)
            case held.Heed():
                found = held.heed(self, now_ms)
            case TurnedAway() | breach.Weigh():
                found = breach.decide(self.state.pulse, self.mandate.client, given, now_ms)
        return found

    def _watched(self, given: told.Told | told.Standing | Forsaken, now_ms: int) -> list[Event | Send]:
        if isinstance(given, Forsaken):
            return cover.forsaken(self, given.process, now_ms)
        noted = told.decide(self, given)
        return [*noted, *(healing.heard(self, given, now_ms) if noted and isinstance(given, told.Told) else ())]

    def asked(self, asked: Asked, now_ms: int) -> list[Event | Send]:
        """Take a request in."""
        accepted = RequestAccepted(
            request=asked.request,
            asker=asked.asker,
            text=asked.text,
            accepted_ms=now_ms,
            deadline_ms=asked.deadline_ms,
            watch=asked.watch,
            by=asked.by,
            uid=asked.uid,
            role=asked.role,
            thread=asked.thread,
            notice_ms=voice.first_ms(self, asked, now_ms),
        )
        if asked.parts is None:
            return [accepted]
        return [accepted, *self._planned(asked, Planned(asked.request, asked.parts), now_ms, now_ms)]

    def plan(self, request: Request, parts: tuple[PartPlan, ...], now_ms: int) -> list[Event | Send]:
        """These are the parts of an open request."""
        return self._planned(request, Planned(request.request, parts), request.accepted_ms, now_ms)

    def unplanned(self, of: Asked | Request, why: str, reason: str, now_ms: int) -> list[Event | Send]:
        """A request that goes to nobody ends with a reason, or with what the client is asked back."""
        since_ms = of.accepted_ms if isinstance(of, Request) else now_ms
        offers = ", ".join(sorted(d.name for d in self.mandate.organisation.departments))
        said = reason or f"{NOTHING_FITS}; its departments are {offers}"
        return [RequestPlanned(request=of.request, parts=(), why=why), self._not_taken(of, said, now_ms - since_ms)]

    def _planned(self, of: Asked | Request, plan: Planned, accepted_ms: int, now_ms: int) -> list[Event | Send]:
        planned = RequestPlanned(request=plan.request, parts=plan.parts, why=plan.why)
        if not plan.parts:
            asked = referring.unclear(self, of, plan.why, plan.question, now_ms)
            return asked or self.unplanned(of, plan.why, plan.question, now_ms)
        given: list[Event | Send] = []
        for part, task in zip(plan.parts, tasks(plan.request, plan.parts), strict=True):
            body = self.task(of, part, task)
            gate = asks.at(self, of, body, now_ms)
            if gate.why:
                return [planned, *gate.events, self._not_taken(of, gate.why, now_ms - accepted_ms)]
            given += [*gate.events, *(self.hand_out(of, body, part.department, now_ms) if gate.goes else ())]
        if why := self.unsendable(given):
            return [planned, self._not_taken(of, why, now_ms - accepted_ms)]
        return [planned, *given]

    def hand_out(self, of: Asked | Request, body: Task, department: str, now_ms: int) -> list[Event | Send]:
        """A part of a request goes to who serves it, or stands in."""
        if cover.backed(self, body.contract):
            return cover.give(self, body, "client", of.deadline_ms, now_ms)
        return [Send(f"{self.mandate.client}/{department}", body.task, sooner_ms(now_ms, of.deadline_ms), body)]

    def _later(self, plan: Planned, now_ms: int) -> list[Event | Send]:
        """The plan of a request that has waited for it, unless it has ended or was planned meanwhile."""
        request = self.state.requests.get(plan.request)
        if request is None or request.parts or self.state.parking.count(plan.request):
            return []  # or a person was asked in an earlier life
        if request.deadline_ms <= now_ms:
            return [self._too_late(request, now_ms)]
        return self._planned(request, plan, request.accepted_ms, now_ms)

    def _too_late(self, request: Request, now_ms: int) -> RequestEnded:
        late_ms = now_ms - request.accepted_ms
        return self._not_taken(request, "no department was found before the deadline", late_ms, "expired")

    def task(self, of: Asked | Request, part: PartPlan, task: str) -> Task:
        """What a department gets for a part of a request."""
        return Task(task, of.request, of.asker, part.contract, part.text, part.input, self.limits.hops, of.watch, part.agents)

    def _not_taken(self, of: Asked | Request, reason: str, elapsed_ms: int, state: Outcome = "refused") -> RequestEnded:
        part = PartAnswer("", of.text, state, "", {}, reason, self.address, ())
        return RequestEnded(request=of.request, state=state, answer=compose.said(part), parts=(part,), elapsed_ms=elapsed_ms)

    def closed(self, process: str) -> str:
        """Why nothing new may go to a department; "" if it may."""
        return crowded(self.state, process, self.limits.queue) or held.shut(self.state, process, self.limits.queue)

    def unsendable(self, given: list[Event | Send]) -> str:
        """Why one of these cannot be sent; "" if all can."""
        tasks = (one for one in given if isinstance(one, Send) and isinstance(one.body, Task))
        return next((why for one in tasks if (why := too_large(one.body, self.limits.message_bytes) or self.closed(one.to))), "")

    def holding(self, task: str) -> Holding | None:
        """Who has an open task of Mai's."""
        if turn := self.state.turns.get(first(task)):
            return Holding(self.server(turn.now), turn.request, turn.deadline_ms) if turn.ident == task else None
        if amended := self.state.amended.get(first(task)):
            if amended.ident != task:
                return None
            task = amended.task
        if passage := self.state.passages.get(task):
            return Holding(self.server(passage.contract), passage.request, passage.deadline_ms)
        request = self.state.requests.get(task.rpartition("/")[0])
        part = self.part(request, task) if request else None
        if request is None or part is None or task in request.answers or task in self.state.approving.asks:
            return None
        return Holding(f"{self.mandate.client}/{part.department}", request.request, request.deadline_ms)

    def having(self, task: str) -> Holding | None:
        """The same, and who is asked about a case: such a board may ask models, too."""
        return self.holding(task) or conflicts.holding(self, task) or asks.holding(self, task)

    def part(self, request: Request, task: str) -> PartPlan | None:
        """The part of a request that has this id; None if there is none."""
        return dict(zip(tasks(request.request, request.parts), request.parts, strict=True)).get(task)

    def server(self, contract: str) -> str:
        """The process that serves a contract."""
        return f"{self.mandate.client}/{contract.partition('.')[0]}"

    def result(self, peer: str, about: Task | Passage, state: str, reason: str) -> Send:
        changed = isinstance(about, Passage)  # it has been with another department
        body = Result(about.task, about.request, state, "", {}, reason, self.address, (), changed)  # type: ignore[arg-type]  # a Literal
        return Send(peer, f"{about.task}=", 0, body)

    def screen(self, peer: str, body: Numbered) -> Numbered:
        """What of a department's message may be taken in: decided before anything of it is on the disk."""
        return returning.screen(self, peer, body)

    def whole_of(self, request: Request, answers: dict[str, PartAnswer], now_ms: int) -> list[Event | Send]:
        """The end of a request whose parts are all there."""
        if len(answers) < len(request.parts):
            return []
        waits = resting.waits(self, request, answers, now_ms)
        if waits.instead:
            return waits.found
        parts = tuple(answers[task] for task in tasks(request.request, request.parts))
        return wording.ask(self, request, parts, now_ms) or [self.whole(request, parts, now_ms)]

    def whole(self, request: Request, parts: tuple[PartAnswer, ...], now_ms: int, worded: str = "", by: str = "") -> RequestEnded:
        """The one answer to a request, in the built-in words or in a model's."""
        return RequestEnded(
            request=request.request, state=compose.state_of(parts), answer=worded or compose.answer(parts),
            parts=parts, elapsed_ms=now_ms - request.accepted_ms, by=by,
        )  # fmt: skip

    def _expire(self, now_ms: int) -> list[Event | Send]:
        events = [*errands.expire(self, now_ms), *cover.expire(self, now_ms), *healing.expire(self, now_ms)]
        once: set[str] = set()  # requests of which a part ends in this look
        events += [*approving.expire(self, now_ms), *asks.expire(self, now_ms, once), *escalations.expire(self, now_ms, once)]
        for passage in self.state.passages.values():
            if passage.deadline_ms <= now_ms:
                waits = held.reason(self.state, passage.task) or resting.late(self, passage.task)
                reason = f"{passage.contract} did not answer before its deadline{'; ' * bool(waits)}{waits}"
                events.append(ContractEnded(request=passage.request, task=passage.task, state="expired", reason=reason))
                events.append(self.result(passage.asking, passage, "expired", reason))
        for request in self.state.requests.values():
            if request.deadline_ms > now_ms:
                continue
            if not request.parts:
                events.append(self._too_late(request, now_ms))
            elif wording.errand_of(request.request) not in self.state.errands:
                missing = {
                    task: PartAnswer(part.department, part.text, "expired", "", {}, self._late(request, task), "", ())
                    for part, task in zip(request.parts, tasks(request.request, request.parts), strict=True)
                }
                events += self.whole_of(request, {**missing, **request.answers}, now_ms)
        return events

    def _late(self, request: Request, task: str) -> str:
        """Why a part has no answer in time."""
        waits = approving.late(self.state, request.request) or doubts.late(self.state, request.request)
        return held.reason(self.state, task) or resting.late(self, task) or waits

    # -- evolve
    def evolve(self, event: Event, seq: int) -> list[Input]:
        """Fold one fact."""
        return mai_folding.evolve(self.state, event, seq)

    def taken(self, received: Received) -> list[Input]:
        """The inputs that a department's message brings."""
        peer, body, found = received.sender, received.body, list[Input]()
        match body:
            case Task():
                found = [Crossing(peer, body, received.deadline_ms)]
            case Result():
                found = [Returned(peer, body, received.head_seq, received.head, screened=True)]
            case Recall() | Remember() | Forget() | Browse():
                found = [Memory(peer, body, received.deadline_ms)]
            case Remedy():
                found = [Wanted(peer, body, received.deadline_ms)]
            case Think() | Use() | Thought() | Used():
                found = [Errands(peer, body, received.deadline_ms)]
            case _:
                found = releasing.taken(received)
        return found

    def next_deadline_ms(self) -> int:
        """The first deadline of anything open, when a breach ends by itself, or memory expires; 0 if there is none."""
        open_ = (self.state.requests, self.state.passages, self.state.errands, self.state.healing.orders)
        turns = (one.until_ms for one in self.state.turns.values() if one.ident not in self.overdue)
        deadlines = (one.deadline_ms for ones in open_ for one in ones.values())
        state = self.state
        persons = (state.approving.soonest_ms(), state.parking.soonest_ms(), state.conflicts.soonest_ms())
        soonest = filter(None, (state.fading.soonest_ms(), *persons))
        others = (*breach.due_ms(state.pulse), *voice.due_ms(self), *soonest)
        return min((*deadlines, *turns, *others), default=0)
