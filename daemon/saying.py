"""What the scripted provider says to one request, before it takes the form of a protocol. Pure."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from mai.daemon.invented import invent, phrase
from mai.daemon.script import Cue, Prompt, as_json, filled, share, tokens

GIANT: Final = 2 << 20  # characters
BROKEN: Final = '"}{'  # no JSON ends so


class SaidCall(msgspec.Struct, frozen=True):
    """A tool that is to be called; `arguments` as the model wrote them."""

    id: str
    name: str
    arguments: str


class Said(msgspec.Struct, frozen=True):
    """An answer, with what it costs. `cut`: it ends at the bound that the request named."""

    text: str
    calls: tuple[SaidCall, ...]
    cut: bool
    input_tokens: int
    output_tokens: int


class BadRequest(Exception):
    """What a provider answers with status 400 (or another): `kind` and `code` as OpenAI has them."""

    def __init__(self, message: str, status: int = 400, code: str = "", kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.message, self.status, self.code, self.kind = message, status, code, kind


def said(cue: Cue, prompt: Prompt) -> Said:
    """The answer that this cue gives to this request."""
    text, calls = _answer(cue, prompt)
    if cue.fault == "broken":
        text, calls = _broken(text, calls)
    elif cue.fault == "giant":
        text, calls = (phrase(prompt.digest) + " ") * (GIANT // 16), ()
    elif prompt.output_tokens:
        text, calls, cut = _within(text, calls, prompt.output_tokens * 4)
        return _counted(text, calls, cut, prompt)
    return _counted(text, calls, False, prompt)


def _counted(text: str, calls: tuple[SaidCall, ...], cut: bool, prompt: Prompt) -> Said:
    output = tokens(text) + sum(tokens(call.name + call.arguments) for call in calls)
    return Said(text, calls, cut, prompt.input_tokens, max(1, output))


def _answer(cue: Cue, prompt: Prompt) -> tuple[str, tuple[SaidCall, ...]]:
    rule = cue.rule
    if rule.calls:
        return "", _calls([(call.name, filled(call.arguments, cue.groups)) for call in rule.calls], prompt)
    if rule.text is not None:
        return str(filled(rule.text, cue.groups)), ()
    if rule.json is not None:
        return as_json(filled(rule.json, cue.groups)), ()
    return (prompt.user, ()) if rule.echo else _invented(prompt)


def _invented(prompt: Prompt) -> tuple[str, tuple[SaidCall, ...]]:
    if prompt.must_call and prompt.tools:
        names = list(prompt.tools)
        any_name = names[int(share(prompt.digest) * len(names))]
        name = prompt.must_call if prompt.must_call in prompt.tools else any_name
        return "", _calls([(name, invent(prompt.tools[name], prompt.digest))], prompt)
    if prompt.schema is not None:
        return as_json(invent(prompt.schema, prompt.digest)), ()
    return phrase(prompt.digest), ()


def _calls(named: list[tuple[str, Any]], prompt: Prompt) -> tuple[SaidCall, ...]:
    return tuple(
        SaidCall(f"call_{prompt.digest[:12]}{number}", name, arguments if isinstance(arguments, str) else as_json(arguments))
        for number, (name, arguments) in enumerate(named)
    )


def _broken(text: str, calls: tuple[SaidCall, ...]) -> tuple[str, tuple[SaidCall, ...]]:
    """All that should be JSON ends in the middle."""
    ended = tuple(SaidCall(call.id, call.name, call.arguments[: len(call.arguments) // 2] + BROKEN) for call in calls)
    return (text if calls else text[: len(text) // 2] + BROKEN), ended


def _within(text: str, calls: tuple[SaidCall, ...], most_bytes: int) -> tuple[str, tuple[SaidCall, ...], bool]:
    """As much as fits: the text, then each call's arguments; a call whose name does not fit is left out."""
    kept, left = _cut(text, most_bytes), most_bytes - _padded(text)
    within = []
    for call in calls:
        room = left - len(call.name.encode())
        if room > 0:
            within.append(SaidCall(call.id, call.name, _cut(call.arguments, room)))
        left -= _padded(call.name + call.arguments)
    return kept, tuple(within), left < 0


def _padded(text: str) -> int:
    return tokens(text) * 4


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[: max(0, most_bytes)].decode(errors="ignore")


def pieces(text: str, length: int) -> Iterator[str]:
    """A text as a stream brings it."""
    for at in range(0, len(text), length):
        yield text[at : at + length]
