"""What must hold when a simulated world has come to rest: looked up in the journals, in the outside book and with the clients."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mai.agents import events
from mai.agents.channels import key_of
from mai.agents.decider import Decider
from mai.agents.department import DepartmentDecider
from mai.agents.guard_scope import Guards
from mai.agents.sealing import Sealed
from mai.agents.texts import PARCEL
from mai.daemon.examination import Examination
from mai.daemon.invariants import Fact
from mai.daemon.mai import MaiDecider
from mai.daemon.replaying import Replays
from mai.sandbox import words
from mai.sandbox.archive import Archive
from mai.sandbox.bounds import ALL, bounds
from mai.sandbox.ledger import GENESIS, Record, blob_of, body_of, digest_of, read
from tests import sim_company, sim_judged, sim_letters
from tests.realm_shifts import Shifts
from tests.sim_lives import MAI, Violation

if TYPE_CHECKING:
    from tests.sim_world import World

LATE_MS = 3000  # what has expired is gone with the next heartbeat at the latest
Facts = dict[str, list[tuple[Record, dict[str, Any]]]]  # by process: each record with its body


def check(world: "World") -> int:
    """All of it; how many records that were. Raises Violation."""
    journals = {name: list(Archive(world.disk.anchors[name], world.place.home(name)).whole(ALL)) for name in world.names}
    facts: Facts = {
        name: [(record, msgspec.json.decode(record.body)) for record in records] for name, records in journals.items()
    }
    for wrong in (
        *world.clients.wrong,
        *world.person.wrong,
        *world.letters.wrong,
        *chains(journals),
        *states(world, journals),
        *links(world, facts),
        *verdicts(facts[MAI]),
        *tasks(facts),
        *requests(world, facts[MAI]),
        *effects(world, facts),
        *answers(world, facts),
        *approved(world, facts),
        *sim_judged.check(facts),
        *sim_letters.check(world, facts[MAI]),
        *allowed(world),
        *limits(facts),
        *shifts(journals),
        *withheld(facts),
        *deeply(journals),
        *replayed(world, journals),
    ):
        raise Violation(wrong)
    return sum(len(records) for records in journals.values())


def deeply(journals: dict[str, list[Record]]) -> Iterator[str]:
    """All that `mai verify --deep` knows, of journals at rest."""
    examination = Examination()
    facts = {
        name: [
            Fact(name, record.seq, events.decode(record.kind, record.body), record.at_ns, record.boot, record.term, record.kind)
            for record in records
        ]
        for name, records in journals.items()
    }
    for name, told in facts.items():
        for fact in told:
            examination.journal(name).take(fact)
    examination.fix()
    for finding in examination.verdict(at_rest=True).findings:
        yield f"verify --deep: {finding}"


class Carried:
    """A journal and its blobs, as a replay reads them."""

    def __init__(self, process: str, db: Any, records: list[Record], home: Path) -> None:
        self.process, self._db, self._records = process, db, records
        self._archive = Archive(db, home)

    def record(self, seq: int) -> Record | None:
        """The record of this number."""
        return self._records[seq - 1] if 0 < seq <= len(self._records) else None

    def removed(self, seq: int) -> str:
        """Nothing is."""
        return ""

    def of_request(self, request: str) -> Iterator[Record]:
        """All of a request."""
        return (record for record in self._records if record.request == request)

    def records(self, where: str, *given: object) -> list[Record]:
        """The next records for which some SQL holds."""
        return list(read(self._db, bounds(where, given)[0]))

    def body(self, record: Record, *, trust: bool = False) -> str:
        """Its JSON."""
        return body_of(self._db, record, trust=trust)

    def blob(self, address: str) -> bytes | None:
        """What lies there."""
        found = blob_of(self._db, address, trust=True)
        return self._archive.blob(address) if found is None else found


def replayed(world: "World", journals: dict[str, list[Record]]) -> Iterator[str]:
    """Each decision rests on what was sealed with it, whoever died meanwhile."""
    for name, records in journals.items():
        replays = Replays(Carried(name, world.disk.anchors[name], records, world.place.home(name)))
        for record in records:
            if record.kind == Sealed.kind:
                found = replays.replay(msgspec.json.decode(record.body, type=Sealed), record.seq, whole=False)
                if found.verdict != "verified":
                    yield f"{found.decision} {found.what}: {found.faults}"


def chains(journals: dict[str, list[Record]]) -> Iterator[str]:
    """Contiguous and chained."""
    for name, records in journals.items():
        head = GENESIS
        for number, record in enumerate(records, 1):
            if record.seq != number or record.prev != head or digest_of(record) != record.digest:
                yield f"{name}: record {number} does not follow from the one before it"
            head = record.digest


def states(world: "World", journals: dict[str, list[Record]]) -> Iterator[str]:
    """The state is the fold of the journal, and no work is left in it."""
    for name, records in journals.items():
        decider, folded = fresh(name), dict[tuple[str, str], Any]()
        for record in records:
            decider.evolve(events.decode(record.kind, record.body), record.seq)
        for row, value in decider.state.changes.items():
            if value is not None:
                folded[row] = msgspec.json.decode(msgspec.json.encode(value))
        rows = world.disk.anchors[name].execute("SELECT noun, key, value FROM state WHERE noun<>?", (PARCEL,)).fetchall()
        if words.due(rows) != words.held(world.disk.anchors[name]):
            yield f"{name}: memory is not found by the words that it has"
        stored = {(noun, key): msgspec.json.decode(value) for noun, key, value in rows}
        for row in sorted(stored.keys() | folded.keys()):
            if stored.get(row) != folded.get(row):
                yield f"{name}: the state has {stored.get(row)} for {row}, its journal gives {folded.get(row)}"
            if row[0] == "carry" and stored.get(row, {}).get("due_ms"):
                continue  # it waits for its next try, for minutes or hours
            if row[0] in (
                "task",
                "step",
                "request",
                "passage",
                "errand",
                "doubt",
                "undo",
                "approval",
                "ask",
                "carry",
                "spool",
                "escalation",
            ):
                yield f"{name}: {row} is still open"
            if row[0] == "fading" and stored[row]["at_ms"] < world.now_ns // 1_000_000 - LATE_MS:
                yield f"{name}: {row} has expired, and is still there"


def fresh(name: str) -> Decider:
    """A process's own decider, knowing nothing."""
    part = sim_company.part(name)
    table = sim_company.table(part.organisation)
    if name == MAI:
        return MaiDecider(part, table, lambda *_: "")
    return DepartmentDecider(part, table, lambda *_: [], lambda *_: "")


