"""The world outside: an account book whose sum must hold, and the hand that can end a process in the midst of a tool.

A tool acts on `Outside.now`, the book of the world that is played at present. Each act bears the key of its effect; the book
keeps how often each key has moved money, which nobody but a checker and a person may look at.
"""

from collections import Counter
from collections.abc import Callable
from typing import ClassVar

CASH = 1_000_000


class Outside:
    """One bank. `reach(name)` may end the process that acts; `mishap()` says how a tool fails now: "", fails, late, unsaid."""

    now: ClassVar["Outside"]

    def __init__(self, reach: Callable[[str], None], mishap: Callable[[], str], intended: Callable[[str], None]) -> None:
        self.accounts = {"customer": CASH, "till": 0, "shelf": CASH, "sold": 0}
        self.moved: Counter[str] = Counter()  # by key
        self.amounts: dict[str, int] = {}
        self.reach, self.mishap, self.intended = reach, mishap, intended
        self.calls = 0
        self.posted: dict[str, set[str]] = {}  # messages that have left -> the keys under which they did

    def move(self, key: str, source: str, target: str, amount: int, *, once: bool) -> int:
        """Move an amount; with `once` the same key moves nothing again. Returns the amount."""
        self.reach("tool.begins")
        self.intended(key)
        self.calls += 1
        if not (once and key in self.moved):
            self.accounts[source] -= amount
            self.accounts[target] += amount
            self.moved[key] += 1
            self.amounts[key] = amount
        self.reach("tool.acted")
        return amount

    def post(self, key: str, message: str) -> str:
        """Somebody is told something."""
        self.reach("tool.begins")
        self.intended(key)
        self.calls += 1
        self.posted.setdefault(message, set()).add(key)
        self.moved[key], self.amounts[key] = 1, 0  # it may be done again under its key
        self.reach("tool.acted")
        return message

    def whole(self) -> bool:
        """Does the sum of all accounts hold?"""
        return sum(self.accounts.values()) == 2 * CASH
