"""A request's tree as OpenTelemetry spans: OTLP in its JSON form, with the names of the gen_ai conventions. Pure.

    request → invoke_workflow · task → invoke_agent · model → chat · tool → execute_tool · memory → search_memory …
    waits, what Mai and boards decide → spans of ours · notes, failed attempts at providers → events on them

Ids derive from the request, its acceptance and the task, so that the same request exported again is the same trace. Of what
was said and found nothing leaves but with `contents`: then the messages, arguments and results do.
(opentelemetry.io/docs/specs/otlp, github.com/open-telemetry/semantic-conventions-genai)
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import msgspec

from mai.daemon.summary import short
from mai.daemon.tree import LAPSED, OPEN, WAITS, Node, Note, Step, Trace, below
from mai.sandbox.version import VERSION

Json = dict[str, Any]
Value = str | int | float | bool | None

INTERNAL, CLIENT = 1, 3  # kinds of spans
FAILED: Final = 2  # of a status
SCOPE: Final = {"name": "mai", "version": VERSION}
PROVIDER: Final = "mai"  # of agents; models have their own
FINE: Final = ("answered", "done", "approved", "ruled", LAPSED, OPEN, "returned")
MEMORY: Final = {
    "recall": "search_memory", "recall_all": "search_memory", "search": "search_memory", "versions": "search_memory",
    "remember": "upsert_memory", "forget": "delete_memory",
}  # fmt: skip


class Said(NamedTuple):
    """What a step was given and gave, as JSON texts in the forms that the conventions have for it."""

    given: str
    got: str


Contents = Callable[[Node | None, Step], Said]


class Span(NamedTuple):
    """One span, and the process whose it is."""

    process: str
    data: Json


class Parent(NamedTuple):
    """Where a span hangs, and whose process it is in."""

    span: str
    process: str


def export(trace: Trace, contents: Contents | None = None) -> list[Span]:
    """All spans of a request, its own first."""
    return list(_Spans(trace, contents).all())


def payload(spans: list[Span]) -> Json:
    """An ExportTraceServiceRequest: a resource for each process that they are from."""
    of: dict[str, list[Json]] = defaultdict(list)
    for span in spans:
        of[span.process].append(span.data)
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(_resource(process))},
                "scopeSpans": [{"scope": SCOPE, "spans": data}],
            }
            for process, data in of.items()
        ]
    }


def _resource(process: str) -> dict[str, Value]:
    client, _, department = process.partition("/")
    return {
        "service.name": department or client, "service.namespace": client, "service.instance.id": process,
        "service.version": VERSION,
    }  # fmt: skip


class _Spans:
    def __init__(self, trace: Trace, contents: Contents | None) -> None:
        self._trace, self._contents = trace, contents
        self._mai = f"{trace.client}/mai"
        seed = f"mai trace\0{trace.client}\0{trace.request}\0{trace.accepted_ns}"
        self._id = hashlib.sha256(seed.encode()).hexdigest()[:32]
        self._last_ms = max((span.started_ms + (span.ms or 0.0) for span in _timed(trace)), default=0.0)

    def all(self) -> Iterator[Span]:
        """The request, its tasks, Mai's own steps, and the cases."""
        trace = self._trace
        root = Parent(self._span_id("request"), self._mai)
        more: dict[str, Value] = {
            "gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": trace.client, "mai.request": trace.request,
            "gen_ai.conversation.id": self._conversation(), "mai.asker": trace.asker, "mai.records": trace.records,
            "mai.decisions": trace.decisions, "mai.restarts": trace.restarts or None,
        }  # fmt: skip
        if self._contents:
            more |= {"gen_ai.input.messages": _message("user", trace.text)}
            more |= {"gen_ai.output.messages": _message("assistant", trace.answer)} if trace.answer else {}
        yield self._span(
            "", root, f"invoke_workflow {trace.client}", trace, about={**more, **_outcome(trace.state)}, notes=trace.notes
        )
        yield from self._below(root, trace)
        for case in trace.cases:
            inner = Parent(self._span_id(f"case {case.request}"), self._mai)
            own = {"mai.case": case.request, **_outcome(case.state)}
            yield self._span(root.span, inner, "case", case, about=own, notes=case.notes)
            yield from self._below(inner, case)

    def _conversation(self) -> str | None:
        """Whose name may be a person's address: without contents its digest."""
        thread = self._trace.thread
        return thread if self._contents or not thread else hashlib.sha256(thread.encode()).hexdigest()[:16]

    def _below(self, parent: Parent, trace: Trace) -> Iterator[Span]:
        for node in trace.tasks:
            yield from self._node(parent, node)
        for number, step in enumerate(trace.steps):
            yield self._step(parent, None, step, f"{trace.request} {number}")

    def _node(self, parent: Parent, node: Node) -> Iterator[Span]:
        process = node.agent.rpartition("/")[0] if node.agent.count("/") > 1 else node.agent or self._mai
        own = Parent(self._span_id(f"task {node.task}"), process)
        name = short(node.agent)
        more: dict[str, Value] = {
            "gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": PROVIDER, "gen_ai.agent.name": name,
            "gen_ai.agent.id": node.agent, "gen_ai.agent.version": node.code or None, "mai.task": node.task,
            "mai.contract": node.contract or None,
            "mai.record": node.ended or node.record, "mai.decision": node.decision or None,
            "mai.attempts": node.attempts or None, "mai.crashes": node.crashes or None, "mai.restarts": node.restarts or None,
        }  # fmt: skip
        if self._contents and (node.text or node.input):
            asked = node.text or msgspec.json.encode(node.input).decode()
            more["gen_ai.input.messages"] = _message("user", asked)
        yield self._span(
            parent.span, own, f"invoke_agent {name}".strip(), node, about={**more, **_outcome(node.state)}, notes=node.notes
        )
        for one in below(node):
            if isinstance(one, Node):
                yield from self._node(own, one)
            elif isinstance(one, Step):
                yield self._step(own, node, one, f"{node.task} {one.n} {one.call} {one.record}")

    def _step(self, parent: Parent, node: Node | None, step: Step, name: str) -> Span:
        own = Parent(self._span_id(f"step {name}"), parent.process)
        what, more = _operation(step, node)
        if self._contents and (said := self._contents(node, step)):
            more |= _said(step, said)
        notes = [Note(one.at_ms, one.why, "attempt", one.request) for one in step.tries if one.why]
        kind = CLIENT if step.call == "model" else INTERNAL
        more |= {"mai.record": step.record or None, **_outcome(step.state)}
        return self._span(parent.span, own, what, step, about=more, notes=notes, kind=kind)

    def _span(
        self, parent: str, own: Parent, name: str, timed: Trace | Node | Step, *, about: dict[str, Value],
        notes: list[Note], kind: int = INTERNAL,
    ) -> Span:  # fmt: skip
        end_ms = self._last_ms if timed.ms is None else timed.started_ms + timed.ms
        data: Json = {
            "traceId": self._id, "spanId": own.span, **({"parentSpanId": parent} if parent else {}), "name": name, "kind": kind,
            "startTimeUnixNano": self._ns(timed.started_ms), "endTimeUnixNano": self._ns(max(end_ms, timed.started_ms)),
            "attributes": _attributes({**about, "mai.open": True if timed.ms is None else None}),
            "events": [self._event(note) for note in notes],
        }  # fmt: skip
        if error := about.get("error.type"):
            data["status"] = {"code": FAILED, "message": str(error)}
        return Span(own.process, data)

    def _event(self, note: Note) -> Json:
        text = note.text if self._contents else None
        about = _attributes({"mai.record": note.record or None, "mai.text": text})
        return {"timeUnixNano": self._ns(note.at_ms), "name": f"mai.{note.what or 'note'}", "attributes": about}

    def _ns(self, at_ms: float) -> str:
        """Nanoseconds since 1970, as JSON has numbers of 64 bits."""
        return str(self._trace.accepted_ns + round(at_ms * 1000) * 1000)

    def _span_id(self, what: str) -> str:
        return hashlib.sha256(f"{self._id}\0{what}".encode()).hexdigest()[:16]


