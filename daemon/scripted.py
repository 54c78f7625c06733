"""The scripted provider: a server on loopback that speaks OpenAI's and Anthropic's protocols and plays a script.

    GET  /health                 no key needed
    GET  /v1/models              the script's, or `scripted`
    POST /v1/chat/completions    OpenAI
    POST /v1/messages            Anthropic
    GET  /book                   what was asked and answered, to the token

What is answered says `script.py`. Tokens are counted, not estimated: one for each four bytes, of the canonical JSON of
messages, tools and response format, and of the answer's text and calls. Tests run it in a thread of their own with `running()`.
"""

import asyncio
import contextlib
import hmac
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from email.utils import formatdate
from time import time
from typing import Any, Final, TypeVar

import msgspec

from mai.daemon import anthropic_form, openai_form
from mai.daemon.heard import CLOSED, HEAD_BYTES, Heard, TooMuch, hear, listed
from mai.daemon.saying import BadRequest, Said, said
from mai.daemon.script import Cue, Prompt, Prompter, RetryAfter, Script, as_json, checked, load
from mai.sandbox.errors import UsageFault

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CONNECTIONS: Final = 1000
REMEMBERED: Final = 100_000  # digests in the book; older ones are forgotten
READY_S: Final = 30.0
ERRORS: Final = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}
CODES: Final = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded"}
Json = dict[str, Any]
T = TypeVar("T")


class Book:
    """What was asked and answered. An answer is booked just before its last byte leaves."""

    def __init__(self) -> None:
        self.requests = self.answered = self.input_tokens = self.output_tokens = 0
        self.faults: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()  # "none" where nothing was sent
        self.calls: dict[str, int] = {}  # digest of a request -> how often it was answered whole

    def answer(self, prompt: Prompt, answer: Said) -> None:
        """Book a whole answer."""
        self.answered += 1
        self.input_tokens += answer.input_tokens
        self.output_tokens += answer.output_tokens
        self.calls[prompt.digest] = self.calls.get(prompt.digest, 0) + 1
        if len(self.calls) > REMEMBERED:
            del self.calls[next(iter(self.calls))]

    def as_json(self) -> Json:
        """A copy to be shown."""
        figures = {name: getattr(self, name) for name in ("requests", "answered", "input_tokens", "output_tokens")}
        return {**figures, "faults": dict(self.faults), "statuses": dict(self.statuses), "calls": dict(self.calls)}


class Provider:
    """The server, in an event loop. `log` gets a line for each request; `kept` bodies of requests are remembered in `heard`."""

    def __init__(
        self,
        script: Script,
        *,
        key: str = "",
        seed: int | None = None,
        log: Callable[[str], None] = lambda line: None,
        kept: int = 0,
    ) -> None:
        self.book = Book()
        self.heard: deque[Json] = deque(maxlen=kept)
        self.port = 0
        self._prompter, self._key, self._log = Prompter(checked(script), seed), key, log
        self._talks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; 0 is any free port. Raises UsageFault."""
        try:
            self._server = await asyncio.start_server(self._talk, "127.0.0.1", port, backlog=CONNECTIONS, limit=HEAD_BYTES)
        except OSError as error:
            raise UsageFault(f"port {port} cannot be used: {error.strerror}", "name another with --port") from None
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """For OpenAI's clients; Anthropic's want it without the `/v1`."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def stop(self) -> None:
        """Hang up on everybody."""
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        task = asyncio.current_task()
        assert task, "start_server makes one for each connection"
        self._talks.add(task)
        try:
            going_on = len(self._talks) <= CONNECTIONS
            while going_on and (heard := await hear(reader, writer)):
                going_on = await Turn(self, heard, reader, writer).take()
        except TooMuch as fault:
            writer.write(listed(fault.status, {"Connection": "close", "Content-Length": "0"}))
        except CLOSED:
            pass
        except asyncio.CancelledError:
            pass  # only stop() does that, and waits for us
        finally:
            self._talks.discard(task)
            writer.close()

    def may(self, heard: Heard) -> bool:
        """Does it bring the key, if there is one?"""
        brought = heard.headers.get("x-api-key") or heard.headers.get("authorization", "").removeprefix("Bearer ")
        return not self._key or hmac.compare_digest(brought.encode(), self._key.encode())

    def cue(self, prompt: Prompt) -> tuple[Cue, RetryAfter | None]:
        """What is played for a request, and when a refused one may come again."""
        cue = self._prompter.cue(prompt)
        return cue, self._prompter.retry_after(cue)

    def models(self) -> tuple[str, ...]:
        """The models that exist."""
        return self._prompter.script.models or ("scripted",)

    def knows(self, model: str) -> bool:
        """Does a model exist? All do, unless the script lists them."""
        return not self._prompter.script.models or model in self._prompter.script.models

    def note(self, line: str) -> None:
        """Tell whoever looks on."""
        self._log(line)


