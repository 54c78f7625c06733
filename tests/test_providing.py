"""Attempts in their thread, through the real SDK, against a real server: what a provider may do, and what becomes of it."""

import contextlib
import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from mai.agents.models import Provider
from mai.daemon import posting
from mai.daemon.attempts import Post, Question, retry_after_ms
from mai.daemon.chat import bound_of
from mai.daemon.credentials import Credentials
from mai.daemon.providing import Ended, Providing
from mai.daemon.scripted import running
from tests.descriptors import left_open

PATIENCE_MS = 60_000
KEY = "sk-very-secret-0123456789"
HI = ('{"content":"You are terse.","role":"system"}', '{"content":"Hello","role":"user"}')


class Room:
    """A thread of attempts, its credentials and its directory of sockets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.put("main", KEY)
        self.credentials = Credentials(path)
        self.providing = Providing("acme", path, self.credentials)
        self.providing.start()
        self.body = b""  # what was posted last

    def put(self, name: str, key: str) -> None:
        """Write a credential."""
        (self.path / name).write_text(key)
        (self.path / name).chmod(0o600)

    def begin(self, url: str, *, n: int = 1, **more: Any) -> None:
        """One attempt."""
        told = {name: more.pop(name) for name in list(more) if name in Provider.__struct_fields__}
        fields = {"silence_s": 20.0, "key": "main", **told}
        room_bytes = more.pop("room_bytes", 100_000)
        given = {"messages": HI, "tools": "", "schema": "", "temperature": None, "seed": None, **more}
        provider = Provider(name="main", url=url, **fields)
        self.body = b"".join(posting.pieces(Question(provider=provider, model="m", output_tokens=50, **given)))
        self.providing.begin(Post("c", n, provider, self.body, room_bytes))

    def ended(self) -> Ended:
        """The next attempt that is over."""
        assert select.select([self.providing], [], [], PATIENCE_MS / 1000)[0], "no attempt ends"
        found = self.providing.ended()
        assert len(found) == 1
        return found[0]

    def ask(self, url: str, **more: Any) -> Ended:
        """One attempt, to its end."""
        self.begin(url, **more)
        return self.ended()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A fresh one."""
    room = Room(tmp_path)
    yield room
    room.providing.close()


