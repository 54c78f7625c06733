"""How processes are started: each with its module, and with what it needs of the environment and no more."""

from pathlib import Path

import pytest

from mai.daemon.programs import command, environment
from mai.sandbox.place import Place

OURS = {
    "PATH": "/bin", "HOME": "/root", "SECRET": "s", "OPENAI_API_KEY": "k", "CREDENTIALS_DIRECTORY": "/run/c",
    "MAI_CREDENTIALS": "/c",
    "MAI_TAPE": "play:/t", "HTTPS_PROXY": "http://user:password@proxy", "SSL_CERT_FILE": "/ca",
}  # fmt: skip


@pytest.mark.parametrize(
    ("process", "module", "named"),
    [
        ("watchdog", "mai.daemon.watchdog", False),
        ("local-model", "mai.daemon.local", False),
        ("embedder", "mai.daemon.embedder", False),
        ("acme/mai", "mai.daemon.gateway", True),
        ("acme/models", "mai.daemon.models", True),
        ("acme/tools", "mai.daemon.tools", True),
        ("acme/support", "mai.agents.process", True),
    ],
)
def test_what_is_started(tmp_path: Path, process: str, module: str, named: bool) -> None:
    """A module of ours, with the place; a client's process with its name, which is the last word."""
    words = command(Place(tmp_path), process)
    assert words[1:4] == ["-P", "-m", module] and words[4:6] == [str(tmp_path), str(tmp_path / "run")]
    assert words[6:] == ([process] if named else [])


@pytest.mark.parametrize("process", ["watchdog", "acme/mai", "acme/support", "acme/models", "acme/tools"])
def test_where_the_keys_are_is_told_to_the_models_process_alone(tmp_path: Path, process: str) -> None:
    """Nobody else learns of credentials, tapes or a proxy's password; a shell's own secrets go to nobody."""
    given = environment(Place(tmp_path), 5.0, OURS, process)
    told = {name for name in OURS if name in given}
    ways_out = {"HTTPS_PROXY", "SSL_CERT_FILE"}
    keys = {"CREDENTIALS_DIRECTORY", "MAI_CREDENTIALS", "MAI_TAPE"}
    more = {"acme/models": ways_out | keys, "acme/tools": ways_out}.get(process, set())
    assert told == {"PATH", "HOME"} | more
