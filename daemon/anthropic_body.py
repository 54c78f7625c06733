"""What Anthropic's Messages are asked: the body of a request, made of chat completions' messages. Pure.

Source: the API reference of /v1/messages, version 2023-06-01.
"""

from typing import Any

import msgspec

from mai.daemon.attempts import Question
from mai.daemon.chat import parsed


def body(question: Question) -> dict[str, Any]:
    """What is posted; always streamed. Raises Failure if a text is not what it has to be."""
    system, messages = "", list[dict[str, Any]]()
    for message in (parsed(text, dict) for text in question.messages):
        if message.get("role") == "system":
            system += ("\n\n" if system else "") + str(message.get("content") or "")
        else:
            turn = _turn(message)
            if messages and messages[-1]["role"] == turn["role"]:
                messages[-1]["content"] += turn["content"]  # roles take turns
            else:
                messages.append(turn)
    asked = {"model": question.model, "max_tokens": question.output_tokens, "messages": messages, "stream": True}
    asked |= {"system": system} if system else {}
    asked |= {} if question.temperature is None else {"temperature": min(1.0, question.temperature)}
    if question.tools:
        asked["tools"] = [_tool(one.get("function") or {}) for one in parsed(question.tools, list[dict[str, Any]])]
    if question.schema:
        schema = parsed(question.schema, dict).get("schema", {})
        asked["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return asked


def _tool(one: dict[str, Any]) -> dict[str, Any]:
    return {"name": one.get("name"), "description": one.get("description", ""), "input_schema": one.get("parameters") or {}}


def _turn(message: dict[str, Any]) -> dict[str, Any]:
    """One message of a talk as Anthropic has it: results of tools are what the user says."""
    content = message.get("content") or ""
    if message.get("role") == "tool":
        result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id", ""), "content": content}
        return {"role": "user", "content": [result]}
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) and content else []
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        try:
            given = msgspec.json.decode(function.get("arguments") or "{}")
        except (msgspec.DecodeError, RecursionError):
            given = {}  # the model wrote no JSON, and was told so in the result
        blocks.append({"type": "tool_use", "id": call.get("id", ""), "name": function.get("name", ""), "input": given})
    return {"role": "assistant" if message.get("role") == "assistant" else "user", "content": blocks}
