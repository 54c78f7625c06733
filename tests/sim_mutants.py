"""Deliberate bugs of the production code, each put in at run time. The simulation has to catch every one of them.

A mutant is a function with one sentence of what it breaks; it changes the code by `put(owner, name, value)`, which is undone
after it. What it changes has to be there: a mutant that mutates nothing any more fails, too.
"""

from typing import Any

import msgspec

from mai.agents import data_scope, department, folding, leaving, link, linked, shell
from mai.agents.decider import Tick, fold_link
from mai.agents.events import Received, ReplyBreached, Sent
from mai.agents.messages import Ack
from mai.daemon import client_memory, cover, crossing, gateway, hearing, held, mai_folding, policy, returning
from mai.daemon.case import Beat, Case, Verdict
from mai.daemon.case import Tick as PolicyTick
from mai.daemon.router import Router
from mai.daemon.tempo import Tempo
from mai.sandbox.ledger import Ledger
from tests.sim_mutation import Put, mutant


# -- commit, acknowledge, send
@mutant
def acknowledge_before_commit(put: Put) -> None:
    """A message is acknowledged when it is taken, not when it is on the disk."""
    take = shell.Shell._take

    def early(self: Any, peer: str, envelope: Any, body: Any) -> None:
        take(self, peer, envelope, body)
        self.tell(peer, Ack(self.decider.state.link(peer).received))

    put(shell.Shell, "_take", early)


@mutant
def send_before_commit(put: Put) -> None:
    """A message leaves when it is decided, not when it is on the disk."""
    apply = shell.Shell.apply

    def early(self: Any, event: Any) -> Any:
        following = apply(self, event)
        if isinstance(event, Sent) and self.decider.state.transit(event.to).connected:
            self._fly(event.to)
        return following

    put(shell.Shell, "apply", early)


@mutant
def forget_the_cursor(put: Put) -> None:
    """How far a link was received is not stored with what was received."""

    def fold(state: Any, event: Any, seq: int) -> bool:
        if isinstance(event, Received):
            state.link(event.sender).received = event.lseq
            return True
        return fold_link(state, event, seq)

    put(folding, "fold_link", fold)
    put(mai_folding, "fold_link", fold)


@mutant
def two_transactions(put: Put) -> None:
    """The journal is committed first, the state in a transaction of its own."""

    write = shell.Shell._write

    def twice(self: Any) -> None:
        self.ledger.commit()
        write(self)

    put(shell.Shell, "_write", twice)


@mutant
def state_before_journal(put: Put) -> None:
    """The state is committed first, the records in a transaction of their own."""
    write = shell.Shell._write

    def twice(self: Any) -> None:
        records, self.ledger._records = self.ledger._records, []
        for (noun, key), value in self.decider.state.changes.items():
            self.ledger.save(noun, key, None if value is None else msgspec.json.encode(value))
        self.ledger.commit()
        self.ledger._records = records
        write(self)

    put(shell.Shell, "_write", twice)


@mutant
def commit_nothing_but_the_last_turn(put: Put) -> None:
    """What was removed from the state is not removed on the disk."""
    save = Ledger.save
    put(Ledger, "save", lambda self, noun, key, value: save(self, noun, key, value) if value is not None else None)


# -- links
@mutant
def accept_a_gap(put: Put) -> None:
    """A number beyond the next one is taken as if nothing were missing."""
    put(shell, "receipt", lambda link, lseq: "seen" if lseq <= link.received else "new")


@mutant
def take_what_was_seen(put: Put) -> None:
    """A number that was seen is taken again."""
    put(shell, "receipt", lambda link, lseq: "gap" if lseq > link.received + 1 else "new")


@mutant
def never_send_again(put: Put) -> None:
    """On a new connection only what was never sent is sent."""

    def restart(self: Any, received: int) -> None:
        self.connected = True

    put(link.Transit, "restart", restart)