def links(world: "World", facts: Facts) -> Iterator[str]:
    """Both ends of each direction have the same messages, numbered from 1 without a gap, each once, all acknowledged."""
    for name in world.names[1:]:
        for sender, receiver in ((name, MAI), (MAI, name)):
            sent = [(b["lseq"], b["id"], b["body"]) for r, b in facts[sender] if r.kind == "message.sent" and b["to"] == receiver]
            took = [
                (b["lseq"], b.get("id", ""), b["body"])
                for r, b in facts[receiver]
                if r.kind == "message.received" and b["sender"] == sender
            ]
            if [one[0] for one in sent] != list(range(1, len(sent) + 1)):
                yield f"{sender} numbers its messages to {receiver} {[one[0] for one in sent]}"
            if [one for one, other in zip(sent, took, strict=False) if one != other and not _cut(other[2])] or len(sent) != len(
                took
            ):
                yield f"{sender} has sent {len(sent)} messages, {receiver} has received {len(took)}, or others"
            if (twice := Counter(one[1] for one in sent).most_common(1)) and twice[0][1] > 1:
                yield f"{sender} has sent {twice[0][0]} {twice[0][1]} times"
            row = world.committed(sender, "SELECT value FROM state WHERE noun='link' AND key=?", receiver)
            link = msgspec.json.decode(row) if row else {"sent": 0, "acked": 0, "oldest": 0}
            if (link["sent"], link["acked"], link["oldest"]) != (len(sent), len(sent), 0):
                yield f"{sender} knows of its link to {receiver} {link}, it has sent {len(sent)}"


def withheld(facts: Facts) -> Iterator[str]:
    """What a department withholds stands in no journal but its own, and is on record there with its rule."""
    for name, records in facts.items():
        for record, body in records:
            if name != "acme/stock" and "7654321" in str(body):
                yield f"{name} has in record {record.seq} ({record.kind}) what stock withholds"
    breached = Counter(r.task for r, b in facts[MAI] if r.kind == "reply.breached")
    refused = {r.task for r, b in facts[MAI] if r.kind == "contract.ended" and "withholds its reply" in b.get("reason", "")}
    again = Counter(r.task for r, b in facts[MAI] if r.kind == "reply.breached" and b.get("again"))
    if again and again.most_common(1)[0][1] > 1:
        yield f"the reply to {again.most_common(1)[0][0]} has come back twice"
    for task in refused:
        if not breached[task]:
            yield f"{task} was refused, and nothing says why"


def _cut(body: dict[str, Any]) -> bool:
    """Is it an answer that was written without what may not leave its department?"""
    return bool(body.get("breach")) and not body["value"] and not body["text"]


