"""What Mai passes on between a client's agents and its services: questions to models, and tools that need the network. Pure.

An errand is held against the organisation before it goes on: who may ask which model, who may use which tool, and for
which task of Mai's. Her journal has the addresses and sizes of what was asked, the verdict, and what it cost; the texts
themselves only pass through.
"""

from typing import TYPE_CHECKING

import msgspec

from mai.agents.body import Outcome
from mai.agents.decider import Send, crowded, sooner_ms
from mai.agents.errand_messages import Think, Thought, Use, Used
from mai.agents.events import Event, MessageRefused
from mai.agents.organisation import Agent, Service
from mai.daemon import granting, policing, wording
from mai.daemon.desk import Errand, Errands, origin
from mai.daemon.records import ErrandChecked, ErrandEnded

if TYPE_CHECKING:
    from mai.daemon.mai import MaiDecider

Asking = Think | Use
Answer = Thought | Used


def service_of(body: Asking | Answer) -> Service:
    """Whose business it is."""
    return "models" if isinstance(body, Think | Thought) else "tools"


def wanted(body: Asking) -> str:
    """The model or the tool that is asked for."""
    return body.model if isinstance(body, Think) else body.tool


def model_of(mai: "MaiDecider", agent: Agent) -> str:
    """The model in an agent's scope; "" if it has none."""
    if not agent.model and agent.kind != "model":
        return ""
    model = mai.mandate.organisation.models.model(agent.model)
    return model.name if model else ""


def decide(mai: "MaiDecider", given: Errands, now_ms: int) -> list[Event | Send]:
    """A department asks, or a service answers."""
    if isinstance(given.body, Think | Use):
        return _check(mai, given.peer, given.body, given.deadline_ms, now_ms)
    return _back(mai, given.peer, given.body, now_ms)


def _check(mai: "MaiDecider", peer: str, body: Asking, until_ms: int, now_ms: int) -> list[Event | Send]:
    """The verdict, and what goes on or back because of it."""
    if body.id in mai.state.errands:
        return []
    holding, service = mai.having(origin(body.id)), service_of(body)
    until_ms = min(until_ms, holding.deadline_ms) if holding else until_ms
    gone = body.request in mai.state.cancellations
    if gone or holding is None or (holding.process, holding.request) != (peer, body.request):
        why = f"{peer} has no open task that {body.id[:80]!r} could be a part of"
    else:
        why = _why_not(mai, peer, body)
    judged: list[Event] = []
    if not why and isinstance(body, Use):
        judged, why = policing.use(mai, peer, body, now_ms)
    elif not why and isinstance(body, Think) and (stopped := granting.turns(mai, body)):
        judged, why = [stopped], stopped.why
    late = not why and until_ms <= now_ms
    checked = ErrandChecked(
        request=body.request, task=body.id, agent=body.agent, asking=peer, service=service, what=wanted(body),
        allowed=not why and not late, rule=why or ("it came after its deadline" if late else f"in the scope of {body.agent}"),
        deadline_ms=until_ms, size=body.inquiry.size if isinstance(body, Think) else 0,
    )  # fmt: skip
    if not checked.allowed:
        refused = refusal(body, "expired" if late else "refused", checked.rule)
        if isinstance(refused, Used) and not judged:  # what a policy refuses no other tool does instead
            refused = msgspec.structs.replace(refused, clear=True)
        return [*judged, checked, Send(peer, f"{body.id}=", 0, refused)]
    return [*judged, checked, Send(f"{mai.mandate.client}/{service}", body.id, sooner_ms(now_ms, until_ms), _lasting(mai, body))]


def _lasting(mai: "MaiDecider", body: Asking) -> Asking:
    """A question with the deadline of its request, until which its tokens are counted together with those of others."""
    limits, request = mai.limits.request, mai.state.requests.get(body.request)
    if isinstance(body, Think) and request and (limits.tokens or limits.money):
        return msgspec.structs.replace(body, until_ms=request.deadline_ms)
    return body