class Turn:
    """One request and its answer."""

    def __init__(self, provider: Provider, heard: Heard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._provider, self._heard, self._reader, self._writer = provider, heard, reader, writer
        self._anthropic = heard.path == MESSAGES
        self._asks = heard.method == "POST" and heard.path in (CHAT, MESSAGES)
        self._note = ""

    async def take(self) -> bool:
        """Answer; true if the connection may go on."""
        book = self._provider.book
        book.requests += self._asks
        try:
            going_on = await self._answer()
        except BadRequest as bad:
            going_on = await self._refuse(bad.status, bad.message, bad.code, bad.kind)
        self._provider.note(f"{self._heard.method} {self._heard.path}{self._note}")
        return going_on and self._heard.again

    async def _answer(self) -> bool:
        provider, route = self._provider, (self._heard.method, self._heard.path)
        if route == ("GET", "/health"):
            return await self._send(200, {"status": "ok"})
        if not provider.may(self._heard):
            raise BadRequest("Incorrect API key provided.", 401, "invalid_api_key")
        if route == ("GET", "/v1/models"):
            return await self._send(200, openai_form.models(provider.models()))
        if route == ("GET", "/book"):
            return await self._send(200, provider.book.as_json())
        if not self._asks:
            known = self._heard.path in (CHAT, MESSAGES, "/v1/models", "/book", "/health")
            raise BadRequest(f"Invalid URL ({' '.join(route)})", 405 if known else 404)
        return await self._play(self._prompt())

    def _prompt(self) -> Prompt:
        try:
            body = msgspec.json.decode(self._heard.body)
        except (msgspec.DecodeError, RecursionError):
            raise BadRequest("We could not parse the JSON body of your request.") from None
        self._provider.heard.append(body)
        read = anthropic_form.prompt_of if self._anthropic else openai_form.prompt_of
        try:
            prompt = read(body)
        except (AttributeError, KeyError, TypeError, ValueError):  # a table where a list should be, and the like
            raise BadRequest("The body of your request does not have the shape that the API reference says.") from None
        if not self._provider.knows(prompt.model):
            raise BadRequest(f"The model `{prompt.model}` does not exist", 404, "model_not_found")
        return prompt

    async def _play(self, prompt: Prompt) -> bool:
        cue, retry_after = self._provider.cue(prompt)
        answer = said(cue, prompt)
        self._note = f" {prompt.model} rule {cue.number or '–'} attempt {cue.attempt} {cue.fault}".rstrip()  # noqa: RUF001
        if cue.fault:
            self._provider.book.faults[cue.fault] += 1
        await asyncio.sleep(cue.rule.delay_ms / 1000)
        if cue.fault.isdigit():
            return await self._refuse(int(cue.fault), "the script says so", "", "", retry_after)
        if cue.fault in ("hang", "drop"):
            self._book("none")
            return await self._leave(wait=cue.fault == "hang")
        if cue.fault == "type":
            return await self._send(200, "<html><body>Bad gateway</body></html>", {"Content-Type": "text/html"})
        if cue.fault == "garbage":
            return await self._send(200, "data: {oh\n\n" if prompt.stream else '{"oh', self._headers(prompt.stream))
        if prompt.stream:
            return await self._stream(prompt, cue, answer)
        return await self._whole(prompt, cue, answer)

    async def _whole(self, prompt: Prompt, cue: Cue, answer: Said) -> bool:
        form = anthropic_form.message if self._anthropic else openai_form.completion
        data = as_json(form(prompt, answer, cue.attempt, cue.fault)).encode()
        self._book(200)
        self._writer.write(listed(200, {**self._headers(False), "Content-Length": str(len(data))}))
        if cue.fault in ("cut", "half", "stall"):
            self._writer.write(data[: 0 if cue.fault == "cut" else len(data) // 2])
            return await self._leave(wait=cue.fault == "stall")
        self._booked(prompt, answer)
        self._writer.write(data)
        await self._writer.drain()
        return True

    async def _stream(self, prompt: Prompt, cue: Cue, answer: Said) -> bool:
        piece = max(cue.rule.piece, len(answer.text) // 1000)
        events = list(self._events(prompt, cue, answer, piece))
        self._book(200)
        self._writer.write(listed(200, {**self._headers(True), "Transfer-Encoding": "chunked"}))
        broken_off = {"cut": 0, "half": len(events) // 2, "stall": len(events) // 2}.get(cue.fault)
        for number, event in enumerate(events[:broken_off]):
            if number:
                await asyncio.sleep(cue.rule.pause_ms / 1000)
            if number == len(events) - 1:
                self._booked(prompt, answer)
            data = event.encode()
            self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await self._writer.drain()
        if broken_off is not None:
            return await self._leave(wait=cue.fault == "stall")
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()
        return True

    def _events(self, prompt: Prompt, cue: Cue, answer: Said, piece: int) -> Iterator[str]:
        if self._anthropic:
            for event in anthropic_form.events(prompt, answer, cue.attempt, cue.fault, piece):
                yield f"event: {event['type']}\ndata: {as_json(event)}\n\n"
            return
        for chunk in openai_form.chunks(prompt, answer, cue.attempt, cue.fault, piece):
            yield f"data: {as_json(chunk)}\n\n"
        yield "data: [DONE]\n\n"

    def _booked(self, prompt: Prompt, answer: Said) -> None:
        if not self._reader.at_eof():
            self._provider.book.answer(prompt, answer)
            self._note += f" {answer.input_tokens}+{answer.output_tokens} tokens"

    def _book(self, status: int | str) -> None:
        if self._asks:
            self._provider.book.statuses[str(status)] += 1
        self._note += f" {status}"

    def _headers(self, stream: bool) -> dict[str, str]:
        kind = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        return kind if stream else {"Content-Type": "application/json"}

    async def _send(self, status: int, body: Json | str, more: dict[str, str] | None = None) -> bool:
        data = (body if isinstance(body, str) else as_json(body)).encode()
        self._book(status)
        self._writer.write(listed(status, {**self._headers(False), **(more or {}), "Content-Length": str(len(data))}) + data)
        await self._writer.drain()
        return True

    async def _refuse(self, status: int, message: str, code: str, kind: str, again: RetryAfter | None = None) -> bool:
        told = kind or ERRORS.get(status, "server_error" if status >= 500 else "invalid_request_error")
        if self._anthropic:
            body = anthropic_form.error(message, ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error"))
        else:
            body = openai_form.error(message, told, code or CODES.get(status, ""))
        return await self._send(status, body, again_headers(again, time()) if again and status in (429, 503, 529) else {})

    async def _leave(self, wait: bool) -> bool:
        """Break off here; with `wait` only when the caller has gone."""
        await self._writer.drain()
        if wait:
            await self._reader.read(1)
        return False


def again_headers(again: RetryAfter, now_s: float) -> dict[str, str]:
    """When to come again, as headers."""
    return {
        **({"Retry-After": f"{again.seconds:g}"} if again.seconds is not None else {}),
        **({"Retry-After": formatdate(now_s + again.date, usegmt=True)} if again.date is not None else {}),
        **({"retry-after-ms": str(again.ms)} if again.ms is not None else {}),
    }


class Running:
    """A provider that runs in a thread; its methods may be called from any other."""

    def __init__(self, provider: Provider, loop: asyncio.AbstractEventLoop) -> None:
        self.url = provider.url
        self._provider, self._loop = provider, loop

    def book(self) -> Json:
        """What was asked and answered until now."""
        return self._inside(self._provider.book.as_json)

    def heard(self) -> list[Json]:
        """The bodies of the requests until now, oldest first."""
        return self._inside(lambda: list(self._provider.heard))

    def _inside(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(READY_S)


@contextlib.contextmanager
def running(
    script: Script | str | None = None, *, key: str = "", seed: int | None = None, port: int = 0, kept: int = 10_000
) -> Iterator[Running]:
    """A provider in a thread of its own, ended afterwards. `script`: as TOML, or a Script; None invents everything."""
    played = load(script) if isinstance(script, str) else script or Script()
    provider = Provider(played, key=key, seed=seed, kept=kept)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="scripted provider", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(provider.start(port), loop).result(READY_S)
        yield Running(provider, loop)
        asyncio.run_coroutine_threadsafe(provider.stop(), loop).result(READY_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(READY_S)
        loop.close()
