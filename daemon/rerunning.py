"""The scratch process in which a decision is made once more; started in a cell (rerun.py), with what it needs on standard input.

python -P -m mai.daemon.rerunning DIRECTORY

It has the records, and a directory that goes with it: no ledger, no socket, no other's files. An agent's code runs over its
recorded steps: each gets the outcome that it had, and one that is not on record is refused. What has no code decides anew over
the state as the records before fold to it. The clock stands where it stood.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from mai.agents import events, judging
from mai.agents.context import Context, Divergence
from mai.agents.contracts import Contracts
from mai.agents.decider import Decider, Input
from mai.agents.department import DepartmentDecider
from mai.agents.events import Begun, Ended, Escalated, Event, Hopped, Interrupted, Received
from mai.agents.organisation import Tool
from mai.agents.policies import Act, code_of, judge
from mai.agents.process import decider_of
from mai.agents.runner import Runner
from mai.agents.sealing import Sealed
from mai.agents.shell import Shell
from mai.agents.state import Step
from mai.agents.table import Table
from mai.daemon import kinds
from mai.daemon.desk import Planned
from mai.daemon.mai import MaiDecider
from mai.daemon.planning import Planning
from mai.daemon.records import RequestPlanned
from mai.daemon.rerun_case import Case, Entry, Judged, Move, Outcome
from mai.sandbox.ledger import Ledger

ROUNDS: Final = 1000  # turns of the code
CAUSES: Final = 24  # records before a decision that may be its cause
LOCAL: Final = ("now", "random")  # steps that ask nobody
ENDS: Final = ("state", "text", "value", "reason", "by")
MOMENT: Final = ("at_ms", "elapsed_ms", "took_ms", "deadline_ms", "until_ms")  # what of a fact depends on when it is decided
NOTHING: Final[tuple[object, ...]] = ("", 0, None, {}, [], False)
ABSENT: Final = "nothing of it is on record"


class Clock:
    """The clock of this process stands still."""

    def __init__(self) -> None:
        self.at_ns = time.time_ns()
        time.time_ns = lambda: self.at_ns
        time.time = lambda: self.at_ns / 1e9


class Scratch:
    """A decider over what came before, with a shell whose ledger goes with the directory."""

    def __init__(self, case: Case, home: Path) -> None:
        home.mkdir(exist_ok=True)
        self.case = case
        self.ledger = Ledger(home / "ledger.db", case.process)
        for text in case.texts:
            self.ledger.keep(text.encode())
        self.came: list[Event] = []
        self.decider: Decider = self._decider()
        self.runner: Runner | None = None
        if isinstance(self.decider, DepartmentDecider):
            self.runner = Runner(self.decider, home)
            self.runner.contexts = Scripted
        self.shell = Shell(
            self.ledger, self.decider, case.mandate.organisation.digest, lambda peer, frame: False, seen=self._seen,
            noticed=lambda peer, body: None, keeps=True,
        )  # fmt: skip
        if self.runner:
            self.runner.shell = self.shell

    def _decider(self) -> Decider:
        mandate = self.case.mandate
        if not self.case.process.endswith("/mai"):
            return decider_of(mandate)
        fault, texts = Contracts(mandate.organisation).fault, self.shell_text
        return MaiDecider(mandate, Table(mandate.organisation), fault, keep=self._keep, read=texts)

    def shell_text(self, address: str) -> str:
        """A text that the records name."""
        return self.shell.texts.text(address)

    def _keep(self, text: str) -> str:
        return self.shell.texts.keep(text)

    def _seen(self, event: Event) -> None:
        self.came.append(event)
        if self.runner:
            self.runner.seen(event)

    def fold(self, entry: Entry) -> list[Input]:
        """One record, as it was; what has to be decided because of it."""
        event = event_of(entry)
        following = list(self.decider.evolve(event, entry.seq))
        if isinstance(event, Received):
            following += self.decider.taken(event)
        return following


class Scripted(Context):
    """A task's way to what is on record, and to nothing else."""

    moves: tuple[Move, ...] = ()

    def _next(self, call: str, given: Any) -> tuple[int, Step | None]:
        before = self.recorded(self._n + 1)
        try:
            n, step = super()._next(call, given)
        except Divergence:
            told = before.given if before else None
            Scripted.moves += (Move(self._n, call, given, "differs", {"call": before.call, "given": told} if before else None),)
            raise
        Scripted.moves += (Move(n, call, given, "on record" if step else "not on record"),)
        if step is None and call not in LOCAL:
            self._record(n, call, given, refused=ABSENT, state="failed")
            step = self.recorded(n)
        return n, step


