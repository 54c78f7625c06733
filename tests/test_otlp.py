"""Traces for OpenTelemetry: OTLP's own definitions read them, ids are the same each time, and what was said stays here."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Known
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from mai.cli import main
from mai.daemon.books import Books
from mai.daemon.otlp import Said, export, payload
from mai.daemon.otlp_contents import Contents
from mai.daemon.trace import trace
from mai.daemon.tree import Node, Note, Step, Trace, Try
from tests.collector import collecting, read
from tests.test_why import OF, answered, department
from tests.wired import Wired, bare

SECRET = "s3cret-4711"


def thinking() -> Trace:
    """A request in which a model was asked, a tool refused, a person waited for, and a process died."""
    model = Step(
        1, "model", "small", 5.0, 40.0, "done", "b/two", "acme/sales:9", "b/two", 700, 50, 1_500_000,
        [Try(5.0, "a/one", 10.0, "status 503", url="https://a.example/v1"), Try(15.0, "b/two", 30.0, url="http://b.example:81/v1")],
    )  # fmt: skip
    tool = Step(2, "tool", f"refund order={SECRET}", 50.0, 1.0, "refused", SECRET, "acme/sales:11")
    memory = Step(3, "recall", SECRET, 51.0, 0.1, "done", SECRET, "acme/sales:12")
    wait = Step(0, "approval", f"sales.refund {SECRET}", 52.0, None, note=SECRET)
    notes = [Note(30.0, f"the process died: {SECRET}", "crash", "acme/sales:7")]
    node = Node(
        "r1/1", "acme/sales/analyst", "acme/mai", "sales.refund", SECRET, {"order": SECRET}, started_ms=1.0, attempts=2,
        crashes=1, notes=notes, steps=[model, tool, memory, wait], record="acme/sales:3", code="c0de",
    )  # fmt: skip
    case = Trace("k1", "acme", text=SECRET, state="ruled", accepted_ns=10**18, started_ms=3.0, ms=4.0, tasks=[Node("k1/1")])
    return Trace(
        "r1", "acme", asker="acme/client", text=SECRET, answer=SECRET, thread=f"mail:{SECRET}", accepted_ns=10**18, tasks=[node],
        cases=[case],
    )  # fmt: skip


def spans(of: Trace, **given: Any) -> dict[str, Any]:
    """By name: the spans as the definitions read them."""
    message = read(payload(export(of, **given)))
    found = [span for one in message.resource_spans for scope in one.scope_spans for span in scope.spans]
    assert len({span.name for span in found}) == len(found)
    return {span.name: span for span in found}


def about(span: Any) -> dict[str, Any]:
    """Its attributes."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_the_names_are_those_of_the_conventions() -> None:
    """A request is a workflow, a task an agent's, a question to a model a chat with its tokens, a tool's use a tool's."""
    found = spans(thinking())
    assert set(found) == {
        "invoke_workflow acme", "invoke_agent sales/analyst", "chat small", "execute_tool refund", "search_memory",
        "wait approval", "case", "invoke_agent",
    }  # fmt: skip
    assert about(found["invoke_workflow acme"])["gen_ai.workflow.name"] == "acme"
    agent = about(found["invoke_agent sales/analyst"])
    expected = {
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "sales/analyst", "gen_ai.agent.id": "acme/sales/analyst",
        "gen_ai.agent.version": "c0de", "mai.crashes": 1, "mai.attempts": 2, "mai.record": "acme/sales:3",
    }  # fmt: skip
    assert {key: agent[key] for key in expected} == expected
    chat = about(found["chat small"])
    expected = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "b", "gen_ai.request.model": "small",
        "gen_ai.response.model": "two", "gen_ai.usage.input_tokens": 700, "gen_ai.usage.output_tokens": 50, "mai.cost": 0.0015,
        "server.address": "b.example", "server.port": 81, "mai.attempts": 2, "mai.record": "acme/sales:9", "mai.state": "done",
    }  # fmt: skip
    assert chat == expected and found["chat small"].kind == Known.SPAN_KIND_CLIENT
    assert [event.name for event in found["chat small"].events] == ["mai.attempt"]
    tool = about(found["execute_tool refund"])
    assert (tool["gen_ai.tool.name"], tool["gen_ai.tool.call.id"], tool["error.type"]) == ("refund", "r1/1/2", "refused")
    assert found["execute_tool refund"].status.code == Status.STATUS_CODE_ERROR
    assert found["chat small"].status.code == Status.STATUS_CODE_UNSET
    assert about(found["wait approval"])["mai.open"] is True


def test_each_span_hangs_where_it_belongs_and_lies_in_its_time() -> None:
    """One trace, one root, parents that are there; times are those of the records; what is open ends with what is last known."""
    found = spans(thinking())
    by_id = {span.span_id: span for span in found.values()}
    assert len(by_id) == len(found) and len({span.trace_id for span in found.values()}) == 1
    assert [span.name for span in found.values() if not span.parent_span_id] == ["invoke_workflow acme"]
    assert all(span.parent_span_id in by_id for span in found.values() if span.parent_span_id)
    assert by_id[found["chat small"].parent_span_id].name == "invoke_agent sales/analyst"
    assert by_id[found["invoke_agent"].parent_span_id].name == "case"
    chat = found["chat small"]
    assert (chat.start_time_unix_nano, chat.end_time_unix_nano) == (10**18 + 5_000_000, 10**18 + 45_000_000)
    for span in found.values():
        assert len(span.trace_id) == 16 and len(span.span_id) == 8 and span.start_time_unix_nano <= span.end_time_unix_nano
    assert found["wait approval"].end_time_unix_nano == 10**18 + 52_000_000


