"""The steps of one task that ask models: its messages become texts that are kept once, and its answer is read back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.errand_messages import Inquiry, Usage
from mai.agents.plain import NotPlain, plain
from mai.agents.replies import ModelReply, Said
from mai.agents.state import Step, Work
from mai.agents.talks import Talk, written

if TYPE_CHECKING:
    from mai.agents.runner import Runner

MOST_TOKENS: Final = 10**9
ROLES: Final = ("system", "developer", "user", "assistant", "tool")
LONGEST_NAME: Final = 64  # of a tool or a schema, in letters, digits, `_` and `-`: what all providers take for a name
_encoder = msgspec.json.Encoder(order="deterministic")


class ModelSteps:
    """One task's questions to models."""

    def __init__(self, runner: "Runner", work: Work) -> None:
        self._runner, self._work = runner, work
        self._told: tuple[str, ...] = ()  # the messages of the last question
        self._talk = ""  # the list of them

    def scope(self) -> str:
        """The model that this task's agent may ask; "" if it has none."""
        agent = self._runner.decider.own.agent(self._work.agent)
        if agent is None or not (agent.model or agent.kind == "model"):
            return ""
        model = self._runner.decider.mandate.organisation.models.model(agent.model)
        return model.name if model else ""

    def given(
        self, messages: Sequence[Any], tools: Sequence[Any], schema: Any, output_tokens: int, before: Any
    ) -> dict[str, Any]:
        """What goes on record: the model, and the addresses of what it is asked. Raises NotPlain.

        `before`: what is on record of this step already, None if nothing is.
        """
        _question(messages, tools, schema, output_tokens)
        texts = [self._text(message) for message in messages]
        offered, form = self._text(list(tools)) if tools else "", self._text(schema) if schema else ""
        size = sum(len(text.encode()) for text in (*texts, offered, form))
        addresses = tuple(self._kept(text) for text in texts)
        alone = isinstance(before, dict) and "talk" not in before.get("inquiry", {})  # so it was before there were lists
        last, self._told = self._told, addresses
        if not last or alone or addresses[: len(last)] != last:
            inquiry = Inquiry(addresses, size, self._kept(offered), self._kept(form), output_tokens)
        else:
            new, count = addresses[len(last) :], len(addresses)
            inquiry = Inquiry(new, size, self._kept(offered), self._kept(form), output_tokens, self._talk, count)
        self._talk = self._kept(written(Talk(inquiry.messages, inquiry.talk)))
        return {"model": self.scope(), "inquiry": msgspec.json.decode(_encoder.encode(inquiry))}

    def _text(self, value: Any) -> str:
        fitting = plain(value, self._runner.value_bytes)
        return _encoder.encode(fitting).decode()

    def _kept(self, text: str) -> str:
        return self._runner.shell.texts.keep(text) if text else ""

    def reply(self, step: Step) -> ModelReply:
        """The answer of a finished step."""
        value: dict[str, Any] = step.value
        try:
            said = msgspec.json.decode(self._runner.shell.texts.text(value["answer"]), type=Said)
        except msgspec.MsgspecError:  # not what the models process makes; to the loop it is a model that says nothing
            said = Said()
        usage = msgspec.convert(value["usage"], Usage)
        return ModelReply(
            said.text, said.calls, said.finish, value["by"], usage, tuple(value["notes"]), value.get("advice", False)
        )


def _question(messages: Any, tools: Any, schema: Any, output_tokens: Any) -> None:
    """Raise NotPlain unless these are what a model can be asked."""
    if not isinstance(messages, list | tuple) or not messages or not all(_is_message(one) for one in messages):
        raise NotPlain(f"messages that are no list of objects with content and a role: {', '.join(ROLES)}")
    if not isinstance(tools, list | tuple) or not all(_is_tool(one) for one in tools):
        raise NotPlain('tools that are no list of {"type": "function", "function": {"name", "parameters"}}')
    if schema is not None and not _is_schema(schema):
        raise NotPlain("a schema that is no object with name and schema")
    if isinstance(output_tokens, bool) or not isinstance(output_tokens, int) or not 0 <= output_tokens <= MOST_TOKENS:
        raise NotPlain(f"output_tokens that are no whole number from 0 to {MOST_TOKENS}")


def _is_message(one: Any) -> bool:
    if not isinstance(one, dict) or one.get("role") not in ROLES:
        return False
    content = one.get("content")
    return isinstance(content, str | list) or (content is None and isinstance(one.get("tool_calls"), list))


def _is_tool(one: Any) -> bool:
    function = one.get("function") if isinstance(one, dict) else None
    return isinstance(function, dict) and _is_name(function.get("name")) and isinstance(function.get("parameters", {}), dict)


def _is_schema(one: Any) -> bool:
    return isinstance(one, dict) and _is_name(one.get("name")) and isinstance(one.get("schema"), dict)


def _is_name(one: Any) -> bool:
    return (
        isinstance(one, str) and len(one) <= LONGEST_NAME and one.isascii() and one.replace("_", "a").replace("-", "a").isalnum()
    )
