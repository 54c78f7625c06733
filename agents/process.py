"""A department's process: its ledger, its link to Mai, and its workers' code, in one loop.

python -P -m mai.agents.process STATE RUN client/department
"""

import sys

import msgspec

from mai.agents import claims, escalating, fallback, pleas, withheld
from mai.agents.contracts import Contracts
from mai.agents.department import DepartmentDecider
from mai.agents.events import Ended, Event, Hopped
from mai.agents.linked import Linked
from mai.agents.loop import run_process
from mai.agents.match import Matcher
from mai.agents.messages import Hop
from mai.agents.organisation import Department, Mandate
from mai.agents.runner import Runner
from mai.agents.sealing import Seals
from mai.agents.shell import Shell, now_ms
from mai.agents.state import Assigned, Cancelling, Day, Duty, Parked, Quarantined, State, Step, Suspect, Undo, Work
from mai.agents.table import Table
from mai.sandbox import keys
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place


def matcher(department: Department) -> Matcher:
    """Descriptions of a department's agents: name, charter, skills, what they serve."""
    return Matcher(
        {agent.name: " . ".join((agent.name.replace("-", " "), agent.charter, *agent.skills)) for agent in department.agents}
    )


def load(state: State, ledger: Ledger) -> None:
    """The open tasks and their steps, as they were committed."""
    for key, data in ledger.load("task").items():
        state.work[key] = msgspec.json.decode(data, type=Work)
    for key, data in ledger.load("step").items():
        task, _, n = key.rpartition("/")
        state.steps.setdefault(task, {})[int(n)] = msgspec.json.decode(data, type=Step)
    pleas.load(state)
    for key, data in ledger.load("cancel").items():
        state.cancels[key] = msgspec.json.decode(data, type=Cancelling)
    for key, data in ledger.load("undo").items():
        state.undos[key] = msgspec.json.decode(data, type=Undo)
    for key, data in ledger.load("quarantine").items():
        state.quarantine[key] = msgspec.json.decode(data, type=Quarantined)
    for key, data in ledger.load("suspect").items():
        state.suspects[key] = msgspec.json.decode(data, type=Suspect)
    for key, data in ledger.load("duty").items():
        state.duty[key] = msgspec.json.decode(data, type=Duty)
    for key, data in ledger.load("parked").items():
        state.parked[key] = msgspec.json.decode(data, type=Parked)
    for key, data in ledger.load("assigned").items():
        state.assigned[key] = msgspec.json.decode(data, type=Assigned)
    for data in ledger.load("day").values():
        state.day = msgspec.json.decode(data, type=Day)
    claims.load(state, ledger.load("claim"), ledger.load("ruled"))
    fallback.load(state, ledger.load("breaker"))


def decider_of(mandate: Mandate) -> DepartmentDecider:
    """A department's decider that knows nothing yet."""
    own = mandate.organisation.department(mandate.department)
    assert own is not None, "a mandate without its own department"
    described = matcher(own)

    def fit(text: str, among: tuple[str, ...]) -> list[str]:
        return [one.name for one in described.fits(text) if one.name in among]

    def shares(text: str, among: tuple[str, ...]) -> dict[str, float]:
        return {one.name: one.coverage for one in described.fits(text) if one.name in among}

    return DepartmentDecider(mandate, Table(mandate.organisation), fit, Contracts(mandate.organisation).fault, shares)


class DepartmentProcess(Linked):
    """One department at work."""

    decider: DepartmentDecider

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name)
        self.decider = decider_of(self.mandate)
        self.runner = Runner(self.decider, self.home, self.left, (place.state, place.run))
        self._prepare()
        self.dial()
        self.shell = Shell(
            self.ledger,
            self.decider,
            self.organisation.digest,
            self.send,
            seen=self._seen,
            noticed=self.noticed,
            burst=self.burst,
            screen=self.decider.screen,
            keeps=True,
            seals=Seals(self.mandate, self.ledger),
        )
        self.runner.shell = self.shell
        self._restore()

    def blank(self) -> DepartmentDecider:
        """A decider that knows nothing."""
        return decider_of(self.mandate)

    def _prepare(self) -> None:
        """Let the organisation lay out the department's own files, once; again if that was interrupted. Raises Broken."""
        done = self.home / "prepared"
        if not self.decider.own.prepare or done.exists():
            return
        self.runner.handlers.prepare(self.decider.own.prepare)
        keys.write(done, self.decider.own.prepare.encode())

    def _restore(self) -> None:
        """Load the state, and begin again what was open."""
        load(self.decider.state, self.ledger)
        self.shell.restore()
        self.started()
        withheld.take(self.home, self.shell)
        self.runner.resume()

    # -- what the shell tells
    def _seen(self, event: Event) -> None:
        self.runner.seen(event)
        match event:
            case Hopped(watch=True):
                self._look(event.request, event.task, event.sender, event.agent, event.contract or event.text)
            case Ended():
                self.done += 1
                self.progress_ms = now_ms()
                work = self.decider.state.work.get(event.task)
                if work and work.watch:
                    self._look(event.request, event.task, event.agent, work.sender, event.state)

    def _look(self, request: str, task: str, sender: str, receiver: str, note: str) -> None:
        if self.decider.own.shows != "result":
            return  # who looks on sees that it came and went, and Mai sees that herself
        names = [name if name == "mai" else f"{self.decider.own.name}/{name}" for name in (sender, receiver)]
        self.shell.notices.append((self.mai, Hop(request, task, names[0], names[1], note[:120], now_ms())))

    # -- the turn
    def poll(self, wait_ms: int) -> list[tuple[object, int]]:
        """The poll, with the pipes of the programs and tools that are at work."""
        return self.poll_with(self.runner.pipes(), self.runner.toolbox.wait_ms(wait_ms))

    def work(self) -> bool:
        """The workers' code has its turns."""
        self.runner.run()
        return self.runner.busy

    def queue(self) -> int:
        """Open tasks, but for those that only wait for a person: that nothing moves there is no fault of the process."""
        return len(self.decider.state.work) - escalating.with_persons(self.decider.state)

    def policies(self) -> str:
        """The digest of those that concern its agents."""
        return self.decider.policies.digest

    def pending(self) -> int:
        """Also what is being undone, and what waits for persons."""
        state = self.decider.state
        return super().pending() + escalating.with_persons(state) + len(state.cancels) + len(state.undos)

    def close(self) -> None:
        """End the workers' programs and tools, hang up."""
        self.runner.close()
        super().close()


if __name__ == "__main__":
    sys.exit(run_process(sys.argv[1:], DepartmentProcess))
