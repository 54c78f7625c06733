"""`mai bench talk`: what a conversation of a hundred turns with a model costs on the disk, in which each turn has all before it.

An agent tells its model one more thing in each turn and gets an answer; the provider is scripted, on this host. Measured are
the ledgers of the department, of Mai and of the models process, and what the models process keeps of the exact bytes: the same
requests and responses, written once more into two fresh ledgers, by pieces as it keeps them and each as one blob.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from mai.agents import check
from mai.agents.errand_messages import Inquiry, Transcript, Usage
from mai.agents.events import encode
from mai.daemon.asking import ask, new_id
from mai.daemon.bench import Figure, render
from mai.daemon.calling import Attempt, Call
from mai.daemon.posting import cut
from mai.daemon.providing import Ended
from mai.daemon.reader import Reader
from mai.daemon.scripted import running
from mai.daemon.transcript_records import ModelRequest
from mai.daemon.transcripts import Transcripts
from mai.daemon.up import Start
from mai.daemon.verbatim import Verbatims
from mai.sandbox.errors import MaiError
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place

__all__ = ("render", "run")

TURNS: Final = 100
CHARACTERS: Final = 2000  # of what the agent says in each turn; the answer has as many
NAMES: Final = ("bench/mai", "bench/desk", "bench/models")
ORGANISATION: Final = """
[organisation]
name = "Talk"
clients = ["bench"]
[limits]
request_s = 600
task_s = 600
request = {{ turns = 0 }}
[[models.providers]]
name = "scripted"
url = "{url}"
per_minute = 100000
[[models.models]]
name = "mind"
chain = [{{ provider = "scripted", model = "scripted" }}]
[departments.desk]
charter = "Talks."
[[departments.desk.agents]]
name = "board"
rank = "board"
charter = "Talks."
handler = "talk.py:talk"
model = "mind"
[[departments.desk.agents]]
name = "clerk"
rank = "operator"
charter = "Is there because a department has workers."
handler = "talk.py:talk"
[[departments.desk.contracts]]
name = "talk"
about = "Talk so long"
served_by = "board"
may_ask = ["client"]
request = {{ turns = "int", characters = "int" }}
reply = {{ turns = "int" }}
phrases = ["talk {{turns}} turns of {{characters}} characters"]
"""
HANDLERS: Final = """
import random

WORDS = (
    "the order of customer is late and we have to look at what was paid refund "
    "invoice delivery address stock price monday tuesday answer question because before after between contract reply please "
    "thank you number amount euro cents return broken item parcel "
).split()


