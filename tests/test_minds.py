"""Many model agents at once with a provider that often fails: all is answered or refused, paid once, and the key stays in."""

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pysqlite3 as sqlite3
import pytest

from mai.daemon.scripted import Running, running
from tests.minds import KEY, Minds
from tests.small import PATIENCE_S, until

SCRIPT = """
seed = 11
retry_after = {{ ms = 100 }}

[faults]
{faults}

[[rules]]
user = '"from":"tool note"'
json = {{ move = {{ do = "answer", text = "It is in order.", value = {{ verdict = "in order" }} }} }}
{more}
[[rules]]
user = '"number":(?P<number>\\d+)'
json = {{ move = {{ do = "tool", name = "note", input = {{ number = "{{number}}" }} }} }}
{more}
[[rules]]
json = {{ move = {{ do = "answer", text = "It is in order.", value = {{ verdict = "in order" }} }} }}
"""
CROWD = 100
LOOK_S = 0.3  # between two looks of a person
NAMED = ("answered", "refused", "failed", "expired")


def script(faults: str = "", more: str = "") -> str:
    """What the provider plays: first the tool, then the verdict."""
    return SCRIPT.format(faults=faults, more=more)


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """Threads that ask at the same time."""
    with ThreadPoolExecutor(CROWD) as pool:
        yield pool


def crowd(minds: Minds, beside: ThreadPoolExecutor, count: int) -> tuple[list[dict[str, Any]], list[str]]:
    """All ask at once, and a person refuses what comes to him; the answers in order, and why it has come to him."""
    asking = [beside.submit(minds.ask, minds.text(number), f"case-{number}") for number in range(count)]
    given_up = dict[str, str]()
    while wait(asking, LOOK_S).not_done:
        given_up |= {one["id"]: one["reason"] for one in minds.refuse_all()}
    return [one.result() for one in asking], list(given_up.values())


def usage(minds: Minds) -> tuple[int, int, bool]:
    """Tokens of all attempts by the models process's journal: exact ones, estimated ones, and whether they are its state."""
    exact = estimated = 0
    for _, body in minds.journal("acme/models", "attempt.ended"):
        spent = body.get("usage", {})
        tokens = spent.get("input_tokens", 0) + spent.get("output_tokens", 0)
        exact, estimated = (exact, estimated + tokens) if spent.get("estimated") else (exact + tokens, estimated)
    account = minds.state("acme/models", "spent")["acme"]
    return exact, estimated, account["ever"]["tokens"] == exact + estimated


def once(minds: Minds, answers: list[dict[str, Any]]) -> None:
    """Each request has ended once, in a state that has a name and a reason."""
    ended = Counter(body["request"] for _, body in minds.journal("acme/mai", "request.ended"))
    assert set(ended.values()) == {1} and len(ended) == len(answers)
    for answer in answers:
        assert answer["state"] in NAMED and answer["answer"].strip(), answer
    assert all(count == 1 for count in minds.notes().values()), "a case was noted twice"
    calls = Counter(body["task"] for _, body in minds.journal("acme/models", "call.ended"))
    assert set(calls.values()) == {1}, "a call ended twice"


@pytest.mark.seconds(300)
def test_a_hundred_requests_over_sixty_minds_with_a_bad_provider(state: Path, beside: ThreadPoolExecutor) -> None:
    """10 % 429, 5 % hangs, 5 % broken: nothing lost, nothing twice, the books agree to the token, the key is nowhere."""
    with running(script('"429" = 0.10\nhang = 0.05\nbroken = 0.05'), key=KEY) as provider:
        minds = Minds(state, provider.url)
        minds.up()
        try:
            answers, _ = crowd(minds, beside, CROWD)
            once(minds, answers)
            assert Counter(answer["state"] for answer in answers)["answered"] >= CROWD * 0.9
            exact, _, agrees = usage(minds)
            book = provider.book()
            assert agrees and exact == book["input_tokens"] + book["output_tokens"]
            assert_secret(minds, state)
            assert minds.mai("verify", "--state").returncode == 0
        finally:
            minds.down()


