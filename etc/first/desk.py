"""The only worker of the first organisation: it answers what is asked, and counts what it was asked."""

from mai.agents.context import Answer, Assignment, Context


async def desk(ctx: Context, task: Assignment) -> Answer:
    """Answer a customer, and remember how often."""
    asked = (await ctx.recall("asked") or 0) + 1
    await ctx.remember("asked", asked)
    return Answer(f"You asked: {task.text} This is question {asked} that I was asked.", {"asked": asked})
