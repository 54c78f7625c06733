"""A worker of kind `model`: it asks its model what to do, does it as far as its rank and scope allow, and so on until it answers.

Each question and each move is a step of its task: on record, bounded, and not done again after a crash. Whatever the model
was told to do by the data that it reads, a move goes the same way as that of an agent written in Python, and is refused
in the same places.
"""

from collections import Counter
from typing import Any, Final

from mai.agents import talk
from mai.agents.context import Answer, Assignment, Context, Refusal
from mai.agents.messages import Fields
from mai.agents.plain import readable
from mai.agents.talk import Brief, Message, Move, Unclear

NOTES: Final = "notes"  # the key of its memory
MOST_NOTES: Final = 32
NOTE_CHARS: Final = 1000
AGAIN: Final = 3  # the same move that is refused so often ends the task


class Thinker:
    """One task of such a worker."""

    def __init__(self, ctx: Context, task: Assignment, brief: Brief) -> None:
        self.ctx, self.task, self.brief = ctx, task, brief
        self.messages: list[Message] = []
        self.tokens = 0
        self.repaired = False
        self.in_vain: Counter[Move] = Counter()

    async def work(self) -> Answer:
        """Until there is an answer. Raises Refusal; gives up to those above what it cannot do within its bounds."""
        agent = self.brief.agent
        tools = await self.ctx.describe_tools() if self.brief.tools else []
        notes = await self.ctx.recall(NOTES) if self.brief.remembers else None
        form = talk.form(self.brief, tools)
        self.messages = [talk.system(self.brief, talk.forms(self.brief, tools)), self._task(notes)]
        for _ in range(agent.turns):
            await self._afford(form)
            reply = await self.ctx.model(self.messages, schema=form)
            self.tokens += reply.usage.tokens
            self.messages.append(talk.spoken(reply.text or " ".join(f"{call.name}({call.arguments})" for call in reply.calls)))
            try:
                moves = talk.moves(reply, self.brief)
            except Unclear as unclear:
                await self._repair(str(unclear))
                continue
            for move in moves:
                if (answer := await self._do(move)) is not None:
                    return answer
        await self.ctx.escalate(f"it has asked its model {agent.turns} times without an answer, which is its limit")
        raise AssertionError("escalate never returns")

    def _task(self, notes: Any) -> Message:
        task = self.task
        given: Fields = {"task": task.contract, "input": task.input} if task.contract else {"task": task.text}
        return talk.data(task.asker, **given, **({"notes": notes} if notes else {}))

    async def _afford(self, form: Fields) -> None:
        """Give up before the task's tokens could be exceeded: a token has at least one byte."""
        bytes_ = sum(len(message["content"].encode()) for message in self.messages) + len(str(form))
        if self.tokens and self.tokens + bytes_ > self.brief.agent.tokens:
            await self.ctx.escalate(
                f"it has used {self.tokens} of its {self.brief.agent.tokens} tokens, and the next turn may need more"
            )

    async def _repair(self, why: str) -> None:
        """Say once what was wrong with an answer; the second time the task is given up."""
        if self.repaired:
            await self.ctx.escalate(f"the answer of its model cannot be used, twice: {readable(why, 500)}")
        self.repaired = True
        self.messages.append(talk.refused("your department's rules", f"your answer cannot be used: {why}; answer again"))

    # -- moves
    async def _do(self, move: Move) -> Answer | None:
        """Do one move; the answer, if it is one that can be given."""
        match move.do:
            case "answer":
                return await self._answer(move)
            case "escalate":
                await self.ctx.escalate(move.text or "its model gives no reason")
            case talk.REMEMBER if self.brief.remembers:
                await self._remember(move)
            case "ask" if move.name in self.brief.contracts:
                await self._try(move, f"department {move.name.partition('.')[0]}")
            case _:  # what is not in the scope is refused there, on record
                await self._try(move, f"tool {move.name}")
        return None

    async def _answer(self, move: Move) -> Answer | None:
        if self.brief.reply is None:
            if move.text.strip():
                return Answer(move.text)
            await self._repair("its text is empty")
            return None
        value = move.value if isinstance(move.value, dict) else {}
        if why := self.ctx.reply_fault(value):
            await self._repair(why)
            return None
        return Answer(move.text, value)

    async def _try(self, move: Move, origin: str) -> None:
        """Use a tool or ask another department, and tell the model what came of it."""
        given = move.input if isinstance(move.input, dict) else {}
        try:
            if move.do == "ask" and move.name in self.brief.contracts:
                reply = await self.ctx.asked(move.name, "", given)
                self.messages.append(talk.result(origin, {"value": reply.value, "text": reply.text}))
            else:
                self.messages.append(talk.result(origin, await self.ctx.tool(move.name, **given)))
        except (Refusal, TypeError) as refusal:  # TypeError: an argument named like our own parameters
            self.messages.append(talk.refused(origin, str(refusal)))
            await self._again(move)

    async def _again(self, move: Move) -> None:
        """A model that does not take no for an answer gets no further one."""
        kind = Move(move.do, move.name, readable(repr(move.input), 2000))
        self.in_vain[kind] += 1
        if self.in_vain[kind] >= AGAIN:
            await self.ctx.escalate(
                f"its model wanted {readable(move.name, 80)!r} {AGAIN} times in the same way, and was refused"
            )

    async def _remember(self, move: Move) -> None:
        """Keep a note for its next tasks, in its own memory and nobody else's."""
        notes = dict(await self.ctx.recall(NOTES) or {})
        notes[readable(move.name, 80)] = readable(move.text, NOTE_CHARS)
        await self.ctx.remember(NOTES, dict(list(notes.items())[-MOST_NOTES:]))
        self.messages.append(talk.result("your memory", "kept"))


async def think(ctx: Context, task: Assignment, brief: Brief) -> Answer:
    """What a worker of kind model does with a task."""
    return await Thinker(ctx, task, brief).work()