def event_of(entry: Entry) -> Event:
    """The fact that a record holds."""
    return events.decode(entry.kind, msgspec.json.encode(entry.body))


# -- the ways in which a decision can be made once more
def coded(case: Case, home: Path, clock: Clock) -> Outcome | None:
    """By an agent's code, over its recorded steps. None if the task is worked on by none."""
    hop = next((one for one in case.entries if one.kind == Hopped.kind and one.task == case.task), None)
    scratch = Scratch(case, home / "code")
    runner, decider = scratch.runner, scratch.decider
    if hop is None or runner is None or not isinstance(decider, DepartmentDecider):
        return None
    told = event_of(hop)
    assert isinstance(told, Hopped), "a record of another kind"
    if not decider.coded(told.agent, told.contract, told.plea):
        return None
    for entry in case.entries:
        if entry.seq < hop.seq:
            scratch.fold(entry)
    clock.at_ns = hop.at_ns
    scratch.fold(hop)
    for entry in case.entries:
        if entry.seq > hop.seq and entry.task == case.task and entry.kind not in (Begun.kind, Ended.kind, Interrupted.kind):
            scratch.fold(entry)
    for other in [task for task in decider.state.work if task != case.task]:
        del decider.state.work[other]
    runner.wake(case.task)
    for _ in range(ROUNDS):
        runner.run()
        if not runner.busy:
            break
    return _ended(case, scratch)


def _ended(case: Case, scratch: Scratch) -> Outcome:
    """What the code has come to."""
    now = next((event.code for event in scratch.came if isinstance(event, Begun)), "")
    was = next((one.body["code"] for one in case.entries if one.kind == Begun.kind and one.task == case.task), "")
    notes: tuple[str, ...] = (f"the agent's code is another: {was} then, {now} now",) if was != now else ()
    before = next((one.body for one in case.entries if one.kind == Ended.kind and one.task == case.task), {})
    end = next((event for event in scratch.came if isinstance(event, Ended) and event.task == case.task), None)
    after = body_of(end) if end else None
    if end is None:
        given_up = [event.reason for event in scratch.came if isinstance(event, Escalated)]
        notes += ("the task would not have ended there", *given_up)
    moves, differs = Scripted.moves, [one for one in Scripted.moves if one.how != "on record" and one.call not in LOCAL]
    same = not differs and after is not None and all(before.get(name) == after.get(name) for name in ENDS)
    also = tuple(dict.fromkeys(event.kind for event in scratch.came if not isinstance(event, Begun | Ended)))
    return Outcome("code", same, _shown(before), _shown(after) if after else None, moves, (), also, notes)


def decided(case: Case, home: Path, clock: Clock) -> Outcome:
    """By what decides without code: the state as it was, and once more what made it decide."""
    if (mandate := case.other) is not None:
        case = msgspec.structs.replace(case, mandate=mandate)
    before = [one for one in case.entries if one.seq < case.decided.seq and one.kind != Sealed.kind]
    last: list[Event] = []
    for back in range(1, min(CAUSES, len(before)) + 1):
        scratch, cause = Scratch(case, home / f"try{back}"), before[-back]
        for entry in before[:-back]:
            scratch.fold(entry)
        clock.at_ns = case.decided.at_ns
        scratch.shell.feed(*scratch.fold(cause), *_planned(case, cause))
        found = [event for event in scratch.came if event.kind == case.decided.kind]
        fitting = [one for one in found if not case.decided.task or getattr(one, "task", "") == case.decided.task]
        if fitting or found:
            return _compared(case, (fitting or found)[0], scratch.came)
        last = last or scratch.came
    instead = ", ".join(dict.fromkeys(event.kind for event in last)) or "nothing"
    return Outcome(
        "behaviour", False, _shown(case.decided.body), None, (), (), (), (f"instead there would have been: {instead}",)
    )


