"""What a realm may take, counted once more from the records of all its processes: no budget is ever exceeded."""

from collections import Counter

from mai.agents.allowance import BudgetStopped
from mai.agents.approval_messages import Opinion
from mai.agents.claim_messages import Vote
from mai.agents.events import Ended, Event, Hopped, HopRefused, Sent
from mai.agents.messages import Result
from mai.agents.organisation import Organisation
from mai.daemon.records import ContractChecked


class Budgets:
    """What each request and each department has taken so far."""

    def __init__(self, organisation: Organisation, hostile: set[str]) -> None:
        self.limits, self.hostile = organisation.limits.request, hostile
        self.days = {f"acme/{one.name}": one.day for one in organisation.departments}
        self.requests: dict[str, Counter[str]] = {}
        self.departments: dict[str, Counter[str]] = {}
        self.open: dict[tuple[str, str], tuple[int, int]] = {}  # tasks from Mai: since and until when
        self.stopped: dict[str, BudgetStopped] = {}

    def look(self, process: str, event: Event, now_ms: int) -> str:
        """What is wrong with a record; "" if nothing is."""
        match event:
            case Hopped(sender="mai"):
                self._take(process, "", tasks=1)
                self.open[process, event.task] = event.at_ms, event.deadline_ms
            case Hopped(up=False, approves=""):
                self._take(process, event.request, hops=1)
            case Ended() if (process, event.task) in self.open:
                since_ms, until_ms = self.open.pop((process, event.task))
                self._take(process, "", ms=max(0, min(now_ms, until_ms) - since_ms))
            case ContractChecked(allowed=True):
                self._take("", event.request, asks=1)
            case BudgetStopped():
                self.stopped[process] = event
                return "" if event.used >= event.limit and event.why else "the stop does not say what is spent"
        return self._answer(process, event) or self._exceeded(process, event)

    def _take(self, process: str, request: str, **amounts: int) -> None:
        if process:
            self.departments.setdefault(process, Counter()).update(amounts)
        if request:
            self.requests.setdefault(request, Counter()).update(amounts)

    def _exceeded(self, process: str, event: Event) -> str:
        request = self.requests.get(getattr(event, "request", ""), Counter())
        for what in ("hops", "asks"):
            if 0 < getattr(self.limits, what) < request[what]:
                return f"the request has taken {request[what]} {what} of {getattr(self.limits, what)}"
        day, taken = self.days.get(process), self.departments.get(process, Counter())
        if day is None:
            return ""
        for what in ("tasks", "hops"):
            if 0 < getattr(day, what) < taken[what]:
                return f"it has taken {taken[what]} {what} of {getattr(day, what)} today"
        reserved = sum(until_ms - since_ms for (name, _), (since_ms, until_ms) in self.open.items() if name == process)
        if day.seconds and taken["ms"] + reserved > day.seconds * 1000:
            return f"it has taken {taken['ms']} ms and {reserved} are reserved, of {day.seconds} s today"
        return ""

    def _answer(self, process: str, event: Event) -> str:
        """What was stopped is refused at once, in the words of the stop; nothing is refused so without one."""
        stop = self.stopped.pop(process, None)
        said = str(getattr(event, "rule", "") or getattr(event, "refused", ""))
        if isinstance(event, Sent) and isinstance(event.body, Result):
            said = event.body.reason
        elif isinstance(event, Sent) and isinstance(event.body, Opinion | Vote):
            said = event.body.note if isinstance(event.body, Opinion) else event.body.why
        if stop and (stop.task, stop.why) != (getattr(event, "task", ""), said):
            return f"{stop} is not followed by the refusal of what it stops"
        first = isinstance(event, HopRefused | ContractChecked) and not getattr(event, "allowed", False)
        return "it is stopped without a record" if not stop and first and said.startswith("the budget of") else ""
