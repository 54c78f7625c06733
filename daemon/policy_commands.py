"""The command `mai policy explain`."""

from typing import Literal

import click

from mai.daemon.terminal import as_json, examples, json_option, place_of, plain, printable

CALLS = ("tool", "contract", "claim")


@click.group(epilog=examples("mai policy explain acme/finance/refund-clerk refund --given '{\"cents\": 5000}'"))
def policy() -> None:
    """What the policies of an organisation say."""


@policy.command(
    epilog=examples(
        "mai policy explain acme/finance/refund-clerk refund --given '{\"cents\": 5000}'",
        'mai policy explain acme/support/refund-desk finance.refund --file etc/company.toml --at "2026-03-02 22:00"',
        "mai policy explain acme/sales/churn-analyst risk --what claim --subject customer/311 --json",
    )
)
@click.argument("agent", metavar="CLIENT/DEPARTMENT/AGENT")
@click.argument("call", metavar="CALL")
@click.option("--file", "file", metavar="FILE", help="The organisation file; by default $MAI_CONFIG.")
@click.option("--what", "what", type=click.Choice(CALLS), help="What CALL is; by default a contract if it is one, else a tool.")
@click.option("--given", "given", default="{}", metavar="JSON", help="What it is called with.")
@click.option("--requester", default="client", show_default=True, help="For whom: client, mai, or a department.")
@click.option("--subject", default="", help="Of whom or what: customer/4711.")
@click.option("--at", "at", default="", metavar="TIME", help='"2026-03-02 14:00" by the organisation\'s clock; by default now.')
@json_option
@click.pass_context
def explain(
    context: click.Context, *, agent: str, call: str, file: str | None, what: Literal["tool", "contract", "claim"] | None,
    given: str, requester: str, subject: str, at: str, json_: bool,
) -> None:  # fmt: skip
    """Say what the policies make of a call, which of them decides, and why those before it do not.

    CALL is a tool of the agent's, another department's contract (sales.order), or with --what claim an attribute. It is read from
    the file, as by `mai check`; nothing has to run, and nothing is done. CLIENT/client asks for contracts as the client does.
    """
    import msgspec

    from mai.agents import check as checking
    from mai.daemon import explaining
    from mai.daemon.up import organisation_file
    from mai.sandbox.errors import UsageFault

    try:
        values = msgspec.json.decode(given, type=dict)
    except msgspec.MsgspecError as error:
        raise UsageFault(f"--given is no object in JSON: {error}", "such as --given '{\"cents\": 5000}'") from None
    organisation = checking.load(organisation_file(file, place_of(context)))
    asked = explaining.Call(agent=agent, name=call, what=what, given=values, requester=requester, subject=subject, at=at)
    found = explaining.explain(organisation, asked)
    if json_:
        as_json(plain(found))
    else:
        click.echo(printable(explaining.render(found)))
