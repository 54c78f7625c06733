"""`mai deliver` and `mai thread` with a real daemon: people write, are answered in order, once, whatever is killed."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from mai.sandbox.errors import REFUSED, USAGE
from tests.channels import Mailing
from tests.small import until


@pytest.fixture(scope="module")
def daemon(module_state: Path) -> Iterator[Mailing]:
    """One for the tests that kill nobody."""
    fresh = Mailing(module_state)
    try:
        fresh.up()
        yield fresh
    finally:
        fresh.mai("down")


def test_a_mail_is_answered_in_its_conversation(daemon: Mailing) -> None:
    """The answer leaves once; the second mail of the same person is read in the light of the first."""
    first = daemon.deliver(daemon.letter("one", "Anna <ANNA@example.org>", "1"))
    second = daemon.deliver(daemon.letter("two", "anna@example.org", "2"))
    assert (first["from"], first["line"]) == ("anna@example.org", 1) and first["thread"] == second["thread"]
    daemon.left(2)
    lines = until(lambda: found if len(found := daemon.thread()) == 4 else None, "two answers") or []
    assert [line["who"] for line in lines if line["request"] == second["request"]] == ["person", "mai"]
    mine = [one for one in daemon.outbox() if one["to"] == "anna@example.org"]
    assert [one["reply_to"] for one in mine] == ["<1@x>", "<2@x>"] and "'one'" in mine[1]["text"]
    assert mine[0]["message"] == f"{first['message']}!answer{mine[0]['message'].rpartition('answer')[2]}"


def test_what_is_delivered_again_has_the_same_receipt_and_no_second_answer(daemon: Mailing) -> None:
    """By its Message-ID, by --id, by its content; another content under the same --id is refused."""
    mail, form = daemon.letter("again", "bert@example.org", "7"), b'{"wish": "again"}'
    assert daemon.deliver(mail) == daemon.deliver(mail)
    named = ("--from", "bert", "--id", "f1")
    assert daemon.deliver(form, *named, channel="form") == daemon.deliver(form, *named, channel="form")
    plain = daemon.letter("no id", "bert@example.org")
    assert daemon.deliver(plain) == daemon.deliver(plain)
    ran = daemon.mai("deliver", "acme", "--channel", "form", *named, "-", stdin=b'{"wish": "other"}')
    assert ran.returncode == USAGE and "another message" in ran.stderr
    until(lambda: len([one for one in daemon.outbox() if one["to"].startswith("bert")]) == 3, "three answers")
    daemon.sound()


@pytest.mark.parametrize(
    ("arguments", "data", "said"),
    [
        (("--channel", "fax"), b"x", "no channel 'fax'"),
        (("--channel", "mail"), b"hello", "no From"),
        (("--channel", "mail"), b"From: a@b.c\nAuto-Submitted: auto-replied\n\nI am away", "machine"),
        (("--channel", "mail"), b"From: a@b.c\n\n" + b"x" * 5000, "limit of a request"),
        (("--channel", "form"), b"{}", "from whom"),
        (("--channel", "form", "--from", "a"), b"[]", "JSON object"),
        (("--channel", "form", "--from", "a"), b" " * 3000, "limit of form"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_reason(
    daemon: Mailing, arguments: tuple[str, ...], data: bytes, said: str
) -> None:
    """A sentence, and the exit status of a wrong use; nothing of it is on record as a message."""
    ran = daemon.mai("deliver", "acme", *arguments, "-", stdin=data)
    assert ran.returncode == USAGE and said in ran.stderr, ran.stderr


def test_who_speaks_at_the_door_reads_his_own_conversation(daemon: Mailing) -> None:
    """What --as says is apart from what the user himself has asked, and nobody has the answer of another by its id."""
    asked = {"do": "ask", "request": "own-1", "text": "mail"}
    assert daemon.raw({**asked, "as": "Anna"})["answer"]["request"] == "own-1"
    assert daemon.raw({"do": "thread", "as": "anna"})["lines"][0]["text"] == "mail"
    assert daemon.raw({"do": "thread", "as": "bert"})["lines"] == []
    ran = daemon.mai("thread", "acme", "mail:nobody@x")
    assert ran.returncode == REFUSED and "no conversation" in ran.stderr
    listed = json.loads(daemon.mai("thread", "acme", "--list", "--json").stdout)
    assert f"door:{os.getuid()}/anna" in [one["thread"] for one in listed]


def taken(daemon: Mailing, mail: bytes) -> None:
    """Deliver it until it is taken."""
    until(lambda: daemon.mai("deliver", "acme", "--channel", "mail", "-", stdin=mail).returncode == 0, "it is taken")


def goes_on(daemon: Mailing, pid: int, writing: list[Future[None]]) -> None:
    """Kill a process, and wait until its successor has sent something, or there is nothing more to send."""
    before = len(daemon.outbox())
    os.kill(pid, signal.SIGKILL)
    until(
        lambda: daemon.ready() and (len(daemon.outbox()) > before or all(one.done() for one in writing)), "it goes on"
    )  # fmt: skip


@pytest.mark.seconds(240)
@pytest.mark.parametrize("process", ["acme/mai", "acme/support"])
def test_killed_again_and_again_everybody_is_answered_once(state: Path, process: str) -> None:
    """Ten people write twice each while a process is killed: every mail has one answer outside."""
    daemon = Mailing(state)
    try:
        daemon.up()

        def write(number: int) -> None:
            for n in (1, 2):
                taken(daemon, daemon.letter(f"letter {n}", f"p{number}@x.org", f"{number}-{n}"))

        with ThreadPoolExecutor(4) as pool:
            writing = [pool.submit(write, number) for number in range(10)]
            for _ in range(4):
                pids = until(lambda: daemon.pids().get(process), f"{process} is there") or []
                goes_on(daemon, pids[-1], writing)
            for one in writing:
                one.result()

        def settled() -> bool:
            threads = [daemon.thread(f"mail:p{number}@x.org") for number in range(10)]
            return all(len(lines) == 4 and all(one.get("carried") != "on its way" for one in lines) for lines in threads)

        def done() -> bool:
            for one in json.loads(daemon.mai("effects", "list", "--json").stdout):  # killed in the middle of the tool
                happened = (
                    "--happened" if one["given"]["message"] in [sent["message"] for sent in daemon.outbox()] else "--did-not"
                )
                daemon.mai("effects", "resolve", one["key"], happened)
            return settled()

        until(done, "all are answered")
        messages = [one["message"] for one in daemon.outbox()]
        assert len(messages) == len(set(messages)) == 20
        daemon.sound()
    finally:
        daemon.mai("down")
