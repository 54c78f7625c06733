"""The exact bytes that a provider is asked with, in pieces: a longer talk has those of the shorter one, and some more. Pure."""

from typing import Any

import msgspec

from mai.agents.models import Provider
from mai.daemon import anthropic_body, chat
from mai.daemon.attempts import Question

_encoder = msgspec.json.Encoder()


def pieces(question: Question) -> tuple[bytes, ...]:
    """The body of the request, in its provider's protocol: put together, they are what goes out. Raises Failure."""
    return cut((anthropic_body.body if question.provider.kind == "anthropic" else chat.body)(question))


def url(provider: Provider) -> str:
    """Where it goes; "" for the host's own model, which is another address in each of its lives."""
    base = provider.url.rstrip("/")
    match provider.kind:
        case "local":
            return ""
        case "anthropic":
            return f"{base.removesuffix('/v1')}/v1/messages"
    return f"{base}/chat/completions"


def cut(asked: dict[str, Any]) -> tuple[bytes, ...]:
    """A body as JSON: what comes before its messages, each of them, and the rest."""
    names = list(asked)
    at = names.index("messages")
    head, tail = ({name: asked[name] for name in part} for part in (names[:at], names[at + 1 :]))
    before = _encoder.encode(head)[:-1] + b"," * bool(head) + b'"messages":['
    told = [b"," * bool(number) + _encoder.encode(message) for number, message in enumerate(asked["messages"])]
    after = b"]" + (b"," + _encoder.encode(tail)[1:] if tail else b"}")
    return (before, *told, after)
