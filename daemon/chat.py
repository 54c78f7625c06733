"""Chat completions as OpenAI has them: the body of a request, and an answer put together of its pieces. Pure.

The same question gives the same bytes: recorded answers are found by them. Whatever a provider sends instead of an
answer becomes a `Failure` that says what is wrong with it.
"""

from typing import Any
from urllib.parse import urlsplit

import msgspec

from mai.daemon.attempts import MOST_TOKENS, Answer, Called, Failure, Question, Reply, code_of

MOST_CALLS = 128  # of tools, in one answer


class Function(msgspec.Struct):
    """A piece of a call."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class Piece(msgspec.Struct):
    """A call, or a piece of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct):
    """What a message gets more, or a whole one."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[Piece] | None = None


class Choice(msgspec.Struct):
    """One of the answers; we ask for one."""

    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None


class Tokens(msgspec.Struct):
    """What an answer took."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Chunk(msgspec.Struct):
    """A piece of an answer that is streamed, or a whole one."""

    choices: list[Choice] | None = None
    usage: Tokens | None = None
    error: Any = None


def body(question: Question) -> dict[str, Any]:
    """What is posted. Raises Failure if a text is not what it has to be."""
    asked: dict[str, Any] = {"model": question.model, "messages": [parsed(text, dict) for text in question.messages]}
    if question.tools:
        asked["tools"] = parsed(question.tools, list)
    if question.schema:
        schema = parsed(question.schema, dict)
        named = {"name": schema.get("name", "answer"), "schema": schema.get("schema", {}), "strict": schema.get("strict", True)}
        asked["response_format"] = {"type": "json_schema", "json_schema": named}
    asked[bound_of(question.provider.url)] = question.output_tokens
    asked |= {
        name: value for name, value in (("temperature", question.temperature), ("seed", question.seed)) if value is not None
    }
    return asked | ({"stream": True, "stream_options": {"include_usage": True}} if question.provider.stream else {})


def bound_of(url: str) -> str:
    """The name of the bound of an answer. OpenAI's newer models refuse the old one; other servers silently ignore the new one,
    and would write without end.
    """
    host = urlsplit(url).hostname or ""
    return "max_completion_tokens" if host.endswith((".openai.com", ".openai.azure.com")) else "max_tokens"


def parsed(text: str, kind: Any) -> Any:
    """A text of the asker's, which must be JSON. Raises Failure."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError:
        raise Failure("what was asked is no chat message, tool or schema", again=False, sick=False, charged=False) from None


class Draft:
    """An answer that is being received: `add` each piece, then take the `answer`. Both raise Failure."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.finish = ""
        self.tokens: tuple[int, int] | None = None
        self._said: list[str] = []
        self._calls: dict[int, list[str]] = {}  # place -> id, name, arguments …
        self._size = 0

    def add(self, data: Any, *, whole: bool = False) -> None:
        """Take in one piece, as JSON has it."""
        try:
            chunk = msgspec.convert(data, Chunk)
        except msgspec.ValidationError as error:
            raise Failure(f"an answer of another form: {_where(error)}") from None
        if chunk.error is not None:
            raise Failure(f"an error instead of an answer: {code_of(data) or 'without a code'}", tokens=self.tokens)
        if chunk.usage:
            self.tokens = taken(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        choice = chunk.choices[0] if chunk.choices else None
        message = (choice.message if whole else choice.delta) if choice else None
        if whole and message is None:
            raise Failure("an answer without a choice", tokens=self.tokens)
        if choice and choice.finish_reason:
            self.finish = choice.finish_reason[:40]
        if message:
            self._more(message)
        if whole:
            self.finish = self.finish or "stop"

    def _more(self, message: Delta) -> None:
        text = (message.content or "") + (message.refusal or "")
        self._said.append(text)
        self._size += len(text.encode(errors="replace"))
        for place, piece in enumerate(message.tool_calls or ()):
            self._call(place if piece.index is None else piece.index, piece)
        if self._size > self.room_bytes or len(self._calls) > MOST_CALLS:
            raise Failure(f"an answer of more than {self.room_bytes} bytes", again=False, sick=False)

    def _call(self, place: int, piece: Piece) -> None:
        parts = self._calls.setdefault(place, ["", ""])
        function = piece.function or Function()
        arguments = function.arguments or ""
        if isinstance(arguments, dict):
            arguments = msgspec.json.encode(arguments).decode()
        parts[0], parts[1] = parts[0] or piece.id or "", parts[1] or function.name or ""
        parts.append(arguments)
        self._size += sum(len(one.encode(errors="replace")) for one in (piece.id or "", function.name or "", arguments))

    def answer(self) -> Answer:
        """All of it."""
        if not self.finish:
            raise Failure("half an answer", tokens=self.tokens)
        calls = []
        for number, (id_, name, *pieces) in enumerate(parts for _, parts in sorted(self._calls.items())):
            if not name:
                raise Failure("an answer that calls a tool without a name", tokens=self.tokens)
            calls.append(Called(id_ or f"call_{number}", name, "".join(pieces)))
        return Answer(Reply("".join(self._said), tuple(calls), self.finish), self.tokens)


def taken(given: int | None, got: int | None) -> tuple[int, int] | None:
    """The tokens of input and output, if both are numbers that can be."""
    if given is None or got is None or not (0 <= given <= MOST_TOKENS and 0 <= got <= MOST_TOKENS):
        return None
    return given, got


def _where(error: msgspec.ValidationError) -> str:
    """The place in it that is wrong; what stands there is the provider's."""
    _, found, path = str(error).rpartition(" - at `")
    return f"at {path[:-1][:80]}" if found else "it is no object"
