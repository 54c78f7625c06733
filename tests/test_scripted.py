"""The scripted provider as its callers meet it: through OpenAI's own client, through plain HTTP, and in a shell."""

import asyncio
import http.client
import json
import os
import pty
import signal
import socket
import subprocess
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest

from mai.agents.schemas import object_schema
from mai.daemon.script import RetryAfter, tokens
from mai.daemon.scripted import Running, again_headers, running
from tests.small import MAI, PATIENCE_S, environment

HELLO: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": "find_order", "parameters": object_schema({"order": "int"})}}]
RULING: Any = {
    "type": "json_schema",
    "json_schema": {"name": "ruling", "strict": True, "schema": object_schema({"approved": "bool", "reason": "str"})},
}
KEY = "sk-of-the-tests-0123456789"


def client_of(server: Running, *, retries: int = 0, timeout_s: float = PATIENCE_S, key: str = "none") -> openai.OpenAI:
    """OpenAI's client for it."""
    return openai.OpenAI(base_url=server.url, api_key=key, max_retries=retries, timeout=timeout_s)


def ask(server: Running, messages: Any = HELLO, **more: Any) -> Any:
    """One completion."""
    with client_of(server) as client:
        return client.chat.completions.create(model="scripted", messages=messages, **more)


def gathered(stream: Any) -> tuple[str, str, Any]:
    """What a stream brings: the text, the arguments of its calls, the usage."""
    text = arguments = ""
    usage = None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            arguments += "".join(call.function.arguments for call in choice.delta.tool_calls or ())
    return text, arguments, usage


