"""Providers that speak Anthropic's Messages, over the same connections. What they send is put together as chat completions are.

Source: the API reference of /v1/messages, version 2023-06-01. Only the models process's thread imports this.
"""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import msgspec

from mai.daemon.attempts import Answer, Failure, Post, code_in, refusal
from mai.daemon.chat import Draft, taken
from mai.daemon.credentials import Secret
from mai.daemon.http import dropped

HEADERS = {"anthropic-version": "2023-06-01", "accept-encoding": "identity", "content-type": "application/json"}
FINISH = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class AnthropicChat:
    """One provider; `key()` as in OpenAIChat."""

    def __init__(self, http: httpx2.AsyncClient, url: str, key: Callable[[], Secret | None]) -> None:
        self._http, self._key = http, key
        self._url = url

    async def aclose(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def ask(self, post: Post) -> Answer:
        """One request. Raises Failure, CredentialFault."""
        key = self._key()
        headers = HEADERS | ({"x-api-key": key.reveal()} if key else {})
        try:
            async with self._http.stream("POST", self._url, content=post.body, headers=headers) as response:
                if not response.is_success:
                    raise self._refused(post, response, await response.aread(), key)
                return await _read(response, Draft(post.room_bytes))
        except httpx2.HTTPError as error:
            raise dropped(post.provider, error) from None

    def _refused(self, post: Post, response: httpx2.Response, page: bytes, key: Secret | None) -> Failure:
        failure = refusal(response.status_code, code_in(page), response.headers, time.time_ns() // 1_000_000)
        return failure.about_key(post.provider.key, self._key, key)


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
