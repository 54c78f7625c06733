"""What may arrive in a realm, computed from its organisation alone and by other means than the production code has.

`look` sees each record, `arrives` each message before it is taken, `answered` and `tries` what came of a message and of an
attempt: what was forbidden has to be on record as refused. Each raises Violation.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from mai.agents.body import Fields
from mai.agents.events import Event, Hopped, HopRefused, MessageRefused, Received, ReplyBreached, Sent, Stepped
from mai.agents.inputs import Call, Report
from mai.agents.memory import MemoryRefused
from mai.agents.memory_messages import Recall, Recalled, Remember
from mai.agents.messages import Numbered, Result, Task
from mai.agents.organisation import Contract, Department, Organisation
from mai.agents.state import Work
from mai.daemon.records import ContractChecked, ContractEnded, PartEnded, RequestEnded
from tests.realm_budgets import Budgets
from tests.realm_judged import Judged
from tests.realm_loops import Loops
from tests.realm_organisations import secret
from tests.realm_shifts import Shifts
from tests.test_table import ALLOWED

MAI = "acme/mai"


class Violation(Exception):
    """Something has arrived that may not, or was refused without a record."""


class Law:
    """The law of one realm, and what has been seen so far."""

    def __init__(self, organisation: Organisation, hostile: set[str]) -> None:
        self.hostile = hostile
        self.departments = {one.name: one for one in organisation.departments}
        self.contracts = {
            f"{name}.{one.name}": one for name, department in self.departments.items() for one in department.contracts
        }
        self.secrets = {name: str(secret(name)) for name in self.departments}
        self.open: dict[str, tuple[str, str, str]] = {}  # Mai's tasks by their id now: holder, contract, asker
        self.now: dict[str, str] = {}  # first id -> id now
        self.passages: dict[str, str] = {}  # first id -> contract
        self.asked: dict[tuple[str, str], tuple[str, str, str]] = {}  # id -> call, agent and key of memory
        self._before: dict[str, tuple[str, str, str]] = {}
        self.inputs: dict[str, Fields] = {}  # of Mai's tasks
        self.given: dict[str, set[Any]] = {}  # request -> subjects that were spoken of
        self.shifts = Shifts(organisation)
        self.loops, self.budgets, self.judged = Loops(organisation), Budgets(organisation, hostile), Judged(organisation, hostile)

    # -- each record
    def look(self, process: str, event: Event, now_ms: int = 0) -> None:
        """No secret of another in it; hops as the ranks allow; what Mai has open."""
        own = process.partition("/")[2]
        for name, number in self.secrets.items():
            if name != own and number in json.dumps(msgspec.to_builtins(event)) and not self._may_hold(process, event, name):
                raise Violation(f"{process} has the secret of {name} in a {event.kind}: {event}")
        looked = (law.look(process, event, now_ms) for law in (self.loops, self.budgets, self.shifts, self.judged))
        if why := next(filter(None, looked), ""):
            raise Violation(f"{process}: {why}: {event}")
        if isinstance(event, Hopped):
            ranks = {"mai": "mai", **{agent.name: agent.rank for agent in self.departments[own].agents}}
            asks_board = bool(event.approves) and ranks.get(event.agent) == "board" != ranks.get(event.sender)
            if not asks_board and (ranks.get(event.sender), ranks.get(event.agent)) not in ALLOWED:
                raise Violation(f"{process}: {event.sender} hands {event.task} to {event.agent}")
        if process == MAI:
            self._look_at_mai(event)

    def _may_hold(self, process: str, event: Event, name: str) -> bool:
        """What a hostile department asks or wants remembered Mai has to write down, to refuse it."""
        asks = isinstance(event, Received) and isinstance(event.body, Task | Remember)
        return process == MAI and name in self.hostile and asks

    def _look_at_mai(self, event: Event) -> None:
        match event:
            case Sent(body=Task() as task):
                first = re.sub(r"c\d+\Z", "", task.task)
                self.open.pop(self.now.get(first, ""), None)
                self.inputs[task.task] = task.input
                self.now[first], self.open[task.task] = task.task, (event.to, task.contract, task.asker)
                if ".m" in first:
                    self.passages[first] = task.contract
            case ContractEnded() | PartEnded():
                self.open.pop(self.now.pop(event.task, ""), None)
            case RequestEnded():
                for first in [first for first in self.now if first == f"{event.request}/1"]:
                    self.open.pop(self.now.pop(first), None)
            case _:
                pass

    # -- each message
    def arrives(self, sender: str, to: str, body: Numbered) -> None:
        """What Mai sends to a department is what that may have."""
        if sender != MAI:
            self._notes(sender, body)
            return
        name = to.partition("/")[2]
        match body:
            case Task():
                if why := "; ".join(self._wrong_task(name, body)):
                    raise Violation(f"{name} gets {body}: {why}")
                self._gives(body.request, body.input)
                self.given[body.request].add(int(body.text.rpartition(" ")[2]) if body.text.startswith("things of") else 0)
            case Result():
                if why := "; ".join(self._wrong_reply(name, body)):
                    raise Violation(f"{name} gets {body}: {why}")
                self._gives(body.request, body.value)
            case Recalled():
                if (why := self._wrong_memory(to, body.id)) and (body.value is not None or not body.refused):
                    raise Violation(f"{name} gets {body}: {why}")

    def _gives(self, request: str, values: Fields) -> None:
        self.given.setdefault(request, set()).update(held for name, held in fields(values) if name == "who")

    def _notes(self, sender: str, body: Numbered) -> None:
        if isinstance(body, Recall | Remember):
            self.asked[sender, body.id] = (type(body).__name__, body.agent, body.key)

    def _wrong_task(self, name: str, task: Task) -> Iterator[str]:
        asking = task.asker.split("/")[1]
        if task.contract and task.contract.partition(".")[0] != name:
            yield "it is another department's contract"
        elif task.contract and asking not in self.contracts[task.contract].may_ask:
            yield f"{asking} may not ask for it"
        elif task.contract:
            yield from self._wrong_request(asking, self.contracts[task.contract], task)
        elif asking != "client":
            yield "there is no contract"

    def _wrong_request(self, asking: str, contract: Contract, task: Task) -> Iterator[str]:
        if not typed(contract.request, task.input):
            yield "it is not as the contract says"
        if asking != "client" and withheld(self.departments[asking], task.input):
            yield f"{asking} withholds some of it"
        told = self.departments[task.contract.partition(".")[0]].leaves.subjects
        if asking != "client" and contract.subject and told and f"who/{task.input.get('who')}" not in told:
            yield "nothing is told of this subject"
        if asking in contract.bound and task.input.get("who") not in self.given.get(task.request, ()):
            yield f"{asking} was not given this subject"

    def _wrong_reply(self, name: str, body: Result) -> Iterator[str]:
        contract = self.passages.get(body.task, "")
        if body.breach:
            yield "it says which rule was broken"
        if body.state != "answered":
            if body.value or body.text:
                yield "it holds values without an answer"
        elif not contract or body.task not in self.passages:
            yield "nobody has answered that"
        else:
            yield from self._wrong_answer(contract.partition(".")[0], contract, f"acme/{name}", body)

    def _wrong_answer(self, by: str, contract: str, asker: str, body: Result) -> Iterator[str]:
        """What is wrong with an answer of a department to somebody."""
        department, found = self.departments[by], self.contracts.get(contract)
        if found and not typed(found.reply, body.value):
            yield "it is not as the contract says"
        if withheld(department, body.value):
            yield f"{by} withholds some of it"
        if department.leaves.fields and {name for name, held in fields(body.value) if held != "table"} - set(
            department.leaves.fields
        ):
            top = set(body.value) - {one.partition(".")[0] for one in department.leaves.fields}
            if top:
                yield "it has fields that may not leave"
        if asker.split("/")[1] in self.departments and body.text not in self._texts(department, contract, body.text):
            yield "its text may not leave"

    def _texts(self, department: Department, contract: str, text: str) -> tuple[str, ...]:
        if department.shows == "result":
            return ("", text) if department.leaves.text else ("",)
        return ("",) if department.shows == "nothing" else ("", f"{contract} has answered")

    def _wrong_memory(self, to: str, ident: str) -> str:
        call, agent, key = self.asked.get((to, ident), ("", "", ""))
        return "" if self.admits(to, call, agent, key) else f"{agent} may not {call} {key}"

    def admits(self, peer: str, call: str, agent: str, key: str) -> bool:
        """May this agent read or write this key of the client's memory?"""
        name, _, own = agent.removeprefix("acme/").partition("/")
        department = self.departments.get(name)
        one = department.agent(own) if department else None
        if department is None or one is None or peer != f"acme/{name}":
            return False
        way = "read" if call.lower() == "recall" else "write"
        patterns = (*getattr(department.memory.client, way), *getattr(one.memory.client, way))
        return any(key == pattern or (pattern.endswith("*") and key.startswith(pattern[:-1])) for pattern in patterns)

    # -- each refusal
    def answered(self, to: str, body: Numbered, came: list[Event]) -> None:
        """What Mai had to refuse is on record as refused."""
        if to != MAI:
            return
        peer = came[0].sender if isinstance(came[0], Received) else ""
        match body:
            case Task():
                ended = [one for one in came if isinstance(one, ContractChecked)]
                asking = peer.partition("/")[2]
                wrong = asking not in getattr(self.contracts.get(body.contract), "may_ask", ()) or not body.asker.startswith(
                    f"{peer}/"
                )
                if wrong and ended and ended[0].allowed:
                    raise Violation(f"{body} of {peer} was let pass")
            case Result():
                self._refused(peer, body, came)
            case Recall() | Remember():
                kept = isinstance(body, Remember) and withheld(self.departments[peer.partition("/")[2]], body.value)
                wrong = kept or not self.admits(peer, type(body).__name__, body.agent, body.key)
                if wrong and not any(isinstance(one, MemoryRefused) for one in came):
                    raise Violation(f"{body} of {peer} is refused without a record, or is not")

    def _refused(self, peer: str, body: Result, came: list[Event]) -> None:
        held = self._before.get(body.task)
        if held is None:
            return
        holder, contract, asker = held
        if holder != peer and not any(isinstance(one, MessageRefused) for one in came):
            raise Violation(f"{peer} answers {body.task}, which {holder} has, without a record")
        wrong = list(self._wrong_answer(peer.partition("/")[2], contract, asker, body)) if body.state == "answered" else []
        if holder == peer and wrong and not any(isinstance(one, ReplyBreached) for one in came):
            raise Violation(f"{body} of {peer} does not keep to its scope, and that is not on record")

    def before(self) -> None:
        """Remember what is open before a message is taken."""
        self._before = dict(self.open)

    def tries(self, process: str, work: Work, given: Call | Report, came: list[Event]) -> None:
        """What an agent's code had to be refused is on record in its department."""
        refused = [
            one for one in came if isinstance(one, HopRefused | ReplyBreached) or (isinstance(one, Stepped) and one.refused)
        ]
        if isinstance(given, Report):
            self._reported(process.partition("/")[2], work, given, came)
        elif not refused and self.forbids(process, work.agent, given):
            raise Violation(f"{process}: {given} of {work.agent} is refused without a record, or is not")

    def forbids(self, process: str, agent: str, given: Call) -> bool:
        """May an agent's code not do this, by its rank, the contracts and its scopes?"""
        name = process.partition("/")[2]
        if given.call in ("ask", "hand"):
            if given.contract:
                return self._may_not_ask(name, given)
            ranks = {one.name: one.rank for one in self.departments[name].agents}
            return (ranks[agent], ranks.get(given.to)) not in ALLOWED or given.to == agent
        if given.call in ("escalate", "conclude"):
            return False
        kept = given.call == "remember" and withheld(self.departments[name], given.given["value"])
        return kept or not self.admits(process, given.call, f"{process}/{agent}", str(given.given["key"]))

    def _may_not_ask(self, name: str, given: Call) -> bool:
        contract = self.contracts.get(given.contract)
        if given.contract.startswith(f"{name}.") and contract is not None:
            return False  # it stays inside
        if contract is None or name not in contract.may_ask:
            return True
        return not typed(contract.request, given.given["input"]) or withheld(self.departments[name], given.given["input"])

    def _reported(self, name: str, work: Work, given: Report, came: list[Event]) -> None:
        if work.parent or work.approves or work.case:  # what a board says of those goes to Mai alone
            return
        result = Result(work.task, work.request, "answered", "", given.done.value, "", "", ())
        contract = work.contract if work.contract.startswith(f"{name}.") else ""
        if list(self._wrong_answer(name, contract, work.asker, result)) and not any(
            isinstance(one, ReplyBreached) for one in came
        ):
            raise Violation(f"{name}: {given.done} leaves without a record")

    def let_through(self, process: str, came: list[Event]) -> None:
        """What Mai has let through the receiver has found out, and put on record."""
        if not any(isinstance(one, ReplyBreached) for one in came):
            raise Violation(f"{process} takes in what Mai has let through")

    def spoken_of(self, task: str) -> Any:
        """The subject that a task was asked about; another number if it was about none."""
        return self.inputs.get(task, {}).get("who", 101)

    def under(self, task: str) -> tuple[Contract | None, str, str]:
        """The contract, its name, and who asked, of a task that is open; nothing of others."""
        _, contract, asker = self.open.get(task, ("", "", ""))
        return self.contracts.get(contract), contract, asker


# -- by other means
def fields(value: Any) -> Iterator[tuple[str, Any]]:
    """All names in a value with what they hold, at any depth; "table" for a table."""
    if isinstance(value, dict):
        for name, held in value.items():
            yield name, "table" if isinstance(held, dict | list) else held
            yield from fields(held)
    elif isinstance(value, list):
        for one in value:
            yield from fields(one)


def withheld(department: Department, value: Any) -> bool:
    """Does it hold a field that the department withholds? The patterns of a realm are plain names."""
    return any(name in department.leaves.withheld for name, _ in fields(value))


def typed(declared: Fields, values: Fields) -> bool:
    """Are these the fields that are declared, and of their types?"""
    needed = {name for name, kind in declared.items() if kind != "any?"}
    kinds = {"int": int, "str": str, "any?": object}
    fits = all(isinstance(held, kinds[str(declared[name])]) for name, held in values.items() if name in declared)
    return needed <= set(values) <= set(declared) and fits
