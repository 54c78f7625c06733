"""Ids of tasks that are somebody's turn at what was asked under another id. Pure."""

import re
from typing import Final

BACKUP: Final = "b"  # in the id of a task that another contract has instead: behind it, the how manieth
CORRECTED: Final = "c"  # the same of a task that its department has once more, because its reply came back
_AGAIN: Final = re.compile(r"((?:/|\.m)\d+)[bc]\d+\Z")


def first(task: str) -> str:
    """The id under which a task was asked for, whoever has it now."""
    mark = max(task.rfind(BACKUP), task.rfind(CORRECTED))  # most have none: this is asked often
    return _AGAIN.sub(r"\1", task) if task[mark + 1 :].isdecimal() and mark >= 0 else task
