"""The clerks of thinking.toml: what an analyst who asks a model gives up, a clerk works out by rule, from the same figures.

Each department has one, named as the backup of its analysts. So a model that is away, spent or wrong costs words, and no answer.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from company.common import Asked
from company.engineering import capacity_analyst, error_analyst, postmortem_analyst
from company.finance import budget_controller, cash_analyst, refund_analyst
from company.legal import retention_analyst
from company.marketing import channel_analyst, copy_strategist
from company.operations import carrier_analyst
from company.people import hiring_analyst, turnover_analyst
from company.sales import forecast_analyst
from company.support import backlog_analyst, knowledge_editor, topic_analyst

from mai.agents.context import Answer, Context, Refusal

BY_RULE: Final[Mapping[str, Callable[[Context, Asked], Awaitable[Answer]]]] = {
    "marketing.channels": channel_analyst,
    "marketing.subject_lines": copy_strategist,
    "sales.forecast": forecast_analyst,
    "support.backlog": backlog_analyst,
    "support.topics": topic_analyst,
    "support.articles": knowledge_editor,
    "engineering.error_rate": error_analyst,
    "engineering.slowest": capacity_analyst,
    "engineering.incident_causes": postmortem_analyst,
    "finance.refund_rate": refund_analyst,
    "finance.budget": budget_controller,
    "finance.cash": cash_analyst,
    "legal.retention": retention_analyst,
    "people.time_to_hire": hiring_analyst,
    "people.turnover": turnover_analyst,
    "operations.carriers": carrier_analyst,
}


async def clerk(ctx: Context, task: Asked) -> Answer:
    """What a contract promises, by rule. A free text is nothing for a clerk."""
    if task.contract not in BY_RULE:
        raise Refusal("an analyst gave it up, and a clerk takes only what a contract says word by word")
    return await BY_RULE[task.contract](ctx, task)
