"""The reference organisation whose agents think: its file, and how it answers whatever its models say."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mai.agents import check
from mai.agents.organisation import Agent, Department, Organisation
from mai.daemon import verify
from mai.daemon.asking import ask, new_id
from mai.daemon.demo import REQUESTS
from mai.daemon.door import Reply
from mai.daemon.playing import script_of
from mai.daemon.scripted import running
from mai.daemon.thinking import NAMED_ENDS, QUESTIONS, thoughts
from mai.daemon.up import Start
from mai.sandbox.place import Place
from tests import tiny

ETC = Path(__file__).parent.parent / "etc"
FILE = ETC / "thinking.toml"
SCRIPT = ETC / "thinking.script.toml"
LEAST_SPECIALISTS = 12


@pytest.fixture(scope="module")
def thinking() -> Organisation:
    """The file, which has no faults."""
    return check.load(FILE)


def thinkers(organisation: Organisation, rank: str) -> list[tuple[Department, Agent]]:
    """The agents of a rank that ask a model."""
    return [(d, agent) for d in organisation.departments for agent in d.agents if agent.kind == "model" and agent.rank == rank]


# -- the file
def test_who_thinks(thinking: Organisation) -> None:
    """Every board, Mai's wording, and a dozen specialists in all departments are backed by models; nobody else is."""
    assert len(thinkers(thinking, "board")) == len(thinking.departments)
    assert thinking.models.model(thinking.models.compose)
    specialists = thinkers(thinking, "specialist")
    assert len(specialists) >= LEAST_SPECIALISTS
    assert {department.name for department, _ in specialists} == {department.name for department in thinking.departments}
    assert not thinkers(thinking, "operator")


def test_who_thinks_changes_nothing(thinking: Organisation) -> None:
    """No agent that asks a model has a tool with an effect: who moves money or erases data is code."""
    for department, agent in (*thinkers(thinking, "specialist"), *thinkers(thinking, "board")):
        effects = {tool.name: tool.effect for tool in department.tools}
        assert {effects[name] for name in agent.tools} <= {"none"}, agent.name


def test_a_clerk_stands_behind_each_analyst(thinking: Organisation) -> None:
    """What an analyst serves its clerk can work out by rule, with the tools that the rule uses, and knows nothing else."""
    sys.path.insert(0, str(ETC))
    try:
        from company.clerks import BY_RULE
    finally:
        sys.path.remove(str(ETC))
    served = set()
    for department, analyst in thinkers(thinking, "specialist"):
        assert analyst.backups == ("clerk",)
        clerk = department.agent("clerk")
        assert clerk is not None
        for contract in (one for one in department.contracts if one.served_by == analyst.name):
            served.add(f"{department.name}.{contract.name}")
            rule = (ETC / f"company/{department.name}.py").read_text()
            body = rule.split(f"async def {BY_RULE[f'{department.name}.{contract.name}'].__name__}(")[1].split("\nasync def ")[0]
            assert set(re.findall(r'ctx\.tool\("(\w+)"', body)) <= set(clerk.tools), contract.name
    assert served == set(BY_RULE)


def test_what_it_shows(thinking: Organisation) -> None:
    """The file has an example of each: a command as a tool, prices, budgets of client, department and agent; and no address."""
    assert any(tool.command for department in thinking.departments for tool in department.tools)
    assert all(target.output_price for model in thinking.models.models for target in model.chain)
    budgets = [thinking.models.budget, *(one.budget for one in thinking.departments)]
    budgets += [agent.budget for department in thinking.departments for agent in department.agents]
    assert sum(bool(budget.tokens or budget.money) for budget in budgets) > len(("client", "department", "agent"))
    assert [(provider.url, provider.kind) for provider in thinking.models.providers] == [("", "openai")]


# -- at work
@contextmanager
def company(state: Path, url: str, file: Path = FILE) -> Iterator[Place]:
    """A daemon with the organisation, its models asked at an address."""
    place = Place(state / "state")
    keys = state / "keys"
    keys.mkdir(mode=0o700)
    (keys / "main").touch(mode=0o600)
    (keys / "main").write_text("any will do")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (("MAI_MODEL_URL", url), ("MAI_MODEL", "scripted"), ("MAI_CREDENTIALS", str(keys))):
            environment.setenv(name, value)
        start = Start(place, file, detach=True)
        try:
            told = start.ready()
            assert told["all_ready"], told
            yield place
        finally:
            start.stop()


def answer(place: Place, text: str) -> Reply:
    """The end of one request."""
    *_, last = ask(place, "acme", text, request=new_id(), timeout_s=None, watch=False)
    return dict(last["answer"])


@pytest.mark.seconds(300)
def test_the_script_answers(state: Path) -> None:
    """With the scripted provider each of the demo's requests is answered, the analysts' by the analysts themselves."""
    with running(script_of(SCRIPT)) as provider, company(state, provider.url) as place:
        for text in (*QUESTIONS, *REQUESTS):
            found = answer(place, text)
            assert found["state"] == "answered", found["answer"]
            assert "clerk" not in found["answer"] and "scripted" not in found["answer"], found["answer"]
        assert len(list(thoughts(place))) > len(QUESTIONS)
        assert verify.verify(place).sound


@pytest.mark.seconds(300)
def test_nonsense_comes_to_an_end(state: Path) -> None:
    """With invented answers, which fit every schema and mean nothing, each request ends in an answer or a named refusal."""
    with running(script_of(None)) as provider, company(state, provider.url) as place:
        for text in (*QUESTIONS, *REQUESTS):
            found = answer(place, text)
            assert found["state"] in NAMED_ENDS, found["answer"]
            assert found["state"] == "answered" or " was refused by " in found["answer"]
        assert verify.verify(place).sound


@pytest.mark.seconds(300)
def test_a_local_model_of_random_weights_is_enough(state: Path) -> None:
    """On this host alone, with weights that write noise, requests end in the clerks' answers or in a refusal that says why."""
    pytest.importorskip("xllamacpp")
    weights = tiny.write(state / "tiny.gguf")
    (state / "company").symlink_to(ETC / "company")
    file = state / "thinking.toml"
    file.write_text(FILE.read_text().replace('key = "main"', f'kind = "local"\nfile = "{weights}"'))
    with company(state, "local", file) as place:
        found = answer(place, QUESTIONS[0])
        assert found["state"] in NAMED_ENDS, found["answer"]
        assert {"support/backlog-analyst", "support/board"} <= {thought.agent for thought in thoughts(place) if thought.tokens}
        assert verify.verify(place).sound
