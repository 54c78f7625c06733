"""The views of a ledger: what they show of a journal, that they name only what its records have, and that SCHEMA.md says so."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pysqlite3 as sqlite3
import pytest

from mai.agents import approval_records as approvals
from mai.agents.events import (
    KINDS,
    Asked,
    EffectIntent,
    EffectUnknown,
    Ended,
    Escalated,
    Event,
    Hopped,
    HopRefused,
    MessageRefused,
    Stepped,
    encode,
)
from mai.agents.kind_names import NAMES
from mai.agents.sealing import Sealed
from mai.daemon import schema_text
from mai.daemon.kinds import REGISTERING, kinds
from mai.daemon.levels import LEVELS, OF_KIND, level_of
from mai.daemon.reader import Reader
from mai.daemon.summary import SUMMARIES
from mai.sandbox.ledger import BLOB_BYTES, Ledger, connect
from mai.sandbox.view import View
from mai.sandbox.views import VIEWS
from tests.wired import Wired

ROOT = Path(__file__).resolve().parent.parent
ME: Any = {"request": "r1", "task": "r1/1", "agent": "clerk"}
HOP = Hopped(
    **ME, parent="", sender="coordinator", asker="acme/client", contract="", text="pay", input={"order": 7},
    deadline_ms=1_000, hops=3, rule="a coordinator may", at_ms=1,
)  # fmt: skip
ASKED = approvals.ApprovalAsked(
    **ME, n=2, id="a1", call="tool", name="finance.pay", given={"cents": 5}, arguments="", organisation="", verdict="person",
    clause="large", policies="", why="it is much", at_ms=1, expires_ms=2,
)  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A department's, to be written by the test."""
    return Ledger(tmp_path / "ledger.db", "acme/finance")


def write(ledger: Ledger, *events: Event) -> sqlite3.Connection:
    """Put these on record; a connection that reads them."""
    for event in events:
        names = {name: getattr(event, name, "") for name in ("request", "task", "agent")}
        ledger.append(event.kind, encode(event), **names)
    ledger.commit()
    return connect(ledger.path, write=False)


def rows(db: sqlite3.Connection, query: str) -> list[tuple[object, ...]]:
    """All of them."""
    return list(db.execute(query))


def test_schema_md_is_what_the_code_says() -> None:
    """SCHEMA.md is what `make schema` would write now."""
    assert (ROOT / "SCHEMA.md").read_text() == schema_text.text(), "run: make schema"


