"""Who may do what at the doors of a running daemon: every verb of every role through the real sockets, as other users."""

import contextlib
import json
import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mai.daemon.door import Door
from mai.daemon.lector import MOST, OF_ONE
from mai.daemon.rights import AT_MAI, AT_WATCHDOG
from mai.sandbox.errors import MaiError, Refused
from tests import guests
from tests.guests import Guest, only_root
from tests.small import ORGANISATION, PATIENCE_S, Daemon, until

ADMINISTRATOR, OPERATOR, AUDITOR, CLIENT, BETA, NOBODY = (Guest(uid) for uid in range(64_000, 64_006))
GROUP = 64_100
BY_GROUP = Guest(64_006, (64_999, GROUP))
DELIVERER = Guest(64_007)
ROLES = f"""
[[doors]]
role = "administrator"
users = ["{ADMINISTRATOR.uid}"]
[[doors]]
role = "operator"
users = ["{OPERATOR.uid}"]
[[doors]]
role = "auditor"
users = ["{AUDITOR.uid}"]
[[doors]]
role = "client"
users = ["{CLIENT.uid}"]
clients = ["acme"]
[[doors]]
role = "deliverer"
users = ["{DELIVERER.uid}"]
clients = ["acme"]
[[doors]]
role = "operator"
users = ["{BETA.uid}"]
clients = ["beta"]
[[doors]]
role = "auditor"
groups = ["{GROUP}"]
clients = ["acme"]
"""
SHOWS = {"status", "remedies", "read"}
LISTS = {"clients", "keys"}
ORDERS = {"start", "stop", "restart", "reset", "pause", "resume", "drain"}
WHOLE = {  # and down, which the last test does
    "reload", "wait_ready", "follow", "remedy", "announce", "client_add", "client_remove", "client_erase", "client_export",
    "person_erase", "archive",
    "rotate",
}  # fmt: skip
WATCHDOG = {  # who -> what he may at the watchdog's door, of a process of acme
    ADMINISTRATOR: SHOWS | LISTS | ORDERS | WHOLE, OPERATOR: SHOWS | LISTS | ORDERS, AUDITOR: SHOWS | LISTS,
    CLIENT: set(), BETA: SHOWS,
    BY_GROUP: SHOWS, DELIVERER: set(), NOBODY: set(),
}  # fmt: skip
SEEN = {"effects", "conflicts", "approvals", "escalations", "threads"}
RESOLVES = {"resolve", "cancel", "release", "rule_case", "appeal_case", "approve", "deny", "answer", "shift"} | SEEN
TALKS = {"ask", "history", "thread"}
MAI = {  # at the door of acme's Mai
    ADMINISTRATOR: RESOLVES | TALKS | {"deliver"}, OPERATOR: RESOLVES, AUDITOR: SEEN, CLIENT: TALKS, DELIVERER: {"deliver"},
    BETA: set(), BY_GROUP: SEEN, NOBODY: set(),
}  # fmt: skip
DENIED = ("needs the role", "has no role at this door")


@pytest.fixture(scope="module")
def daemon(module_state: Path) -> Iterator[Daemon]:
    """Two clients, and a role for each of our users."""
    text = ORGANISATION.replace('clients = ["acme"]', 'clients = ["acme", "beta"]')
    module_state.chmod(0o711)
    made = Daemon(module_state, text + ROLES)
    try:
        yield made.up()
    finally:
        made.mai("down")


def asked(verb: str) -> dict[str, Any]:
    """A request that does no harm where it is let through: what it names is not there."""
    given: dict[str, dict[str, Any]] = {
        "ask": {"request": "-", "text": "x"}, "read": {"command": ["dance"]}, "reload": {"dry": True},
        "follow": {"client": "acme"}, "cancel": {"request": "none"}, "resolve": {"key": "none"},
    }  # fmt: skip
    return {"do": verb, "name": "acme/nobody", **given.get(verb, {})}


