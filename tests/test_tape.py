"""A tape: what providers answered is played byte for byte, breaks and all, and never holds a key."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.daemon.exchange import Exchange, Writer, asked, data_of, masked, piece, read, tapes
from mai.daemon.scripted import Running, running
from mai.daemon.tape import taped
from mai.sandbox.errors import UsageFault
from tests.small import PATIENCE_S

KEY = "sk-of-the-tests-0123456789"
HELLO: Any = [{"role": "user", "content": "hello"}]
OTHER: Any = [{"role": "user", "content": "other"}]
NOWHERE = "http://127.0.0.1:9/v1"  # what is played asks nobody


class Given(httpx2.AsyncBaseTransport):
    """A provider that answers with these pieces."""

    def __init__(
        self, *pieces: bytes, error: Exception | None = None, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.pieces, self.error, self.status, self.headers = pieces, error, status, headers or {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The same each time."""
        if not self.status:
            raise self.error or AssertionError
        return httpx2.Response(self.status, headers=self.headers, stream=GivenBody(self))


class GivenBody(httpx2.AsyncByteStream):
    """The pieces, then the error."""

    def __init__(self, of: Given) -> None:
        self.of = of

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for one in self.of.pieces:
            yield one
        if self.of.error:
            raise self.of.error


async def fetch(
    transport: httpx2.AsyncBaseTransport, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], list[bytes], str]:
    """Status, headers, pieces of one exchange, and the error with which it broke off."""
    pieces = []
    async with httpx2.AsyncClient(transport=transport) as client:
        try:
            async with client.stream("POST", f"{NOWHERE}/chat/completions", json=body or {"a": 1}, headers=headers) as answer:
                async for one in answer.aiter_raw():
                    pieces.append(one)
            return answer.status_code, dict(answer.headers), pieces, ""
        except httpx2.TransportError as error:
            return 0, {}, pieces, type(error).__name__


def through(tape: Path, real: httpx2.AsyncBaseTransport | None, body: Any = None, **headers: str) -> Any:
    """One exchange, recorded if there is a provider, else played."""
    return asyncio.run(fetch(taped(f"{'record' if real else 'play'}:{tape}", "main", "acme", real), body, **headers))


async def talk(spec: str, url: str, stream: bool) -> list[Any]:
    """What OpenAI's client gets for some requests, errors among them."""
    found: list[Any] = []
    http = openai.DefaultAsyncHttpxClient(transport=taped(spec, "main", "acme"))
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=PATIENCE_S, http_client=http) as client:
        for messages in (HELLO, HELLO, OTHER, HELLO, HELLO, OTHER):
            try:
                answer: Any = await client.chat.completions.create(model="m", messages=messages, stream=stream)
                found += [chunk.model_dump() async for chunk in answer] if stream else [answer.model_dump()]
            except (openai.APIError, httpx2.TransportError) as error:
                found.append((type(error).__name__, getattr(error, "status_code", None), getattr(error, "body", None)))
    return found


RULES = """
[[rules]]
user = "hello"
nth = [1]
fault = "429"
[[rules]]
user = "hello"
nth = [2]
text = "second"
[[rules]]
user = "other"
nth = [1]
fault = "half"
[[rules]]
user = "hello"
nth = [3]
fault = "drop"
[[rules]]
text = "éé 你好"
piece = 1
"""


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_recorded_is_played(tmp_path: Path, stream: bool) -> None:
    """OpenAI's client gets the same answers and the same errors in the same order, without any server."""
    tape = tmp_path / "tape"
    with running(RULES, key=KEY) as server:
        recorded = asyncio.run(talk(f"record:{tape}", server.url, stream))
        assert server.book()["requests"] == 6
    assert asyncio.run(talk(f"play:{tape}", NOWHERE, stream)) == recorded
    errors = [one[0] for one in recorded if isinstance(one, tuple)]
    assert errors[0] == "RateLimitError" and len(errors) == 3
    assert KEY not in (tape / "acme.jsonl").read_text()


