"""`mai verify --deep`: what real processes write is sound, at every moment; a journal that means something wrong is named.

The forged journals are whole (chain, triggers, links, state): `mai verify --state` finds nothing in them.
"""

import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mai.agents.events import Acked, Begun, Ended, Event, Hopped, Interrupted, ProcessStarted, Received, Remembered, Sent, Stepped
from mai.agents.memory_messages import Recalled, Remember
from mai.agents.messages import Result, Task
from mai.cli import main
from mai.daemon import deep
from mai.daemon.records import ContractChecked, ContractEnded, PartEnded, RequestAccepted, RequestEnded, RequestPlanned
from mai.daemon.verify import verify
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place
from tests.forge import History, Stuck, at, forge, history
from tests.small import running, until
from tests.test_verify import tamper
from tests.wired import Wired

SALES, MARKETING, MAI = "acme/sales", "acme/marketing", "acme/mai"
SUPPORT, FINANCE = "acme/support", "acme/finance"  # of the small organisation
CROSSED = "r2/1.1.1.1.1.m0"  # what marketing asks of sales for the second request
Edit = Callable[[History], object]


@pytest.fixture(scope="module")
def finished() -> Iterator[Place]:
    """A company that has answered two requests and has ended; tests forge copies of it."""
    directory = Path(tempfile.mkdtemp(prefix="mai-deep-"))
    yield Wired(directory).asked("r1", "r2").close().place
    shutil.rmtree(directory)


# -- sound
def test_a_running_company_is_sound(tmp_path: Path) -> None:
    """Messages on their way, open tasks, deaths and restarts are no faults: nothing is found after any turn of the work."""
    company = Wired(tmp_path)
    most = 0
    for process in (None, SALES, MARKETING, MAI):
        company.ask(f"r-{process and process.partition('/')[2]}")
        for turn in range(20):
            if process and turn == 6:
                company.kill(process)
            if process and turn == 8:
                company.start(process)
                if process == MAI:  # they find their way back to her
                    for other in (SALES, MARKETING):
                        company.kill(other)
                        company.start(other)
            company.turn()
            report = deep.check(company.place)
            assert report.sound, deep.render(report)
            most = max(most, report.under_way["messages"])
    assert most > 0
    company.settle()
    report = deep.check(company.place, at_rest=True)
    assert report.sound and not any(report.under_way.values()), deep.render(report)
    company.close()


def test_the_company_may_go_on_meanwhile(tmp_path: Path) -> None:
    """A journal that is read late has messages that one read early does not know of: that is no fault."""
    company = Wired(tmp_path).asked("r0")
    asked: list[str] = []

    def work(process: str, done: int, of: int) -> None:
        asked.append(f"during-{len(asked)}")
        company.asked(asked[-1])

    report = deep.check(company.place, progress=work)
    assert report.sound, deep.render(report)
    assert len(asked) >= 3
    company.close()


def test_a_forgery_that_changes_nothing_is_sound(finished: Place, tmp_path: Path) -> None:
    """The forger itself writes journals in which nothing is found, also at rest."""
    report = deep.check(forge(finished, tmp_path, lambda said: None), at_rest=True)
    assert report.sound and not report.warnings, deep.render(report)
    assert report.deep_records == report.records == sum(map(len, history(finished).values()))


# -- forged
def cut(*where: tuple[str, type[Event], dict[str, object]]) -> Edit:
    """The journals end before these events."""

    def edit(said: History) -> None:
        for process, kind, fields in where:
            del said[process][at(said[process], kind, **fields) :]

    return edit


def drop(process: str, kind: type[Event], **fields: object) -> Edit:
    """An event is not there."""
    return lambda said: said[process].pop(at(said[process], kind, **fields))


def twice(process: str, kind: type[Event], **fields: object) -> Edit:
    """An event is there twice, one behind the other."""

    def edit(said: History) -> None:
        place = at(said[process], kind, **fields)
        said[process].insert(place, said[process][place])

    return edit


def other(process: str, kind: type[Event], which: dict[str, object], **fields: object) -> Edit:
    """An event says something else."""

    def edit(said: History) -> None:
        place = at(said[process], kind, **which)
        said[process][place] = msgspec.structs.replace(said[process][place], **fields)

    return edit


