"""What messages of the attempts have done, by the journals of those who were to be deceived."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mai.sandbox.errors import MaiError
from tests.escape_checks import Judge, check, eventually
from tests.small import until

if TYPE_CHECKING:
    from tests.escape_world import World


def told(world: "World", process: str, kind: str = "") -> list[dict[str, Any]]:
    """The bodies of the records that hold the attempt's token."""
    return [body for record, body in world.daemon.journal(process, kind) if world.facts["token"] in record.body]


@check
def received(world: "World") -> Iterator[Judge]:
    """No Mai has taken a message in from another than the lair."""

    def look() -> bool:
        ours = [body for body in told(world, "acme/mai", "message.received") if body["sender"] != "acme/lair"]
        return bool(ours or told(world, "beta/mai", "message.received"))

    world.facts["vault_next"] = next_number(world, "acme/vault")
    world.facts["beta_next"] = next_number(world, "beta/vault")
    yield lambda: eventually(world, look)


def next_number(world: "World", process: str) -> int:
    """The number of a process's next message to its Mai."""
    client = process.partition("/")[0]
    came = [body["lseq"] for _, body in world.daemon.journal(f"{client}/mai", "message.received") if body["sender"] == process]
    return max(came, default=0) + 1


@check
def received_own(world: "World") -> Iterator[Judge]:
    """Mai has not taken it in at all."""
    yield lambda: eventually(world, lambda: bool(told(world, "acme/mai", "message.received")))


@check
def twice(world: "World") -> Iterator[Judge]:
    """What has a number that was used has no effect."""
    yield lambda: eventually(
        world, lambda: bool(told(world, "acme/mai", "message.received") + told(world, "acme/mai", "remembered"))
    )


@check
def victim_received(world: "World") -> Iterator[Judge]:
    """Nothing of it has reached the vault."""
    yield lambda: eventually(world, lambda: bool(told(world, "acme/vault")))


@check
def remembered_falsely(world: "World") -> Iterator[Judge]:
    """The client's memory holds nothing of it."""

    def look() -> bool:
        kept = [record for record, _ in world.daemon.journal("acme/mai") if world.facts["token"] in record.body]
        return any(record.kind.startswith("remembered") for record in kept)

    yield lambda: eventually(world, look)


@check
def answered_falsely(world: "World") -> Iterator[Judge]:
    """A request that waits for the vault, which is stopped meanwhile, is answered by the vault."""
    pid, request, answers = world.facts["vault_pid"], f"open-{world.facts['token']}", list[str]()
    os.kill(pid, signal.SIGSTOP)

    def ask() -> None:
        with suppress(MaiError):
            answers.append(str(world.ask("acme", "keep it", request)))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        until(lambda: sent_to_vault(world, request), "the open task")
        world.facts |= {"open_task": sent_to_vault(world, request), "open_request": request}
        yield lambda: eventually(world, lambda: any(world.facts["token"] in answer for answer in answers))
    finally:
        os.kill(pid, signal.SIGCONT)
        thread.join(60)


def sent_to_vault(world: "World", request: str) -> str:
    """The task that Mai has sent to the vault for a request; "" if none."""
    sent = world.daemon.journal("acme/mai", "message.sent")
    return next((body["body"]["task"] for record, body in sent if record.request == request and body["to"] == "acme/vault"), "")


@check
def forgotten(world: "World") -> Iterator[Judge]:
    """Mai does not believe that the vault has lost what it received."""
    before = len(refused(world, "amnesia"))
    yield lambda: eventually(world, lambda: len(refused(world, "amnesia")) > before)


def refused(world: "World", why: str) -> list[dict[str, Any]]:
    """What Mai has refused of the vault's for this reason."""
    found = world.daemon.journal("acme/mai", "message.refused")
    return [body for _, body in found if body["why"] == why and body["peer"] == "acme/vault"]


@check
def mai_busy(world: "World") -> Iterator[Judge]:
    """Mai lives, and others are answered within their time, also while it goes on."""
    pid, late = world.pid("acme/mai"), list[str]()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            begun_s = time.monotonic()
            try:
                world.ask("acme", "keep it")
            except MaiError as error:
                late.append(str(error))
            if time.monotonic() - begun_s > 10:
                late.append("slow")

    thread = threading.Thread(target=ask)
    thread.start()

    def look() -> bool:
        over.set()
        thread.join(60)
        return bool(late) or world.pid("acme/mai") != pid

    try:
        yield look
    finally:
        over.set()
        thread.join(60)
    world.revive()


@check
def unheard(world: "World") -> Iterator[Judge]:
    """Meanwhile the watchdog hears another client's department: it signs what that has written since."""
    heard = list[bool]()

    def look() -> None:
        time.sleep(1.0)  # for the flood to begin
        world.ask("beta", "keep it")
        last = world.daemon.journal("beta/vault")[-1][0].seq
        end_s = time.monotonic() + 3.5
        while time.monotonic() < end_s and not heard:
            heads = (body["heads"].get("beta/vault", [0]) for _, body in world.daemon.journal("watchdog", "heads.signed")[-20:])
            if any(head[0] >= last for head in heads):
                heard.append(True)

    thread = threading.Thread(target=look)
    thread.start()

    def judge() -> bool:
        thread.join(30)
        return not heard

    try:
        yield judge
    finally:
        thread.join(30)


@check
def vault_said(world: "World") -> Iterator[Judge]:
    """The watchdog does not take it for the vault's word."""

    def look() -> bool:
        entry = world.daemon.status()["acme/vault"]
        return bool(entry["status"] == world.facts["token"] or entry["state"] == "draining")

    yield lambda: eventually(world, look)
