"""Who may do what, as far as it is decided without a process: roles, the account of a door, the list of what is read aloud."""

import os
import socket
from pathlib import Path

import click
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents import check
from mai.agents.doors import ROLES, Grant, concerning
from mai.agents.faults import Faulty
from mai.agents.organisation import mandate
from mai.daemon import readings
from mai.daemon.rights import AT_MAI, AT_WATCHDOG, Need, Rights, about, role_for
from mai.daemon.roll import Roll, warnings
from mai.daemon.visits import LOOKS_MS, MOST, REFUSALS_MS, DoorDenied, DoorUsed, Visits
from mai.sandbox.errors import UsageFault
from mai.sandbox.peer import Peer, peer_of
from tests.test_cli import EACH

FILE = """
[organisation]
clients = ["acme", "beta"]
{doors}
[departments.support]
charter = "Helps."
[[departments.support.agents]]
name = "desk"
rank = "operator"
command = ["cat"]
"""
STRANGER = 64_001 if os.getuid() != 64_001 else 64_002
ACME = frozenset({"acme"})


def faults_of(tmp_path: Path, doors: str) -> list[tuple[int, str]]:
    """Line and sentence of each fault."""
    file = tmp_path / "doors.toml"
    file.write_text(FILE.format(doors=doors))
    with pytest.raises(Faulty) as caught:
        check.load(file)
    return [(fault.line, fault.sentence) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("doors", "line", "sentence"),
    [
        ('[[doors]]\nrole = "operater"\nusers = ["alice"]', 5, "role is 'operater', expected one of"),
        ('[[doors]]\nusers = ["alice"]', 4, "lacks the key role"),
        ('[[doors]]\nrole = "auditor"', 4, "to nobody"),
        ('[[doors]]\nrole = "auditor"\nuser = ["alice"]\ngroups = ["x"]', 6, "has a key 'user'"),
        ('[[doors]]\nrole = "auditor"\nusers = ["a:b"]', 6, "is no name of a user"),
        ('[[doors]]\nrole = "client"\nusers = ["alice"]', 4, "for no client"),
        ('[[doors]]\nrole = "administrator"\nusers = ["alice"]\nclients = ["acme"]', 7, "one of the whole"),
        ('[doors]\nrole = "auditor"', 4, "expected a list of tables"),
    ],
)
def test_a_wrong_grant_is_a_fault_with_its_line(tmp_path: Path, doors: str, line: int, sentence: str) -> None:
    """One fault for one mistake, at the line where it stands."""
    [(found, said)] = faults_of(tmp_path, doors)
    assert found == line and sentence in said


def test_who_is_unknown_here_is_no_fault(tmp_path: Path) -> None:
    """The file may be meant for another host: it is warned of, with its line; numbers need no name."""
    file = tmp_path / "doors.toml"
    file.write_text(
        FILE.format(doors='[[doors]]\nrole = "auditor"\nusers = ["root", "no-such-user"]\ngroups = ["9", "no-such-group"]')
    )
    warned = warnings(file, check.load(file).doors, ["acme", "beta"])
    assert [(one.line, one.sentence) for one in warned] == [
        (6, "this host has no user no-such-user"),
        (7, "this host has no group no-such-group"),
    ]


def test_a_role_may_be_given_for_a_client_that_comes_later(tmp_path: Path) -> None:
    """It is warned of, for it may be a slip of the pen; once a client of that name is added its Mai is told of the role."""
    file = tmp_path / "doors.toml"
    file.write_text(FILE.format(doors='[[doors]]\nrole = "client"\nusers = ["root"]\nclients = ["acme",\n"gamma"]'))
    organisation = check.load(file)
    [warned] = warnings(file, organisation.doors, organisation.clients)
    assert warned.line == 8 and "'gamma' is no client" in warned.sentence and "mai client add" in warned.hint
    grown = msgspec.structs.replace(organisation, clients=(*organisation.clients, "gamma"))
    assert mandate(grown, "gamma", "mai").organisation.doors == (Grant(role="client", users=("root",), clients=("gamma",)),)


def test_a_process_is_told_only_the_grants_of_its_client(tmp_path: Path) -> None:
    """Mai knows who may what with her client and no other client's name; a department knows nobody."""
    file = tmp_path / "doors.toml"
    grants = 'users = ["a"]\nclients = ["acme", "beta"]', 'users = ["b"]\nclients = ["beta"]', 'groups = ["ops"]'
    file.write_text(FILE.format(doors="".join(f'[[doors]]\nrole = "auditor"\n{one}\n' for one in grants)))
    organisation = check.load(file)
    told = mandate(organisation, "acme", "mai").organisation.doors
    assert told == (Grant(role="auditor", users=("a",), clients=("acme",)), Grant(role="auditor", groups=("ops",)))
    assert mandate(organisation, "acme", "support").organisation.doors == ()
    assert len(concerning(organisation.doors, "beta")) == 3


