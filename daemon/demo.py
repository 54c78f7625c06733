"""`mai demo`: the reference organisation in a temporary place, with a department killed while it works.

Everything that it shows really happens: the hops come from the departments as they commit them, the kill is SIGKILL,
the trace and the verification read the journals.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mai.agents import check
from mai.agents.organisation import RANKS, Organisation
from mai.agents.table import Table
from mai.daemon import tree, verify
from mai.daemon.asking import CODES, ask, new_id
from mai.daemon.bare import swept_bare
from mai.daemon.door import Door, Reply
from mai.daemon.example import CLIENT, daemon
from mai.daemon.replay_form import swept
from mai.daemon.status import painted
from mai.daemon.trace import trace
from mai.sandbox.errors import MaiError
from mai.sandbox.place import Place

REQUESTS = (
    "When should the spring campaign start, given the sales pipeline?",
    "Refund order 10423",
    "Which customers with overdue invoices have open tickets?",
    "Delete everything we hold on customer 311",
)
VICTIM = "finance"
AGAIN = REQUESTS[2]  # answered once in peace, once with its department killed
REPLAYED = "mai replay --all, on copies without state, organisation file and agents' code"
NEXT = ("mai up {file}", 'mai ask acme "Who is on call?"', "mai tail -f")

Say = Callable[[str], None]


class Demo:
    """The steps; `say` prints a line, `colour` says whether with colour."""

    def __init__(self, file: Path, say: Say, *, colour: bool) -> None:
        self.file, self._say, self._colour = file, say, colour

    def run(self) -> None:
        """Show everything. Raises MaiError where something is not as it should be."""
        organisation = check.load(self.file)
        self._figures(organisation)
        self._heading("Starting one process for each department …")
        with daemon(self.file) as (place, start):
            last = start.ready()
            self._say(f"{last['ready']} of {last['total']} are ready")
            for text in REQUESTS:
                self._heading(text)
                self._ask(place, text)
            self._heading(f"The third again, and {CLIENT}/{VICTIM} gets SIGKILL while it works on it")
            killed = self._ask(place, AGAIN, kill=True)
            self._heading(f"mai trace {killed}")
            self._say(tree.render(trace(place, killed), colour=self._colour))
            self._heading("mai verify")
            self._verify(place)
            self._heading(REPLAYED)
            self._replay(place)
        self._heading("Try next")
        for line in NEXT:
            self._say("  " + line.format(file=_near(self.file)))

    def _heading(self, text: str) -> None:
        self._say("")
        self._say(painted(text, 1, self._colour))

    def _figures(self, organisation: Organisation) -> None:
        ranks = [agent.rank for department in organisation.departments for agent in department.agents]
        counted = ", ".join(f"{1 if rank == 'mai' else ranks.count(rank)} {rank}" for rank in RANKS)
        paths = Table(organisation).paths()
        self._heading(f"{organisation.name}: {len(organisation.departments)} departments, {len(ranks) + 1} agents ({counted})")
        self._say(f"{paths.all} paths between them; a mesh would have {paths.mesh}")

    def _ask(self, place: Place, text: str, *, kill: bool = False) -> str:
        """Ask, show the hops as they come and the answer; returns the request's id."""
        answer: Reply = {}
        for reply in ask(place, CLIENT, text, request=new_id(), timeout_s=None, watch=True):
            if (hop := reply.get("hop")) and hop["note"] not in CODES:  # the ways back are the same, and left out
                self._say(painted(f"  {hop['sender']} → {hop['receiver']}  {hop['note'][:60]}", 2, self._colour))
                if kill and hop["receiver"].startswith(f"{VICTIM}/"):
                    self._kill(place)
                    kill = False
            answer = reply.get("answer", answer)
        self._say(answer["answer"])
        self._say(painted(f"{answer['state']} in {answer['elapsed_ms']} ms", 2, self._colour))
        if answer["state"] != "answered" or kill:
            raise MaiError(f"the demo's request {text!r} was {answer['state']}", "this should not happen: please report it")
        return str(answer["request"])

    def _kill(self, place: Place) -> None:
        pid = next(process["pid"] for process in self._processes(place) if process["name"] == f"{CLIENT}/{VICTIM}")
        os.kill(pid, signal.SIGKILL)
        self._say(painted(f"  kill -9 {pid}  ({CLIENT}/{VICTIM})", 31, self._colour))

    def _processes(self, place: Place) -> Iterator[dict[str, Any]]:
        yield from Door(place.door, 10).call({"do": "status"})["processes"]

    def _verify(self, place: Place) -> None:
        report = verify.verify(place)
        self._say(verify.render(report, colour=self._colour))
        if not report.sound:
            raise MaiError(f"{len(report.findings)} findings in the journals", "this should not happen: please report it")

    def _replay(self, place: Place) -> None:
        """All decisions, from the journals alone."""
        found = swept_bare(place)
        self._say(swept(found, colour=self._colour))
        if found.wrong:
            raise MaiError(
                f"{len(found.wrong)} decisions differ from what was sealed", "this should not happen: please report it"
            )


def _near(file: Path) -> str:
    """A file's path as one would type it here."""
    relative = os.path.relpath(file)
    return str(file) if relative.startswith("..") else relative
