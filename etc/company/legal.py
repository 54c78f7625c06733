"""Legal's workers: privacy across all departments, consents, agreements and the duties to keep records."""

from company.common import Asked, Row, choice, count, listing, number, optional, sentence
from company.erasure import listed, told
from company.names import customer_names

from mai.agents.context import Answer, Context, Refusal

DEPARTMENTS = (
    "marketing",
    "support",
    "engineering",
    "people",
    "operations",
    "finance",
    "sales",
)  # who else holds data on customers


async def privacy_officer(ctx: Context, task: Asked) -> Answer:
    """Erase a customer everywhere, one department after the other; a department that cannot is named with its reason."""
    customer = number(task, "customer")
    keep = {one["kind"]: one["years"] for one in await ctx.tool("duties")}
    done: list[Row] = [{"department": "legal"} | await ctx.tool("erase", customer=customer, keep=keep)]
    failed: dict[str, str] = {}
    for department in DEPARTMENTS:
        try:
            reply = await ctx.ask(f"{department}.erase", customer=customer, keep=keep)
            done.append({"department": department} | reply.value)
        except Refusal as refusal:
            failed[department] = str(refusal)
    sums = {field: sum(sum(one[field].values()) for one in done) for field in ("erased", "anonymised", "kept")}
    value = {"customer": customer, **sums, "failed": failed, "departments": [_without(one, "customer") for one in done]}
    return Answer(_erased_text(customer, done, sums, failed, keep), value)


def _without(one: Row, field: str) -> Row:
    return {name: value for name, value in one.items() if name != field}


def _erased_text(customer: int, done: list[Row], sums: dict[str, int], failed: dict[str, str], keep: dict[str, int]) -> str:
    """What was erased where, what stays and why, and who could not."""
    sentences = []
    if sums["erased"] or sums["anonymised"]:
        parts = "; ".join(f"{one['department']} {told(one)}" for one in done)
        sentences.append(f"Customer {customer} is erased: {parts}.")
    elif not failed:
        sentences.append(f"Nothing is left to erase on customer {customer}.")
    if sums["kept"]:
        kept = [f"{listed({table: n})} ({keep[table]} years)" for one in done for table, n in one["kept"].items()]
        sentences.append(f"The law obliges us to keep, without a name, {listing(kept, most=9)}.")
    if failed:
        sentences.append("Not erased: " + "; ".join(f"{department}, because {why}" for department, why in failed.items()) + ".")
    return " ".join(sentences)


async def access_analyst(ctx: Context, task: Asked) -> Answer:
    """What all departments hold on a customer."""
    customer = number(task, "customer")
    own = {table: n for table, n in (await ctx.tool("holdings", customer=customer)).items() if n}
    replies = await ctx.all(*(ctx.ask(f"{department}.holdings", customer=customer) for department in DEPARTMENTS))
    held = {"legal": own} | {name: reply.value["held"] for name, reply in zip(DEPARTMENTS, replies, strict=True)}
    total = sum(sum(tables.values()) for tables in held.values())
    parts = (f"{name} {listed(tables)}" for name, tables in held.items() if tables)
    text = f"On customer {customer} we hold {count(total, 'record')}"
    value = {
        "customer": customer,
        "records": total,
        "departments": [{"department": d, "held": tables} for d, tables in held.items()],
    }
    return Answer(f"{text}: {'; '.join(parts)}." if total else f"{text}.", value)


async def consent_analyst(ctx: Context, task: Asked) -> Answer:
    """How many consents are valid on some days, for marketing; which run out soon, for the client."""
    if task.contract == "legal.consents":
        wanted = [str(one) for one in task.input["days"]]
        found = await ctx.tool("valid_consents", purpose=task.input["purpose"], days=wanted)
        return Answer(f"Consents to {task.input['purpose']} on {count(len(wanted), 'day')}.", {"days": found})
    days = optional(task, "days", 30)
    consents = await ctx.tool("expiring_consents", days=days)
    named = listing(f"customer {one['customer']} to {one['purpose']} on {one['expires_on']}" for one in consents)
    head = f"{count(len(consents), 'consent')} expire within {days} days"
    return Answer(sentence(head, named), {"days": days, "consents": consents})


