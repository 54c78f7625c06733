"""Two clients, each with a secret in requests, ids, memory, models' answers, errors and deaths: neither has the other's.

What a client's process can read is its home, its mandate, its environment, its log and its sockets. Beyond those, nothing
below the state directory may hold a secret at all, but what lies at the secret's own client.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from mai.daemon.asking import ask
from mai.daemon.belongings import roots
from mai.daemon.door import Door
from mai.daemon.scripted import Running
from mai.daemon.scripted import running as providing
from mai.sandbox.errors import MaiError
from mai.sandbox.place import ONLY
from tests.small import PATIENCE_S, Daemon, until

SECRETS = {"acme": "acorn-5150", "beta": "briar-7272"}
OTHER = {"acme": "beta", "beta": "acme"}
PLAIN = {"acme": "p1", "beta": "p2"}  # ids of requests
ORGANISATION = """
[organisation]
name = "Two"
clients = ["acme", "beta"]

[limits]
request_s = 20

[watchdog]
sign_s = 1

[metrics]
listen = "socket"

[models]
budget = { tokens = 1_000_000, money = 1.0, per = "day" }

[[models.providers]]
name = "main"
url = "URL"

[[models.models]]
name = "clerk"
chain = [{ provider = "main", model = "scripted" }]

[departments.support]
charter = "Notes what it is told."

[[departments.support.agents]]
name = "desk"
rank = "operator"
skills = ["note", "raise", "die"]
model = "clerk"
tools = ["file"]
memory = { client = { read = ["*"], write = ["*"] } }
handler = "two.py:desk"

[[departments.support.tools]]
name = "file"
handler = "two.py:file"
"""
HANDLERS = """
import os
import sys

from mai.agents.context import Answer


def file(files, word):
    (files / word).write_text(word)
    return word


async def desk(ctx, task):
    word = task.text.split()[-1]
    for level in ("agent", "department", "client"):
        await ctx.remember(f"note of {word}", word, level=level)
    await ctx.tool("file", word=word)
    reply = await ctx.model([{"role": "user", "content": f"What of {word}?"}])
    await ctx.conclude(word, "state", word)
    print(f"printed {word}", flush=True)
    if "raise" in task.text:
        raise ValueError(f"{word} went wrong")
    if "die" in task.text:
        sys.stderr.write(f"{word} was the last word\\n")
        sys.stderr.flush()
        os._exit(3)
    return Answer(f"{word}: {reply.text}", {"word": word})
"""
READINGS = (
    ("tail", "-n", "10000", "--json"), ("incidents", "--json"), ("logs", "acme/support"), ("verify", "--deep", "--json"),
    ("sla", "--json"), ("budgets", "--json"), ("quarantine", "list", "--json"), ("effects", "list", "--json"),
    ("memory", "list", "acme", "--json"), ("fallback", "--json"),
)  # fmt: skip


@pytest.fixture(scope="module")
def provider() -> Iterator[Running]:
    """A model that says what it is asked."""
    with providing("[[rules]]\necho = true\n") as made:
        yield made


@pytest.fixture(scope="module")
def daemon(module_state: Path, provider: Running) -> Iterator[Daemon]:
    """Both have asked for all that there is, and each has had a process killed by it."""
    made = Daemon(module_state, ORGANISATION.replace("URL", provider.url))
    (made.file.parent / "two.py").write_text(HANDLERS)
    try:
        yield busy(made.up(), provider)
    finally:
        made.mai("down")


def busy(daemon: Daemon, provider: Running) -> Daemon:
    """Have everything happen to both."""
    for client, secret in SECRETS.items():
        answer = said(daemon, client, f"note {secret}", f"note-{secret}")
        assert secret in answer["answer"] and answer["state"] == "answered", answer
        assert secret in said(daemon, client, f"note {secret}", PLAIN[client])["answer"]
        assert said(daemon, client, f"raise {secret}", f"raise-{secret}")["state"] != "answered"
        assert said(daemon, client, f"die {secret}", f"die-{secret}")["state"] != "answered"
    until(lambda: all(one["state"] == "ready" for one in daemon.status().values()), "all are back")
    assert any(SECRETS["acme"] in json.dumps(heard) for heard in provider.heard()), "the model was asked"
    for client, secret in SECRETS.items():
        deaths = [body for _, body in daemon.journal("watchdog", "incident") if body["process"] == f"{client}/support"]
        assert any(secret in body["text"] for body in deaths), "its last words are on record"
    return daemon


def said(daemon: Daemon, client: str, text: str, request: str) -> dict[str, str]:
    """A client's answer."""
    replies = list(ask(daemon.place, client, text, request=request, timeout_s=PATIENCE_S, watch=True))
    return dict(replies[-1]["answer"])


