"""A worker of kind `model`: it asks its model what to do, does it as far as its rank and scope allow, and so on until it answers.

Each question and each move is a step of its task: on record, bounded, and not done again after a crash. Whatever the model
was told to do by the data that it reads, a move goes the same way as that of an agent written in Python, and is refused
in the same places. What it cannot do within its bounds, or because its model is not to be had, goes to those above.
"""

from collections import Counter
from typing import Any, Final, NoReturn

import msgspec

from mai.agents import talk
from mai.agents.body import Fields
from mai.agents.context import Answer, Assignment, Context, Refusal
from mai.agents.fields import Shape
from mai.agents.figures import invented
from mai.agents.plain import readable
from mai.agents.replies import ModelReply
from mai.agents.talk import Brief, Message, Move, Offer, Unclear

NOTES: Final = "notes"  # the key of its memory
MOST_NOTES: Final = 32
NOTE_CHARS: Final = 1000
NOTES_BYTES: Final = 8 << 10  # all of them, as JSON
MOST_GROUNDS: Final = 32
CONCLUSION: Final = Shape(talk.CONCLUSION, "a conclusion")
OURS: Final = "your department's rules"  # who says what was wrong with an answer
AGAIN: Final = 3  # the same move that is refused so often ends the task


class GivenUp(Exception):
    """Those above have answered in its place."""


