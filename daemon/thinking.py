"""`mai demo` of an organisation whose agents think: the same, with what they asked models, and the models process killed.

Who thought, how often and for how much is read from the journal of the models process. What a small model writes may be
nonsense: what counts here is that each request ends in an answer that keeps to its contract, or in a refusal that says why.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from mai.agents import check
from mai.agents.organisation import Organisation
from mai.daemon.asking import CODES, ask, new_id
from mai.daemon.demo import REPLAYED, REQUESTS, Demo, Say
from mai.daemon.door import Reply
from mai.daemon.example import CLIENT, daemon
from mai.daemon.reader import Reader
from mai.daemon.status import painted
from mai.daemon.trace import trace
from mai.daemon.tree import render
from mai.sandbox.errors import MaiError
from mai.sandbox.place import Place

MODELS: Final = f"{CLIENT}/models"
QUESTIONS: Final = (
    "How big is the ticket backlog?",
    "What is the error rate of the checkout service?",
    "What is staff turnover, and how long must we keep invoices?",
)
AGAIN: Final = QUESTIONS[0]  # once in peace, once with the models process killed
NAMED_ENDS: Final = ("answered", "refused")
READY_S: Final = 300.0  # weights of gigabytes take their time
UNDER_WAY_S: Final = 60.0  # for a call to begin
LOOK_S: Final = 0.02
UNDER_WAY: Final = (
    "kind = 'attempt.begun' AND request = ?"
    " AND NOT EXISTS (SELECT 1 FROM journal e WHERE e.kind = 'attempt.ended' AND e.task = journal.task AND e.seq > journal.seq)"
)


class Thought(NamedTuple):
    """All that one agent asked models for one request."""

    agent: str
    calls: int
    ends: str  # how its calls ended, and why if they were not answered
    tokens: int
    cost_nano: int


class Thinking(Demo):
    """The steps."""

    def run(self) -> None:
        """Show everything. Raises MaiError where something is not as it should be."""
        organisation = check.load(self.file)
        self._figures(organisation)
        self._say(_thinkers(organisation))
        self._heading("Starting one process for each department, one that asks models, and the model …")
        with daemon(self.file) as (place, start):
            *_, last = start.progress(READY_S)
            self._say(f"{last['ready']} of {last['total']} are ready")
            if failed := last.get("failed"):
                raise MaiError("; ".join(f"{name} failed: {why}" for name, why in failed.items()), f"look at {place.logs}")
            for text in (*QUESTIONS, *REQUESTS):
                self._heading(text)
                self._ask(place, text)
            self._heading(f"The first again, and {MODELS} gets SIGKILL in the middle of a call")
            killed = self._ask(place, AGAIN, kill=True)
            self._heading(f"mai trace {killed}")
            self._say(render(trace(place, killed), colour=self._colour))
            self._heading("What all of it cost")
            self._say(_total(list(thoughts(place))))
            self._heading("mai verify")
            self._verify(place)
            self._heading(REPLAYED)
            self._replay(place)

    def _ask(self, place: Place, text: str, *, kill: bool = False) -> str:
        """Ask, show the hops as they come, the answer, and who thought; returns the request's id."""
        request, answer, thinking = new_id(), Reply(), _model_agents(check.load(self.file))
        for reply in ask(place, CLIENT, text, request=request, timeout_s=None, watch=True):
            if (hop := reply.get("hop")) and hop["note"] not in CODES:
                self._say(painted(f"  {hop['sender']} → {hop['receiver']}  {hop['note'][:60]}", 2, self._colour))
                if kill and hop["receiver"] in thinking:
                    self._kill_under_way(place, request)
                    kill = False
            answer = reply.get("answer", answer)
        self._say(answer["answer"])
        for thought in thoughts(place, request):
            self._say(painted(f"  thought: {_told(thought)}", 36, self._colour))
        self._say(painted(f"{answer['state']} in {answer['elapsed_ms']} ms", 2, self._colour))
        if answer["state"] not in NAMED_ENDS or kill:
            raise MaiError(f"the demo's request {text!r} was {answer['state']}", "this should not happen: please report it")
        return request

    def _kill_under_way(self, place: Place, request: str) -> None:
        """Wait until a call is under way, then kill the process that makes it."""
        end_s = time.monotonic() + UNDER_WAY_S
        reader = Reader(place, MODELS)
        try:
            while not reader.records(UNDER_WAY, request, limit=1):
                if time.monotonic() > end_s:
                    raise MaiError(f"no model was asked within {UNDER_WAY_S:g} s", "this should not happen: please report it")
                time.sleep(LOOK_S)  # a journal tells nobody that it has grown
        finally:
            reader.close()
        pid = next(process["pid"] for process in self._processes(place) if process["name"] == MODELS)
        os.kill(pid, signal.SIGKILL)
        self._say(painted(f"  kill -9 {pid}  ({MODELS})", 31, self._colour))


def demo(file: Path, say: Say, *, colour: bool) -> Demo:
    """The demo that fits an organisation."""
    thinks = bool(check.load(file).models.models)
    return (Thinking if thinks else Demo)(file, say, colour=colour)


def thoughts(place: Place, request: str = "") -> Iterator[Thought]:
    """Who asked models, for one request or at all, as the models process has it on record."""
    reader = Reader(place, MODELS)
    try:
        records = reader.records("kind = 'call.ended'" + (" AND request = ?" if request else ""), *([request] if request else []))
        ended = [reader.fields(record) for record in records]
    finally:
        reader.close()
    for agent in dict.fromkeys(str(one["agent"]) for one in ended):
        own = [one for one in ended if one["agent"] == agent]
        spent = [one.get("usage", {}) for one in own]
        yield Thought(
            agent.split("/", 1)[-1], len(own), "; ".join(dict.fromkeys(_end(one) for one in own)),
            sum(one.get("input_tokens", 0) + one.get("output_tokens", 0) for one in spent),
            sum(one.get("cost_nano", 0) for one in spent),
        )  # fmt: skip


def _end(ended: dict[str, Any]) -> str:
    if ended["state"] == "answered":
        return f"{ended.get('by', '')} answered"
    return f"{ended['state']}: {ended.get('reason', '')}"


def _told(thought: Thought) -> str:
    asked = f"{thought.calls} call{'s' * (thought.calls != 1)}"
    return f"{thought.agent}, {asked}, {thought.tokens:,} tokens, {_money(thought.cost_nano)} ({thought.ends})"


def _total(all_: list[Thought]) -> str:
    calls, tokens, cost = (sum(getattr(one, field) for one in all_) for field in ("calls", "tokens", "cost_nano"))
    return f"{len(all_)} agents thought: {calls} calls, {tokens:,} tokens, {_money(cost)}"


def _money(cost_nano: int) -> str:
    return f"{cost_nano / 1e9:.6f} of the budgets' currency"


def _model_agents(organisation: Organisation) -> set[str]:
    return {f"{one.name}/{agent.name}" for one in organisation.departments for agent in one.agents if agent.kind == "model"}


def _thinkers(organisation: Organisation) -> str:
    boards = sum(one.board.kind == "model" for one in organisation.departments)
    others = len(_model_agents(organisation)) - boards
    wording = ", and Mai has her answers worded" if organisation.models.compose else ""
    return f"{others} specialists and {boards} boards ask a model{wording}"