async def agreement_analyst(ctx: Context, task: Asked) -> Answer:
    """Which agreements must be given notice soon, if they are not to go on."""
    days = optional(task, "days", 90)
    found = await ctx.tool("ending_agreements", days=days)
    named = listing(f"agreement {one['agreement']} ({one['kind']}) by {one['notice_by']}" for one in found)
    head = f"Notice of {count(len(found), 'agreement')} is due within {days} days"
    return Answer(sentence(head, named), {"days": days, "agreements": found})


async def retention_analyst(ctx: Context, task: Asked) -> Answer:
    """How long a kind of record must be kept."""
    duties = {one["kind"]: one for one in await ctx.tool("duties")}
    one = duties[choice(task, "kind", duties)]
    return Answer(f"{one['kind'].capitalize()} must be kept for {one['years']} years, by {one['law']}.", one)


async def compliance_analyst(ctx: Context, task: Asked) -> Answer:
    """Which of marketing's subscribers have not consented, or no longer do."""
    consenting = set(await ctx.tool("consenting", purpose="marketing"))
    subscribed = (await ctx.ask("marketing.subscribers")).value["customers"]
    without = [customer for customer in subscribed if customer not in consenting]
    named = listing((str(customer) for customer in without), most=10)
    head = f"{len(without)} of {count(len(subscribed), 'subscriber')} have no valid consent to marketing"
    return Answer(
        f"{head}: customers {named}." if without else f"{head}.", {"subscribers": len(subscribed), "customers": without}
    )


async def vendor_analyst(ctx: Context, task: Asked) -> Answer:
    """With which of operations' suppliers no agreement is in force."""
    agreed = set(await ctx.tool("supplier_agreements"))
    suppliers = (await ctx.ask("operations.suppliers")).value["suppliers"]
    without = [one for one in suppliers if one["supplier"] not in agreed]
    named = listing(f"{one['name']} ({one['supplier']})" for one in without)
    head = f"{len(without)} of {count(len(suppliers), 'supplier')} have no agreement in force"
    return Answer(sentence(head, named), {"suppliers": without})


async def consent_desk(ctx: Context, task: Asked) -> Answer:
    """Withdraw a customer's consents; marketing takes her off its list at once."""
    customer = number(task, "customer")
    withdrawn = await ctx.tool("withdraw", customer=customer)
    listed = (await ctx.ask("marketing.unsubscribe", customer=customer)).value["unsubscribed"]
    text = f"{count(withdrawn, 'consent')} of customer {customer} are withdrawn as of today"
    ended = "and marketing took her off its list" if listed else "and marketing did not have her on its list"
    return Answer(f"{text}, {ended}.", {"customer": customer, "withdrawn": withdrawn, "unsubscribed": listed})


async def requests_desk(ctx: Context, task: Asked) -> Answer:
    """Which requests about privacy wait for an answer."""
    found = await ctx.tool("requests_due")
    named = listing(f"{one['kind']} for customer {one['customer']} by {one['due_on']}" for one in found)
    head = f"{count(len(found), 'privacy request')} are open"
    return Answer(sentence(head, named), {"requests": found})


async def agreements_desk(ctx: Context, task: Asked) -> Answer:
    """Which agreement there is with a customer; sales knows her name."""
    customer = number(task, "customer")
    found = await ctx.tool("customer_agreement", customer=customer)
    if found is None:
        raise Refusal(f"there is no agreement with customer {customer}")
    name = (await customer_names(ctx, [customer])).get(customer, f"customer {customer}")
    text = (
        f"Agreement {found['agreement']} with {name} (customer {customer}) was signed on {found['signed_on']} and "
        f"ends on {found['ends_on']}."
    )
    return Answer(text, found)
