"""The reference organisation without the daemon: its data, its file, its tools and its two programs."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pysqlite3 as sqlite3
import pytest

from mai.agents.channels import CARRIER
from mai.agents.check import load
from mai.agents.context import Refusal
from mai.agents.healing import MEDIC
from mai.agents.organisation import Organisation
from mai.agents.phrases import Phrasebook
from mai.agents.table import Table
from tests.company_facts import DEPARTMENTS, EFFECTS, FACTS, attach

ETC = Path(__file__).parent.parent / "etc"
sys.path.append(str(ETC))  # as the daemon does for the handlers

from company import common, data, finance_tools, legal_tools, people_tools, store, support_tools  # noqa: E402

PREPARE = """
import importlib, pathlib, sys
sys.path.append(sys.argv[1])
for department in sys.argv[3:]:
    files = pathlib.Path(sys.argv[2], department)
    files.mkdir(parents=True, exist_ok=True)
    importlib.import_module(f"company.{department}_data").prepare(files)
"""
REFERENCES = [  # (table and column, what it refers to)
    ("sales.contacts.customer", "sales.accounts.customer"),
    ("sales.orders.customer", "sales.accounts.customer"),
    ("sales.orders.product", "sales.products.id"),
    ("sales.deals.customer", "sales.accounts.customer"),
    ("sales.accounts.rep", "people.employees.id"),
    ("sales.reps.employee", "people.employees.id"),
    ("support.tickets.customer", "sales.accounts.customer"),
    ("support.tickets.order", "sales.orders.id"),
    ("support.tickets.employee", "people.employees.id"),
    ("support.messages.ticket", "support.tickets.id"),
    ("finance.invoices.order", "sales.orders.id"),
    ("finance.invoices.customer", "sales.accounts.customer"),
    ("finance.payments.invoice", "finance.invoices.id"),
    ("finance.refunds.order", "sales.orders.id"),
    ("legal.consents.customer", "sales.accounts.customer"),
    ("legal.agreements.customer", "sales.accounts.customer"),
    ("legal.agreements.supplier", "operations.suppliers.id"),
    ("legal.privacy_requests.customer", "sales.accounts.customer"),
    ("marketing.subscribers.customer", "sales.accounts.customer"),
    ("marketing.mailings.customer", "sales.accounts.customer"),
    ("marketing.mailings.campaign", "marketing.campaigns.id"),
    ("marketing.results.campaign", "marketing.campaigns.id"),
    ("marketing.content.campaign", "marketing.campaigns.id"),
    ("engineering.api_keys.customer", "sales.accounts.customer"),
    ("engineering.on_call.employee", "people.employees.id"),
    ("engineering.deployments.employee", "people.employees.id"),
    ("engineering.deployments.service", "engineering.services.name"),
    ("engineering.incidents.deployment", "engineering.deployments.id"),
    ("people.interviews.candidate", "people.candidates.id"),
    ("people.interviews.employee", "people.employees.id"),
    ("people.leave.employee", "people.employees.id"),
    ("people.referrals.candidate", "people.candidates.id"),
    ("people.referrals.customer", "sales.accounts.customer"),
    ("operations.shipments.order", "sales.orders.id"),
    ("operations.shipments.customer", "sales.accounts.customer"),
    ("operations.stock.product", "sales.products.id"),
    ("operations.purchases.product", "sales.products.id"),
    ("operations.purchases.supplier", "operations.suppliers.id"),
]


def prepare(directory: Path, *departments: str, **environment: str) -> dict[str, Path]:
    """Make the departments' databases as the daemon does: in a process of its own; where they lie."""
    command = [sys.executable, "-P", "-c", PREPARE, str(ETC), str(directory), *departments]
    subprocess.run(command, check=True, env=os.environ | environment)
    return {department: directory / department for department in departments}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every department's directory, for tests that only read."""
    return prepare(tmp_path_factory.mktemp("company"), *DEPARTMENTS)


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    """The organisation file."""
    return load(ETC / "company.toml")


def dump(files: Path) -> dict[str, list[Any]]:
    """A whole database: every table's statement and rows."""
    with closing(sqlite3.connect(files / store.DATABASE)) as connection:
        made = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        return {sql: connection.execute(f"SELECT * FROM {name}").fetchall() for name, sql in made}


def tables(connection: Any, department: str) -> Iterator[str]:
    """The tables of an attached database."""
    for (name,) in connection.execute(f"SELECT name FROM {department}.sqlite_master WHERE type = 'table'").fetchall():
        yield name


# -- data
def test_the_data_is_the_same_every_time(company: dict[str, Path], tmp_path: Path) -> None:
    """Two installations get equal databases, whatever Python's hashes and whatever else the process made before."""
    again = prepare(tmp_path, *reversed(DEPARTMENTS), PYTHONHASHSEED="1")
    for department in DEPARTMENTS:
        assert dump(again[department]) == dump(company[department])


