"""Finance's workers: receivables, revenue, budgets and credit, and the clerks who pay, bill and remind."""

from company.common import TODAY, Asked, Row, choice, concluded, count, day, euros, listing, number, optional, sentence
from company.names import called, customer_names

from mai.agents.context import Answer, Context, Refusal

REFUND_DAYS = 60  # after the order
MONTHS = "january february march april may june july august september october november december".split()


async def receivables_analyst(ctx: Context, task: Asked) -> Answer:
    """Overdue invoices: by customer for other departments, in sum for the client, and beside support's open tickets."""
    owing = await ctx.tool("overdue")
    if task.contract == "finance.overdue":
        customers = [{field: one[field] for field in ("customer", "invoices", "cents")} for one in owing]
        return Answer(f"{count(len(owing), 'customer')} have overdue invoices.", {"customers": customers})
    if task.contract == "finance.overdue_with_tickets" or "ticket" in task.text.lower():
        return await _with_tickets(ctx, owing)
    invoices, cents = (sum(one[field] for one in owing) for field in ("invoices", "cents"))
    oldest = min((one["oldest_on"] for one in owing), default=None)
    text = f"{count(invoices, 'invoice')} of {count(len(owing), 'customer')} are overdue, {euros(cents)} in all"
    value = {"invoices": invoices, "customers": len(owing), "cents": cents, "oldest_on": oldest}
    return Answer(f"{text}; the oldest was due on {oldest}." if oldest else f"{text}.", value)


async def _with_tickets(ctx: Context, owing: list[Row]) -> Answer:
    """Who owes us money and waits for us at once."""
    reply = await ctx.ask("support.open_tickets", customers=[one["customer"] for one in owing])
    tickets: dict[int, int] = {}
    for ticket in reply.value["tickets"]:
        tickets[ticket["customer"]] = tickets.get(ticket["customer"], 0) + 1
    both = [one for one in owing if one["customer"] in tickets]
    names = await customer_names(ctx, [one["customer"] for one in both])
    found = [
        {
            "customer": one["customer"],
            "overdue_cents": one["cents"],
            "invoices": one["invoices"],
            "tickets": tickets[one["customer"]],
        }
        for one in both
    ]
    named = listing(
        f"{called(names, one['customer'])} owes {euros(one['overdue_cents'])} and has {count(one['tickets'], 'open ticket')}"
        for one in found
    )
    head = f"{len(found)} of {count(len(owing), 'customer')} with overdue invoices have open tickets"
    return Answer(sentence(head, named), {"customers": found, "overdue_customers": len(owing)})


async def revenue_analyst(ctx: Context, task: Asked) -> Answer:
    """What was invoiced in a month, less refunds: the month named in the text, in its last occurrence, or last month."""
    months = {one["month"]: one for one in await ctx.tool("revenue")}
    month = _month(f"{task.input.get('month') or ''} {task.text}".lower())
    if month not in months:
        raise Refusal(f"there are no figures for {month}; there are some from {min(months)} to {max(months)}")
    one = months[month]
    net = one["invoiced_cents"] - one["refunded_cents"]
    text = (
        f"Revenue in {month} was {euros(net)}: {euros(one['invoiced_cents'])} invoiced, {euros(one['refunded_cents'])} refunded."
    )
    return Answer(text, one | {"cents": net})


def _month(text: str) -> str:
    """The month that a text names, as 2026-01; the one before today's if it names none."""
    index = next((i + 1 for i, month in enumerate(MONTHS) if month in text), 0)
    years = [word for word in text.replace("?", " ").replace(",", " ").split() if word.isdigit() and len(word) == len("2026")]
    if not index:
        return TODAY.replace(day=1).fromordinal(TODAY.replace(day=1).toordinal() - 1).isoformat()[:7]
    year = int(years[0]) if years else TODAY.year - (index > TODAY.month)
    return f"{year}-{index:02}"


async def budget_controller(ctx: Context, task: Asked) -> Answer:
    """How much of its budget a department has left this quarter."""
    budgets = {one["department"]: one for one in await ctx.tool("budgets")}
    one = budgets[choice(task, "department", budgets)]
    text = (
        f"{one['department'].capitalize()} has {euros(one['left_cents'])} of {euros(one['planned_cents'])} left in "
        f"{one['quarter']}; "
        f"{euros(one['spent_cents'])} are spent."
    )
    return Answer(text, one)


async def credit_analyst(ctx: Context, task: Asked) -> Answer:
    """How a customer pays, with a claim on her standing; sales says how much she buys."""
    customer = number(task, "customer")
    record = await ctx.tool("payment_record", customer=customer)
    if not record["invoices"]:
        raise Refusal(f"customer {customer} has no invoices, so there is nothing to judge by")
    bought = (await ctx.ask("sales.purchases", customer=customer)).value
    why = f"{record['late']} of {record['invoices']} invoices paid late or overdue, {record['open_cents']} cents open"
    own = "good" if record["late"] * 4 <= record["invoices"] else "poor"
    standing, ruled = await concluded(ctx, customer, own, confidence=0.8, grounds=("step:1", "step:2"), why=why)
    text = (
        f"Customer {customer}'s credit standing is {standing}{ruled}: {record['late']} of "
        f"{count(record['invoices'], 'invoice')} were paid late "
        f"or are overdue, {euros(record['open_cents'])} are open, of purchases worth {euros(bought['cents'])}."
    )
    return Answer(text, {"customer": customer, "standing": standing, "bought_cents": bought["cents"]} | record)


