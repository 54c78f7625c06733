"""Who says that Mai's ledger is an older copy: one liar is shut out, two witnesses are believed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mai.agents.messages import Ack, Any_Body, Complaint, Hello
from mai.daemon.accused import Accused
from mai.sandbox.life import EX_CONFIG
from tests.small import PATIENCE_S, until
from tests.test_gateway import Gateway, Peer

SUPPORT, FINANCE = "acme/support", "acme/finance"


@pytest.fixture
def gateway(state: Path) -> Iterator[Gateway]:
    """Mai's process, in its second life."""
    made = Gateway(state)
    try:
        assert made.serves() and made.end() == 0
        made.start()
        assert made.serves()
        yield made
    finally:
        if made.process.poll() is None:
            made.end()


@pytest.fixture
def peers(gateway: Gateway) -> Iterator[dict[str, Peer]]:
    """Both departments."""
    made = {name: Peer(gateway, name) for name in (SUPPORT, FINANCE)}
    yield made
    for peer in made.values():
        peer.context.destroy(linger=0)


def halted(gateway: Gateway) -> str:
    """She has ended for good; what she said last."""
    _, said = gateway.process.communicate(timeout=PATIENCE_S)
    assert gateway.process.returncode == EX_CONFIG, said
    return said


@pytest.mark.parametrize("word", [Hello(5, "boot"), Ack(5), Complaint("amnesia", "your ledger is an older copy of itself")])
def test_one_that_lies_is_shut_out(gateway: Gateway, peers: dict[str, Peer], word: Any_Body) -> None:
    """A department that says, in whichever words, that Mai is older, is told, on record and not served; others are."""
    liar, other = peers[FINANCE], peers[SUPPORT]
    if not isinstance(word, Hello):
        liar.greet()
    liar.send(word)
    told = liar.expect(Complaint)
    assert told.why == "shut out" and "acme/finance is shut out" in told.detail
    liar.send(Complaint("malformed", "is not heard"))
    other.greet()
    (record,) = until(lambda: gateway.refusals("amnesia"), "a record")
    assert record["peer"] == FINANCE and "is shut out" in record["detail"]
    assert gateway.serves() and not [one for one in gateway.refusals("complaint") if "is not heard" in one["detail"]]
    liar.greet(0)  # and with its own ledger again it is let in
    liar.send(Complaint("malformed", "is heard"))
    until(lambda: [one for one in gateway.refusals("complaint") if "is heard" in one["detail"]], "it is heard")


def test_two_are_believed(gateway: Gateway, peers: dict[str, Peer]) -> None:
    """A second key says so too: her ledger is the older one, she halts for good and says what is missing."""
    for peer in peers.values():
        peer.send(Hello(5, "boot"))
    assert "older copy of itself: it ends at message 0 to " in (said := halted(gateway)) and "1 to 5 are missing here" in said
    assert gateway.refusals("amnesia")[-1]["detail"].startswith("it ends at message 0 to ")


def test_a_ledger_that_was_begun_anew_is_seen_by_one(state: Path) -> None:
    """In the first life of her ledger, the first word of one department is enough: she has forgotten everything."""
    gateway = Gateway(state)
    peer = Peer(gateway, FINANCE)
    peer.send(Hello(5, "boot"))
    said = halted(gateway)
    assert "1 to 5 are missing here, acme/finance's journal has them" in said
    peer.context.destroy(linger=0)


def test_who_counts() -> None:
    """The same one twice is one; who greets anew counts no longer."""
    accused = Accused()
    assert not accused.accuse("a", "x") and not accused.accuse("a", "y")
    assert "y" in accused.status() and accused.hello("a") == "y" and not accused.status()
    assert not accused.accuse("b", "x") and accused.accuse("a", "x")
    assert Accused().accuse("a", "x", new=True)
