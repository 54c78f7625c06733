"""Cancelling across processes: Mai and the departments over their links, each killed in the middle, and the real daemon."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from mai.agents.decider import Send
from mai.agents.errand_messages import Thought, Used
from mai.agents.events import Stepped, decode
from mai.agents.order_messages import Cancel, Cancelled
from mai.agents.organisation import Agent, Department, Organisation, Tool, mandate
from mai.agents.state import Cancelling
from mai.daemon import cancel as cancelling
from mai.daemon.calling import Dropped
from mai.daemon.cancel import CancelAnswered, RequestCancelled
from mai.daemon.desk import Cancels
from mai.daemon.mai import MaiDecider
from mai.daemon.records import ContractChecked, RequestEnded
from mai.daemon.tooling import Dropped as DroppedUses
from mai.daemon.tooling import OpenUse, ToolsDecider
from tests import calls_world, wired
from tests.calls_world import World
from tests.opened import ALLOWED
from tests.small import HANDLERS, ORGANISATION, PATIENCE_S, Daemon, environment, until
from tests.wired import Desk, Wired

TO = ("acme/marketing", "acme/sales")


class Loading(Desk):
    """A process that also loads what it knows of cancelled requests."""

    def start(self) -> None:
        """As its process does."""
        if isinstance(self.decider, MaiDecider):
            cancelling.load(self.decider.state, self.ledger.load("cancel"))
        else:
            rows = self.ledger.load("cancel").items()
            self.decider.state.cancels.update((key, msgspec.json.decode(data, type=Cancelling)) for key, data in rows)
        super().start()


class Unwinding(Wired):
    """The company, whose departments tell at once that they have stopped: here no tool has an effect."""

    def turn(self) -> bool:
        """One turn, and what runner and undoing would do."""
        from mai.agents.inputs import Unwound

        for desk in self.desks.values():
            for request in [*getattr(desk.decider.state, "cancels", {})]:
                desk.shell.feed(Unwound(request))
        return super().turn()


def stopped(company: Wired) -> list[str]:
    """Who has told Mai that he has stopped."""
    ledger = company.desks["acme/mai"].ledger
    records = [decode(record.kind, ledger.body(record)) for record in ledger.records(kind=CancelAnswered.kind)]
    return sorted(one.process for one in records if isinstance(one, CancelAnswered))


@pytest.mark.parametrize("before", [0, 2, 4, 6, 7])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
@pytest.mark.parametrize("victim", ["acme/mai", "acme/marketing", "acme/sales"])
def test_whoever_is_killed_all_stop_once(
    tmp_path: Path, victim: str, before: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled after any turn, with a kill after any turn behind it: one end, one answer of each who took part, no open task."""
    monkeypatch.setattr(wired, "Desk", Loading)
    company = Unwinding(tmp_path)
    company.ask("r")
    for _ in range(before):
        company.turn()
    mai = company.desks["acme/mai"]
    had = "r" in mai.decider.state.requests  # type: ignore[attr-defined]  # it is Mai's
    mai.shell.commit(all_of_it=True)
    to = tuple(sorted(set(sent_to(mai))))
    mai.shell.feed(Cancels("r", "ann", "asked twice", "1", to))
    for _ in range(after):
        company.turn()
    company.kill(victim)
    company.start(victim)
    if victim == "acme/mai":
        for process in TO:
            company.kill(process)
            company.start(process)
    if not has(company, RequestCancelled.kind) and "r" in company.desks["acme/mai"].decider.state.requests:  # type: ignore[attr-defined]
        company.desks["acme/mai"].shell.feed(Cancels("r", "ann", "asked twice", "1", to))  # lost before its commit: asked again
    company.settle()
    mai = company.desks["acme/mai"]
    ends = [decode(one.kind, mai.ledger.body(one)) for one in mai.ledger.records(kind=RequestEnded.kind)]
    assert len(ends) == 1 and isinstance(ends[0], RequestEnded)
    assert ends[0].state == ("refused" if has(company, RequestCancelled.kind) else "answered")
    if has(company, RequestCancelled.kind):
        assert had and ends[0].answer == "Your request was cancelled by ann: asked twice"
        assert stopped(company) == sorted(to)
        assert not mai.decider.state.cancellations  # type: ignore[attr-defined]  # it is Mai's
    for process in TO:
        assert not company.desks[process].decider.state.work
    company.close()