def test_a_department_is_prepared_once(tmp_path: Path) -> None:
    """Preparing again changes nothing, so that what the department did since is kept."""
    files = prepare(tmp_path, "finance")["finance"]
    finance_tools.refund(files, order=10423, customer=1, cents=1, reason="", key="k")
    before = (files / store.DATABASE).read_bytes()
    prepare(tmp_path, "finance")
    assert (files / store.DATABASE).read_bytes() == before


def test_a_kill_in_the_middle_leaves_no_half_database(tmp_path: Path) -> None:
    """A process that is killed while it writes leaves nothing that is taken for a database; the next one makes it whole."""

    def rows() -> Iterator[tuple[int]]:
        yield (1,)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        data.build(tmp_path, "CREATE TABLE t (id INTEGER);", {"t": rows()})
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert not (tmp_path / store.DATABASE).exists()
    data.build(tmp_path, "CREATE TABLE t (id INTEGER);", {"t": [(1,), (2,)]})
    assert store.rows(tmp_path, "SELECT id FROM t") == [{"id": 1}, {"id": 2}]


def test_there_is_enough_of_it(company: dict[str, Path]) -> None:
    """Some 20,000 rows, and no department without its share."""
    with closing(attach(company)) as connection:
        counts = {
            department: sum(
                connection.execute(f"SELECT count(*) FROM {department}.{name}").fetchone()[0]
                for name in tables(connection, department)
            )
            for department in DEPARTMENTS
        }
    assert sum(counts.values()) >= 18_000
    assert min(counts.values()) >= 1_000


@pytest.mark.parametrize(("column", "of"), REFERENCES, ids=lambda name: name)
def test_the_departments_data_fits_together(company: dict[str, Path], column: str, of: str) -> None:
    """What one department says of a customer, an order or an employee, the department that owns them knows."""
    (table, name), (owner, key) = column.rsplit(".", 1), of.rsplit(".", 1)
    missing = f'SELECT count(*) FROM {table} WHERE "{name}" IS NOT NULL AND "{name}" NOT IN (SELECT {key} FROM {owner})'
    present = f'SELECT count("{name}") FROM {table}'
    with closing(attach(company)) as connection:
        assert connection.execute(missing).fetchone()[0] == 0
        assert connection.execute(present).fetchone()[0] > 0


def test_amounts_agree_across_departments(company: dict[str, Path]) -> None:
    """An invoice is over what sales sold, a payment over the invoice, and nothing lies after today that has happened."""
    with closing(attach(company)) as connection:
        for wrong in (
            """SELECT count(*) FROM finance.invoices i JOIN sales.orders o ON o.id = i."order"
               WHERE (o.cents, o.customer) <> (i.cents, i.customer)""",
            "SELECT count(*) FROM finance.invoices i JOIN finance.payments p ON p.invoice = i.id WHERE p.cents <> i.cents",
            "SELECT count(*) FROM sales.orders o JOIN sales.products p ON p.id = o.product WHERE o.cents <> o.units * p.cents",
            "SELECT count(*) FROM sales.orders WHERE ordered_on > '2026-02-16'",
            "SELECT count(*) FROM finance.payments WHERE paid_on > '2026-02-16'",
            "SELECT count(*) FROM support.tickets WHERE date(opened_at) > '2026-02-16' OR closed_at < opened_at",
            "SELECT count(*) FROM operations.shipments WHERE delivered_on > '2026-02-16' OR delivered_on < shipped_on",
        ):
            assert connection.execute(wrong).fetchone()[0] == 0, wrong


# -- the organisation file
def test_the_file_is_sound_and_large_enough(organisation: Organisation) -> None:
    """It passes every check, and has the ranks that are promised: 8 boards, 30 coordinators, 50 specialists, 20 operators."""
    ranks = Counter(agent.rank for department in organisation.departments for agent in department.agents)
    assert tuple(department.name for department in organisation.departments) == DEPARTMENTS
    assert ranks["board"] == len(DEPARTMENTS)
    assert (ranks["coordinator"] >= 30, ranks["specialist"] >= 50, ranks["operator"] >= 20) == (True, True, True)


def test_everybody_has_work_and_a_charter(organisation: Organisation) -> None:
    """A worker has code, tools and skills; a coordinator has reports; boards and coordinators have the built-in behaviour."""
    table = Table(organisation)
    for department in organisation.departments:
        for agent in department.agents:
            worker = agent.rank in ("specialist", "operator")
            assert agent.charter, agent.name
            assert bool(agent.kind) == worker, agent.name
            assert agent.skills or agent.rank == "board" or agent.name in (MEDIC, CARRIER), agent.name
            assert bool(agent.tools) == worker, agent.name
            assert table.reports(department.name, agent.name) or agent.rank != "coordinator", agent.name


