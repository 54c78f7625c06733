"""The shape of `mai status --json`, field by field: what scripts may rely on. `mai status --schema` prints it as a JSON schema.

Fields are added, and none is taken away or renamed, within a major version. Pure.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

State = Literal["starting", "replaying", "ready", "draining", "backoff", "failed", "stopped"]
Walled = Literal["", "full", "partial", "none", "trusted"]
Wanted = Literal["run", "pause", "drain", "switch", "stop"]


class Incident(msgspec.Struct):
    """One of the last ten incidents of a process; further fields depend on `what`."""

    at_ms: Annotated[int, Meta(description="milliseconds since 1970")]
    process: str
    what: Annotated[
        str,
        Meta(description="death, hung, starved, near, stuck, bloated, floods, failed, external, drain, disk, forged or reload"),
    ]
    text: Annotated[str, Meta(description="for people")]
    pid: int = 0
    file: Annotated[str, Meta(description="of a death: its file, below the state directory")] = ""
    task: Annotated[str, Meta(description="of a death: whose code was at work")] = ""
    bound: Annotated[str, Meta(description="of bloated: memory, descriptors or cpu")] = ""


class Process(msgspec.Struct, forbid_unknown_fields=True):
    """One process."""

    name: Annotated[str, Meta(description="supervisor, watchdog, one of the host's, or client/department")]
    pid: int | None
    state: State
    asleep: Annotated[bool, Meta(description="stopped for want of work; the next message for it starts it")]
    wanted: Annotated[Wanted, Meta(description="what operators or remedies want of it")]
    wanted_by: str
    wanted_why: str
    restarts: Annotated[int, Meta(description="starts after the first one, under this supervisor")]
    uptime_s: float
    memory_bytes: Annotated[int, Meta(description="resident")]
    queue: Annotated[int, Meta(description="what it has open")]
    done: Annotated[int, Meta(description="what it has done in this life")]
    last_progress_s: Annotated[float | None, Meta(description="ago")]
    status: Annotated[str, Meta(description="for people")]
    incidents: list[Incident]
    walls: Annotated[Walled, Meta(description="how it is held; trusted: who holds the others")] = ""
    warned: Annotated[list[str], Meta(description="memory, descriptors, cpu: near its bound; stuck: work and no progress")] = []
    pss_bytes: Annotated[int, Meta(description="proportional memory, where the watchdog was asked for it")] = 0


class Disk(msgspec.Struct, forbid_unknown_fields=True):
    """Room below the state directory."""

    free_bytes: int
    floor_bytes: Annotated[int, Meta(description="below it new requests are refused")]
    low: bool
    ballast: Annotated[bool, Meta(description="is the file there that is given up when the disk is full")]


class Status(msgspec.Struct, forbid_unknown_fields=True):
    """All of it."""

    processes: list[Process]
    clients: Annotated[dict[str, Literal["file", "added"]], Meta(description="where each stands: the file, or added at run time")]
    disk: Disk
    walls: Annotated[dict[str, str], Meta(description="layers of the walls that this host does not give, and why")] = {}
    cgroup: Annotated[list[str], Meta(description="controllers that bound each process; none without a delegated cgroup")] = []


def schema() -> dict[str, Any]:
    """As a JSON schema (2020-12)."""
    return msgspec.json.schema(Status)