def raw(server: Running, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request without any client's help."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE_S)
    try:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def server():
    """One that invents everything."""
    with running() as server:
        yield server


def test_an_answer_through_openai_s_client(server: Running) -> None:
    """Text, finish and usage; the same request gets the same text, another another."""
    one, again, other = ask(server), ask(server), ask(server, [{"role": "user", "content": "other"}])
    (choice,) = one.choices
    assert choice.message.role == "assistant" and choice.finish_reason == "stop" and one.model == "scripted"
    assert choice.message.content == again.choices[0].message.content != other.choices[0].message.content
    assert one.usage.completion_tokens == tokens(choice.message.content)
    assert one.usage.prompt_tokens == tokens('{"messages":[{"content":"hello","role":"user"}]}')
    assert one.usage.total_tokens == one.usage.prompt_tokens + one.usage.completion_tokens


def test_a_schema_is_held(server: Running) -> None:
    """The answer is JSON that fits, as OpenAI's own parsing sees it."""
    found = json.loads(ask(server, response_format=RULING).choices[0].message.content)
    assert isinstance(found["approved"], bool) and isinstance(found["reason"], str) and len(found) == 2


def test_a_tool_is_called_where_it_must_be(server: Running) -> None:
    """With arguments that fit; where it may be, it is not."""
    (call,) = ask(server, tools=TOOLS, tool_choice="required").choices[0].message.tool_calls
    assert call.function.name == "find_order" and isinstance(json.loads(call.function.arguments)["order"], int)
    assert ask(server, tools=TOOLS).choices[0].message.tool_calls is None


@pytest.mark.parametrize("more", [{}, {"response_format": RULING}, {"tools": TOOLS, "tool_choice": "required"}], ids=str)
def test_a_stream_brings_what_the_whole_answer_does(more: Any) -> None:
    """Piece by piece the same text, calls and usage; without `include_usage` none."""
    with running("[[rules]]\npiece = 3") as server, client_of(server) as client:
        ask_: Any = client.chat.completions.create
        whole = ask_(model="scripted", messages=HELLO, **more)
        with_usage: Any = {"stream": True, "stream_options": {"include_usage": True}, **more}
        text, arguments, usage = gathered(ask_(model="scripted", messages=HELLO, **with_usage))
        silent = gathered(ask_(model="scripted", messages=HELLO, stream=True, **more))
    message = whole.choices[0].message
    assert len(text + arguments) > 9 and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens == whole.usage.completion_tokens and usage.prompt_tokens == whole.usage.prompt_tokens
    assert bool(arguments) == bool(message.tool_calls) and bool(text) == bool(message.content) and silent[2] is None


def test_the_book_is_exact() -> None:
    """What the client was told it used is what is booked; each call once; faults and statuses by their names."""
    script = "[[rules]]\nnth = [2]\nfault = '429'\nretry_after = { ms = 1 }\n[[rules]]\nuser = 'two'\nfault = 'nousage'"
    with running(script) as server:
        used = [ask(server).usage]
        with client_of(server, retries=1) as client:
            used.append(client.chat.completions.create(model="scripted", messages=HELLO).usage)
        assert ask(server, [{"role": "user", "content": "two"}]).usage is None
        book = server.book()
        assert server.heard()[0]["messages"] == HELLO and len(server.heard()) == 4
        assert json.loads(raw(server, "GET", "/book")[2]) == book
    hidden = tokens('{"messages":[{"content":"two","role":"user"}]}'), tokens("scripted 123456")
    assert (book["requests"], book["answered"]) == (4, 3)
    assert book["input_tokens"] == sum(one.prompt_tokens for one in used) + hidden[0]
    assert book["output_tokens"] == sum(one.completion_tokens for one in used) + hidden[1]
    assert book["faults"] == {"429": 1, "nousage": 1} and book["statuses"] == {"200": 3, "429": 1}
    assert sorted(book["calls"].values()) == [1, 2]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_a_status_is_openai_s_error(status: int, error: type[openai.APIStatusError]) -> None:
    """In OpenAI's format, for a whole answer and for a stream."""
    with running(f"[[rules]]\nfault = '{status}'") as server:
        for stream in (False, True):
            with pytest.raises(error) as failed:
                ask(server, stream=stream)
            assert failed.value.status_code == status and failed.value.type and "the script says so" in failed.value.message


@pytest.mark.parametrize(
    ("told", "header", "value"),
    [
        ("{ seconds = 2 }", "retry-after", "2"),
        ("{ seconds = 0.5 }", "retry-after", "0.5"),
        ("{ ms = 20 }", "retry-after-ms", "20"),
    ],
)
def test_when_to_come_again(told: str, header: str, value: str) -> None:
    """As seconds or milliseconds, for 429 and 503, not for 500."""
    for status, there in ((429, True), (503, True), (500, False)):
        with running(f"retry_after = {told}\n[[rules]]\nfault = '{status}'") as server:
            got, headers, _ = raw(server, "POST", "/v1/chat/completions", {"model": "m", "messages": HELLO})
            assert got == status and (headers.get(header) == value) is there


def test_when_to_come_again_as_a_date() -> None:
    """A date that HTTP's own parsers read."""
    assert again_headers(RetryAfter(date=60), 0) == {"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT"}
    with running("[[rules]]\nfault = '429'\nretry_after = { date = 60 }") as server:
        _, headers, _ = raw(server, "POST", "/v1/chat/completions", {"model": "m", "messages": HELLO})
        assert parsedate_to_datetime(headers["retry-after"]).tzinfo


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("drop", openai.APIConnectionError),
        ("cut", (openai.APIConnectionError, httpx2.RemoteProtocolError)),
        ("half", (openai.APIConnectionError, httpx2.RemoteProtocolError)),
        ("hang", openai.APITimeoutError),
        ("stall", (openai.APITimeoutError, httpx2.ReadTimeout)),
        ("garbage", (openai.APIError, ValueError)),
    ],
)
def test_a_broken_connection(stream: bool, fault: str, error: Any) -> None:
    """Nothing is taken for an answer, nothing is booked as one; the server goes on."""
    with running(f"[[rules]]\nnth = [1]\nfault = '{fault}'") as server:
        timeout_s = 0.3 if fault in ("hang", "stall") else PATIENCE_S
        with client_of(server, timeout_s=timeout_s) as client, pytest.raises(error):
            found: Any = client.chat.completions.create(model="scripted", messages=HELLO, stream=stream)
            assert isinstance(gathered(found) if stream else found.choices[0].message, str)
        assert server.book()["answered"] == 0 and server.book()["faults"] == {fault: 1}
        assert ask(server).choices[0].message.content and server.book()["answered"] == 1


def test_answers_that_are_none() -> None:
    """HTML, no choices, broken JSON, two megabytes: HTTP is in order, the answer is not."""
    faults = ("type", "null", "broken", "giant")
    rules = "\n".join(f"[[rules]]\nuser = '{fault}'\nfault = '{fault}'" for fault in faults)
    with running(rules) as server:
        html, null, broken, giant = (ask(server, [{"role": "user", "content": one}], response_format=RULING) for one in faults)
    assert "<html>" in html and null.choices is None
    with pytest.raises(ValueError):
        json.loads(broken.choices[0].message.content)
    assert len(giant.choices[0].message.content) == giant.usage.completion_tokens * 4 > 2_000_000


