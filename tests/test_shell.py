"""The shell: one turn is one transaction, nothing leaves before it, and what is owed is sent until it has come."""

from pathlib import Path

import pytest

from mai.agents import messages
from mai.agents.events import Acked, MessageRefused, Sent
from mai.agents.link import WINDOW
from mai.agents.memory_messages import Remember
from mai.agents.messages import Ack, Envelope, Hello, Hop, Task
from mai.agents.shell import Amnesia, Shell
from mai.sandbox.errors import LedgerFault
from mai.sandbox.ledger import GENESIS
from tests.pair import DEPARTMENT, MAI, Courier, Say, Wire


@pytest.fixture
def wire(tmp_path: Path) -> Wire:
    """Mai and a department, connected."""
    made = Wire(tmp_path)
    made.connect()
    for _ in range(3):
        made.turn()
    assert all(end.courier.state.transit(end.peer).connected for end in made.ends)
    return made


def flying(wire: Wire, sender: str) -> list[Envelope]:
    """What is on its way from one of them."""
    return [messages.decode(frame, 1 << 20) for frame in wire.pipes[sender]]


def test_a_turn_of_acknowledgements_writes_nothing(wire: Wire) -> None:
    """An Ack that comes in costs no wait for the disk; the next commit that has to be, or a heartbeat's, takes it along."""
    end = wire.department
    end.shell.feed(Say(MAI, "a"))
    end.shell.commit()
    before = end.ledger.commits
    end.shell.receive(MAI, Envelope(MAI, DEPARTMENT, 0, "", "d", 0, 0, b"", Ack(1)))
    end.shell.commit()
    assert (end.ledger.commits, end.link.acked, end.ledger.pending) == (before, 1, True)
    end.shell.commit(all_of_it=True)
    assert (end.ledger.commits, end.ledger.pending) == (before + 1, False)
    assert [event.received for event in end.of_kind(Acked) if isinstance(event, Acked)] == [1]


def test_a_turn_is_one_transaction(wire: Wire) -> None:
    """However much a turn takes in and sends, it is one commit, and one Ack for all."""
    for number in range(50):
        wire.mai.shell.feed(Say(DEPARTMENT, f"{number}"))
    wire.mai.shell.commit()
    before = wire.department.ledger.commits
    while wire.pipes[MAI]:
        wire.deliver(wire.mai)
    assert not wire.pipes[DEPARTMENT]
    wire.department.shell.commit()
    assert wire.department.ledger.commits == before + 1
    acks = [envelope.body.received for envelope in flying(wire, DEPARTMENT) if isinstance(envelope.body, Ack)]
    assert acks == [50]


def test_what_leaves_tells_of_the_disk_only(wire: Wire) -> None:
    """The head in every envelope is one that a commit has made durable, also in what is outside of the link."""
    end = wire.department
    end.shell.refuse(MAI, "malformed", "not yet on the disk")
    end.shell.complain(MAI, "malformed", "x")
    end.shell.feed(Say(MAI, "a"))
    end.shell.commit()
    heads = {0: GENESIS} | {record.seq: record.digest for record in end.ledger.records()}
    complaint, message = flying(wire, DEPARTMENT)
    assert heads[complaint.head_seq] == complaint.head and complaint.head_seq < end.ledger.seq - 1
    assert heads[message.head_seq] == message.head and message.head_seq == end.ledger.seq


def test_ten_thousand_messages_go_through_the_window(wire: Wire) -> None:
    """Never more than a window is on its way; all come, once, in order, also over a death in the middle."""
    for number in range(10_000):
        wire.department.shell.feed(Say(MAI, str(number)))
    wire.department.shell.commit()
    assert len(wire.pipes[DEPARTMENT]) == WINDOW
    most = 0
    for turn in range(100):
        if wire.quiet():
            break
        if turn == 5:
            wire.mai.kill()
            wire.connect()
        most = max(most, len([one for one in flying(wire, DEPARTMENT) if one.lseq]))
        wire.turn()
    assert most <= WINDOW
    assert wire.mai.link.received == wire.department.link.sent > 10_000
    assert wire.violations() == []


def test_a_sender_that_was_restored_from_an_older_copy_halts(wire: Wire) -> None:
    """A peer that has received more than we know of having sent: Amnesia, on record, with what to do."""
    end = wire.department
    end.shell.feed(Say(MAI, "a"))
    with pytest.raises(Amnesia, match="ends at message 1 to acme/mai, which has received 2: 2 to 2 are missing here") as raised:
        end.shell.receive(MAI, Envelope(MAI, DEPARTMENT, 0, "", "d", 0, 0, b"", Hello(2, "")))
    assert "newest copy" in raised.value.hint
    assert [event.why for event in end.of_kind(MessageRefused) if isinstance(event, MessageRefused)] == ["amnesia"]
    assert wire._state(end) == []


def test_a_receiver_that_was_restored_from_an_older_copy_is_told(wire: Wire, tmp_path: Path) -> None:
    """Its Hello says less than it had acknowledged: it is not served, and halts."""
    copy = wire.department.path.read_bytes(), wire.department.path.with_name("department.db-wal").read_bytes()
    wire.mai.shell.feed(Say(DEPARTMENT, "a"))
    wire.mai.shell.commit()
    wire.turn()
    wire.turn()
    assert wire.mai.link.acked == 1
    wire.disconnect()
    wire.department.ledger.close()
    wire.department.path.write_bytes(copy[0])
    wire.department.path.with_name("department.db-wal").write_bytes(copy[1])
    wire.department.start()
    wire.connect()
    for _ in range(3):
        wire.turn()
    assert wire.department.halted == "acme/mai says: amnesia"
    assert not wire.mai.courier.state.transit(DEPARTMENT).connected