def verdicts(mai: list[tuple[Record, dict[str, Any]]]) -> Iterator[str]:
    """What departments ask of one another has one verdict each, and one end if it was allowed."""
    asked = Counter(b["body"]["task"] for r, b in mai if r.kind == "message.received" and b["body"]["is"] == "task")
    checked = Counter(r.task for r, b in mai if r.kind == "contract.checked")
    allowed = Counter(r.task for r, b in mai if r.kind == "contract.checked" and b["allowed"])
    ended = Counter(r.task for r, b in mai if r.kind == "contract.ended")
    if asked != checked:
        yield f"asked across departments {dict(asked - checked)}, judged {dict(checked - asked)}"
    if allowed != ended:
        yield f"allowed and not ended: {dict(allowed - ended)}, ended and not allowed: {dict(ended - allowed)}"
    back = Counter(b["body"]["task"] for r, b in mai if r.kind == "message.sent" and b["body"]["is"] == "result")
    if back != checked:
        yield f"an ask is answered {dict(back - checked)}, another is not {dict(checked - back)}"
    told = Counter(
        b["body"]["id"]
        for r, b in mai
        if r.kind == "message.received" and b["body"]["is"] == "remember" and not 0 < b["deadline_ms"] <= r.at_ns // 1_000_000
    )  # what is late is refused
    kept = [r for r, b in mai if r.kind == "memory.written"]
    if kept and len(kept) != sum(told.values()):
        yield f"{sum(told.values())} values were to be remembered, {len(kept)} were"


def tasks(facts: Facts) -> Iterator[str]:
    """Each task has one beginning and one end, nothing follows it, and what is late is not begun."""
    for name, records in facts.items():
        begun, ended = Counter[str](), dict[str, int]()
        for record, body in records:
            if record.kind == "hop":
                begun[record.task] += 1
                if record.at_ns // 1_000_000 >= body["deadline_ms"] and not body.get("parent"):
                    yield f"{name} begins {record.task} after its deadline"
            elif record.kind == "task.ended":
                if record.task in ended:
                    yield f"{name} ends {record.task} twice"
                ended[record.task] = record.seq
            elif record.kind in ("step", "effect.intent", "step.asked", "task.begun") and record.task in ended:
                yield f"{name}: {record.kind} of {record.task} after its end"
        if begun != Counter(ended.keys()):
            yield f"{name}: tasks begun {dict(begun - Counter(ended.keys()))} have no end, or others no beginning"
        steps = Counter((record.task, body["n"]) for record, body in records if record.kind == "step")
        if steps and (most := steps.most_common(1)[0])[1] > 1:
            yield f"{name}: step {most[0]} has {most[1]} outcomes"


def requests(world: "World", mai: list[tuple[Record, dict[str, Any]]]) -> Iterator[str]:
    """Accepted once, ended once, and the asker was told what is on record."""
    accepted = Counter(r.request for r, _ in mai if r.kind == "request.accepted")
    ended = Counter(r.request for r, _ in mai if r.kind == "request.ended")
    for wish in world.clients.wishes:
        if accepted[wish.request] != 1 or ended[wish.request] != 1:
            yield f"{wish.request} was accepted {accepted[wish.request]} times and ended {ended[wish.request]} times"
        said = next((b for r, b in mai if r.kind == "request.ended" and r.request == wish.request), None)
        if said and wish.answer and (said["answer"], said["state"]) != (wish.answer["answer"], wish.answer["state"]):
            yield f"{wish.request} ended {said['state']!r}, its asker was told {wish.answer['state']!r}"


def effects(world: "World", facts: Facts) -> Iterator[str]:
    """Nothing is done twice, nothing without an intent, and what the record says of it is true; the sum of all accounts holds."""
    bank, kinds, outcomes = world.bank, dict[str, str](), dict[str, str]()
    if not bank.whole():
        yield f"the accounts do not add up: {bank.accounts}"
    for records in facts.values():
        _outcomes(records, kinds, outcomes)
    for key, times in bank.moved.items():
        if times > 1:
            yield f"{key} moved money {times} times"
        if key not in outcomes:
            yield f"{key} moved money, and no intent is on record"
        elif outcomes[key] == "not done" and kinds[key] != "idempotent":
            yield f"{key} is on record as not done, and moved money {times} times"
    for key, how in outcomes.items():
        if how == "done" and not bank.moved[key_of(key)]:
            yield f"{key} is on record as done, and nothing was moved"
        if not how:
            yield f"the effect {key} has no outcome"