def verbs(door: Path) -> set[str]:
    """What a door itself says that it knows."""
    [reply] = Door(door, PATIENCE_S).ask({"do": "dance"})
    return set(str(reply["hint"]).split(": ")[-1].removeprefix("it knows ").split(", "))


def records(daemon: Daemon, process: str, kind: str) -> list[dict[str, Any]]:
    """The bodies of records of a kind."""
    return [body for _, body in daemon.journal(process, kind)]


# -- the table
def test_every_verb_has_a_role(daemon: Daemon) -> None:
    """What the doors know and what the tables of rights have is the same: a new verb needs a line in daemon/rights.py."""
    assert verbs(daemon.place.door) | {"remedy", "announce"} == set(AT_WATCHDOG)
    assert verbs(daemon.place.sockets("acme") / "door.sock") == set(AT_MAI)


@only_root
@pytest.mark.parametrize("guest", WATCHDOG, ids=lambda guest: f"{guest.uid}")
def test_each_role_may_what_it_may(daemon: Daemon, guest: Guest) -> None:
    """Every verb of both doors, as each of the users: let through or refused, as the tables of this file say."""
    for door, may, known in (
        (daemon.place.door, WATCHDOG[guest], SHOWS | LISTS | ORDERS | WHOLE),
        (daemon.place.sockets("acme") / "door.sock", MAI[guest], RESOLVES | TALKS | {"deliver"}),
    ):
        said = dict(zip(sorted(known), guests.knock(guest, door, [asked(verb) for verb in sorted(known)]), strict=True))
        denied = {verb for verb, reply in said.items() if any(word in str(reply.get("error")) for word in DENIED)}
        assert known - denied == may, said
        assert all(said[verb]["code"] == Refused.code and "[[doors]]" in said[verb]["hint"] for verb in denied)
        assert known | {"down"} == set(AT_WATCHDOG) or known == set(AT_MAI)


@only_root
def test_uses_and_refusals_are_on_record(daemon: Daemon) -> None:
    """With the user whom the kernel names, the role, the verb and what it was about; looks once, orders each."""
    door, mais = daemon.place.door, daemon.place.sockets("acme") / "door.sock"
    guests.knock(OPERATOR, door, [{"do": "status"}] * 3 + [{"do": "resume", "name": "acme/finance"}] * 2)
    guests.knock(AUDITOR, door, [{"do": "restart", "name": "acme/finance"}] * 2)
    guests.knock(CLIENT, mais, [{"do": "resolve", "key": "the-key"}])
    guests.knock(OPERATOR, mais, [{"do": "cancel", "request": "the-request"}])

    def of(process: str, kind: str, guest: Guest, verb: str) -> list[dict[str, Any]]:
        return [one for one in records(daemon, process, kind) if (one["uid"], one["verb"]) == (guest.uid, verb)]

    def done() -> bool:
        resumed = [one for one in of("watchdog", "door.used", OPERATOR, "resume") if one.get("what") == "acme/finance"]
        looked, denied = (
            of("watchdog", "door.used", OPERATOR, "status"),
            of("watchdog", "door.denied", AUDITOR, "restart"),
        )
        cancelled = [one for one in of("acme/mai", "door.used", OPERATOR, "cancel") if one.get("what") == "the-request"]
        assert len(looked) <= 1 and len(denied) <= 1
        assert all(one["role"] == "operator" for one in (*resumed, *looked, *cancelled))
        return bool(looked and denied and cancelled and len(resumed) == 2 and of("acme/mai", "door.denied", CLIENT, "resolve"))

    until(done, "the records")
    shown = daemon.mai("tail", "-n", "1000", "--kind", "door.denied").stdout
    assert f"uid {AUDITOR.uid} may not 'restart' here: that needs the role operator for acme" in shown
    assert daemon.mai("verify", "--deep").returncode == 0


