"""OTLP over HTTP to a collector, in its JSON form: bounded in size and time, tried again where the protocol says so.

Which answers are tried again, and after which wait, is what opentelemetry.io/docs/specs/otlp says: 429, 502, 503, 504, and a
connection that cannot be had or breaks; with Retry-After if it is there, else after twice as long each time, with jitter.
"""

import contextlib
import gzip
import http.client
import os
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from mai.daemon.otlp import Span, payload
from mai.sandbox.errors import MaiError, UsageFault

PATH: Final = "/v1/traces"
ENDPOINT, HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
AGAIN: Final = (429, 502, 503, 504)
TRIES: Final = 6
ANSWER_S: Final = 10.0  # for an answer
SLOWEST: Final = 1.5  # times that, until all of it is there
FIRST_S, LONGEST_S = 0.5, 30.0  # waits between two tries
BATCH_BYTES: Final = 4 << 20  # of one request, before it is compressed; collectors take 20 MiB
BATCH_SPANS: Final = 2000
ANSWER_BYTES: Final = 64 << 10
TEXT: Final = 200  # characters of what a collector says


class Undelivered(MaiError):
    """A collector has not taken what was sent; `lasting`: it will not take it later either."""

    lasting = False


class Delivered(NamedTuple):
    """What became of spans that a collector has taken."""

    spans: int
    rejected: int = 0  # of them
    said: str = ""  # why, in the collector's words


