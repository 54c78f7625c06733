"""Who is on in a realm, worked out once more: by minutes of the day, and by what persons have said of agents."""

from mai.agents.duty import ShiftSet, ShiftWaits, TaskHanded
from mai.agents.events import Asked, EffectIntent, Ended, Event, Hopped, Stepped
from mai.agents.organisation import Organisation


class Shifts:
    """The calendars, the persons' words, and what is open."""

    def __init__(self, organisation: Organisation) -> None:
        self.calendar = {f"acme/{one.name}": one.shifts for one in organisation.departments}
        self.words: dict[tuple[str, str], tuple[str, int]] = {}
        self.handed: dict[str, TaskHanded] = {}  # process -> whose successor is to come
        self.gone: set[str] = set()
        self.asks: dict[str, set[int]] = {}  # task -> steps that wait for somebody
        self.changed: set[str] = set()

    def look(self, process: str, event: Event, now_ms: int) -> str:
        """What is wrong with a record; "" if nothing is."""
        match event:
            case ShiftSet():
                self.words[process, event.agent] = event.how, event.until_ms
            case TaskHanded():
                return self._hands(process, event)
            case Hopped():
                return self._goes(process, event, now_ms)
            case Asked(call="ask" | "hand"):
                self.asks.setdefault(event.task, set()).add(event.n)
            case Stepped():
                self.asks.get(event.task, set()).discard(event.n)
            case EffectIntent():
                self.changed.add(event.task)
            case ShiftWaits():
                if self.on(process, event.wanted, now_ms):
                    return f"{event.wanted} is on, and the task waits"
            case Ended() if event.task in self.gone and process in self.handed:
                return "" if event.state == "refused" else "what was handed over has another end"
        return ""

    def on(self, process: str, agent: str, now_ms: int) -> bool:
        """Is somebody on?"""
        how, until_ms = self.words.get((process, agent), ("", 0))
        if how and (not until_ms or now_ms < until_ms):
            return how == "on"
        mine = [one for one in self.calendar[process] if agent in one.operators]
        minute = now_ms // 60_000 % 1440
        return not mine or any(_within(minute, _minute(one.begins), _minute(one.ends)) for one in mine)

    def _goes(self, process: str, event: Hopped, now_ms: int) -> str:
        due = self.handed.pop(process, None)
        if due and (event.task, event.agent, event.handover is not None) != (due.successor, due.to, True):
            return f"{due} is not followed by its successor"
        if event.handover and not due:
            return "it was handed over by nobody"
        if event.sender != "mai" and not event.up and not self.on(process, event.agent, now_ms):
            return f"{event.agent} gets a task and is not on"
        return ""

    def _hands(self, process: str, event: TaskHanded) -> str:
        if event.task in self.gone:
            return f"{event.task} is handed over twice"
        self.gone.add(event.task)
        self.handed[process] = event
        if self.asks.get(event.task):
            return f"{event.task} is handed over in the middle of a step"
        return f"{event.task} has changed something" if event.task in self.changed else ""


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def _within(minute: int, begins: int, ends: int) -> bool:
    return begins <= minute < ends if ends > begins else minute >= begins or minute < ends