@only_root
def test_a_request_is_on_record_with_who_asked(daemon: Daemon) -> None:
    """The client's user asks by the command line, and Mai's journal has the user, the number and the role."""
    ran = guests.mai(CLIENT, daemon.place.state, "ask", "acme", "refund order 17", "--id", "asked-by-a-guest")
    assert ran.returncode == 0 and "Order 17 was refunded." in ran.stdout, ran
    [accepted] = [one for one in records(daemon, "acme/mai", "request.accepted") if one["request"] == "asked-by-a-guest"]
    assert (accepted["by"], accepted["uid"], accepted["role"]) == (f"uid {CLIENT.uid}", CLIENT.uid, "client")
    for client, status in (("beta", 4), ("gamma", 2)):
        assert guests.mai(CLIENT, daemon.place.state, "ask", client, "refund order 18").returncode == status
    assert guests.mai(OPERATOR, daemon.place.state, "ask", "acme", "refund order 18").returncode == 4


@only_root
def test_who_speaks_for_a_client_hears_what_was_said_to_him_alone(daemon: Daemon) -> None:
    """Another user's conversation, history and answer are not his, also if he knows the id and the words; auditors read all."""
    door = daemon.place.sockets("acme") / "door.sock"
    asked_ = {"do": "ask", "request": "told-to-root", "text": "refund order 19"}
    assert daemon.raw(asked_)["answer"]["state"] == "answered"
    *_, history, thread, again, others = guests.knock(
        CLIENT, door, [{"do": "history"}, {"do": "thread"}, asked_, {"do": "threads", "thread": "door:0"}]
    )
    assert all(one["request"] != "told-to-root" for one in (*history["history"], *thread["lines"]))
    assert "another request" in again["error"] and "needs the role" in others["error"]
    [read] = guests.knock(AUDITOR, door, [{"do": "threads", "thread": "door:0"}])
    assert [one["what"] for one in read["lines"] if one["request"] == "told-to-root"] == ["message", "answer"]


@only_root
def test_who_floods_the_queue_keeps_nobody_out(daemon: Daemon) -> None:
    """Two users without a role connect as fast as they can: others are served at both doors, and the journals stay small."""
    doors = (daemon.place.door, daemon.place.sockets("acme") / "door.sock")

    def knock() -> int:
        print("begun", flush=True)
        while True:
            for door in doors:
                with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(str(door))

    children = [guests.forked(guest, knock) for guest in (NOBODY, Guest(64_050))]
    try:
        for _, out, _ in children:
            os.read(out, 5)
        for number in range(20):
            assert daemon.status()["acme/mai"]["state"] == "ready"
            assert daemon.raw({"do": "history", "last": 1})["history"] is not None, number
    finally:
        for pid, _, _ in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
    denied = [one for one in records(daemon, "watchdog", "door.denied") if one["uid"] == 64_050]
    assert [one["verb"] for one in denied] == [""]


# -- what is closed
@only_root
def test_a_guest_reaches_the_doors_and_nothing_else(daemon: Daemon) -> None:
    """Of all that lies in the state directory other users can list nothing, open nothing, and connect to the doors alone."""
    state = daemon.place.state
    paths = [state, *state.rglob("*")]
    doors = {daemon.place.door, *(daemon.place.sockets(client) / "door.sock" for client in ("acme", "beta"))}
    sockets = [path for path in paths if stat.S_ISSOCK(path.lstat().st_mode)]
    assert doors < set(sockets) and any(path.name == "ledger.db" for path in paths)

    def attempt() -> int:
        for path in paths:
            for look in (os.listdir, lambda path: os.open(path, os.O_RDONLY), lambda path: os.open(path, os.O_WRONLY)):
                with contextlib.suppress(OSError):
                    look(path)
                    print("opened", path)
        for path in sockets:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                print("connected", path)
        return 0

    pid, out, _ = guests.forked(NOBODY, attempt)
    with open(out) as output:
        assert set(output.read().splitlines()) == {f"connected {door}" for door in doors}
    os.waitpid(pid, 0)


