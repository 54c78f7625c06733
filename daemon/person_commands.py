"""The command `mai erase`."""

import sys
from typing import TYPE_CHECKING, Any

import click

from mai.daemon.terminal import as_json, client_argument, examples, json_option, place_of, printable
from mai.sandbox.errors import Refused, UsageFault

if TYPE_CHECKING:
    from mai.daemon.person_search import Search
    from mai.sandbox.place import Place


@click.command(
    epilog=examples(
        "mai erase acme --subject anna@example.org --dry-run", 'mai erase acme --subject anna@example.org --also "Anna Example"',
        "mai erase acme --subject - --reference DSAR-17 --yes --json",
    )
)  # fmt: skip
@client_argument
@click.option(
    "--subject",
    required=True,
    metavar="WORD",
    help="Whom: as in keys, conversations, typed arguments; - reads it from standard input.",
)
@click.option("--also", multiple=True, metavar="TEXT", help="Words that are looked for in all that is left, letter by letter.")
@click.option("--request", "requests", multiple=True, metavar="REQUEST", help="A request that is about him too.")
@click.option("--reference", default="", metavar="TEXT", help="For the certificate, which does not say whom it was about.")
@click.option("--dry-run", "dry", is_flag=True, help="Only count what there is, for each process and kind of record.")
@click.option("--abandon", is_flag=True, help="Give up one that is under way; what it has erased stays erased.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0, 86400, min_open=True), default=300.0, show_default=True, metavar="SECONDS",
    help="How long to wait for it; it goes on after that.",
)  # fmt: skip
@json_option
@click.pass_context
def erase(
    context: click.Context, client: str, *, subject: str, also: tuple[str, ...], requests: tuple[str, ...], reference: str,
    dry: bool, abandon: bool, yes: bool, timeout_s: float, json_: bool,
) -> None:  # fmt: skip
    """Destroy what a client's ledgers hold of one person, and leave a signed certificate. There is no way back.

    All values go in each request that names WORD as a key of memory, as the subject of a claim, as who is written with or in
    typed arguments and results; with them the texts of models, memory, lines that were printed and files of spools. The journals
    stay verifiable: in the place of each value stands that it was erased. Requests that are open are waited for; the processes
    concerned are started again once. Free text about the person elsewhere is not found so: --also looks for it and says where it
    stands.
    """
    place, whom = place_of(context), sys.stdin.readline().rstrip("\n") if subject == "-" else subject
    if dry:
        return _dry(place, client, whom, also, requests, json_=json_)
    if abandon:
        return _abandoned(place, {"do": "person_erase", "name": client, "subject": whom, "abandon": True}, json_=json_)
    if not yes:
        _confirmed(client)
    return _erased(
        place, {
            "do": "person_erase", "name": client, "subject": whom, "also": list(also), "requests": list(requests),
            "reference": reference, "timeout_s": timeout_s,
        }, json_=json_,
    )  # fmt: skip


def _erased(place: "Place", order: dict[str, Any], *, json_: bool) -> None:
    from mai.daemon import person_paper
    from mai.daemon.reload_commands import carried_out

    last = carried_out(place, order, quiet=json_)
    if json_:
        return as_json(last)
    paper = person_paper.read(place.state / last["certificate"])
    assert paper is not None, "it is one of these"
    return click.echo(printable(f"{person_paper.render(paper)}\ncertificate: {place.state / last['certificate']}"))


def _abandoned(place: "Place", order: dict[str, Any], *, json_: bool) -> None:
    from mai.daemon.door import Door

    found = Door(place.door).call(order)
    if json_:
        return as_json(found)
    left = f"; not done by {', '.join(found['left'])}" * bool(found["left"])
    return click.echo(printable(f"{found['erasure']} is abandoned{left}. What was erased stays erased."))


def _dry(place: "Place", client: str, subject: str, also: tuple[str, ...], requests: tuple[str, ...], *, json_: bool) -> None:
    from mai.daemon.person_orders import checked
    from mai.daemon.person_search import Search
    from mai.daemon.reader import chosen

    checked(subject, list(also), list(requests))
    chosen(place, client)
    search = Search(place, client, subject, also=also, more=requests)
    for steps in (search.requests_of(), search.count()):
        for _ in steps:
            pass
    found = _found(search)
    if json_:
        as_json(found)
    else:
        click.echo(printable(_words(found)))


def _found(search: "Search") -> dict[str, Any]:
    """As scripts read it."""
    from mai.daemon import person_files

    words = person_files.Words(search.words)
    return {
        "client": search.client,
        "requests": sorted(search.requests),
        "open": search.open(),
        "processes": {process: dict(counts) for process, counts in search.counts.items() if counts},
        "spool_files": len(search.spooled()),
        "left": {
            "records": search.left,
            "first": [{"process": one.process, "seq": one.seq, "kind": one.kind, "request": one.request} for one in search.hits],
            "files": list(person_files.files_with(search.place, search.processes, words)),
        },
    }


def _words(found: dict[str, Any]) -> str:
    """For people."""
    lines = [
        f"{process}: " + ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
        for process, counts in found["processes"].items()
    ]
    lines.append(f"{len(found['requests']):,} requests are concerned, {found['spool_files']:,} files in spools")
    lines += [f"open: {what}" for what in found["open"]]
    left = found["left"]
    lines += [f"left: {one['process']}:{one['seq']} {one['kind']} {one['request']}".rstrip() for one in left["first"]]
    lines += [f"left: {left['records'] - len(left['first']):,} records more"] if left["records"] > len(left["first"]) else []
    lines += [f"left: {what}" for what in left["files"]]
    return "\n".join([*lines, "nothing was done"])


def _confirmed(client: str) -> None:
    """A person has typed the client's name. Raises UsageFault, Refused."""
    if not sys.stdin.isatty():
        raise UsageFault("to erase is not asked for in a pipe", f"say --yes: mai erase {client} --subject … --yes")
    click.echo(f"What {client} holds of this person will be destroyed. There is no way back.", err=True)
    if click.prompt("Type the client's name", default="", show_default=False, err=True) != client:
        raise Refused("that is another name: nothing was done")