async def cash_analyst(ctx: Context, task: Asked) -> Answer:
    """What should come in within some days."""
    days = optional(task, "days", 30)
    due = await ctx.tool("due_until", days=days)
    text = (
        f"{euros(due['cents'])} from {count(due['invoices'], 'open invoice')} should come in within {days} days; "
        f"{euros(due['overdue_cents'])} are overdue besides."
    )
    return Answer(text, due | {"days": days})


async def refund_analyst(ctx: Context, task: Asked) -> Answer:
    """How much was refunded in the last 90 days."""
    since = day(-90)
    found = await ctx.tool("refunds_since", since=since)
    percent = round(100 * found["cents"] / found["invoiced_cents"], 1) if found["invoiced_cents"] else 0.0
    text = (
        f"Since {since} we paid {count(found['refunds'], 'refund')} worth {euros(found['cents'])}, {percent} % of "
        f"what was invoiced."
    )
    return Answer(text, found | {"percent": percent})


async def payroll_analyst(ctx: Context, task: Asked) -> Answer:
    """What the staff costs in a month, from people, beside the budget of the quarter."""
    reply = await ctx.ask("people.payroll")
    planned = sum(one["planned_cents"] for one in await ctx.tool("budgets"))
    cents, staff = reply.value["monthly_cents"], reply.value["employees"]
    share = round(100 * 3 * cents / planned, 1)
    text = f"Payroll is {euros(cents)} a month for {count(staff, 'employee')}; a quarter of it is {share} % of all budgets."
    return Answer(text, {"monthly_cents": cents, "employees": staff, "percent_of_budgets": share})


def _why_not(sale: Row | None, order: int) -> str:
    """Why an order cannot be refunded; empty if it can."""
    if sale is None:
        return f"there is no invoice for order {order}"
    if sale["refund"]:
        return f"order {order} was refunded already, on {sale['refunded_on']} with refund {sale['refund']}"
    if not sale["paid_on"]:
        return f"order {order} has not been paid"
    if sale["days"] > REFUND_DAYS:
        return (
            f"order {order} is from {sale['issued_on']}, {int(sale['days'])} days ago; refunds are paid within {REFUND_DAYS} days"
        )
    return ""


async def refund_clerk(ctx: Context, task: Asked) -> Answer:
    """Refund an order, or say whether it could be."""
    order = number(task, "order")
    sale = await ctx.tool("sale", order=order)
    reason = _why_not(sale, order)
    if task.contract != "finance.refund":
        said = reason or f"order {order} can be refunded: {euros(sale['cents'])}"
        value = {"order": order, "eligible": not reason, "reason": reason, "cents": sale["cents"] if sale else 0}
        return Answer(f"{said[0].upper()}{said[1:]}.", value)
    if reason:
        raise Refusal(reason)
    known = {"order": order, "customer": sale["customer"], "cents": sale["cents"]}
    paid = await ctx.tool("refund", reason=task.input["reason"], **known)
    if paid["again"]:  # somebody was faster between the look and the payment
        raise Refusal(f"order {order} was refunded already, on {paid['refunded_on']} with refund {paid['refund']}")
    return Answer(
        f"Refund {paid['refund']} of {euros(sale['cents'])} for order {order} is paid.", known | {"refund": paid["refund"]}
    )


async def invoice_desk(ctx: Context, task: Asked) -> Answer:
    """A customer's open invoices."""
    customer = number(task, "customer")
    invoices = await ctx.tool("open_invoices", customer=customer)
    cents = sum(one["cents"] for one in invoices)
    named = listing(f"invoice {one['invoice']} ({euros(one['cents'])}, due {one['due_on']})" for one in invoices)
    head = f"Customer {customer} has {count(len(invoices), 'open invoice') if invoices else 'no open invoices'}"
    text = f"{head} worth {euros(cents)}: {named}." if invoices else f"{head}."
    return Answer(text, {"customer": customer, "cents": cents, "invoices": invoices})


async def dunning_desk(ctx: Context, task: Asked) -> Answer:
    """Send a reminder for an overdue invoice."""
    asked = number(task, "invoice")
    one = await ctx.tool("invoice", invoice=asked)
    if one is None or one["paid"]:
        raise Refusal(f"invoice {asked} is paid" if one else f"there is no invoice {asked}")
    if one["due_on"] >= TODAY.isoformat():
        raise Refusal(f"invoice {asked} is not due before {one['due_on']}")
    sent = await ctx.tool("remind", invoice=asked)
    text = f"Reminder {sent['level']} for invoice {asked} over {euros(one['cents'])} went to customer {one['customer']}."
    return Answer(text, {"invoice": asked, "customer": one["customer"], "cents": one["cents"], "level": sent["level"]})
