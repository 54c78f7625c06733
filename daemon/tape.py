"""What the models process and its providers say to each other, recorded and played: below the clients, above the sockets.

Recording, each exchange is on the disk before the client has the last of it. Playing, there is no network: the n-th same request
gets the n-th answer, the last one repeats. Only the models process imports this: httpx2 is what its client, the openai SDK, uses.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx2
import msgspec

from mai.daemon.exchange import ENDING, KEPT_HEADERS, Exchange, Writer, asked, data_of, masked, piece, read
from mai.sandbox.errors import MaiError, UsageFault

LEFT: Final = "ReadTimeout"  # an exchange that the client gave up is, when it is played, one in which nothing came any more
CODED: Final = ("content-encoding", "content-length", "transfer-encoding")  # the body is passed on decoded
NOT_ON_TAPE: Final = 404  # no client tries that again
HEADERS_OF_KEYS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")

_writers: dict[Path, Writer] = {}  # of this process: its providers share its client's file


def taped(spec: str, provider: str, client: str, real: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncBaseTransport:
    """The transport to a provider that MAI_TAPE asks for: `record:DIRECTORY` or `play:DIRECTORY`; none given, the real one.

    `real` is what recording forwards to. Each client has a file of its own in the directory. Raises MaiError.
    """
    do, _, directory = spec.partition(":")
    path = Path(directory) / f"{client}{ENDING}"
    if do == "record" and directory:
        writer = _writers[path] = _writers.get(path) or Writer(path)
        return Recording(writer, provider, real or httpx2.AsyncHTTPTransport())
    if do == "play" and directory:
        return Playing(path, provider)
    if spec:
        raise UsageFault(f"MAI_TAPE is {spec!r:.80}", "it is record:DIRECTORY or play:DIRECTORY")
    return real or httpx2.AsyncHTTPTransport()


class Recording(httpx2.AsyncBaseTransport):
    """Forwards, and writes down what came."""

    def __init__(self, writer: Writer, provider: str, real: httpx2.AsyncBaseTransport) -> None:
        self._writer, self._provider, self._real = writer, provider, real
        self._closed = False
        writer.users += 1

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Ask the real provider; an error before the answer is recorded too."""
        digest, body = asked(await request.aread())
        secrets = [word for name in HEADERS_OF_KEYS for word in request.headers.get(name, "").split()]
        scrubbed = msgspec.json.decode(masked([msgspec.json.encode(body)], secrets)[0])
        exchange = Exchange(
            provider=self._provider, method=request.method, path=request.url.path, digest=digest, request=scrubbed, status=0
        )
        request.headers["accept-encoding"] = "identity"
        try:
            response = await self._real.handle_async_request(request)
        except httpx2.TransportError as error:
            self._writer.write(_broken_off(exchange, error, secrets))
            raise
        except asyncio.CancelledError:
            self._writer.write(msgspec.structs.replace(exchange, error=LEFT, sentence="the client gave up"))
            raise
        headers = {name: masked([value.encode()], secrets)[0].decode() for name, value in response.headers.items()}
        kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS}
        started = msgspec.structs.replace(exchange, status=response.status_code, headers=kept)
        stream = Recorded(self._writer, started, response, secrets)
        passed = [(name, value) for name, value in response.headers.multi_items() if name not in CODED]
        return httpx2.Response(response.status_code, headers=passed, stream=stream, extensions=response.extensions)

    async def aclose(self) -> None:
        """Close the real one; the last who uses the file lets it go."""
        if self._closed:
            return
        self._closed = True
        self._writer.users -= 1
        if not self._writer.users:
            _writers.pop(self._writer.path).close()
        await self._real.aclose()


