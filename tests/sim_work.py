"""The workers of the simulated company: code as a user writes it, loaded by the departments as they load a user's.

Sales takes orders; each has finance take the money, in one of four ways, and the stock give the goods.
"""

import contextlib
from pathlib import Path
from typing import Any

from mai.agents.bounded import TooLong
from mai.agents.context import Answer, Assignment, Context, Refusal
from tests.sim_outside import Outside

AGAIN = "notes, and notes"


async def seller(ctx: Context, task: Assignment) -> Answer:
    """Asks finance and the stock at once, a clerk of its own, and the client's memory before and after."""
    given = task.input
    seen = await ctx.recall("orders", "client")
    if given["how"] == "poison":
        Outside.now.reach("die")
    asked = [
        ctx.ask("finance.charge", cents=given["cents"], how=given["how"]),
        ctx.ask("stock.reserve", items=given["cents"] % 7 + 1),
        ctx.ask("coordinator", f"notes: {given['cents']}"),
        ctx.ask("stock.price", cents=given["cents"]),
    ]
    try:
        charged, reserved, noted, _ = await ctx.all(*asked)
    except Refusal:
        await _claims(ctx, "seller", asked[2])  # it has an opinion all the same
        raise
    with contextlib.suppress(Refusal):
        await ctx.ask("stock.shelf", cents=given["cents"])
        await ctx.ask("stock.shelf", cents=given["cents"] + 1)  # more than a request may ask
    started, dice = ctx.now(), ctx.random()
    await ctx.remember("orders", [task.request, seen and seen[0], dice < 2], "client", expires_s=600 if dice < 0.2 else None)
    await ctx.all(ctx.recall_all("ord", "client"), ctx.search("false", "client"), ctx.versions("orders", "client"))
    await ctx.remember("last", task.request, "department")
    await _claims(ctx, "seller", asked[0])
    items = reserved.value["items"]
    return Answer(f"{noted.text} at {started:.0f}", {"paid": charged.value["paid"], "items": items})


async def _claims(ctx: Context, who: str, ground: Any) -> None:
    """Says how it is with the goods and the mood, as others do, and not always the same; what has lost it does not insist on."""
    for attribute in ("goods", "mood"):
        value = f"{'good' if ctx.random() < 0.7 else who}"
        with contextlib.suppress(Refusal):
            await ctx.conclude("shop", attribute, value, grounds=[ground], confidence=0.5)


async def porter(ctx: Context, task: Assignment) -> str:
    """Brings boxes, or somebody above says what with them."""
    if ctx.random() < 0.3:
        return "brought"
    told = await ctx.escalate("too heavy")
    return f"brought as {told.by} said"


async def hauler(ctx: Context, task: Assignment) -> str:
    """Waits for what comes too late at times."""
    if ctx.random() < 0.5:
        await ctx.escalate("the cart is away")  # a person has more time than it has
    await ctx.ask("board")
    return "never"


async def clerk(ctx: Context, task: Assignment) -> str:
    """Counts its own notes, and at times goes round in circles."""
    if task.text == AGAIN or ctx.random() < 0.1:
        with contextlib.suppress(Refusal):
            await ctx.ask("coordinator", AGAIN)
    count = (await ctx.recall("notes") or 0) + 1
    await ctx.remember("notes", count)
    await _files(ctx, task.text, count)
    return f"noted {count}: {task.text}"


scribe = clerk  # a colleague, with whom it can go round


async def _files(ctx: Context, text: str, count: int) -> None:
    """Keeps, finds and forgets papers of its own, some for a while only; the journals say whether memory is what it should be."""
    paper = f"paper {count % 5}"
    kept_s = 30 if count % 3 == 0 else None
    await ctx.all(ctx.remember(paper, {"text": text, "count": count}, expires_s=kept_s), ctx.recall("paper 0"))
    await ctx.all(ctx.recall_all("paper"), ctx.search(f"{count} none", limit=3), ctx.recall(paper), ctx.versions(paper))
    if count % 4 == 2:
        await ctx.forget(f"paper {(count - 1) % 5}")


async def cashier(ctx: Context, task: Assignment) -> dict[str, Any]:
    """Takes the money by the tool that is named; a teller does it where it takes two."""
    how, cents = task.input["how"], task.input["cents"]
    if how == "hand":
        return {**(await ctx.ask("coordinator", "counting", cents=cents)).value}
    return {"paid": await ctx.tool(how if how != "poison" else "look", cents=cents)}