def assert_secret(minds: Minds, state: Path) -> None:
    """The key is in no file but its own, in no process's environment or command line."""
    own = minds.place.state / "credentials" / "scripted"
    for path in state.rglob("*"):
        if path.is_file() and path != own:
            assert KEY.encode() not in path.read_bytes(), path
    for pids in minds.pids().values():
        for pid in pids:
            process = psutil.Process(pid)
            assert KEY not in str(process.cmdline())
            with suppress(psutil.AccessDenied):  # behind walls it is shown to root alone
                assert KEY not in str(process.environ())


@pytest.mark.seconds(300)
def test_a_budget_is_a_hard_stop(state: Path, beside: ThreadPoolExecutor) -> None:
    """What is spent stays within the budget to the token; who comes after it goes to a person with a sentence that says so."""
    budget = 26_000
    with running(script(), key=KEY) as provider:
        minds = Minds(state, provider.url, tokens=budget, departments=1)
        minds.up()
        try:
            answers, given_up = crowd(minds, beside, 40)
            once(minds, answers)
            exact, estimated, agrees = usage(minds)
            book = provider.book()
            assert agrees and exact + estimated <= budget and exact == book["input_tokens"] + book["output_tokens"]
            states = Counter(answer["state"] for answer in answers)
            assert states["answered"] and len(states) > 1, answers[0]
            assert states["answered"] + len(given_up) >= 40 and all("budget" in why for why in given_up), given_up
            assert [body["scope"] for _, body in minds.journal("acme/models", "budget.nearly")] == ["acme"]
        finally:
            minds.down()


def under_way(minds: Minds, provider: Running, least: int) -> bool:
    """Has the provider so many questions that he has not answered?"""
    book = provider.book()
    return int(book["requests"]) - int(book["answered"]) >= least and bool(minds.pids()["acme/models"])


@pytest.mark.seconds(300)
def test_killed_amid_fifty_calls(state: Path, beside: ThreadPoolExecutor) -> None:
    """Calls whose answer was not journaled are made again, others are not; each request is answered once."""
    with running(script(more="delay_ms = 1500"), key=KEY) as provider:
        minds = Minds(state, provider.url, silence_s=20)
        minds.up()
        try:
            asking = [beside.submit(minds.ask, minds.text(number), f"case-{number}") for number in range(50)]
            until(lambda: under_way(minds, provider, 40), "the calls are under way")
            (pid,) = minds.pids()["acme/models"]
            os.kill(pid, signal.SIGKILL)
            answers = [one.result(PATIENCE_S * 2) for one in asking]
            once(minds, answers)
            assert Counter(answer["state"] for answer in answers) == {"answered": 50}
            journal = minds.journal("acme/models")
            began = Counter(body["task"] for record, body in journal if record.kind == "attempt.begun")
            boots = list(dict.fromkeys(record.boot for record, _ in journal))
            answered_before = {
                body["task"] for record, body in journal if record.kind == "call.ended" and record.boot == boots[0]
            }
            again = {task for task, count in began.items() if count > 1}
            assert len(boots) == 2 and again and not again & answered_before
            assert sum(began.values()) == provider.book()["requests"]
        finally:
            minds.down()


def kill_amid(minds: Minds, process: str, count: int) -> None:
    """Kill a process, and wait until five more of the requests are answered."""

    def answered() -> int:
        return len(minds.journal("acme/mai", "request.ended"))

    (pid,) = until(lambda: minds.pids().get(process, []), process)
    goal = min(answered() + 5, count)
    os.kill(pid, signal.SIGKILL)
    until(lambda: answered() >= goal, f"it goes on without {process}")


