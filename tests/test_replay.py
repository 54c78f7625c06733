"""`mai replay`: what an agent knew when he decided, from journal and blobs alone; and what is sealed with each decision."""

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mai.agents.sealing import DECISIONS, Sealed, of_runs, runs
from mai.daemon.bare import bare
from mai.daemon.decisions import decisions, name_of
from mai.daemon.reader import NotFound
from mai.daemon.replaying import replay, sweep
from mai.daemon.verify import verify
from mai.sandbox.errors import FAILED, USAGE
from mai.sandbox.ledger import Record
from mai.sandbox.place import Place
from mai.sandbox.record import chain
from tests.small import PROCESSES, Daemon

COLUMNS = "seq, at_ns, term, boot, kind, request, task, agent, body, prev, digest"


@pytest.fixture(scope="module")
def daemon(module_state: Path) -> Iterator[Daemon]:
    """One that has answered a few requests; one was refused, and both departments were killed between two others."""
    made = Daemon(module_state)
    made.up()
    try:
        for order in range(1, 4):
            assert made.ask(f"refund order {order}", f"r{order}")["state"] == "answered"
            for process in PROCESSES[1:]:
                os.kill(made.status()[process]["pid"], signal.SIGKILL)
        assert made.ask("@finance: what is the budget?", "r4")["state"] == "refused"
        yield made
    finally:
        made.mai("down")


@pytest.fixture
def carried(daemon: Daemon, tmp_path: Path) -> Place:
    """On another machine: copies of the ledgers, without their state, and nothing else."""
    return bare(daemon.place, tmp_path / "elsewhere")


def seals(place: Place, process: str) -> list[tuple[Sealed, int]]:
    """All seals of a journal with their numbers."""
    return [(sealed, seq) for _, sealed, seq in decisions(place, process)]


def answer_of(place: Place, agent: str) -> str:
    """The name of an agent's answer in the request r1."""
    [name] = [name_of(who, seq) for who, one, seq in decisions(place, "r1") if (one.agent, one.what) == (agent, "answer")]
    return name


# -- what there is
def test_every_decision_is_verified_from_the_ledgers_alone(carried: Place) -> None:
    """State, organisation, code and keys are gone: each route, verdict, effect and answer is replayed, also across deaths."""
    found = sweep(carried, None)
    assert found.count == found.verified > 60 and not found.wrong
    whats = {sealed.what for process in PROCESSES for sealed, _ in seals(carried, process)}
    assert whats == {"route", "verdict", "effect", "answer"}


def test_what_a_tool_gave_and_who_asked_is_shown_in_order(carried: Place) -> None:
    """The clerk's answer rests on the hop with its input, the verdict of the policy, the intent and the outcome of his step."""
    found = replay(carried, answer_of(carried, "clerk"))
    kinds = [item.kind for item in found.context_items]
    assert kinds == ["hop", "task.begun", "policy.judged", "effect.intent", "step"] and found.verdict == "verified"
    assert found.context_items[0].body["input"] == {"order": 1} and found.context_items[-1].body["value"] == 1
    assert found.decided is not None and found.decided.kind == "task.ended" and found.led
    [agent] = found.scope["department"]["agents"]
    assert (agent["name"], agent["rank"], agent["tools"]) == ("clerk", "operator", ["pay"])
    assert found.life is not None and found.life.body["libraries"]["sqlite"] and found.code


def test_mais_answer_rests_on_all_that_she_had_of_the_request(carried: Place) -> None:
    """From the client's text to the department's reply."""
    found = replay(carried, answer_of(carried, ""))
    kinds = [item.kind for item in found.context_items]
    assert kinds[0] == "request.accepted" and {"request.planned", "contract.checked", "message.received", "part.ended"} <= set(
        kinds
    )


# -- what is found out
def rewritten(place: Place, process: str, change: Any) -> None:
    """Change a journal as somebody would who knows how, and compute its chain anew; `change` maps a record to one or none."""
    with closing(sqlite3.connect(place.ledger(process))) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        records = [Record(*row) for row in db.execute(f"SELECT {COLUMNS} FROM journal ORDER BY seq")]
        db.execute("DELETE FROM journal")
        head = bytes(32)
        for record in records:
            if (new := change(record)) is None:
                continue
            digest = chain(head, new.seq, new.at_ns, new.term, new[3:9])
            db.execute(f"INSERT INTO journal({COLUMNS}) VALUES(?,?,?,?,?,?,?,?,?,?,?)", (*new[:9], head, digest))
            head = digest
        db.commit()


def test_a_context_that_was_changed_differs_though_the_chain_holds(carried: Place) -> None:
    """Somebody says afterwards that the order was another one, and computes all digests of the journal again."""

    def change(record: Record) -> Record:
        return record._replace(body=record.body.replace('"order":1', '"order":7')) if record.kind == "hop" else record

    rewritten(carried, "acme/finance", change)
    found = replay(carried, answer_of(carried, "clerk"))
    assert found.verdict == "differs" and any("was sealed" in fault for fault in found.faults)
    assert {one.verdict for one in sweep(carried, "acme/finance").wrong} == {"differs"}


def test_a_record_that_was_taken_out_of_a_context_is_missed(carried: Place) -> None:
    """The outcome of a step is gone: the seal names a record that is no longer there."""
    [step] = [item.seq for item in replay(carried, answer_of(carried, "clerk")).context_items if item.kind == "step"]
    rewritten(carried, "acme/finance", lambda record: None if record.seq == step else record)
    found = replay(carried, answer_of(carried, "clerk"))
    assert found.verdict == "differs" and any("sealed" in fault for fault in found.faults)


