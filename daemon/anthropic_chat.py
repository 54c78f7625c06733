"""Providers that speak Anthropic's Messages, over the same connections. What they send is put together as chat completions are.

Source: the API reference of /v1/messages, version 2023-06-01. Only the models process's thread imports this.
"""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import msgspec

from mai.daemon.attempts import Answer, Failure, Question, code_in, refusal
from mai.daemon.chat import Draft, parsed, taken
from mai.daemon.credentials import Secret
from mai.daemon.http import dropped

VERSION = "2023-06-01"
FINISH = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def body(question: Question) -> dict[str, Any]:
    """What is posted; always streamed. Raises Failure if a text is not what it has to be."""
    system, messages = "", list[dict[str, Any]]()
    for message in (parsed(text, dict) for text in question.messages):
        if message.get("role") == "system":
            system += ("\n\n" if system else "") + str(message.get("content") or "")
        else:
            turn = _turn(message)
            if messages and messages[-1]["role"] == turn["role"]:
                messages[-1]["content"] += turn["content"]  # roles take turns
            else:
                messages.append(turn)
    asked = {"model": question.model, "max_tokens": question.output_tokens, "messages": messages, "stream": True}
    asked |= {"system": system} if system else {}
    asked |= {} if question.temperature is None else {"temperature": min(1.0, question.temperature)}
    if question.tools:
        asked["tools"] = [_tool(one.get("function") or {}) for one in parsed(question.tools, list[dict[str, Any]])]
    if question.schema:
        schema = parsed(question.schema, dict).get("schema", {})
        asked["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return asked


def _tool(one: dict[str, Any]) -> dict[str, Any]:
    return {"name": one.get("name"), "description": one.get("description", ""), "input_schema": one.get("parameters") or {}}


def _turn(message: dict[str, Any]) -> dict[str, Any]:
    """One message of a talk as Anthropic has it: results of tools are what the user says."""
    content = message.get("content") or ""
    if message.get("role") == "tool":
        result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id", ""), "content": content}
        return {"role": "user", "content": [result]}
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) and content else []
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        try:
            given = msgspec.json.decode(function.get("arguments") or "{}")
        except (msgspec.DecodeError, RecursionError):
            given = {}  # the model wrote no JSON, and was told so in the result
        blocks.append({"type": "tool_use", "id": call.get("id", ""), "name": function.get("name", ""), "input": given})
    return {"role": "assistant" if message.get("role") == "assistant" else "user", "content": blocks}


class AnthropicChat:
    """One provider; `key()` as in OpenAIChat."""

    def __init__(self, http: httpx2.AsyncClient, url: str, key: Callable[[], Secret | None]) -> None:
        self._http, self._key = http, key
        self._url = f"{url.rstrip('/').removesuffix('/v1')}/v1/messages"

    async def aclose(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def ask(self, question: Question) -> Answer:
        """One request. Raises Failure, CredentialFault."""
        key = self._key()
        headers = {"anthropic-version": VERSION, "accept-encoding": "identity"} | ({"x-api-key": key.reveal()} if key else {})
        try:
            async with self._http.stream("POST", self._url, json=body(question), headers=headers) as response:
                if not response.is_success:
                    raise self._refused(question, response, await response.aread(), key)
                return await _read(response, Draft(question.room_bytes))
        except httpx2.HTTPError as error:
            raise dropped(question.provider, error) from None

    def _refused(self, question: Question, response: httpx2.Response, page: bytes, key: Secret | None) -> Failure:
        failure = refusal(response.status_code, code_in(page), response.headers, time.time_ns() // 1_000_000)
        return failure.about_key(question.provider.key, self._key, key)


async def _read(response: httpx2.Response, draft: Draft) -> Answer:
    """An answer of its events. Raises Failure."""
    given: int | None = None
    async for event in _events(response):
        usage = event.get("usage") or {}
        match event.get("type"):
            case "message_start":
                usage = (event.get("message") or {}).get("usage") or {}
                given = sum(usage.get(name) or 0 for name in INPUT) if usage.get("input_tokens") is not None else None
            case "message_delta":
                draft.tokens = taken(given, usage.get("output_tokens"))
                reason = (event.get("delta") or {}).get("stop_reason") or ""
                draft.add({"choices": [{"finish_reason": FINISH.get(reason, reason)}]})
            case "content_block_start" | "content_block_delta":
                draft.add({"choices": [{"delta": _delta(event)}]})
            case "error":
                draft.add(event)
    return draft.answer()


def _delta(event: dict[str, Any]) -> dict[str, Any]:
    """A piece of an answer, as chat completions have it."""
    block = event.get("content_block") or event.get("delta") or {}
    match block.get("type"):
        case "text" | "text_delta":
            return {"content": block.get("text")}
        case "tool_use":
            return {"tool_calls": [{"index": event.get("index"), "id": block.get("id"), "function": {"name": block.get("name")}}]}
        case "input_json_delta":
            return {"tool_calls": [{"index": event.get("index"), "function": {"arguments": block.get("partial_json")}}]}
    return {}


async def _events(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """What comes, as JSON; an answer that is not streamed is none of ours."""
    async for line in response.aiter_lines():
        if not line.startswith("data:"):
            continue
        try:
            yield msgspec.json.decode(line[5:], type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError):
            raise Failure("broken JSON in an answer") from None
