"""Every kind of record that a journal may hold, and what it is made of."""

from functools import cache
from importlib import import_module
from typing import Final

import msgspec

from mai.agents.events import KINDS

REGISTERING: Final = (  # the modules that add kinds to `events.KINDS`
    "mai.agents.allowance", "mai.agents.approval_records", "mai.agents.cancelling", "mai.agents.claims", "mai.agents.duty",
    "mai.agents.erased",
    "mai.agents.escalating", "mai.agents.fallback", "mai.agents.guards", "mai.agents.judging", "mai.agents.memory",
    "mai.agents.noticed", "mai.agents.quarantine", "mai.agents.rotation_events", "mai.agents.sealing", "mai.daemon.breach",
    "mai.daemon.calling",
    "mai.daemon.cancel", "mai.daemon.cases", "mai.daemon.cover", "mai.daemon.dispute_records", "mai.daemon.doubts",
    "mai.daemon.escalations", "mai.daemon.granting", "mai.daemon.held", "mai.daemon.keyed",
    "mai.daemon.pending", "mai.daemon.records", "mai.daemon.releasing", "mai.daemon.resting",
    "mai.daemon.rostering", "mai.daemon.spooled", "mai.daemon.told", "mai.daemon.tooling", "mai.daemon.transcript_records",
    "mai.daemon.turned", "mai.daemon.visits", "mai.daemon.voice_records",
)  # fmt: skip


@cache
def kinds() -> dict[str, type[msgspec.Struct]]:
    """All of them, each with the Struct that its body is."""
    from mai.daemon.watchdog_records import RECORDS

    for name in REGISTERING:
        import_module(name)
    return dict(sorted({**KINDS, **RECORDS}.items()))