def test_the_last_word_of_an_earlier_life_halts_nobody(wire: Wire) -> None:
    """Read after the first one of the present life it says less than was acknowledged: nobody is there to be told that."""
    end, sent = wire.mai, list[Envelope]()

    def send(peer: str, frame: bytes) -> bool:
        sent.append(messages.decode(frame, 1 << 20))
        return True

    shell = Shell(
        end.ledger, Courier(), "d", send, reply=lambda peer, frame: False, seen=end.seen, noticed=end.noticed, answers=True
    )
    shell.receive(DEPARTMENT, hello(0))
    shell.feed(Say(DEPARTMENT, "a"))
    shell.commit()
    shell.receive(DEPARTMENT, hello(1))
    shell.receive(DEPARTMENT, hello(0))
    shell.feed(Say(DEPARTMENT, "b"))
    shell.commit()
    assert [one.lseq for one in sent if one.lseq] == [1, 2] and isinstance(sent[-2].body, Hello)
    assert not end.of_kind(MessageRefused)


def hello(received: int) -> Envelope:
    """A department says how far it has received."""
    return Envelope(DEPARTMENT, MAI, 0, "", "d", 0, 0, b"", Hello(received, ""))


def test_a_gap_is_asked_for_once(wire: Wire) -> None:
    """A hundred messages behind a lost one bring one Hello and one record, and then everything again."""
    for number in range(101):
        wire.mai.shell.feed(Say(DEPARTMENT, str(number)))
    wire.mai.shell.commit()
    wire.pipes[MAI].popleft()
    while wire.pipes[MAI]:
        wire.deliver(wire.mai)
    wire.department.shell.commit()
    assert [type(envelope.body) for envelope in flying(wire, DEPARTMENT)] == [Hello]
    assert len(wire.department.of_kind(MessageRefused)) == 1
    wire.turn()
    wire.turn()
    assert wire.department.link.received >= 101


@pytest.mark.parametrize("value", [b"bytes", {1: 2}, float("nan"), float("inf"), {"a": [[b""]]}])
def test_a_value_that_json_does_not_give_back_is_no_message(wire: Wire, value: object) -> None:
    """It would be another after a restart: refused, on record, and the process goes on."""
    bodies = (Remember("i", "a", "k", value), Task("t", "r", "a", "", "", {"v": value}, 1))
    for body in bodies:
        wire.mai.shell.receive(DEPARTMENT, Envelope(DEPARTMENT, MAI, 1, "", "d", 0, 0, b"", body))
    assert wire.mai.link.received == 0
    wire.mai.shell.commit()
    assert [event.why for event in wire.mai.of_kind(MessageRefused) if isinstance(event, MessageRefused)] == ["malformed"] * 2


def test_a_value_of_great_depth_is_no_message(wire: Wire) -> None:
    """What msgpack brings may be deeper than the journal can hold."""
    value: list[object] = []
    for _ in range(300):
        value = [value]
    wire.mai.shell.receive(DEPARTMENT, Envelope(DEPARTMENT, MAI, 1, "", "d", 0, 0, b"", Remember("i", "a", "k", value)))
    assert wire.mai.link.received == 0


def test_notices_may_be_lost(wire: Wire) -> None:
    """They leave with the turn, unnumbered and unjournaled; without a connection they are gone."""
    hop = Hop("r", "t", "a", "b", "", 0)
    before = wire.department.ledger.seq
    wire.department.shell.notices.append((MAI, hop))
    wire.department.shell.commit()
    assert [envelope.body for envelope in flying(wire, DEPARTMENT)] == [hop]
    wire.disconnect()
    wire.department.shell.notices.append((MAI, hop))
    wire.department.shell.commit()
    assert wire.department.shell.notices == [] and wire.department.ledger.seq == before


def test_what_is_owed_survives_a_death(wire: Wire) -> None:
    """A message that was committed and not sent, with a large body, leaves in the next life as it would have in this one."""
    wire.disconnect()
    large = "x" * 100_000
    wire.department.shell.feed(Say(MAI, large))
    wire.department.shell.commit()
    before = wire.department.courier.state.transit(MAI).waiting[0].frame
    wire.department.kill()
    assert wire.department.courier.state.transit(MAI).waiting[0].frame == before
    wire.heal()
    assert wire.violations() == [] and wire.mai.courier.tally.last == large
    assert len(wire.department.of_kind(Sent)) == 1


def test_after_a_fault_of_the_ledger_nothing_leaves(wire: Wire) -> None:
    """A turn that could not be written is not acknowledged, not sent, and the next one fails as well."""
    wire.mai.shell.feed(Say(DEPARTMENT, "a"))
    wire.mai.shell.commit()
    wire.deliver(wire.mai)
    wire.department.ledger._db.execute("PRAGMA query_only=ON")
    for _ in range(2):
        with pytest.raises(LedgerFault):
            wire.department.shell.commit()
    assert not wire.pipes[DEPARTMENT]