def test_the_bytes_and_their_borders_are_played(tmp_path: Path) -> None:
    """Pieces that are no text by themselves, empty bodies, many pieces, statuses."""
    for number, given_ in enumerate(
        [
            Given(b"one", b"two", b"\xff\x00", "é".encode()[:1], "é".encode()[1:]),
            Given(),
            Given(*[bytes([number]) for number in range(256)]),
            Given(b"{}", status=503, headers={"retry-after": "3", "content-type": "application/json", "set-cookie": "secret"}),
        ]
    ):
        recorded = through(tmp_path / str(number), given_)
        played = through(tmp_path / str(number), None)
        assert recorded[2] == played[2] == list(given_.pieces) and recorded[0] == played[0] == given_.status
    assert played[1] == {"retry-after": "3", "content-type": "application/json"}, "only headers that are harmless are kept"


@pytest.mark.parametrize("error", [httpx2.ReadTimeout, httpx2.RemoteProtocolError, httpx2.ConnectError, httpx2.ReadError])
@pytest.mark.parametrize("pieces", [0, 1, 3])
@pytest.mark.parametrize("status", [0, 200])
def test_where_it_broke_off_it_breaks_off(tmp_path: Path, error: type[httpx2.TransportError], pieces: int, status: int) -> None:
    """With the same error after the same pieces, also before the answer began."""
    given_ = Given(*[b"piece"] * pieces, error=error("gone"), status=status)
    recorded = through(tmp_path, given_)
    assert recorded == through(tmp_path, None) == (0, {}, [b"piece"] * (pieces if status else 0), error.__name__)


def test_the_nth_same_request_gets_the_nth_answer(tmp_path: Path) -> None:
    """The last one repeats; another body, provider or client is another request."""

    async def play() -> list[Any]:
        transport = taped(f"play:{tmp_path}", "main", "acme")
        return [(await fetch(transport, body))[2] for body in ({"a": 1}, {"a": 1}, {"b": 2, "a": 1}, {"a": 1})]

    for one in (b"1", b"2"):
        through(tmp_path, Given(one))
    through(tmp_path, Given(b"other"), {"a": 1, "b": 2})
    assert asyncio.run(play()) == [[b"1"], [b"2"], [b"other"], [b"2"]]
    assert asyncio.run(fetch(taped(f"play:{tmp_path}", "another", "acme")))[0] == 404
    with pytest.raises(UsageFault, match="there is no tape"):
        taped(f"play:{tmp_path}", "main", "beta")


def test_what_is_not_on_the_tape_fails_at_once(tmp_path: Path) -> None:
    """OpenAI's client raises an error that says so, and does not ask again."""
    through(tmp_path, Given(b"x"))

    async def ask() -> None:
        http = openai.DefaultAsyncHttpxClient(transport=taped(f"play:{tmp_path}", "main", "acme"))
        async with openai.AsyncOpenAI(base_url=NOWHERE, api_key=KEY, max_retries=5, http_client=http) as client:
            await client.chat.completions.create(model="m", messages=HELLO)

    with pytest.raises(openai.NotFoundError, match="not on the tape") as missing:
        asyncio.run(ask())
    assert missing.value.code == "not_on_the_tape" and "acme.jsonl" in missing.value.message


def test_it_is_on_the_disk_before_the_last_piece_is_told(tmp_path: Path) -> None:
    """Whoever has the whole answer can find it on the tape; before that, there is nothing."""
    seen = []

    async def look() -> None:
        transport = taped(f"record:{tmp_path}", "main", "acme", Given(b"1", b"2", b"3"))
        async with httpx2.AsyncClient(transport=transport) as client, client.stream("POST", NOWHERE, json={}) as answer:
            async for one in answer.aiter_raw():
                seen.append((one, len((tmp_path / "acme.jsonl").read_text().splitlines())))

    asyncio.run(look())
    assert seen == [(b"1", 0), (b"2", 0), (b"3", 1)]


