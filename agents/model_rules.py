"""What must hold of an organisation's models, and of the agents that ask them; the rules of rules.py go on here."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from mai.agents.faults import nearest, shown
from mai.agents.lines import KeyPath
from mai.agents.models import Provider
from mai.agents.organisation import Agent, Department

if TYPE_CHECKING:
    from mai.agents.rules import Scene

Broken = Iterator[tuple[KeyPath, str, str]]
CREDENTIAL: Final = re.compile(r"(?!sk-)[a-z][a-z0-9_.-]{0,39}")
MODELS: Final[KeyPath] = ("models",)


def models_can_be_asked(scene: "Scene") -> Broken:
    """Providers and models have names of their own, and each model somebody who runs it."""
    models = scene.organisation.models
    yield from _distinct(scene, [provider.name for provider in models.providers], "providers")
    yield from _distinct(scene, [model.name for model in models.models], "models")
    names = [model.name for model in models.models]
    for key, name in (("default", models.default), ("compose", models.compose)):
        if name and name not in names:
            yield (*MODELS, key), f"{key} names the model {shown(name)}, which there is not", nearest(name, names, "the models")
    for index, provider in enumerate(models.providers):
        yield from _provider(scene, provider, (*MODELS, "providers", index))
    providers = [provider.name for provider in models.providers]
    for index, model in enumerate(models.models):
        where = (*MODELS, "models", index)
        if not model.chain and scene.findings.sound(where, "chain"):
            yield (*where, "chain"), f"the model {model.name} has nobody who runs it", 'expected [{ provider = "NAME" }]'
        for place, target in enumerate(model.chain):
            if target.provider not in providers and scene.findings.sound((*where, "chain", place), "provider"):
                sentence = f"the model {model.name} is asked of {shown(target.provider)}, which is no provider"
                yield (*where, "chain", place, "provider"), sentence, nearest(target.provider, providers, "the providers")


def _distinct(scene: "Scene", names: Sequence[str], key: str) -> Broken:
    for index, name in enumerate(names):
        at = (*MODELS, key, index)
        if name in names[:index] and scene.findings.sound(at, "name"):
            yield (*at, "name"), f"there are two {key} named {name}", "give one of them another name"


def _provider(scene: "Scene", provider: Provider, where: KeyPath) -> Broken:
    """A provider's address is one that can be asked, and its key is only named."""
    label = f"the provider {provider.name}"
    if provider.key and not CREDENTIAL.fullmatch(provider.key):
        hint = "write the key into a file of the credentials directory, and that file's name here: small letters, digits, _ . -"
        yield (*where, "key"), f"{label} has a key that is no name of a credential", hint
    if provider.url:
        yield from _address(provider, (*where, "url"), label)
    if provider.kind == "local":
        files = {one.file for one in scene.organisation.models.providers if one.kind == "local" and one.file}
        if len(files) > 1 and provider.file != min(files):
            yield (*where, "file"), f"{label} has another model file than the other local one", "one local model runs on a host"
    elif provider.file:
        yield (*where, "file"), f"{label} of kind {provider.kind} has a model file", 'only kind = "local" has one'


def _address(provider: Provider, where: KeyPath, label: str) -> Broken:
    if provider.kind == "local":
        yield where, f"{label} of kind local has a url", "it runs on this host, and is found there"
        return
    try:
        parts = urlsplit(provider.url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not provider.url.isprintable() or " " in provider.url:
        yield where, f"{label}: url is {shown(provider.url)}", "expected a base URL such as https://api.openai.com/v1"
    elif parts.username is not None or parts.password is not None or parts.query:
        yield where, f"{label} has a url with a user, a password or a query", "a key is no part of the file: name a credential"


def agent_has_its_model(scene: "Scene", department: Department, agent: Agent, where: KeyPath) -> Broken:
    """An agent's model exists, and it works in one way."""
    models = scene.organisation.models
    label = f"the agent {agent.name} of {department.name}"
    if agent.kind == "model" and not models.models:
        if scene.findings.sound(MODELS):
            key = "model" if agent.model else "kind"
            yield (*where, key), f"{label} asks a model, and the organisation has none", "expected [[models.models]]"
    elif agent.model and models.model(agent.model) is None and scene.findings.sound(where, "model"):
        names = [model.name for model in models.models]
        sentence = f"{label} asks the model {shown(agent.model)}, which there is not"
        yield (*where, "model"), sentence, nearest(agent.model, names, "the models")
    says = {"python": bool(agent.handler), "command": bool(agent.command), "model": not agent.handler and not agent.command}
    if agent.kind and not says[agent.kind] and scene.findings.sound(where, "kind", "handler", "command"):
        hint = {"python": "expected a handler", "command": "expected a command", "model": "leave its handler or command out"}
        yield (*where, "kind"), f"{label} is of kind {agent.kind}, and its keys say otherwise", hint[agent.kind]