@only_root
def test_what_a_person_has_put_there_is_closed(state: Path) -> None:
    """A directory of credentials that was closed by the state directory alone is closed by itself; the way is shut again."""
    state.chmod(0o711)
    made = Daemon(state)
    credentials = made.place.state / "credentials"
    credentials.mkdir(parents=True, mode=0o755)
    made.place.state.chmod(0o700)
    made.file.write_text(ORGANISATION + ROLES.replace('["beta"]', '["acme"]'))
    try:
        made.up()
        assert (stat.S_IMODE(made.place.state.stat().st_mode), stat.S_IMODE(credentials.stat().st_mode)) == (0o711, 0o711)
        assert guests.knock(AUDITOR, made.place.door, [{"do": "status"}])[0]["processes"]
        made.file.write_text(ORGANISATION)
        assert made.mai("reload").returncode == 0
        shut = [made.place.state, made.place.run, made.place.sockets("acme")]
        assert {stat.S_IMODE(path.stat().st_mode) for path in shut} == {0o700}
        assert guests.knock(AUDITOR, made.place.door, [{"do": "status"}])[0]["code"] == Refused.code
        made.file.write_text(ORGANISATION + ROLES.replace('["beta"]', '["acme"]'))
        assert made.mai("reload").returncode == 0
        replies = guests.knock(CLIENT, made.place.sockets("acme") / "door.sock", [{"do": "history"}])
        assert replies == [{"history": []}]
    finally:
        made.mai("down")


@only_root
def test_a_closed_way_is_said(state: Path) -> None:
    """Below a directory that others cannot pass: the start says which, and the guest is told what to do."""
    state.chmod(0o711)
    home = state / "home"
    home.mkdir(mode=0o700)
    made = Daemon(home, ORGANISATION + ROLES.replace('["beta"]', '["acme"]'))
    ran = made.mai("up", "--detach", str(made.file))
    try:
        assert ran.returncode == 0 and f"{home} is closed to them (0700)" in ran.stderr
        ran = made.mai("incidents", "--json")
        assert f"{home} is closed to them" in ran.stdout
        refused = guests.mai(OPERATOR, made.place.state, "status")
        assert refused.returncode == 4 and "[[doors]]" in refused.stderr
    finally:
        made.mai("down")


# -- read aloud
READ = (
    "tail -n 1000 --json acme", "tail acme/nobody", "trace nothing", "verify acme --json", "sla acme", "sla nobody",
    "fallback", "budgets",
    "logs acme/mai", "effects list", "effects show x", "quarantine list --json", "incidents -n3", "incidents 999999",
    "tail --nonsense", "verify --deep", "memory list acme", "keys list acme",
)  # fmt: skip
SEES = ("tail -n 500", "verify", "verify --deep", "status", "incidents", "sla", "fallback", "effects list", "remedies")
HIDDEN = (
    "tail beta", "tail watchdog", "logs beta/mai", "logs watchdog", "logs supervisor", "sla beta", "verify beta", "trace beta/x",
    "metrics", "effects list beta", "start beta/support", "memory list beta", "client list", "keys list", "verify watchdog",
)  # fmt: skip


@only_root
@pytest.mark.parametrize("command", READ)
def test_an_auditor_reads_as_if_the_files_were_his(daemon: Daemon, command: str) -> None:
    """The same output and the same exit status as for who may open the ledgers."""
    words = command.split()
    theirs, ours = guests.mai(AUDITOR, daemon.place.state, *words), daemon.mai(*words)
    if "--nonsense" in words:
        assert theirs.returncode == ours.returncode == 2 and not theirs.stdout
    elif command == "sla acme" or words[0] == "verify":  # they say when it was, or how long it took
        assert theirs.returncode == ours.returncode == 0 and theirs.stdout.split()[:1] == ours.stdout.split()[:1]
    elif command.startswith("keys"):  # how old they are changes meanwhile
        assert (theirs.returncode, ageless(theirs.stdout)) == (ours.returncode, ageless(ours.stdout)) and not theirs.stderr
    else:
        assert theirs == (ours.returncode, ours.stdout, ours.stderr)