class Collector:
    """Where traces go. `wait`, `clock` (s) and `chance` (0 to 1) are given by tests."""

    def __init__(
        self, url: str, *, answer_s: float = ANSWER_S, wait: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        """Raises UsageFault."""
        self.url = _address(url)
        self._headers, self._answer_s, self._wait, self._chance = _headers(), answer_s, wait, chance

    def send(self, spans: list[Span]) -> Delivered:
        """Send spans, in as many requests as they need. Raises Undelivered; then some may have been taken."""
        rejected, said = 0, ""
        for batch in batches(spans):
            partial = self._deliver(msgspec.json.encode(payload(batch)))
            rejected, said = rejected + partial.rejected, said or partial.said
        return Delivered(len(spans), rejected, said)

    def _deliver(self, data: bytes) -> Delivered:
        body, why = gzip.compress(data, 6, mtime=0), ""
        for number in range(TRIES):
            answer = self._post(body)
            if answer.status == 200:
                return _partial(answer.body)
            why = answer.why or f"status {answer.status}{': ' * bool(answer.said)}{answer.said}"
            if answer.status and answer.status not in AGAIN:
                raise _lasting(f"the collector at {self.name} takes no traces: {why}", _hint(answer.status))
            if number < TRIES - 1:
                self._wait(self._pause_s(number, answer.after_s))
        hint = f"is a collector for OTLP over HTTP there? By default it listens on port 4318, path {PATH}"
        raise Undelivered(f"the collector at {self.name} was not reached in {TRIES} attempts: {why}", hint)

    def _pause_s(self, number: int, after_s: float | None) -> float:
        if after_s is not None:
            return min(after_s, LONGEST_S)
        return float(min(FIRST_S * 2.0**number, LONGEST_S)) * (0.5 + self._chance() / 2)

    @property
    def name(self) -> str:
        """Its address without user and password."""
        return f"{self.url.scheme}://{self.url.netloc.rpartition('@')[2]}{self.url.path}"

    def _post(self, body: bytes) -> "_Answer":
        host, port = self.url.hostname or "", self.url.port
        made = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        connection = made(host, port, timeout=self._answer_s)
        alarm = threading.Timer(self._answer_s * SLOWEST, _cut, (connection,))  # an answer may also come drop by drop
        alarm.daemon = True
        alarm.start()
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", "User-Agent": "mai", **self._headers}
        try:
            path = self.url.path + (f"?{self.url.query}" if self.url.query else "")
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return _Answer(response.status, response.read(ANSWER_BYTES), _after(response.headers.get("Retry-After")))
        except ssl.SSLCertVerificationError as error:
            raise Undelivered(
                f"the certificate of {self.name} does not hold: {error.verify_message}", "see SSL_CERT_FILE"
            ) from None
        except TimeoutError:
            return _Answer(0, b"", why=f"no answer within {self._answer_s:g} s")
        except (OSError, http.client.HTTPException) as error:
            return _Answer(0, b"", why=_words(error))
        finally:
            alarm.cancel()
            connection.close()


class _Answer(NamedTuple):
    status: int  # 0: none
    body: bytes
    after_s: float | None = None
    why: str = ""

    @property
    def said(self) -> str:
        """The message of a google.rpc.Status, or what else it is."""
        try:
            return str(msgspec.json.decode(self.body, type=dict[str, object]).get("message", ""))[:TEXT]
        except msgspec.MsgspecError:
            return "".join(char if char.isprintable() else " " for char in self.body.decode(errors="replace"))[:TEXT].strip()


def _lasting(sentence: str, hint: str) -> Undelivered:
    error = Undelivered(sentence, hint)
    error.lasting = True
    return error


def _cut(connection: http.client.HTTPConnection) -> None:
    """Nobody waits any longer."""
    with contextlib.suppress(OSError, AttributeError):  # it may just have been closed
        connection.sock.shutdown(socket.SHUT_RDWR)


def _partial(body: bytes) -> Delivered:
    try:
        found = msgspec.json.decode(body, type=_Response).partial
    except msgspec.MsgspecError:
        return Delivered(0)  # it was taken; what else is said is no OTLP
    return Delivered(0, int(found.rejected), found.message[:TEXT])


class _Partial(msgspec.Struct):
    rejected: int | str = msgspec.field(name="rejectedSpans", default=0)
    message: str = msgspec.field(name="errorMessage", default="")


class _Response(msgspec.Struct):
    partial: _Partial = msgspec.field(name="partialSuccess", default_factory=_Partial)


def batches(spans: list[Span]) -> Iterator[list[Span]]:
    """Portions that a collector takes."""
    batch, size = list[Span](), 0
    for span in spans:
        own = len(msgspec.json.encode(span.data))
        if batch and (size + own > BATCH_BYTES or len(batch) >= BATCH_SPANS):
            yield batch
            batch, size = [], 0
        batch.append(span)
        size += own
    if batch:
        yield batch


def is_address(where: str) -> bool:
    """Is it a collector's address, and no file?"""
    return "://" in where


def _address(url: str) -> SplitResult:
    """With OTLP's own path, if it has none. Raises UsageFault."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageFault(f"{url!r:.100} is no address: {error}", "write http://HOST:4318") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageFault(f"{url!r:.100} is no address of a collector", "write http://HOST:4318, or the name of a file")
    return parts if parts.path.strip("/") else parts._replace(path=PATH)


def _headers() -> dict[str, str]:
    """Of the environment's OTEL_EXPORTER_OTLP_HEADERS: `name=value,…`, each as in a URL. Raises UsageFault."""
    found = {}
    for pair in filter(None, os.environ.get(HEADERS, "").split(",")):
        name, equals, value = (unquote(part.strip()) for part in pair.partition("="))
        if not equals or not name or not (name + value).isprintable():
            raise UsageFault(f"{HEADERS} is not of the form name=value,name=value", "write signs of another kind as %XX")
        found[name] = value
    return found


def _after(text: str | None) -> float | None:
    """Retry-After in seconds: a number, or a date."""
    if not text:
        return None
    try:
        return max(0.0, float(text) if text.strip().isdecimal() else parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _words(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "there is no host of that name"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _hint(status: int) -> str:
    if status in (401, 403):
        return f"give it what it wants in {HEADERS}: Authorization=Bearer%20…"
    return f"a collector takes OTLP as JSON at {PATH}; give the whole address" if status in (404, 405, 415) else ""


def write(where: str, spans: list[Span]) -> Delivered:
    """Add spans to a file or to standard output (-): a line of JSON for each portion, as OTLP's file exporters do.

    Raises OSError.
    """
    lines = b"".join(msgspec.json.encode(payload(batch)) + b"\n" for batch in batches(spans))
    if where == "-":
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()
        return Delivered(len(spans))
    with Path(where).open("ab") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    return Delivered(len(spans))