def test_the_same_request_is_the_same_trace(tmp_path: Path) -> None:
    """Ids derive from the request and its tasks: read again they are the same, another client's or request's are others."""
    place = Wired(tmp_path).asked("r1", "r2").close().place
    first, again, other = (payload(export(trace(place, name))) for name in ("r1", "r1", "r2"))
    assert first == again
    assert read(first).resource_spans[0].scope_spans[0].spans[0].trace_id not in str(other).encode()
    ids = [{span.data["traceId"] for span in export(trace(place, name))} for name in ("r1", "r2")]
    assert len(ids[0]) == len(ids[1]) == 1 and ids[0] != ids[1]
    processes = {dict_["value"]["stringValue"] for one in first["resourceSpans"] for dict_ in one["resource"]["attributes"]}
    assert {"acme/mai", "acme/marketing", "acme/sales", "sales", "acme"} <= processes


def test_nothing_that_was_said_leaves_without_the_flag() -> None:
    """Without contents no text of client, tool, memory, reason or conversation stands in it; with them it does."""
    assert SECRET not in json.dumps(payload(export(thinking())))
    told = spans(thinking(), contents=lambda node, step: Said("[]", "[]"))
    assert SECRET in str(about(told["invoke_workflow acme"])["gen_ai.output.messages"])
    assert about(told["execute_tool refund"])["gen_ai.tool.call.result"] == "[]"
    assert about(told["invoke_workflow acme"])["gen_ai.conversation.id"] == f"mail:{SECRET}"


def test_contents_are_read_from_the_ledgers(tmp_path: Path) -> None:
    """Arguments and results of a tool, and the messages of a model, stand there in the form of the conventions."""
    import msgspec

    from mai.agents.events import Asked, Stepped
    from mai.agents.replies import ModelCall
    from mai.agents.replies import Said as Reply
    from mai.sandbox.ledger import Ledger

    place = bare(tmp_path, "acme/mai", "acme/sales")
    ledger = Ledger(place.ledger("acme/sales"), "acme/sales")
    reply = msgspec.json.encode(Reply("It is 5.", (ModelCall("sum", "{}", "c1"),), "stop"))
    kept = [ledger.keep(b'{"role":"user","content":"How much?"}'), ledger.keep(reply)]
    ledger.commit()
    ledger.close()
    department(
        place, Asked(**OF, n=1, call="model", given={"model": "small", "inquiry": {"messages": kept[:1], "size": 9}}),
        Stepped(**OF, n=1, call="model", value={"answer": kept[1], "by": "b/two", "usage": {}, "notes": []}),
        Stepped(**OF, n=2, call="tool", given={"tool": "sum", "input": {"a": 2}}, value=5), text="It is 5.",
    )  # fmt: skip
    answered(place, "It is 5.")
    found = trace(place, "q1")
    with Books(place) as books:
        told = spans(found, contents=Contents(books, "q1"))
    model, tool = about(told["chat small"]), about(told["execute_tool sum"])
    assert json.loads(model["gen_ai.input.messages"]) == [{"role": "user", "parts": [{"type": "text", "content": "How much?"}]}]
    (out,) = json.loads(model["gen_ai.output.messages"])
    assert out["finish_reason"] == "stop" and [part["type"] for part in out["parts"]] == ["text", "tool_call"]
    assert (tool["gen_ai.tool.call.arguments"], tool["gen_ai.tool.call.result"]) == ('{"a":2}', "5")


def test_the_command_sends_or_writes_one_request(tmp_path: Path) -> None:
    """To a collector, to a file that grows, to standard output; an address that is none is said before anything is read."""
    place = Wired(tmp_path).asked("r1").close().place
    traced = ["--state", str(place.state), "trace", "r1", "--otlp"]
    file = tmp_path / "t.jsonl"
    with collecting() as collector:
        sent = CliRunner().invoke(main, [*traced, collector.url])
        assert sent.exit_code == 0 and "spans" in sent.output, sent.output
    for _ in range(2):
        assert CliRunner().invoke(main, [*traced, str(file)]).exit_code == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[0] == lines[1] and read(lines[0]) == collector.taken[0]
    assert json.loads(CliRunner().invoke(main, [*traced, "-"]).stdout) == lines[0]
    wrong = CliRunner().invoke(main, [*traced, "ftp://example.org"])
    assert wrong.exit_code == 2 and "is no address of a collector" in wrong.output


@pytest.mark.parametrize("state", ["answered", "done", "open"])
def test_what_went_well_has_no_error(state: str) -> None:
    """Only what was refused, failed or came late is an error."""
    (root, *_) = export(Trace("r1", "acme", state=state))
    assert "status" not in root.data and not any(one["key"] == "error.type" for one in root.data["attributes"])