# -- roles
def rights(*grants: Grant) -> Rights:
    return Rights(STRANGER, "alice", grants)


@pytest.mark.parametrize("table", [AT_WATCHDOG, AT_MAI])
def test_roles_hold_what_they_say(table: dict[str, Need]) -> None:
    """An administrator may all; an auditor nothing but look; a client nothing of the rest; an operator does not ask."""
    for verb, need in table.items():
        for client in ("acme", ""):
            assert role_for(rights(Grant(role="administrator")), need, client) == "administrator"
            assert not role_for(rights(), need, client)
        for role in ROLES:
            granted = role_for(rights(Grant(role=role)), need, "acme")
            if role == "auditor" and granted:
                assert verb == "read" or not need.order
            if role == "client" and granted:
                assert verb in ("ask", "history", "thread")
            if role == "deliverer" and granted:
                assert verb == "deliver"
            if role == "operator" and granted:
                assert verb not in ("ask", "history", "down", "reload", "follow", "remedy")


def test_clients_bound_a_role() -> None:
    """An operator of one client has no word about another, nor about the host; what only looks is cut to the client."""
    of_acme = rights(Grant(role="operator", clients=("acme",)), Grant(role="client", clients=("beta",)))
    need = AT_WATCHDOG["restart"]
    assert role_for(of_acme, need, "acme") == "operator"
    assert not role_for(of_acme, need, "beta") and not role_for(of_acme, need, "")
    assert role_for(of_acme, AT_WATCHDOG["status"], "") == "operator" and of_acme.clients("auditor") == ACME
    assert not role_for(rights(Grant(role="client", clients=("beta",))), AT_WATCHDOG["status"], "")
    both = rights(Grant(role="auditor"), Grant(role="operator", clients=("acme",)))
    assert both.clients("auditor") is None and both.clients("operator") == ACME


def test_the_least_role_that_may_is_named() -> None:
    """On record stands the role that was needed, not the highest that somebody has."""
    many = rights(Grant(role="administrator"), Grant(role="auditor"))
    assert role_for(many, AT_WATCHDOG["status"], "") == "auditor" and role_for(many, AT_WATCHDOG["down"], "") == "administrator"


def test_groups_and_numbers_count() -> None:
    """A role may come by a supplementary group, by a number, by a name; whoever fits nothing has nothing."""
    roll = Roll((Grant(role="auditor", groups=("64100",)), Grant(role="operator", users=(str(STRANGER), "no-such-user"))))
    by_group, by_user = roll.rights(Peer(1, 64_009, frozenset({5, 64_100}))), roll.rights(Peer(1, STRANGER, frozenset({1})))
    assert by_group is not None and by_group.has("auditor") and not by_group.has("operator")
    assert by_user is not None and by_user.has("operator") == "operator" and by_user.user == f"uid {STRANGER}"
    assert roll.rights(Peer(1, 64_009, frozenset({STRANGER}))) is None
    for uid in {0, os.getuid()}:
        found = Roll(()).rights(Peer(1, uid, frozenset()))
        assert found is not None and found.everything


def test_the_kernel_says_who_calls() -> None:
    """Process, user, and all groups of the other end."""
    one, other = socket.socketpair()
    with one, other:
        assert peer_of(one) == Peer(os.getpid(), os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))


# -- the account
def used(verb: str, uid: int = STRANGER) -> DoorUsed:
    return DoorUsed(user="alice", uid=uid, role="operator", verb=verb)


def test_each_order_is_on_record() -> None:
    """Twice the same is two records."""
    visits = Visits()
    for _ in range(2):
        visits.order(used("restart"))
    assert len(visits.due(0)) == 2 and not visits.due(10**9)


def test_looks_are_counted() -> None:
    """The first is on record at once, those after it as a number when the time is over; who stops looking costs nothing."""
    visits = Visits()
    for at_ms in range(0, 100_000, 1000):
        visits.count(used("status"), at_ms)
        assert len(visits.due(at_ms)) == (at_ms == 0)
    [later] = visits.due(LOOKS_MS)
    assert isinstance(later, DoorUsed) and later.count == 99
    assert visits.due(2 * LOOKS_MS) == [] and visits.due(3 * LOOKS_MS) == []
    visits.count(used("status"), 3 * LOOKS_MS)
    assert [one.count for one in visits.due(3 * LOOKS_MS)] == [1]


def test_knocking_without_end_is_bounded() -> None:
    """A thousand users at most are told apart, and a refusal is at most one record a minute for each."""
    visits = Visits()
    for uid in range(3 * MOST):
        for _ in range(3):
            visits.count(DoorDenied(user="x", uid=uid, verb="", why="no"), 0)
    first = visits.due(0)
    assert len(first) == MOST + 1 and first[-1].uid == -1
    later = visits.due(REFUSALS_MS)
    assert sum(one.count for one in (*first, *later)) == 9 * MOST