def said(turn, characters):
    chance = random.Random(turn)
    return " ".join(chance.choice(WORDS) for _ in range(characters // 3))[:characters]


async def talk(ctx, task):
    told = [{"role": "system", "content": "You are asked again and again. " + said("rules", 2000)}]
    for turn in range(task.input["turns"]):
        told.append({"role": "user", "content": said(turn, task.input["characters"])})
        reply = await ctx.model(told)
        told.append({"role": "assistant", "content": reply.text})
    return {"turns": task.input["turns"]}
"""


def run(file: Path, progress: Callable[[str], None], turns: int = TURNS) -> Iterator[Figure]:
    """Measure. Raises MaiError. The organisation is the bench's own."""
    directory = Path(tempfile.mkdtemp(prefix="mai-"))
    try:
        with running("[[rules]]\necho = true") as provider:
            place = Place(directory / "state")
            (directory / "talk.toml").write_text(ORGANISATION.format(url=provider.url))
            (directory / "talk.py").write_text(HANDLERS)
            check.load(directory / "talk.toml")
            progress(f"a talk of {turns} turns")
            before, after = talked(place, directory / "talk.toml", turns)
        grown = {name: after[name] - before[name] for name in NAMES}
        yield Figure("all ledgers", sum(grown.values()) / turns, "bytes a turn", _named(grown, turns))
        progress("the same once more, by pieces and whole")
        yield from compared(place, directory, turns)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _named(grown: dict[str, int], turns: int) -> str:
    return ", ".join(f"{name.partition('/')[2]} {size / turns:,.0f}" for name, size in grown.items())


def talked(place: Place, file: Path, turns: int) -> tuple[dict[str, int], dict[str, int]]:
    """The sizes of the ledgers before and after, each at rest. Raises MaiError."""
    sizes: list[dict[str, int]] = []
    for text in ("talk 1 turns of 10 characters", f"talk {turns} turns of {CHARACTERS} characters"):
        start = Start(place, file, detach=False)
        try:
            start.ready()
            *_, last = ask(place, "bench", text, request=new_id(), timeout_s=None, watch=False)
            if last["answer"]["state"] != "answered":
                raise MaiError(f"the bench was {last['answer']['state']}: {last['answer']['answer']}", "try again")
        finally:
            start.stop()
        sizes.append({name: place.ledger(name).stat().st_size for name in NAMES})
    return sizes[0], sizes[1]


def transcripts(place: Place) -> Iterator[tuple[bytes, bytes]]:
    """The exact bytes of each request and response, in order."""
    with closing(Reader(place, NAMES[1])) as reader, closing(Verbatims(place)) as verbatims:
        after = 0
        while steps := reader.records("kind = 'step' AND seq > ?", after):
            for step in steps:
                value = reader.fields(step).get("value")
                if isinstance(value, dict) and "transcript" in value:
                    transcript = msgspec.convert(value["transcript"], Transcript)
                    yield verbatims.request(transcript)[1], verbatims.response(transcript)[1]
            after = steps[-1].seq


def compared(place: Place, directory: Path, turns: int) -> Iterator[Figure]:
    """What the same requests and responses take in a ledger of their own, by pieces and each whole."""
    pairs = list(transcripts(place))[-turns:]
    sizes: dict[str, int] = {}
    for how in ("pieces", "whole"):
        ledger = Ledger(directory / f"{how}.db", "bench/models")
        kept = Transcripts(ledger)
        for n, (request, response) in enumerate(pairs):
            _keep(ledger, kept, n, request, response, whole=how == "whole")
        ledger.close()
        sizes[how] = (directory / f"{how}.db").stat().st_size
    mean = sum(len(request) for request, _ in pairs) / len(pairs)
    yield Figure("requests", mean, "bytes each", f"mean of {len(pairs)}; the last has {len(pairs[-1][0]):,}")
    yield Figure("kept whole", sizes["whole"] / len(pairs), "bytes a decision", "each request and response as one blob")
    yield Figure("kept by pieces", sizes["pieces"] / len(pairs), "bytes a decision", "as the models process keeps them")
    yield Figure("ratio", sizes["whole"] / sizes["pieces"], "times less", "the two ledgers as files")


def _keep(ledger: Ledger, kept: Transcripts, n: int, request: bytes, response: bytes, *, whole: bool) -> None:
    asked: dict[str, Any] = msgspec.json.decode(request)
    pieces = (request,) if whole else cut(asked)
    assert b"".join(pieces) == request, "other bytes than went out"
    attempt = Attempt(1, "scripted", "scripted", Usage())
    call = Call(f"r/1.m{n}", "r", "bench/desk/board", "bench/mai", "mind", Inquiry((), 0), 0, 0, 0, attempt=attempt)

    def write(event: ModelRequest) -> int:
        return ledger.append(event.kind, encode(event), request="r", task=call.id, agent=call.agent)

    kept.request(call, "http://127.0.0.1/v1/chat/completions", pieces, write)
    attempt.asked = ledger.seq
    came = kept.response(call, Ended(call.id, 1, "", None, None, 200, response, len(response)))
    ledger.append(came.kind, encode(came), request="r", task=call.id, agent=call.agent)
    ledger.commit()
