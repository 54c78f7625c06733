"""`mai replay --run --model`: the exact request of a decision, or an edited one, sent to a model of choice.

It is asked in a process of its own, in a cell that reaches the network and reads the keys. The answer is shown; it is not written
to the company's state, and nothing is done by it. What it costs stands in no budget.
"""

import json
import select
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from mai.agents import check
from mai.agents.errand_messages import Transcript
from mai.agents.models import Models, Provider, Target
from mai.daemon import posting
from mai.daemon.attempts import Failure, Post, Question
from mai.daemon.chat import bound_of
from mai.daemon.credentials import Credentials, directory_of
from mai.daemon.decisions import one
from mai.daemon.providing import Providing
from mai.daemon.reader import NotFound, Reader
from mai.daemon.replaying import Replays
from mai.daemon.rerun import Rerun, code, scratch
from mai.daemon.rerun_case import Outcome
from mai.daemon.verbatim import Lost, Verbatims, fault, transcript_of
from mai.sandbox.cell import Cell
from mai.sandbox.errors import MaiError, UsageFault
from mai.sandbox.place import Place

PATIENCE_S: Final = 300.0
ROOM_BYTES: Final = 16 << 20
KNOWN: Final = ("model", "messages", "tools", "response_format", "max_tokens", "max_completion_tokens", "temperature", "seed")


class Asking(msgspec.Struct, frozen=True):
    """What the process is told."""

    provider: Provider
    body: bytes
    client: str
    run: str
    credentials: str


def ask(place: Place, what: str, file: Path, model: str, edit: str | None) -> Rerun:
    """Ask. Raises NotFound, MaiError."""
    process, sealed, seq = one(place, what)
    with closing(Reader(place, process)) as reader, closing(Verbatims(place)) as verbatims:
        replayed = Replays(reader, verbatims).replay(sealed, seq)
        decided = replayed.decided
        transcript = transcript_of(decided.body) if decided else None
        if decided is None or transcript is None:
            raise NotFound(f"{what} is not the output of a model", "see which are: mai replay REQUEST --list")
        request = _request(verbatims, transcript)
        answer = decided.texts.get(str(decided.body["value"].get("answer")), "")
    provider, target = chosen(check.load(file, code=False).models, model)
    body, notes = rewritten(Path(edit).read_bytes() if edit else request, provider, target)
    asking = Asking(provider, body, process.partition("/")[0], str(place.run), str(directory_of(place.state)))
    after, fault = in_process(asking)
    before = msgspec.json.decode(answer, type=dict[str, Any]) if answer else {}
    if edit:
        notes += ("the request was edited",)
    elif body == request:
        notes += ("the bytes are exactly those of then",)
    said = f"{provider.name}/{target.model}".rstrip("/")
    outcome = Outcome("model", before == after, before, after, notes=(*notes, f"asked {said}, {len(body):,} bytes"), fault=fault)
    return Rerun(replayed.decision, sealed.what, sealed.agent, outcome)


def _request(verbatims: Verbatims, transcript: Transcript) -> bytes:
    try:
        return verbatims.request(transcript)[1]
    except Lost as lost:
        raise fault(lost, "request") from None


def chosen(models: Models, name: str) -> tuple[Provider, Target]:
    """The first target of a model's chain, and its provider. Raises UsageFault."""
    model = next((one_ for one_ in models.models if one_.name == name), None)
    provider = models.provider(model.chain[0].provider) if model and model.chain else None
    if model is None or provider is None:
        known = ", ".join(one_.name for one_ in models.models) or "none"
        raise UsageFault(f"the organisation has no model {name!r:.80}", f"it has: {known}")
    return provider, model.chain[0]


def rewritten(body: bytes, provider: Provider, target: Target) -> tuple[bytes, tuple[str, ...]]:
    """A request as this model's provider takes it; the same bytes if they name it already. Raises UsageFault."""
    try:
        asked = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise UsageFault(f"the request is no JSON object: {error}", "start from: mai replay DECISION --raw-request") from None
    name, of_anthropic = target.model or provider.kind, "system" in asked or "output_config" in asked
    if of_anthropic and provider.kind != "anthropic":
        raise UsageFault("the request is one of Anthropic's form, which this model does not take", "choose a model of that kind")
    if provider.kind == "anthropic" and not of_anthropic and "stream_options" in asked:
        return b"".join(posting.pieces(_question(asked, provider, name))), ("the request was put into Anthropic's form",)
    notes: tuple[str, ...] = ()
    bound = bound_of(provider.url)
    for other in ("max_tokens", "max_completion_tokens"):
        if provider.kind != "anthropic" and other != bound and other in asked:
            asked = {bound if key == other else key: value for key, value in asked.items()}
            notes += (f"{other} is {bound} there",)
    if asked.get("model") != name:
        notes += (f"the model was {asked.get('model')}, and is {name}",)
        asked["model"] = name
    return (msgspec.json.encode(asked) if notes else body), notes


def _question(asked: dict[str, Any], provider: Provider, name: str) -> Question:
    """A request of chat completions as a question."""
    texts = tuple(json.dumps(message) for message in asked.get("messages", ()))
    tools, form = asked.get("tools"), (asked.get("response_format") or {}).get("json_schema")
    most = asked.get("max_completion_tokens") or asked.get("max_tokens") or 1024
    return Question(
        provider, name, texts, json.dumps(tools) if tools else "", json.dumps(form) if form else "", most,
        asked.get("temperature"), asked.get("seed"),
    )  # fmt: skip


def in_process(asking: Asking) -> tuple[dict[str, Any] | None, str]:
    """The answer, or why there is none. Raises MaiError."""
    with tempfile.TemporaryDirectory(prefix="mai-") as room:
        reads = [one_ for one_ in (asking.run, asking.credentials) if Path(one_).is_dir()]
        told = scratch(
            ("mai.daemon.reasking",), asking, dict[str, Any],
            cell=Cell(Path(room), runs=code(), reads=reads, network=True), room=Path(room), patience_s=PATIENCE_S,
            late=MaiError(f"the model has not answered within {PATIENCE_S:g} s", "try another"),
            env=("MAI_TAPE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE"),
        )  # fmt: skip
    return told["answer"], told["fault"]


def main() -> int:
    """The process that asks: what it is told comes on standard input, and the answer goes to standard output."""
    asking = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Asking)
    providing = Providing(asking.client, Path(asking.run), Credentials(Path(asking.credentials)))
    providing.start()
    providing.begin(Post("scratch", 1, asking.provider, asking.body, ROOM_BYTES))
    fault = f"no answer within {PATIENCE_S:g} s"
    answer = None
    if select.select([providing], [], [], PATIENCE_S)[0]:
        [ended] = providing.ended()
        failure: Failure | None = ended.failure
        fault = failure.why if failure else ""
        answer = None if failure else msgspec.json.decode(ended.text)
    providing.close()
    sys.stdout.buffer.write(msgspec.json.encode({"answer": answer, "fault": fault}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
