"""`mai replay --run`: a decision made once more over what is on record, in a scratch process, without effects."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from errno import EACCES, EAFNOSUPPORT, EPERM
from pathlib import Path
from typing import Any

import pytest

from mai.daemon.decisions import decisions, name_of
from mai.daemon.reader import Reader
from mai.daemon.rerun import Rerun, Wanted, rerun
from mai.daemon.scripted import running
from mai.sandbox.errors import USAGE, MaiError, UsageFault
from mai.sandbox.place import Place
from tests.minds import KEY, Minds
from tests.small import HANDLERS, MAI, Daemon, environment

PROCESSES = ("acme/mai", "acme/support", "acme/finance")


@pytest.fixture(scope="module")
def daemon(module_state: Path) -> Iterator[Daemon]:
    """It has refunded an order, and been asked for a secret; then it was ended."""
    made = Daemon(module_state)
    made.up()
    try:
        assert made.ask("refund order 1", "r1")["state"] == "answered"
        assert made.ask("@finance: what is the budget?", "r2")["state"] == "refused"
    finally:
        made.mai("down")
    yield made


@pytest.fixture
def unchanged(daemon: Daemon) -> Iterator[None]:
    """Whatever is tried: no file of the company's is another one afterwards."""

    def all_of_it() -> dict[Path, str]:
        files = [path for path in daemon.place.state.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal"))]
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = all_of_it()
    yield
    assert all_of_it() == before


def named(place: Place, request: str, agent: str, what: str = "") -> str:
    """The name of an agent's last decision of a kind."""
    return [name_of(who, seq) for who, one, seq in decisions(place, request) if one.agent == agent and what in ("", one.what)][-1]


def again(daemon: Daemon, name: str, file: Path | None = None, **more: Any) -> Rerun:
    """Made once more."""
    return rerun(daemon.place, name, Wanted(file or daemon.file, **more))


def other(daemon: Daemon, name: str, before: str, after: str) -> Path:
    """The organisation with other code or another word in it."""
    base = daemon.file.parent / name
    base.mkdir(exist_ok=True)
    (base / "small.py").write_text(HANDLERS.replace(before, after))
    (base / "porter.sh").write_text("")
    (base / "small.toml").write_text(daemon.file.read_text().replace(before, after))
    return base / "small.toml"


def test_over_the_same_record_the_same_comes_out(daemon: Daemon, unchanged: None) -> None:
    """Of Mai, of boards and coordinators by their rank, of agents by their code: routes, verdicts, effects, answers."""
    wanted = {
        ("acme/mai", ""): {"route", "verdict", "answer"},
        ("acme/finance", "clerk"): {"answer"},
        ("acme/support", "board"): {"route"},
    }
    tried = 0
    for who, one, seq in decisions(daemon.place, "r1"):
        if one.what in wanted.get((who, one.agent), ()):
            found = again(daemon, name_of(who, seq)).outcome
            assert found.same and found.after and not found.fault and not found.notes, found
            tried += 1
    assert tried == 5
    assert again(daemon, named(daemon.place, "r2", "clerk", "answer")).outcome.same


def test_other_code_shows_what_it_would_have_done(daemon: Daemon, unchanged: None) -> None:
    """A clerk who asks for more, one who answers something else, and one who breaks out of his process."""
    name = named(daemon.place, "r1", "clerk", "answer")
    found = again(
        daemon,
        name,
        other(daemon, "twice", 'return {"refund": await', 'await ctx.tool("pay", order=9)\n    return {"refund": await'),
    )
    assert not found.outcome.same and [move.how for move in found.outcome.moves] == ["differs"]
    assert found.outcome.moves[0].given["input"] == {"order": 9} and any(
        "code is another" in note for note in found.outcome.notes
    )
    more = other(
        daemon,
        "more",
        "    if not task.contract:",
        '    x = await ctx.tool("pay", order=1)\n    await ctx.tool("pay", order=8)\n    if not task.contract:',
    )
    found = again(daemon, name, more)
    assert [move.how for move in found.outcome.moves] == ["on record", "not on record"] and found.outcome.after
    assert "nothing of it is on record" in json.dumps(found.outcome.after)
    less = again(
        daemon,
        name,
        other(daemon, "less", 'return {"refund": await ctx.tool("pay", order=task.input["order"])}', 'return {"refund": 5}'),
    )
    assert not less.outcome.same and any("is not made now" in note for note in less.outcome.notes), less.outcome


def test_a_request_with_too_many_records_is_not_cut(daemon: Daemon, unchanged: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a part of its records something else would come out: it is refused, and said; as many as may be are taken."""
    name = named(daemon.place, "r1", "clerk", "answer")
    with closing(Reader(daemon.place, "acme/finance")) as reader:
        count = sum(1 for _ in reader.of_request("r1"))
    monkeypatch.setattr("mai.daemon.rerun.MOST", count)
    assert again(daemon, name).outcome.same
    monkeypatch.setattr("mai.daemon.rerun.MOST", count - 1)
    with pytest.raises(UsageFault, match=f"more than {count - 1} records"):
        again(daemon, name)


def test_it_reaches_nothing_of_the_companys(daemon: Daemon, unchanged: None) -> None:
    """Code that would read the ledger, write beside it, or call somebody, fails at that; the others go on."""
    for n, attempt in enumerate((
        f"open({str(daemon.place.ledger('acme/mai'))!r}, 'rb').read()",
        f"open({str(daemon.place.home('acme/finance') / 'x')!r}, 'w')",
        "__import__('socket').create_connection(('127.0.0.1', 9), 1)",
    )):  # fmt: skip
        code = f"    got = 1\n    try:\n        {attempt}\n    except OSError as error:\n        got = error.errno\n"
        ends = '    await ctx.tool("pay", order=1)\n    return {"refund": got}\n'
        file = other(daemon, f"out{n}", "    if not task.contract:", f"{code}{ends}    if not task.contract:")
        found = again(daemon, named(daemon.place, "r1", "clerk", "answer"), file).outcome
        assert found.after and found.after["value"]["refund"] in (EPERM, EACCES, EAFNOSUPPORT), found


def test_something_else_in_the_task(daemon: Daemon, unchanged: None) -> None:
    """Another order: the code would have paid that one. What no record says cannot be changed."""
    name = named(daemon.place, "r1", "clerk", "answer")
    found = again(daemon, name, edit={"input": {"order": 7}}).outcome
    assert found.moves[0].given["input"] == {"order": 7} and found.moves[0].before["given"]["input"] == {"order": 1}
    route = next(name_of(who, seq) for who, one, seq in decisions(daemon.place, "r1") if (who, one.what) == ("acme/mai", "route"))
    found = again(daemon, route, edit={"text": "refund order 4"}).outcome
    assert not found.same and found.after and found.after["parts"][0]["input"] == {"order": 4}
    with pytest.raises(UsageFault, match="says nothing of colour"):
        again(daemon, name, edit={"colour": "red"})


def test_other_policies(daemon: Daemon, unchanged: None) -> None:
    """What the clerk has done would have waited for a person."""
    file = other(daemon, "strict", 'verdict = "allow"', 'verdict = "person"')
    found = again(daemon, named(daemon.place, "r1", "clerk", "effect"), policy=file).outcome
    assert {(one.name, one.before, one.after) for one in found.judged} == {("finance.pay", "allow", "person")} and not found.same
    assert again(daemon, named(daemon.place, "r1", "clerk", "effect"), policy=daemon.file).outcome.same


def run(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    """`mai replay`."""
    command = [*MAI, "--state", str(place.state), "replay", *words]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


def test_the_command_says_that_nothing_of_it_has_happened(daemon: Daemon, unchanged: None, tmp_path: Path) -> None:
    """For people and as JSON; and its options go together."""
    name, file = named(daemon.place, "r1", "clerk", "answer"), str(daemon.file)
    done = run(daemon.place, "--run", name, "--organisation", file)
    assert (
        done.returncode == 0 and "nothing of this has happened" in done.stdout and "the same would have come out" in done.stdout
    )
    (tmp_path / "edit.json").write_text('{"input": {"order": 3}}')
    done = run(daemon.place, "--run", name, "--organisation", file, "--edit", str(tmp_path / "edit.json"), "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["scratch"] is True and told["outcome"]["moves"][0]["how"] == "differs"
    for words in ([name, "--policy", file], ["--run", name, "--model", "x", "--policy", file, "--organisation", file]):
        assert run(daemon.place, *words).returncode == USAGE
    (tmp_path / "edit.json").write_text("order 3")
    assert (
        "holds no JSON object"
        in run(daemon.place, "--run", name, "--organisation", file, "--edit", str(tmp_path / "edit.json")).stderr
    )


# -- models
def test_the_exact_request_goes_to_another_model(state: Path, tmp_path: Path) -> None:
    """As it was to the same model, with the other's name to another, and edited; nothing is written, no budget pays."""
    from mai.daemon import reasking

    script = 'json = {{ move = {{ do = "answer", text = "{text}", value = {{ verdict = "{text}" }} }} }}'
    rules = "[[rules]]\nmodel = 'large'\n" + script.format(text="large") + "\n[[rules]]\n" + script.format(text="small")
    with running(rules, key=KEY) as provider:
        minds = Minds(state, provider.url, departments=1)
        minds.up()
        try:
            assert minds.ask(minds.text(1), "case")["state"] == "answered"
        finally:
            minds.down()
        large = minds.file.read_text().replace(
            "[[models.models]]",
            '[[models.models]]\nname = "other"\nchain = [{ provider = "scripted", model = "large" }]\n[[models.models]]',
            1,
        )
        file = minds.file.with_name("more.toml")
        file.write_text(large)
        name = named(minds.place, "case", "desk-1", "model")
        before = minds.place.ledger("acme/models").read_bytes()
        same = reasking.ask(minds.place, name, file, "mind", None).outcome
        assert same.same and any("exactly those of then" in note for note in same.notes)
        found = reasking.ask(minds.place, name, file, "other", None).outcome
        assert not found.same and found.after and "large" in found.after["text"] and "small" in found.before["text"]
        request = json.loads(run(minds.place, name, "--raw-request").stdout)
        request["messages"] = [*request["messages"][:1], {"role": "user", "content": "Hello"}]
        (tmp_path / "edit.json").write_text(json.dumps(request))
        done = run(
            minds.place, "--run", name, "--model", "mind", "--edit", str(tmp_path / "edit.json"), "--organisation", str(file)
        )
        assert done.returncode == 0 and "the request was edited" in done.stdout
        assert minds.place.ledger("acme/models").read_bytes() == before and KEY not in done.stdout
        with pytest.raises(MaiError, match="has no model"):
            reasking.ask(minds.place, name, file, "none", None)
        with pytest.raises(MaiError, match="not the output of a model"):
            reasking.ask(minds.place, named(minds.place, "case", "board", "route"), file, "mind", None)
