"""The calls on `ctx` about claims: to conclude something, with the grounds that it rests on, and what was ruled.

A ground is a step of the task (what `ctx.tool` and the like return, or "step:3"), "task" (what it was asked), a record of the
department's journal ("record:17"), a version of memory ("memory:agent/KEY/2", "memory:department/KEY/2") or another claim of the
department ("claim:TASK/STEP"). One that does not exist is refused: a claim cannot rest on what nobody has seen.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents import claims
from mai.agents.body import Fields
from mai.agents.claim_messages import Ground
from mai.agents.given import Refusal, a_name, a_share, a_span, a_text
from mai.agents.inputs import Call
from mai.agents.kept import Shelf
from mai.agents.plain import readable
from mai.agents.pleas import PENDING
from mai.agents.shell import now_ms

if TYPE_CHECKING:
    from mai.agents.context import Waiting
    from mai.agents.runner import Runner
    from mai.agents.state import Step, Work

MOST_GROUNDS: Final = 32
MOST_BYTES: Final = 16 << 10  # of a value as JSON: a conclusion is short
LONGEST_WHY: Final = 1000
KINDS: Final = "a step of the task, task, record:N, memory:LEVEL/KEY/VERSION, claim:ID"


class ClaimCalls:
    """The part of Context that is about claims."""

    _runner: "Runner"
    _work: "Work"
    _plain: Callable[..., Any]
    _next: Callable[[str, Any], "tuple[int, Step | None]"]
    _record: Callable[..., None]
    _waits: Callable[[int], "Waiting"]
    recorded: Callable[[int], "Step | None"]
    _concluding: set[int]  # steps of this kind that the code has come to in this life

    def conclude(
        self,
        subject: str,
        attribute: str,
        value: Any,
        *,
        confidence: float = 1.0,
        grounds: "Sequence[Waiting | str]" = (),
        why: str = "",
        valid_s: float | None = None,
        from_ms: int | None = None,
    ) -> "Waiting":
        """Claim something of a subject. Await {"claim": its id}. Raises Refusal: for a ground that is not there, a lost value.

        It is valid from now, or from a time of the wall clock, for `valid_s` seconds, or as long as the organisation says.
        """
        given: Fields = self._plain(
            {
                "subject": a_name("a subject", subject),
                "attribute": a_name("an attribute", attribute),
                "value": value,
                "confidence": a_share("a confidence", confidence),
                "grounds": [_named(one, self) for one in grounds],
                **({"why": readable(a_text("the why of a conclusion", why), LONGEST_WHY)} if why else {}),
                **_valid(from_ms, valid_s),
            }
        )
        n, step = self._next("conclude", given)
        self._concluding.add(n)
        if step is None:
            self._conclude(n, given)
        else:
            self.conclude_again(n)
        return self._waits(n)

    def conclude_again(self, n: int) -> None:
        """Go on with a conclusion that has waited for its approval, if it has that, or is to be judged anew."""
        step = self.recorded(n)
        waits = step is None or step.done or step.approval is None or step.approval.at in PENDING
        if step is not None and not waits and n in self._concluding:  # else the code will come to it
            self._conclude(n, step.given)

    def _conclude(self, n: int, given: Fields) -> None:
        found: list[Ground] = []
        why = _wrong(given)
        for name in given["grounds"] if not why else ():
            if (ground := self._found(name, n)) is None:
                why = f"there is no ground {readable(name, 80)!r}; a ground is {KINDS}"
                break
            found.append(ground)
        if why:
            self._record(n, "conclude", given, refused=why, state="failed")
        else:
            self._runner.shell.feed(Call(self._work.task, n, "conclude", {**given, "found": found, "times": _times(given)}))

    def rulings(self, subject: str, attribute: str = "") -> "Waiting":
        """What was ruled about a subject where claims contradicted each other, as this department was told. Await the list.

        Each is {"case", "attribute", "shown", "value", "clause", "why", "by", "until_ms"}; the value is null if not shown here.
        """
        given: Fields = self._plain({"subject": a_name("a subject", subject), "attribute": a_text("an attribute", attribute)})
        n, step = self._next("rulings", given)
        if step is None:
            self._record(n, "rulings", given, claims.valid(self._runner.state, now_ms(), subject, attribute))
        return self._waits(n)

    # -- grounds
    def _found(self, name: str, n: int) -> Ground | None:
        """Where a ground is; None if it is nowhere."""
        kind, _, what = name.partition(":")
        ledger, work = self._runner.shell.ledger, self._work
        match kind:
            case "task" if not what:
                return _at(name, ledger.last_of(work.request, work.task, "hop"))
            case "step" if what.isdecimal() and 0 < int(what) < n:
                step = self._runner.state.steps.get(work.task, {}).get(int(what))
                done = step is not None and step.done and not step.refused
                return _at(name, ledger.last_of(work.request, work.task, "step", int(what))) if done else None
            case "record" if what.isdecimal():
                return _at(name, ledger.place_of(int(what)))
            case "memory":
                return Ground(name) if self._kept(what) else None
            case "claim" if what in self._runner.state.claims:
                return Ground(name)
        return None

    def _kept(self, what: str) -> bool:
        level, _, rest = what.partition("/")
        key, _, version = rest.rpartition("/")
        if level not in ("agent", "department") or not key or not version.isdecimal():
            return False
        shelf = Shelf(level, self._work.agent if level == "agent" else "")
        return self._runner.state.memory.version(shelf, key, int(version)) is not None


def _named(ground: Any, context: Any) -> str:
    """How a ground is written down."""
    if isinstance(ground, str):
        return a_name("a ground", ground)
    if getattr(ground, "context", None) is context:
        return f"step:{ground.n}"
    raise Refusal(f"a ground is {KINDS}", "failed")


def _valid(from_ms: int | None, valid_s: float | None) -> Fields:
    if from_ms is not None and (isinstance(from_ms, bool) or not isinstance(from_ms, int) or not 0 < from_ms < 1 << 53):
        raise Refusal("from_ms has to be a time of the wall clock in milliseconds", "failed")
    given: Fields = {} if from_ms is None else {"from_ms": from_ms}
    return given if valid_s is None else {**given, "valid_s": a_span("valid_s", valid_s)}


def _times(given: Fields) -> tuple[int, int]:
    """From when and until when it is valid; 0: as the organisation says."""
    from_ms = int(given.get("from_ms", now_ms()))
    return from_ms, from_ms + int(given["valid_s"] * 1000) if "valid_s" in given else 0


def _wrong(given: Fields) -> str:
    if (size := len(msgspec.json.encode(given["value"]))) > MOST_BYTES:
        return f"a conclusion of {size} bytes, the limit is {MOST_BYTES}"
    if len(given["grounds"]) > MOST_GROUNDS:
        return f"{len(given['grounds'])} grounds, the limit is {MOST_GROUNDS}"
    return ""


def _at(name: str, place: tuple[int, bytes] | None) -> Ground | None:
    return Ground(name, place[0], place[1].hex()) if place else None