def sent_to(mai: Desk) -> Iterator[str]:
    """To whom she has sent something for the request."""
    for record in mai.ledger.of_request("r"):
        if record.kind == "message.sent":
            yield json.loads(mai.ledger.body(record))["to"]


def has(company: Wired, kind: str) -> bool:
    """Is there such a record in Mai's journal?"""
    return any(True for _ in company.desks["acme/mai"].ledger.records(kind=kind))


def test_what_a_department_asks_for_it_meanwhile_goes_to_nobody(tmp_path: Path) -> None:
    """A contract is asked for just before the department hears of it: refused, so that nobody new begins to work on it."""
    company = Unwinding(tmp_path)
    company.ask("r")
    while not any(frame[0] == "acme/marketing" and b"sales.pipeline" in frame[2] for frame in company.frames):
        company.turn()
    company.desks["acme/mai"].shell.feed(Cancels("r", "ann", "", "1", ("acme/marketing",)))
    company.settle()
    mai = company.desks["acme/mai"]
    (checked,) = [decode(one.kind, mai.ledger.body(one)) for one in mai.ledger.records(kind=ContractChecked.kind)]
    assert isinstance(checked, ContractChecked) and not checked.allowed
    assert not list(company.desks["acme/sales"].ledger.records(kind=Stepped.kind))
    assert stopped(company) == ["acme/marketing"]
    company.close()


def test_who_was_not_asked_may_not_say_that_it_has_stopped(tmp_path: Path) -> None:
    """An answer of a department that had no part in it is refused and on record."""
    company = Unwinding(tmp_path)
    sales = company.desks["acme/sales"].shell
    sales.apply(sales._numbered(Send("acme/mai", "r!sales", 0, Cancelled("r", ()))))
    company.settle()
    assert has(company, "message.refused") and not has(company, CancelAnswered.kind)
    company.close()


def test_models_are_asked_no_more(tmp_path: Path) -> None:
    """What waits ends as refused, what is under way is booked at its bound; calls of other requests go on."""
    w = World(calls_world.organisation(running=1))
    first, second = w.ask(), w.ask()
    other = msgspec.structs.replace(w.decider.state.calls[second], id="q/1.m1", request="q")
    w.decider.state.calls["q/1.m1"] = other
    bound = w.begun[0].bound
    found = w.decider.decide(Dropped(Cancel("r", "ann", "")), w.now_ms)
    said = [item.body for item in found if isinstance(item, Send)]
    assert said[-1] == Cancelled("r", (first, second))
    for item in found:
        if not isinstance(item, Send) or isinstance(item.body, Thought):
            w._apply(item)
    assert [(w.thoughts[one].state, w.thoughts[one].usage.tokens) for one in (first, second)] == [
        ("refused", bound.tokens),
        ("refused", 0),
    ]
    assert w.thoughts[first].reason == "cancelled by ann"
    assert w.decider.account("acme").of("day", w.now_ms).tokens == bound.tokens
    assert list(w.decider.state.calls) == ["q/1.m1"]


def test_tools_are_used_no_more(tmp_path: Path) -> None:
    """A use that had begun, and may not be repeated, is in doubt; one that waits is refused."""
    tool = Tool(name="act", handler="w.py:act", effect="opaque", hosts=("a.example",))
    desk = Agent(name="desk", rank="operator", tools=("act",))
    support = Department(name="support", charter="", agents=(Agent(name="board", rank="board"), desk), tools=(tool,))
    whole = Organisation(policies=ALLOWED, name="x", clients=("acme",), departments=(support,), digest="d")
    decider = ToolsDecider(mandate(whole, "acme", "tools"))
    for number in (1, 2):
        ident = f"r/1.m{number}"
        decider.state.uses[ident] = OpenUse(ident, "r", "acme/support/desk", "support.act", "k", {}, 1 << 60, 2 - number)
    found = decider.decide(DroppedUses(Cancel("r", "ann", "")), 1)
    said = [item.body for item in found if isinstance(item, Send)]
    assert said == [
        Used("r/1.m1", "r", refused="cancelled by ann", doubt=True),
        Used("r/1.m2", "r", refused="cancelled by ann"),
        Cancelled("r", ("r/1.m1", "r/1.m2")),
    ]