@only_root
def test_pictures_and_grounds_are_an_auditors_too(daemon: Daemon) -> None:
    """What the daemon reads to him is drawn, or made a trace for a collector, by himself; what was said stays in the ledgers."""
    assert daemon.mai("ask", "acme", "refund order 19", "--id", "drawn").returncode == 0
    for words in (("trace", "drawn", "--svg", "-"), ("trace", "drawn", "--otlp", "-"), ("why", "drawn", "refunded")):
        theirs, ours = guests.mai(AUDITOR, daemon.place.state, *words), daemon.mai(*words)
        assert theirs == (ours.returncode, ours.stdout, ours.stderr) and ours.returncode == 0, theirs
    assert guests.mai(AUDITOR, daemon.place.state, "trace", "drawn", "--otlp", "-", "--contents").returncode == 4


def ageless(text: str) -> list[str]:
    """The lines without their ages."""
    return [" ".join(re.sub(r"\b\d+ (s|min|h|d)\b", "an age", line).split()) for line in text.splitlines()]


@only_root
def test_who_may_see_one_client_sees_no_other(daemon: Daemon) -> None:
    """By a group's role for acme: no record, name or output of beta's, of the watchdog or of the host, whatever is asked.

    What a refusal says of beta is what the caller has named himself, or follows from it.
    """
    run = lambda command: guests.mai(BY_GROUP, daemon.place.state, *command.split())  # noqa: E731
    until(lambda: "acme/support" in run("tail -n 500").stdout, "records")
    status = json.loads(run("status --json").stdout)
    assert {one["name"].partition("/")[0] for one in status["processes"]} == {"acme"}
    for command in SEES:
        ran = run(command)
        assert ran.returncode == 0 and "beta" not in ran.stdout + ran.stderr and "watchdog " not in ran.stdout, (command, ran)
    for command in HIDDEN:
        ran = run(command)
        said = ran.stdout + ran.stderr.replace(repr(command.split()[-1]), "")
        assert ran.returncode and "beta/" not in re.sub("beta/(support|mai)'", "", said), (command, ran)


@only_root
def test_an_operator_without_files_does_his_work(daemon: Daemon) -> None:
    """Orders that name something by a beginning find it through the door; what is not there is not found, and not denied."""
    state = daemon.place.state
    daemon.ask("refund order 31", "for-the-operator")
    ran = guests.mai(OPERATOR, state, "cancel", "for-the-op")
    assert ran.returncode == 4 and "has ended: it was answered" in ran.stderr, ran
    ran = guests.mai(OPERATOR, state, "quarantine", "retry", "nothing")
    assert ran.returncode == 2 and "no task in quarantine begins with 'nothing'" in ran.stderr, ran
    ran = guests.mai(OPERATOR, state, "effects", "resolve", "nothing", "--happened")
    assert ran.returncode == 4 and "with the key nothing is in doubt" in ran.stderr, ran
    ran = guests.mai(OPERATOR, state, "restart", "acme/support")
    assert ran.returncode == 0 and "acme/support is ready" in ran.stdout, ran


@only_root
def test_following_goes_on_until_the_reader_goes(daemon: Daemon) -> None:
    """New records come as they are made; when the reader is killed the child that reads for it ends, too."""
    daemon.ask("refund order 39", "before")
    pid, out, _ = guests.follow(AUDITOR, daemon.place.state, "tail", "-f", "-n1", "--kind", "request.accepted", "acme")
    with open(out) as output:
        assert "refund order 39" in output.readline() and len(readers(daemon)) == 1
        for number in range(3):
            daemon.ask(f"refund order {40 + number}", f"followed-{number}")
            assert f"refund order {40 + number}" in output.readline()
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    until(lambda: not readers(daemon), "the end of the reader")