def test_what_was_counted_is_not_lost_at_the_end() -> None:
    """The rest goes on record when the door closes."""
    visits = Visits()
    for _ in range(3):
        visits.count(used("status"), 0)
    assert [one.count for one in visits.rest()] == [1, 2] and visits.rest() == []


def test_a_record_says_what_a_request_was_about() -> None:
    """The keys of its verb, and no more than fits."""
    assert about(AT_MAI["resolve"], {"key": "r1/1/2", "happened": False, "note": "", "value": 5}) == "r1/1/2 False"
    assert len(about(AT_WATCHDOG["restart"], {"name": "x" * 5000, "why": "of a client's"})) == 200
    reads = {
        "tail -fn5 --request r1 acme/sales": "tail acme/sales", "trace r1": "trace",
        "memory search acme late payer": "memory search acme",
        "verify --deep acme beta": "verify acme beta", "effects show r1/1/2": "effects show", "dance": "", "tail": "tail",
    }  # fmt: skip
    assert {words: about(AT_WATCHDOG["read"], {"command": words.split()}) for words in reads} == reads
    assert about(AT_WATCHDOG["read"], {"command": [5, None]}) == about(AT_WATCHDOG["read"], {"command": "tail"}) == ""


# -- what is read aloud
@pytest.mark.parametrize("name", readings.READINGS)
def test_the_list_of_readings_is_what_the_commands_take(name: str) -> None:
    """Each option of a command that reads stands in the list as it is: a new one has to be thought about."""
    reading = readings.READINGS[name]
    options = [one for one in EACH[name].params if isinstance(one, click.Option)]
    long = {option: one.is_flag for one in options for option in one.opts if option.startswith("--")}
    assert {option: flag for option, flag in long.items() if option not in (*reading.here, *reading.files)} == {
        **dict.fromkeys(reading.flags, True), **dict.fromkeys(reading.values, False)
    }  # fmt: skip
    assert set(reading.here) <= set(long)
    short = {option: one.opts for one in options for option in one.opts if not option.startswith("--")}
    assert all(readings.SHORT[option] in names for option, names in short.items())
    names = [one for one in EACH[name].params if isinstance(one, click.Argument) and one.name not in reading.files]
    assert len(names) <= reading.names and set(reading.follows) <= set(reading.flags)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["tail"], "tail --"),
        (["tail", "-fn5", "acme"], "tail --follow --lines=5 -- acme"),
        (["tail", "-n", "5", "--kind", "hop", "--json", "acme/finance"], "tail --lines=5 --kind=hop --json -- acme/finance"),
        (["effects", "show", "r1/1.1.1/3"], "effects show -- r1/1.1.1/3"),
        (["verify", "--deep", "acme", "beta"], "verify --deep -- acme beta"),
        (["sla", "--since=2026-11-01", "--", "acme"], "sla --since=2026-11-01 -- acme"),
    ],
)
def test_a_reading_is_written_anew(words: list[str], command: str) -> None:
    """Long options, then the names."""
    assert " ".join(readings.order(words).command) == command
    assert readings.order(words).follows == ("--follow" in command)


@pytest.mark.parametrize(
    "words",
    [
        [], ["backup", "/tmp/x"], ["effects", "resolve", "k", "--happened"], ["effects"], ["up", "x.toml"], ["rebuild", "a/x"],
        ["tail", "--state", "/x"], ["tail", "--state=/x"], ["tail", "-x"], ["tail", "--follow=1"], ["tail", "-n"],
        ["tail", "a", "b"], ["logs", "../../etc/passwd"], ["logs", "/etc/passwd"], ["logs", "acme/../../x"],
        ["tail", "--cursor", "x"], ["tail", "a\x00b"], ["tail", "--kind", "a\nb"],
        ["--state", "/x", "tail"], ["tail", "x" * 5000],
        ["verify", *["acme"] * 50], ["metrics", "acme"], ["tail", "--", "-f"],
    ],
    ids=repr,
)  # fmt: skip
def test_nothing_else_is_read(words: list[str]) -> None:
    """No command that is not in the list, no option, no path, no control characters, not too much."""
    with pytest.raises(UsageFault):
        readings.order(words)


@given(
    st.lists(
        st.sampled_from(["tail", "logs", "-f", "-n", "5", "--json", "--state", "/x", "acme", "--", "-fn5", "--kind=x", ".."])
    )
)
def test_what_comes_through_is_only_what_the_list_has(words: list[str]) -> None:
    """Whatever is given: the options are those of the command, and behind `--` stand names."""
    try:
        command = readings.order(words).command
    except UsageFault:
        return
    cut = command.index("--")
    reading = readings.READINGS[readings.named(command)]
    assert all(one.partition("=")[0] in (*reading.flags, *reading.values) for one in command[1:cut])
    assert all(not one.startswith(("-", "/")) and ".." not in one for one in command[cut + 1 :])