class Thinker:
    """One task of such a worker."""

    def __init__(self, ctx: Context, task: Assignment, brief: Brief) -> None:
        self.ctx, self.task, self.brief = ctx, task, brief
        self.messages: list[Message] = []
        self.tokens = 0
        self.repaired = self.advice = False  # was an answer sent back; does the model only advise?
        self.in_vain: Counter[str] = Counter()
        self.done: dict[str, str] = {}  # moves that may have changed something -> what came of them
        self.failed: dict[str, str] = {}  # the same of those that have failed: how far they got nobody knows
        self.grounds: dict[str, None] = {}  # the steps that what it knows is from

    async def work(self) -> Answer | None:
        """Until there is an answer; None: that of those above, who get what it cannot do within its bounds. Raises Refusal."""
        try:
            return await self._work()
        except GivenUp:
            return None

    async def _work(self) -> Answer:
        turns = self.brief.agent.turns
        tools = await self.ctx.describe_tools() if self.brief.tools else []
        notes = await self.ctx.recall(NOTES) if self.brief.remembers else None
        self.offer = Offer(self.brief, tools)
        self.messages = [talk.system(self.brief, self.offer.words()), self._task(notes)]
        for turn in range(1, turns + 1):
            reply = await self._ask(self.offer.schema(last=turn == turns))
            self.messages.append(talk.spoken(reply))
            if (answer := await self._turn(reply, last=turn == turns)) is not None:
                return answer
        await self._give_up(f"it has asked its model {turns} times without an answer, which is its limit")
        raise AssertionError("what is given up does not go on")

    async def _turn(self, reply: ModelReply, *, last: bool) -> Answer | None:
        """Do what the model wants; the answer, if it gives one. In the `last` turn nothing else: nobody would look at it."""
        lines: list[str] = []
        self.advice = reply.advice
        try:
            for move in talk.moves(reply, self.brief):
                if self.advice:
                    await self._advised(move)
                if last and move.do not in talk.ENDS:
                    break
                if (answer := await self._do(move, lines)) is not None:
                    return answer
        except Unclear as unclear:
            lines.append(await self._repair(str(unclear)))
        self.messages.append(talk.user(*lines))
        return None

    def _task(self, notes: Any) -> Message:
        """The first message of data: what servers say of their tools, what the agent remembers, what it is to do."""
        task = self.task
        more: Fields = {"your_reply_came_back": task.correction} if task.correction else {}
        if task.handover:
            more["a_colleague_had_it_before"] = msgspec.to_builtins(task.handover)
        remembered = [talk.line("your memory", **talk.shown("notes", notes))] if notes else []
        return talk.user(*self.offer.lines(), *remembered, *talk.asked(task.asker, task.contract, task.text, task.input, **more))

    async def _ask(self, schema: Fields) -> ModelReply:
        """One turn. Gives up before the task's tokens could be exceeded: a token has at least one byte."""
        most, bytes_ = self.brief.agent.tokens, talk.size_of(self.messages, schema)
        room = most - self.tokens - bytes_
        if room < talk.LEAST_TOKENS:
            await self._give_up(
                f"it has used {self.tokens} of its {most} tokens, and the next turn may take {bytes_} and its answer"
            )
        try:
            less = room if room < self.brief.output_tokens else 0
            reply: ModelReply = await self.ctx.model(self.messages, schema=schema, output_tokens=less)
        except Refusal as refusal:
            await self._give_up(f"its model did not answer: {refusal.reason}")
        self.tokens += reply.usage.tokens
        return reply

    async def _repair(self, why: str) -> str:
        """What is said once of an answer that cannot be used; the second time the task is given up."""
        if self.repaired:
            await self._give_up(f"the answer of its model cannot be used, twice: {why}")
        self.repaired = True
        return talk.refused(OURS, f"your answer cannot be used: {why}; answer again")

    async def _give_up(self, why: str) -> NoReturn:
        """It goes to those above, and their answer is the task's. Raises GivenUp, or Refusal."""
        await self.ctx.escalate(readable(why, 1000))
        raise GivenUp

    # -- moves
    async def _advised(self, move: Move) -> None:
        """A model that does not decide may look at what changes nothing; what it says goes on record, and to those above."""
        if move.do != "tool" or self.offer.effects.get(move.name) != "none":
            name = move.name if move.do == "tool" and move.name in self.offer.effects else ""  # no word of its own
            await self._give_up(f"its model only advises, and it would {move.do} {name}".strip())

    async def _do(self, move: Move, lines: list[str]) -> Answer | None:
        """Do one move; the answer, if it is one. What came of anything else is added to `lines`. Raises Unclear."""
        match move.do:
            case "answer":
                return self._answer(move)
            case "escalate":
                await self._give_up(move.text or "its model gives no reason")
            case talk.REMEMBER if self.brief.remembers:
                lines.append(await self._remember(move))
            case _:
                lines.append(await self._use(move))
        return None

    def _answer(self, move: Move) -> Answer:
        """The answer, if it keeps to what was promised. Raises Unclear."""
        value = self.offer.value(move) if self.brief.reply is not None else {}
        if self.brief.reply is None and not move.text.strip():
            raise Unclear("its text is empty")
        if why := self.ctx.reply_fault(value, move.text):
            raise Unclear(why)
        if self.brief.agent.figures == "given" and (strange := self._invented(move.text, value)):
            raise Unclear(f"it says {strange}, which stands nowhere in the data")
        return Answer(move.text, value)

    def _invented(self, text: str, value: Fields) -> str:
        """A number of the answer's that no message of data holds."""
        told = [one for message in self.messages if message["role"] == "user" for one in message["content"].split("\n")]
        given = " ".join(one for one in told if not talk.echoes(one, OURS))
        return invented(f"{text} {msgspec.json.encode(value).decode()}", given)

    async def _use(self, move: Move) -> str:
        """Use a tool or ask another department; what came of it. An effect that a task has had it does not have again."""
        asks = move.do == "ask" and move.name in self.brief.contracts
        origin = f"department {move.name.partition('.')[0]}" if asks else f"{talk.TOOL} {readable(move.name, 80)}"
        key = _key(move, move.input)
        try:
            given = self.offer.input(move)
            if (key := _key(move, given)) in self.done:
                return self.done[key]
            if key in self.failed:
                raise Refusal(f"it is not tried again: {self.failed[key]}")
            value = await (self._ask_for(move.name, given) if asks else self._call(move.name, given))
        except (Refusal, Unclear) as fault:
            if isinstance(fault, Refusal) and self._changes(move, asks) and (not asks or fault.state != "refused"):
                self.failed.setdefault(key, str(fault))
            await self._in_vain(move, key, str(fault))
            return talk.refused(origin, str(fault))
        if self._changes(move, asks):
            self.done[key] = talk.line(origin, **talk.shown("result", value), again="it was done before and is not done twice")
        return talk.result(origin, value)

    def _changes(self, move: Move, asks: bool) -> bool:
        """May it change something? What another department does for a question nobody knows here."""
        return asks or self.offer.effects.get(move.name, "none") != "none"

    async def _ask_for(self, contract: str, given: Fields) -> Fields:
        """What another department replies. Raises Refusal."""
        asked = self.ctx.asked(contract, "", given)
        reply = await asked
        self.grounds[f"step:{asked.n}"] = None
        return {"value": reply.value, "text": reply.text}

    async def _call(self, name: str, given: Fields) -> Any:
        """What a tool gives. One out of the scope is refused where every agent's is, on record. Raises Refusal, Unclear."""
        if name == talk.CONCLUDE and self.offer.concludes:
            return await self._conclude(given)
        used = self.ctx.tool(name, **given)
        value = await used
        self.grounds[f"step:{used.n}"] = None
        return value

    async def _in_vain(self, move: Move, key: str, why: str) -> None:
        """A model that does not take no for an answer gets no further one."""
        self.in_vain[key] += 1
        if self.in_vain[key] >= AGAIN:
            what = f"{readable(move.name, 80)!r} {AGAIN} times in the same way, and was refused: {why}"
            await self._give_up(f"its model wanted {'what it may not' if self.advice else what}")

    async def _conclude(self, given: Fields) -> str:
        """Put a conclusion on record; what it rests on is what the task has looked at, and not what the model says."""
        if why := CONCLUSION.fault(given):
            raise Unclear(why)
        subject, attribute = given["subject"], given["attribute"]
        grounds = ["task", *self.grounds][:MOST_GROUNDS]
        await self.ctx.conclude(subject, attribute, given["value"], confidence=given["confidence"], grounds=grounds)
        return "on record"

    async def _remember(self, move: Move) -> str:
        """Keep a note for its next tasks, in its own memory and nobody else's; the oldest make room for it."""
        kept = await self.ctx.recall(NOTES)
        notes = dict(kept) if isinstance(kept, dict) else {}
        notes.pop(name := readable(move.name, 80), None)
        notes[name] = readable(move.text, NOTE_CHARS)
        room = min(NOTES_BYTES, self.brief.agent.tokens // 4)  # all of them are shown with each task: it has to have room, too
        if len(msgspec.json.encode({name: notes[name]})) > room:
            return talk.refused("your memory", f"a note may have {room} bytes")
        while len(notes) > MOST_NOTES or len(msgspec.json.encode(notes)) > room:
            del notes[next(iter(notes))]
        try:
            await self.ctx.remember(NOTES, notes)
        except Refusal as refusal:  # the organisation's bound on memory may be tighter
            return talk.refused("your memory", refusal.reason)
        return talk.result("your memory", "kept")


def _key(move: Move, given: Any) -> str:
    """The same for moves that come to the same."""
    return msgspec.json.encode([move.name, given], order="deterministic").decode()


async def think(ctx: Context, task: Assignment, brief: Brief) -> Answer | None:
    """What a worker of kind model does with a task."""
    return await Thinker(ctx, task, brief).work()
