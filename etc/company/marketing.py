"""Marketing's workers: planning campaigns, judging them, and the desks for content and subscribers."""

from datetime import timedelta

from company.common import TODAY, Asked, Row, choice, count, day, euros, listing, number, sentence

from mai.agents.context import Answer, Context, Refusal

CLOSED_SHARE = 50  # percent of the weighted pipeline that sales should have closed before new leads arrive
RECENT_DAYS = 90


def mondays(campaign: Row) -> list[str]:
    """The days on which a campaign could start: Mondays in its window, after its preparation."""
    ready = (TODAY + timedelta(days=campaign["lead_days"])).isoformat()
    earliest = TODAY.fromisoformat(max(ready, campaign["window_from"]))
    first = earliest + timedelta(days=-earliest.weekday() % 7)
    weeks = (TODAY.fromisoformat(campaign["window_to"]) - first).days // 7
    return [(first + timedelta(days=7 * week)).isoformat() for week in range(weeks + 1)]


def closed_percent(deals: list[Row], on: str) -> int:
    """How much of the weighted pipeline should be closed before a day, in percent, rounded down."""
    weighted = [(str(deal["close_on"]), deal["cents"] * deal["probability"]) for deal in deals]
    whole = sum(worth for _, worth in weighted)
    return 100 * sum(worth for closes, worth in weighted if closes < on) // whole if whole else 100


async def campaign_planner(ctx: Context, task: Asked) -> Answer:
    """When a planned campaign should start: once sales has closed half of the pipeline in hand and has time for new leads,
    but not after so many consents have run out that the audience is too small.
    """
    plans = {one["season"]: one for one in await ctx.tool("planned")}
    plan = plans[choice(task, "campaign", plans)]
    days = mondays(plan)
    pipeline, consents = await ctx.all(
        ctx.ask("sales.pipeline", until=plan["window_to"]),
        ctx.ask("legal.consents", purpose="marketing", days=days),
    )
    audience = {str(one["on"]): one["valid"] for one in consents.value["days"]}
    reached = [on for on in days if audience[on] >= plan["least_audience"]]
    if not reached:
        raise Refusal(
            f"by {days[0]} only {audience[days[0]]} customers consent, {plan['campaign']} needs {plan['least_audience']}"
        )
    deals = pipeline.value["deals"]
    start = next((on for on in reached if closed_percent(deals, on) >= CLOSED_SHARE), reached[-1])
    await ctx.remember(f"start of {plan['campaign']}", start, level="department")
    closed, weighted = closed_percent(deals, start), sum(deal["cents"] * deal["probability"] for deal in deals) // 100
    text = (
        f"{plan['campaign']} should start on Monday {start}: by then {closed} % of the weighted pipeline of {euros(weighted)} "
        f"({count(len(deals), 'deal')}) should be closed, and {audience[start]} customers still consent to marketing."
    )
    value = {"campaign": plan["campaign"], "start": start, "closed_percent": closed, "deals": len(deals)}
    return Answer(text, value | {"weighted_cents": weighted, "consents": audience[start]})


async def budget_analyst(ctx: Context, task: Asked) -> Answer:
    """Whether what marketing has left this quarter, by finance's books, pays for the campaigns that are planned."""
    budget = (await ctx.ask("finance.budget", department="marketing")).value
    plans = await ctx.tool("planned")
    needed = sum(one["budget_cents"] for one in plans)
    left, gap = budget["left_cents"], needed - budget["left_cents"]
    verdict = f"{euros(gap)} are missing" if gap > 0 else f"{euros(-gap)} would remain"
    text = (
        f"The {len(plans)} planned campaigns need {euros(needed)} and marketing has {euros(left)} left in "
        f"{budget['quarter']}: {verdict}."
    )
    return Answer(text, {"left_cents": left, "needed_cents": needed, "missing_cents": max(gap, 0)})


async def performance_analyst(ctx: Context, task: Asked) -> Answer:
    """Which campaigns of the last year earned most for what they cost."""
    best = (await ctx.tool("returns"))[:3]
    for one in best:
        one["percent"] = round(100 * one["revenue_cents"] / one["spent_cents"])
    named = listing(f"{one['name']} ({one['percent']} % of its cost back, {count(one['leads'], 'lead')})" for one in best)
    return Answer(f"The best campaigns of the last year: {named}.", {"campaigns": best})


