"""Programs of memory calls, an agent that plays them and says what it saw, and a plain model of what it has to see."""

import random
import re
import unicodedata
from typing import Any

KEYS = ("a", "a.b", "a.c", "b/1", "b/1/2", "k 2", "ü%_*")
WORDS = ("late", "payment", "Zürich", "credit note", "42", "ship-ment")
LEVELS = ("agent", "department", "client")
Op = dict[str, Any]
Shelf = tuple[str, str]  # level and owner
Held = dict[str, list[tuple[int, Any]]]  # key -> versions, oldest first: number and value

PLAYER = """
import json
from mai.agents.context import Answer, Memories, Refusal


def call(ctx, op):
    given = dict(op)
    return getattr(ctx, given.pop("call"))(**given)


def shown(one):
    if isinstance(one, Refusal):
        return {"refused": True}
    if isinstance(one, Memories):
        return {"items": [[m.key, m.version, m.value] for m in one], "more": one.more}
    return one


async def play(ctx, groups):
    seen = []
    for group in groups:
        try:
            came = await ctx.all(*[call(ctx, op) for op in group])
        except Refusal as refusal:
            came = refusal.answers
        seen += [shown(one) for one in came]
    return seen
"""


class Model:
    """Memory as a dict. `scopes`: agent -> way -> beginnings of the client's keys that it may use."""

    def __init__(self, scopes: dict[str, dict[str, tuple[str, ...]]], versions: int = 10) -> None:
        self.scopes, self.most = scopes, versions
        self.shelves: dict[Shelf, Held] = {}
        self.fading: list[tuple[Shelf, str, int]] = []  # what expires before the next task

    def expire(self) -> None:
        """The time of what was to be gone soon is over."""
        for shelf, key, n in self.fading:
            held = self.shelves.get(shelf, {}).get(key, [])
            if held and held[-1][0] == n:
                del self.shelves[shelf][key]
            elif held:
                held[:] = [one for one in held if one[0] != n]
        self.fading.clear()

    def see(self, department: str, agent: str, op: Op) -> Any:
        """What an agent has to see when it makes this call."""
        level, call = op.get("level", "agent"), op["call"]
        shelf = (level, {"agent": f"{department}/{agent}", "department": department, "client": ""}[level])
        held = self.shelves.setdefault(shelf, {})
        way = "write" if call in ("remember", "forget") else "read"
        open_ = self.scopes.get(agent, {}).get(way, ()) if level == "client" else ("",)
        key = op.get("key", "")
        if not open_ or (call not in ("recall_all", "search") and not key.startswith(open_)):
            return {"refused": True}
        return self._do(shelf, held, op, open_)

    def _do(self, shelf: Shelf, held: Held, op: Op, open_: tuple[str, ...]) -> Any:
        key = op.get("key", "")
        there = held.get(key, [])
        match op["call"]:
            case "remember":
                n = there[-1][0] + 1 if there else 1
                held[key] = [*there, (n, op["value"])][-self.most :]
                self.fading += [(shelf, key, n)] if "expires_s" in op else []
                return n
            case "forget":
                return held.pop(key, None) is not None
            case "recall":
                return next((value for n, value in there if n == op.get("version", there[-1][0])), None) if there else None
            case "versions":
                return {"items": [[key, n, value] for n, value in reversed(there)], "more": False}
            case "recall_all":
                fit = [k for k in sorted(held) if k.startswith(op.get("prefix", "")) and k > op.get("after", "")]
                return self._page(held, [k for k in fit if k.startswith(open_)], op["limit"])
            case _:
                asked = words(op["text"])
                fit = [k for k in held if k.startswith(open_) and asked & words(f"{k} {texts(held[k][-1][1])}")]
                return self._page(held, sorted(fit), op["limit"])

    def _page(self, held: Held, keys: list[str], limit: int) -> Any:
        return {"items": [[key, *held[key][-1]] for key in keys[:limit]], "more": len(keys) > limit}


def words(text: str) -> set[str]:
    """What a search finds it by: without case and accents."""
    bare = "".join(one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one))
    return {word.lower() for word in re.findall(r"[^\W_]+", bare)}


def texts(value: Any) -> str:
    """The words of a value."""
    if isinstance(value, dict):
        return " ".join((*value, *map(texts, value.values())))
    return " ".join(map(texts, value)) if isinstance(value, list) else "" if isinstance(value, bool | None) else str(value)


def comparable(op: Op, seen: Any) -> Any:
    """A search's order is its own."""
    return {**seen, "items": sorted(seen["items"])} if op["call"] == "search" and "items" in seen else seen


def program(dice: random.Random, count: int, levels: tuple[str, ...] = LEVELS) -> list[list[Op]]:
    """So many calls in groups; one that lets something expire is the last."""
    groups: list[list[Op]] = []
    while (made := sum(map(len, groups))) < count:
        groups.append([_op(dice, levels) for _ in range(min(dice.choice((1, 1, 1, 2, 4)), count - made))])
    gone = {"call": "remember", "key": dice.choice(KEYS), "value": "gone soon", "level": dice.choice(levels), "expires_s": 0.001}
    return [*groups, [gone]] if dice.random() < 0.5 else groups


def _op(dice: random.Random, levels: tuple[str, ...]) -> Op:
    level, key = dice.choice(levels), dice.choice(KEYS)
    limit = dice.choice((1, 3, 100))
    match dice.choice(
        ("remember", "remember", "remember", "recall", "recall", "version", "forget", "recall_all", "search", "versions")
    ):
        case "remember":
            value = {"text": " ".join(dice.choices(WORDS, k=2)), "number": dice.randrange(100)}
            return {"call": "remember", "key": key, "level": level, "value": value}
        case "version":
            return {"call": "recall", "key": key, "level": level, "version": dice.randrange(1, 15)}
        case "recall_all":
            return {"call": "recall_all", "prefix": dice.choice(("", "a", "a.", "b/", "zz")), "level": level, "limit": limit}
        case "search":
            return {
                "call": "search",
                "text": " ".join(dice.choices(("late", "ZURICH", "note", "none", "42"), k=2)),
                "level": level,
                "limit": 100,
            }
        case call:
            return {"call": call, "key": key, "level": level}
