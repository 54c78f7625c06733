"""Names that another department owns. An answer is better without a name than not given, so a refusal costs only the name."""

from mai.agents.context import Context, Refusal


async def customer_names(ctx: Context, customers: list[int]) -> dict[int, str]:
    """What sales calls these customers; empty when sales cannot say."""
    try:
        reply = await ctx.ask("sales.accounts", customers=sorted(set(customers)))
    except Refusal:
        return {}
    return {one["customer"]: one["name"] for one in reply.value["accounts"]}


async def staff_names(ctx: Context, employees: list[int]) -> dict[int, str]:
    """What people calls these employees; empty when people cannot say."""
    try:
        reply = await ctx.ask("people.staff", employees=sorted(set(employees)))
    except Refusal:
        return {}
    return {one["employee"]: one["name"] for one in reply.value["staff"]}


def called(names: dict[int, str], customer: int) -> str:
    """A customer for a person: her name and number, or the number alone."""
    return f"{names[customer]} (customer {customer})" if customer in names else f"customer {customer}"
