"""What a person asks at Mai's door about approvals: which calls wait, what is known of one, to approve it, to deny it.

Who it is says the kernel, by the number of the user at the other end of the socket. What is wrong is refused here, with who was
first or what is too late, before anything is journaled; each use of the door and each refusal is on record (guard.py).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mai.agents.doors import Role
from mai.agents.plain import readable
from mai.agents.shell import now_ms
from mai.daemon.approving import why_not
from mai.daemon.crier import Cried
from mai.daemon.door import Caller, Reply
from mai.daemon.pending import SETTLED, Announced, Pending, Settled, Vote, Voting
from mai.sandbox.errors import Refused, UsageFault

if TYPE_CHECKING:
    from mai.daemon.gateway import Gateway

MOST: Final = 300  # that are shown at once, unless more are asked for
GREATEST: Final = 1000
SHORTEST: Final = 6  # characters of the beginning of an id
LONGEST_NOTE: Final = 1000
LIST: Final = "mai approvals {}"
HINT: Final = "another user with the role {} has to: [[doors]] in the organisation file; root has it"


# -- to look
def shown(gateway: "Gateway", request: Reply) -> Reply:
    """What waits, oldest first, behind the one that is named by `after`; or with `id` that one, which may have been decided.

    Raises UsageFault, Refused.
    """
    if request.get("id"):
        found = known(gateway, request.get("id"))
        return {"approvals": [settled(found) if isinstance(found, Settled) else open_(found)], "behind": 0}
    rows, most, after = gateway.decider.state.approving.rows, request.get("most", MOST), request.get("after", "")
    if not isinstance(most, int) or isinstance(most, bool) or not 0 < most <= GREATEST:
        raise UsageFault(f"{most!r:.40} is no number of approvals", f"from 1 to {GREATEST}")
    waiting = list(rows.values())
    if after:
        one = known(gateway, after)
        seq = one.seq if isinstance(one, Pending) else one.pending.seq
        waiting = [other for other in waiting if other.seq > seq]
    return {"approvals": [open_(one) for one in waiting[:most]], "behind": max(0, len(waiting) - most)}


class Sight:
    """What onlookers of approvals see."""

    word = "approvals"

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway

    def command(self) -> tuple[str, ...]:
        """What announces new ones."""
        return self._gateway.organisation.approvals.announce

    def all(self) -> Reply:
        """What waits already."""
        return shown(self._gateway, {"most": GREATEST})

    def told(self, ident: str) -> Reply | None:
        """One that waits."""
        one = self._gateway.decider.state.approving.rows.get(ident)
        return open_(one) if one else None

    def unannounced(self) -> Iterable[str]:
        """Those that no command has been told of."""
        return (ident for ident, one in self._gateway.decider.state.approving.rows.items() if not one.announced)

    def announced(self, how: Cried) -> Announced:
        """How the command has ended."""
        return Announced(*how)


def known(gateway: "Gateway", ident: object) -> Pending | Settled:
    """The one that is meant, by its id or the beginning of it. Raises UsageFault, Refused."""
    rows = gateway.decider.state.approving.rows
    if not isinstance(ident, str) or len(ident) < SHORTEST or not ident.isalnum():
        hint = f"letters and digits, at least {SHORTEST} of the beginning; they are in: {LIST.format(gateway.client)}"
        raise UsageFault(f"{ident!r:.80} is no id of an approval", hint)
    if ident in rows:
        return rows[ident]
    found: list[Pending | Settled] = [one for name, one in rows.items() if name.startswith(ident)]
    gateway.shell.commit(all_of_it=True)  # what this turn has brought counts
    for name, data in (*_exactly(gateway, ident), *gateway.ledger.behind(SETTLED, ident, 2)):
        if name.startswith(ident):
            found.append(msgspec.json.decode(data, type=Settled))
    if len(found) == 1:
        return found[0]
    what = f"more than one approval of {gateway.client} begins" if found else f"no approval of {gateway.client} begins"
    raise Refused(f"{what} with {ident:.80}", f"those that wait are in: {LIST.format(gateway.client)}")


def _exactly(gateway: "Gateway", ident: str) -> list[tuple[str, bytes]]:
    data = gateway.ledger.get(SETTLED, ident)
    return [(ident, data)] if data else []


# -- to decide
def say(gateway: "Gateway", caller: Caller, request: Reply) -> Reply:
    """Approve or deny one; the answer is for after the commit. Raises Refused, UsageFault."""
    approved, found = request.get("do") == "approve", known(gateway, request.get("id"))
    note = _note(request.get("note" if approved else "reason", ""), needed=not approved)
    if isinstance(found, Settled):
        raise _too_late(found)
    vote = Vote(caller.user, caller.uid, _role(gateway, caller, found, str(request["do"])), approved, note, now_ms())
    if why := why_not(found, vote):
        raise _denied(gateway, caller, found, str(request["do"]), why)
    gateway.shell.feed(Voting(found.approval.id, vote))
    votes = (*found.votes, vote)
    left = found.approval.persons - sum(one.approved for one in votes) if approved else 0
    state = "denied" if not approved else "approved" if left <= 0 else "waits for another"
    return {"approval": {**open_(msgspec.structs.replace(found, votes=votes)), "state": state}}


def _role(gateway: "Gateway", caller: Caller, found: Pending, verb: str) -> Role:
    """The role under which somebody may say something of this one. Raises Refused."""
    least, rights = _least(found), gateway.reception.guard.admit(caller.peer)
    if rights and (role := rights.has(least, gateway.client)):
        return role
    why = f"the policy {found.approval.clause} wants the role {least} for it, which {caller.user} has not"
    raise _denied(gateway, caller, found, verb, why)


def _least(found: Pending) -> Role:
    """The least role that may; below an operator nobody decides anything."""
    return "administrator" if found.approval.approvers == "administrator" else "operator"


def _denied(gateway: "Gateway", caller: Caller, found: Pending, verb: str, why: str) -> Refused:
    """The refusal, which will be on record."""
    return gateway.reception.guard.deny(caller, verb, why, found.approval.id[:16], HINT.format(_least(found)))


def _too_late(found: Settled) -> Refused:
    body = found.pending.approval
    hint = f"what is on record: mai approvals show {body.id[:16]}"
    if found.state == "over":
        return Refused(f"it is too late for {body.name}: {found.why}", hint)
    by = " and ".join(vote.who for vote in found.pending.votes if vote.approved == (found.state == "approved"))
    return Refused(f"{by} was first: {body.name} is {found.state} already", hint)


def _note(note: object, *, needed: bool) -> str:
    if not isinstance(note, str) or len(note) > LONGEST_NOTE or readable(note, LONGEST_NOTE) != note:
        raise UsageFault("this is no note", f"a text of at most {LONGEST_NOTE} characters")
    if needed and not note.strip():
        raise UsageFault("it is not said why", "--reason TEXT")
    return note


# -- as scripts read them
def open_(one: Pending) -> Reply:
    """One that waits."""
    said: dict[str, Any] = msgspec.to_builtins(one.approval)
    del said["over"]
    state = "late" if one.approval.expires_ms <= now_ms() else "waits"
    return {
        **said, "state": state, "process": one.process, "asked_by": one.by, "asked_by_uid": one.uid, "announced": one.announced,
        "votes": [{**msgspec.to_builtins(vote), "who": vote.who} for vote in one.votes],
    }  # fmt: skip


def settled(one: Settled) -> Reply:
    """What became of one."""
    return {**open_(one.pending), "state": one.state, "settled_ms": one.at_ms, "over": one.why}
