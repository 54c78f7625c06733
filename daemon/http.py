"""HTTP to model providers, over the client that the openai SDK brings: bounded, not redirected, not compressed, on tape if asked.

Proxies and certificates are what the environment says (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE …), as with any client of that kind.
"""

import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from mai.agents.models import Provider
from mai.daemon.attempts import Failure
from mai.daemon.overheard import OVERHEARD

WIRE_BYTES = 64 << 20  # of an answer: a streamed word of four bytes comes in a piece of up to 300
ERROR_BYTES = 64 << 10  # of an error page
KEPT_CONNECTIONS = 64
NOT_CHARGED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol, httpx2.ProxyError)


class Bounded(httpx2.AsyncByteStream):
    """An answer's bytes up to a bound, as they are. An error page ends there; with an answer it is too much."""

    def __init__(self, response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream), "an answer to an AsyncClient"
        self._stream, self._error = response.stream, not response.is_success
        self._source = aiter(response.stream)  # one for all: who drains what is left must not hear it from its beginning
        self._heard = OVERHEARD.get()
        self._heard.status = response.status_code
        self._left = ERROR_BYTES if self._error else WIRE_BYTES

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._source:
            self._left -= len(data)
            if self._left < 0 and self._error:
                return
            if self._left < 0:
                raise Failure("an answer that does not end", sick=False)
            self._heard.pieces.append(data)
            yield data

    async def aclose(self) -> None:
        """Hang up."""
        await self._stream.aclose()


def client(provider: Provider, client_name: str) -> httpx2.AsyncClient:
    """The connections to one provider. Raises MaiError if the tape cannot be used."""

    async def same(request: httpx2.Request) -> None:
        if request.content != OVERHEARD.get().body:  # an SDK that makes its own of it
            raise Failure("what would leave is not what is on record", again=False, sick=False, charged=False)

    async def bound(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Failure("a compressed answer, which was not asked for")  # a small one could become a large one
        response.stream = Bounded(response)

    return httpx2.AsyncClient(
        transport=_tape(provider, client_name),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS),
        timeout=timeouts(provider),
        follow_redirects=False,
        trust_env=provider.kind != "local",  # no proxy leads to this host
        event_hooks={"request": [same], "response": [bound]},
    )


def _tape(provider: Provider, client_name: str) -> httpx2.AsyncBaseTransport | None:
    """What MAI_TAPE asks for; None for the client's own way to the network."""
    if not (spec := os.environ.get("MAI_TAPE", "")):
        return None
    from mai.daemon.tape import taped

    return taped(spec, provider.name, client_name, httpx2.AsyncHTTPTransport(proxy=_proxy(provider)))


def _proxy(provider: Provider) -> str | None:
    """The proxy that the environment names for a provider: a transport of ours is not told."""
    parts = urlsplit(provider.url)
    if provider.kind == "local" or not parts.hostname or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def timeouts(provider: Provider) -> httpx2.Timeout:
    """How long to wait for a connection, and for each next piece."""
    return httpx2.Timeout(provider.silence_s, connect=provider.connect_s, pool=None)


def dropped(provider: Provider, error: httpx2.HTTPError) -> Failure:
    """What the network says. Who was never reached has charged nothing."""
    charged = not isinstance(error, NOT_CHARGED)
    if isinstance(error, httpx2.ConnectTimeout):
        return Failure(f"not reached within {provider.connect_s:g} s", charged=charged)
    if isinstance(error, httpx2.TimeoutException):
        return Failure(f"silent for {provider.silence_s:g} s", charged=charged)
    return Failure("the connection broke" if charged else "not reached", charged=charged)
