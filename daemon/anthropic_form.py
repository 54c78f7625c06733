"""Anthropic's Messages API as the scripted provider speaks it: a request read, an answer and its stream written. Pure.

Only what a model agent needs: text, tools, a bound, a stream, an output format. Source: the API reference, /v1/messages.
"""

import json
from collections.abc import Iterator
from typing import Any

from mai.daemon.saying import BadRequest, Said, SaidCall, pieces
from mai.daemon.script import Prompt, canonical, digest_of, tokens

Json = dict[str, Any]
COUNTED = ("system", "messages", "tools", "output_format", "output_config")


def prompt_of(body: Any) -> Prompt:
    """A request's body as rules see it. Raises BadRequest."""
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise BadRequest("model: field required")
    messages, bound = body.get("messages"), body.get("max_tokens")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages: at least one message is required")
    if not isinstance(bound, int) or bound < 1:
        raise BadRequest("max_tokens: field required")
    if any(not isinstance(one, dict) or one.get("role") not in ("user", "assistant") for one in messages):
        raise BadRequest("messages: roles must be user or assistant")
    texts = [_text(one.get("content")) if one["role"] == "user" else "" for one in messages]
    last = max((at for at, text in enumerate(texts) if text), default=-1)
    wanted = body.get("output_format") or (body.get("output_config") or {}).get("format") or {}
    choice = body.get("tool_choice") or {}
    return Prompt(
        model=body["model"],
        system=_text(body.get("system")),
        user=texts[last] if last >= 0 else "",
        results=sum(_results(one.get("content")) for one in messages[max(last, 0) :]),
        tools={tool["name"]: tool.get("input_schema") for tool in body.get("tools") or () if isinstance(tool, dict)},
        must_call="*" if choice.get("type") == "any" else choice.get("name", "") if choice.get("type") == "tool" else "",
        schema=wanted.get("schema"),
        output_tokens=bound,
        stream=body.get("stream") is True,
        digest=digest_of(body),
        input_tokens=tokens(canonical({name: body[name] for name in COUNTED if body.get(name)})),
    )


def _blocks(content: Any) -> list[Json]:
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(block.get("text", "")) for block in _blocks(content) if block.get("type") == "text")


def _results(content: Any) -> int:
    return sum(block.get("type") == "tool_result" for block in _blocks(content))


def message(prompt: Prompt, said: Said, attempt: int, fault: str) -> Json:
    """The whole answer."""
    blocks = [{"type": "text", "text": said.text}] if said.text or not said.calls else []
    return {
        **_head(prompt, attempt),
        "content": None if fault == "null" else [*blocks, *(_use(call, _read(call)) for call in said.calls)],
        "stop_reason": _reason(said),
        **({} if fault == "nousage" else {"usage": _usage(said)}),
    }


def events(prompt: Prompt, said: Said, attempt: int, fault: str, piece: int) -> Iterator[Json]:
    """The answer piece by piece; each event's name is its type."""
    start = {"input_tokens": said.input_tokens, "output_tokens": 0}
    yield {
        "type": "message_start",
        "message": {**_head(prompt, attempt), "content": [], **({} if fault == "nousage" else {"usage": start})},
    }
    index = 0
    if said.text or not said.calls:
        parts = [{"type": "text_delta", "text": text} for text in pieces(said.text, piece)]
        yield from _block(index, {"type": "text", "text": ""}, parts)
        index += 1
    for number, call in enumerate(said.calls, index):
        parts = [{"type": "input_json_delta", "partial_json": text} for text in pieces(call.arguments, piece)]
        yield from _block(number, _use(call, {}), parts)
    usage = {} if fault == "nousage" else {"usage": {"output_tokens": said.output_tokens}}
    yield {"type": "message_delta", "delta": {"stop_reason": _reason(said), "stop_sequence": None}, **usage}
    yield {"type": "message_stop"}


def _block(index: int, block: Json, parts: list[Json]) -> Iterator[Json]:
    yield {"type": "content_block_start", "index": index, "content_block": block}
    for part in parts:
        yield {"type": "content_block_delta", "index": index, "delta": part}
    yield {"type": "content_block_stop", "index": index}


def _use(call: SaidCall, given: Any) -> Json:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": given}


def _read(call: SaidCall) -> Any:
    try:
        return json.loads(call.arguments)
    except ValueError:
        return call.arguments


def _reason(said: Said) -> str:
    return "max_tokens" if said.cut else "tool_use" if said.calls else "end_turn"


def _usage(said: Said) -> Json:
    return {"input_tokens": said.input_tokens, "output_tokens": said.output_tokens}


def _head(prompt: Prompt, attempt: int) -> Json:
    id_ = f"msg_{prompt.digest[:16]}-{attempt}"
    return {
        "id": id_, "type": "message", "role": "assistant", "model": prompt.model, "stop_reason": None, "stop_sequence": None
    }  # fmt: skip


def error(said: str, kind: str) -> Json:
    """An error as Anthropic has it."""
    return {"type": "error", "error": {"type": kind, "message": said}}
