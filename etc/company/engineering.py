"""Engineering's workers: reliability, releases and usage, and the desks for on-call, rollbacks and keys."""

from company.common import Asked, choice, count, day, listing, number, sentence
from company.names import called, customer_names, staff_names

from mai.agents.context import Answer, Context, Refusal

WATCHED_DAYS = 3  # as far back as the hourly figures go
RECENT_DAYS = 180


async def error_analyst(ctx: Context, task: Asked) -> Answer:
    """The error rate of a service."""
    service = choice(task, "service", await ctx.tool("services"))
    found = await ctx.tool("errors", service=service, since=day(-WATCHED_DAYS))
    text = (
        f"The error rate of {service} is {found['percent']} %: {count(found['errors'], 'error')} in "
        f"{count(found['requests'], 'request')} "
        f"over the last {WATCHED_DAYS} days."
    )
    return Answer(text, found)


async def incident_analyst(ctx: Context, task: Asked) -> Answer:
    """Incidents since a day for other departments; those that go on for the client."""
    if task.contract == "engineering.incidents":
        found = await ctx.tool("incidents", since=str(task.input["since"]))
        return Answer(f"{count(len(found), 'incident')} since {task.input['since']}.", {"incidents": found})
    found = await ctx.tool("open_incidents")
    named = listing(
        f"{one['incident']} “{one['summary']}” (severity {one['severity']}, since {one['opened_at']})" for one in found
    )
    head = f"{count(len(found), 'incident')} {'is' if len(found) == 1 else 'are'} open"
    return Answer(sentence(head, named), {"incidents": found})


async def release_analyst(ctx: Context, task: Asked) -> Answer:
    """What was deployed in the last week."""
    found = await ctx.tool("deployments", since=day(-7))
    failed = [one for one in found if one["status"] == "failed"]
    named = listing(f"{one['service']} {one['version']} on {one['at'][:10]}" for one in found)
    head = f"{count(len(found), 'deployment')} in the last week, {len(failed)} failed"
    return Answer(sentence(head, named), {"failed": len(failed), "deployments": found})


async def change_analyst(ctx: Context, task: Asked) -> Answer:
    """Which services' deployments fail most often."""
    found = (await ctx.tool("failures"))[:5]
    named = listing(f"{one['service']} ({one['failed']} of {one['deployments']}, {one['percent']} %)" for one in found)
    return Answer(f"Deployments of the last half year fail most often for {named}.", {"services": found})


async def capacity_analyst(ctx: Context, task: Asked) -> Answer:
    """Which services answer slowest."""
    found = await ctx.tool("slowest", most=5)
    named = listing(f"{one['service']} ({one['p95_ms']} ms)" for one in found)
    return Answer(f"The slowest services, by the time within which they answer 95 % of requests: {named}.", {"services": found})


async def usage_analyst(ctx: Context, task: Asked) -> Answer:
    """Which customers use the API most; sales knows their names."""
    found = await ctx.tool("api_usage", most=5)
    names = await customer_names(ctx, [one["customer"] for one in found])
    named = listing(f"{called(names, one['customer'])} with {one['calls']:,} calls" for one in found)
    return Answer(f"The API is used most by {named}.", {"customers": found})


async def postmortem_analyst(ctx: Context, task: Asked) -> Answer:
    """How many incidents were caused by our own deployments."""
    found = await ctx.tool("causes", since=day(-RECENT_DAYS))
    text = (
        f"Of {count(found['incidents'], 'incident')} in the last {RECENT_DAYS} days {found['caused']} were caused by "
        f"a deployment "
        f"({found['deployments']} different ones)."
    )
    return Answer(text, found)


async def on_call_desk(ctx: Context, task: Asked) -> Answer:
    """Who is on call this week; people knows their names."""
    found = await ctx.tool("on_call")
    names = await staff_names(ctx, [one["employee"] for one in found])
    for one in found:
        one["name"] = names.get(one["employee"], f"employee {one['employee']}")
    named = listing(f"{one['name']} for {one['team']}" for one in found)
    return Answer(f"On call this week: {named}.", {"on_call": found})


async def rollback_desk(ctx: Context, task: Asked) -> Answer:
    """Put a service back to its last good version."""
    service = choice(task, "service", await ctx.tool("services"))
    done = await ctx.tool("roll_back", service=service)
    if done is None:
        raise Refusal(f"there is no earlier version of {service} that did not fail")
    return Answer(f"{service} was put back from version {done['from_version']} to {done['to_version']}.", done)


async def key_desk(ctx: Context, task: Asked) -> Answer:
    """Revoke a customer's API key."""
    customer = number(task, "customer")
    found = await ctx.tool("api_key", customer=customer)
    if found is None or found["revoked_on"]:
        raise Refusal(f"customer {customer} has no API key" if found is None else f"the key was revoked on {found['revoked_on']}")
    await ctx.tool("revoke", customer=customer)
    text = f"The API key {found['prefix']}… of customer {customer} is revoked."
    return Answer(text, {"customer": customer, "prefix": found["prefix"]})
