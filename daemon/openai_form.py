"""OpenAI's Chat Completions as the scripted provider speaks it: a request read, an answer and its stream written. Pure.

What OpenAI refuses is refused here too, so that a client's mistake is seen before it costs anything: unknown roles, results of
tools that nobody called, calls without results, a strict schema that is open. Source: the API reference, chat/create.
"""

from collections.abc import Iterator
from typing import Any, Final

from mai.daemon.saying import BadRequest, Said, pieces
from mai.daemon.script import Prompt, canonical, digest_of, tokens

Json = dict[str, Any]
CREATED: Final = 1_700_000_000  # always the same, so that the same request gets the same bytes
ROLES: Final = ("system", "developer", "user", "assistant", "tool")
COUNTED: Final = ("messages", "tools", "response_format")  # what input tokens are counted of


def prompt_of(body: Any) -> Prompt:
    """A request's body as rules see it. Raises BadRequest."""
    if not isinstance(body, dict):
        raise BadRequest("We could not parse the JSON body of your request: expected an object.")
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        raise BadRequest("you must provide a model parameter")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("'messages': expected an array with at least one message")
    if body.get("n", 1) != 1:
        raise BadRequest("'n': this provider answers once")
    _ordered(messages)
    schema_name, schema = _schema(body.get("response_format"))
    tools = _tools(body.get("tools") or [])
    return Prompt(
        model=model,
        system="\n".join(_text(one) for one in messages if one["role"] in ("system", "developer")),
        user=next((_text(one) for one in reversed(messages) if one["role"] == "user"), ""),
        results=_results(messages),
        tools=tools,
        must_call=_must_call(body.get("tool_choice") or "auto", tools),
        schema_name=schema_name,
        schema=schema,
        output_tokens=_bound(body),
        stream=body.get("stream") is True,
        with_usage=not body.get("stream") or bool((body.get("stream_options") or {}).get("include_usage")),
        digest=digest_of(body),
        input_tokens=tokens(canonical({name: body[name] for name in COUNTED if body.get(name)})),
    )


def _ordered(messages: list[Any]) -> None:
    """Known roles, and each call of a tool with its one result right behind it."""
    open_ids: set[str] = set()
    for at, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ROLES:
            raise BadRequest(f"'messages[{at}].role': expected one of {', '.join(ROLES)}")
        if role == "tool":
            if message.get("tool_call_id") not in open_ids:
                raise BadRequest(f"'messages[{at}]': a message of role 'tool' must answer a preceding message with 'tool_calls'")
            open_ids.discard(message["tool_call_id"])
        elif open_ids:
            raise BadRequest(f"'messages[{at}]': these 'tool_call_id's had no answer: {', '.join(sorted(open_ids))}")
        for call in message.get("tool_calls") or ():
            if not isinstance(call, dict) or not call.get("id") or not isinstance(call.get("function"), dict):
                raise BadRequest(f"'messages[{at}].tool_calls': expected id, type and function")
            open_ids.add(call["id"])
    if open_ids:
        raise BadRequest(f"these 'tool_call_id's had no answer: {', '.join(sorted(open_ids))}")


def _text(message: Json) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _results(messages: list[Json]) -> int:
    last = max((at for at, message in enumerate(messages) if message["role"] == "user"), default=-1)
    return sum(message["role"] == "tool" for message in messages[last + 1 :])


def _tools(tools: Any) -> dict[str, Any]:
    found = {}
    for at, tool in enumerate(tools if isinstance(tools, list) else [None]):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadRequest(f"'tools[{at}]': expected type 'function' and a function with a name")
        schema = function.get("parameters", {"type": "object"})
        if function.get("strict"):
            _closed(schema, f"function '{function['name']}'")
        found[function["name"]] = schema
    return found


def _must_call(choice: Any, tools: Json) -> str:
    match choice:
        case "required":
            return "*"
        case {"function": {"name": str() as name}}:
            if name not in tools:
                raise BadRequest(f"'tool_choice': there is no tool {name}")
            return name
    return ""


