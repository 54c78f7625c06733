"""How the watchdog watches: the table `watchdog` of an organisation file, and what a department sets otherwise. Pure."""

from typing import Annotated, Literal

from msgspec import Meta, structs

from mai.agents.parts import Part

Memory = Annotated[int, Meta(ge=0, le=1 << 46)]
Files = Annotated[int, Meta(ge=0, le=1 << 20)]
Cores = Annotated[float, Meta(ge=0, le=4096)]
Span = Annotated[float, Meta(ge=0, le=86_400)]
Deaths = Annotated[int, Meta(ge=0, le=10_000)]
Strategy = Literal["one_for_one", "rest_for_one"]


class Watching(Part, frozen=True, kw_only=True):
    """Bounds of each process of a client, and when it is given up. 0: no bound."""

    deaths: Annotated[int, Meta(ge=1, le=10_000)] = 30  # more within period_s: it is given up
    period_s: Annotated[float, Meta(ge=0.1, le=86_400)] = 60.0
    strategy: Strategy = "one_for_one"  # rest_for_one: who stands after another is started again with it
    memory_bytes: Memory = 2 << 30  # resident, with all that it has started
    descriptors: Files = 0  # open files, its own
    cpu_cores: Cores = 0.0  # over cpu_s, with all that it has started
    cpu_s: Annotated[float, Meta(ge=1, le=3600)] = 10.0
    stuck_s: Span = 300.0  # with work and no progress for so long: an incident
    sleep_s: Span = 0.0  # a process without work for so long is stopped, and started by the next message for it
    starts: Annotated[int, Meta(ge=0, le=1024)] = 0  # at a time, while others are served; 0: one fewer than processors
    sign_s: Annotated[float, Meta(ge=0.05, le=60)] = 30.0  # so often the heads of the journals are signed, if they are new


class OwnWatching(Part, frozen=True, kw_only=True):
    """What a department has instead of the organisation's; 0: as the organisation."""

    deaths: Deaths = 0
    period_s: Span = 0.0
    memory_bytes: Memory = 0
    descriptors: Files = 0
    cpu_cores: Cores = 0.0
    cpu_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    stuck_s: Span = 0.0
    sleep_s: Span = 0.0

    def over(self, whole: Watching) -> Watching:
        """The department's, complete."""
        own = {name: value for name in self.__struct_fields__ if (value := getattr(self, name))}
        return structs.replace(whole, **own)
