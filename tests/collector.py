"""A collector for OTLP on loopback: takes traces as the protocol's own definitions read them, or answers as it is told."""

import base64
import gzip
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

IDS = ("traceId", "spanId", "parentSpanId")


class Answer(NamedTuple):
    """What it says to one request, instead of taking it."""

    status: int
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b"{}"
    hang: bool = False  # nothing is said at all


def read(data: dict[str, Any]) -> ExportTraceServiceRequest:
    """OTLP's JSON as its message. Raises ParseError for names and types that the definitions do not have.

    Its ids are hexadecimal digits, where protobuf's own JSON has base64; all else is the same.
    """

    def plain(value: Any) -> Any:
        match value:
            case dict():
                return {
                    name: base64.b64encode(bytes.fromhex(one)).decode() if name in IDS else plain(one)
                    for name, one in value.items()
                }
            case list():
                return [plain(one) for one in value]
        return value

    message = ExportTraceServiceRequest()
    json_format.ParseDict(plain(data), message)
    return message


class Collector(ThreadingHTTPServer):
    """Listens; `taken` has what came and was taken, `seen` path and headers of all."""

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.answers, self.taken, self.seen = (
            deque(answers),
            list[ExportTraceServiceRequest](),
            list[tuple[str, dict[str, str]]](),
        )
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self) -> list[Any]:
        """All spans that were taken."""
        return [span for one in self.taken for of in one.resource_spans for scope in of.scope_spans for span in scope.spans]


class _Post(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        answer = self.server.answers.popleft() if self.server.answers else Answer(200)
        if answer.hang:
            self.server.ended.wait(60)
            return
        if answer.status == 200:
            assert self.headers["Content-Type"] == "application/json" and self.headers["Content-Encoding"] == "gzip"
            self.server.taken.append(read(json.loads(gzip.decompress(body))))
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def collecting(*answers: Answer) -> Iterator[Collector]:
    """A collector that gives these answers first."""
    server = Collector(*answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