def _schema(wanted: Any) -> tuple[str, Any]:
    match wanted:
        case {"type": "json_schema", "json_schema": {"name": str() as name, "schema": dict() as schema, **more}}:
            if more.get("strict"):
                _closed(schema, f"response_format '{name}'")
            return name, schema
        case {"type": "json_object"}:
            return "", {"type": "object"}
        case None | {"type": "text"}:
            return "", None
    raise BadRequest("'response_format': expected text, json_object, or json_schema with name and schema")


def _closed(schema: Any, where: str) -> None:
    """Is it what strict schemas have to be: each object closed, all its properties required?"""
    if isinstance(schema, list):
        for one in schema:
            _closed(one, where)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            raise BadRequest(f"Invalid schema for {where}: 'additionalProperties' is required to be supplied and to be false.")
        if set(schema.get("required", ())) != set(schema.get("properties", {})):
            raise BadRequest(f"Invalid schema for {where}: 'required' has to name every key in properties.")
    for key in ("properties", "$defs", "definitions"):
        _closed(list((schema.get(key) or {}).values()), where)
    for key in ("items", "anyOf", "oneOf", "allOf"):
        _closed(schema.get(key), where)


def _bound(body: Json) -> int:
    bound = body.get("max_completion_tokens", body.get("max_tokens"))
    if bound is not None and (not isinstance(bound, int) or bound < 1):
        raise BadRequest("'max_completion_tokens': expected a number above 0")
    return bound or 0


def finish_of(said: Said) -> str:
    """Why the answer ended."""
    return "length" if said.cut else "tool_calls" if said.calls else "stop"


def usage_of(said: Said) -> Json:
    """What the answer cost."""
    total = said.input_tokens + said.output_tokens
    return {"prompt_tokens": said.input_tokens, "completion_tokens": said.output_tokens, "total_tokens": total}


def completion(prompt: Prompt, said: Said, attempt: int, fault: str) -> Json:
    """The whole answer."""
    calls = [_call(call.id, call.name, call.arguments) for call in said.calls]
    message = {"role": "assistant", "content": said.text or (None if calls else ""), "refusal": None}
    choice = {"index": 0, "message": {**message, **({"tool_calls": calls} if calls else {})}, "logprobs": None}
    return {
        **_head(prompt, attempt, "chat.completion"),
        "choices": None if fault == "null" else [{**choice, "finish_reason": finish_of(said)}],
        **({} if fault == "nousage" else {"usage": usage_of(said)}),
    }


def chunks(prompt: Prompt, said: Said, attempt: int, fault: str, piece: int) -> Iterator[Json]:
    """The answer piece by piece; after the last comes `[DONE]`."""
    head = _head(prompt, attempt, "chat.completion.chunk")
    usage = {"usage": None} if prompt.with_usage and fault != "nousage" else {}

    def chunk(delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**head, "choices": None if fault == "null" else [choice], **usage}

    yield chunk({"role": "assistant", "content": None if said.calls else "", "refusal": None})
    for text in pieces(said.text, piece):
        yield chunk({"content": text})
    for index, call in enumerate(said.calls):
        yield chunk({"tool_calls": [{"index": index, **_call(call.id, call.name, "")}]})
        for text in pieces(call.arguments, piece):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
    yield chunk({}, finish_of(said))
    if usage:
        yield {**head, "choices": [], "usage": usage_of(said)}


def _call(id_: str, name: str, arguments: str) -> Json:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def _head(prompt: Prompt, attempt: int, kind: str) -> Json:
    fingerprint = {"system_fingerprint": "fp_scripted", "service_tier": "default"}
    return {
        "id": f"chatcmpl-{prompt.digest[:16]}-{attempt}", "object": kind, "created": CREATED, "model": prompt.model, **fingerprint
    }  # fmt: skip


def error(message: str, kind: str, code: str) -> Json:
    """An error as OpenAI has it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code or None}}


def models(names: tuple[str, ...]) -> Json:
    """The list of models."""
    listed = [{"id": name, "object": "model", "created": CREATED, "owned_by": "mai"} for name in names]
    return {"object": "list", "data": listed}