def readers(daemon: Daemon) -> list[int]:
    """The children that read for somebody."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if "mai.cli" in words and str(daemon.place.state) in words and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@contextlib.contextmanager
def reading(daemon: Daemon, *words: str) -> Iterator[socket.socket]:
    """A connection at which something is read to us, as the daemon's own user."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(daemon.place.door))
        connection.sendall(Door(daemon.place.door).line({"do": "read", "command": words}))
        yield connection


def test_it_is_read_to_the_daemons_own_user_as_well(daemon: Daemon) -> None:
    """The same bytes as the command itself prints, its errors and its status."""
    for words in (["tail", "-n5", "--json", "beta/mai"], ["trace", "nothing"], ["why", "nothing", "some words"]):
        said: dict[str, Any] = {"out": "", "err": ""}
        for reply in Door(daemon.place.door, PATIENCE_S).ask({"do": "read", "command": words}):
            said |= {key: said.get(key, "") + value if isinstance(value, str) else value for key, value in reply.items()}
        ran = daemon.mai(*words)
        assert (said["out"], said["err"], said["status"]) == (ran.stdout, ran.stderr, ran.returncode)
    *shown, _ = Door(daemon.place.door, PATIENCE_S).ask({"do": "read", "command": ["tail", "acme"], "terminal": True})
    assert "\x1b[" in "".join(reply["out"] for reply in shown)
    with pytest.raises(MaiError, match="no command that reads"):
        Door(daemon.place.door, PATIENCE_S).call({"do": "read", "command": ["down"]})


def test_who_reads_slowly_holds_nobody_up(daemon: Daemon) -> None:
    """Ten megabytes that nobody takes: the watchdog goes on, and later gives every line."""
    line = "x" * 999 + "\n"
    with daemon.place.log("beta/support").open("a") as log:
        log.write(line * 10_000)
    with reading(daemon, "logs", "-n", "10000", "beta/support") as connection:
        until(lambda: readers(daemon), "a reader")
        for _ in range(20):
            assert daemon.status()["acme/mai"]["state"] == "ready"
        with connection.makefile("rb") as file:
            replies = []
            while "status" not in (reply := json.loads(file.readline())):
                replies.append(reply["out"])
    assert "".join(replies) == line * 10_000 and reply == {"status": 0}


def test_only_a_few_are_read_to_at_once(daemon: Daemon) -> None:
    """One more than there are places is refused; as soon as one goes there is room again."""
    with contextlib.ExitStack() as stack:
        several = [stack.enter_context(reading(daemon, "tail", "-f", "-n1", "acme")) for _ in range(MOST)]
        for connection in several:
            connection.recv(1)
        with pytest.raises(Refused, match="too much is being read"):
            Door(daemon.place.door, PATIENCE_S).call({"do": "read", "command": ["tail"]})
    until(lambda: not readers(daemon), "the end of all readers")
    assert OF_ONE < MOST and Door(daemon.place.door, PATIENCE_S).call({"do": "read", "command": ["tail"]}) == {"status": 0}


@only_root
def test_an_administrator_by_role_ends_it(state: Path) -> None:
    """`mai down` by a user who has nothing but the role."""
    state.chmod(0o711)
    made = Daemon(state, ORGANISATION + ROLES.replace('["beta"]', '["acme"]')).up()
    try:
        assert guests.mai(OPERATOR, made.place.state, "down").returncode == 4
        ran = guests.mai(ADMINISTRATOR, made.place.state, "down")
        assert ran.returncode == 0 and "has ended" in ran.stdout, ran
        until(lambda: not made.pids(), "the end")
        [down] = [one for one in records(made, "watchdog", "door.used") if one["verb"] == "down"]
        assert (down["uid"], down["role"]) == (ADMINISTRATOR.uid, "administrator")
    finally:
        made.mai("down")