async def treasurer(ctx: Context, task: Assignment) -> Answer | dict[str, Any]:
    """The board of finance: decides about calls in all the ways that there are; all else it hands on."""
    if "approval" not in task.input:
        reply = await ctx.hand("coordinator")
        return Answer(reply.text, reply.value)
    dice = ctx.random()
    if dice < 0.1:
        raise ValueError("no idea")
    if dice < 0.2:
        await ctx.tool("look", cents=1)
    return {"decision": "approve" if dice < 0.5 else "deny" if dice < 0.7 else "person", "note": f"{dice:.2f}"}


async def teller(ctx: Context, task: Assignment) -> dict[str, Any]:
    """The second pair of eyes; counts for itself where there is no money to take."""
    cents = task.input.get("cents")
    return {"paid": await ctx.tool("keyed", cents=cents) if cents else await ctx.tool("look", cents=1)}


async def keeper(ctx: Context, task: Assignment) -> dict[str, Any]:
    """Gives goods."""
    given = ctx.tool("fetch", items=task.input["items"])
    items = await given
    await _claims(ctx, "keeper", given)
    return {"items": items}


packer = keeper  # a colleague


async def pricer(ctx: Context, task: Assignment) -> dict[str, Any]:
    """Knows two prices of three, and has a view of its own."""
    await _claims(ctx, "pricer", "task")
    if task.input["cents"] % 3 == 0:
        raise ValueError("no price")
    return {"cents": task.input["cents"]}


async def looker(ctx: Context, task: Assignment) -> dict[str, Any]:
    """Says too much of two in three, and goes on with that in every second of these when its reply comes back."""
    cents = task.input["cents"]
    much = cents % 3 and not (task.correction and cents % 2)
    return {"cents": cents, "margin": 7654321} if much else {"cents": cents}


async def valuer(ctx: Context, task: Assignment) -> dict[str, Any]:
    """Knows some of the others."""
    if task.input["cents"] % 21 == 0 or ctx.random() < 0.1:
        raise ValueError("no value")
    return {"cents": task.input["cents"]}


async def writer(ctx: Context, task: Assignment) -> str:
    """Answers what people write."""
    return f"to {task.text}, behind {len(task.input['conversation'])}"


# -- tools
def _acted(key: str, source: str, target: str, amount: int, *, once: bool) -> int:
    how = Outside.now.mishap()
    if how == "fails":
        raise RuntimeError("the bank is closed")
    if how == "late":
        raise TooLong
    moved = Outside.now.move(key, source, target, amount, once=once)
    if how == "unsaid":
        raise TooLong
    return moved


def opaque(files: Path, cents: int, *, key: str) -> int:
    """Takes money; nobody can ask whether it did."""
    return _acted(key, "customer", "till", cents, once=False)


def keyed(files: Path, cents: int, *, key: str) -> int:
    """Takes money once for each key."""
    return _acted(key, "customer", "till", cents, once=True)


def asked(files: Path, cents: int, *, key: str) -> int:
    """Takes money; it can be asked by the key whether it did."""
    return _acted(key, "customer", "till", cents, once=False)


def spare(files: Path, cents: int, *, key: str) -> int:
    """Takes money where `asked` says that it did not."""
    return _acted(key, "customer", "till", cents, once=False)


def whether(files: Path, key: str) -> int | None:
    """What `asked`, or who stands in for it, has taken under this key."""
    how = Outside.now.mishap()
    if how:
        raise RuntimeError("the bank does not answer")
    return Outside.now.amounts[key] if Outside.now.moved[key] else None


def look(files: Path, cents: int) -> int:
    """Changes nothing."""
    return cents


def fetch(files: Path, items: int, *, key: str) -> int:
    """Gives goods once for each key."""
    return _acted(key, "shelf", "sold", items, once=True)


def post(files: Path, to: str, text: str, message: str, *, key: str) -> str:
    """Tells somebody outside."""
    how = Outside.now.mishap()
    if how == "fails":
        raise RuntimeError("the post is closed")
    if how == "late":
        raise TooLong
    sent = Outside.now.post(key, message)
    if how == "unsaid":
        raise TooLong
    return sent
