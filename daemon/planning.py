"""Finding the departments for one client's requests: at once where a name or a phrase says it, else when the embedder has
said how close they are. A request waits for it so long as the organisation says; then, or while it is away, words decide."""

import time
from collections.abc import Iterator
from pathlib import Path

from mai.agents.organisation import Organisation
from mai.daemon.closeness import Closeness, Verdict
from mai.daemon.descriptions import described, planner
from mai.daemon.embedding import AGAIN_S, LONGEST, Embedding
from mai.daemon.plan import Plan


class Open:
    """A request that waits for its plan."""

    def __init__(self, text: str, texts: list[str], until_s: float) -> None:
        self.text, self.until_s, self.asked = text, until_s, False
        self.verdicts: dict[str, Verdict | None] = dict.fromkeys(texts)

    def found(self) -> dict[str, Verdict]:
        """The verdicts; empty as long as one is missing."""
        found = {piece: verdict for piece, verdict in self.verdicts.items() if verdict is not None}
        return found if len(found) == len(self.verdicts) else {}


class Planning:
    """The planner, and the requests that wait for the embedder. Without embeddings nothing ever waits."""

    def __init__(self, organisation: Organisation, socket: Path) -> None:
        self._planner = planner(organisation)
        self._settings, self._open = organisation.routing, dict[str, Open]()
        descriptions = described(organisation)
        owners, agents = [one.department for one in descriptions], [one.agents for one in descriptions]
        self._closeness = Closeness(owners, self._settings.margin, agents=agents)
        self._embedding = Embedding(socket, [one.text for one in descriptions])
        self._since_s = time.monotonic()

    def fileno(self) -> int:
        """To poll for reading."""
        return self._embedding.fileno()

    def begin(self, request: str, text: str) -> Plan | None:
        """The plan; None if it comes later, from `due`."""
        if not self._settings.embeddings:
            return self._planner.worded(text)
        if parts := self._planner.sure(text):
            return Plan(parts)
        self._open[request] = Open(text, self._planner.doubtful(text), time.monotonic() + self._settings.wait_s)
        return None

    def turn(self) -> None:
        """Take in what the embedder says."""
        heard = {text: self._closeness.judge(cosines) for text, cosines in self._embedding.turn().items()}
        for one in self._open.values() if heard else ():
            one.verdicts |= {piece: heard[piece[:LONGEST]] for piece in one.verdicts if piece[:LONGEST] in heard}

    def due(self) -> Iterator[tuple[str, Plan]]:
        """The requests whose plan is made now."""
        now_s, wait_s = time.monotonic(), self._settings.wait_s
        if self._settings.embeddings:
            self._embedding.look(now_s)
        patient = self._embedding.there or now_s < self._since_s + wait_s  # we have just started: so has it, perhaps
        for request, one in list(self._open.items()):
            if not one.asked and self._embedding.usable:
                self._embedding.ask([piece[:LONGEST] for piece in one.verdicts])
                one.asked = True
            if verdicts := one.found():
                plan = self._planner.judged(one.text, verdicts)
            elif not patient:
                plan = self._planner.by_words(one.text, self._embedding.why)
            elif now_s >= one.until_s:
                plan = self._planner.by_words(one.text, f"the embedder has not answered within {wait_s:g} s")
            else:
                continue
            del self._open[request]
            yield request, plan

    def wait_ms(self, most_ms: int) -> int:
        """How long Mai's poll may wait."""
        if not self._open:
            return most_ms
        left_s = min(one.until_s for one in self._open.values()) - time.monotonic()
        if not self._embedding.there:
            left_s = min(left_s, AGAIN_S)
        return max(0, min(most_ms, int(left_s * 1000) + 1))

    def close(self) -> None:
        """Hang up."""
        self._embedding.close()