@pytest.mark.seconds(300)
def test_whoever_is_killed_while_they_think(state: Path, beside: ThreadPoolExecutor) -> None:
    """Mai, the models process and the departments in turn, while texts are on their way: answered once, noted once, sound."""
    with running(script('"429" = 0.1\nhalf = 0.05', more="delay_ms = 150"), key=KEY) as provider:
        minds = Minds(state, provider.url, departments=2)
        minds.up()
        try:
            asking = [beside.submit(minds.ask, minds.text(number), f"case-{number}") for number in range(60)]
            for process in ("acme/models", "acme/mai", "acme/billing", "acme/claims", "acme/models", "acme/mai"):
                kill_amid(minds, process, 60)
            answers = [one.result(PATIENCE_S * 2) for one in asking]
            once(minds, answers)
            assert Counter(answer["state"] for answer in answers) == {"answered": 60}
            assert usage(minds)[2] and not minds.state("acme/mai", "parcel") and not minds.state("acme/mai", "errand")
            ran = minds.mai("verify", "--state")
            assert ran.returncode == 0, ran.stdout
        finally:
            minds.down()


def test_a_thought_that_is_missing_or_changed_is_noticed(state: Path) -> None:
    """What a model was asked and has answered belongs to the journal: `mai verify` misses each text of it."""
    with running(script(), key=KEY) as provider:
        minds = Minds(state, provider.url, departments=1)
        minds.up()
        assert minds.ask(minds.text(1), "one")["state"] == "answered"
        minds.down()
    path = minds.place.ledger("acme/billing")
    steps = [json.dumps(body) for _, body in minds.journal("acme/billing") if body.get("call") == "model"]
    named = {address for step in steps for address in re.findall(r'"([0-9a-f]{64})"', step)}
    assert len(named) >= 6 and minds.mai("verify").returncode == 0
    with closing(sqlite3.connect(path)) as db:
        kept = {address for (address,) in db.execute("SELECT address FROM blob")}
    named &= kept  # the others are digests of what its models process keeps
    assert len(named) >= 4
    for address in sorted(named):
        with closing(sqlite3.connect(path)) as db:
            (value,) = db.execute("SELECT value FROM blob WHERE address = ?", (address,)).fetchone()
            db.execute("DELETE FROM blob WHERE address = ?", (address,))
            db.commit()
        ran = minds.mai("verify", "acme/billing")
        assert ran.returncode == 1 and f"the blob {address[:12]} of record" in ran.stdout and "is missing" in ran.stdout
        with closing(sqlite3.connect(path)) as db:
            db.execute("INSERT INTO blob VALUES(?, ?)", (address, value))
            db.commit()


def test_what_was_spent_is_shown(state: Path) -> None:
    """`mai budgets`: by client, department and agent, for people and for scripts; without models a sentence."""
    with running(script(), key=KEY) as provider:
        minds = Minds(state, provider.url, tokens=50_000, departments=1)
        minds.up()
        try:
            assert minds.ask(minds.text(3), "one")["state"] == "answered"
            book = provider.book()
            tokens = book["input_tokens"] + book["output_tokens"]
            shown = json.loads(minds.mai("budgets", "acme", "--json").stdout)["budgets"]
            scopes = ("acme", "acme/billing", "acme/billing/desk-3")
            assert {line["scope"]: line["tokens"] for line in shown} == dict.fromkeys(scopes, tokens)
            assert shown[0]["tokens_limit"] == 50_000
            cost = book["input_tokens"] * 1.0 / 1e6 + book["output_tokens"] * 2.0 / 1e6
            assert shown[0]["money"] == pytest.approx(cost)
            first = minds.mai("budgets").stdout.splitlines()[1].split()
            assert first[0] == "acme" and first[2:4] == [f"{tokens:,}", "50,000"]
            assert "tokens" in minds.mai("trace", "one").stdout.splitlines()[-1]
        finally:
            minds.down()
    none = minds.mai("budgets", "nobody")
    assert none.returncode == 2 and "there is no process 'nobody'" in none.stderr