def texts(daemon: Daemon, client: str) -> Iterator[tuple[str, bytes]]:
    """All that a process of this client can read, named."""
    for root in roots(daemon.place, client):
        for path in [root, *root.rglob("*")]:
            yield f"{path} (its name)", os.fsencode(path.relative_to(daemon.place.state))
            if path.is_file():
                yield str(path), path.read_bytes()
    for name, pids in daemon.pids().items():
        if name.startswith(f"{client}/"):
            for what in ("environ", "cmdline"):
                with suppress(PermissionError):  # an ordinary user may not read the environment, whosever process he is
                    yield f"{name}: {what}", Path(f"/proc/{pids[0]}/{what}").read_bytes()


@pytest.mark.parametrize("client", SECRETS)
def test_nothing_of_the_other_lies_where_a_client_can_read(daemon: Daemon, client: str) -> None:
    """Neither its secret nor its name; and the search finds what is there: the client's own secret is."""
    found = list(texts(daemon, client))
    assert len([name for name, text in found if SECRETS[client].encode() in text]) > 5
    for name, text in found:
        for word in (SECRETS[OTHER[client]], OTHER[client]):
            # Columns stand side by side in a page: a life "…ac" before "message.sent" is no "acme".
            said = re.search(rb"%b(?![a-z])" % word.encode(), text)
            assert said is None, f"{name}: … {text[max(0, said.start() - 100) : said.end() + 100]!r} …"


def test_no_secret_lies_anywhere_else(daemon: Daemon) -> None:
    """In no ledger, log or file of the host's own, and in nobody's environment or command line."""
    own = {path for client in SECRETS for root in roots(daemon.place, client) for path in (root, *root.rglob("*"))}
    for path in daemon.place.state.rglob("*"):
        if path not in own and path.is_file():
            assert not any(secret.encode() in path.read_bytes() for secret in SECRETS.values()), path
    for name, pids in daemon.pids().items():
        process = psutil.Process(pids[0])
        shown = json.dumps(process.cmdline())
        with suppress(psutil.AccessDenied):
            shown += json.dumps(process.environ())
        assert not any(secret in shown for secret in SECRETS.values()), name


@pytest.mark.parametrize("client", SECRETS)
def test_nothing_of_the_other_is_said_at_a_clients_door(daemon: Daemon, client: str) -> None:
    """Answers, history, effects, errors, and what is said of an id that the other has used."""
    other, door = OTHER[client], Door(daemon.place.sockets(client) / "door.sock", PATIENCE_S)
    orders: list[dict[str, Any]] = [
        {"do": "history", "last": 100}, {"do": "effects"}, {"do": "effects", "key": PLAIN[other]},
        {"do": "cancel", "request": "none", "order": "o1"}, {"do": "dance"}, {"do": "follow"},
        {"do": "ask", "request": "x1", "text": "What do you know of the other client?", "timeout_s": 20, "watch": True},
        {"do": "ask", "request": "x2", "text": "note what the other client said", "timeout_s": 20, "watch": True},
        {"do": "ask", "request": f"note-{SECRETS[client]}", "text": "another text"},
    ]  # fmt: skip
    for order in orders:
        for reply in door.ask(order):
            assert SECRETS[other] not in json.dumps(reply), order
    with pytest.raises(MaiError) as found:  # its id is free here: it was never used
        door.call({"do": "cancel", "request": PLAIN[other], "order": "o2"})
    assert "there is no request" in str(found.value)


def test_nothing_of_the_other_is_read_aloud(daemon: Daemon) -> None:
    """Each command that the daemon runs for who may see one client only; of the host figures there are names, and no words."""
    assert ONLY == "MAI_ONLY"
    for words in READINGS:
        ran = daemon.mai(*words, MAI_ONLY="acme")
        assert ran.returncode == 0, (words, ran.stderr)
        assert SECRETS["beta"] not in ran.stdout + ran.stderr and "beta" not in ran.stdout, words
    figures = daemon.mai("metrics")
    assert figures.returncode == 0 and 'client="beta"' in figures.stdout
    assert not any(secret in figures.stdout for secret in SECRETS.values())
