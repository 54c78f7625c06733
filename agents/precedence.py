"""Which side of a case wins by the organisation's precedence: what boards without code vote by, and what Mai rules by. Pure."""

from collections.abc import Mapping, Sequence

from mai.agents.claim_messages import Side
from mai.agents.conflict_scope import PERSON, VOTES
from mai.agents.organisation import RANKS


def choose(by: Sequence[str], sides: Sequence[Side], votes: Mapping[str, int], asked: int) -> tuple[int, str]:
    """The side that wins, and by which of the criteria: the first that leaves one. 0 and "" if none does.

    `votes`: what each board has voted for, by its department, 0 if it was undecided; `asked`: how many boards were.
    """
    for criterion in by:
        if criterion == PERSON:
            break
        found = _majority(votes, asked) if criterion == VOTES else _leading(criterion, sides)
        if len(found) == 1:
            return found.pop(), criterion
    return 0, ""


def _majority(votes: Mapping[str, int], asked: int) -> set[int]:
    """The side that more than half of the boards voted for: of those that were asked, not of those that answered."""
    count = {side: list(votes.values()).count(side) for side in votes.values() if side}
    return {side for side, many in count.items() if 2 * many > asked}


def _leading(criterion: str, sides: Sequence[Side]) -> set[int]:
    match criterion:
        case "rank":
            best = [-RANKS.index(one.rank) if one.rank in RANKS else -len(RANKS) for one in sides]
        case "confidence":
            best = [one.confidence for one in sides]  # type: ignore[misc]  # numbers either way
        case "newest":
            best = [one.at_ms for one in sides]
        case "oldest":
            best = [-one.at_ms for one in sides]
        case _:
            best = [int(criterion in (one.department, f"{one.department}/{one.agent.rpartition('/')[2]}")) for one in sides]
            if not any(best):
                return set()
    return {one.side for one, value in zip(sides, best, strict=True) if value == max(best)}


def clause(name: str, criterion: str) -> str:
    """How a ruling names it."""
    return f"{name}: {criterion}" if criterion else name
