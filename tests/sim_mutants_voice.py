"""Deliberate bugs in what is taken in from outside and told to persons; sim_mutants.py has the others."""

from typing import Any

import msgspec

from mai.agents import channels
from mai.daemon import inbound, outgoing, spool, spooled, thread_orders, threads, voice
from mai.daemon.threads import Thread
from tests.sim_mutation import Put, mutant


@mutant
def move_files_before_commit(put: Put) -> None:
    """A file leaves new/ when it is taken, not when that is on the disk."""
    take = spool.Spools._take

    def early(self: Any, channel: Any, new: Any, raw: bytes) -> None:
        take(self, channel, new, raw)
        self.after()

    put(spool.Spools, "_take", early)


@mutant
def forget_what_was_spooled(put: Put) -> None:
    """A Mai that starts again does not know which files are on record."""
    put(spooled, "load", lambda state, rows: None)


@mutant
def take_no_letter_for_known(put: Put) -> None:
    """A message that is delivered again is another one."""
    get = threads.Rows.get

    def blind(self: Any, noun: str, key: str, kind: Any) -> Any:
        return None if noun == "letter" and (noun, key) not in self._changes else get(self, noun, key, kind)

    put(threads.Rows, "get", blind)


@mutant
def give_receipts_before_commit(put: Put) -> None:
    """Who delivers is told before it is on the disk."""

    def early(gateway: Any, caller: Any, reply: Any) -> None:
        caller.answer(reply)

    deliver = thread_orders.deliver

    def hasty(gateway: Any, caller: Any, request: Any, role: Any) -> None:
        later, gateway.later = gateway.later, lambda who, reply: early(gateway, who, reply)
        try:
            deliver(gateway, caller, request, role)
        finally:
            gateway.later = later

    from mai.daemon import reception

    put(reception.SERVED, "deliver", hasty)


@mutant
def forget_who_waits(put: Put) -> None:
    """The next message of a conversation is not begun when the one before it is answered."""
    ended = voice.ended
    put(
        voice,
        "ended",
        lambda *given: [one for one in ended(*given) if not isinstance(one, threads.Next)],
    )


@mutant
def begin_all_at_once(put: Put) -> None:
    """A message does not wait for the answer to the one before it."""
    next_ = inbound._next

    def hasty(mai: Any, name: str, now_ms: int) -> Any:
        thread = mai.state.rows.get("thread", name, Thread)
        if thread is not None and thread.open:
            mai.state.changes["thread", name] = msgspec.structs.replace(thread, open="")
        return next_(mai, name, now_ms)

    put(inbound, "_next", hasty)


@mutant
def carry_out_under_new_ids(put: Put) -> None:
    """What is on its way out is asked for once more after each start, under another id."""
    load = outgoing.load

    def again(state: Any, rows: dict[str, bytes]) -> None:
        load(state, rows)
        for name, one in list(state.carries.items()):
            state.carries[f"{name}b"] = msgspec.structs.replace(one, message=f"{name}b", asked=False)

    put(outgoing, "load", again)


@mutant
def lose_answers_outwards(put: Put) -> None:
    """Now and then an answer does not leave."""
    leave = voice.leave
    put(voice, "leave", lambda mai, given, now_ms: [] if given.n % 4 == 0 else leave(mai, given, now_ms))


@mutant
def leave_under_a_key_for_each_try(put: Put) -> None:
    """An answer that failed to leave goes again, and its tool is told another key."""
    put(channels, "key_of", lambda key: key)