@mutant
def greet_nobody(put: Put) -> None:
    """A department does not say on a new connection how far it has received."""
    put(
        linked.Linked,
        "_connections",
        lambda self: setattr(self.decider.state.transit(self.mai), "connected", any(self.dealer.connections())),
    )


@mutant
def drop_unacknowledged_at_restart(put: Put) -> None:
    """A process that starts again forgets the messages that nobody has acknowledged."""
    put(shell.Shell, "_reload", lambda self, record: None)


@mutant
def resend_under_a_new_number(put: Put) -> None:
    """A process that starts again sends what nobody has acknowledged under new numbers."""
    restore = shell.Shell.restore

    def again(self: Any) -> None:
        restore(self)
        waiting = {flight.seq for transit in self.decider.state.transits.values() for flight in transit.waiting}
        for record in list(self.ledger.records(0, Sent.kind)):
            if record.seq in waiting:
                sent = msgspec.json.decode(self.ledger.body(record), type=Sent)
                self.apply(msgspec.structs.replace(sent, lseq=self.decider.state.link(sent.to).sent + 1))

    put(shell.Shell, "restore", again)


@mutant
def write_to_the_dead(put: Put) -> None:
    """A word that an earlier life of a process has left in the wire makes Mai write to that life."""
    put(Router, "stale", lambda self, parcel: False)
    put(Router, "_fall_back", lambda self, name, frames: False)  # which heals it by itself
    put(Tempo, "told", lambda self, peer, pause, now_s: None)  # and so does this


# -- requests, and what crosses between departments
@mutant
def forget_request_ids(put: Put) -> None:
    """An id that was answered before is taken as a new request."""
    value = shell.Shell.value
    put(shell.Shell, "value", lambda self, noun, key: None if noun == "answer" else value(self, noun, key))


@mutant
def take_an_open_request_again(put: Put) -> None:
    """An id that is asked again while it is open begins a second time."""
    ask = gateway.Gateway.ask

    def anew(self: Any, caller: Any, given: Any, role: Any) -> None:
        requests = self.decider.state.requests
        hidden = requests.pop(given["request"], None)
        ask(self, caller, given, role)
        if hidden is not None and given["request"] not in requests:
            requests[given["request"]] = hidden

    put(gateway.Gateway, "ask", anew)


@mutant
def answer_before_commit(put: Put) -> None:
    """The client is told the answer before it is on the disk."""
    answer = gateway.Gateway._answer

    def hasty(self: Any, ended: Any) -> None:
        answer(self, ended)
        for caller, reply, more in self._replies:
            caller.answer(reply, more)
        self._replies.clear()

    put(gateway.Gateway, "_answer", hasty)


@mutant
def accept_before_commit(put: Put) -> None:
    """The client is told that a request is accepted before it is on the disk."""
    ask = gateway.Gateway.ask

    def hasty(self: Any, caller: Any, given: Any, role: Any) -> None:
        ask(self, caller, given, role)
        for one, reply, more in self._replies:
            one.answer(reply, more)
        self._replies.clear()

    put(gateway.Gateway, "ask", hasty)


@mutant
def forward_without_verdict(put: Put) -> None:
    """Mai passes on what a department asks without a word about it."""
    decide = crossing.decide
    put(crossing, "decide", lambda *given: [one for one in decide(*given) if not _is_verdict(one)])


def _is_verdict(item: Any) -> bool:
    return getattr(item, "kind", "") == "contract.checked"


@mutant
def remember_twice(put: Put) -> None:
    """Mai writes what she is to remember twice."""
    decide = client_memory.decide
    put(client_memory, "decide", lambda *given: [*decide(*given)[:1], *decide(*given)])


@mutant
def return_twice(put: Put) -> None:
    """A department gives the result of a task back twice."""
    end = department.DepartmentDecider.end

    def doubly(self: Any, *given: Any) -> Any:
        found = end(self, *given)
        return [*found, found[-1]] if not hasattr(found[-1], "kind") else found

    put(department.DepartmentDecider, "end", doubly)


