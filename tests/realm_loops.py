"""What may go round in circles in a realm: counted once more, from each process's records and the organisation alone."""

import re
from collections import Counter
from typing import NamedTuple

from mai.agents.events import Asked, Ended, Event, Hopped, HopRefused, Stepped
from mai.agents.guards import GuardStopped
from mai.agents.organisation import Organisation
from mai.daemon.records import ContractChecked, ContractEnded, RequestEnded, RequestPlanned


class Held(NamedTuple):
    """Who has an open task, or which contract was asked for it."""

    who: str
    given: str  # comparable
    works: bool  # by its own code; else it only passes on


class Loops:
    """Open tasks and passages, by process, and what each was given."""

    def __init__(self, organisation: Organisation) -> None:
        self.guards = organisation.guards
        self.coded = {f"acme/{one.name}/{agent.name}" for one in organisation.departments for agent in one.agents if agent.kind}
        self.open: dict[str, dict[str, Held]] = {}  # process -> task -> who has it
        self.asked: Counter[tuple[str, str, str]] = Counter()  # process, task and what it asks for
        self.begun: set[tuple[str, str, int]] = set()  # process, task and step of those
        self.waited: Counter[tuple[str, str]] = Counter()  # process and task: asks of which only the end is on record
        self.stopped: dict[str, GuardStopped] = {}  # process -> the last one, until it is refused

    def look(self, process: str, event: Event, now_ms: int) -> str:
        """What is wrong with a record; "" if nothing is."""
        open_, why = self.open.setdefault(process, {}), ""
        match event:
            case Hopped():
                held = self._hopped(process, event)
                on = (
                    event.sender != "mai" and not event.up and not event.approves
                )  # up the ranks, and with a board, there is an end
                why = self._goes(process, event.task, held) if on else ""
                open_[event.task] = held
            case ContractChecked(allowed=True, body=body) if body:
                held = Held(event.contract, f"{body.text}|{body.input}", True)
                why = self._goes(process, event.task, held)
                open_[event.task] = held
            case RequestPlanned(parts=parts):
                for number, part in enumerate(parts, 1):
                    open_[f"{event.request}/{number}"] = Held(part.contract, f"{part.text}|{part.input}", True)
            case Ended() | ContractEnded():
                open_.pop(event.task, None)
            case RequestEnded():
                for task in [task for task in open_ if re.fullmatch(re.escape(event.request) + r"/\d+", task)]:
                    del open_[task]
            case Asked(call="ask" | "hand" | "escalate"):
                self.asked[process, event.task, f"{event.call} {event.given}"] += 1
                self.begun.add((process, event.task, event.n))
            case Stepped(call="ask", refused=refused) if (
                "was not approved" in refused and (process, event.task, event.n) not in self.begun
            ):
                self.waited[process, event.task] += 1  # for an approval, which it did not get
            case GuardStopped():
                self.stopped[process] = event
                return self._wrong_stop(process, event)
        return why or self._answer(process, event)

    def _hopped(self, process: str, event: Hopped) -> Held:
        who, own = f"{process}/{event.agent}", process.partition("/")[2]
        works = who in self.coded and event.contract.partition(".")[0] in ("", own)
        return Held(who, f"{event.contract}|{event.text}|{event.input}", works)

    def _above(self, process: str, task: str) -> list[Held]:
        """What waits for a task, by its id."""
        return [one for name, one in self.open[process].items() if re.match(re.escape(name) + r"([bc]\d+)?\.", task)]

    def _goes(self, process: str, task: str, held: Held) -> str:
        above = self._above(process, task)
        if 1 + sum(one[:2] == held[:2] for one in above) >= self.guards.same:
            return f"{held.who} gets the same again along one chain"
        if held.works and 1 + sum(one.works and one.who == held.who for one in above) >= self.guards.returns:
            return f"it comes back to {held.who} along one chain"
        return ""

    def _answer(self, process: str, event: Event) -> str:
        """What was stopped is refused at once, in the words of the stop; nothing is refused so without one."""
        stop = self.stopped.pop(process, None)
        said = str(getattr(event, "rule", "") or getattr(event, "refused", ""))
        if stop and (stop.task, stop.why) != (getattr(event, "task", ""), said):
            return f"{stop} is not followed by the refusal of what it stops"
        refuses = isinstance(event, HopRefused | ContractChecked) and not getattr(event, "allowed", False)
        return "it is stopped without a record" if not stop and refuses and "goes round in circles" in said else ""

    def _wrong_stop(self, process: str, stop: GuardStopped) -> str:
        """A stop says how often, and names a chain that ends at who was not to have it; what it counts is so."""
        if stop.count < stop.limit or not stop.chain or stop.chain[-1] not in stop.why:
            return "the stop does not say what it stops"
        most = {
            "repeats": self.waited[process, stop.task]
            + max((n for (one, task, _), n in self.asked.items() if (one, task) == (process, stop.task)), default=0),
            "same": 1 + sum(one.who == stop.chain[-1] for one in self._above(process, f"{stop.task}.")),
            "returns": 1 + sum(one.who == stop.chain[-1] for one in self._above(process, f"{stop.task}.")),
        }.get(stop.guard, stop.count)
        return "" if most >= stop.count else f"it was only {most} times"
