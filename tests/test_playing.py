"""`mai record` and `mai play`: an organisation over what models answered once, whole, with real processes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mai.daemon.exchange import read
from mai.daemon.playing import played, recorded
from mai.daemon.scripted import running
from mai.sandbox.errors import UsageFault
from tests.small import HANDLERS, MAI, ORGANISATION, PATIENCE_S, Daemon, environment

KEY = "sk-of-the-tests-0123456789"
WORDED = """
[models]
compose = "words"
providers = [{ name = "main", key = "main" }]

[[models.models]]
name = "words"
chain = [{ provider = "main" }]
call_s = 30
"""
RULES = """
[[rules]]
user = '(?P<order>[0-9]+)'
schema = "answer"
attempt = [1]
fault = "500"
[[rules]]
user = 'refund order (?P<order>[0-9]+)'
schema = "answer"
json = { answer = "All is well with {order}, said the model." }
"""
LINE = (
    b'{"provider":"main","method":"POST","path":"/openai/v1/chat/completions","digest":"d",'
    b'"request":{"model":"big"},"status":200}\n'
)


class Worded(Daemon):
    """The small organisation, whose Mai has her answers worded by a model."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        super().__init__(directory, ORGANISATION + WORDED)
        (self.file.parent / "small.py").write_text(HANDLERS)

    def run(self, do: str, tape: Path, **more: str) -> None:
        """Start it over a tape, in the background."""
        ran = self.mai(do, "--detach", str(self.file), str(tape), stdin=b"", **more)
        assert ran.returncode == 0, ran.stderr

    def credential(self) -> None:
        """Put the provider's key where the models process looks for it."""
        directory = self.place.state / "credentials"
        directory.mkdir(mode=0o700, parents=True)
        (directory / "main").touch(mode=0o600)
        (directory / "main").write_text(KEY)

    def answers(self) -> list[Any]:
        """What the client is told, and whose words it is."""
        found = [self.ask(f"refund order {order}", f"ask-{order}") for order in (5, 7)]
        return [(one["state"], one["answer"], one.get("by", "")) for one in found]


@pytest.mark.seconds(240)
def test_what_was_recorded_is_played_to_the_whole_organisation(state: Path) -> None:
    """The same answers come from the tape, errors before them too, with no provider and no key; a new question is on no tape."""
    tape = state / "tape"
    with running(RULES, key=KEY) as server:
        first = Worded(state / "a")
        first.credential()
        first.run("record", tape, MAI_MODEL_URL=server.url, MAI_MODEL="scripted")
        try:
            recorded_answers = first.answers()
        finally:
            first.down()
        book = server.book()
    assert recorded_answers[0][1].startswith("All is well with 5, said the model.")
    assert book["answered"] == 2 and book["faults"] == {"500": 2}
    assert [one.status for one in read(tape / "acme.jsonl")] == [500, 200, 500, 200]
    assert KEY not in (tape / "acme.jsonl").read_text()
    second = Worded(state / "b")
    second.run("play", tape)
    try:
        assert second.answers() == recorded_answers, second.journal("acme/models")
        assert "said the model" not in second.ask("refund order 9", "ask-9")["answer"]
        assert any("not_on_the_tape" in str(body) for _, body in second.journal("acme/models"))
    finally:
        second.down()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["play", "small.toml", "nothing"], "no tape"),
        (["play", "small.toml", "empty"], "no tape"),
        (["play", "small.toml", "damaged"], "acme.jsonl:2: the line is damaged"),
        (["record", "small.toml", "small.toml"], "cannot hold a tape"),
        (["record", "nothing.toml", "tape"], "nothing.toml"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_cannot_be_recorded_or_played_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    """In one sentence, with status 2, and nothing is started."""
    (tmp_path / "small.toml").write_text(ORGANISATION)
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "acme.jsonl").write_bytes(LINE + b"{")
    command = [*MAI, "--state", str(tmp_path / "s"), *arguments]
    ran = subprocess.run(
        command, env=environment(), capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE_S, check=False
    )
    assert ran.returncode == 2 and said in ran.stderr and "Traceback" not in ran.stderr and not (tmp_path / "s").exists()


def test_a_tape_that_is_there_is_gone_on_with(tmp_path: Path) -> None:
    """Recording makes the directory for its owner alone, and leaves alone what it holds."""
    assert recorded(tmp_path / "new" / "tape") == {"MAI_TAPE": f"record:{tmp_path / 'new' / 'tape'}"}
    assert (tmp_path / "new" / "tape").stat().st_mode & 0o777 == 0o700
    (tmp_path / "acme.jsonl").write_bytes(LINE)
    assert recorded(tmp_path) == {"MAI_TAPE": f"record:{tmp_path}"} and (tmp_path / "acme.jsonl").read_bytes() == LINE


def test_settings_are_those_of_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless they are given; with two models on a tape there is none to take."""
    for name in ("MAI_MODEL", "MAI_MODEL_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "acme.jsonl").write_bytes(LINE * 2)
    assert played(tmp_path) == {
        "MAI_TAPE": f"play:{tmp_path}", "MAI_MODEL": "big", "MAI_MODEL_URL": "http://127.0.0.1:9/openai/v1"
    }  # fmt: skip
    monkeypatch.setenv("MAI_MODEL", "small")
    assert "MAI_MODEL" not in played(tmp_path)
    monkeypatch.delenv("MAI_MODEL")
    (tmp_path / "beta.jsonl").write_bytes(LINE.replace(b"big", b"other"))
    assert played(tmp_path).keys() == {"MAI_TAPE", "MAI_MODEL_URL"}


def test_no_client_is_imported_before_it_is_needed() -> None:
    """What the commands of this file and the provider load is neither OpenAI's client nor its HTTP."""
    code = (
        "import sys, mai.cli, mai.daemon.playing, mai.daemon.scripted; print({'openai', 'httpx', 'httpx2'} & sys.modules.keys())"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_tape_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    """Before anything is started."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UsageFault, match="cannot hold a tape"):
            recorded(tmp_path)
    finally:
        tmp_path.chmod(0o700)
