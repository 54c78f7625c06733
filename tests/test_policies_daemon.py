"""Policies in a real daemon: from the command line to the outside ledger, over another organisation and a death."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.small import ORGANISATION, Daemon, until

ALL = '[[policies]]\nname = "all"\nverdict = "allow"\ntools = ["finance.*"]\n'
FIRST = """
[[departments.finance.policies]]
name = "few"
verdict = "allow"
tools = ["pay"]
when = { order = { below = 10 }, requester = { is = "support" }, subject = { given = false } }

[[policies]]
name = "odd"
verdict = "deny"
contracts = ["finance.pay_back"]
when = { order = { is = 7 } }
why = "seven is taken"
"""


@pytest.fixture
def daemon(state: Path):
    """The small daemon, whose finance pays few orders back."""
    assert ALL in ORGANISATION
    daemon = Daemon(state, ORGANISATION.replace(ALL, FIRST))
    try:
        yield daemon.up()
    finally:
        daemon.mai("down")


@pytest.mark.seconds(180)
def test_policies_hold(daemon: Daemon) -> None:
    """Allowed, denied in the department and on the way to it; others after a reload; the journals bear it all out."""
    assert daemon.ask("refund order 5", "r5")["state"] == "answered"
    denied = daemon.ask("refund order 11", "r11")
    assert denied["state"] != "answered" and "no policy allows it, and it has an effect" in denied["answer"]
    taken = daemon.ask("refund order 7", "r7")
    assert taken["state"] != "answered" and "the policy odd denies it (seven is taken)" in taken["answer"]
    assert daemon.refunds() == [5]
    judged = [(body["verdict"], body.get("clause", "")) for _, body in daemon.journal("acme/finance", "policy.judged")]
    assert judged == [("allow", "finance.few"), ("deny", "")]
    (odd,) = daemon.journal("acme/support", "policy.judged")
    assert (odd[1]["verdict"], odd[1]["clause"], odd[1]["what"]) == ("deny", "odd", "contract")
    asked = ("policy", "explain", "acme/finance/clerk", "pay", "--requester", "support", "--file", str(daemon.file), "--json")
    told = json.loads(daemon.mai(*asked, "--given", '{"order": 5}').stdout)
    started = daemon.journal("acme/finance", "process.started")[-1][1]
    assert (told["verdict"], told["policy"], told["digest"]) == ("allow", "finance.few", started["policies"])
    assert json.loads(daemon.mai(*asked, "--given", '{"order": 11}').stdout)["verdict"] == "deny"
    closed = daemon.mai("policy", "explain", "acme/finance/clerk", "support.refund", "--file", str(daemon.file))
    assert closed.returncode == 0 and closed.stdout.startswith("deny: finance may not ask for support.refund")

    daemon.file.write_text(daemon.file.read_text().replace("below = 10", "below = 20"))
    ran = daemon.mai("reload", "--json")
    assert ran.returncode == 0, ran.stderr
    assert any("policy few" in change for change in json.loads(ran.stdout)["difference"]["changes"])
    assert daemon.ask("refund order 12", "r12")["state"] == "answered" and daemon.refunds() == [5, 12]
    os.kill(daemon.pids()["acme/finance"][0], signal.SIGKILL)
    until(daemon.ready, "finance is there again")
    assert daemon.ask("refund order 13", "r13")["state"] == "answered" and daemon.refunds() == [5, 12, 13]
    verified = daemon.mai("verify", "--deep", "--json")
    assert verified.returncode == 0, verified.stdout


def test_a_file_without_policies_is_refused(state: Path) -> None:
    """Before anything starts, with the line of the tool and what would allow it."""
    daemon = Daemon(state, ORGANISATION.replace(ALL, ""))
    for command in (("check", str(daemon.file)), ("up", "--detach", str(daemon.file))):
        ran = daemon.mai(*command)
        assert (
            ran.returncode == 2
            and "the tool pay of finance has an effect, and no policy can ever allow it" in ran.stdout + ran.stderr
        )
        assert 'verdict = "allow", tools = ["pay"]' in ran.stdout + ran.stderr
