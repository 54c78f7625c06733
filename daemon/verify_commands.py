"""The command `mai verify`."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mai.daemon.terminal import as_json, complete_process, count, examples, json_option, on_terminal, place_of
from mai.sandbox.errors import FAILED, MaiError, UsageFault

if TYPE_CHECKING:
    from mai.daemon.verify import Report
    from mai.sandbox.place import Place

SHOWN = ("mai verify", "mai verify --full", "mai verify --deep", "mai verify --state acme/finance", "mai verify --against FILE")
PART_MS = 7 * 24 * 3_600_000  # after which a run that was interrupted is begun anew
file_type = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog=examples(*SHOWN))
@click.argument("processes", nargs=-1, metavar="[PROCESS]...", shell_complete=complete_process)
@click.option(
    "--full", is_flag=True, help="Read every record and blob again, not only what is new; goes on where it was interrupted."
)
@click.option("--state", "how", flag_value="state", help="Fold each journal anew, and compare with the stored state.")
@click.option("--deep", "how", flag_value="deep", help="All that, and: nothing lost, nothing twice, each thing ended once.")
@click.option("--rest", "how", flag_value="rest", help="All that, and: nothing is open or on its way.")
@click.option(
    "--against",
    metavar="FILE",
    type=file_type,
    help="Hold them also against a checkpoint that was kept elsewhere (`mai checkpoint export`).",
)
@click.option(
    "--since", metavar="FILE", type=file_type, help="Remember in FILE how far was verified, not in the state directory."
)
@json_option
@click.pass_context
def verify(
    context: click.Context, processes: tuple[str, ...], how: str | None, *, full: bool, against: Path | None, since: Path | None,
    json_: bool,
) -> None:  # fmt: skip
    """Check the journals: chains, blobs, links, and what the processes saw of each other's.

    Where they were found sound is remembered (STATE/verified), and the next run reads only what came since; --full, --against,
    --state, --deep and --rest read everything. Interrupted with Ctrl-C, --full goes on from there the next time.

    With --deep also what the records mean: each message sent and received once, one verdict on each, each task, step and effect
    with one outcome, each request with one answer. PROCESS may be a client. Exit status 1 if anything is found.
    """
    from mai.daemon import checkpoint, deep
    from mai.daemon import verify as plainly

    place, colour, meter = place_of(context), on_terminal(), Meter()
    if since and (how or against or processes):
        raise UsageFault("--since is for a run over all processes that reads what is new", "leave out the others, or --since")
    kept = checkpoint.read(against) if against else None
    if how in ("deep", "rest"):
        found = deep.check(place, processes, at_rest=how == "rest", against=kept, progress=meter)
        report: Report = found
        text = deep.render(found, colour=colour)
    elif how == "state" or kept or processes:
        report = plainly.verify(place, processes, state=how == "state", against=kept, progress=meter)
        text = plainly.render(report, colour=colour)
    else:
        report = _remembered(place, since, meter, full=full)
        text = plainly.render(report, colour=colour)
    if json_:
        as_json(plainly.fields(report))
    else:
        click.echo(text)
    sys.exit(0 if report.sound else FAILED)


def _remembered(place: "Place", since: Path | None, meter: "Meter", *, full: bool) -> "Report":
    """Verify what is new, or everything, and remember how far it was found sound."""
    import msgspec

    from mai.daemon.sweep import Stopped
    from mai.daemon.verified import Changed, File, Memory
    from mai.daemon.verify import amended, verify

    file, changed, unkept = File(place, since), "", ""

    def keep(memory: Memory) -> None:
        nonlocal unkept
        try:
            file.write(memory)
        except OSError as error:
            unkept = f"{file.path} cannot be written: {error.strerror}"

    try:
        memory = file.read()
    except Changed as error:
        memory, changed = Memory(), str(error)
    except OSError as error:
        memory, unkept = Memory(), f"{file.path} cannot be read: {error.strerror}"
    if memory.part and (time.time_ns() // 1_000_000 - memory.part.began_ms > PART_MS):
        memory = msgspec.structs.replace(memory, part=None)
    try:
        with meter.interruptible():
            report = verify(place, memory=memory, full=full, keep=keep, progress=meter)
    except (Stopped, KeyboardInterrupt):
        again = "mai verify --full" if full else "mai verify"
        goes_on = " goes on from there" if not unkept and (full or not memory.verified.marks) else " begins again"
        raise MaiError(f"interrupted after {meter.done:,} of {meter.total:,} records", f"{again}{goes_on}") from None
    return amended(report, changed, unkept)


class Meter:
    """How far it is, over all processes: one line on a terminal, with how long it takes yet."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[int, int]] = {}
        self._begun_s = time.monotonic()
        self._first = 0
        self._stop = False

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """The first Ctrl-C ends it where it can go on from; the second at once."""

        def stop(*_: object) -> None:
            self._stop = True
            signal.signal(signal.SIGINT, before)

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @property
    def done(self) -> int:
        """Records that are read."""
        return sum(done for done, _ in self._of.values())

    @property
    def total(self) -> int:
        """Of how many."""
        return sum(of for _, of in self._of.values())

    def __call__(self, process: str, done: int, of: int) -> None:
        """So many records of a process are read, of so many."""
        from mai.daemon.sweep import Stopped

        if self._stop:
            raise Stopped
        self._of[process] = done, of
        self._first = self._first or self.done
        took_s = time.monotonic() - self._begun_s
        left_s = took_s * (self.total - self.done) / max(1, self.done - self._first)
        more = f", {left_s:.0f} s more" if took_s > 1 else ""
        count(f"verifying {process}{more}", self.done, self.total)