async def channel_analyst(ctx: Context, task: Asked) -> Answer:
    """Which channel brings the cheapest leads."""
    channels = await ctx.tool("channels")
    named = listing(f"{one['channel']} {euros(one['cents_per_lead'])}" for one in channels)
    return Answer(f"A lead costs least by {channels[0]['channel']}; by channel: {named}.", {"channels": channels})


async def segment_analyst(ctx: Context, task: Asked) -> Answer:
    """How many subscribers there are; the list of them for legal."""
    if task.contract == "marketing.subscribers":
        customers = await ctx.tool("subscribers")
        return Answer(f"{count(len(customers), 'customer')} are subscribed.", {"customers": customers})
    groups = {one["channel"]: one["subscribers"] for one in await ctx.tool("audience")}
    total = sum(groups.values())
    by_channel = listing(f"{n} by {channel}" for channel, n in groups.items())
    return Answer(f"We have {count(total, 'subscriber')}: {by_channel}.", {"subscribers": total, "channels": groups})


async def copy_strategist(ctx: Context, task: Asked) -> Answer:
    """Which subject lines get mails opened."""
    subjects = await ctx.tool("subjects")
    best, worst = subjects[0], subjects[-1]
    text = (
        f"“{best['subject']}” works best: {best['opened_percent']} % of {best['sent']} mails were opened; "
        f"“{worst['subject']}” works worst with {worst['opened_percent']} %."
    )
    return Answer(text, {"subjects": subjects})


async def attribution_analyst(ctx: Context, task: Asked) -> Answer:
    """Which campaigns were clicked by customers who bought in the last days, by sales' orders."""
    since = day(-RECENT_DAYS)
    clicks = await ctx.tool("clicked", since=since)
    spent = {one["customer"]: one["cents"] for one in (await ctx.ask("sales.buyers", since=since)).value["buyers"]}
    found: dict[str, Row] = {}
    for click in clicks:
        if click["customer"] in spent:
            one = found.setdefault(click["campaign"], {"campaign": click["campaign"], "buyers": 0, "cents": 0})
            one["buyers"] += 1
            one["cents"] += spent[click["customer"]]
    campaigns = sorted(found.values(), key=lambda one: (-one["cents"], one["campaign"]))
    named = listing(f"{one['campaign']} ({count(one['buyers'], 'buyer')}, {euros(one['cents'])})" for one in campaigns)
    return Answer(f"Clicked by customers who bought since {since}: {named or 'no campaign'}.", {"campaigns": campaigns})


async def campaign_operator(ctx: Context, task: Asked) -> Answer:
    """Which campaigns run now."""
    campaigns = await ctx.tool("running")
    named = listing(f"{one['campaign']} since {one['starts_on']} ({count(one['leads'], 'lead')})" for one in campaigns)
    return Answer(f"{count(len(campaigns), 'campaign')} are running: {named}.", {"campaigns": campaigns})


async def content_desk(ctx: Context, task: Asked) -> Answer:
    """Which content is due this week, and what is late."""
    content = await ctx.tool("content_due", days=7)
    late = sum(one["due_on"] < TODAY.isoformat() for one in content)
    named = listing(f"{one['title']} ({one['due_on']}, {one['status']})" for one in content)
    head = f"{count(len(content), 'piece')} of content are due within 7 days, {late} of them late"
    return Answer(sentence(head, named), {"late": late, "content": content})


async def newsletter_desk(ctx: Context, task: Asked) -> Answer:
    """Take a customer off the mailing list, if that is what is asked for."""
    if not task.contract and not any(word in task.text.lower() for word in ("unsubscribe", "newsletter", "mail")):
        raise Refusal("a customer is taken off the mailing list if that is asked for: “unsubscribe customer 42”")
    customer = number(task, "customer")
    found = await ctx.tool("subscription", customer=customer)
    active = bool(found and not found["unsubscribed_on"])
    if active:
        await ctx.tool("unsubscribe", customer=customer)
    text = f"Customer {customer} {'gets no more mail from us' if active else 'was not subscribed'}."
    return Answer(text, {"customer": customer, "unsubscribed": active})
