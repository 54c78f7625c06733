"""Support's workers: the analysts of tickets and quality, and the desks that customers meet."""

from company.common import TODAY, Asked, count, day, euros, listing, number, sentence

from mai.agents.context import Answer, Context, Refusal

RECENT_DAYS = 90
SERVICES = {
    "checkout": "checkout",
    "login": "login",
    "delivery": "tracking",
    "invoice": "billing",
}  # topic -> engineering's service


async def ticket_analyst(ctx: Context, task: Asked) -> Answer:
    """Open tickets: of a list of customers for other departments, of one customer for the client."""
    if task.contract == "support.open_tickets":
        tickets = await ctx.tool("open_tickets", customers=task.input["customers"])
        return Answer(f"{count(len(tickets), 'open ticket')} of these customers.", {"tickets": tickets})
    customer = number(task, "customer")
    tickets = await ctx.tool("open_tickets", customers=[customer])
    named = listing(f"{t['ticket']} “{t['subject']}” ({t['priority']}, since {t['opened_on']})" for t in tickets)
    text = f"Customer {customer} has {count(len(tickets), 'open ticket') if tickets else 'no open tickets'}"
    return Answer(sentence(text, named), {"customer": customer, "open": len(tickets), "tickets": tickets})


async def backlog_analyst(ctx: Context, task: Asked) -> Answer:
    """How many tickets wait, by priority, and how long the oldest has waited."""
    groups = await ctx.tool("backlog")
    waiting = {group["priority"]: group["tickets"] for group in groups}
    oldest = min((group["oldest_on"] for group in groups), default=TODAY.isoformat())
    days = TODAY.toordinal() - TODAY.fromisoformat(oldest).toordinal()
    value = {"open": sum(waiting.values()), "oldest_days": days, "by_priority": waiting}
    by_priority = listing(f"{n} {priority}" for priority, n in waiting.items())
    return Answer(f"{count(value['open'], 'ticket')} are open: {by_priority}. The oldest has waited {days} days.", value)


async def quality_analyst(ctx: Context, task: Asked) -> Answer:
    """How long customers wait for a first answer."""
    tickets = await ctx.tool("first_answers", days=RECENT_DAYS)
    minutes = [ticket["minutes"] for ticket in tickets if ticket["minutes"] is not None]
    if not minutes:
        raise Refusal(f"no ticket of the last {RECENT_DAYS} days has been answered")
    median = minutes[(len(minutes) - 1) // 2]
    text = (
        f"Of {len(tickets)} tickets in the last {RECENT_DAYS} days {len(minutes)} were answered; "
        f"half of those within {median} minutes, the slowest after {minutes[-1]}."
    )
    return Answer(
        text, {"tickets": len(tickets), "answered": len(minutes), "median_minutes": median, "slowest_minutes": minutes[-1]}
    )


async def topic_analyst(ctx: Context, task: Asked) -> Answer:
    """What customers complain about."""
    topics = await ctx.tool("topics", days=RECENT_DAYS)
    named = listing((f"{one['topic']} ({one['tickets']})" for one in topics), most=6)
    return Answer(f"Tickets of the last {RECENT_DAYS} days were about {named}.", {"topics": topics})


async def knowledge_editor(ctx: Context, task: Asked) -> Answer:
    """Which help articles should be rewritten first."""
    articles = await ctx.tool("weak_articles", most=5)
    named = listing(f"“{one['title']}” ({one['helpful_percent']} % of {one['views']} readers)" for one in articles)
    return Answer(f"The help articles that help least: {named}.", {"articles": articles})


async def outage_analyst(ctx: Context, task: Asked) -> Answer:
    """Which tickets came in while a service that they are about had an incident, by engineering's records."""
    reply = await ctx.ask("engineering.incidents", since=day(-RECENT_DAYS))
    found = []
    for topic, service in SERVICES.items():
        for one in reply.value["incidents"]:
            if one["service"] == service:
                closed = one.get("closed_at") or f"{TODAY} 23:59"
                tickets = await ctx.tool("tickets_between", topic=topic, opened=one["opened_at"], closed=closed)
                found.append({"incident": one["incident"], "service": service, "tickets": tickets})
    found = sorted((one for one in found if one["tickets"]), key=lambda one: (-len(one["tickets"]), one["incident"]))
    tickets = sorted({ticket for one in found for ticket in one["tickets"]})
    named = listing(f"incident {one['incident']} of {one['service']} ({len(one['tickets'])})" for one in found)
    text = f"{count(len(tickets), 'ticket')} of the last {RECENT_DAYS} days came in during an incident of what they are about"
    return Answer(sentence(text, named), {"tickets": len(tickets), "incidents": found})


async def _desk(ctx: Context, region: str) -> Answer:
    """What waits at a region's desk, and which ticket comes next."""
    queue = await ctx.tool("queue", region=region)
    value = {"region": region, "waiting": len(queue), "next": queue[:3]}
    if not queue:
        return Answer(f"Nothing waits at the {region} desk.", value)
    named = listing(
        f"ticket {t['ticket']} of customer {t['customer']} ({t['priority']}, since {t['opened_on']})" for t in queue[:3]
    )
    return Answer(f"{count(len(queue), 'ticket')} wait at the {region} desk; next come {named}.", value)


async def desk_north(ctx: Context, task: Asked) -> Answer:
    """The desk of the north."""
    return await _desk(ctx, "north")


async def desk_south(ctx: Context, task: Asked) -> Answer:
    """The desk of the south."""
    return await _desk(ctx, "south")


async def desk_west(ctx: Context, task: Asked) -> Answer:
    """The desk of the west."""
    return await _desk(ctx, "west")


async def refund_desk(ctx: Context, task: Asked) -> Answer:
    """Refund an order: finance decides and pays, and the open tickets about it get a note."""
    order = number(task, "order")
    reply = await ctx.ask("finance.refund", order=order, reason="asked for at the refund desk")
    done = reply.value
    tickets = await ctx.tool("tickets_of_order", order=order)
    for ticket in tickets:
        await ctx.tool("note", ticket=ticket, text=f"refund {done['refund']} of {euros(done['cents'])} paid")
    text = f"Order {order} of customer {done['customer']} was refunded: {euros(done['cents'])}, refund {done['refund']}."
    noted = f" Noted in {listing(f'ticket {ticket}' for ticket in tickets)}." if tickets else ""
    return Answer(text + noted, done | {"tickets": tickets})


async def reply_desk(ctx: Context, task: Asked) -> Answer:
    """Close a ticket; an urgent one only if those above say so."""
    asked = number(task, "ticket")
    ticket = await ctx.tool("ticket", ticket=asked)
    if ticket is None:
        raise Refusal(f"there is no ticket {asked}")
    if ticket["priority"] == "urgent" and not ticket["closed_at"]:
        said = await ctx.escalate(f"ticket {asked} is urgent, and an operator does not close those")
        if not said.value.get("close"):
            raise Refusal(f"ticket {asked} stays open: {said.text}")
    if ticket["closed_at"] or not await ctx.tool("close", ticket=asked):
        raise Refusal(f"ticket {asked} is closed already")
    value = {"ticket": asked, "customer": ticket["customer"]}
    return Answer(f"Ticket {asked} “{ticket['subject']}” of customer {ticket['customer']} is closed.", value)