def again(process: str, kind: type[Event], **fields: object) -> Edit:
    """An event comes once more, at the end. A message gets another number, and nobody receives it."""

    def edit(said: History) -> None:
        event = said[process][at(said[process], kind, **fields)]
        more = {"lseq": event.lseq + 1000} if isinstance(event, Sent) else {}
        said[process].append(msgspec.structs.replace(event, **more))

    return edit


def both(*edits: Edit) -> Edit:
    """One after the other."""
    return lambda said: [edit(said) for edit in edits]


class Forgery(NamedTuple):
    """What is done, and what is found of it: which laws, in which journal, with which words."""

    edit: Edit
    laws: set[str]
    process: str
    says: str


UNTIL_TAKEN = cut((SALES, Hopped, {"task": CROSSED}), (MAI, Received, {"body": Remember, "request": ""}))
FORGERIES = {
    "an id twice": Forgery(
        other(MAI, Sent, {"body": Recalled, "which": 1}, id="r1/1.1.1.1.1.m0.1.1.m2="), {"ids"}, MAI, "record 12 has sent"
    ),
    "received, not handled": Forgery(
        cut((SALES, Hopped, {"task": CROSSED}), (MAI, Received, {"body": Remember, "which": 1}),
            (MARKETING, Received, {"task": CROSSED})),
        {"tasks"}, SALES, "neither taken up nor refused",
    ),
    "handled twice": Forgery(twice(SALES, Hopped, task=CROSSED), {"tasks"}, SALES, "which is handed out already|has handed out"),
    "ended twice": Forgery(twice(SALES, Ended, task=f"{CROSSED}.1"), {"tasks"}, SALES, "is one more end .* ended in record 30"),
    "ended without a result": Forgery(
        cut((MARKETING, Sent, {"body": Result, "task": "r2/1"}), (MAI, Received, {"body": Result, "task": "r2/1"})),
        {"tasks"}, MARKETING, "Mai is not told",
    ),
    "another result than the end": Forgery(
        other(SALES, Ended, {"task": CROSSED}, state="refused"), {"tasks"}, SALES, "says that .* was answered; it has refused",
    ),
    "a result twice": Forgery(again(SALES, Sent, body=Result, task=CROSSED), {"ids", "tasks"}, SALES, "one more result"),
    "a hop from nobody": Forgery(
        both(drop(SALES, Received, body=Task, task=CROSSED), drop(MAI, Sent, to=SALES, task=CROSSED)),
        {"tasks", "verdicts"}, SALES, "nobody has just sent it",
    ),
    "an outcome twice": Forgery(twice(SALES, Stepped, task=f"{CROSSED}.1.1", n=1), {"tasks"}, SALES, "one more outcome of"),
    "an outcome of nothing": Forgery(
        other(MARKETING, Stepped, {"task": "r2/1.1.1", "n": 2}, n=7), {"tasks"}, MARKETING, "which was not asked for"
    ),
    "a step behind the end": Forgery(
        again(SALES, Stepped, task=f"{CROSSED}.1.1", n=1), {"tasks"}, SALES, "which ended in record 29"
    ),
    "no verdict": Forgery(drop(MAI, ContractChecked, task=CROSSED), {"verdicts"}, MAI, "there is no verdict on it"),
    "two verdicts": Forgery(twice(MAI, ContractChecked, task=CROSSED), {"verdicts"}, MAI, "record 26 was the verdict on it"),
    "refused, and yet it goes on": Forgery(
        other(MAI, ContractChecked, {"task": CROSSED}, allowed=False), {"verdicts"}, MAI, "sends a Task for .*, and nothing"
    ),
    "no end of a passage": Forgery(drop(MAI, ContractEnded, task=CROSSED), {"verdicts"}, MAI, "and it has no end"),
    "a passage ends twice": Forgery(twice(MAI, ContractEnded, task=CROSSED), {"verdicts"}, MAI, "which ended in record 34"),
    "a result goes to nobody": Forgery(
        cut((MAI, Sent, {"to": MARKETING, "task": CROSSED}), (MARKETING, Received, {"task": CROSSED})),
        {"verdicts"}, MAI, "acme/marketing is not told",
    ),
    "memory without an answer": Forgery(
        cut((MAI, Sent, {"body": Recalled, "which": 1}), (SALES, Received, {"body": Recalled, "which": 1}),
            (MARKETING, Received, {"task": CROSSED})),
        {"verdicts"}, MAI, "and is not answered",
    ),
    "accepted twice": Forgery(again(MAI, RequestAccepted, request="r2"), {"requests"}, MAI, "record 21 has accepted"),
    "planned twice": Forgery(twice(MAI, RequestPlanned, request="r2"), {"requests"}, MAI, "planned in record 22"),
    "a part is not sent": Forgery(
        both(
            drop(MAI, Sent, task="r2/1"),
            cut((MARKETING, Received, {"task": "r2/1"}), (MAI, Received, {"task": CROSSED})),
            cut((SALES, Received, {"task": CROSSED})),
        ),
        {"requests"}, MAI, "was not sent",
    ),
    "an answer without a part's end": Forgery(drop(MAI, PartEnded, task="r2/1"), {"requests"}, MAI, "its part has no end"),
    "a part ends twice": Forgery(twice(MAI, PartEnded, task="r2/1"), {"requests"}, MAI, "has ended in record 38"),
    "answered twice": Forgery(again(MAI, RequestEnded, request="r1"), {"requests"}, MAI, "ended in record 20"),
    "answered though it failed": Forgery(
        other(MAI, RequestEnded, {"request": "r2"}, state="failed"), {"requests"}, MAI, "of its parts it is answered"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_what_a_journal_means_is_checked(finished: Place, tmp_path: Path, name: str) -> None:
    """A journal that is whole and wrong is found out by the law that it breaks, and by no other; its record is named."""
    forgery = FORGERIES[name]
    place = forge(finished, tmp_path, forgery.edit)
    plain = verify(place, state=True)
    assert plain.sound, [finding.what for finding in plain.findings]
    report = deep.check(place)
    assert {finding.law for finding in report.findings} == forgery.laws, deep.render(report)
    mine = [finding for finding in report.findings if finding.process == forgery.process]
    assert any(re.search(forgery.says, finding.what) and finding.seq and finding.hint for finding in mine), deep.render(report)


# -- any one change
HARMLESS = {  # to drop, or to have twice
    Acked: "the next one says it too, or the message is sent again",
    Begun: "it says which code, and how often it was tried",
    Interrupted: "it counts the deaths of a process; one more or less gives the task up a little sooner or later",
    Remembered: "a note, of a value that is there already or will be; which step wrote it stands in that step",
    ProcessStarted: "the first record of a journal whose lives say nothing is as good",
}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_one_change_is_found_or_harmless(finished: Place, data: st.DataObject) -> None:
    """An event is dropped, doubled, or exchanged with the next: that is found, or it makes no difference to anybody."""
    said = history(finished)
    process = data.draw(st.sampled_from(sorted(said)))
    how = data.draw(st.sampled_from(("drop", "double", "exchange")))
    place = data.draw(st.integers(0, len(said[process]) - (2 if how == "exchange" else 1)))
    event = said[process][place]
    whose = msgspec.structs.replace(event, lseq=event.lseq + 1000) if isinstance(event, Sent) else event

    def edit(history: History) -> None:
        mine = history[process]
        match how:
            case "drop":
                del mine[place]
            case "double":
                mine.insert(place + 1, whose)
            case "exchange":
                mine[place : place + 2] = mine[place : place + 2][::-1]

    with tempfile.TemporaryDirectory() as directory:
        try:
            forged = forge(finished, Path(directory), edit)
        except Stuck:
            return  # a message would have to come before it is sent: no such journals can be written
        report = deep.check(forged, at_rest=True)
        if report.sound and not report.warnings:
            assert harmless(finished, forged, process, how, said[process][place : place + 2]), (process, how, event)


def harmless(before: Place, after: Place, process: str, how: str, events: list[Event]) -> bool:
    """Can nobody tell the difference, but who reads the journal?"""
    if how != "exchange":
        return type(events[0]) in HARMLESS
    return rows(before, process) == rows(after, process)  # both stand in one commit, and lead to the same


def rows(place: Place, process: str) -> dict[tuple[str, str], object]:
    """The state of a process, but for the numbers of records in it."""
    ledger = Ledger(place.ledger(process), process)
    nouns = ("link", "task", "step", "memory", "request", "passage", "errand", "answer")
    found = {(noun, key): msgspec.json.decode(data) for noun in nouns for key, data in ledger.load(noun).items()}
    ledger.close()
    return found


# -- a real company
def test_a_daemon_under_fire_is_sound(state: Path) -> None:
    """Departments and Mai are killed while requests run and the check is made: nothing is found, then and at rest."""
    with running(state) as daemon, ThreadPoolExecutor() as clients:
        asked = [clients.submit(daemon.ask, f"refund order {number}", f"R{number}") for number in range(1, 21)]
        for process in (FINANCE, SUPPORT, MAI):
            (pid,) = until(lambda process=process: daemon.pids().get(process), f"{process} runs")  # type: ignore[misc]
            os.kill(pid, signal.SIGKILL)
            report = deep.check(daemon.place)
            assert report.sound, deep.render(report)
        assert {one.result()["state"] for one in asked} == {"answered"}
        until(lambda: deep.check(daemon.place, at_rest=True).sound, "all is at rest, and sound")
        ran = daemon.mai("verify", "--deep", "--json")
        found = json.loads(ran.stdout)
        assert ran.returncode == 0 and found["sound"] and found["findings"] == [] and found["deep_records"] > 500, ran
    ran = daemon.mai("verify", "--rest")
    assert ran.returncode == 0 and ran.stdout.endswith("at rest: nothing is open or on its way\n"), ran


def test_the_command_tells_what_it_has_found(finished: Place, tmp_path: Path) -> None:
    """A finding is told with its records and a hint, and is the command's exit status; without --deep it is not looked for."""
    place = forge(finished, tmp_path, twice(SALES, Ended, task=f"{CROSSED}.1"))
    told = CliRunner().invoke(main, ["--state", str(place.state), "verify", "--deep", SALES])
    assert told.exit_code == 1 and "BAD acme/sales" in told.stdout and "record 31 is one more end" in told.stdout, told.stdout
    data = CliRunner().invoke(main, ["--state", str(place.state), "verify", "--deep", "--json"])
    (finding,) = json.loads(data.stdout)["findings"]
    assert (finding["process"], finding["seq"], finding["law"], finding["also"]) == (SALES, 31, "tasks", [f"{SALES} 30"])
    assert CliRunner().invoke(main, ["--state", str(place.state), "verify", "--state"]).exit_code == 0


def test_what_is_tampered_with_is_told_once(finished: Place, tmp_path: Path) -> None:
    """A journal that was cut is named as `mai verify` names it; what its records mean is told beside it, not the link again."""
    shutil.copytree(finished.state, tmp_path / "state", ignore=shutil.ignore_patterns("run"))
    place = Place(tmp_path / "state", tmp_path / "run")
    tamper(place, SALES, "DELETE FROM journal WHERE seq > ?", 30)
    findings = deep.check(place).findings
    assert all(not finding.law for finding in findings if finding.process == MAI)
    assert [finding.what for finding in findings if "was cut" in finding.what and finding.process == SALES]
    assert {finding.law for finding in findings} == {"", "tasks"}, findings  # an end without its result


def test_a_record_of_another_version_is_named(finished: Place, tmp_path: Path) -> None:
    """A record that this version does not know is a finding by itself, and its peers are not accused of what it may say."""
    place = forge(finished, tmp_path, lambda said: None)
    ledger = Ledger(place.ledger(SALES), SALES)
    ledger.append("of.tomorrow", b"{}")
    ledger.commit()
    ledger.close()
    verdict = deep.examined(place)
    assert {(finding.process, finding.law) for finding in verdict.findings} == {(SALES, "readable"), (SALES, "lives")}
