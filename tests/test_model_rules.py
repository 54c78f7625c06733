"""The models of an organisation file: what is wrong with them is said at once, and what is left to the host is filled in."""

from pathlib import Path

import pytest

from mai.agents.check import load
from mai.agents.faults import Faulty
from mai.agents.organisation import engine_settings, mandate
from mai.daemon.quarters import furnish
from mai.daemon.settle import settle
from mai.sandbox.errors import UsageFault
from mai.sandbox.place import Place

SOUND = """\
[organisation]
clients = ["acme"]
[models]
default = "small"
compose = "large"
budget = { tokens = 1000, money = 2.5, per = "day" }
[[models.providers]]
name = "main"
key = "openai"
[[models.providers]]
name = "other"
kind = "anthropic"
url = "https://example.com/v1"
[[models.models]]
name = "small"
chain = [{ provider = "main" }, { provider = "other", model = "x", input_price = 0.15 }]
[[models.models]]
name = "large"
chain = [{ provider = "other", model = "y" }]
[departments.support]
charter = "Answers."
budget = { tokens = 500 }
[[departments.support.agents]]
name = "thinker"
rank = "specialist"
kind = "model"
budget = { money = 0.5, per = "hour" }
[[departments.support.agents]]
name = "writer"
rank = "specialist"
model = "large"
"""
TWO_PROVIDERS = 'name = "other"\n[[models.providers]]\nname = "main"\nkind'
TWO_MODELS = 'name = "small"\nchain = [{ provider = "main" }]\n[[models.models]]\nname = "large"\nchain'
FAULTS = [
    ('default = "small"', 'default = "smal"', "default names the model 'smal', which there is not", "small?"),
    ('compose = "large"', 'compose = "huge"', "compose names the model 'huge'", "the models"),
    ('per = "day"', 'per = "week"', "per is 'week', expected one of day, ever, hour, month", ""),
    ("tokens = 1000", "tokens = -1", "tokens is -1, expected a whole number from 0", ""),
    ('name = "other"\nkind', TWO_PROVIDERS, "two providers named main", "another name"),
    ('name = "large"\nchain', TWO_MODELS, "two models named small", "another name"),
    ('key = "openai"', 'key = "sk-abc123"', "a key that is no name of a credential", "credentials directory"),
    ('key = "openai"', 'key = "../etc/passwd"', "no name of a credential", "credentials directory"),
    ("https://example.com/v1", "ftp://example.com", "url is 'ftp://example.com'", "base URL"),
    ("https://example.com/v1", "https://", "url is 'https://'", "base URL"),
    ("https://example.com/v1", "https://me:secret@example.com/v1", "a user, a password or a query", "name a credential"),
    ("https://example.com/v1", "https://example.com/v1?key=x", "a user, a password or a query", "name a credential"),
    ('{ provider = "main" }', '{ provider = "mian" }', "asked of 'mian', which is no provider", "main?"),
    ('chain = [{ provider = "other", model = "y" }]', "chain = []", "has nobody who runs it", "provider"),
    ('key = "openai"', 'file = "x.gguf"', "of kind openai has a model file", 'kind = "local"'),
    ('kind = "anthropic"', 'kind = "local"', "of kind local has a url", "found there"),
    ('model = "large"', 'model = "huge"', "asks the model 'huge'", "the models"),
    ('model = "large"', 'kind = "python"', "of kind python, and its keys say otherwise", "a handler"),
    ('kind = "model"', 'kind = "modle"', "kind is 'modle'", "model?"),
]  # fmt: skip


def written(directory: Path, text: str) -> Path:
    """The file."""
    path = directory / "acme.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(("old", "new", "sentence", "hint"), FAULTS, ids=lambda value: str(value)[:30])
def test_one_mistake_is_one_fault(tmp_path: Path, old: str, new: str, sentence: str, hint: str) -> None:
    """Said once, on a line that holds it, with what would be right."""
    assert SOUND.count(old) == 1
    with pytest.raises(Faulty) as faulty:
        load(written(tmp_path, SOUND.replace(old, new)))
    (fault,) = faulty.value.faults
    assert sentence in fault.sentence and hint in fault.hint


