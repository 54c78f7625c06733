"""The command `mai bench`."""

import click

from mai.daemon.terminal import examples, json_option

PARTS = ("clients", "flood", "messages", "recovery", "restart", "routing", "talk", "verify", "walls")
SHOWN = (
    "mai bench",
    "mai bench --json",
    *(f"mai bench {part}" for part in PARTS),
)


@click.command(epilog=examples(*SHOWN))
@click.argument("what", required=False, metavar=f"[FILE|{'|'.join(PARTS)}]", default="")
@click.option("--records", type=click.IntRange(1), help="Of `recovery` in each journal, of `verify` in all; else a million.")
@json_option
def bench(what: str, records: int | None, json_: bool) -> None:
    """Measure start, requests, idle and memory of the reference organisation, beside a bare pyzmq relay.

    Or one part: `clients` runs ten clients beside each other, kills one of them whole, and wakes them from sleep; `flood`
    shows what the others notice when one department floods its Mai; `messages` counts round trips between two departments,
    everything durable, beside the relay; `recovery` how fast a journal is folded, and what a start reads; `restart` how
    long a department is away that was killed; `routing` which requests find their department; `talk` what a talk of a
    hundred turns with a model takes on the disk; `verify` how fast journals are verified, beside SHA-256 alone, and what a
    nightly run costs; `walls` what the walls around a process add to its start.
    """
    from mai.daemon.showing import measured

    if records and what not in ("recovery", "verify"):
        raise click.UsageError("--records is for `mai bench recovery` and `mai bench verify`")
    measured(what, json_, **({"records": records} if records else {}))
