"""Talks: what a model was told before, by reference, so that a question costs what is new in it. Pure.

The messages of a question are blobs. Those that were part of the last question of the same task it names by one address, that
of a list; the list names its own messages and the list before it. Each list is kept once, as the messages are.
"""

from collections.abc import Callable

import msgspec

from mai.agents.errand_messages import Inquiry


class Talk(msgspec.Struct, frozen=True, omit_defaults=True):
    """A list of messages, by their addresses, behind those of another list."""

    messages: tuple[str, ...]
    before: str = ""  # the address of that list


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Talk)


def written(talk: Talk) -> str:
    """The text of a list."""
    return _encoder.encode(talk).decode()


def lists(inquiry: Inquiry, text_of: Callable[[str], str]) -> tuple[tuple[str, Talk], ...]:
    """The lists that a question refers to, the newest first, with their addresses. Raises MsgspecError, and as `text_of`."""
    found: list[tuple[str, Talk]] = []
    at = inquiry.talk
    while at:
        found.append((at, _decoder.decode(text_of(at))))
        at = found[-1][1].before
    return tuple(found)


def messages(inquiry: Inquiry, text_of: Callable[[str], str]) -> tuple[str, ...]:
    """The addresses of all messages of a question, in order. Raises as `lists`."""
    before = [talk.messages for _, talk in reversed(lists(inquiry, text_of))]
    return (*(one for part in before for one in part), *inquiry.messages)


def pieces(inquiry: Inquiry, text_of: Callable[[str], str]) -> tuple[str, ...]:
    """The addresses of all texts that a question is made of, each as often as it is part of it. Raises as `lists`."""
    return (*messages(inquiry, text_of), *(one for one in (inquiry.tools, inquiry.schema) if one))


def named(inquiry: Inquiry, text_of: Callable[[str], str]) -> tuple[str, ...]:
    """The addresses of all that has to be at hand to put a question together, each once. Raises as `lists`."""
    return tuple(dict.fromkeys((*pieces(inquiry, text_of), *(address for address, _ in lists(inquiry, text_of)))))
