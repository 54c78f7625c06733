"""Working without cost: an organisation over a tape of its models' answers, and the scripted provider in a shell."""

import asyncio
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

from mai.daemon.exchange import read, tapes
from mai.daemon.script import Script, load
from mai.daemon.scripted import Provider
from mai.sandbox.errors import UsageFault

SETTING = "MAI_TAPE"  # the models processes read it, see tape.py
KEY_BYTES = 4096
CHAT = "/chat/completions"
NOBODY = "http://127.0.0.1:9"  # nobody is asked


def recorded(tape: Path) -> dict[str, str]:
    """The environment of a daemon whose models' answers are recorded; makes the tape, or goes on with it. Raises UsageFault."""
    tape = tape.absolute()
    try:
        tape.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageFault(f"{tape} cannot hold a tape: {error.strerror}", "name a directory, which may be new") from None
    if not os.access(tape, os.W_OK | os.X_OK):
        raise UsageFault(f"{tape} cannot hold a tape: you may not write there", "name another directory")
    return {SETTING: f"record:{tape}"}


def played(tape: Path) -> dict[str, str]:
    """The environment of a daemon whose models' answers come from a tape. Raises UsageFault, with the line that is damaged.

    What the settings do not say of models is as it was when the tape was recorded: the path of the address, and the model if
    there was one only.
    """
    tape = tape.absolute()
    exchanges = [exchange for path in tapes(tape) for exchange in read(path)]
    names = {one.request.get("model") for one in exchanges if isinstance(one.request, dict)}
    bases = {one.path.removesuffix(CHAT) for one in exchanges if one.path.endswith(CHAT)}
    recorded_as = {
        **({"MAI_MODEL": str(*names)} if len(names) == 1 else {}),
        **({"MAI_MODEL_URL": NOBODY + "".join(bases)} if len(bases) == 1 else {}),
    }
    return {SETTING: f"play:{tape}", **{name: value for name, value in recorded_as.items() if not os.environ.get(name)}}


def script_of(file: Path | None) -> Script:
    """The script of a file; without one everything is invented. Raises UsageFault."""
    if file is None:
        return Script()
    try:
        return load(file.read_text(), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"{file} cannot be read: {getattr(error, 'strerror', 'it is no text')}", "name a script") from None


def key_of(file: Path | None) -> str:
    """The key in a file that only its owner can read; "" without one. Raises UsageFault."""
    if file is None:
        return ""
    try:
        about = file.stat()
        key = file.read_bytes()[:KEY_BYTES].decode().strip() if stat.S_ISREG(about.st_mode) else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"{file} cannot be read: {getattr(error, 'strerror', 'it is no text')}", "name a file") from None
    if not key or about.st_mode & 0o077:
        raise UsageFault(f"{file} holds no key, or others may read it", f"it is one line of text: chmod 600 {file}")
    return key


def greeting(url: str, model: str, key_file: Path | None) -> str:
    """Where a provider is and how it is used."""
    lines = [
        f"a scripted provider at {url}; Ctrl-C ends it",
        f"use it:       MAI_MODEL_URL={url} MAI_MODEL={model} mai up company.toml",
        f"look into it: curl {url.removesuffix('/v1')}/book",
    ]
    return "\n".join([*lines, *([f"callers have to bring the key in {key_file}"] if key_file else [])])


def serve(provider: Provider, port: int, say: Callable[[str], None]) -> None:
    """Run a scripted provider until Ctrl-C or SIGTERM; its address is said first. Raises UsageFault."""
    asyncio.run(_serve(provider, port, say))


async def _serve(provider: Provider, port: int, say: Callable[[str], None]) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await provider.start(port)
    say(provider.url)
    try:
        await ended.wait()
    finally:
        await provider.stop()