def _why_not(mai: "MaiDecider", peer: str, body: Asking) -> str:
    """Why an agent may not ask a service for this; "" if it may."""
    organisation, name = mai.mandate.organisation, peer.split("/")[1]
    department = organisation.department(name)
    agent = department.agent(body.agent.rpartition("/")[2]) if department else None
    if agent is None or body.agent != f"{peer}/{agent.name}":
        return f"{peer} asks in the name of {body.agent[:80]!r}"
    if service_of(body) not in organisation.services():
        return f"{mai.mandate.client} has no {service_of(body)}"
    if isinstance(body, Think):
        scope = model_of(mai, agent)
        if body.model != scope:
            return f"{body.agent} may not ask the model {body.model[:40]!r}; " + (
                f"its model is {scope}" if scope else "it has none"
            )
    else:
        own, _, word = body.tool.partition(".")
        if own != name or word not in agent.tools:
            return f"{body.agent} may not use the tool {body.tool[:80]!r}"
    if len(mai.state.errands) >= mai.limits.queue:
        return f"{mai.limits.queue} questions to models and tools are open, which is the limit; ask again later"
    return crowded(mai.state, f"{mai.mandate.client}/{service_of(body)}", mai.limits.queue)


def refusal(body: Asking | Errand, state: Outcome, reason: str) -> Answer:
    """The answer that Mai gives herself. What was on its way to a tool may have happened."""
    if isinstance(body, Think) or (isinstance(body, Errand) and body.service == "models"):
        return Thought(body.id, body.request, state, reason=reason)
    return Used(body.id, body.request, refused=reason, doubt=isinstance(body, Errand))


def _back(mai: "MaiDecider", peer: str, body: Answer, now_ms: int) -> list[Event | Send]:
    """A service answers: on record what it cost, and the answer goes to who asked."""
    errand = mai.state.errands.get(body.id)
    if errand is None:
        return []  # it has ended meanwhile
    if peer != f"{mai.mandate.client}/{errand.service}" or errand.service != service_of(body):
        detail = f"{peer} answers {body.id[:80]!r}, which {mai.mandate.client}/{errand.service} has"
        return [MessageRefused(peer=peer, why="out of place", detail=detail)]
    return _done(mai, errand, body, now_ms)


def _done(mai: "MaiDecider", errand: Errand, body: Answer, now_ms: int) -> list[Event | Send]:
    """The one end of an errand: it goes back to who asked; Mai herself words her answer with it."""
    if errand.asking == mai.address:
        assert isinstance(body, Thought), "she asks models only"
        return [ended(errand, body), *wording.answered(mai, errand, body, now_ms)]
    return [ended(errand, body), Send(errand.asking, f"{body.id}=", 0, body)]


def ended(errand: Errand, body: Answer) -> ErrandEnded:
    """The end of an errand, as Mai's journal has it."""
    if isinstance(body, Thought):
        return ErrandEnded(
            request=errand.request, task=errand.id, state=body.state, reason=body.reason, by=body.by,
            answer=body.answer, usage=body.usage, notes=body.notes, transcript=body.transcript,
        )  # fmt: skip
    state = "failed" if body.refused else "answered"
    return ErrandEnded(request=errand.request, task=errand.id, state=state, reason=body.refused, by=errand.service)


def expire(mai: "MaiDecider", now_ms: int) -> list[Event | Send]:
    """What no service has answered in time."""
    events: list[Event | Send] = []
    for errand in mai.state.errands.values():
        if errand.deadline_ms <= now_ms:
            late = refusal(errand, "expired", f"{errand.service} did not answer before the deadline")
            events += _done(mai, errand, late, now_ms)
    return events


def fold(errands: dict[str, Errand], event: ErrandChecked | ErrandEnded) -> Errand | None:
    """Fold one fact; the errand as it stands now, None if there is none any more."""
    if isinstance(event, ErrandChecked):
        errand = Errand(event.task, event.request, event.asking, event.service, event.deadline_ms)
        errands[event.task] = errand
        return errand
    errands.pop(event.task, None)
    return None
