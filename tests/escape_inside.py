"""The department of the escape campaign: its agent makes one attempt and says what came of it. Runs inside.

An attempt runs in a child of the department's process, which has all that the process has, so that one that ends or changes its
process spoils no other; some need the process itself, with its key and its connection.
"""

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests import (  # noqa: F401  # they register their attempts
    escape_files,
    escape_ipc,
    escape_journal,
    escape_kernel,
    escape_messages,
    escape_network,
    escape_processes,
    escape_resources,
    escape_undo,
)
from tests.escape_kit import ATTEMPTS, Attempt, Facts

LIMIT_S = 6.0
SAID = 600  # characters
HERE = Path(__file__).parent.parent


async def attack(ctx: Any, task: Any) -> dict[str, object]:
    """Make the attempt that is named."""
    one = ATTEMPTS.get(task.input["name"])
    if one is None:
        return {"worked": False, "said": "there is no such attempt"}
    return tried(one) if one.inside else forked(one)


def facts() -> Facts:
    """As the harness has written them, with what only we know."""
    known = SimpleNamespace(**json.loads((HERE / "facts.json").read_text()))
    known.state, known.run, known.process = sys.argv[1:4]
    known.home = str(Path(known.state, "clients", known.process))
    return known


def tried(one: Attempt) -> dict[str, object]:
    """Make it, here."""
    try:
        said = one.call(facts())
    except BaseException as error:
        return {"worked": False, "said": f"{type(error).__name__}: {error}"[:SAID]}
    return {"worked": True, "said": str(said)[:SAID]}


def forked(one: Attempt) -> dict[str, object]:
    """Make it in a child, which is killed when it takes too long, with all that it has started."""
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        return {"worked": False, "said": f"no child: {error}"}
    if pid == 0:
        with suppress(BaseException):
            os.setpgid(0, 0)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            sys.setrecursionlimit(500)
            os.write(writer, json.dumps(tried(one)).encode())
        os._exit(0)
    os.close(writer)
    said = heard(reader)
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return json.loads(said) if said else {"worked": False, "said": f"no word: ended with {os.waitstatus_to_exitcode(status)}"}


def heard(reader: int) -> bytes:
    """What the child says, before the time is up."""
    end_s, said = time.monotonic() + LIMIT_S, b""
    while (left_s := end_s - time.monotonic()) > 0 and select.select([reader], [], [], left_s)[0]:
        part = os.read(reader, 4096)
        if not part:
            break
        said += part
        if said.endswith(b"}"):
            break
    os.close(reader)
    return said


async def keep(ctx: Any, task: Any) -> dict[str, object]:
    """The victim: a secret in a file, in memory, in an open file and in its output; says where they are."""
    home = Path(sys.argv[1], "clients", sys.argv[3])
    (files := home / "files").mkdir(exist_ok=True)
    secret = files / "secret"
    if not secret.exists():
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(os.urandom(16).hex())
    if "held" not in HELD:
        HELD["held"] = bytearray(secret.read_bytes())
        HELD["open"] = secret.open()
        print(f"the secret is {secret.read_text()}", flush=True)
    return {"secret": secret.read_text(), "address": ctypes_address(HELD["held"]), "fd": HELD["open"].fileno()}


HELD: dict[str, Any] = {}


def ctypes_address(data: bytearray) -> int:
    """Where these bytes lie in memory."""
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(data))