def test_the_key_is_wanted() -> None:
    """Without it 401 in OpenAI's format and nothing told; /health is for everybody."""
    with running(key=KEY) as server:
        with client_of(server, key=KEY) as client:
            assert [model.id for model in client.models.list()] == ["scripted"]
        with client_of(server, key="another") as client, pytest.raises(openai.AuthenticationError) as refused:
            client.models.list()
        assert refused.value.code == "invalid_api_key" and KEY not in str(refused.value)
        assert raw(server, "GET", "/book")[0] == 401 and raw(server, "GET", "/health")[0] == 200
        assert raw(server, "GET", "/v1/models", **{"x-api-key": KEY})[0] == 200
        assert raw(server, "GET", "/v1/models", Authorization="Bearer ключ".encode().decode("latin-1"))[0] == 401


def test_models_are_those_of_the_script() -> None:
    """Any, unless the script lists them."""
    with running("models = ['small', 'large']") as server, client_of(server) as client:
        assert [model.id for model in client.models.list()] == ["small", "large"]
        assert client.chat.completions.create(model="large", messages=HELLO).model == "large"
        with pytest.raises(openai.NotFoundError) as unknown:
            ask(server)
        assert unknown.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", None, 404),
        ("POST", "/v1/embeddings", {}, 404),
        ("GET", "/v1/chat/completions", None, 405),
        ("POST", "/book", {}, 405),
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"\xff", 400),
        ("POST", "/v1/chat/completions", b"[" * 100_000, 400),
        ("POST", "/v1/chat/completions", [], 400),
        ("POST", "/v1/chat/completions", {"model": "m", "messages": HELLO, "stream_options": "yes", "stream": True}, 400),
        ("POST", "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "tool_calls": 7}]}, 400),
        ("POST", "/v1/messages", {"model": "m", "messages": HELLO}, 400),
    ],
    ids=str,
)
def test_what_is_no_request_is_refused(server: Running, method: str, path: str, body: Any, status: int) -> None:
    """With an error in JSON; the connection's next request is answered."""
    got, headers, data = raw(server, method, path, body)
    assert got == status and json.loads(data)["error"]["message"] and headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/3\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n", 431),
    ],
    ids=lambda given: repr(given[:50]) if isinstance(given, bytes) else str(given),
)
def test_what_is_no_http_is_hung_up_on(server: Running, head: bytes, status: int) -> None:
    """With a status, and the server lives."""
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=PATIENCE_S) as connection:
        connection.sendall(head)
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 %d" % status)
    assert raw(server, "GET", "/health")[0] == 200


def test_a_connection_is_kept(server: Running) -> None:
    """Request after request over one connection, bodies with a length and in chunks."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE_S)
    connection.connect()
    mine = connection.sock.getsockname()
    body = json.dumps({"model": "m", "messages": HELLO, "stream": True}).encode()
    for given in (body, iter([body[:10], body[10:]]), body):
        connection.request("POST", "/v1/chat/completions", given, {"Content-Type": "application/json"})
        data = connection.getresponse().read()
        assert data.endswith(b"data: [DONE]\n\n") and connection.sock.getsockname() == mine
    connection.close()


def test_two_hundred_at_once() -> None:
    """Each gets its own answer, and all are booked."""
    script = "[[rules]]\ndelay_ms = 1500\necho = true"

    async def all_of(server: Running) -> list[str]:
        client = openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=PATIENCE_S)
        messages: Any = [[{"role": "user", "content": f"number {number}"}] for number in range(200)]
        async with client:
            asked = [client.chat.completions.create(model="scripted", messages=one) for one in messages]
            return [answer.choices[0].message.content or "" for answer in await asyncio.gather(*asked)]

    with running(script) as server:
        assert asyncio.run(all_of(server)) == [f"number {number}" for number in range(200)]
        book = server.book()
    assert (book["requests"], book["answered"], len(book["calls"])) == (200, 200, 200)


def test_pieces_come_one_by_one() -> None:
    """A stream's pieces are sent as they are made: with a pause between them, they come apart."""
    with running("[[rules]]\ntext = 'one two three '\npiece = 4\npause_ms = 30") as server:
        body = {"model": "m", "messages": HELLO, "stream": True}
        with httpx2.stream("POST", f"{server.url}/chat/completions", json=body) as answer:
            chunks = list(answer.iter_raw())
    assert len(chunks) == 7 and all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in chunks)


# -- Anthropic's protocol
def claude(server: Running, **more: Any) -> tuple[int, Any]:
    """A request in it."""
    body = {"model": "m", "max_tokens": 100, "messages": HELLO, **more}
    status, headers, data = raw(server, "POST", "/v1/messages", body, **{"x-api-key": KEY})
    return status, json.loads(data) if "json" in headers["content-type"] else data.decode()