@mutant
def take_what_is_late(put: Put) -> None:
    """A department begins what has come after its deadline."""
    arrived = department.DepartmentDecider._arrived
    put(
        department.DepartmentDecider,
        "_arrived",
        lambda self, given, now_ms: arrived(self, given, min(now_ms, given.deadline_ms - 1)),
    )


@mutant
def never_expire(put: Put) -> None:
    """A department does not look at its deadlines."""
    decide = department.DepartmentDecider.decide
    put(
        department.DepartmentDecider,
        "decide",
        lambda self, given, now_ms: [] if isinstance(given, Tick) else decide(self, given, now_ms),
    )


# -- the restart policy
@mutant
def start_two(put: Put) -> None:
    """The policy starts a process that has not spoken yet once more."""
    put(
        policy.TABLE,
        ("starting", Beat),
        lambda case, event, moment: Verdict(policy.hear(case, event, moment).case, ("spawn",)),
    )


@mutant
def start_no_more(put: Put) -> None:
    """The policy forgets a process that has to wait before it is started again."""
    put(policy.TABLE, ("backoff", PolicyTick), lambda case, event, moment: Verdict(_rested(case)))


def _rested(case: Case) -> Case:
    return msgspec.structs.replace(case, retry_s=case.retry_s + 1e6)


# -- departments that take no new tasks
@mutant
def send_to_a_department_that_is_held(put: Put) -> None:
    """A hold is put on record, and tasks go all the same."""
    put(held, "divert", lambda mai, found: found)


@mutant
def forget_what_waited(put: Put) -> None:
    """A department is freed, and what has waited for it stays where it is."""
    free = held._free
    put(held, "_free", lambda mai, department, now_ms: free(mai, department, now_ms)[:1])


@mutant
def let_what_is_given_up_wait(put: Put) -> None:
    """A department is given up, and what waits for it has no end."""
    fold = held.fold

    def silent(state: Any, event: Any, seq: int) -> list[Any]:
        fold(state, event, seq)
        return []

    put(held, "fold", silent)


# -- contracts with backups
@mutant
def give_a_turn_without_a_record(put: Put) -> None:
    """A backup gets the task, and nothing says that it is its turn."""
    given = cover._given

    def silent(mai: Any, turn: Any, body: Any, now_ms: int) -> list[Any]:
        found = given(mai, turn, body, now_ms)
        return found if not turn.n else [one for one in found if not isinstance(one, cover.CoverGiven)]

    put(cover, "_given", silent)


@mutant
def hold_back_for_good(put: Put) -> None:
    """Who was too fast is never told that it is heard again."""
    put(hearing.Hearing, "_heed", lambda self, peer, pause: None)


@mutant
def hold_back_without_a_word_of_the_other(put: Put) -> None:
    """Who was not heard for a while does not say how far it has come."""
    put(linked, "HELD_BACK", ())


# -- what may not leave a department
@mutant
def send_back_without_a_record(put: Put) -> None:
    """A reply that may not leave goes back to its board, and nothing says so."""
    breached = returning._breached
    put(returning, "_breached", lambda *given: [one for one in breached(*given) if not isinstance(one, ReplyBreached)])


@mutant
def let_out_what_is_withheld(put: Put) -> None:
    """Nobody holds a reply against its scope: not who answers, not Mai, not who asked."""
    put(data_scope.Scopes, "breach", lambda self, way, values, text: "")


@mutant
def tell_mai_what_was_kept_back(put: Put) -> None:
    """A department sends Mai the answer together with the rule by which it may not leave."""
    kept = leaving._kept

    def whole(done: Any, reason: str, rule: str) -> Any:
        return msgspec.structs.replace(kept(done, reason, rule), value={**done.value, "margin": 7654321})

    put(leaving, "_kept", whole)
