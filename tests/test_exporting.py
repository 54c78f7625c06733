"""`mai export`: records as JSON lines that their schemas describe, and a directory for Datasette."""

import json
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pysqlite3 as sqlite3
import pytest
from jsonschema import Draft202012Validator
from msgspec import inspect
from referencing import Registry, Resource

from mai.agents.events import KINDS, decode, encode
from mai.daemon import schemas, site
from mai.daemon.book import Book
from mai.daemon.kinds import kinds
from mai.daemon.seals import GONE
from mai.daemon.tail import Tail
from mai.daemon.tail_form import fields
from mai.daemon.watchdog_records import RECORDS
from mai.sandbox.errors import UsageFault
from mai.sandbox.ledger import BLOB_BYTES, Ledger
from mai.sandbox.place import Place
from mai.sandbox.rotation import Rotation
from tests.small import MAI, environment
from tests.wired import Wired

FILES: dict[str, Any] = json.loads(msgspec.json.encode(schemas.files()))  # as they are written
REGISTRY = Registry().with_resources(
    [(found["$id"], Resource.from_contents(found)) for found in FILES.values()]
)  # fmt: skip
VALIDATORS = {kind: Draft202012Validator(FILES[f"{kind}.json"]) for kind in kinds()}
COLUMNS = {
    "process": "acme/mai", "at": "2026-11-28T20:00:00.000+00:00", "seq": 1, "at_ns": 1, "term": 1, "boot": "b", "request": "",
    "task": "", "agent": "", "digest": "0" * 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A company that has answered two requests, and a watchdog that has seen something."""
    place = Wired(tmp_path_factory.mktemp("export"), sealed=True).asked("r1", "r2").close().place
    place.home("watchdog").mkdir(parents=True, exist_ok=True)
    book = Book(place.ledger("watchdog"))
    book.seals.make("acme")
    book.started(pid=1)
    book.incident("acme/sales", "death", "killed by signal 9", pid=2, file=None)
    book.want("acme/sales", "drain", "ann", "a new version", then="stop", until_ms=5)
    book.give_up("acme/sales", "five deaths", "b")
    book.revive("acme/sales")
    book.sleep("acme/sales", sure=False)
    book.sleep("acme/sales", sure=True)
    book.wake("acme/sales")
    book.flush(0.0)
    book.close()
    return place


def run(place: Place, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """The command."""
    command = [*MAI, "--state", str(place.state), "export", *words]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, **more)


def record(kind: str, body: Any) -> dict[str, Any]:
    """A line of this kind."""
    return {**COLUMNS, "kind": kind, "level": FILES[f"{kind}.json"]["properties"]["level"]["const"], "body": body}


def unknown(kind: str, body: Any) -> set[str]:
    """What a body has and its schema does not name."""
    named: dict[str, Any] = FILES[f"{kind}.json"]["$defs"][kinds()[kind].__name__]["properties"]
    return set(body) - named.keys()


# -- schemas
def test_every_record_of_a_run_is_as_its_schema_says(place: Place) -> None:
    """Of real processes and of the watchdog: each line holds, and has no field that its schema does not name."""
    seen = set()
    for line in Tail(place, places={}).rest():
        found, kind = fields(line), line.record.kind
        VALIDATORS[kind].validate(found)
        assert not unknown(kind, found["body"]), found
        seen.add(kind)
    assert {"hop", "step", "decision", "message.sent", "request.ended", "incident", "wanted", "memory.written"} <= seen


@pytest.mark.parametrize("kind", kinds())
def test_each_kind_has_a_schema_that_bites(kind: str) -> None:
    """A record made of the kind's types holds, whole and with the least; one without a field, or with another type, does not."""
    schema = FILES[f"{kind}.json"]
    Draft202012Validator.check_schema(schema)
    struct = kinds()[kind]
    for whole in (True, False):
        body = sample(inspect.type_info(struct), whole=whole)
        VALIDATORS[kind].validate(record(kind, body))
        assert not unknown(kind, body) and msgspec.convert(body, struct, strict=False)
        if kind in KINDS:
            again = json.loads(encode(decode(kind, json.dumps(body))))
            VALIDATORS[kind].validate(record(kind, again))
    required = [field.encode_name for field in msgspec.structs.fields(struct) if field.required]
    for name in required:
        less = {key: value for key, value in body.items() if key != name}
        assert not VALIDATORS[kind].is_valid(record(kind, less)), name
    assert not VALIDATORS[kind].is_valid(record(kind, [])) and not VALIDATORS[kind].is_valid({**record(kind, body), "seq": "1"})
    VALIDATORS[kind].validate(record(kind, {"unreadable": "{"}))


def sample(type_: inspect.Type, *, whole: bool) -> Any:  # noqa: PLR0911  # one line for each type
    """A value of a type as JSON has it; `whole` with all that may be there."""
    match type_:
        case inspect.StructType(fields=fields, tag=tag, tag_field=tag_field):
            named = {one.encode_name: sample(one.type, whole=whole) for one in fields if whole or one.required}
            return {tag_field: tag, **named} if tag_field else named
        case inspect.UnionType(types=types):
            return sample(types[-1 if whole and not isinstance(types[-1], inspect.NoneType) else 0], whole=whole)
        case inspect.DictType(value_type=value):
            return {"a": sample(value, whole=whole)} if whole else {}
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return [sample(item, whole=whole)] if whole else []
        case inspect.TupleType(item_types=items):
            return [sample(one, whole=whole) for one in items]
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.BoolType():
            return whole
        case inspect.IntType():
            return 5
        case inspect.FloatType():
            return 0.5
        case inspect.NoneType():
            return None
        case inspect.StrType():
            return "text"
        case inspect.AnyType():
            return {"any": [1, None, "x"]}
    raise AssertionError(f"no sample of {type_}")


def test_what_an_erased_client_leaves_is_valid() -> None:
    """Where a client's key is gone, its mark stands in the place of whatever was sealed."""
    valid = VALIDATORS["start"].is_valid
    assert valid(record("start", {"process": "acme/x", "beside": GONE, "late": GONE, "most": GONE, "waiting": GONE}))
    assert not valid(record("start", {"process": 5, "beside": 1, "late": 1, "most": 1, "waiting": 1}))
    assert RECORDS.keys() <= kinds().keys()


def test_one_schema_is_for_all(place: Place) -> None:
    """`records.json` refers to the others by their files, and takes any record."""
    validator = Draft202012Validator(FILES[schemas.ALL], registry=REGISTRY)
    lines = [fields(line) for line in Tail(place, "acme/mai").latest(5)]
    assert all(validator.is_valid(line) for line in lines)
    assert not validator.is_valid({**lines[0], "kind": "dance"})


# -- lines
def test_lines_are_those_of_the_tail(place: Place, tmp_path: Path) -> None:
    """All records once, in order of time, as `mai tail --json` has them; chosen by conditions; a file is never written over."""
    whole = run(place)
    lines = [json.loads(line) for line in whole.stdout.splitlines()]
    expected = [json.loads(json.dumps(fields(line))) for line in Tail(place).latest(10_000)]
    assert whole.returncode == 0 and lines == expected
    assert [one["at_ns"] for one in lines] == sorted(one["at_ns"] for one in lines)
    to = tmp_path / "some.jsonl"
    ran = run(place, "acme/sales", "--jsonl", "-o", str(to), "--kind", "step,hop", "--request", "r1")
    assert ran.returncode == 0, ran.stderr
    some = [json.loads(line) for line in to.read_text().splitlines()]
    chosen = [one for one in lines if (one["process"], one["request"]) == ("acme/sales", "r1")]
    assert some == [one for one in chosen if one["kind"] in ("step", "hop", "step.asked")]
    again = run(place, "-o", str(to))
    assert again.returncode == 2 and "exists" in again.stderr and len(to.read_text().splitlines()) == len(some)
    assert run(place, "--jsonl", "--schema", str(tmp_path / "s")).returncode == 2


def test_schemas_are_written(place: Place, tmp_path: Path) -> None:
    """A file for each kind, and one for all; also where there is no ledger."""
    ran = run(Place(tmp_path / "nothing"), "--schema", str(tmp_path / "schemas"))
    assert ran.returncode == 0, ran.stderr
    found = {path.name: json.loads(path.read_bytes()) for path in (tmp_path / "schemas").iterdir()}
    assert found == FILES


# -- Datasette
def test_a_site_has_all_that_is_on_record(place: Place, tmp_path: Path) -> None:
    """A database for each process, whole and with the archived records; each view described, each question answered."""
    base = tmp_path / "place"
    shutil.copytree(place.state, base, dirs_exist_ok=True)
    there = Place(base)
    with closing(Ledger(there.ledger("acme/sales"), "acme/sales")) as ledger:
        ledger.append("step.asked", b'{"request":"r9","given":"%s"}' % (b"x" * BLOB_BYTES), request="r9")
        ledger.commit()
        rotation = Rotation(ledger, ledger.seq)
        while rotation.step():
            pass
        last = ledger.seq
    ran = run(there, "acme", "--datasette", str(tmp_path / "site"))
    assert ran.returncode == 0, ran.stderr
    directory = tmp_path / "site"
    assert {path.name for path in directory.iterdir()} == {
        "acme-mai.db", "acme-marketing.db", "acme-sales.db", site.METADATA, site.CONFIG, "settings.json",
    }  # fmt: skip
    described = json.loads((directory / site.METADATA).read_bytes())["databases"]
    for path in directory.glob("*.db"):
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            for name, table in described[path.stem]["tables"].items():
                columns = [row[1] for row in db.execute(f"PRAGMA table_info({name})")]
                assert "columns" not in table or list(table["columns"]) == columns
            for question in described[path.stem]["queries"].values():
                db.execute(question["sql"], {"request": "r1", "task": "t", "key": "k"}).fetchall()
            if path.stem == "acme-sales":
                assert db.execute("SELECT count(*), max(seq) FROM records").fetchone() == (last, last)
                assert db.execute("SELECT length(body) > 16384 FROM records WHERE request = 'r9'").fetchone() == (1,)
    with pytest.raises(UsageFault, match="exists"):
        site.build(there, ["acme/mai"], directory)
