"""`mai erase`: what a client's ledgers hold of one person is found nowhere any more, and the journals stay what they were."""

import json
import os
import re
import signal
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mai.agents import events, markers
from mai.agents.erased import Values
from mai.agents.eraser import ordered
from mai.agents.naming import Names
from mai.daemon import deep
from mai.daemon.reader import Reader
from mai.daemon.replaying import sweep
from mai.daemon.scripted import running
from mai.daemon.verify import verify
from mai.sandbox.bounds import ALL
from mai.sandbox.errors import REDACTED
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place
from mai.sandbox.purging import redact
from mai.sandbox.record import digest_of
from mai.sandbox.traps import order, waits
from tests.small import HANDLERS, ORGANISATION, Daemon, environment, until

ANNA = "anna@example.org"
SECRETS = (b"anna@example.org", b"Quittenmus", b"Zwetschgen", b"Holunder", b"881230045678", b"Mirabellen")
PEOPLE = """
[[departments.support.agents]]
name = "friend"
rank = "operator"
charter = "Knows people."
handler = "small.py:friend"
model = "mind"

[[departments.support.contracts]]
name = "greet"
about = "Greet somebody"
served_by = "friend"
may_ask = ["client"]
request = { who = "str", likes = "str" }
reply = { said = "str", number = "int", also = "any" }
phrases = ["greet {who} who likes {likes}"]

[[channels]]
name = "mail"
department = "support"
desk = ["friend"]
parse = "mail"
spool = true

[[departments.finance.agents]]
name = "gossip"
rank = "operator"
charter = "Hears what others say."
handler = "small.py:gossip"
model = "mind"

[[departments.finance.contracts]]
name = "rumour"
about = "The newest rumour"
served_by = "gossip"
may_ask = ["client"]
request = { n = "int" }
reply = { heard = "bool" }
phrases = ["rumour {n}"]

[[models.providers]]
name = "main"
url = "URL"

[[models.models]]
name = "mind"
chain = [{ provider = "main", model = "scripted" }]
"""
SCRIPT = """
[[rules]]
user = '(?P<what>.+)'
text = "It is well known that {what}. {what}! {what}! {what}! {what}! {what}!"
"""
RUMOUR = "Schlehenmond"  # is told by what Anna has brought, and put into a prompt by who has read it
FRIEND = """

async def friend(ctx, task):
    if not task.contract:
        print("a letter of", task.input["sender"], task.text, flush=True)
        await ctx.remember("letters/" + task.input["sender"], task.text, level="client")
        return Answer("Thank you for: " + task.text, {})
    who, likes = task.input["who"], task.input["likes"]
    print("greets", who, "who likes", likes, flush=True)
    number = 881230045678 if who.startswith("anna") else 77
    before = await ctx.recall("people/" + who)
    await ctx.remember("people/" + who, {"likes": likes, "number": number})
    await ctx.remember("last", {"likes": likes})
    await ctx.remember("client/" + who, likes, level="client")
    if who.startswith("anna"):
        await ctx.remember("newest", {"tells": "RUMOUR"}, level="client")
    await ctx.model([{"role": "user", "content": who + " likes " + likes}])
    await ctx.conclude(who, "likes", likes)
    found = await ctx.search(likes)
    return {"said": f"hello {who}, you like {likes}", "number": number, "also": [before, len(found)]}


async def gossip(ctx, task):
    found = await ctx.recall("newest", level="client")
    await ctx.model([{"role": "user", "content": "somebody tells " + found["tells"]}])
    return {"heard": True}
"""


def everything(state: Path) -> dict[str, bytes]:
    """All files of a state directory, but the copy of the sources that Python makes."""
    return {
        str(path.relative_to(state)): path.read_bytes()
        for path in state.rglob("*")
        if path.is_file() and not path.is_symlink() and "pycache" not in str(path)
    }


