"""An agent as a program of its own: which deliveries are late. It speaks JSON lines and imports nothing of ours.

Each task is one line. A line back calls a tool, whose value comes as the next line; a last line is the answer.
"""

import json
import sys
from typing import Any

SHOWN = 5


class Refused(Exception):
    """The runtime did not do what was asked; the argument says why."""


def say(**message: Any) -> None:
    """One line to the runtime."""
    print(json.dumps(message), flush=True)


def tool(name: str, **values: Any) -> Any:
    """Call a tool and wait for its value. Raises Refused."""
    say(call="tool", name=name, input=values)
    reply = json.loads(sys.stdin.readline())
    if "refused" in reply:
        raise Refused(reply["refused"])
    return reply["value"]


def answer() -> None:
    """One task; nothing in its line changes what this agent has to say."""
    late = tool("late_deliveries")
    named = [f"order {one['order']} by {one['carrier']} (promised for {one['promised_on']})" for one in late[:SHOWN]]
    more = f" and {len(late) - SHOWN} more" if len(late) > SHOWN else ""
    head = f"{len(late)} deliveries are late" if len(late) != 1 else "1 delivery is late"
    text = f"{head}: {', '.join(named)}{more}." if late else f"{head}."
    say(text=text, value={"late": len(late), "longest_days": max((one["days"] for one in late), default=0), "deliveries": late})


if __name__ == "__main__":
    for _ in sys.stdin:
        try:
            answer()
        except Refused as refused:
            say(refused=str(refused))
