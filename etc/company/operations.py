"""Operations' workers: deliveries, stock and purchasing, and the one who looks whether all runs."""

from company.common import TODAY, Asked, count, day, listing, number, sentence

from mai.agents.context import Answer, Context, Refusal

DEMAND_DAYS = 90


async def carrier_analyst(ctx: Context, task: Asked) -> Answer:
    """Which carrier keeps its word."""
    found = await ctx.tool("carriers")
    named = listing(f"{one['carrier']} ({one['percent']} % of {one['deliveries']})" for one in found)
    return Answer(f"{found[0]['carrier']} is the most reliable carrier; delivered when promised: {named}.", {"carriers": found})


async def stock_analyst(ctx: Context, task: Asked) -> Answer:
    """Which products run low."""
    found = await ctx.tool("low_stock")
    products = len({one["product"] for one in found})
    named = listing(f"product {one['product']} in {one['warehouse']} ({one['units']} of {one['reorder_at']})" for one in found)
    head = f"{count(products, 'product')} run low in {count(len(found), 'place')}"
    return Answer(sentence(head, named), {"products": products, "places": found})


async def procurement_analyst(ctx: Context, task: Asked) -> Answer:
    """Which goods should have come by now."""
    found = await ctx.tool("late_purchases")
    named = listing(f"{one['purchase']} from {one['supplier']} (expected {one['expected_on']})" for one in found)
    head = f"{count(len(found), 'purchase')} {'is' if len(found) == 1 else 'are'} late"
    return Answer(sentence(head, named), {"purchases": found})


async def supplier_analyst(ctx: Context, task: Asked) -> Answer:
    """All suppliers for legal; for the client those who keep us waiting."""
    if task.contract == "operations.suppliers":
        found = await ctx.tool("suppliers")
        return Answer(f"{count(len(found), 'supplier')}.", {"suppliers": found})
    found = await ctx.tool("slow_suppliers", most=5)
    named = listing(f"{one['name']} ({one['days_late']:+} days over {count(one['purchases'], 'purchase')})" for one in found)
    return Answer(f"The suppliers who keep us waiting most, beside what was expected: {named}.", {"suppliers": found})


async def demand_analyst(ctx: Context, task: Asked) -> Answer:
    """How long the stock of a product will last, by what sales sold lately."""
    product = number(task, "product")
    stock = await ctx.tool("stock_of", product=product)
    if stock is None:
        raise Refusal(f"there is no product {product}")
    sold = (await ctx.ask("sales.demand", product=product, days=DEMAND_DAYS)).value
    days = stock["units"] * DEMAND_DAYS // sold["units"] if sold["units"] else None
    lasts = f"lasts about {days} days" if days is not None else "is not being sold"
    text = (
        f"{sold['name']} (product {product}) {lasts}: {stock['units']} units in stock, {sold['units']} sold in "
        f"{DEMAND_DAYS} days."
    )
    return Answer(text, {"product": product, "units": stock["units"], "sold": sold["units"], "days": days})


async def continuity_analyst(ctx: Context, task: Asked) -> Answer:
    """Whether all runs: engineering's open incidents, support's backlog, and our own late deliveries."""
    incidents, backlog = await ctx.all(ctx.ask("engineering.incidents", since=day(-30)), ctx.ask("support.backlog"))
    going_on = sorted({one["service"] for one in incidents.value["incidents"] if not one.get("closed_at")})
    late = len(await ctx.tool("late_deliveries"))
    tickets = backlog.value["open"]
    services = (
        f"{listing(going_on)} {'has' if len(going_on) == 1 else 'have'} an open incident"
        if going_on
        else "no service has an incident"
    )
    text = (
        f"{services[0].upper()}{services[1:]}; {count(tickets, 'ticket')} are open and "
        f"{count(late, 'delivery', 'deliveries')} late."
    )
    return Answer(text, {"services": going_on, "open_tickets": tickets, "late_deliveries": late})


async def tracking_desk(ctx: Context, task: Asked) -> Answer:
    """Where an order is."""
    order = number(task, "order")
    found = await ctx.tool("shipment", order=order)
    if found is None:
        raise Refusal(f"there is no shipment for order {order}; those of the first half of the two years are not kept here")
    text = f"Order {order} is expected on {found['promised_on']} and waits to be shipped."
    if found["delivered_on"]:
        text = (
            f"Order {order} was delivered by {found['carrier']} on {found['delivered_on']}; promised was {found['promised_on']}."
        )
    elif found["shipped_on"]:
        late = ", late" if found["promised_on"] < TODAY.isoformat() else ""
        text = (
            f"Order {order} left on {found['shipped_on']} with {found['carrier']} and was promised for "
            f"{found['promised_on']}{late}."
        )
    return Answer(text, found)


async def reorder_desk(ctx: Context, task: Asked) -> Answer:
    """Order a product again, from the supplier who brings it soonest."""
    product = number(task, "product")
    supplier = await ctx.tool("best_supplier", product=product)
    if supplier is None:
        raise Refusal(f"nobody has delivered product {product} so far")
    order = {"supplier": supplier["supplier"], "product": product, "units": supplier["units"]}
    done = await ctx.tool("order_goods", lead_days=supplier["lead_days"], **order)
    text = (
        f"Purchase {done['purchase']}: {order['units']} units of product {product} from {supplier['name']}, "
        f"expected on {done['expected_on']}."
    )
    return Answer(text, order | {"purchase": done["purchase"], "expected_on": done["expected_on"]})
