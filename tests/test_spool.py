"""Spools with a real daemon: files put into a directory by rename are taken exactly once, junk is refused, whatever is killed."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mai.sandbox.traps import order
from tests.channels import Mailing
from tests.small import until


class Spooling(Mailing):
    """The daemon, and its spool for mail."""

    @property
    def spool(self) -> Path:
        """The channel's directory."""
        return self.place.spool("acme", "mail")

    def put(self, name: str, data: bytes) -> None:
        """As a mailer does it: written in tmp/, renamed into new/."""
        part = self.spool / "tmp" / name
        part.write_bytes(data)
        part.chmod(0o644)
        part.rename(self.spool / "new" / name)

    def names(self, where: str) -> set[str]:
        """What lies in a directory of it."""
        return {os.fsdecode(one) for one in os.listdir(os.fsencode(self.spool / where))}

    def kept(self, kind: str) -> list[dict[str, object]]:
        """The bodies of Mai's records of a kind."""
        ran = self.mai("tail", "acme/mai", "--kind", kind, "-n", "1000", "--json")
        return [json.loads(line)["body"] for line in ran.stdout.splitlines()]


@pytest.fixture(scope="module")
def daemon(module_state: Path) -> Iterator[Spooling]:
    """One for the tests that kill nobody."""
    fresh = Spooling(module_state)
    try:
        fresh.up()
        yield fresh
    finally:
        fresh.mai("down")


def test_a_file_that_is_put_into_new_is_answered_and_lies_in_cur(daemon: Spooling) -> None:
    """Its owner has delivered it, and its sender is the mail's."""
    daemon.put("1.mail", daemon.letter("by file", "carl@example.org", "c1"))
    until(lambda: "1.mail" in daemon.names("cur") and daemon.names("new") == set(), "it lies in cur/")
    until(lambda: [one for one in daemon.outbox() if one["to"] == "carl@example.org"], "it is answered")
    (taken,) = [one for one in daemon.kept("inbound.taken") if one["thread"] == "mail:carl@example.org"]
    assert taken["uid"] == os.getuid() and isinstance(file := taken["file"], dict) and file["name"] == "1.mail"


def test_the_same_message_in_another_file_or_at_the_door_is_no_second_one(daemon: Spooling) -> None:
    """It is moved to cur/ with a record that says what it was, and answered once."""
    mail = daemon.letter("twice", "dora@example.org", "d1")
    daemon.put("d-1", mail)
    until(lambda: "d-1" in daemon.names("cur"), "the first")
    daemon.put("d-2", mail)
    until(lambda: "d-2" in daemon.names("cur"), "the second")
    assert daemon.deliver(mail)["thread"] == "mail:dora@example.org"
    refused = [one for one in daemon.kept("spool.refused") if one["file"]["name"] == "d-2"]  # type: ignore[index]
    assert [one["to"] for one in refused] == ["cur"]
    until(lambda: [one for one in daemon.outbox() if one["to"] == "dora@example.org"], "it is answered")
    daemon.sound()
    assert len([one for one in daemon.outbox() if one["to"] == "dora@example.org"]) == 1


def test_junk_is_refused_with_its_reason(daemon: Spooling) -> None:
    """Links, pipes, sockets, what is too large, binary or unreadable, strange names: each lies in bad/ beside a reason."""
    new, secret = daemon.spool / "new", daemon.place.state / "secret"
    secret.write_text("From: a@b.c\n\nsecret")
    (new / "symlink").symlink_to(secret)
    os.link(secret, new / "hardlink")
    os.mkfifo(new / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(new)
    listener.bind("socket")
    os.chdir(here)
    listener.close()
    daemon.put("large", b"From: a@b.c\n\n" + b"x" * (300 << 10))
    daemon.put("binary", os.urandom(500))
    daemon.put("empty", b"")
    (new / ".hidden").write_text("not there yet")
    odd = os.fsencode(new) + b"/\xff\nname"
    with open(odd, "wb") as file:
        file.write(b"\0\1\2")
    until(lambda: daemon.names("new") == {".hidden"}, "all are taken out of new/")
    bad = daemon.names("bad")
    found = {name: (daemon.spool / "bad" / f"{name}.why").read_text() for name in bad if not name.endswith(".why")}
    strange = {one for one in found if one.startswith("strange-")}
    assert found.keys() - strange == {"symlink", "hardlink", "fifo", "socket", "large", "binary", "empty"} and len(strange) == 1
    said = {"symlink": "a link", "hardlink": "another name", "fifo": "a pipe", "socket": "a socket", "large": "limit"}
    assert all(what in found[name] for name, what in said.items()), found
    assert secret.read_text() and "secret" not in str(daemon.kept("inbound"))
    (new / ".hidden").unlink()
    daemon.sound()


def test_what_has_no_room_stays_where_it_is(daemon: Spooling) -> None:
    """More messages of one person than may wait: the rest is taken when there is room, none is lost."""
    for number in range(30):
        daemon.put(f"e-{number:02}", daemon.letter(f"letter {number}", "eve@example.org", f"e{number}"))
    until(lambda: len([one for one in daemon.outbox() if one["to"] == "eve@example.org"]) == 30, "all are answered")
    lines = until(lambda: found if len(found := daemon.thread("mail:eve@example.org")) == 60 else None, "all lines") or []
    assert [line["text"] for line in lines if line["who"] == "person"] == [f"letter {number}" for number in range(30)]
    daemon.sound()


def test_who_may_not_deliver_is_refused(daemon: Spooling) -> None:
    """The owner of a file is who delivers it."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    part = daemon.spool / "tmp" / "foreign"
    part.write_bytes(daemon.letter("foreign", "fred@example.org", "f1"))
    os.chown(part, 12_345, 12_345)
    part.rename(daemon.spool / "new" / "foreign")
    until(lambda: "foreign.why" in daemon.names("bad"), "it is refused")
    assert "uid 12345 may not deliver" in (daemon.spool / "bad" / "foreign.why").read_text()


@pytest.mark.seconds(240)
@pytest.mark.parametrize("point", ["spool.taken", "spool.moving", "commit.inside", "commit.after"])
def test_killed_amid_taking_each_file_is_taken_once(state: Path, point: str) -> None:
    """Mai dies at that point with each of some files: afterwards each has one record, one answer, and lies in cur/."""
    daemon = Spooling(state)
    traps = state / "points"
    traps.mkdir()
    try:
        ran = daemon.mai("up", "--detach", str(daemon.file), MAI_POINTS=str(traps))
        assert ran.returncode == 0, ran.stderr
        for number in range(3):
            order(traps, "acme/mai", point, 1, signal.SIGKILL, 0)
            daemon.put(f"m-{number}", daemon.letter(f"letter {number}", f"p{number}@x.org", f"m{number}"))
            until(lambda number=number: f"m-{number}" in daemon.names("cur"), f"{number} lies in cur/")  # type: ignore[misc]
        until(lambda: len(daemon.outbox()) >= 3, "all are answered")
        until(daemon.ready, "all is well")
        assert daemon.names("new") == set() and len(daemon.kept("inbound.taken")) == 3
        daemon.sound()
        assert len({one["message"] for one in daemon.outbox()}) == len(daemon.outbox()) == 3
        assert daemon.status()["acme/mai"]["restarts"] >= 1
    finally:
        daemon.mai("down")
