"""The steps of one task that ask models: its messages become texts that are kept once, and its answer is read back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.messages import Inquiry, Usage
from mai.agents.plain import NotPlain, plain
from mai.agents.replies import ModelReply, Said
from mai.agents.state import Step, Work

if TYPE_CHECKING:
    from mai.agents.runner import Runner

MOST_TOKENS: Final = 10**9
_encoder = msgspec.json.Encoder(order="deterministic")


class ModelSteps:
    """One task's questions to models."""

    def __init__(self, runner: "Runner", work: Work) -> None:
        self._runner, self._work = runner, work

    def scope(self) -> str:
        """The model that this task's agent may ask; "" if it has none."""
        agent = self._runner.decider.own.agent(self._work.agent)
        if agent is None or not (agent.model or agent.kind == "model"):
            return ""
        model = self._runner.decider.mandate.organisation.models.model(agent.model)
        return model.name if model else ""

    def given(self, messages: Sequence[Any], tools: Sequence[Any], schema: Any, model: str, output_tokens: int) -> dict[str, Any]:
        """What goes on record: the model, and the addresses of what it is asked. Raises NotPlain."""
        texts = [self._text(message) for message in messages]
        offered, form = self._text(list(tools)) if tools else "", self._text(schema) if schema else ""
        size = sum(len(text.encode()) for text in (*texts, offered, form))
        addresses = tuple(self._kept(text) for text in texts)
        inquiry = Inquiry(addresses, size, self._kept(offered), self._kept(form), output_tokens)
        return {"model": model, "inquiry": msgspec.json.decode(_encoder.encode(inquiry))}

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


def question(messages: Any, tools: Any, schema: Any, output_tokens: Any) -> None:
    """Raise NotPlain unless these are what a model can be asked."""
    if not isinstance(messages, list | tuple) or not messages or not all(isinstance(one, dict) for one in messages):
        raise NotPlain("messages that are no list of objects with role and content")
    if not isinstance(tools, list | tuple) or not all(isinstance(one, dict) for one in tools):
        raise NotPlain("tools that are no list of objects")
    if schema is not None and not (isinstance(schema, dict) and {"name", "schema"} <= schema.keys()):
        raise NotPlain("a schema that is no object with name and schema")
    if isinstance(output_tokens, bool) or not isinstance(output_tokens, int) or not 0 <= output_tokens <= MOST_TOKENS:
        raise NotPlain(f"output_tokens that are no whole number from 0 to {MOST_TOKENS}")