@contextlib.contextmanager
def serving(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """A server that answers each connection's first request with these bytes and hangs up; its url."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    heard = b""
                    while b"\r\n\r\n" not in heard or len(heard.partition(b"\r\n\r\n")[2]) < _length(heard):
                        if not (data := connection.recv(65536)):
                            break
                        heard += data
                    connection.sendall(answer(heard))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _length(heard: bytes) -> int:
    lines = [line for line in heard.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lines[0].partition(b":")[2]) if lines else 0


def page(body: str | bytes, kind: str = "application/json", status: str = "200 OK", more: str = "") -> bytes:
    """An HTTP answer."""
    data = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n{more}\r\n"
    return head.encode() + data


def events(*chunks: Any) -> bytes:
    """A streamed answer."""
    lines = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    return page("".join(f"data: {line}\n\n" for line in lines), "text/event-stream")


def whole(**message: Any) -> bytes:
    """An answer in one piece."""
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    return page(json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_an_answer(room: Room, stream: bool, kind: str) -> None:
    """Text, calls of tools and usage come as the provider said them, streamed or not, in both protocols."""
    script = """
    [[rules]]
    results = 0
    tool = "find_order"
    calls = [{ name = "find_order", arguments = { order = 7 } }]
    """
    tool = {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object"}}}
    with running(script, key=KEY) as server:
        ended = room.ask(server.url, stream=stream, kind=kind, tools=json.dumps([tool]))
        book = server.book()
    assert ended.failure is None
    said = json.loads(ended.text)
    assert said["text"] == ""
    assert [(call["name"], json.loads(call["arguments"])) for call in said["calls"]] == [("find_order", {"order": 7})]
    assert said["finish"] == "tool_calls"
    assert ended.tokens == (book["input_tokens"], book["output_tokens"])


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_talk_with_results_and_a_schema(room: Room, kind: str) -> None:
    """A talk with a called tool, its result and a schema is one that both protocols accept; the answer has the schema's form."""
    called = {"id": "a", "type": "function", "function": {"name": "find", "arguments": '{"order":1}'}}
    talk = [
        {"role": "system", "content": "Rule."},
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": None, "tool_calls": [called, {**called, "id": "b"}]},
        {"role": "tool", "tool_call_id": "a", "content": "found"},
        {"role": "tool", "tool_call_id": "b", "content": "found"},
    ]
    form = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
    schema = json.dumps({"name": "ruling", "schema": form})
    with running("", key=KEY) as server:
        ended = room.ask(server.url, kind=kind, messages=tuple(map(json.dumps, talk)), schema=schema)
    assert ended.failure is None, ended.failure
    assert isinstance(json.loads(json.loads(ended.text)["text"])["ok"], bool)


def test_the_same_question_gives_the_same_bytes(room: Room) -> None:
    """A body has no id, time or key in it: a recording is found by it."""
    heard: list[bytes] = []

    def answer(request: bytes) -> bytes:
        heard.append(request.partition(b"\r\n\r\n")[2])
        return whole(content="Hi")

    with serving(answer) as url:
        for n in (1, 2):
            assert room.ask(url, n=n, seed=3, temperature=0.5).failure is None
    assert heard[0] == heard[1]
    asked = json.loads(heard[0])
    assert asked == {
        "model": "m", "messages": [json.loads(one) for one in HI], "max_tokens": 50, "temperature": 0.5, "seed": 3,
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip


def test_the_name_of_the_bound() -> None:
    """Only OpenAI's own servers get the new name: others would ignore it, and write without end."""
    assert bound_of("https://api.openai.com/v1") == "max_completion_tokens"
    assert bound_of("http://127.0.0.1:8080/v1") == bound_of("https://openai.com.example.org/v1") == "max_tokens"


@pytest.mark.parametrize(
    ("fault", "why", "again", "charged"),
    [
        ("429", "429", True, False),
        ("500", "500", True, True),
        ("503", "503", True, True),
        ("408", "408", True, False),
        ("400", "400", False, False),
        ("404", "404", False, False),
        ("422", "422", False, False),
        ("half", "the connection broke", True, True),
        ("drop", "the connection broke", True, True),
        ("cut", "the connection broke", True, True),
        ("garbage", "broken JSON", True, True),
        ("type", "a page of HTML", True, True),
        ("null", "half an answer", True, True),  # an answer that says nothing, in the other protocol
    ],
)
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_provider_at_fault(room: Room, *, kind: str, fault: str, why: str, again: bool, charged: bool) -> None:
    """Each fault on the wire is a named failure, tried again where that may help, charged where it may have been."""
    with running(f'[[rules]]\nfault = "{fault}"\ntext = "One two three four."', key=KEY) as server:
        failure = room.ask(server.url, kind=kind).failure
    if (kind, fault) == ("anthropic", "null"):
        assert failure is None
        return
    assert failure is not None
    if kind == "openai":
        assert failure.why.startswith(why), failure.why
    assert (failure.again, failure.charged) == (again, charged), failure.why


@pytest.mark.parametrize("fault", ["hang", "stall"])
def test_silence(room: Room, fault: str) -> None:
    """Who says nothing for longer than he may is given up."""
    with running(f'[[rules]]\nfault = "{fault}"\ntext = "One two three four."', key=KEY) as server:
        failure = room.ask(server.url, silence_s=0.2).failure
    assert failure is not None and failure.charged and failure.again
    assert failure.why == "silent for 0.2 s"


def test_no_usage(room: Room) -> None:
    """An answer without usage is an answer; what it took is not known."""
    with running('[[rules]]\nfault = "nousage"\ntext = "Yes"', key=KEY) as server:
        ended = room.ask(server.url)
    assert (ended.failure, ended.tokens, json.loads(ended.text)["text"]) == (None, None, "Yes")


def test_nobody_there(room: Room) -> None:
    """A refused connection is a failure that nobody can have charged for."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    failure = room.ask(f"http://127.0.0.1:{port}/v1").failure
    assert failure is not None
    assert (failure.why, failure.again, failure.charged) == ("not reached", True, False)


OK = {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}
WRONG = {
    "an error in a whole answer": (
        page('{"error": {"code": "overloaded", "message": "SECRET"}}'),
        "an error instead of an answer",
    ),
    "an error in a stream": (events({"error": {"message": "SECRET", "type": "server_error"}}), "an error instead of an answer"),
    "no choices": (page('{"choices": []}'), "an answer without a choice"),
    "a null choice": (page('{"choices": [null]}'), "an answer of another form"),
    "choices of another kind": (page('{"choices": "SECRET"}'), "an answer of another form"),
    "a list": (page("[1, 2]"), "an answer of another form"),
    "nothing": (page(""), "broken JSON"),
    "half a JSON": (page('{"choices": [{"mess'), "broken JSON"),
    "a deep JSON": (page("[" * 100_000), "broken JSON"),
    "a broken piece": (events({"choices": [{"delta": {"content": "H"}}]}, '{"choices": [{'), "broken JSON"),
    "no end": (events({"choices": [{"delta": {"content": "H"}}]}), "half an answer"),
    "an empty stream": (events(), "half an answer"),
    "a choice that is a number": (events({"choices": [3]}), "an answer of another form"),
    "content that is a list": (events({"choices": [{"delta": {"content": ["SECRET"]}}]}), "an answer of another form"),
    "a call without a name": (
        events(
            {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, "finish_reason": "stop"}]}
        ),
        "an answer that calls a tool without a name",
    ),
    "too many calls": (
        events({"choices": [{"delta": {"tool_calls": [{"index": n, "function": {"name": "f"}} for n in range(200)]}}]}),
        "an answer of more than",
    ),
    "too large": (events({"choices": [{"delta": {"content": "x" * 200_000}}]}), "an answer of more than 100000 bytes"),
    "too large as JSON": (whole(content='"' * 60_000), "an answer of more than 100000 bytes"),
    "compressed": (page(b"\x1f\x8b", more="Content-Encoding: gzip\r\n"), "a compressed answer"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", "the connection broke"),
    "elsewhere": (page("", status="307 Temporary Redirect", more="Location: http://127.0.0.1:1/\r\n"), "307"),
    "a large error page": (page("<p>SECRET" * 100_000, "text/html", "502 Bad Gateway"), "502"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("stream", [True, False])
def test_what_is_no_answer(room: Room, what: str, stream: bool) -> None:
    """Whatever comes instead of an answer is named in our own words; the thread goes on."""
    data, why = WRONG[what]
    if not stream and b"event-stream" in data:
        why = "broken JSON"
    with serving(lambda _: data) as url:
        failure = room.ask(url, stream=stream).failure
    assert failure is not None
    assert failure.why.startswith(why), failure.why
    assert "SECRET" not in failure.why
    with serving(lambda _: whole(content="Hi")) as url:
        assert room.ask(url).failure is None


def test_what_is_unusual_and_an_answer(room: Room) -> None:
    """Nulls, pieces without a choice, comments, arguments as an object and half characters are taken as they are meant."""
    call = {"index": None, "id": None, "function": {"name": "f", "arguments": {"a": 1}}}
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": None}}
    chunks = [
        {"choices": None},
        {"choices": [{"delta": {"role": "assistant", "content": None}, "finish_reason": None}]},
        {"choices": [{"delta": {"content": "\ud800ä"}}]},
        {"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]},
        usage,
    ]
    with serving(lambda _: events(*chunks, "[DONE]")) as url:
        ended = room.ask(url)
    assert ended.failure is None, ended.failure
    said = json.loads(ended.text)
    assert said == {"text": "?ä", "calls": [{"id": "call_0", "name": "f", "arguments": '{"a":1}'}], "finish": "tool_calls"}
    assert ended.tokens == (1, 2)


def test_usage_that_cannot_be(room: Room) -> None:
    """Tokens that are no sensible number are as none: the bound is booked then."""
    for wrong in (-1, 10**15):
        usage = {"prompt_tokens": wrong, "completion_tokens": 2}
        with serving(lambda _, usage=usage: events({**OK, "usage": usage})) as url:  # type: ignore[misc]
            assert room.ask(url).tokens is None


def test_a_key_is_never_told(room: Room) -> None:
    """A server that sends our key back, as an error or as an answer, gets it into no text of ours."""

    def mirror(request: bytes) -> bytes:
        assert KEY.encode() in request
        return whole(content=f"your key is {KEY}", tool_calls=[{"id": KEY, "function": {"name": "f", "arguments": KEY}}])

    with serving(mirror) as url:
        ended = room.ask(url)
    assert KEY not in repr(ended) and "[key]" in ended.text
    room.put("main", "abcdefgh")
    data = page('{"error": {"code": "abcdefgh"}}', status="401 Unauthorized")
    with serving(lambda _: data) as url:
        failure = room.ask(url).failure
    assert failure is not None
    assert failure.why == "401 [key] with the key of the credential main"
    assert not failure.again


def test_a_new_key_is_found(room: Room) -> None:
    """After a 401 a key that has been replaced meanwhile is tried; the same one is not."""
    with running("", key=KEY) as server:
        room.put("main", "sk-old")
        failure = room.ask(server.url).failure
        assert failure is not None and not failure.again and "credential main" in failure.why

    def rotate(_: bytes) -> bytes:
        room.put("main", KEY)
        return page("{}", status="401 Unauthorized")

    with serving(rotate) as url:
        failure = room.ask(url).failure
    assert failure is not None and failure.again


def test_no_key(room: Room) -> None:
    """A provider without a credential, or on this host and without its file, gets none; elsewhere that is a reason to stop."""
    heard: list[bytes] = []
    with serving(lambda request: heard.append(request) or whole(content="Hi")) as url:  # type: ignore[func-returns-value]
        assert room.ask(url, key="").failure is None
        assert b"authorization" not in heard[0].lower()
        assert room.ask(url, key="other").failure is None
        assert b"authorization" not in heard[1].lower()
    failure = room.ask("http://provider.invalid/v1", key="other").failure
    assert failure is not None and not failure.again and not failure.charged
    assert failure.why.startswith("the credential other cannot be read")


def test_cancelled(room: Room) -> None:
    """An attempt that is given up says nothing, and its connection is closed."""
    arrived, gone = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hold() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                arrived.set()
                while connection.recv(65536):
                    pass
                gone.set()

        thread = threading.Thread(target=hold)
        thread.start()
        room.begin(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        assert arrived.wait(PATIENCE_MS / 1000)
        room.providing.cancel("c", 1)
        assert gone.wait(PATIENCE_MS / 1000)
        thread.join()
    with serving(lambda _: whole(content="Hi")) as url:
        assert room.ask(url, n=2).n == 2


def test_the_local_model(room: Room) -> None:
    """The host's own model is looked for at each attempt: not there yet, there, and elsewhere after a new start."""
    failure = room.ask("", kind="local").failure
    assert failure is not None
    assert (failure.why, failure.again, failure.counts, failure.sick) == ("the local model is not there yet", True, False, False)
    for text in ("One", "Two"):
        with running(f'[[rules]]\ntext = "{text}"', key="local-key") as server:
            told = {"url": server.url, "key": "local-key", "model": "x"}
            (room.path / "local-model.json").write_text(json.dumps(told))
            ended = room.ask("", kind="local", key="")
            assert ended.failure is None and json.loads(ended.text)["text"] == text
    failure = room.ask("", kind="local").failure  # it is gone again
    assert failure is not None and not failure.counts


def test_proxies(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that the environment names is used, but not on the way to this host's own model."""
    heard: list[bytes] = []
    with serving(lambda request: heard.append(request) or whole(content="Hi")) as url:  # type: ignore[func-returns-value]
        monkeypatch.setenv("HTTP_PROXY", url.removesuffix("/v1"))
        monkeypatch.setenv("http_proxy", url.removesuffix("/v1"))
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        assert room.ask("http://models.example.org/v1").failure is None
        assert heard[0].startswith(b"POST http://models.example.org/v1/chat/completions")
        (room.path / "local-model.json").write_text(json.dumps({"url": url, "key": "k-e-y", "model": "x"}))
        local = room.providing
        fresh = Providing("acme", room.path, room.credentials)
        fresh.start()
        room.providing = fresh
        assert room.ask("", kind="local").failure is None
        assert heard[1].startswith(b"POST /v1/chat/completions")
        fresh.close()
        room.providing = local


def test_recorded_and_played(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tape, what was recorded is played to the byte without a server."""
    told: list[Ended] = []
    for do in ("record", "play"):
        monkeypatch.setenv("MAI_TAPE", f"{do}:{room.path}")
        one = Room(room.path)
        with running('[[rules]]\ntext = "One two three"', key=KEY) if do == "record" else contextlib.nullcontext() as server:
            told.append(one.ask(server.url if server else "http://127.0.0.1:1/v1"))
        one.providing.close()
    assert told[0] == told[1] and told[0].failure is None and told[0].raw.count(b"[DONE]") == 1
    assert not [file for file in room.path.iterdir() if file.name != "main" and KEY.encode() in file.read_bytes()]


def test_retry_after() -> None:
    """Each way to say when to come again is understood; nonsense is no wait."""
    now_ms = 1_700_000_000_000
    assert retry_after_ms({"retry-after": "2"}, now_ms) == 2000
    assert retry_after_ms({"retry-after": "0.5"}, now_ms) == 500
    assert retry_after_ms({"retry-after-ms": "150", "retry-after": "9"}, now_ms) == 150
    assert retry_after_ms({"retry-after": formatdate(now_ms / 1000 + 3, usegmt=True)}, now_ms) == 3000
    for nonsense in ("soon", "-4", "nan", formatdate(now_ms / 1000 - 3, usegmt=True), "", "Mon, 99 Foo"):
        assert retry_after_ms({"retry-after": nonsense}, now_ms) == 0
    assert retry_after_ms({"retry-after": "inf"}, now_ms) == 86_400_000


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    """A thread of attempts leaves no descriptor open."""

    def work() -> None:
        for _ in range(3):
            Room(tmp_path).providing.close()

    Room(tmp_path).providing.close()  # what the first one opens for all
    assert not left_open(work)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_what_leaves_and_what_comes_is_known_to_the_byte(room: Room, kind: str) -> None:
    """The body of the request is the one that was posted, whatever an SDK would make of it; the answer's bytes are the wire's."""
    heard: list[bytes] = []
    raw = page(
        json.dumps({"choices": [{"message": {"content": f"the key is {KEY}"}, "finish_reason": "stop"}], "x": "\u00e9 <&>"})
    )
    with serving(lambda request: heard.append(request) or raw) as url:  # type: ignore[func-returns-value]
        ended = room.ask(url, kind=kind, messages=('{"content":"\u00fc  \\u0007","role":"user","x":1.50}',), temperature=0.5)
    assert heard[0].partition(b"\r\n\r\n")[2] == room.body and "\u00fc".encode() in room.body
    came = raw.partition(b"\r\n\r\n")[2]
    assert ended.raw == came.replace(KEY.encode(), b"*" * len(KEY)) and ended.masked and ended.size == len(came)
    assert ended.status == 200


def test_nothing_else_leaves_than_what_is_on_record(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """If an SDK makes other bytes of it, they stay here."""
    import openai

    post = openai.AsyncOpenAI.post
    other = lambda self, path, *, content, **more: post(self, path, content=content + b" ", **more)  # noqa: E731
    monkeypatch.setattr(openai.AsyncOpenAI, "post", other)
    with running("", key=KEY) as server:
        ended = room.ask(server.url)
        assert server.book()["requests"] == 0
    assert ended.failure is not None and "not what is on record" in ended.failure.why and not ended.failure.charged


def test_a_failure_has_its_page(room: Room) -> None:
    """What a provider says instead of an answer is known as well, a long page from its beginning."""
    with serving(lambda _: page("x" * 200_000, "text/plain", "500 Oops")) as url:
        ended = room.ask(url)
    assert ended.status == 500 and ended.raw and set(ended.raw) == set(b"x") and ended.failure is not None
