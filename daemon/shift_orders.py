"""What a person says at Mai's door of an agent: that it is on, off or paused, or that the calendar counts again.

Who it was is what the kernel says of the connection. What becomes of it is rostering.py.
"""

from typing import TYPE_CHECKING, Final

from mai.agents.plain import readable
from mai.agents.shell import now_ms
from mai.daemon.door import Caller, Reply
from mai.daemon.rostering import Rostering
from mai.sandbox.errors import UsageFault

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

HOWS: Final = ("on", "off", "pause", "")
LONGEST_WHY: Final = 300


def order(gateway: "Gateway", caller: Caller, request: Reply) -> Reply:
    """Say it. Raises UsageFault; the answer is for after the commit."""
    process, agent = _agent(gateway, request.get("name"))
    how, until_ms, why = request.get("how"), request.get("until_ms", 0), request.get("why", "")
    if how not in HOWS:
        raise UsageFault(f"{how!r:.40} is no word about an agent", "on, off or pause")
    if not isinstance(until_ms, int) or (until_ms and until_ms <= now_ms()):
        raise UsageFault("that time is over", "say a later one, or none")
    if not isinstance(why, str) or len(why) > LONGEST_WHY:
        raise UsageFault("this is no reason", f"a text of at most {LONGEST_WHY} characters")
    gateway.shell.feed(Rostering(process, agent, how, until_ms, caller.user, caller.uid, readable(why)))
    return {"agent": f"{process}/{agent}", "how": how, "until_ms": until_ms, "by": caller.user}


def _agent(gateway: "Gateway", name: object) -> tuple[str, str]:
    client, department, agent, *more = (*str(name).split("/"), "", "", "")
    own = gateway.decider.mandate.organisation.department(department)
    if client != gateway.client or any(more) or own is None or own.agent(agent) is None:
        known = [f"{client}/{one.name}/…" for one in gateway.decider.mandate.organisation.departments]
        raise UsageFault(f"there is no agent {name!r:.120}", f"agents are in {', '.join(known)[:200]}: mai chart shows them")
    return f"{client}/{department}", agent
