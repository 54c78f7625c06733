"""The exact bytes of what models were asked and have answered: kept for little, rebuilt to the byte, from the ledgers alone."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai.agents import talks
from mai.agents.erased import Values
from mai.agents.errand_messages import Inquiry, Think, Transcript, Usage
from mai.agents.events import Asked, encode
from mai.agents.messages import address_of
from mai.agents.model_steps import ModelSteps
from mai.agents.models import Provider
from mai.agents.texts import misfit
from mai.daemon import posting
from mai.daemon.attempts import Failure, Question
from mai.daemon.bare import bare
from mai.daemon.calling import Attempt, Call
from mai.daemon.decisions import decisions, name_of
from mai.daemon.providing import Ended
from mai.daemon.reasking import ask
from mai.daemon.replaying import Replayed, replay, sweep
from mai.daemon.scripted import Running, running
from mai.daemon.transcript_records import ModelRequest, ModelResponse
from mai.daemon.transcripts import CUT_BYTES, Transcripts
from mai.daemon.verbatim import Verbatims
from mai.sandbox.errors import FAILED, REDACTED, Erased
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place
from tests.lone import Lone, desk
from tests.minds import KEY, Minds
from tests.small import MAI, environment

ME = "acme/models"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
)
SCRIPT = """
[[rules]]
user = '"from":"tool note"'
json = { move = { do = "answer", text = "It is in order.", value = { verdict = "in order" } } }
[[rules]]
attempt = [1]
user = '"number":13'
fault = "500"
[[rules]]
user = '"number":(?P<number>\\d+)'
json = { move = { do = "tool", name = "note", input = { number = "{number}" } } }
"""


class Book:
    """A models process's ledger, written as it writes it."""

    def __init__(self, state: Path) -> None:
        self.place = Place(state)
        self.place.home(ME).mkdir(parents=True)
        self.ledger = Ledger(self.place.ledger(ME), ME)
        self.transcripts = Transcripts(self.ledger)
        self.asked: list[tuple[Transcript, bytes, bytes]] = []

    def attempt(self, talk: str, pieces: tuple[bytes, ...], raw: bytes, failure: Failure | None = None) -> None:
        """One, with its answer."""
        attempt = Attempt(1, "main", "m", Usage(), 0)
        call = Call(
            f"{talk}.m{len(self.asked)}", "r", "acme/support/desk", "acme/mai", "clever", Inquiry((), 0), 0, 0, 0, attempt=attempt
        )
        self.transcripts.request(call, "http://x/v1", pieces, self.write)
        attempt.asked = self.ledger.seq
        came = self.transcripts.response(call, Ended(call.id, 1, "", None, failure, 200, raw, len(raw)))
        heard = self.write(came)
        digest = hashlib.sha256(b"".join(pieces)).hexdigest()
        self.asked.append((Transcript(ME, attempt.asked, digest, heard, came.digest), b"".join(pieces), raw))

    def write(self, event: ModelRequest | ModelResponse) -> int:
        """Put it on record."""
        return self.ledger.append(event.kind, encode(event), request=event.request, task=event.task, agent=event.agent)


def judged(verbatims: Verbatims, transcript: Transcript) -> tuple[list[str], dict[str, None]]:
    """What differs of it, and what was erased."""
    faults, erased = list[str](), dict[str, None]()
    verbatims.judge(transcript, faults, erased)
    return faults, erased


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.lists(st.binary(max_size=20), max_size=4), st.binary()),
        max_size=12,
    )
)
def test_whatever_was_asked_is_rebuilt_to_the_byte(tmp_path_factory: pytest.TempPathFactory, turns: list[Any]) -> None:
    """Talks that grow, shrink and change in their middle, side by side; answers of any bytes."""
    book = Book(tmp_path_factory.mktemp("book"))
    told: dict[str, list[bytes]] = {"a": [], "b": []}
    for talk, fewer, more, raw in turns:
        told[talk] = told[talk][: max(0, len(told[talk]) - fewer)] + more
        book.attempt(talk, tuple(told[talk]), raw)
    book.ledger.append("process.stopped", b"{}")
    book.ledger.commit()
    with closing(Verbatims(book.place)) as verbatims:
        for transcript, request, response in reversed(book.asked):
            assert judged(verbatims, transcript) == ([], {})
            assert verbatims.request(transcript)[1] == request and verbatims.response(transcript)[1] == response
    book.ledger.close()


