"""What a model has answered, as it is kept and as an agent gets it. Pure."""

import msgspec

from mai.agents.errand_messages import Usage


class ModelCall(msgspec.Struct, frozen=True):
    """A tool that the model wants to be called, by the provider's own means; `arguments` is what it wrote, JSON or not."""

    name: str
    arguments: str
    id: str = ""


class Said(msgspec.Struct, frozen=True):
    """What a model has answered, as it is kept."""

    text: str = ""
    calls: tuple[ModelCall, ...] = ()
    finish: str = ""  # stop, length, tool_calls, …


class ModelReply(msgspec.Struct, frozen=True):
    """What came of a question to a model."""

    text: str
    calls: tuple[ModelCall, ...]
    finish: str
    by: str  # the provider and his model
    usage: Usage
    notes: tuple[str, ...]  # who was bypassed and why, that a budget is nearly spent
    advice: bool = False  # it counts for nothing: its provider's models do not decide
