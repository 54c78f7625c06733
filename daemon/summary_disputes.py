"""Records and messages about claims, in words. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

Body = Mapping[str, Any]
DISPUTING: Final = ("claim", "weigh", "vote", "case_told")  # messages


def _value(of: Body) -> str:
    return msgspec.json.encode(of.get("value")).decode()[:80] if of.get("shown") else f"(digest {of['digest']})"


def _noted(body: Body) -> str:
    claim = body["claim"]
    agent, how = claim["agent"].split("/", 1)[-1], claim.get("state", "standing")
    case = f", {claim['case']}" if claim.get("case") else ""
    return f"{agent}: {claim['subject']} {claim['attribute']} = {_value(claim)} is {how}{case}"


def _asked(body: Body) -> str:
    whom = ", ".join(body.get("tasks", {}).values()) or body["owner"]
    return f"{whom}{': ' * bool(body.get('why'))}{body.get('why', '')}"


def _voted(body: Body) -> str:
    late = " (late)" if body.get("late") else ""
    return f"{body['department']} for {body['claim'] or 'nobody'}{late}: {body['why']}"


def _ruled(body: Body) -> str:
    ruling = body["ruling"]
    lost = ", ".join(ruling["losers"])
    return f"{ruling['winner']} has won against {lost}, {ruling['clause']}, says {ruling['by']}: {ruling['why']}"


def disputing(inner: Body) -> str:
    """A message about a claim or a case."""
    match inner["is"]:
        case "claim":
            return f"{inner['subject']} {inner['attribute']} = {_value(inner)}"
        case "weigh":
            asked = "is it accepted" if inner["ruling"] else "who is right"
            return f"{inner['request']}: {asked}, about {inner['subject']} {inner['attribute']}"
        case "vote":
            return f"{inner['request']}: for {inner['claim'] or 'nobody'}, {inner['why']}"
    return f"{inner['request']}: {'open again' if inner['open'] else inner['winner'] + ' has won'}"


DISPUTES: Final[dict[str, Callable[[Body], str]]] = {
    "claim.noted": _noted,
    "case.opened": lambda b: f"{b['subject']} {b['attribute']}: {' against '.join(b['claims'])}",
    "case.reopened": lambda b: f"by {b['claim']}",
    "case.asked": _asked,
    "case.voted": _voted,
    "case.ruled": _ruled,
    "case.appealed": lambda b: f"by {b['by']}: {b['why']}",
    "case.expired": lambda b: str(b["why"]),
    "ruling.told": lambda b: disputing({"is": "case_told", **b["body"]}),
    "answer.held": lambda b: f"it waits for {', '.join(b['cases'])}",
    "answer.returned": lambda b: f"{'once more as ' + b['again'] if b.get('again') else 'it does not go on'}: {b['why']}",
}