def _timed(trace: Trace | Node) -> Iterator[Trace | Node | Step]:
    """All that has a time."""
    yield trace
    yield from trace.steps
    for node in trace.tasks:
        yield from _timed(node)
    for case in trace.cases if isinstance(trace, Trace) else ():
        yield from _timed(case)


def _outcome(state: str) -> dict[str, Value]:
    return {"mai.state": state, "error.type": None if state in FINE else state.replace(" ", "_") or "_OTHER"}


def _operation(step: Step, node: Node | None) -> tuple[str, dict[str, Value]]:
    """The name of a step's span, and its attributes."""
    tool = step.what.split(" ", 1)[0]
    if step.call == "model":
        provider, _, model = step.by.partition("/")
        at = [urlsplit(one.url) for one in step.tries if one.url]
        return f"chat {tool}", {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": provider or PROVIDER, "gen_ai.request.model": tool,
            "gen_ai.response.model": model or None, "gen_ai.usage.input_tokens": step.input_tokens or None,
            "gen_ai.usage.output_tokens": step.output_tokens or None, "mai.cost": step.cost_nano / 1e9 or None,
            "server.address": at[-1].hostname if at else None, "server.port": _port(at[-1]) if at else None,
            "mai.attempts": len(step.tries) or None,
        }  # fmt: skip
    if step.call == "tool":
        call = f"{node.task}/{step.n}" if node else None
        return f"execute_tool {tool}", {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool, "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": call, "mai.attempts": len(step.tries) or None,
        }  # fmt: skip
    if step.call in MEMORY:
        return MEMORY[step.call], {"gen_ai.operation.name": MEMORY[step.call], "mai.call": step.call}
    return (f"wait {step.call}" if step.call in WAITS else step.call), {"mai.call": step.call}


def _port(url: SplitResult) -> int | None:
    return url.port or {"http": 80, "https": 443}.get(url.scheme)


def _said(step: Step, said: Said) -> dict[str, Value]:
    match step.call:
        case "model":
            return {"gen_ai.input.messages": said.given or None, "gen_ai.output.messages": said.got or None}
        case "tool":
            return {"gen_ai.tool.call.arguments": said.given or None, "gen_ai.tool.call.result": said.got or None}
    return {"mai.given": said.given or None, "mai.got": said.got or None}


def _message(role: str, text: str) -> str:
    """One message in the form of gen_ai.input.messages and gen_ai.output.messages."""
    message: Json = {"role": role, "parts": [{"type": "text", "content": text}]}
    if role == "assistant":
        message["finish_reason"] = "stop"
    return msgspec.json.encode([message]).decode()


def _attributes(of: dict[str, Value]) -> list[Json]:
    """Key and value of each that there is."""
    return [{"key": key, "value": _value(value)} for key, value in of.items() if value is not None and value != ""]


def _value(value: Value) -> Json:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
    return {"stringValue": str(value)}