def test_who_gives_up_is_on_the_tape(tmp_path: Path) -> None:
    """An answer that the client left, or waited for in vain, is played as one in which nothing came any more."""

    async def leave(server: Running) -> None:
        async with httpx2.AsyncClient(transport=taped(f"record:{tmp_path}", "main", "acme")) as client:
            url, body = f"{server.url}/chat/completions", {"model": "m", "messages": HELLO, "stream": True}
            async with client.stream("POST", url, json=body, timeout=PATIENCE_S) as answer:
                async for _ in answer.aiter_raw():
                    break
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.post(url, json={"model": "m", "messages": OTHER}, timeout=None), 0.3)

    with running("[[rules]]\nuser = 'hello'\npiece = 1\npause_ms = 20\n[[rules]]\nuser = 'other'\nfault = 'hang'") as server:
        asyncio.run(leave(server))
    left, waited = read(tmp_path / "acme.jsonl")
    assert left.error == waited.error == "ReadTimeout" and left.pieces and left.status == 200 and not waited.status
    status, _, pieces, error = through(tmp_path, None, {"model": "m", "messages": HELLO, "stream": True})
    assert (status, error) == (0, "ReadTimeout") and pieces == [data_of(one) for one in left.pieces]


def test_no_key_is_on_the_tape(tmp_path: Path) -> None:
    """Not from headers, and not where the provider or the request repeats it, also over a border; all the rest is as it was."""
    echo = f"your key {KEY} is wrong".encode()
    real = Given(echo[:20], echo[20:], status=401, headers={"x-request-id": f"r-{KEY}", "content-type": "text/plain"})
    recorded = through(tmp_path, real, {"text": f"my key is {KEY}"}, Authorization=f"Bearer {KEY}", **{"x-api-key": KEY})
    through(tmp_path, Given(error=httpx2.LocalProtocolError(f"illegal value {KEY}"), status=0), **{"api-key": KEY})
    assert b"".join(recorded[2]) == echo
    text = (tmp_path / "acme.jsonl").read_text()
    assert KEY not in text and "illegal value *" in text and "my key is *" in text and "authorization" not in text.lower()
    played = through(tmp_path, None, {"text": f"my key is {KEY}"})
    assert b"".join(played[2]) == echo.replace(KEY.encode(), b"*" * len(KEY)) and list(map(len, played[2])) == [
        20,
        len(echo) - 20,
    ]
    assert (tmp_path / "acme.jsonl").stat().st_mode & 0o777 == 0o600


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=4))
def test_masking_keeps_the_borders(data: bytes, cuts: list[int]) -> None:
    """A secret is found wherever the borders fall; where there is none, nothing changes."""
    whole = data + KEY.encode() + data
    places = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    pieces = [whole[start:end] for start, end in zip(places, places[1:], strict=False)]  # noqa: RUF007
    hidden = masked(pieces, [KEY, "a", ""])
    assert b"".join(hidden) == data + b"*" * len(KEY) + data and list(map(len, hidden)) == list(map(len, pieces))
    assert masked([data], [KEY]) == [data]


@given(st.binary(max_size=20))
def test_any_bytes_fit_into_a_line(data: bytes) -> None:
    """As text where they are some."""
    line = json.loads(json.dumps(piece(data)))
    assert data_of(line) == data


def test_the_order_of_keys_makes_no_other_request() -> None:
    """A body that is no JSON is taken as it is."""
    assert asked(b'{"a":1,"b":[2]}')[0] == asked(b'{ "b": [2], "a": 1 }')[0] != asked(b'{"a":1,"b":[3]}')[0]
    assert asked(b"\xff")[1] == {"base64": "/w=="} and asked(b"")[1] is None and asked(b"\xff")[0] != asked(b"\xfe")[0]