def test_what_is_no_answer_is_kept_from_its_beginning(tmp_path: Path) -> None:
    """A provider's page of errors does not fill the disk."""
    book = Book(tmp_path)
    book.attempt("a", (b"{}",), os.urandom(CUT_BYTES + 1), Failure("500"))
    book.ledger.commit()
    with closing(Verbatims(book.place)) as verbatims:
        [(transcript, _, raw)] = book.asked
        heard, kept = verbatims.response(transcript)
        assert heard.cut and heard.size == len(raw) and kept == raw[:CUT_BYTES] and judged(verbatims, transcript) == ([], {})
    book.ledger.close()


@given(st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), max_size=4), st.booleans())
def test_the_pieces_are_the_body(messages: list[Any], anthropic: bool) -> None:
    """Put together they are one JSON document with all that the provider's protocol says."""
    told = tuple(json.dumps({"role": "user", "content": "x", "more": one}) for one in messages)
    provider = Provider(name="main", url="http://x/v1", kind="anthropic" if anthropic else "openai")
    pieces = posting.pieces(Question(provider, "m", told, "", "", 50, 0.5, 7))
    asked = json.loads(b"".join(pieces))
    assert asked["model"] == "m" and asked["temperature"] == 0.5 and asked["max_tokens"] == 50
    assert len(pieces) == len(asked["messages"]) + 2
    if not anthropic:
        assert asked["messages"] == [json.loads(one) for one in told] and asked["seed"] == 7


# -- what a talk costs
GROWING = """
async def desk(ctx, task):
    told = [{"role": "system", "content": "Be brief."}]
    for turn in range(12):
        told.append({"role": "user", "content": f"turn {turn}"})
        told.append({"role": "assistant", "content": (await ctx.model(told)).text})
    told[0] = {"role": "system", "content": "Be long."}
    return (await ctx.model(told)).text
"""


def asked_of(lone: Lone) -> list[Think]:
    """All questions to models."""
    return [one for one in lone.sent.values() if isinstance(one, Think)]


def talking(tmp_path: Path) -> Lone:
    """A department whose desk has a long talk with its model."""
    whole = desk(tmp_path, GROWING)
    worker = msgspec.structs.replace(whole.departments[0].agents[-1], model="m")
    support = msgspec.structs.replace(whole.departments[0], agents=(*whole.departments[0].agents[:-1], worker))
    return Lone(tmp_path, msgspec.structs.replace(whole, departments=(support, *whole.departments[1:])))


def test_a_question_of_a_long_talk_names_what_is_new_in_it(tmp_path: Path) -> None:
    """However long the talk is, its records do not grow; all of it is found; what was changed in it is named anew."""
    lone = talking(tmp_path)
    lone.task()
    lone.think(lambda one: {"text": f"answer to {one.id}"})
    asked = asked_of(lone)
    told = [talks.messages(one.inquiry, lone.texts.__getitem__) for one in asked]
    assert [len(one) for one in told] == [*range(2, 26, 2), 25] == [one.inquiry.total for one in asked]
    assert all(later[: len(one)] == one for one, later in pairwise(told[:-1]))
    assert {len(one.inquiry.messages) for one in asked[1:-1]} == {2} and not asked[-1].inquiry.talk
    sizes = [len(encode(event)) for event in lone.of_kind(Asked)[1:-1]]
    assert max(sizes) - min(sizes) < 8, sizes
    lone.check()
    lone.close()


def test_a_step_that_is_on_record_in_the_old_form_is_asked_in_it(tmp_path: Path) -> None:
    """From before there were lists: a task that goes on over such steps does the same, and what comes then is by lists again."""
    lone = talking(tmp_path)
    lone.task()
    lone.settle()
    work = next(one for one in lone.decider.state.work.values() if one.agent == "desk")
    messages = [{"role": "user", "content": f"message {n}"} for n in range(6)]
    steps = ModelSteps(lone.runner, work)
    steps.given(messages[:2], (), None, 0, None)
    listed = steps.given(messages[:4], (), None, 0, None)
    old = ModelSteps(lone.runner, work)
    old.given(messages[:2], (), None, 0, None)
    flat = old.given(messages[:4], (), None, 0, {"model": "m", "inquiry": {"messages": []}})
    assert listed["inquiry"]["talk"] and "talk" not in flat["inquiry"] and len(flat["inquiry"]["messages"]) == 4
    later = msgspec.convert(old.given(messages, (), None, 0, None)["inquiry"], Inquiry)

    def text_of(address: str) -> str:
        return lone.shell.texts.text(address)

    assert later.talk and len(later.messages) == 2 and len(talks.messages(later, text_of)) == 6
    lone.close()