def test_an_agent_cannot_ask_a_model_that_there_is_not(tmp_path: Path) -> None:
    """A file without models, and an agent of that kind."""
    head = '[organisation]\nclients = ["a"]\n[departments.d]\ncharter = ""\n'
    text = head + '[[departments.d.agents]]\nname = "x"\nrank = "operator"\nkind = "model"\n'
    with pytest.raises(Faulty) as faulty:
        load(written(tmp_path, text))
    assert [fault.sentence for fault in faulty.value.faults] == ["the agent x of d asks a model, and the organisation has none"]


@pytest.mark.parametrize("name", ["models", "tools", "mai", "watchdog"])
def test_a_department_cannot_be_named_like_a_process_of_ours(tmp_path: Path, name: str) -> None:
    """Their directories would be one."""
    with pytest.raises(Faulty, match=f"a department cannot be named {name}"):
        load(written(tmp_path, SOUND.replace("departments.support", f"departments.{name}")))


def test_settings_fill_in_what_the_file_leaves_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two settings name any endpoint."""
    draft = load(written(tmp_path, SOUND))
    monkeypatch.setenv("MAI_MODEL_URL", "http://127.0.0.1:8000/v1")
    monkeypatch.setenv("MAI_MODEL", "tiny")
    models = settle(draft).models
    assert [(one.kind, one.url) for one in models.providers] == [
        ("openai", "http://127.0.0.1:8000/v1"), ("anthropic", "https://example.com/v1"),
    ]  # fmt: skip
    assert [target.model for target in models.models[0].chain] == ["tiny", "x"]


def test_what_settings_leave_open_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address without a model's name, and no address."""
    draft = load(written(tmp_path, SOUND))
    monkeypatch.setenv("MAI_MODEL_URL", "http://127.0.0.1:8000/v1")
    with pytest.raises(UsageFault, match="the model small has no name at the provider main"):
        settle(draft)
    monkeypatch.setenv("MAI_MODEL_URL", "127.0.0.1:8000")
    with pytest.raises(UsageFault, match=r"MAI_MODEL_URL is '127\.0\.0\.1:8000'"):
        settle(draft)


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started."""
    monkeypatch.setattr("mai.daemon.settle.find_spec", lambda name: None)
    with pytest.raises(UsageFault, match="needs the package openai") as fault:
        settle(
            load(
                written(
                    tmp_path,
                    SOUND.replace('name = "main"', 'name = "main"\nurl = "http://h/v1"').replace(
                        '"main" }', '"main", model = "m" }'
                    ),
                )
            )
        )
    assert "pip install 'mai-company[models]'" in fault.value.hint


def test_who_knows_what_of_the_models(tmp_path: Path) -> None:
    """Providers are the models process's business alone; budgets too; a department knows the models' names."""
    organisation = load(written(tmp_path, SOUND))
    assert organisation.processes() == ["acme/mai", "acme/models", "acme/support"]
    department = mandate(organisation, "acme", "support").organisation
    assert department.models.providers == () and department.models.model("small") is not None
    service = mandate(organisation, "acme", "models").organisation
    (support,) = service.departments
    thinker = support.agent("thinker")
    assert service.models.providers and support.budget.tokens == 500 and thinker is not None
    assert thinker.budget.money == 0.5 and thinker.kind == "model" and not support.contracts


def test_the_local_model_is_a_process_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address the host's own model is meant, and it is told which file to load."""
    monkeypatch.setattr("mai.daemon.settle.find_spec", lambda name: True)
    text = SOUND.replace('kind = "anthropic"\nurl = "https://example.com/v1"', 'kind = "local"\nfile = "big.gguf"').replace(
        'key = "openai"\n', ""
    )
    settled = settle(load(written(tmp_path, text.replace('{ provider = "main" }, ', ""))))
    assert settled.engines() == ["local-model"]
    place = Place(tmp_path / "state")
    place.prepare()
    furnish(place, settled)
    assert engine_settings(settled)["local-model"] == {"file": "big.gguf"}
    assert (place.home("local-model") / "settings").read_text() == '{"file":"big.gguf"}'