def approved(world: "World", facts: Facts) -> Iterator[str]:
    """Whatever the journals say: no money has moved for which users, or the board, had to be asked, unless they said so."""
    boards = {
        f"{r.task}/{b['n']}"
        for r, b in facts["acme/finance"]
        if r.kind == "approval.decided" and b["approved"] and b["who"] == "board"
    }
    for key, amount in world.bank.amounts.items():
        users = world.person.approved[key] - {0}
        if amount in (*sim_company.BY_PERSON, *sim_company.BY_TWO) and len(users) < 1 + (amount in sim_company.BY_TWO):
            yield f"{key} has moved {amount}, and {len(users)} users have approved it"
        if amount in sim_company.BY_BOARD and not users and key not in boards:
            yield f"{key} has moved {amount}, and neither the board nor a user has approved it"


def allowed(world: "World") -> Iterator[str]:
    """Whatever the journals say: no money has moved that a policy denies."""
    for key, amount in world.bank.amounts.items():
        if amount in (*sim_company.NEVER, *sim_company.CLOSED):
            yield f"{key} has moved {amount}, which is denied"


def limits(facts: Facts) -> Iterator[str]:
    """Whatever the journals say of stops: nothing goes round, nothing takes more than a day or a request has."""
    for name, records in facts.items():
        hops = {record.task: body for record, body in records if record.kind == "hop"}
        for task, hop in hops.items():
            if not hop.get("up") and (count := _same(hops, hop)) >= Guards().same:
                yield f"{name} hands {task} to {hop['agent']}, time {count} with the same in one chain"
    taken = sum(record.kind == "hop" and body["sender"] == "mai" for record, body in facts["acme/stock"])
    if taken > sim_company.DAY_TASKS:
        yield f"the stock has taken {taken} tasks of {sim_company.DAY_TASKS} in a day"
    asks = Counter(r.request for r, b in facts[MAI] if r.kind == "contract.checked" and b["allowed"])
    if asks and (most := asks.most_common(1)[0])[1] > sim_company.ASKS:
        yield f"{most[0]} was asked {most[1]} contracts of {sim_company.ASKS} for"


def _same(hops: dict[str, dict[str, Any]], hop: dict[str, Any]) -> int:
    """How often its agent has this very task along its chain."""
    count, one = 0, hop
    while one:
        count += not one.get("up") and all(one.get(key) == hop.get(key) for key in ("agent", "contract", "text", "input"))
        one = hops.get(one["parent"], {})
    return count


def shifts(journals: dict[str, list[Record]]) -> Iterator[str]:
    """Nobody gets a task who is off, and a task changes hands once, before anything was changed for it (realm_shifts.py)."""
    for name in ("acme/stock",):
        told = Shifts(sim_company.company())
        for record in journals[name]:
            wrong = told.look(name, events.decode(record.kind, record.body), record.at_ns // 1_000_000)
            if wrong:
                yield f"{name}, record {record.seq}: {wrong}"


def _outcomes(records: list[tuple[Record, dict[str, Any]]], kinds: dict[str, str], outcomes: dict[str, str]) -> None:
    """What the record says of each effect: done, not done, unknown; "" if nothing."""
    for record, body in records:
        key = f"{record.task}/{body.get('n', '')}"
        match record.kind:
            case "effect.intent":
                kinds[key], outcomes[key] = body["effect"], ""
            case "effect.unknown":
                outcomes[key] = "unknown"
            case "effect.resolved":
                outcomes[key] = "done" if body["happened"] else "not done"
            case "step" if key in kinds and outcomes[key] != "unknown":
                outcomes[key] = "not done" if body.get("refused") else "done"


def answers(world: "World", facts: Facts) -> Iterator[str]:
    """Who was told that his order was taken has paid for it once, and has his goods; nobody pays more than once."""
    for wish in world.clients.wishes:
        moved = {key: n for key, n in world.bank.moved.items() if key.split("/")[0] == wish.request}
        paid = sum(world.bank.amounts[key] * n for key, n in moved.items() if world.bank.amounts[key] >= 100)
        goods = sum(n for key, n in moved.items() if world.bank.amounts[key] < 100)
        due = sum(int(word) for word in re.findall(r"\d+", wish.text))
        if paid > due or goods > wish.text.count("order"):
            yield f"{wish.request} ({wish.text}) has paid {paid} and was given goods {goods} times: {moved}"
        for part in wish.answer["parts"] if wish.answer else ():
            free = "by look" in part["text"] or "by poison" in part["text"]
            if part["state"] == "answered" and not free and paid < part["value"].get("paid", 0) >= 100:
                yield f"{wish.request} is answered with {part['value']}, and {paid} was moved"
