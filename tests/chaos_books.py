"""The outside ledger of the chaos campaign, and what has to be true of it and of the journals when all is at rest.

Each line is one call of a tool: its key, the tool, what it was called with. The bank knows the keys of idempotent calls and
carries each out once; every other call it carries out as often as it comes.
"""

import json
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from mai.sandbox.bounds import Bounds
from mai.sandbox.ledger import body_of, connect, read
from mai.sandbox.place import Place
from tests.chaos_askers import ACCOUNTS, Askers
from tests.chaos_world import DEPARTMENTS, EFFECTS, MAI, UNDO_EFFECTS

ALL = EFFECTS | UNDO_EFFECTS
OPENING = 1_000_000  # on each account


class Call(NamedTuple):
    """A line of the outside ledger."""

    key: str
    tool: str
    account: int
    amount: int
    ref: int


def calls(bank: Path) -> list[Call]:
    """All calls, in their order."""
    lines = [line.split(" ", 2) for line in bank.read_text().splitlines()]
    return [Call(key, tool, **json.loads(given)) for key, tool, given in lines]


def carried_out(made: list[Call]) -> list[Call]:
    """What the bank did: an idempotent call once for its key, every other each time."""
    seen, done = set[str](), []
    for call in made:
        if ALL[call.tool] != "idempotent" or call.key not in seen:
            done.append(call)
        seen.add(call.key)
    return done


class Effect:
    """What a department's journal says of one effect."""

    def __init__(self) -> None:
        self.intents, self.unknown, self.tool, self.request = 0, 0, "", ""
        self.outcome: dict[str, Any] | None = None
        self.resolved: bool | None = None


def journal(place: Place, process: str, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
    """Kind and body of the records of these kinds."""
    with closing(connect(place.ledger(process), write=False)) as db:
        return [(record.kind, json.loads(body_of(db, record))) for record in read(db, Bounds(kinds=frozenset(kinds)))]


def effects(place: Place) -> dict[str, Effect]:
    """Key -> what the journals say of it."""
    found: dict[str, Effect] = defaultdict(Effect)
    outcomes = ("effect.unknown", "effect.resolved", "step", "undo.unknown", "undo.done")
    for process in DEPARTMENTS:
        for kind, body in journal(place, process, "effect.intent", "undo.intent", *outcomes):
            key = body.get("key") or f"{body['task']}/{body['n']}"
            if kind.endswith(".intent"):
                found[key].intents += 1
                found[key].tool, found[key].request = body["tool"], body["request"]
            elif kind.endswith(".unknown"):
                found[key].unknown += 1
            elif kind == "effect.resolved":
                found[key].resolved = body["happened"]
            elif key in found:
                found[key].outcome = body
    return found


def net(done: list[Call]) -> list[tuple[int, int]]:
    """What of these stayed: account and amount, without what was undone."""
    undone = {call.key.removesuffix("!") for call in done if call.tool in UNDO_EFFECTS}
    return sorted((call.account, call.amount) for call in done if call.tool in EFFECTS and call.key not in undone)


class Audit:
    """All that is found at rest, in sentences; and the figures of the report."""

    def __init__(self, place: Place, bank: Path, askers: Askers) -> None:
        self.faults: list[str] = []
        self.askers = askers
        self.made = calls(bank)
        self.done = carried_out(self.made)
        self.effects = effects(place)
        self.doubts = sum(effect.unknown for effect in self.effects.values())
        self.states: Counter[str] = Counter()
        self._requests(place)
        self._keys()
        self._money()

    def _requests(self, place: Place) -> None:
        """Each request was accepted once, ended once, and its asker was told what stands in Mai's journal."""
        accepted = Counter(body["request"] for _, body in journal(place, MAI, "request.accepted"))
        ended = journal(place, MAI, "request.ended")
        count = Counter(body["request"] for _, body in ended)
        self.faults += [f"{request} was accepted {n} times" for request, n in accepted.items() if n != 1]
        self.faults += [f"{request} ended {n} times" for request, n in count.items() if n != 1]
        self.faults += [f"{request} was accepted and has not ended" for request in accepted.keys() - count.keys()]
        self.faults += [f"{request} was answered and is not on record" for request in self.askers.answers.keys() - count.keys()]
        for _, body in ended:
            self.states[body["state"]] += 1
            told = self.askers.answers.get(body["request"])
            if told is None or (told["state"], told["answer"]) != (body["state"], body["answer"]):
                self.faults.append(f"{body['request']} ended {body['state']}, its asker was told {told}")

    def _keys(self) -> None:
        """No key was carried out twice; none without its intent; each intent has the outcome that fits."""
        happened = Counter(call.key for call in self.done)
        self.faults += [f"the effect {key} happened {n} times" for key, n in happened.items() if n > 1]
        self.faults += [f"the effect {key} happened without an intent" for key in happened.keys() - self.effects.keys()]
        for key, effect in self.effects.items():
            outcome, n = effect.outcome, happened[key]
            refused = outcome.get("refused", "") if outcome else ""
            if outcome is None:
                if not effect.unknown:
                    self.faults.append(f"the effect {key} ({effect.tool}) has no outcome on record")
            elif not refused and n != 1:
                self.faults.append(f"the effect {key} ({effect.tool}) is on record as done and happened {n} times")
            elif refused and n and not effect.unknown and ALL[effect.tool] != "idempotent":
                self.faults.append(f"the effect {key} ({effect.tool}) is on record as {refused!r} and happened")

    def _money(self) -> None:
        """Who was told that a transfer is done has it once; the rest of the money lies where the journals say that it may."""
        legs: dict[int, list[Call]] = defaultdict(list)
        for call in self.done:
            legs[call.ref].append(call)
        balances = dict.fromkeys(range(ACCOUNTS), OPENING)
        for call in self.done:
            balances[call.account] += call.amount
        self.under_way, unsure = 0, {effect.request for effect in self.effects.values() if effect.unknown}
        for request, one in self.askers.transfers.items():
            told = self.askers.answers.get(request, {})
            state = told.get("state")
            moved = net(legs[one.ref])
            whole = sorted([(one.source, -one.amount), (one.target, one.amount)])
            if state == "answered" and moved != whole:
                self.faults.append(f"{request} was answered, the bank did {moved} instead of {whole}")
            elif any(leg not in whole for leg in moved):
                self.faults.append(f"{request} was not answered ({state}), the bank did {moved}")
            elif moved and "cancelled by" in str(told.get("answer")) and request not in unsure:
                self.faults.append(f"{request} was cancelled, nothing of it is in doubt, and of it stayed {moved}")
            self.under_way -= sum(amount for _, amount in moved)
        if sum(balances.values()) + self.under_way != ACCOUNTS * OPENING:
            self.faults.append(f"the accounts hold {sum(balances.values())}, {self.under_way} are under way: no sum")
