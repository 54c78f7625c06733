"""What a task's answer rests on: who came to it, what he knew, and behind each reply the same once more."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from mai.agents.kept import Shelf, Version
from mai.agents.replies import Said
from mai.daemon.books import Books, Entry, asked_of
from mai.daemon.matching import Found, Wanted, found
from mai.daemon.replaying import Item, Replayed
from mai.daemon.summary import asked, clean, summary
from mai.daemon.tree import Node, Trace

Body = dict[str, Any]

VERSION: Final = "SELECT value FROM state WHERE noun = ? AND key = ? LIMIT 1"
MADE: Final = ("part", "answer", "wording", "model")  # grounds that are somebody's words, and no source of a figure
DEEPEST: Final = 30  # replies behind replies
MOST: Final = 400  # records that one answer is led back to
PASSES: Final = ("hand",)  # steps by which a board's code or model has its own department do the task
MEMORY: Final = ("recall", "recall_all", "search", "versions")
SILENT: Final = ("now", "random", "tools", "conclude", "remember", "forget")  # steps that give nothing that is said
TOLD: Final = ("approval.decided", "ruling.told", "escalation.parked")  # records that are grounds, whatever their words
OWN: Final = (
    "decision", "task.begun", "effect.intent", "step.asked", "message.sent", "tool.counted", "policy.judged", "memory.written",
)  # fmt: skip
NAMES: Final = ("request", "task", "agent", "id", "n", "at_ms", "key", "digest", "record", "organisation", "policies")


class Ground(msgspec.Struct):
    """A record, and what of the sentence stands in it."""

    what: str  # a key of why_form.LABELS
    who: str
    record: str  # "acme/sales:57"
    said: str
    found: tuple[Found, ...] = ()
    decision: str = ""  # of an answer, and of what a model said: its seal, for `mai replay`
    verdict: str = ""  # what came of replaying that
    code: str = ""  # that came to it; "" for the built-in behaviour of a rank
    via: tuple[str, ...] = ()  # of an answer: the records of those who passed it on, the nearest to the client first
    had: int = 0  # of an answer: the records that its agent knew
    made: tuple[str, ...] = ()  # of an answer: numbers and dates that stand in none of them
    besides: tuple[str, ...] = ()  # and what he had from others that has nothing of the sentence: `tool orders (acme/sales:24)`
    grounds: list["Ground"] = []


class Grounds:
    """The way back through one request's tasks."""

    def __init__(self, books: Books, traced: Trace, *, whole: bool) -> None:
        self._books, self._trace, self._whole = books, traced, whole
        self._mai = f"{traced.client}/mai"
        self._left = MOST

    def of(self, node: Node, have: Wanted, depth: int = 0) -> Ground:
        """What the answer to a task rests on."""
        node, ended, via = self._origin(node)
        if ended is None or ended.record.kind != "task.ended":  # its department's ledger is not here, or Mai has ended it
            said = clean(summary(ended.record.kind, ended.body)) if ended else "its record is not here"
            return Ground("answer", node.agent, node.ended, said, via=via)
        own = {name: ended.body.get(name) for name in ("text", "value", "reason")}
        ground = Ground(
            "answer", node.agent, ended.name, clean(summary("task.ended", ended.body)), tuple(found(have, own)), via=via
        )
        replayed = self._books.replayed(node.decision) if node.decision else None
        if replayed is None:
            ground.verdict = "not sealed"
            return ground
        ground.decision, ground.verdict, ground.code = node.decision, replayed.verdict, replayed.code
        ground.had = len(replayed.context_items)
        if depth < DEEPEST:
            ground.grounds = list(self._known(node, replayed, have, depth))
        told = {one for below in ground.grounds for one in figures_of(below)}
        ground.made = tuple(one for one in have.figures if one not in told)
        ground.besides = tuple(self._besides(replayed, {below.record for below in ground.grounds}))
        return ground

    def _besides(self, replayed: Replayed, named: set[str]) -> Iterator[str]:
        """What else was given to who came to an answer."""
        process = replayed.decision.rpartition(":")[0]
        for item in replayed.context_items:
            name, call = f"{process}:{item.seq}", item.body.get("call", "")
            if item.kind == "step" and name not in named and call not in (*SILENT, *PASSES) and not item.body.get("refused"):
                yield f"{call} {asked(item.body.get('given'))}".strip() + f" ({name})"

    def _origin(self, node: Node) -> tuple[Node, Entry | None, tuple[str, ...]]:
        """Who came to an answer that others have only passed on, its record, and theirs."""
        ended, via = self._books.entry(node.ended), list[str]()
        while ended and (below := self._same(node, ended)):
            via.append(node.ended)
            node, ended = below
        return node, ended, tuple(via)

    def _same(self, node: Node, ended: Entry) -> tuple[Node, Entry] | None:
        """The task below that has ended with just that."""
        for child in reversed(node.tasks):
            entry = self._books.entry(child.ended) if child.ended and child.state == node.state else None
            if entry and _passes_on(ended.body, entry.body):
                return child, entry
        return None

    # -- what he knew
    def _known(self, node: Node, replayed: Replayed, have: Wanted, depth: int) -> Iterator[Ground]:
        process = replayed.decision.rpartition(":")[0]
        asked_by = {item.body["n"]: item for item in replayed.context_items if item.kind == "step.asked"}
        for item in replayed.context_items:
            if self._left <= 0:
                return
            ground = self._ground(process, node, item, asked_by.get(item.body.get("n", 0)), have)
            if ground is None:
                continue
            self._left -= 1
            if ground.what == "reply":
                inner = have.only(one.said for one in ground.found)
                ground.grounds = [self.of(child, inner, depth + 1) for child in self._repliers(node, item)]
            yield ground

    def _repliers(self, node: Node, item: Item) -> list[Node]:
        return [child for child in node.tasks if child.step == item.body.get("n") and child.state == "answered"][-1:]

    def _ground(self, process: str, node: Node, item: Item, before: Item | None, have: Wanted) -> Ground | None:
        """What one record of a context has of a sentence; None if nothing."""
        name = f"{process}:{item.seq}"
        if item.kind in OWN:
            return None
        if item.kind == "step":
            return self._step(name, item, before, have)
        if item.kind == "claim":
            return self._claim(process, name, item, have)
        what, value = "record", _unnamed(item.body)
        if item.kind == "hop":
            if item.task != node.task:
                return None  # what he asked of others is no ground
            what, value = "question", {"text": item.body.get("text"), "input": item.body.get("input"), **_correction(item.body)}
        elif item.kind == "message.received":
            if item.body["body"]["is"] == "task":
                return None  # its hop says it
            what, value = "message", _unnamed(item.body["body"])
        hits = tuple(found(have, value))
        wanted_anyway = self._whole or item.kind in TOLD or bool(item.body.get("correction"))
        return Ground(what, item.agent or node.agent, name, clean(item.said), hits) if hits or wanted_anyway else None

    def _step(self, name: str, item: Item, before: Item | None, have: Wanted) -> Ground | None:
        body = item.body
        call, given = body["call"], body.get("given") or (before.body.get("given") if before else None) or {}
        if call in SILENT or (call in PASSES and not self._whole):
            return None
        if call == "model":
            return self._model(name, item, before, have)
        hits = tuple(found(have, {"value": body.get("value"), "text": body.get("text"), "refused": body.get("refused")}))
        if not hits and not self._whole:
            return None
        what = "memory" if call in MEMORY else "tool" if call == "tool" else "reply"
        version = f", version {body['version']}" if body.get("version") else ""
        level = f"{given.get('level', '')} " if what == "memory" else ""
        said = f"{call} {level}{asked(given)}{version}"
        ground = Ground(what, body.get("by") or item.agent, name, clean(said), hits)
        if call == "recall" and body.get("version"):
            ground.grounds = self._written(name, item.agent, given, body["version"], have)
        return ground

    def _written(self, name: str, agent: str, given: Body, n: int, have: Wanted) -> list[Ground]:
        """Who wrote what was remembered, if the memory still has it, and in which request."""
        level, key = given.get("level", ""), given.get("key", "")
        process = self._mai if level == "client" else name.rpartition(":")[0]
        shelf, reader = Shelf(level, agent if level == "agent" else ""), self._books.reader(process)
        rows = reader.plain(VERSION, shelf.versions, f"{key}/{n}") if reader else []
        task = msgspec.json.decode(rows[0][0], type=Version).task if rows else ""
        for entry in self._books.of_request(process, task.partition("/")[0]) if task else ():
            body = entry.body
            if entry.record.kind == "memory.written" and (body["level"], body["key"], body.get("n", 1)) == (level, key, n):
                said = f"version {n} of {key!r} in the request {entry.record.request}"
                return [
                    Ground("written", body.get("by", ""), entry.name, clean(said), tuple(found(have, {"value": body["value"]})))
                ]
        return []

    def _model(self, name: str, item: Item, before: Item | None, have: Wanted) -> Ground | None:
        """What a model has said, and what of it stood in what it was given. Which of that moved it nobody can say."""
        value = item.body.get("value") or {}
        text = item.texts.get(value.get("answer", ""), "")
        hits = tuple(found(have, _read(text)))
        if not hits and not self._whole:
            return None
        ground = Ground("model", value.get("by", ""), name, clean(f"the model's own words: {_text(text)}"), hits)
        process = name.rpartition(":")[0]
        ground.decision = self._seal(process, item.seq)
        reader = self._books.reader(process)
        given = item.body.get("given") or (before.body.get("given") if before else None) or {}
        for number, (address, one) in enumerate(asked_of(reader, given) if reader else (), 1):
            inside = tuple(found(have, _read(one)))
            if inside or self._whole:
                said = f"its input {number} ({address[:12]}): {_role(one)}"
                ground.grounds.append(Ground("text", "", f"{process}:{before.seq}" if before else name, clean(said), inside))
        return ground

    def _seal(self, process: str, seq: int) -> str:
        """The seal of a decision, by its record."""
        entries = self._books.of_request(process, self._trace.request)
        return next((one.name for one in entries if one.record.kind == "decision" and one.body["record"] == seq), "")

    # -- claims
    def _claim(self, process: str, name: str, item: Item, have: Wanted) -> Ground:
        """A conclusion, how it stands at Mai, what was ruled about it, and the records that its agent names for it."""
        body = item.body
        value = {"subject": body["subject"], body["attribute"]: body.get("value"), "why": body.get("why", "")}
        ground = Ground("claim", item.agent, name, clean(item.said), tuple(found(have, value)))
        ident, case = body.get("id", ""), ""
        for entry in self._books.of_request(self._mai, self._trace.request):
            if entry.record.kind == "claim.noted" and entry.body["claim"]["id"] == ident:
                case = entry.body["claim"].get("case", "") or case
        for entry in self._books.of_request(self._mai, case) if case else ():
            if entry.record.kind in ("case.ruled", "case.expired", "case.appealed"):
                ground.grounds.append(Ground("ruling", self._mai, entry.name, clean(summary(entry.record.kind, entry.body))))
        for one in body.get("found", ()):
            named = self._books.entry(f"{process}:{one['seq']}") if one.get("seq") else None
            said = f"{one['name']}: {summary(named.record.kind, named.body)}" if named else one["name"]
            hits = tuple(found(have, _unnamed(named.body))) if named else ()
            ground.grounds.append(Ground("named", item.agent, named.name if named else "", clean(said), hits))
        return ground


