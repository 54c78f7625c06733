"""People's workers: recruiting, headcount and absence, and the desks for names, interviews and leave."""

from company.common import Asked, count, euros, listing, number, sentence

from mai.agents.context import Answer, Context, Refusal


async def recruiting_screener(ctx: Context, task: Asked) -> Answer:
    """Which candidates wait for an interview."""
    found = await ctx.tool("waiting")
    named = listing(f"{one['name']} ({one['candidate']}, {one['department']}, since {one['applied_on']})" for one in found)
    head = f"{count(len(found), 'candidate')} wait for an interview"
    return Answer(sentence(head, named), {"candidates": found})


async def headcount_analyst(ctx: Context, task: Asked) -> Answer:
    """How many people work here, by department."""
    departments = {one["department"]: one["employees"] for one in await ctx.tool("headcount")}
    total = sum(departments.values())
    named = listing((f"{n} in {department}" for department, n in departments.items()), most=8)
    return Answer(f"{total} people work here: {named}.", {"employees": total, "departments": departments})


async def payroll_analyst(ctx: Context, task: Asked) -> Answer:
    """What the staff earns in a month, in sum; who earns what stays in this department."""
    groups = await ctx.tool("headcount")
    value = {"employees": sum(one["employees"] for one in groups), "monthly_cents": sum(one["monthly_cents"] for one in groups)}
    return Answer(f"{count(value['employees'], 'employee')} earn {euros(value['monthly_cents'])} a month in sum.", value)


async def hiring_analyst(ctx: Context, task: Asked) -> Answer:
    """How long hiring takes."""
    found = await ctx.tool("hiring_times")
    text = (
        f"Hiring took {found['mean_days']} days on average over {count(found['hired'], 'hire')}, {found['longest_days']} at most."
    )
    return Answer(text, found)


async def turnover_analyst(ctx: Context, task: Asked) -> Answer:
    """How many people leave."""
    found = await ctx.tool("turnover")
    percent = round(100 * found["departures"] / (found["employees"] + found["departures"]), 1)
    text = (
        f"{count(found['departures'], 'person', 'people')} left in the last year, {found['employees']} work here: "
        f"a turnover of {percent} %."
    )
    return Answer(text, found | {"percent": percent})


async def absence_analyst(ctx: Context, task: Asked) -> Answer:
    """Who is away today. Why stays in this department."""
    found = await ctx.tool("away")
    away = [{field: one[field] for field in ("employee", "name", "department", "back_after")} for one in found]
    named = listing(f"{one['name']} ({one['department']}, until {one['back_after']})" for one in away)
    head = f"{count(len(away), 'person', 'people')} {'is' if len(away) == 1 else 'are'} away today"
    return Answer(sentence(head, named), {"away": away})


async def hiring_planner(ctx: Context, task: Asked) -> Answer:
    """Whether the departments can pay those who have an offer for three months, by finance's budgets."""
    offers = await ctx.tool("offers")
    budgets = await ctx.all(*(ctx.ask("finance.budget", department=one["department"]) for one in offers))
    short = []
    for one, budget in zip(offers, budgets, strict=True):
        missing = 3 * one["monthly_cents"] - budget.value["left_cents"]
        if missing > 0:
            short.append({"department": one["department"], "missing_cents": missing})
    candidates = sum(one["candidates"] for one in offers)
    quarter = 3 * sum(one["monthly_cents"] for one in offers)
    named = listing(f"{one['department']} lacks {euros(one['missing_cents'])}" for one in short)
    head = f"{count(candidates, 'candidate')} have an offer and would cost {euros(quarter)} a quarter"
    verdict = f"; {named}." if short else "; every department can pay its own from what is left of its budget."
    return Answer(head + verdict, {"offers": candidates, "quarter_cents": quarter, "short": short})


async def directory_desk(ctx: Context, task: Asked) -> Answer:
    """Who somebody is: a list for other departments, one employee for the client."""
    if task.contract == "people.staff":
        found = await ctx.tool("staff", employees=task.input["employees"])
        return Answer(f"{count(len(found), 'employee')} found.", {"staff": found})
    asked = number(task, "employee")
    found = await ctx.tool("staff", employees=[asked])
    if not found:
        raise Refusal(f"there is no employee {asked}")
    one = found[0]
    return Answer(f"Employee {asked} is {one['name']}, {one['title']}, {one['phone']}.", one)


async def interview_desk(ctx: Context, task: Asked) -> Answer:
    """Arrange an interview for a candidate who waits."""
    asked = number(task, "candidate")
    one = await ctx.tool("candidate", candidate=asked)
    if one is None:
        raise Refusal(f"there is no candidate {asked}")
    if one["stage"] != "waiting":
        arranged = f", the interview is on {one['interview_at']}" if one["interview_at"] else ""
        raise Refusal(f"candidate {asked} does not wait for an interview: {one['stage']}{arranged}")
    done = await ctx.tool("schedule", candidate=asked, department=one["department"])
    text = f"{one['name']} (candidate {asked}) meets employee {done['employee']} of {one['department']} on {done['at']}."
    return Answer(text, {"candidate": asked, "interview": done["interview"], "employee": done["employee"], "at": done["at"]})


async def leave_desk(ctx: Context, task: Asked) -> Answer:
    """How much vacation an employee has taken."""
    asked = number(task, "employee")
    found = await ctx.tool("leave_taken", employee=asked)
    if found is None:
        raise Refusal(f"there is no employee {asked}")
    text = f"{found['name']} (employee {asked}) took {count(found['vacation_days'], 'day')} of vacation in the last year."
    return Answer(text, {"employee": asked, "vacation_days": found["vacation_days"]})