def test_a_record_that_was_put_into_a_context_is_seen(carried: Place) -> None:
    """Another kind of record becomes one of the task: it is more than what was sealed."""
    found = replay(carried, answer_of(carried, "clerk"))
    last = found.context_items[-1]

    def change(record: Record) -> Record:
        if record.kind == "message.acked" and record.seq > last.seq:
            return record
        if record.kind == "message.received" and record.seq < last.seq and not record.request.startswith(found.request):
            return record
        return record._replace(request=found.request, task=found.task) if record.kind == "process.started" else record

    rewritten(carried, "acme/finance", change)
    assert replay(carried, answer_of(carried, "clerk")).verdict == "differs"


def test_a_seal_that_was_changed_with_its_context_is_found_by_the_others(carried: Place) -> None:
    """Who makes the seal fit as well changes a record that Mai has witnessed: that is `mai verify`'s to find."""

    def change(record: Record) -> Record:
        return record._replace(body=record.body.replace("answer", "answer ")) if record.kind == Sealed.kind else record

    rewritten(carried, "acme/finance", change)
    found = {finding.process for finding in verify(carried).findings}
    assert "acme/finance" in found


def test_a_text_that_was_changed_is_named(carried: Place) -> None:
    """The scope that is kept by its address: who could do what when he decided."""
    name = answer_of(carried, "clerk")
    scope = next(one.scope for one, seq in seals(carried, "acme/finance") if name_of("acme/finance", seq) == name)
    with closing(sqlite3.connect(carried.ledger("acme/finance"))) as db:
        db.execute("DROP TRIGGER blob_update")
        (value,) = db.execute("SELECT value FROM blob WHERE address = ?", (scope,)).fetchone()
        db.execute("UPDATE blob SET value = ? WHERE address = ?", (value.replace(b"operator", b"director"), scope))
        db.commit()
    found = replay(carried, name)
    assert found.verdict == "differs" and any("scope" in fault for fault in found.faults) and not found.scope


# -- the command
def run(place: Place, *words: str) -> tuple[int, str, str]:
    """Exit status and output of `mai replay`."""
    from tests.small import MAI
    from tests.small import environment as clean

    done = subprocess.run(
        [*MAI, "--state", str(place.state), "replay", *words], env=clean(), capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_shows_a_decision_and_says_that_it_is_verified(carried: Place) -> None:
    """For people in order, for programs as JSON, with an exit status; it needs no daemon."""
    name = answer_of(carried, "clerk")
    status, out, _ = run(carried, name)
    assert status == 0 and out.startswith(f"{name}: verified") and "what was known, in order" in out and "pay" in out
    status, out, _ = run(carried, name, "--json")
    assert status == 0 and json.loads(out)["verdict"] == "verified"
    status, out, _ = run(carried, "r1", "--list")
    assert status == 0 and name in out and "acme/mai:" in out
    status, out, _ = run(carried, "--all")
    assert status == 0 and out.strip().endswith("verified")


def test_the_command_fails_where_something_differs(carried: Place) -> None:
    """And names what, for one and for all."""
    rewritten(carried, "acme/finance", lambda record: record._replace(at_ns=record.at_ns + (record.kind == "step")))
    status, out, _ = run(carried, answer_of(carried, "clerk"))
    assert status == FAILED and "differs" in out
    status, out, _ = run(carried, "--all", "--json")
    assert status == FAILED and json.loads(out)["wrong"]


def test_what_is_no_decision_is_said_with_a_hint(carried: Place) -> None:
    """An unknown request, a record that decides nothing, a request with many decisions, nothing at all."""
    for words, hint in (
        (["r9"], "recent ones"),
        (["acme/finance:1"], "--list"),
        (["r1"], "choose one"),
        ([], "--list"),
        (["acme/none:3"], ""),
    ):
        status, out, err = run(carried, *words)
        assert status == USAGE and not out and err.startswith("mai: ") and hint in err, (words, err)
    with pytest.raises(NotFound):
        replay(carried, "acme/finance:100000")


# -- the seal itself
def test_runs_of_numbers_come_back() -> None:
    """First and count of each run, however they lie."""
    for numbers in ([], [5], [5, 6, 7], [1, 3, 4, 9], list(range(100))):
        assert list(of_runs(runs(numbers))) == numbers
    assert runs([3, 4, 5, 9]) == (3, 3, 9, 1)


def test_each_kind_of_decision_is_a_kind_of_record() -> None:
    """What stands in the table of decisions is what the journal knows."""
    from mai.agents import events
    from mai.daemon import deep  # noqa: F401  # registers all of them

    assert set(DECISIONS) <= set(events.KINDS)


def test_a_long_talk_costs_its_new_records_and_not_all_of_them_again(carried: Place) -> None:
    """Seals of one task name each record once between them, however many there are."""
    for process in PROCESSES:
        seen: dict[tuple[str, str], list[int]] = {}
        for sealed, _ in seals(carried, process):
            seen.setdefault((sealed.request, sealed.task), []).extend(of_runs(sealed.records))
        assert all(len(numbers) == len(set(numbers)) for numbers in seen.values())
        assert all(len(msgspec.json.encode(sealed)) < 1000 for sealed, _ in seals(carried, process))