def test_what_is_compressed_is_recorded_readable(tmp_path: Path) -> None:
    """Recording asks for no compression, and undoes it where it comes nevertheless."""
    import gzip

    real = Given(gzip.compress(b'{"text": "readable"}'), headers={"content-encoding": "gzip", "content-type": "application/json"})
    recorded, played = through(tmp_path, real), through(tmp_path, None)
    assert recorded[2] == played[2] == [b'{"text": "readable"}'] and "content-encoding" not in {**recorded[1], **played[1]}
    assert "readable" in (tmp_path / "acme.jsonl").read_text()


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_torn_last_line_is_mended_by_recording(tmp_path: Path, cut: int) -> None:
    """What was written whole before it stays; playing it instead names the line."""
    for one in (b"1", b"2"):
        through(tmp_path, Given(one))
    path = tmp_path / "acme.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UsageFault, match=r"acme\.jsonl:2: the line is damaged"):
        taped(f"play:{tmp_path}", "main", "acme")
    through(tmp_path, Given(b"3"))
    assert [one.pieces for one in read(path)] == [("1",), ("3",)]


@pytest.mark.parametrize("torn", [b"x", b"x" * 200_000])
def test_a_tape_of_one_torn_line_is_empty_then(tmp_path: Path, torn: bytes) -> None:
    """However long that line is."""
    (tmp_path / "acme.jsonl").write_bytes(torn)
    through(tmp_path, Given(b"1"))
    assert [one.pieces for one in read(tmp_path / "acme.jsonl")] == [("1",)]


@pytest.mark.parametrize("line", [b"{}", b"[]", b"\xff", b"", b'{"provider": 7}'], ids=repr)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    """With its number, wherever it is."""
    through(tmp_path, Given(b"1"))
    path = tmp_path / "acme.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + line + b"\n" + whole)
    with pytest.raises(UsageFault, match=r"acme\.jsonl:2:"):
        taped(f"play:{tmp_path}", "main", "acme")


def test_one_records_at_a_time(tmp_path: Path) -> None:
    """Providers of one process share the file; another process is refused until the last has closed."""

    async def both() -> None:
        first = taped(f"record:{tmp_path}", "main", "acme", Given(b"1"))
        second = taped(f"record:{tmp_path}", "spare", "acme", Given(b"2"))
        await fetch(first)
        with pytest.raises(UsageFault, match="recorded by another process"):
            Writer(tmp_path / "acme.jsonl")
        await fetch(second)

    asyncio.run(both())
    writer = Writer(tmp_path / "acme.jsonl")
    line = Exchange(provider="main", method="POST", path="/", digest="", request=None, status=200)
    writer.write(line)
    writer.close()
    assert [one.provider for one in read(tmp_path / "acme.jsonl")] == ["main", "spare", "main"]
    assert tapes(tmp_path) == [tmp_path / "acme.jsonl"]


@pytest.mark.parametrize("spec", ["record", "play:", "record:", "wind:/tmp/x", "x"])
def test_a_setting_that_means_nothing_is_refused(spec: str) -> None:
    """With what it may be."""
    with pytest.raises(UsageFault) as fault:
        taped(spec, "main", "acme")
    assert "play:DIRECTORY" in fault.value.hint


def test_without_a_tape_the_real_one_is_used() -> None:
    """Nothing is in between."""
    real = Given(b"1")
    assert taped("", "main", "acme", real) is real


def test_a_line_is_what_its_form_says(tmp_path: Path) -> None:
    """One exchange, one line: readable, and no more than its fields."""
    through(tmp_path, Given(b"answer", headers={"content-type": "text/plain"}))
    (line,) = (tmp_path / "acme.jsonl").read_text().splitlines()
    assert msgspec.json.decode(line) == {
        "provider": "main",
        "method": "POST",
        "path": "/v1/chat/completions",
        "digest": asked(b'{"a":1}')[0],
        "request": {"a": 1},
        "status": 200,
        "headers": {"content-type": "text/plain"},
        "pieces": ["answer"],
    }