def test_every_phrase_asks_for_its_contract_alone(organisation: Organisation) -> None:
    """No two contracts answer to the same words."""
    contracts = {f"{d.name}.{c.name}": c for d in organisation.departments for c in d.contracts if "client" in c.may_ask}
    values = {"int": "42", "int?": "42", "str": "checkout", "str?": "January"}
    book = Phrasebook(contracts)
    for name, contract in contracts.items():
        assert contract.phrases, f"a client cannot ask for {name}"
        for phrase in contract.phrases:
            text = phrase.format(**{field: values[str(declared)] for field, declared in contract.request.items()})
            assert [found.contract for found in book.find(text)] == [name], text


def test_every_contract_of_the_client_has_its_fact(organisation: Organisation) -> None:
    """Whatever a client may ask is held against plain SQL, so no answer can be canned."""
    contracts = {f"{d.name}.{c.name}": c for d in organisation.departments for c in d.contracts if "client" in c.may_ask}
    book = Phrasebook(contracts)
    asked = {found.contract for fact in FACTS for found in book.find(fact.text)}
    assert asked >= set(contracts)


def test_every_fact_is_computed_from_something(company: dict[str, Path]) -> None:
    """No statement runs into nothing: each gives values that an answer can be held against."""
    with closing(attach(company)) as connection:
        for text, expect, _ in FACTS:
            if any(text == effect.text for effect in EFFECTS):
                continue  # true only after what comes before it
            facts = expect(connection)
            assert facts and any(fact not in (None, [], {}, 0) for fact in facts.values()), text


def test_a_wrong_answer_is_noticed(company: dict[str, Path]) -> None:
    """Every fact refuses an answer without values or with other ones: the comparison can fail."""
    with closing(attach(company)) as connection:
        for text, expect, compare in FACTS:
            if not any(text == effect.text for effect in EFFECTS):
                with pytest.raises((AssertionError, KeyError)):
                    compare(expect(connection), "", [{}])


# -- tools
def test_a_refund_is_paid_once(tmp_path: Path) -> None:
    """The same key gives the same refund; another key for the same order pays nothing and says what was paid."""
    files = prepare(tmp_path, "finance")["finance"]
    call: Any = {"order": 10423, "customer": 1, "cents": 500, "reason": "test"}
    first = finance_tools.refund(files, **call, key="a")
    assert finance_tools.refund(files, **call, key="a") == first
    assert finance_tools.refund(files, **call, key="b") == first | {"again": True}
    paid = store.rows(files, 'SELECT id, key, cents FROM refunds WHERE "order" = 10423')
    assert paid == [{"id": first["refund"], "key": "a", "cents": 500}]


def test_many_at_once_refund_one_order_once(tmp_path: Path) -> None:
    """Processes that race for one order pay once between them."""
    files = prepare(tmp_path, "finance")["finance"]
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            finance_tools.refund(files, order=10501, customer=1, cents=1, reason="", key=f"k{number}")
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
    assert len(store.rows(files, 'SELECT id FROM refunds WHERE "order" = 10501')) == 1


def test_erasing_keeps_what_a_duty_keeps(tmp_path: Path) -> None:
    """Under a duty an invoice stays and loses the name; one that is older than the duty goes."""
    files = prepare(tmp_path, "finance")["finance"]
    before = store.rows(files, "SELECT id, issued_on FROM invoices WHERE customer = 42 ORDER BY issued_on")
    body = finance_tools.erase(files, customer=42, keep={"invoices": 1, "payments": 1, "refunds": 1}, key="a")
    after = store.rows(files, "SELECT id, issued_on, billed_to, email FROM invoices WHERE customer = 42 ORDER BY issued_on")
    young = [one for one in before if one["issued_on"] >= "2025-02-16"]
    assert [one["id"] for one in after] == [one["id"] for one in young]
    assert {(one["billed_to"], one["email"]) for one in after} == {("", "")}
    assert 0 < len(young) < len(before)
    assert body["erased"]["invoices"] == len(before) - len(young)
    assert body["kept"]["invoices"] == body["anonymised"]["invoices"] == len(young)


def test_erasing_twice_erases_once(tmp_path: Path) -> None:
    """The same key returns what was done; another key finds nothing left; a stranger is not touched."""
    files = prepare(tmp_path, "support")["support"]
    others = len(store.rows(files, "SELECT id FROM tickets WHERE customer <> 311"))
    first = support_tools.erase(files, customer=311, keep={}, key="a")
    assert first["erased"]["tickets"] and first["erased"]["messages"]
    assert support_tools.erase(files, customer=311, keep={}, key="a") == first
    assert support_tools.erase(files, customer=311, keep={}, key="b")["erased"] == {}
    assert set(support_tools.holdings(files, 311).values()) == {0}
    assert len(store.rows(files, "SELECT id FROM tickets WHERE customer <> 311")) == others