def _planned(case: Case, cause: Entry) -> list[Input]:
    """The plan of a request, which is made outside of the decider."""
    if case.decided.kind != RequestPlanned.kind or cause.kind != "request.accepted":
        return []
    plan = Planning(case.mandate.organisation, Path("/nowhere")).begin(cause.body["request"], cause.body["text"])
    return [Planned(cause.body["request"], *plan)] if plan else []


def _compared(case: Case, event: Event, came: list[Event]) -> Outcome:
    after = body_of(event)
    same = _shown(after) == _shown(case.decided.body)
    also = tuple(dict.fromkeys(one.kind for one in came if one is not event))
    return Outcome("behaviour", same, _shown(case.decided.body), _shown(after), (), (), also)


def body_of(event: Event) -> dict[str, Any]:
    """A fact as a record holds it."""
    body: dict[str, Any] = msgspec.json.decode(events.encode(event))
    return body


def _shown(body: dict[str, Any]) -> dict[str, Any]:
    """A fact without what it leaves open, and what depends on the moment."""
    return {name: value for name, value in body.items() if name not in MOMENT and value not in NOTHING}


# -- policies
def policed(case: Case, home: Path, clock: Clock) -> tuple[Judged, ...]:
    """Each act of the task, by the policies of the organisation and by the others."""
    scratch = Scratch(case, home / "policies")
    decider = scratch.decider
    if case.other is None or not isinstance(decider, DepartmentDecider):
        return ()
    codes = [code_of(one, one.department) for one in (case.mandate, case.other)]
    found: list[Judged] = []
    for entry in case.entries:
        clock.at_ns = entry.at_ns
        scratch.fold(entry)
        act = act_of(decider, entry) if entry.task == case.task else None
        if act:
            before, after = (judge(code, act) for code in codes)
            found.append(Judged(entry.seq, act.what, act.name, before.verdict, after.verdict, after.clause, after.why))
    return tuple({(one.what, one.name, one.record): one for one in found}.values())


def act_of(decider: DepartmentDecider, entry: Entry) -> Act | None:
    """What an agent was about to do, by the record of it."""
    work, at_ms = decider.state.work.get(entry.task), entry.at_ns // 1_000_000
    call, given = entry.body.get("call"), entry.body.get("given")
    if work is None or not isinstance(given, dict):
        return None
    if entry.kind == "effect.intent" or call == "tool":
        name = str(entry.body.get("tool") or given.get("tool"))
        tool = next((one for one in decider.own.tools if one.name == name), Tool(name=name))
        return judging.tool_act(decider, work, tool, given.get("input") or {}, at_ms)
    if call == "ask" and "." in str(given.get("to")):
        return judging.contract_act(decider, work, str(given["to"]), given.get("input") or {}, at_ms)
    if call == "conclude":
        return judging.claim_act(decider, work, given, at_ms)
    return None


def rerun(case: Case, home: Path) -> Outcome:
    """The decision once more, in the way that fits it."""
    kinds.kinds()  # all of them are known now
    clock = Clock()
    judged = policed(case, home, clock)
    if judged or (case.other is not None and case.code):
        same = all(one.before == one.after for one in judged)
        notes = () if judged else ("the task has done nothing that policies judge",)
        return Outcome("policies", same, _shown(case.decided.body), None, (), judged, (), notes)
    return (coded(case, home, clock) if case.other is None else None) or decided(case, home, clock)


def main() -> int:
    """As the module says; the outcome goes to standard output, and what the code prints to standard error."""
    out = os.dup(1)
    os.dup2(2, 1)
    case = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Case)
    try:
        outcome = rerun(case, Path(sys.argv[1]))
    except Exception as error:  # what the scratch process cannot do is said, and harms nobody
        from mai.agents.handlers import show

        show(error)
        outcome = Outcome("code", False, _shown(case.decided.body), None, fault=f"{type(error).__name__}: {error}"[:500])
    os.write(out, msgspec.json.encode(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main())
