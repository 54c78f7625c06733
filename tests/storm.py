"""`make storm`: a day of misfortunes in five minutes, over the reference organisation under load, with nobody at the keyboard.

    make storm                     300 seconds
    make storm SECONDS=60 SEED=7   a short one, with these draws

Kills, hangs, slow and sick agents, a provider that is away, poison, a bad reload, a full disk, the supervisor's death, a
department that is given up; in between clients ask all the time. Afterwards: did every request have its answer or refusal in
time, does `mai sla` say what the clients' log says, was anybody paged whom the script does not have paged, does
`mai verify --deep` find anything. Prints a table; exit status 1 if not.
"""

import argparse
import json
import random
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mai.daemon import deep
from mai.daemon.bare import swept_bare
from mai.daemon.scripted import running
from tests.chaos_campaign import rest
from tests.chaos_company import Company
from tests.small import until
from tests.storm_askers import Askers
from tests.storm_company import CLIENT, Storm, lay_out, processes
from tests.storm_scenes import SCENES, Day, provider, small_disk

ASKERS = 4
PAUSE_S = 0.25  # of an asker between two requests


@dataclass
class Told:
    """What came of a day."""

    seconds: float = 0.0
    requests: int = 0
    states: Counter[str] = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    by_log: tuple[int, int] = (0, 0)  # good and bad ends, by the clients' log
    by_sla: tuple[int, int] = (0, 0)  # as `mai sla` counts them
    remedies: Counter[str] = field(default_factory=Counter)
    pages: int = 0
    decisions: int = 0  # that replay verified, from the journals alone
    faults: list[str] = field(default_factory=list)


def play(directory: Path, seconds: float, seed: str) -> Told:
    """One day. `directory` has to be new, its path short."""
    chance, begun_s, told = random.Random(seed), time.monotonic(), Told()
    directory.mkdir(parents=True)
    port = free_port()
    with running() as second, small_disk(directory / "s"):
        storm = lay_out(directory / "o", f"http://127.0.0.1:{port}/v1", second.url)
        with provider(storm.switches, port):
            company = Company(directory, storm.file, processes(storm.file), operated=False)
            try:
                until(company.ready, "the company is ready")
                askers = Askers(company.place, seed, ASKERS, PAUSE_S)
                day = Day(company, storm, askers, chance, port)
                for scene in SCENES:
                    say(f"{time.monotonic() - begun_s:4.0f} s  {scene.name}")
                    scene.play(day, seconds * scene.share)
                askers.end()
                rest(company)
                remedies(told, company)
            finally:
                company.down()
            examine(told, company, storm, day)
    told.seconds = time.monotonic() - begun_s
    told.faults += [*company.faults, *day.faults]
    return told


def examine(told: Told, company: Company, storm: Storm, day: Day) -> None:
    """All that has to be true at the end of the day."""
    log = day.askers.log
    told.requests, told.states = len(log), Counter(one.state for one in log)
    told.counts, told.skipped = day.counts, day.skipped
    told.faults += [f"late or lost: {one}" for one in day.askers.late()]
    told.faults += [f"mai verify --deep: {one.process}: {one.what}" for one in deep.check(company.place, at_rest=True).findings]
    replayed = swept_bare(company.place)
    told.decisions = replayed.verified
    told.faults += [f"mai replay --all: {one.decision}: {fault}" for one in replayed.wrong for fault in one.faults]
    told.pages = len(storm.pages.read_text().splitlines())
    if told.pages != day.counts.get("paged", 0):
        told.faults.append(f"{told.pages} pages, and the script demands {day.counts.get('paged', 0)}: {storm.pages.read_text()}")
    good = sum(one.good for one in log)
    told.by_log, told.by_sla = (good, len(log) - good), sla(company, told)
    if told.by_log != told.by_sla:
        told.faults.append(f"the clients' log has {told.by_log} good and bad ends, mai sla {told.by_sla}")


def sla(company: Company, told: Told) -> tuple[int, int]:
    """The good and the bad ends that `mai sla` counts."""
    ran = company.mai("sla", CLIENT, "--json")
    if ran.returncode not in (0, 1):
        told.faults.append(f"mai sla: {ran.stderr}")
        return 0, 0
    line: dict[str, Any] = json.loads(ran.stdout)["clients"][0]["line"]
    return int(line["good"]), int(line["bad"])


def remedies(told: Told, company: Company) -> None:
    """What agents had done."""
    ran = company.mai("remedies", CLIENT, "--json")
    for one in json.loads(ran.stdout)["remedies"]:
        told.remedies[f"{one['remedy']} {one['state']}"] += 1


def table(told: Told) -> str:
    """What is printed."""
    lines = [
        f"{told.requests} requests in {told.seconds:.0f} s: "
        + ", ".join(f"{n} {state}" for state, n in told.states.most_common()),
        "done to it: " + ", ".join(f"{n} {what}" for what, n in told.counts.items()),
        *(f"left out: {what}: {why}" for what, why in told.skipped.items()),
        f"availability: {share(told.by_log):.3%} by the clients' log, {share(told.by_sla):.3%} by mai sla",
        "remedies: " + (", ".join(f"{n} {what}" for what, n in told.remedies.most_common()) or "none") + f"; {told.pages} pages",
        f"{told.decisions:,} decisions replay verified, without state, organisation file and the agents' code",
        *(f"FAULT  {fault}" for fault in told.faults),
    ]
    return "\n".join(lines)


def share(ends: tuple[int, int]) -> float:
    """Good ones of all."""
    return ends[0] / max(1, sum(ends))


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def say(line: str) -> None:
    """Progress, on a terminal."""
    if sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="make storm")
    parser.add_argument("seconds", type=float, nargs="?", default=300.0)
    parser.add_argument("seed", nargs="?", default="1")
    given = parser.parse_args()
    room = Path(tempfile.mkdtemp(prefix="mai-", dir="/tmp"))
    told = play(room / "d", given.seconds, given.seed)
    print(table(told))
    if not told.faults:
        shutil.rmtree(room, ignore_errors=True)
    else:
        print(f"what is left lies in {room}")
    return 1 if told.faults else 0


if __name__ == "__main__":
    sys.exit(main())