def test_interviews_do_not_collide(tmp_path: Path) -> None:
    """Each candidate gets an hour in which the interviewer is free; the same key gets the same hour."""
    files = prepare(tmp_path, "people")["people"]
    slots = [
        people_tools.schedule(files, candidate=one["candidate"], department="support", key=str(n))
        for n, one in enumerate(people_tools.waiting(files)[:12])
    ]
    assert len({one["at"] for one in slots}) == len(slots)
    again = people_tools.schedule(files, candidate=305, department="support", key="0")
    assert again == slots[0]


def test_a_look_cannot_write(company: dict[str, Path]) -> None:
    """What a tool asks runs on a connection that writes nothing."""
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store.rows(company["legal"], "DELETE FROM consents")


def test_a_failed_effect_leaves_nothing(tmp_path: Path) -> None:
    """An effect that breaks off is undone as a whole."""
    files = prepare(tmp_path, "legal")["legal"]
    before = legal_tools.holdings(files, 311)
    with pytest.raises(ZeroDivisionError), store.writing(files) as db:
        db.change("DELETE FROM consents")
        raise ZeroDivisionError
    assert legal_tools.holdings(files, 311) == before


# -- reading a request
class Text:
    """A free text, as a worker gets it."""

    def __init__(self, text: str, **given: Any) -> None:
        self.text, self.contract, self.input = text, "", given


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("refund order 10423", 10423),
        ("order #10,423 please, for customer 7", 10423),
        ("Refund 10423!", 10423),
        ("order number 10423 of 3 May", 10423),
        ("money back for orders no. 10423", 10423),
    ],
)
def test_a_number_is_found_in_a_text(text: str, number: int) -> None:
    """The number after the noun counts, else the only one there is."""
    assert common.number(Text(text), "order") == number


@pytest.mark.parametrize("text", ["refund my order", "refund 10423 or 10424"])
def test_no_number_is_guessed(text: str) -> None:
    """None, or several without the noun: the refusal says what is needed."""
    with pytest.raises(Refusal, match="tell me the number of the order"):
        common.number(Text(text), "order")


# -- programs
@pytest.mark.parametrize(
    ("command", "task", "call", "value", "answer"),
    [
        (
            ["sh", "stock_desk.sh"],
            {"text": "", "contract": "operations.stock", "input": {"product": 17}},
            {"call": "tool", "name": "stock_of", "input": {"product": 17}},
            {"product": 17, "units": 203, "warehouses": 3},
            {"product": 17, "units": 203, "warehouses": 3},
        ),
        (
            ["sh", "stock_desk.sh"],
            {"text": "is product 4 in stock", "contract": "", "input": {}},
            {"call": "tool", "name": "stock_of", "input": {"product": 4}},
            None,
            "there is no product 4",
        ),
        (
            ["sh", "stock_desk.sh"],
            {"text": "in stock?", "contract": "", "input": {}},
            None,
            None,
            "tell me the number of the product",
        ),
        (
            [sys.executable, "delivery_analyst.py"],
            {"text": "late?", "contract": "", "input": {}},
            {"call": "tool", "name": "late_deliveries", "input": {}},
            [{"shipment": 1, "order": 2, "customer": 3, "carrier": "Taube", "promised_on": "2026-02-12", "days": 4}],
            {
                "late": 1,
                "longest_days": 4,
                "deliveries": [
                    {"shipment": 1, "order": 2, "customer": 3, "carrier": "Taube", "promised_on": "2026-02-12", "days": 4}
                ],
            },
        ),
    ],
)
def test_a_program_speaks_json_lines(command: list[str], task: Any, call: Any, value: Any, answer: Any) -> None:
    """An agent in any language: a task in, a call of its tool out, the value in, the answer out; and then the next task."""
    name, script = command
    program = subprocess.Popen([name, str(ETC / "company" / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert program.stdin is not None and program.stdout is not None
    with program:
        for _ in range(2):
            _write(program.stdin, {"task": "t", "asker": "acme/client"} | task)
            if call:
                assert json.loads(program.stdout.readline()) == call
                _write(program.stdin, {"value": value})
            last = json.loads(program.stdout.readline())
            if isinstance(answer, str):
                assert answer in last["refused"]
            else:
                assert last["value"] == answer and last["text"]
        program.stdin.close()
    assert program.returncode == 0


def _write(stream: Any, message: Any) -> None:
    stream.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    stream.flush()