# -- the real daemon
DEEDS = (
    HANDLERS
    + """

def wait(files, what):
    return what


def unpay(files, undoes, input, value, *, key):
    import time
    while not (files / "go").exists():
        (files / "undoing").touch()
        time.sleep(0.01)
    with sqlite3.connect(files / "finance.db") as db:
        db.execute("DELETE FROM refunds WHERE id = ?", (value,))
    with open(files / "undone", "a") as file:
        file.write(f"{undoes}\\n")


async def slow(ctx, task):
    reply = await ctx.ask("finance.pay_back", order=task.input["order"])
    await ctx.ask("coordinator", "open the gate")
    return reply.value
"""
)
COMPANY = (
    ORGANISATION.replace('handler = "small.py:desk"', 'handler = "small.py:slow"\nreports_to = "coordinator"')
    .replace('effect = "idempotent"', 'effect = "idempotent"\nundo = "unpay"', 1)
    .replace(
        "[[departments.finance.contracts]]",
        '[[departments.finance.tools]]\nname = "unpay"\nhandler = "small.py:unpay"\neffect = "idempotent"\n\n'
        "[[departments.finance.contracts]]",
    )
)


@pytest.fixture
def daemon(state: Path) -> Iterator[Daemon]:
    """A daemon whose payments can be undone."""
    fresh = Daemon(state, COMPANY)
    files = fresh.place.home("acme/support") / "files"
    files.mkdir(parents=True)
    os.mkfifo(files / "gate")  # which nobody opens
    (fresh.file.parent / "small.py").write_text(DEEDS)
    yield fresh.up()
    fresh.mai("down")


def asking(daemon: Daemon, request: str) -> subprocess.Popen[bytes]:
    """`mai ask` in the background."""
    command = daemon.command("ask", "acme", "refund order 7", "--id", request, "--json")
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_the_commands_and_every_process_killed_in_the_middle(daemon: Daemon) -> None:
    """A request that has paid is cancelled while Mai and the department that undoes are killed: undone once, and said so."""
    files = daemon.place.home("acme/finance") / "files"
    waits = asking(daemon, "R-1")
    until(lambda: daemon.refunds() == [7], "it is paid")
    orders = daemon.command("cancel", "R-", "--reason", "asked twice", "--json")
    order = subprocess.Popen(orders, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until((files / "undoing").exists, "it is being undone")
    for victim in ("acme/mai", "acme/finance", "acme/support"):
        pid = daemon.pids()[victim][0]
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(psutil.NoSuchProcess):  # it has gone already
            psutil.wait_procs([psutil.Process(pid)], PATIENCE_S)
    (files / "go").touch()
    out, err = order.communicate(timeout=PATIENCE_S)
    assert order.returncode == 0, err.decode()
    found = json.loads(out)
    assert (found["state"], found["reason"], found["waits_for"]) == ("refused", "asked twice", [])
    assert [(one["process"], one["tool"], one["undo"], one["state"]) for one in found["undone"]] == [
        ("acme/finance", "pay", "unpay", "undone")
    ]
    assert daemon.refunds() == [] and (files / "undone").read_text().count("\n") == 1
    answer, _ = waits.communicate(timeout=PATIENCE_S)
    assert waits.returncode == 4 and "asked twice" in json.loads(answer)["answer"]
    again = daemon.mai("ask", "acme", "refund order 7", "--id", "R-1", "--json")
    assert again.returncode == 4 and json.loads(again.stdout)["answer"] == json.loads(answer)["answer"]
    refused = daemon.mai("cancel", "R-1")
    assert refused.returncode == 4 and "has ended: it was refused" in refused.stderr
    assert daemon.mai("cancel", "X").returncode == 2
    shown = daemon.mai("trace", "R-1").stdout
    assert "undo unpay" in shown and "cancelled by" in shown
    until(lambda: all(one["queue"] == 0 for one in daemon.status().values() if one.get("queue") is not None), "nothing is open")
    verified = daemon.mai("verify", "--state", "--deep")
    assert verified.returncode == 0, verified.stdout
