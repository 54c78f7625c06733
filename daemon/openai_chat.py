"""Providers that speak OpenAI's chat completions, asked through the openai SDK. Only the models process's thread imports this.

The SDK's own retries are off: when and where is tried again is decided in calls.py, and journaled.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import httpx2
import msgspec
import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from mai.agents.models import Provider
from mai.daemon.attempts import Answer, Failure, Post, code_of, refusal
from mai.daemon.chat import Draft
from mai.daemon.credentials import Secret
from mai.daemon.http import dropped, timeouts

PATH = "/chat/completions"
HEADERS = {
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "X-Stainless-Raw-Response": "stream",  # to the SDK: give the answer as it comes
}


class OpenAIChat:
    """One provider. `key()` is his credential as it is now, None if he wants none; raises CredentialFault."""

    def __init__(self, http: httpx2.AsyncClient, url: str, key: Callable[[], Secret | None]) -> None:
        self._http, self._url, self._key = http, url, key

    async def aclose(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def ask(self, post: Post) -> Answer:
        """One request. Raises Failure, CredentialFault."""
        key = self._key()
        try:
            return await self._ask(post, key)
        except openai.APIStatusError as error:
            raise self._refused(post, error, key) from None
        except openai.APIError as error:
            raise _fault(post.provider, error) from None
        except httpx2.HTTPError as error:
            raise dropped(post.provider, error) from None

    async def _ask(self, post: Post, key: Secret | None) -> Answer:
        provider = post.provider
        headers: dict[str, Any] = {**HEADERS, **({} if key else {"Authorization": openai.Omit()})}
        sdk = openai.AsyncOpenAI(
            api_key=key.reveal() if key else "none", base_url=self._url, http_client=self._http, max_retries=0,
            timeout=timeouts(provider),
        )  # fmt: skip
        draft = Draft(post.room_bytes)
        given: Any = {"content": post.body, "options": {"headers": headers}, "cast_to": ChatCompletion}
        given |= {"stream": True, "stream_cls": openai.AsyncStream[ChatCompletionChunk]} if provider.stream else {}
        response: Any = await sdk.post(PATH, **given)  # the bytes that are on record, and none that the SDK would make of them
        try:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if "html" in kind:
                raise Failure("a page of HTML instead of an answer")
            if kind == "application/json" or not provider.stream:
                draft.add(_json(await response.read()), whole=True)
            else:
                async with aclosing(_pieces(await response.parse())) as pieces:
                    async for piece in pieces:
                        draft.add(piece)
        finally:
            await response.close()
        return draft.answer()

    def _refused(self, post: Post, error: openai.APIStatusError, key: Secret | None) -> Failure:
        """What a status says; 401 also that the key may have been replaced since it was read."""
        now_ms = time.time_ns() // 1_000_000
        failure = refusal(error.status_code, code_of(error.body), error.response.headers, now_ms)
        return failure.about_key(post.provider.key, self._key, key)


async def _pieces(stream: Any) -> AsyncGenerator[Any]:
    """The pieces of an answer as JSON has them."""
    try:
        async for piece in stream:
            yield piece.to_dict(mode="python", exclude_unset=True, warnings=False) if hasattr(piece, "to_dict") else piece
    except ValueError:
        raise Failure("broken JSON in an answer") from None


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Failure("broken JSON instead of an answer") from None


def _fault(provider: Provider, error: openai.APIError) -> Failure:
    """What went wrong before, or in, an answer."""
    cause = error.__cause__
    if isinstance(cause, Failure):
        return cause
    if isinstance(cause, httpx2.HTTPError):
        return dropped(provider, cause)
    if isinstance(error, openai.APIConnectionError):
        return Failure("the connection broke")
    return Failure(f"an error instead of an answer: {code_of(error.body) or 'without a code'}")
