"""`make million STATE=dir RECORDS=1000000 SEED=1`: a state directory with big ledgers, for whoever measures.

    place = million(directory, records=100_000, seed=7)   # a Place; its client is acme

A client's Mai and two departments (tests/wired.py) answer some requests with their real deciders, shells and seals: one
department asks the other for a contract, both use tools and the client's memory, several requests are open at a time, one has
a long text that lies in a blob. What they have written is repeated under new ids (daemon/bench_grown.py) until all journals
together have so many records: a third of them Mai's, 45 in all for a request. It passes `mai verify --rest`: chains, links,
seals, signed heads, state. The ids of requests are drawn by the seed; times are those of the writing. A million take 16 s of
one core and 640 MB.
"""

import sys
import time
from itertools import count
from pathlib import Path

from mai.agents.events import Hopped
from mai.agents.inputs import Call, Report
from mai.agents.state import Done
from mai.daemon.bench_grown import Scene, grow, marks, scene
from mai.sandbox.ledger import BLOB_BYTES
from mai.sandbox.place import Place
from tests.wired import Code, Wired, stepped

RECORDS = 1_000_000
TEXTS = (
    "plan the campaign for the second quarter: 3 channels, at most 12,000 euros, and say which customers it is for",
    "which of our open deals could still be closed before the end of the quarter, and what do they need from us?",
    "a customer asks whether order 10423 can be delivered a week later than agreed; write an answer",
)


def planner(hop: Hopped) -> Code:
    """Remembers what was asked, asks sales, looks it up again, answers."""
    yield Call(hop.task, 1, "remember", {"key": f"asked/{hop.request}", "level": "client", "value": hop.text[:80]})
    yield Call(hop.task, 2, "ask", {"to": "sales.pipeline", "text": "", "input": {"quarter": 2}})
    yield Call(hop.task, 3, "recall", {"key": f"asked/{hop.request}", "level": "client"})
    answer = f"Start two weeks later: {hop.text[:200]}"
    yield Report(hop.task, Done("answered", answer, {"total": 200}, "", "acme/marketing/planner", ()))


def analyst(hop: Hopped) -> Code:
    """Uses a tool, leaves a note in the client's memory, answers."""
    deals = [{"deal": f"D-{n:04}", "customer": f"C-{n % 7:03}", "cents": 1000 * n} for n in range(1, 8)]
    yield stepped(hop, "tool", {"tool": "list_deals", "input": {"quarter": 2}}, deals)
    yield Call(hop.task, 2, "remember", {"key": f"deals/{hop.request}", "level": "client", "value": {"quarter": 2, "n": 7}})
    yield Report(hop.task, Done("answered", "200 in the pipeline", {"total": 200}, "", "acme/sales/analyst", ("sales",)))


class Company(Wired):
    """The wired company with other workers."""

    workers = {"planner": planner, "analyst": analyst}  # noqa: RUF012  # as its own


def scenes(directory: Path) -> tuple[Place, tuple[Scene, ...]]:
    """The company's state directory, and what has been done there: single requests more often than several at a time."""
    company, ids = Company(directory, sealed=True), (f"1st-request-{n}" for n in count(10))
    texts = [(text,) for text in TEXTS] * 4 + [TEXTS * 2, (TEXTS[0] + " " + "as we said in spring. " * (BLOB_BYTES // 20),)]
    found = []
    for asked in texts:
        begin = marks(company.place, "acme")
        for text in asked:
            company.ask(next(ids), text)
        company.settle()
        found.append(scene(company.place, begin, marks(company.place, "acme")))
    return company.close().place, tuple(found)


def million(directory: Path, records: int = RECORDS, seed: int = 1) -> Place:
    """A state directory whose journals have so many records together, or a few more."""
    place, found = scenes(directory)
    grow(place, "acme", found, records, seed=seed)
    return place


if __name__ == "__main__":
    begun_s = time.monotonic()
    made = million(Path(sys.argv[1]), *(int(given) for given in sys.argv[2:4]))
    print(f"{made.state}: {sum(marks(made, 'acme').values()):,} records in {time.monotonic() - begun_s:.1f} s")
