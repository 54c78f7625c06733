"""What a provider is asked and what comes of it, whatever his protocol; openai_chat.py and anthropic_chat.py speak them. Pure."""

import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from mai.agents.models import Provider

ALONE = frozenset({400, 401, 402, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 451})  # the same would be answered again
OF_THE_REQUEST = frozenset({400, 413, 414, 422})  # say nothing about the provider's health
CODE = re.compile(r"[a-z][a-z_.]{0,59}")  # of an error; everything else that providers say of one may quote what was asked
LONGEST_WAIT_MS = 86_400_000
MOST_TOKENS = 10**12
KEY_STATUSES = ("401", "403")


class Reply(msgspec.Struct, frozen=True):
    """What a model says: text for a person, and calls of tools, their arguments as the model wrote them."""

    text: str
    calls: tuple["Called", ...]
    finish: str  # stop, length, tool_calls …


class Called(msgspec.Struct, frozen=True):
    """A model wants a tool to be called."""

    id: str
    name: str
    arguments: str


class Question(NamedTuple):
    """What a model is asked. Texts are JSON, as their blobs have them."""

    provider: Provider
    model: str
    messages: tuple[str, ...]
    tools: str
    schema: str
    output_tokens: int
    temperature: float | None
    seed: int | None


class Post(NamedTuple):
    """One attempt: the bytes that go out, which are on record, and to whom."""

    call: str
    n: int
    provider: Provider
    body: bytes
    room_bytes: int  # of the answer


class Answer(NamedTuple):
    """What came back, and the tokens of input and output, if the provider said."""

    reply: Reply
    tokens: tuple[int, int] | None


class Failure(Exception):
    """Why an attempt has no answer, in words of ours that a journal may hold."""

    def __init__(
        self,
        why: str,
        *,
        again: bool = True,  # may the same be tried again there?
        counts: bool = True,  # as one of the attempts that are allowed there
        sick: bool = True,  # the provider seems to be out of order
        charged: bool = True,  # he may have charged for it
        wait_ms: int = 0,  # he wants to be left alone for so long
        tokens: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(why)
        self.why, self.again, self.counts, self.sick, self.charged = why, again, counts, sick, charged
        self.wait_ms, self.tokens = wait_ms, tokens

    def about_key(self, name: str, read: Callable[[], object], used: object) -> "Failure":
        """If it is about the key: say which one, and try again if it has been replaced since it was read."""
        status = self.why.partition(" ")[0]
        if status in KEY_STATUSES:
            self.why = f"{self.why} with the key of the credential {name}" if name else f"{self.why} without a key"
            self.again = status == KEY_STATUSES[0] and read() != used
        return self


class Asker(Protocol):
    """A provider's protocol."""

    async def ask(self, post: Post) -> Answer:
        """The answer. Raises Failure, CredentialFault."""

    async def aclose(self) -> None:
        """Hang up."""


def refusal(status: int, code: str, headers: Mapping[str, str], now_ms: int) -> Failure:
    """What an HTTP status says. Nothing below 500 can have been charged."""
    why = f"{status} {code}" if CODE.fullmatch(code) else str(status)
    return Failure(
        why,
        again=not (300 <= status < 400 or status in ALONE),
        sick=status not in OF_THE_REQUEST,
        charged=status >= 500,
        wait_ms=retry_after_ms(headers, now_ms),
    )


def retry_after_ms(headers: Mapping[str, str], now_ms: int) -> int:
    """How long the provider wants to be left alone: `Retry-After-ms`, or `Retry-After` in seconds or as a date (RFC 9110)."""
    for name, unit_ms in (("retry-after-ms", 1), ("retry-after", 1000)):
        try:
            return _bounded(float(headers.get(name, "")) * unit_ms)
        except ValueError:
            continue
    try:
        return _bounded(parsedate_to_datetime(headers.get("retry-after", "")).timestamp() * 1000 - now_ms)
    except (ValueError, OverflowError):
        return 0


def _bounded(wait_ms: float) -> int:
    """A day at most; "nan" is no wait."""
    return round(min(wait_ms, LONGEST_WAIT_MS)) if wait_ms > 0 else 0


def code_of(body: Any) -> str:
    """The code of an error, and the parameter that it is about, if they look like such; "" else."""
    error = body.get("error", body) if isinstance(body, dict) else {}
    if not isinstance(error, dict):
        return ""
    code, param, kind = (word if isinstance(word := error.get(name), str) else "" for name in ("code", "param", "type"))
    return ".".join(word for word in (code, param) if CODE.fullmatch(word)) or (kind if CODE.fullmatch(kind) else "")


def code_in(page: bytes) -> str:
    """The same, of a page that may be anything."""
    try:
        return code_of(msgspec.json.decode(page))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