def test_anthropic_s_messages() -> None:
    """Text, a tool's call, the bound, errors: as its reference has them."""
    tool = {"name": "find_order", "input_schema": object_schema({"order": "int"})}
    rules = "[[rules]]\nresults = 1\ntext = 'found'\n[[rules]]\nsystem = 'long'\ntext = 'a long answer'\n"
    rules += "[[rules]]\nmodel = 'busy'\nfault = '529'"
    with running(rules, key=KEY) as server:
        _, one = claude(server)
        assert one["content"][0]["type"] == "text" and one["stop_reason"] == "end_turn"
        assert one["usage"]["output_tokens"] == tokens(one["content"][0]["text"])
        _, used = claude(server, tools=[tool], tool_choice={"type": "any"})
        (block,) = used["content"]
        assert block["name"] == "find_order" and isinstance(block["input"]["order"], int) and used["stop_reason"] == "tool_use"
        result = {"type": "tool_result", "tool_use_id": block["id"], "content": "7"}
        _, found = claude(
            server, messages=[*HELLO, {"role": "assistant", "content": [block]}, {"role": "user", "content": [result]}]
        )
        assert found["content"][0]["text"] == "found"
        _, cut = claude(server, system="long", max_tokens=1)
        assert cut["content"][0]["text"] == "a lo" and cut["stop_reason"] == "max_tokens" and cut["usage"]["output_tokens"] == 1
        status, busy = claude(server, model="busy")
        assert status == 529 and busy["type"] == "error" and busy["error"]["type"] == "overloaded_error"
        assert server.book()["answered"] == 4
        assert raw(server, "POST", "/v1/messages", {})[0] == 401


def test_anthropic_s_stream() -> None:
    """Its events in their order; the pieces make the whole."""
    with running("[[rules]]\ntext = 'one two'\npiece = 3") as server:
        _, stream = claude(server, stream=True)
    lines = stream.split("\n")
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert [event["type"] for event in events] == [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    kinds = ["message_start", "content_block_start", *["content_block_delta"] * 3, "content_block_stop", "message_delta"]
    assert [event["type"] for event in events] == [*kinds, "message_stop"]
    assert "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta") == "one two"
    assert events[-2]["usage"]["output_tokens"] == 2


# -- in a shell
def test_the_command(tmp_path: Path) -> None:
    """It says where it is and how it is used, tells of each request on a terminal, and Ctrl-C ends it cleanly."""
    (tmp_path / "script.toml").write_text("[[rules]]\nuser = 'hello'\ntext = 'played'\n")
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "key").chmod(0o600)
    command = [*MAI, "provider", str(tmp_path / "script.toml"), "--key-file", str(tmp_path / "key")]
    terminal, other = pty.openpty()
    with subprocess.Popen(command, env=environment(TERM="xterm"), stdout=other, stderr=subprocess.PIPE) as process:
        os.close(other)
        with os.fdopen(terminal, "r") as screen:
            url = screen.readline().split(" at ")[1].split(";")[0]
            with openai.OpenAI(base_url=url, api_key=KEY) as client:
                assert client.chat.completions.create(model="m", messages=HELLO).choices[0].message.content == "played"
            shown = [screen.readline() for _ in range(4)]
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0 and process.stderr and not process.stderr.read()
    assert f"MAI_MODEL_URL={url} MAI_MODEL=scripted mai up" in shown[0] and "/book" in shown[1]
    assert "POST /v1/chat/completions m rule 1 attempt 1 200 12+2 tokens" in shown[3] and KEY not in "".join(shown)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.toml"], "No such file"),
        (["wrong.toml"], "no fault"),
        (["--key-file", "open"], "others may read it"),
        (["--key-file", "empty"], "holds no key"),
        (["--key-file", "."], "holds no key"),
        (["--port", "70000"], "70000"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else given,
)
def test_what_the_command_cannot_use_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    """In one sentence, with status 2."""
    (tmp_path / "wrong.toml").write_text("[faults]\nwrong = 0.5")
    for name, mode in (("open", 0o644), ("empty", 0o600)):
        (tmp_path / name).write_text(KEY if name == "open" else "")
        (tmp_path / name).chmod(mode)
    command = [*MAI, "provider", *arguments]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 2 and said in ran.stderr and "Traceback" not in ran.stderr


def test_a_port_that_is_taken(server: Running) -> None:
    """It is said, and which."""
    port = str(urlsplit(server.url).port)
    ran = subprocess.run([*MAI, "provider", "--port", port], env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and port in ran.stderr and "hint:" in ran.stderr
