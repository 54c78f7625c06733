"""What judgement promises, looked up in the journals of a world by other means than the invariants: from their JSON alone.

No effect above a limit without its approval on record; no approval used twice, or for another call; no answer to a client rests
on a claim that has lost.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from mai.daemon.desk import first
from tests import sim_company

MAI = "acme/mai"
Facts = dict[str, list[tuple[Any, dict[str, Any]]]]
PERSONS = {**dict.fromkeys(sim_company.BY_PERSON, 1), **dict.fromkeys(sim_company.BY_TWO, 2)}  # cents -> users that it takes


def check(facts: Facts) -> Iterator[str]:
    """All of it."""
    yield from effects(facts)
    yield from asked_first(facts)
    yield from approvals(facts)
    yield from claims(facts)


# -- no effect above a limit without its approval on record
def effects(facts: Facts) -> Iterator[str]:
    """Each intent above a limit has one that was given before it: by the board, or by as many users as Mai has heard."""
    users: dict[str, set[int]] = {}
    for _, body in facts[MAI]:
        if "uid" in body and body.get("approved") and "approval" in body:
            users.setdefault(body["approval"], set()).add(body["uid"])
    for name, records in facts.items():
        given: dict[tuple[str, int], dict[str, Any]] = {}  # step -> the decision that lets it be called
        for record, body in records:
            if record.kind == "approval.decided" and body["approved"] and not body.get("late"):
                given[record.task, body["n"]] = body
            if record.kind == "effect.intent" and (wants := _limit(name, body)):
                found = given.get((record.task, body["n"]))
                if found is None:
                    yield f"{name}: record {record.seq} is the intent of {body['given']}, and nobody has approved it"
                elif found["who"] == "person" and len(users.get(found["id"], set()) - {0}) + len(_boards(found)) < wants:
                    yield f"{name}: record {record.seq} is the intent of {body['given']}, by fewer than {wants}"


def _limit(process: str, body: dict[str, Any]) -> int:
    """How many have to approve it; 0: nobody."""
    given = body["given"]["input"]
    if process == "acme/stock":
        return int(given.get("items", 0) >= 7)
    cents = given.get("cents", 0)
    return PERSONS.get(cents, int(cents in sim_company.BY_BOARD)) if process == "acme/finance" else 0


def _boards(decided: dict[str, Any]) -> list[str]:
    return [name for name in decided["by"] if name.endswith("/board")]


def asked_first(facts: Facts) -> Iterator[str]:
    """Whatever the invariants say: no charge that the client asks for goes out without the approval that it needs."""
    waits = (*sim_company.ASK_PERSON, *sim_company.ASK_TWO, *sim_company.ASK_BOARD)
    used = set[str]()
    for record, body in facts[MAI]:
        if record.kind == "approval.used":
            used.add(record.task)
        one = (body.get("body") or {}) if record.kind == "message.sent" else {}
        charge = one.get("is") == "task" and (one["asker"], one["contract"]) == ("acme/client", "finance.charge")
        if charge and one["input"]["cents"] in waits and first(one["task"]) not in used:
            yield f"record {record.seq} sends {one['task']}, and nobody has approved it"


# -- no approval used twice or for another call
def approvals(facts: Facts) -> Iterator[str]:
    """Each is asked for once, decided once, used once, by the step that it was asked for, with just that input."""
    for name, records in facts.items():
        asked: dict[str, tuple[Any, dict[str, Any]]] = {}
        times: Counter[tuple[str, str]] = Counter()
        for record, body in records:
            if record.kind not in ("approval.asked", "approval.decided", "approval.used") or body.get("late"):
                continue
            ident = body["id"]
            times[record.kind, ident] += 1
            if record.kind == "approval.asked":
                asked[ident] = record, body
            elif ident not in asked:
                yield f"{name}: record {record.seq} is about the approval {ident[:16]}, for which nobody has asked"
            elif (record.task, body["n"]) != (asked[ident][0].task, asked[ident][1]["n"]):
                yield f"{name}: record {record.seq} uses the approval {ident[:16]} for another step"
        for (kind, ident), count in times.items():
            if count > 1:
                yield f"{name}: {count} records {kind} of the approval {ident[:16]}"
        yield from _inputs(name, records, asked)


def _inputs(name: str, records: list[tuple[Any, dict[str, Any]]], asked: dict[str, Any]) -> Iterator[str]:
    for record, body in records:
        if record.kind == "effect.intent" and body.get("approval"):
            one = asked.get(body["approval"], (None, {}))[1]
            digest = hashlib.sha256(msgspec.json.encode(body["given"], order="deterministic")).hexdigest()
            if one.get("arguments") != digest or one.get("n") != body["n"]:
                yield f"{name}: record {record.seq} calls something else than its approval is for"


# -- no answer to a client rests on a lost claim
class Told:
    """How the claims of a world stand, by the records of its Mai so far."""

    def __init__(self) -> None:
        self.tasks: dict[str, str] = {}  # claim -> the task that it was made for
        self.digests: dict[str, str] = {}
        self.state: dict[str, str] = {}
        self.cases: dict[str, set[str]] = {}

    def hear(self, kind: str, body: dict[str, Any]) -> None:
        """One record."""
        if kind == "claim.noted":
            one = body["claim"]
            self.tasks[one["id"]], self.digests[one["id"]] = body["task"], one["digest"]
            self.state[one["id"]] = one.get("state", "standing")
            if one.get("case"):
                self.cases.setdefault(one["case"], set()).add(one["id"])
        elif kind == "case.opened":
            self._set(body["request"], body["claims"], "open")
        elif kind in ("case.reopened", "case.appealed"):
            self._set(body["request"], (), "open")
        elif kind == "case.ruled":
            for ident in self.cases.get(body["request"], ()):
                self.state[ident] = "won" if self.digests[ident] == body["ruling"]["digest"] else "lost"
        elif (
            (kind in ("answer.returned", "reply.breached") and body.get("again"))
            or (kind == "contract.ended" and body["state"] not in ("answered", "refused"))
            or kind == "cover.given"
        ):
            self._anew(body["task"])

    def _set(self, case: str, claims: Any, state: str) -> None:
        self.cases.setdefault(case, set()).update(claims)
        for ident in self.cases[case]:
            self.state[ident] = state

    def _anew(self, task: str) -> None:
        """What was done for this task so far counts no more."""
        for ident in [ident for ident, of in self.tasks.items() if _under(of, task)]:
            del self.tasks[ident]

    def unsound(self, task: str) -> list[str]:
        """Claims that the answer to a task rests on, and must not."""
        return [ident for ident, of in self.tasks.items() if _under(of, task) and self.state[ident] in ("lost", "open")]


def _under(task: str, above: str) -> bool:
    return task == above or (task.startswith(above) and not task[len(above)].isdigit())


def claims(facts: Facts) -> Iterator[str]:
    """What is told as a department's answer, or as its refusal, rests on no claim that is open or has lost just then."""
    told = Told()
    for record, body in facts[MAI]:
        if record.kind == "request.ended":
            for number, part in enumerate(body["parts"], 1):
                if part["state"] in ("answered", "refused") and part["by"] not in ("", MAI):
                    for ident in told.unsound(f"{record.request}/{number}"):
                        yield f"record {record.seq} tells {part['answer']!r}, which rests on {ident}: {told.state[ident]}"
        told.hear(record.kind, body)