@pytest.mark.parametrize("wrong", ["other", "absent", "none"])
def test_a_question_with_a_wrong_list_is_no_message(wrong: str) -> None:
    """A list that did not come along, one that is none, or one with other messages than the question says it has."""
    message, text = '{"content":"x","role":"user"}', talks.written(talks.Talk((address_of("x"),)))
    text = {"other": talks.written(talks.Talk((address_of(message), address_of(message)))), "absent": text, "none": "[1]"}[wrong]
    inquiry = Inquiry((address_of(message),), 2 * len(message), talk=address_of(text), count=2)
    texts = {address_of(message): message} | ({} if wrong == "absent" else {address_of(text): text})
    assert misfit(Think("r/1.m1", "r", "acme/support/desk", "m", inquiry), texts)
    right = talks.written(talks.Talk((address_of(message),)))
    texts = {address_of(message): message, address_of(right): right}
    fitting = Inquiry((address_of(message),), 2 * len(message), talk=address_of(right), count=2)
    assert not misfit(Think("r/1.m1", "r", "acme/support/desk", "m", fitting), texts)


# -- a daemon whose agents think
@pytest.fixture(scope="module")
def provider() -> Iterator[Running]:
    """It answers case 13 at the second time only."""
    with running(SCRIPT, key=KEY) as one:
        yield one


@pytest.fixture(scope="module")
def thought(module_state: Path, provider: Running) -> Iterator[Minds]:
    """Cases were judged, one at the second attempt, and the models process was killed between two."""
    minds = Minds(module_state, provider.url, departments=1)
    minds.up()
    try:
        for number in (1, 13, 2):
            assert minds.ask(minds.text(number), f"case-{number}")["state"] == "answered"
            os.kill(minds.status()[ME]["pid"], signal.SIGKILL)
        yield minds
    finally:
        minds.down()


@pytest.fixture
def carried(thought: Minds, tmp_path: Path) -> Place:
    """On another machine: copies of the ledgers, without their state, and nothing else."""
    return bare(thought.place, tmp_path / "elsewhere")


def outputs(place: Place, request: str) -> list[str]:
    """The names of a request's decisions that a model has made."""
    return [name_of(who, seq) for who, one, seq in decisions(place, request) if one.what == "model"]


def test_what_a_model_was_asked_is_what_its_provider_got(carried: Place, provider: Running) -> None:
    """Each output's request and response are rebuilt, with their parameters, and are what went over the wire."""
    found = [replay(carried, name) for name in outputs(carried, "case-1")]
    assert [one.verdict for one in found] == ["verified", "verified"]
    for one in found:
        assert one.decided is not None and one.decided.verbatim is not None
        told = one.decided.verbatim
        assert hashlib.sha256(told.request.encode()).hexdigest() == told.request_digest and told.status == 200
        assert told.libraries["openai"] and told.libraries["sqlite"] and told.libraries["mai"]
        assert json.loads(told.request)["model"] == "scripted" == told.parameters["model"] and "max_tokens" in told.parameters
        assert (
            told.response.startswith("data: ")
            and told.response.rstrip().endswith("[DONE]")
            and told.url == f"{provider.url}/chat/completions"
        )
    first, second = (one.decided.verbatim.request for one in found if one.decided and one.decided.verbatim)
    assert json.loads(second)["messages"][: len(json.loads(first)["messages"])] == json.loads(first)["messages"]


def test_every_decision_is_verified_with_its_requests(carried: Place) -> None:
    """Without state, organisation and code; across deaths of the models process, and where an attempt failed."""
    found = sweep(carried, None)
    assert found.count == found.verified > 20 and len(outputs(carried, "case-13")) == 2


def changed(place: Place, process: str, *statements: str) -> None:
    """Change a ledger as somebody would who knows SQL."""
    with closing(sqlite3.connect(place.ledger(process))) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)
        db.commit()


