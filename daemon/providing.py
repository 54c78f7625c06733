"""The thread in which providers are asked: an event loop of asyncio with one task for each attempt.

The process gives it questions and is woken when one is over; nothing else crosses. Whatever goes wrong with an attempt
is a `Failure` of that attempt. The SDK is imported here, after the process is ready: that takes most of a second.
"""

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from mai.agents.models import Provider
from mai.daemon import posting
from mai.daemon.attempts import Answer, Asker, Called, Failure, Post, Reply
from mai.daemon.credentials import Credentials, Secret
from mai.daemon.overheard import OVERHEARD, Overheard
from mai.sandbox.errors import MaiError

STOP_S = 2.0  # for connections to be closed when the process ends
LOCAL_WAIT_MS = 1000  # between two looks for the local model
NO_SDK = "the package openai is missing: pip install 'mai-company[models]'"
_encoder = msgspec.json.Encoder(order="deterministic")


class Ended(NamedTuple):
    """An attempt is over: with a text, as JSON, or with a failure."""

    call: str
    n: int
    text: str
    tokens: tuple[int, int] | None
    failure: Failure | None
    status: int = 0  # of HTTP; 0: no answer came
    raw: bytes = b""  # what came, as far as it did, without keys
    size: int = 0  # of what came
    masked: bool = False  # a key stood in it


class Providing:
    """`begin` and `cancel` attempts; `fileno()` gets readable when some are `ended()`."""

    def __init__(self, client: str, run: Path, credentials: Credentials) -> None:
        self._client, self._run, self._credentials = client, run, credentials
        self._askers: dict[Provider, Asker] = {}
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._ended: deque[Ended] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="providing", daemon=True)

    # -- what the process calls
    def start(self) -> None:
        """Begin to work, once; what was given before waits until then."""
        if not self._thread.ident:
            self._thread.start()

    def begin(self, post: Post) -> None:
        """Ask a provider."""
        self._loop.call_soon_threadsafe(self._begin, post)

    def cancel(self, call: str, n: int) -> None:
        """Stop asking; the attempt may have ended just before."""
        self._loop.call_soon_threadsafe(self._cancel, (call, n))

    def fileno(self) -> int:
        """To poll for reading."""
        return self._wake

    def ended(self) -> list[Ended]:
        """What is over since the last time."""
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return []
        return [self._ended.popleft() for _ in range(len(self._ended))]

    def close(self) -> None:
        """Stop asking, hang up."""
        if self._thread.ident:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
        else:
            self._loop.close()
        os.close(self._wake)

    # -- in the thread
    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.suppress(ImportError):  # each attempt says so
            import mai.daemon.openai_chat  # noqa: F401  now, while there is nothing to do
        self._loop.run_forever()
        self._loop.run_until_complete(self._hang_up())
        self._loop.close()

    async def _hang_up(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), *(one.aclose() for one in self._askers.values()), return_exceptions=True)

    def _begin(self, post: Post) -> None:
        key = (post.call, post.n)
        task = self._tasks[key] = self._loop.create_task(self._attempt(post))
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    def _cancel(self, key: tuple[str, int]) -> None:
        if task := self._tasks.get(key):
            task.cancel()

    async def _attempt(self, post: Post) -> None:
        text, tokens, failure, heard = "", None, None, Overheard(post.body)
        OVERHEARD.set(heard)
        try:
            answer = await self._asker(post.provider).ask(post)
            text, tokens = self._text(answer, post.room_bytes), answer.tokens
        except Failure as fault:
            failure = fault
        except ImportError:
            failure = Failure(NO_SDK, again=False, charged=False)
        except MaiError as fault:
            failure = Failure(fault.sentence, again=False, charged=False)
        except Exception as fault:
            failure = Failure(f"an answer that could not be understood ({type(fault).__name__})")
        if failure:
            failure.why = self._credentials.scrub(failure.why)
        whole = b"".join(heard.pieces)
        raw = self._credentials.mask(whole)
        self._ended.append(Ended(post.call, post.n, text, tokens, failure, heard.status, raw, len(whole), raw != whole))
        os.eventfd_write(self._wake, 1)

    def _text(self, answer: Answer, room_bytes: int) -> str:
        """An answer as its blob has it. Raises Failure if it is too large."""
        reply, clean = answer.reply, self._clean
        calls = tuple(Called(clean(call.id), clean(call.name), clean(call.arguments)) for call in reply.calls)
        data = _encoder.encode(Reply(clean(reply.text), calls, clean(reply.finish)))
        if len(data) > room_bytes:
            raise Failure(f"an answer of more than {room_bytes} bytes", again=False, sick=False, tokens=answer.tokens)
        return data.decode()

    def _clean(self, text: str) -> str:
        """No key that a provider sends back, and no half of a character."""
        return self._credentials.scrub(text.encode(errors="replace").decode())

    def _asker(self, provider: Provider) -> Asker:
        """A provider's protocol, with its connections. Raises ImportError, MaiError."""
        if provider not in self._askers:
            self._askers[provider] = self._make(provider)
        return self._askers[provider]

    def _make(self, provider: Provider) -> Asker:
        from mai.daemon.http import client
        from mai.daemon.openai_chat import OpenAIChat

        def key() -> Secret | None:
            played = os.environ.get("MAI_TAPE", "").startswith("play:")  # asks nobody, and so needs no key
            if not provider.key or played or (here(provider.url) and not self._credentials.has(provider.key)):
                return None
            return self._credentials.read(provider.key)

        http = client(provider, self._client)
        if provider.kind == "local":
            return Local(self._run / "local-model.json", self._credentials, lambda url, key: OpenAIChat(http, url, key))
        if provider.kind == "anthropic":
            from mai.daemon.anthropic_chat import AnthropicChat

            return AnthropicChat(http, posting.url(provider), key)
        return OpenAIChat(http, provider.url, key)


def here(url: str) -> bool:
    """Is it an address of this host? What runs there seldom wants a key."""
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")


class Address(msgspec.Struct, frozen=True):
    """Where the host's own model listens."""

    url: str
    key: str


class Local:
    """The host's own model. It may still be loading, or be started again elsewhere: it is looked for at each attempt."""

    def __init__(self, told: Path, credentials: Credentials, make: Callable[[str, Callable[[], Secret | None]], Asker]) -> None:
        self._told, self._credentials, self._make = told, credentials, make
        self._asker: tuple[Address, Asker] | None = None

    async def ask(self, post: Post) -> Answer:
        """As the protocol says."""
        try:
            address = msgspec.json.decode(self._told.read_bytes(), type=Address)
        except (OSError, msgspec.MsgspecError):
            raise self._away() from None
        if self._asker is None or self._asker[0] != address:
            secret = self._credentials.know(address.key)
            self._asker = (address, self._make(address.url, lambda: secret))
        try:
            return await self._asker[1].ask(post)
        except Failure as failure:
            if failure.why.startswith("not reached"):
                raise self._away() from None
            raise

    def _away(self) -> Failure:
        """Waited for until the deadline: it has no fallback that is nearer."""
        why = "the local model is not there yet"
        return Failure(why, counts=False, sick=False, charged=False, wait_ms=LOCAL_WAIT_MS)

    async def aclose(self) -> None:
        """Hang up."""
        if self._asker:
            await self._asker[1].aclose()
