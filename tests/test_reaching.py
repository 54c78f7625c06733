"""Which texts of one ledger go with a person's requests: what these alone lead to, and what is about nothing else."""

import json
from hashlib import sha256
from typing import Any

from mai.agents.erased import Values
from mai.agents.events import encode
from mai.agents.naming import Names
from mai.agents.reaching import Reach


class Texts(dict[str, bytes]):
    """Texts by their addresses."""

    def put(self, value: Any) -> str:
        """One more; its address."""
        data = json.dumps(value).encode()
        address = sha256(data).hexdigest()
        self[address] = data
        return address


def gone(texts: Texts, *records: tuple[str, str, str]) -> set[str]:
    """Addresses of what goes with the request r1, in a journal with these records: kind, request, body."""
    reach = Reach(Names("anna@example.org", "e2"), ["r1"])
    for seq, (kind, request, body) in enumerate(records, 1):
        reach.note(seq, kind, request, body, body)
    return set(reach.gone(texts.get, texts.items()))


def asked(*messages: str, talk: str = "") -> str:
    """The body of a message that asks a model."""
    return json.dumps({"body": {"is": "think", "inquiry": {"messages": messages, "talk": talk}}})


def test_a_list_that_nobody_has_named_goes_with_what_it_lists() -> None:
    """An agent keeps the list of what it has asked for its next question; who asks no more has never named it."""
    texts = Texts()
    ours, theirs, system = texts.put("Anna likes Quittenmus"), texts.put("Ben likes Birnen"), texts.put("You are kind.")
    lists = [texts.put({"messages": (system, one)}) for one in (ours, theirs)]
    longer = texts.put({"messages": [], "before": lists[0]})
    found = gone(texts, ("message.sent", "r1", asked(system, ours)), ("message.sent", "r2", asked(system, theirs)))
    assert found == {ours, lists[0], longer}


def test_a_list_that_another_has_named_stays_with_what_it_lists() -> None:
    """Also if no record of his names each of the texts any more: his question could not be put together without them."""
    texts = Texts()
    shared, own = texts.put("You are kind."), texts.put("Anna likes Quittenmus")
    before = texts.put({"messages": [shared]})
    found = gone(texts, ("message.sent", "r1", asked(shared, own)), ("message.sent", "r2", asked(talk=before)))
    assert found == {own}


def test_a_text_that_was_erased_and_came_again_is_erased_again() -> None:
    """What is on record of the first erasure lists it, and does not hold it back; nor does that record's own body go."""
    texts = Texts()
    again = texts.put("Anna likes Quittenmus")
    said = Values(erasure="e1", round=1, by="root", role="administrator", at_ms=1, blobs=(again, "0" * 64))
    listed = encode(said).decode()
    assert gone(texts, (said.kind, "", listed), ("message.sent", "r1", asked(again))) == {again}
    address = texts.put(json.loads(listed))
    reach = Reach(Names("anna@example.org", "e2"), ["r1"])
    reach.note(1, said.kind, "", json.dumps({"blob": address, "bytes": 1}), listed)
    reach.note(2, "message.sent", "r1", "", asked(again))
    assert reach.gone(texts.get, texts.items()) == [again]