def test_a_company_is_seen_as_it_worked(tmp_path: Path) -> None:
    """Of real processes: requests with answers, tasks with ends, steps with what they asked for, both ends of messages."""
    place = Wired(tmp_path).asked("r1", "r2").close().place
    mai, sales, marketing = (Reader(place, f"acme/{name}") for name in ("mai", "sales", "marketing"))
    asked = mai.plain("SELECT request, state, text, answer, ended >= at FROM requests ORDER BY request")
    assert [row[:2] for row in asked] == [("r1", "answered"), ("r2", "answered")]
    assert all(text and answer and later for _, _, text, answer, later in asked)
    assert mai.plain("SELECT DISTINCT department, state FROM parts") == [("marketing", "answered")]
    agents = sales.plain("SELECT agent, state FROM tasks WHERE request = 'r1' ORDER BY seq")
    assert agents == [("board", "answered"), ("coordinator", "answered"), ("analyst", "answered")]
    given = marketing.plain("SELECT call, given->>'to' FROM steps WHERE request = 'r1' ORDER BY n")
    assert given == [("remember", None), ("ask", "sales.pipeline")]
    told = dict(mai.plain("SELECT id, n FROM messages WHERE direction = 'sent' AND peer = 'acme/sales'"))
    heard = dict(sales.plain("SELECT id, n FROM messages WHERE direction = 'received'"))
    assert told and told == heard
    assert marketing.plain('SELECT shelf, "key", value, version FROM memory') == [
        ("agent/planner", "last", '"plan the campaign"', 1)
    ]
    assert marketing.plain("SELECT count(*) FROM memory_log WHERE did = 'written'") == [(2,)]
    assert mai.plain("SELECT peer, sent, acked, received FROM links WHERE peer = 'acme/sales'")[0][1] == len(told)
    assert mai.plain("SELECT version, organisation FROM lives") == [("0", "0123456789abcdef")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", at) for (at,) in mai.plain("SELECT at FROM records"))


def test_what_is_under_way_is_open(ledger: Ledger) -> None:
    """Without a record of what came of it a task is open, an effect too; then they are what came of them."""
    intent = EffectIntent(**ME, n=2, key="r1/1/2", tool="pay", effect="opaque", given={"tool": "pay"})
    db = write(ledger, HOP, intent)
    assert rows(db, "SELECT state, ended FROM tasks") == [("open", None)]
    assert rows(db, "SELECT state, tool, given->>'tool' FROM effects") == [("open", "pay", "pay")]
    write(ledger, EffectUnknown(**ME, n=2, key="r1/1/2", tool="pay", effect="opaque"))
    assert rows(db, "SELECT state FROM effects") == [("in doubt",)]
    write(ledger, Stepped(**ME, n=2, call="tool", value=9), Ended(**ME, state="answered", text="done", value={"refund": 9}))
    assert rows(db, "SELECT state, value FROM effects") == [("done", "9")]
    assert rows(db, "SELECT state, answer, value->>'refund' FROM tasks") == [("answered", "done", 9)]
    assert rows(db, "SELECT given->>'tool' FROM steps") == [("pay",)]


def test_approvals_from_asked_to_used(ledger: Ledger) -> None:
    """An approval waits, is approved, is used; one of another call is not touched by that."""
    db = write(ledger, ASKED, msgspec.structs.replace(ASKED, id="a2"))
    assert rows(db, "SELECT id, state, name, clause FROM approvals") == [
        ("a1", "waits", "finance.pay", "large"), ("a2", "waits", "finance.pay", "large"),
    ]  # fmt: skip
    write(ledger, approvals.ApprovalDecided(**ME, n=2, id="a1", approved=True, who="person", by=("ann (1000)",), note="fine"))
    assert rows(db, "SELECT state, by, note FROM approvals WHERE id = 'a1'") == [("approved", '["ann (1000)"]', "fine")]
    write(ledger, approvals.ApprovalUsed(**ME, n=2, id="a1", name="finance.pay", arguments=""))
    assert rows(db, "SELECT id, state FROM approvals") == [("a1", "used"), ("a2", "waits")]


def test_a_decision_stands_beside_what_seals_it(ledger: Ledger) -> None:
    """Kind and words of the record that was decided, and the digest of what it was based on."""
    seal = Sealed(**ME, what="route", record=1, digest="d", context="c0ffee", life=1)
    db = write(ledger, HOP, seal)
    query = "SELECT record, what, kind, said->>'rule', seal, context FROM decisions"
    assert rows(db, query) == [(1, "route", "hop", "a coordinator may", 2, "c0ffee")]


def test_refusals_of_all_sorts_name_their_rule(ledger: Ledger) -> None:
    """Whoever refuses, the rule stands in one column; what was not refused is not there."""
    db = write(
        ledger,
        HopRefused(request="r1", task="r1/1", sender="clerk", receiver="porter", rule="no hand-on", instead=("x",)),
        MessageRefused(peer="acme/sales", why="forgery", detail="another key"),
        Stepped(**ME, n=1, call="recall", given={"key": "k"}, refused="out of scope"),
        Stepped(**ME, n=2, call="now", value=1),
        Escalated(**ME, reason="too hard", cause="choice", to="board"),
    )  # fmt: skip
    assert rows(db, "SELECT kind, who, rule FROM refusals") == [
        ("hop.refused", "clerk", "no hand-on"), ("message.refused", "acme/sales", "forgery"),
        ("step", None, "out of scope"),
    ]  # fmt: skip
    assert rows(db, "SELECT cause, reason, owner FROM escalations") == [("choice", "too hard", "board")]


def test_a_large_body_is_whole(ledger: Ledger) -> None:
    """A body that lies in a blob is read like any other."""
    db = write(ledger, Asked(**ME, n=1, call="ask", given={"to": "sales.deals", "text": "x" * BLOB_BYTES}))
    assert rows(db, "SELECT substr(body, 1, 8) FROM journal") == [('{"blob":',)]
    assert rows(db, "SELECT json_extract(body, '$.given.to'), length(body) > 16384 FROM records") == [("sales.deals", 1)]


def test_what_came_of_something_is_found_by_the_index(ledger: Ledger) -> None:
    """No view that names a request, or joins one record with another, reads the journal for each of its rows."""
    db = write(ledger, HOP)
    for view in VIEWS:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN SELECT * FROM {view.name}")]
        scans = [step for step in plan if step.startswith("SCAN")]
        assert len(scans) == (0 if "Made of the state" in view.about else 1 + len(view.also)), (view.name, plan)
    for name in ("requests", "tasks", "steps", "decisions", "effects", "approvals", "escalations"):
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN SELECT * FROM {name} WHERE request = 'r1'")]
        assert name == "decisions" or not any(step.startswith("SCAN r") for step in plan), (name, plan)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_views_name_only_what_records_have(view: View) -> None:
    """Each kind of record that a view names there is, and each field that it reads one of those kinds has."""
    sql = view.sql
    said = set(re.findall(r"'([a-z._]+)'", sql))
    assert not {one for one in said if "." in one} - kinds().keys()
    found = {one: kinds()[one] for one in said & kinds().keys()}
    fields = {field.encode_name for struct in found.values() for field in msgspec.structs.fields(struct)} | {"sealed", "blob"}
    for path in re.findall(r"(?:r|e|s|x|d)\.body->>?'\$\.(\w+)", sql):
        assert not found or path in fields, (path, sorted(found))


def test_every_module_with_kinds_is_known() -> None:
    """All kinds are known after `kinds()`, each with a level and words."""
    names = {
        f"mai.{path.parent.name}.{path.stem}"
        for layer in ("agents", "daemon")
        for path in (ROOT / layer).glob("*.py")
        if re.search(r"^register\(", path.read_text(), re.MULTILINE)
    }
    assert names == set(REGISTERING)
    assert kinds().keys() >= KINDS.keys() and OF_KIND.keys() <= kinds().keys()
    assert kinds().keys() == NAMES
    assert {level_of(kind) for kind in kinds()} == set(LEVELS)
    assert kinds().keys() - SUMMARIES.keys() <= {"start", "lies_down", "sleeps", "wakes"}
