"""Sales' workers: the pipeline, the accounts, the orders, and the desks that customers meet."""

from company.common import Asked, Row, concluded, count, day, euros, listing, number, optional, sentence
from company.names import staff_names

from mai.agents.context import Answer, Context, Refusal

DISCOUNTS = ((50, 15), (20, 10), (10, 5))  # from so many units, so many percent
QUIET_DAYS = 180


async def _account(ctx: Context, customer: int) -> Row:
    found: Row | None = await ctx.tool("account", customer=customer)
    if found is None:
        raise Refusal(f"there is no customer {customer}")
    return found


async def pipeline_analyst(ctx: Context, task: Asked) -> Answer:
    """The open deals, one by one for other departments, summed by stage for the client."""
    if task.contract == "sales.pipeline":
        deals = await ctx.tool("open_deals", until=str(task.input["until"]))
        return Answer(f"{count(len(deals), 'open deal')} should close until {task.input['until']}.", {"deals": deals})
    stages = await ctx.tool("pipeline_stages")
    deals, cents, weighted = (sum(stage[field] for stage in stages) for field in ("deals", "cents", "weighted_cents"))
    by_stage = listing(f"{stage['deals']} in {stage['stage']}" for stage in stages)
    text = f"The pipeline holds {count(deals, 'open deal')} worth {euros(cents)}, {euros(weighted)} when weighted: {by_stage}."
    return Answer(text, {"deals": deals, "cents": cents, "weighted_cents": weighted, "stages": stages})


async def deal_analyst(ctx: Context, task: Asked) -> Answer:
    """Open deals above an amount in euros that close this quarter."""
    amount = number(task, "amount")
    deals = await ctx.tool("deals_above", cents=amount * 100)
    named = listing(f"deal {d['deal']} with {d['name']} ({euros(d['cents'])} on {d['close_on']})" for d in deals)
    head = f"{count(len(deals), 'open deal')} above {euros(amount * 100)} should close this quarter"
    return Answer(sentence(head, named), {"deals": deals})


async def forecast_analyst(ctx: Context, task: Asked) -> Answer:
    """What this quarter should bring, beside the quota."""
    f = await ctx.tool("quarter_figures")
    expected = f["won_cents"] + f["weighted_cents"]
    share = round(100 * expected / f["quota_cents"], 1)
    text = (
        f"This quarter should bring {euros(expected)}: {euros(f['won_cents'])} are won and {euros(f['weighted_cents'])} "
        f"may be expected of open deals. That is {share} % of the quota of {euros(f['quota_cents'])}."
    )
    return Answer(text, f | {"expected_cents": expected})


async def account_analyst(ctx: Context, task: Asked) -> Answer:
    """Who the customers are: a list for other departments, one in full for the client, with a claim on her standing."""
    if task.contract == "sales.accounts":
        found = await ctx.tool("accounts", customers=task.input["customers"])
        return Answer(f"{count(len(found), 'account')} found.", {"accounts": found})
    customer = number(task, "customer")
    one = await _account(ctx, customer)
    why = f"{one['orders']} orders worth {one['cents']} cents"
    own = "good" if one["orders"] >= 3 else "unproven"
    standing, ruled = await concluded(ctx, customer, own, confidence=0.6, grounds=("step:1",), why=why)
    text = (
        f"Customer {one['customer']} is {one['name']}, a {one['segment']} {one['industry']} business in the {one['region']}, "
        f"with us since {one['since']}: {count(one['orders'], 'order')} worth {euros(one['cents'])} in the last two years. "
        f"Her standing is {standing}{ruled}."
    )
    return Answer(text, {field: value for field, value in one.items() if field != "rep"} | {"standing": standing})


async def order_analyst(ctx: Context, task: Asked) -> Answer:
    """What was bought: by one customer, since a date, or of one product."""
    if task.contract == "sales.buyers":
        found = await ctx.tool("buyers", since=str(task.input["since"]))
        return Answer(f"{count(len(found), 'customer')} ordered since {task.input['since']}.", {"buyers": found})
    if task.contract == "sales.demand":
        return await _demand(ctx, task.input["product"], task.input["days"])
    customer = number(task, "customer")
    products = await ctx.tool("purchases", customer=customer)
    orders, cents = (sum(one[field] for one in products) for field in ("orders", "cents"))
    named = listing(f"{one['units']} x {one['name']} ({euros(one['cents'])})" for one in products)
    head = f"Customer {customer} bought for {euros(cents)} in {count(orders, 'order')}"
    value = {"customer": customer, "orders": orders, "cents": cents, "products": products}
    return Answer(f"{head}: {named}." if products else f"Customer {customer} has bought nothing in the last two years.", value)


async def _demand(ctx: Context, product: int, days: int) -> Answer:
    sold = await ctx.tool("units_sold", product=product, since=day(-days))
    if sold is None:
        raise Refusal(f"there is no product {product}")
    return Answer(f"{count(sold['units'], 'unit')} of {sold['name']} were ordered in {days} days.", sold)


async def churn_analyst(ctx: Context, task: Asked) -> Answer:
    """Good customers who have gone quiet and have an open ticket with support: they may be leaving."""
    quiet = await ctx.tool("quiet_buyers", days=QUIET_DAYS)
    reply = await ctx.ask("support.open_tickets", customers=[one["customer"] for one in quiet])
    troubled = {ticket["customer"] for ticket in reply.value["tickets"]}
    risky = [one for one in quiet if one["customer"] in troubled]
    named = listing(f"{one['name']} (customer {one['customer']}, last order {one['last_on']})" for one in risky)
    head = f"{count(len(quiet), 'customer')} with three or more orders bought nothing for {QUIET_DAYS} days"
    text = f"{head}; {len(risky)} of them also wait for an answer of support" + (f": {named}." if risky else ".")
    return Answer(text, {"quiet": len(quiet), "customers": risky})


async def order_desk(ctx: Context, task: Asked) -> Answer:
    """What is in an order."""
    asked = number(task, "order")
    found = await ctx.tool("order", order=asked)
    if found is None:
        raise Refusal(f"there is no order {asked}")
    text = (
        f"Order {asked} of customer {found['customer']} from {found['ordered_on']}: {found['units']} x {found['name']} "
        f"for {euros(found['cents'])}."
    )
    return Answer(text, found)


async def quote_desk(ctx: Context, task: Asked) -> Answer:
    """A quote for some units of a product, with the discount for quantity, put on record for 30 days."""
    product, units = number(task, "product"), optional(task, "units", 1)
    found = await ctx.tool("price_of", product=product)
    if found is None or units < 1:
        raise Refusal(f"there is no product {product}" if found is None else "a quote needs at least one unit")
    percent = next((percent for least, percent in DISCOUNTS if units >= least), 0)
    cents = units * found["cents"] * (100 - percent) // 100
    quote = await ctx.tool("record_quote", product=product, units=units, cents=cents)
    until = f"quote {quote['quote']} is good until {quote['valid_until']}"
    value = {"quote": quote["quote"], "product": product, "units": units, "cents": cents, "discount_percent": percent}
    return Answer(f"{units} x {found['name']} cost {euros(cents)} with {percent} % off; {until}.", value)


async def account_desk(ctx: Context, task: Asked) -> Answer:
    """Who of our people looks after a customer; people knows the name."""
    one = await _account(ctx, number(task, "customer"))
    names = await staff_names(ctx, [one["rep"]])
    name = names.get(one["rep"], f"employee {one['rep']}")
    value = {"customer": one["customer"], "employee": one["rep"], "name": name}
    return Answer(f"{name} looks after {one['name']} (customer {one['customer']}).", value)
