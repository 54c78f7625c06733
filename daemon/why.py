"""`mai why`: from a sentence of an answer back to the records that it rests on.

    sentence → the part that gave it (compose.py knows; of a model's wording it is told by its numbers and words)
    → the department's result → who of it came to that, not only passed it on → what he knew then, by the seal of his decision
    → of that, what holds the sentence's numbers, dates and words: tools, memory, messages, replies, claims and their rulings
    → behind a reply, the same of who has replied

What is found says that it stands there, and not that it was taken from there. A number that stands in nothing that its
agent knew is named as such: he, or his model, has made it of the rest.
"""

import msgspec

from mai.daemon.books import Books, Entry
from mai.daemon.desk import first
from mai.daemon.matching import Wanted, found, wanted
from mai.daemon.reader import NotFound
from mai.daemon.records import PartAnswer
from mai.daemon.sentences import Sentence, chosen_of, sentences_of
from mai.daemon.summary import clean
from mai.daemon.trace import find, of
from mai.daemon.tree import Node, Trace, nodes
from mai.daemon.why_grounds import Ground, Grounds, figures_of
from mai.daemon.wording import errand_of
from mai.sandbox.place import Place


class Because(msgspec.Struct):
    """One sentence, and what it rests on."""

    text: str
    by: str  # whose words: "mai", or a provider and its model
    exact: bool  # the part is known; else it is told by numbers and words
    grounds: list[Ground]
    nowhere: tuple[str, ...]  # of its numbers and dates, those that stand in no record below


class Why(msgspec.Struct):
    """An answer, or some sentences of it."""

    request: str
    client: str
    asked: str
    state: str
    answer: str
    record: str
    sentences: list[Because]


def why(place: Place, name: str, words: str = "", *, whole: bool = False) -> Why:
    """What the answer to a request rests on, or its sentences with these words; `whole`: with all that was known.

    Raises NotFound, LedgerFault.
    """
    traced = of(place, find(place, name))
    with Books(place) as books:
        ended = books.entry(traced.ended) if traced.ended else None
        if ended is None:
            raise NotFound(
                f"{traced.client}/{traced.request} has no answer yet", f"see how far it is: mai trace {traced.request}"
            )
        parts = msgspec.convert(ended.body["parts"], tuple[PartAnswer, ...])
        by, answer = ended.body.get("by", ""), ended.body["answer"]
        asking = _Asking(books, traced, parts, Grounds(books, traced, whole=whole))
        sentences = [asking.because(one, by) for one in chosen_of(sentences_of(answer, parts), words)]
    return Why(traced.request, traced.client, traced.text, traced.state, answer, traced.ended, sentences)


class _Asking:
    """One question: the ledgers, the tree of the request, its parts."""

    def __init__(self, books: Books, traced: Trace, parts: tuple[PartAnswer, ...], grounds: Grounds) -> None:
        self._books, self._trace, self._parts, self._grounds = books, traced, parts, grounds
        self._mai = f"{traced.client}/mai"

    def because(self, sentence: Sentence, by: str) -> Because:
        """Back from one sentence."""
        have = wanted(sentence.text)
        numbers = [sentence.part] if sentence.part else self._fitting(have)
        grounds = [*self._worded(by), *(self._part(number, have) for number in numbers)]
        if not self._parts:
            grounds += self._own()
        told = {one for ground in grounds for one in figures_of(ground)}
        nowhere = tuple(one for one in have.figures if one not in told)
        return Because(sentence.text, by or "mai", bool(sentence.part), grounds, nowhere)

    def _fitting(self, have: Wanted) -> list[int]:
        """The parts that say what stands in a sentence, by its numbers and words."""
        hits = [(number, found(have, msgspec.to_builtins(part))) for number, part in enumerate(self._parts, 1)]
        return [number for number, one in hits if one] or list(range(1, len(self._parts) + 1))

    def _worded(self, by: str) -> list[Ground]:
        """That a model has worded the answer."""
        if not by:
            return []
        ident = errand_of(self._trace.request)
        ends = [one for one in self._entries() if one.record.kind == "errand.ended" and one.record.task == ident]
        said = "its words are a model's, of the parts below; which part is told by numbers and words"
        return [Ground("wording", by, ends[-1].name if ends else self._trace.ended, said)]

    def _own(self) -> list[Ground]:
        """What Mai says herself, without a department."""
        plans = [one for one in self._entries() if one.record.kind == "request.planned"]
        return [Ground("mai", self._mai, one.name, clean(one.body.get("why") or "no part was planned")) for one in plans[-1:]]

    def _entries(self) -> list[Entry]:
        return self._books.of_request(self._mai, self._trace.request)

    def _part(self, number: int, have: Wanted) -> Ground:
        part, task = self._parts[number - 1], f"{self._trace.request}/{number}"
        ends = [one for one in self._entries() if one.record.kind == "part.ended" and first(one.record.task) == task]
        said = f"part {number}: {part.department or 'no department'} {part.state}"
        ground = Ground("part", part.by, ends[-1].name if ends else self._trace.ended, said)
        ground.found = tuple(found(have, {"answer": part.answer, "value": part.value, "reason": part.reason}))
        if node := self._node(task, part):
            ground.grounds = [self._grounds.of(node, have)]
        elif not part.department:
            ground.grounds = self._own()
        return ground

    def _node(self, task: str, part: PartAnswer) -> Node | None:
        """The task that gave a part, the last turn of it first."""
        turns = [node for node in nodes(self._trace) if first(node.task) == task and node.ended]
        for node in reversed(turns):
            entry = self._books.entry(node.ended)
            if entry and (entry.body.get("text", ""), entry.body.get("reason", "")) == (part.answer, part.reason):
                return node
        return turns[-1] if turns else None
