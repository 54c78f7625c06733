"""What was said and found, for spans that are to hold it: read from the ledgers, in the forms of the gen_ai conventions."""

from typing import Any

import msgspec

from mai.agents.replies import Said as Reply
from mai.daemon.books import Books, Entry, asked_of
from mai.daemon.otlp import Said
from mai.daemon.reader import Reader
from mai.daemon.tree import Node, Step

BEGINNINGS = ("step.asked", "effect.intent")
NOTHING = Said("", "")
Json = dict[str, Any]


class Contents:
    """The texts of one request's steps."""

    def __init__(self, books: Books, request: str) -> None:
        self._books, self._request = books, request

    def __call__(self, node: Node | None, step: Step) -> Said:
        """What a step was given and gave; nothing where its record is not here."""
        found = self._books.entry(step.record) if node and step.n else None
        if node is None or found is None:
            return NOTHING
        process = step.record.rpartition(":")[0]
        begun = self._begun(process, node, step)
        given = found.body.get("given") or (begun.body.get("given") if begun else None) or {}
        reader = self._books.reader(process)
        if step.call == "model" and reader:
            return Said(_asked(reader, given), _answered(reader, found.body.get("value") or {}))
        value = found.body.get("refused") or found.body.get("value")
        shown = given.get("input") if step.call == "tool" else given
        return Said(_json(shown) if shown else "", "" if value is None else _json(value))

    def _begun(self, process: str, node: Node, step: Step) -> Entry | None:
        """The record with which a step that waits has begun."""
        own = (
            entry for entry in self._books.of_request(process, self._request)
            if entry.record.kind in BEGINNINGS and entry.record.task == node.task and entry.body.get("n") == step.n
        )  # fmt: skip
        return next(own, None)


def _asked(reader: Reader, given: Json) -> str:
    """The messages, in the schema of gen_ai.input.messages."""
    return _json([_message(text) for _, text in asked_of(reader, given) if text])


def _message(text: str) -> Json:
    try:
        message = msgspec.json.decode(text, type=Json)
    except msgspec.MsgspecError:
        return {"role": "user", "parts": [_text(text)]}
    content = message.get("content")
    parts: list[Json] = [_text(content if isinstance(content, str) else _json(content))] if content else []
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        parts.append({"type": "tool_call", "id": call.get("id", ""), "name": function.get("name", ""),
                      "arguments": function.get("arguments")})  # fmt: skip
    return {"role": message.get("role", "user"), "parts": parts}


def _answered(reader: Reader, value: Json) -> str:
    """The answer, in the schema of gen_ai.output.messages."""
    data = reader.blob(value.get("answer", "")) if value.get("answer") else None
    if data is None:
        return ""
    try:
        said = msgspec.json.decode(data, type=Reply)
    except msgspec.MsgspecError:
        return ""
    parts = [_text(said.text)] if said.text else []
    parts += [{"type": "tool_call", "id": one.id, "name": one.name, "arguments": one.arguments} for one in said.calls]
    return _json([{"role": "assistant", "parts": parts, "finish_reason": said.finish or "stop"}])


def _text(text: str) -> Json:
    return {"type": "text", "content": text}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
