"""A caller at the watchdog's door who waits for what he has ordered."""

from collections.abc import Callable

from mai.daemon.door import Caller, refusal
from mai.sandbox.errors import MaiError


class Vigil:
    """A caller who waits. `step` answers when it can, and says whether that was the last answer."""

    def __init__(self, caller: Caller, until_s: float, step: Callable[[], bool], late: Callable[[], MaiError]) -> None:
        self.caller, self.until_s, self.step, self.late = caller, until_s, step, late

    def over(self, now_s: float) -> bool:
        """Answer if there is something to say; true at the end."""
        if self.caller.gone or self.step():
            return True
        if now_s < self.until_s:
            return False
        self.caller.answer(refusal(self.late()))
        return True