def figures_of(ground: Ground) -> Iterator[str]:
    """Numbers and dates of a sentence that stand in records from here on: not in what was made of those."""
    if ground.what not in MADE:
        yield from (one.said for one in ground.found if one.how != "word")
    for below in ground.grounds:
        yield from figures_of(below)


def _passes_on(above: Body, below: Body) -> bool:
    """Is one end of a task no more than that of the one below it? Under a contract the text stays behind."""
    for name in ("state", "value", "reason"):
        if above.get(name) != below.get(name):
            return False
    return above.get("text", "") == below.get("text", "") or (not above.get("text") and bool(above.get("value")))


def _unnamed(body: Body) -> Body:
    """What a record says, without what it is called by."""
    return {key: one for key, one in body.items() if key not in NAMES}


def _correction(body: Body) -> Body:
    return {"correction": body["correction"]} if body.get("correction") else {}


def _read(text: str) -> Any:
    """A text of a model, as far as it is JSON: its own answer may be JSON in JSON."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    if isinstance(value, dict):
        return {name: _read(one) if isinstance(one, str) and one[:1] in ("{", "[") else one for name, one in value.items()}
    return value


def _text(answer: str) -> str:
    try:
        return msgspec.json.decode(answer, type=Said).text
    except msgspec.MsgspecError:
        return answer


def _role(message: str) -> str:
    value = _read(message)
    return f"{value.get('role', 'a list or a schema')}: {value.get('content', '')}" if isinstance(value, dict) else message
