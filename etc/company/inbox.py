"""The desk that answers customers' mail, and the tool that carries the answers out."""

import os
import re
from email.message import EmailMessage
from pathlib import Path
from typing import Final

from company.common import Asked

from mai.agents.context import Answer, Context, Refusal

ORDER: Final = re.compile(r"\border\b\D{0,20}?(\d{4,9})|\b(\d{5,9})\b", re.IGNORECASE)


async def inbox_desk(ctx: Context, task: Asked) -> Answer:
    """Say where the order is that a mail is about; a later mail may mean the order of an earlier one."""
    earlier = [f"{one.get('subject', '')} {one['text']}" for one in task.input.get("conversation", ()) if one["from"] == "person"]
    order = next((found for text in (task.input.get("subject", ""), task.text, *earlier[::-1]) if (found := _order(text))), None)
    if order is None:
        return Answer("Thank you for writing. Please tell us the number of your order, and we will look for it.")
    try:
        sent = (await ctx.ask("operations.shipment", order=order)).value
    except Refusal:
        return Answer(f"Thank you for writing. We have no shipment of an order {order}; please look at its number again.")
    tickets = await ctx.tool("tickets_of_order", order=order)
    when = f"was delivered on {sent['delivered_on']}" if sent["delivered_on"] else f"is promised for {sent['promised_on']}"
    known = " Your complaint about it is in work." if tickets else ""
    return Answer(f"Thank you for writing. Your order {order} goes with {sent['carrier']} and {when}.{known}")


def _order(text: str) -> int | None:
    found = ORDER.search(text)
    return int(found[1] or found[2]) if found else None


def post(files: Path, *, to: str, subject: str, text: str, message: str, reply_to: str) -> str:
    """Put a mail into the outbox, from where the host's mailer takes it; the same message is the same file."""
    mail = EmailMessage()
    mail["To"], mail["Subject"] = to, f"Re: {subject}" if subject else "Your message"
    mail["Message-ID"] = f"<{message}@acme.example>"
    if reply_to:
        mail["In-Reply-To"] = reply_to
    mail.set_content(text)
    outbox = files / "outbox"
    outbox.mkdir(exist_ok=True)
    part = outbox / f".{message}"
    part.write_bytes(mail.as_bytes())
    os.replace(part, outbox / f"{message}.eml")
    return f"{message}.eml"