ANY_PIECE = "(SELECT body ->> '$.pieces[1]' FROM journal WHERE kind = 'model.request' LIMIT 1)"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (f"UPDATE blob SET value = CAST(value || 'x' AS BLOB) WHERE address = {ANY_PIECE}", "is not what was written"),
        (f"DELETE FROM blob WHERE address = {ANY_PIECE}", "is missing"),
        ("UPDATE journal SET body = replace(body, 'http', 'nttp') WHERE kind = 'model.request'", "is not what was written"),
        ("DELETE FROM journal WHERE kind = 'model.response'", "is missing"),
        ("DELETE FROM blob WHERE address IN (SELECT body ->> '$.kept' FROM journal WHERE kind = 'model.response')", "is missing"),
    ],
)
def test_whatever_is_done_to_it_is_named(carried: Place, statement: str, said: str) -> None:
    """A piece that was changed or taken away, a record that was: the decision differs, and says which record."""
    changed(carried, ME, statement)
    found = replay(carried, outputs(carried, "case-1")[0])
    assert found.verdict == "differs" and all(ME in fault and said in fault for fault in found.faults), found.faults
    assert sweep(carried, "acme/billing").wrong


def test_another_question_than_the_one_that_was_sealed_differs(carried: Place) -> None:
    """Somebody points a decision at another request of the journal, which is itself whole."""
    first, second = outputs(carried, "case-1")
    one, other = (transcript(replay(carried, name)) for name in (first, second))
    changed(
        carried,
        "acme/billing",
        f"UPDATE journal SET body = replace(body, '\"asked\":{one['asked']},', '\"asked\":{other['asked']},')",
    )
    assert any("not the one that the decision was based on" in fault for fault in replay(carried, first).faults)


def transcript(found: Replayed) -> dict[str, Any]:
    """Where a decision says that its bytes are."""
    assert found.decided is not None
    told: dict[str, Any] = found.decided.body["value"]["transcript"]
    return told


def test_without_the_ledger_of_the_models_process_that_is_said(carried: Place) -> None:
    """A department's ledger alone has the messages, and not the bytes."""
    shutil.rmtree(carried.home(ME))
    found = replay(carried, outputs(carried, "case-1")[0])
    assert found.faults == (f"what went over the wire is in the ledger of {ME}, which is not here",)


def test_what_was_erased_is_no_damage(carried: Place) -> None:
    """A request of which a piece was erased: who wants its bytes, also for another model, is told when, and of no damage."""
    name = outputs(carried, "case-1")[0]
    with closing(sqlite3.connect(carried.ledger(ME))) as db:
        piece = db.execute(f"SELECT {ANY_PIECE}").fetchone()[0]
    said = encode(Values(erasure="e1", round=1, by="ann", role="administrator", at_ms=1, blobs=(piece,))).decode()
    changed(
        carried, ME, f"DELETE FROM blob WHERE address = '{piece}'",
        "INSERT INTO journal(seq, at_ns, term, boot, kind, request, task, agent, body, prev, digest)"
        f" SELECT MAX(seq) + 1, at_ns, term, boot, '{Values.kind}', '', '', '', '{said}', prev, digest FROM journal",
    )  # fmt: skip
    command = [*MAI, "--state", str(carried.state), "replay", name, "--raw-request"]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == REDACTED and "by ann, as e1" in ran.stderr and "mai verify" not in ran.stderr, ran.stderr
    with pytest.raises(Erased, match="by ann, as e1"):
        ask(carried, name, carried.state / "no organisation", "clever", None)
    assert replay(carried, name).verdict == "redacted"


def test_the_command_shows_and_writes_the_bytes(carried: Place, thought: Minds) -> None:
    """For people, and as they are; and no key is in any of the ledgers."""

    def run(*words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*MAI, "--state", str(carried.state), "replay", *words], env=environment(), capture_output=True, check=False
        )

    name = outputs(carried, "case-1")[0]
    found = replay(carried, name).decided
    assert found is not None and found.verbatim is not None
    assert run(name, "--raw-request").stdout == found.verbatim.request.encode()
    assert run(name, "--raw-response").stdout == found.verbatim.response.encode()
    shown = run(name).stdout.decode()
    assert f"asked with exactly {found.verbatim.request_bytes:,} bytes" in shown and f"{ME}:{found.verbatim.asked}" in shown
    assert json.loads(run(name, "--json").stdout)["decided"]["verbatim"]["request"] == found.verbatim.request
    route = next(name_of(who, seq) for who, one, seq in decisions(carried, "case-1") if one.what == "route")
    assert run(route, "--raw-request").returncode != 0
    changed(carried, ME, f"DELETE FROM blob WHERE address = {ANY_PIECE}")
    assert run(name).returncode == run(name, "--raw-request").returncode == FAILED
    assert not [path for path in carried.state.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_the_ledgers_verify(thought: Minds) -> None:
    """The chain, the blobs, the state as the journal gives it, and what the records mean."""
    for how in ("--state", "--deep"):
        done = thought.mai("verify", how)
        assert done.returncode == 0, done.stdout