class Recorded(httpx2.AsyncByteStream):
    """An answer on its way. It is one piece behind, so that it is on the disk before its end is told."""

    def __init__(self, writer: Writer, exchange: Exchange, response: httpx2.Response, secrets: list[str]) -> None:
        self._writer, self._exchange, self._response, self._secrets = writer, exchange, response, secrets
        self._pieces: list[bytes] = []
        self._written = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        source = self._response.aiter_bytes()
        while True:
            try:
                came = await anext(source, None)
            except httpx2.HTTPError as error:
                self._write(error)
                if self._pieces:
                    yield self._pieces[-1]
                raise
            if came is None:
                break
            if came:
                self._pieces.append(came)
                if len(self._pieces) > 1:
                    yield self._pieces[-2]
        self._write()
        if self._pieces:
            yield self._pieces[-1]

    def _write(self, error: Exception | None = None, left: bool = False) -> None:
        if self._written:
            return
        self._written = True
        kept = tuple(piece(one) for one in masked(self._pieces, self._secrets))
        exchange = msgspec.structs.replace(self._exchange, pieces=kept)
        if left:
            exchange = msgspec.structs.replace(exchange, error=LEFT, sentence="the client gave up")
        self._writer.write(_broken_off(exchange, error, self._secrets) if error else exchange)

    async def aclose(self) -> None:
        """The client wants no more: if it has not ended, what came until now is the record."""
        try:
            await self._response.aclose()
        finally:
            self._write(left=True)


def _broken_off(exchange: Exchange, error: Exception, secrets: list[str]) -> Exchange:
    sentence = masked([str(error).encode()], secrets)[0].decode(errors="replace")  # h11 quotes a header that it finds wrong
    return msgspec.structs.replace(exchange, error=type(error).__name__, sentence=sentence[:200])


class Playing(httpx2.AsyncBaseTransport):
    """Answers from a tape."""

    def __init__(self, path: Path, provider: str) -> None:
        if not path.exists():
            raise UsageFault(f"there is no tape {path}", "record one with: mai record FILE TAPE")
        self._path = path
        self._exchanges: dict[tuple[str, str, str], list[Exchange]] = {}
        for exchange in read(path):
            if exchange.provider == provider:
                self._exchanges.setdefault(exchange.key, []).append(exchange)
        self._played: dict[tuple[str, str, str], int] = {}
        self._provider = provider

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The next answer to this request. What is not on the tape is answered with 404 and a sentence that says so."""
        digest, _ = asked(await request.aread())
        key = (self._provider, f"{request.method} {request.url.path}", digest)
        known = self._exchanges.get(key)
        if not known:
            return self._unknown(request, digest)
        number = self._played[key] = self._played.get(key, 0) + 1
        exchange = known[min(number, len(known)) - 1]
        if not exchange.status:
            raise _raised(exchange)
        return httpx2.Response(exchange.status, headers=exchange.headers, stream=Played(exchange))

    def _unknown(self, request: httpx2.Request, digest: str) -> httpx2.Response:
        sentence = (
            f"{request.method} {request.url.path} to {self._provider} is not on the tape {self._path.name} (body {digest[:12]})"
        )
        error = {"message": sentence, "type": "not_on_the_tape", "param": None, "code": "not_on_the_tape"}
        headers = {"content-type": "application/json", "x-should-retry": "false"}
        return httpx2.Response(NOT_ON_TAPE, headers=headers, stream=httpx2.ByteStream(msgspec.json.encode({"error": error})))


class Played(httpx2.AsyncByteStream):
    """A recorded answer, piece by piece, and its end."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for one in self._exchange.pieces:
            yield data_of(one)
        if self._exchange.error:
            raise _raised(self._exchange)


def _raised(exchange: Exchange) -> Exception:
    kind = getattr(httpx2, exchange.error, None)
    if isinstance(kind, type) and issubclass(kind, httpx2.TransportError):
        return kind(exchange.sentence)
    if isinstance(kind, type) and issubclass(kind, httpx2.RequestError):
        return httpx2.ReadError(exchange.sentence)
    return MaiError(f"the tape names an error that is none: {exchange.error!r:.40}", "record it anew")
