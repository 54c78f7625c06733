"""The accounts of the models process: whose budgets a call is held against, and where its cost is booked. Pure."""

from typing import Final

from mai.agents.models import Budget
from mai.agents.organisation import Organisation
from mai.daemon import spending
from mai.daemon.calling import AttemptEnded, Call, CallsState, CallTaken, OfRequest
from mai.daemon.spending import Account, Scoped

GRACE_MS: Final = 60_000  # after the deadline of a request, until what it has spent is forgotten


def budgets(organisation: Organisation, call: Call) -> list[Scoped]:
    """The budgets of a call: its request's, its client's, its department's, this one's for the day, and its agent's."""
    agent, limits = call.agent, organisation.limits.request
    client, named, *_ = (*spending.scopes(agent), "")
    whole = Budget(tokens=limits.tokens, money=limits.money, per="ever")
    found = [Scoped(spending.of_request(call.request), "request", whole), Scoped(client, "client", organisation.models.budget)]
    if department := organisation.department(named.rpartition("/")[2]):
        day = Budget(tokens=department.day.tokens, money=department.day.money, per="day")
        found += [Scoped(named, "department", department.budget), Scoped(named, "department", day)]
        found += [Scoped(agent, "agent", one.budget) for one in department.agents if f"{named}/{one.name}" == agent]
    return [one for one in found if one.budget.tokens or one.budget.money]


def account(state: CallsState, scope: str) -> Account:
    """What a scope has spent."""
    request = scope.removeprefix(spending.of_request(""))
    if request == scope:
        return state.accounts.get(scope) or Account()
    known = state.of_requests.get(request)
    return Account(ever=known.spent) if known else Account()


# -- evolve
def begin(state: CallsState, event: CallTaken) -> None:
    """A call is taken in: from now on what its request spends is counted, if that has a budget."""
    if event.until_ms and event.request not in state.of_requests:
        state.of_requests[event.request] = OfRequest(event.until_ms)
        state.changed("spent_request", event.request, state.of_requests[event.request])


def book(state: CallsState, call: Call, event: AttemptEnded) -> None:
    """What an attempt has cost, in all accounts that it concerns."""
    for scope in spending.scopes(call.agent):
        found = state.accounts.setdefault(scope, Account())
        found.book(event.usage, event.at_ms, event.periods)
        state.changed("spent", scope, found)
    if known := state.of_requests.get(call.request):
        known.spent.tokens += event.usage.tokens
        known.spent.cost_nano += event.usage.cost_nano
        state.changed("spent_request", call.request, known)


def close(state: CallsState, at_ms: int) -> None:
    """Requests whose time is over have no account any more: nothing can be asked for them."""
    for request in [name for name, one in state.of_requests.items() if one.until_ms + GRACE_MS < at_ms]:
        if not any(call.request == request for call in state.calls.values()):
            del state.of_requests[request]
            state.changed("spent_request", request, None)