def holding(state: Path) -> set[str]:
    """The files in which anything of Anna stands; segments and answers of models are unpacked, what is sealed is opened."""
    found = {name for name, data in everything(state).items() if any(word in data for word in SECRETS)}
    place = Place(state)
    for process in (*place.processes(), "watchdog"):
        with closing(Reader(place, process)) as reader:
            for entry in reader.archive.entries:
                segment = reader.archive.segment(entry)
                texts = [*(one.body.encode() for one in segment.records(ALL)), *(data for _, data in segment.blobs())]
                found |= {f"{process}: {entry.file}" for text in texts if any(word in text for word in SECRETS)}
            answers = [unpacked(bytes(data)) for (data,) in reader.plain("SELECT value FROM blob")]
            found |= {f"{process}: an answer" for text in answers if any(word in text for word in SECRETS)}
            said = [json.dumps(reader.fields(one)).encode() for one in reader.records("TRUE", limit=100_000)]
            found |= {f"{process}: a record" for text in said if any(word in text for word in SECRETS)}
    return found


def unpacked(data: bytes) -> bytes:
    """What was packed, or what it was if it was not."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return b""


def rumours(daemon: Daemon, process: str) -> list[int]:
    """The records in which the rumour stands."""
    with closing(Reader(daemon.place, process)) as reader:
        return [one.seq for one in reader.records("TRUE", limit=100_000) if RUMOUR in json.dumps(reader.fields(one))]


def traps(daemon: Daemon) -> Path:
    """Where processes are told to die."""
    return daemon.file.parent / "points"


@pytest.fixture(scope="module")
def daemon(module_state: Path) -> Iterator[Daemon]:
    """One that Anna and Ben have talked with, and that has erased Anna."""
    with running(SCRIPT) as provider:
        made = Daemon(module_state, ORGANISATION + PEOPLE.replace("URL", provider.url))
        (made.file.parent / "small.py").write_text(HANDLERS + FRIEND.replace("RUMOUR", RUMOUR))
        traps(made).mkdir()
        up(made)
        yield from known(made)


def up(daemon: Daemon) -> None:
    """Start it, with points at which processes may be struck."""
    ran = daemon.mai("up", "--detach", str(daemon.file), MAI_POINTS=str(traps(daemon)))
    assert ran.returncode == 0, ran.stderr


def known(made: Daemon) -> Iterator[Daemon]:
    """The same, once they have talked."""
    try:
        assert made.ask(f"greet {ANNA} who likes Quittenmus", "r1")["state"] == "answered"
        assert made.ask(f"greet {ANNA} who likes Zwetschgen", "r2")["state"] == "answered"
        os.kill(made.status()["acme/support"]["pid"], signal.SIGKILL)  # what it printed last is kept
        until(made.ready, "it is back")
        assert made.ask("greet ben@example.org who likes Birnen", "r3")["state"] == "answered"
        assert made.ask("refund order 3", "r4")["state"] == "answered"
        for order in ("pause", "resume"):
            assert (
                made.mai(
                    order, "acme/finance", *(("--why", f"{ANNA} is to be called first") if order == "pause" else ())
                ).returncode
                == 0
            )
        for what in ("acme", "watchdog"):
            assert made.mai("archive", what, "--before", "now", "--timeout", "30").returncode == 0
        assert made.ask(f"greet {ANNA} who likes Mirabellen", "r5")["state"] == "answered"
        for who, text in ((ANNA, "Holunder"), ("ben@example.org", "Rhabarber")):
            letter = f"From: {who}\nSubject: {text}\nMessage-Id: <{text}@example.org>\n\nI like {text}.\n"
            (made.place.spool("acme", "mail") / "new" / f"{text[:3]}.eml").write_text(letter)
        until(lambda: len([1 for _ in made.journal("acme/mai", "request.ended")]) >= 3, "the letters are answered")
        assert made.ask("rumour 1", "r6")["state"] == "answered"
        yield made
    finally:
        made.mai("down")


def test_what_is_told_first_changes_nothing(daemon: Daemon) -> None:
    """--dry-run counts for each process and kind of record what goes, and nothing is done."""
    ran = daemon.mai("erase", "acme", "--subject", ANNA, "--dry-run", "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert len(found["requests"]) == 4 and found["open"] == []
    assert set(found["processes"]) == {"acme/mai", "acme/support", "acme/finance", "acme/models"}
    assert found["processes"]["acme/support"]["memory.written"] == 6
    assert any(name.endswith(".segment") for name in holding(daemon.place.state))


def test_nothing_of_the_person_is_left(daemon: Daemon) -> None:
    """No file holds one of the values any more, whoever was killed on the way, all else is as it was, and everything verifies."""
    refused = daemon.mai("erase", "acme", "--subject", ANNA)
    assert refused.returncode == 2 and "--yes" in refused.stderr
    assert ANNA in daemon.mai("incidents", "acme", "--json").stdout or (daemon.place.state / "deaths").exists()
    for process, point, nth in (
        ("acme/support", "erase.committed", 1),
        ("acme/mai", "erase.begun", 1),
        ("watchdog", "commit.after", 3),
    ):
        order(traps(daemon), process, point, nth, signal.SIGKILL, 0)
    assert daemon.mai("stop", "acme/finance").returncode == 0
    arguments = ("erase", "acme", "--subject", ANNA, "--yes", "--json", "--timeout")
    last = "e1 is not done yet: acme/finance (it is stopped: start it, and it will)"
    until(lambda: last in daemon.mai(*arguments, "1").stderr, "all others have done it")
    os.kill(daemon.pids()["watchdog"][0], signal.SIGKILL)  # whoever comes has to know what the others have erased
    until(lambda: last in daemon.mai(*arguments, "1").stderr, "another watchdog has looked for it all again")
    order(traps(daemon), "watchdog", "erase.overwritten", 2, signal.SIGKILL, 0)
    assert daemon.mai("start", "acme/finance").returncode == 0
    until(lambda: daemon.mai(*arguments, "30").returncode == 0, "it is done, whoever died")
    assert not any(waits(traps(daemon), process) for process in ("acme/support", "acme/mai", "watchdog"))
    until(daemon.ready, "all is well")
    assert not any(word.decode() in daemon.mai("incidents", "acme", "--json").stdout for word in SECRETS)
    assert holding(daemon.place.state) == set(), {
        name: [word for word in SECRETS if word in data]
        for name, data in everything(daemon.place.state).items()
        if any(w in data for w in SECRETS)
    }
    assert any(b"Birnen" in data for data in everything(daemon.place.state).values())
    report = deep.check(daemon.place)
    assert report.sound, report.findings


def test_what_others_have_read_is_erased_and_what_they_made_of_it_is_named(daemon: Daemon) -> None:
    """The rumour that Anna has brought is gone from who has read it; the prompt into which he put it is named as left."""
    assert rumours(daemon, "acme/mai") == rumours(daemon, "acme/support") == rumours(daemon, "acme/finance") == []
    (path,) = (daemon.place.state / "certificates").glob("acme-e1-*.json")
    left = json.loads(path.read_text())["left"]
    assert len(left) == 2 and all(re.fullmatch(r"acme/models: record \d+, model.re(quest|sponse)", one) for one in left), left
    with closing(Reader(daemon.place, "acme/models")) as reader:
        named = [int(number) for one in left for number in re.findall(r"\d+", one)]
        assert {one.request for one in reader.records("TRUE", limit=100_000) if one.seq in named} == {"r6"}


def test_a_replay_says_what_was_erased(daemon: Daemon) -> None:
    """A decision that rested on the values is *redacted*, says when and by whom, with its own exit status; others verify."""
    assert "segment.erased" in daemon.mai("tail", "acme/support", "--kind", "segment.erased").stdout
    found = sweep(daemon.place, "acme")
    assert found.wrong == () and found.redacted > 5 and found.verified > 5
    listed = json.loads(daemon.mai("replay", "r1", "--list", "--json").stdout)["decisions"]
    ran = daemon.mai("replay", listed[-1]["decision"])
    assert ran.returncode == REDACTED, ran.stdout + ran.stderr
    assert "redacted: erased on " in ran.stdout and "(erased e1" in ran.stdout
    assert daemon.mai("replay", "--all", "r3").returncode == 0
    assert daemon.mai("replay", "--all", "r1").returncode == REDACTED


def test_what_is_read_says_erased(daemon: Daemon) -> None:
    """Trace and tail show markers where the values were; verify counts the records."""
    for command in (("trace", "r1"), ("tail", "--request", "r1")):
        ran = daemon.mai(*command)
        assert ran.returncode == 0 and "(erased e1" in ran.stdout, (command, ran.stdout, ran.stderr)
    ran = daemon.mai("verify", "--state")
    assert ran.returncode == 0 and " redacted" in ran.stdout, ran.stdout


def test_who_was_erased_is_met_anew(daemon: Daemon) -> None:
    """A later request about the same person finds nothing of before, and works."""
    answer = daemon.ask(f"greet {ANNA} who likes Mispeln", "r9")
    assert answer["state"] == "answered" and answer["parts"][0]["value"]["also"] == [None, 2]
    assert deep.check(daemon.place).sound


def test_the_certificate_says_what_was_destroyed_and_of_whom_nothing(daemon: Daemon) -> None:
    """It is signed, says how much went where and what is not covered, and has no word of the person; one byte more is found."""
    (path,) = (daemon.place.state / "certificates").glob("acme-e1-*.json")
    ran = daemon.mai("client", "certificate", str(path), "--json")
    assert ran.returncode == 0, ran.stderr
    paper = json.loads(ran.stdout)
    assert {led["process"]: (led["records"] > 0, led["texts"] > 0) for led in paper["ledgers"]} == {
        "acme/mai": (True, False), "acme/support": (True, True), "acme/finance": (True, False), "acme/models": (False, True),
        "watchdog": (True, False),
    }  # fmt: skip
    assert any("backups" in text for text in paper["not_covered"]) and paper["log_lines"] == 4 and paper["spool_files"] == 1
    assert "anna" not in path.read_text().casefold()
    path.write_text(path.read_text().replace('"requests": 4', '"requests": 3'))
    assert daemon.mai("client", "certificate", str(path)).returncode == 1


def test_a_conversation_says_erased(daemon: Daemon) -> None:
    """Who reads the conversation finds its lines under another name, without their words."""
    (thread,) = re.findall(r"mail:erased-e1\S*", daemon.mai("thread", "acme", "--list").stdout)
    ran = daemon.mai("thread", "acme", thread)
    assert ran.returncode == 0 and "(erased e1" in ran.stdout and "anna" not in ran.stdout
    assert "I like Rhabarber" in daemon.mai("thread", "acme", "mail:ben@example.org").stdout


def test_what_cannot_come_to_an_end_can_be_abandoned(daemon: Daemon) -> None:
    """Who waits for it is told, no order is left anywhere, and what was not begun is not erased."""
    assert daemon.mai("stop", "acme/support").returncode == 0
    arguments = ("erase", "acme", "--subject", "ben@example.org")
    command = daemon.command(*arguments, "--yes", "--json")
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
        until(lambda: ordered(daemon.place.home("acme/support")), "it has its order")
        assert daemon.mai("erase", "acme", "--subject", "carl@example.org", "--abandon").returncode == 2
        ran = daemon.mai(*arguments, "--abandon", "--json")
        assert ran.returncode == 0, ran.stderr
        said = json.loads(ran.stdout)
        assert (said["state"], said["erasure"]) == ("abandoned", "e2") and "acme/support" in said["left"]
        assert b"e2 was abandoned by " in waiting.communicate()[1]
    assert not any(ordered(daemon.place.home(process)) for process in daemon.place.processes())
    assert not list(daemon.place.state.glob("clients/acme/erasing.json*"))
    assert daemon.mai("start", "acme/support").returncode == 0
    assert "Birnen" in daemon.mai("tail", "acme/support", "--request", "r3").stdout
    assert "abandoned" in daemon.mai("tail", "watchdog", "--kind", "person").stdout
    assert deep.check(daemon.place).sound


def test_only_what_was_ordered_counts_as_erased(daemon: Daemon) -> None:
    """A department that empties a record of its own and says that it was an erasure is found out."""
    assert daemon.ask("refund order 9", "r10")["state"] == "answered"
    assert daemon.mai("stop", "acme/finance").returncode == 0
    with closing(Ledger(daemon.place.ledger("acme/finance"), "acme/finance")) as ledger:
        record = [one for one in ledger.records() if one.kind == "step"][-1]
        body = markers.redacted(record.kind, record.body, Names("nobody", "e1"))
        digest = digest_of(record._replace(body=body)).hex()
        redact(ledger, [(record.seq, body)], [])
        listed = ((record.seq, record.digest.hex(), digest),)
        said = Values(erasure="e3", round=1, by="root", role="administrator", at_ms=1, records=listed)
        ledger.append(said.kind, events.encode(said))
        ledger.commit()
    report = verify(daemon.place, ["acme"])
    assert [one.what for one in report.findings if "nobody has ordered" in one.what], report.findings
    assert all(one.process == "acme/finance" for one in report.findings)
