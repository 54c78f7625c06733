"""How each kind of process is walled off: one table. Pure.

Whatever is not named here a process does not see. The supervisor and the watchdog are not in it: they start, end and read all
others, so they are trusted, and keep only their memory to themselves. `walling.py` finds out the facts.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from mai.agents.organisation import Department, Organisation
from mai.sandbox.walls import Walls

READ_ANY_FILE, USE_ANY_FILE = 2, 1  # CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE: of what is in its root directory
GIB: Final = 1 << 30
LIMITS: Final = {
    "core": 0,
    "files": 4096,
    "file_bytes": 64 * GIB,  # a ledger
    "locked_bytes": 64 << 10,
    "signals": 256,
    "queue_bytes": 0,
    "processes": 128,  # threads included
}
ETC: Final = ("localtime", "timezone", "ld.so.cache", "mime.types")
ETC_OF_NETWORK: Final = (*ETC, "ssl", "ca-certificates", "resolv.conf", "hosts", "nsswitch.conf", "host.conf", "gai.conf")
ETC_OF_USERS: Final = (*ETC, "passwd", "group", "nsswitch.conf")
ETC_OF_PROGRAMS: Final = (*ETC, "alternatives", "ssl", "hosts")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the table has to know of this host and this installation; paths are absolute and real."""

    state: str
    run: str
    system: tuple[str, ...]  # programs and libraries of the host, and the interpreter's
    code: tuple[str, ...]  # our own packages, and what PYTHONPATH names
    commands: tuple[str, ...] = ()  # directories of PATH that lie elsewhere
    programs: dict[str, tuple[str, ...]] = {}  # department -> where its commands lie
    credentials: tuple[str, ...] = ()  # the directory of the models' keys, if there is one
    secret: tuple[str, ...] = ()  # hidden from all: state, sockets, credentials; each process is shown its part of them
    certificates: tuple[str, ...] = ()  # that the environment names
    linked: tuple[str, ...] = ()  # where links in the organisation's directory lead that stand on the way to the code in use
    weights: tuple[str, ...] = ()  # files of the local model
    points: str = ""  # tests strike processes through this directory
    tape: str = ""  # the models' answers are recorded there, or played from there
    closed: bool = False  # the organisation's directory cannot be read by every user of the host
    users: dict[str, int] = {}  # process -> user; none if they all are the daemon's own
    groups: dict[str, int] = {}


class Site(msgspec.Struct, frozen=True):
    """What a row of the table is made for."""

    facts: Facts
    organisation: Organisation
    process: str

    @property
    def client(self) -> str:
        """Whose process it is."""
        return self.process.partition("/")[0]

    def home(self, *below: str) -> str:
        """Its own directory."""
        middle = ("clients",) if "/" in self.process else ()
        return "/".join((self.facts.state, *middle, self.process, *below))

    def notices(self) -> str:
        """The directory of its socket for heartbeats. A process of a client has one to itself."""
        return self.run("notify.d", *([self.process.replace("/", ".")] if "/" in self.process else []))

    def run(self, *below: str) -> str:
        """In the directory of the sockets."""
        return "/".join((self.facts.run, *below))


def walls(facts: Facts, organisation: Organisation, process: str) -> Walls:
    """What a process may reach."""
    site = Site(facts, organisation, process)
    row = TABLE.get(process.partition("/")[2] or process)
    made = row(site) if row else _department(site)
    kept = made.kept if facts.users else ()  # as the daemon's own user it reads what that user reads
    return msgspec.structs.replace(
        made,
        lists=tuple(dict.fromkeys(path.rpartition("/")[0] or "/" for path in facts.code)),  # where packages are looked for
        runs=(*facts.system, *facts.code, *made.runs),
        writes=(*made.writes, *([facts.points] if facts.points else [])),
        connects=(site.notices(), *made.connects),
        hidden=facts.secret,
        etc=made.etc or ETC,
        user=facts.users.get(process, 0),
        group=facts.groups.get(process, 0),
        kept=kept,
        limits={**LIMITS, **made.limits},
    )


def _department(site: Site) -> Walls:
    """No network; its own directory, its handlers' sources, the way to its Mai. Programs only if its agents or tools are some."""
    department = site.organisation.department(site.process.partition("/")[2])
    programs = department is not None and starts_programs(department)
    bytes_ = max(4 * GIB, 2 * _bound(site.organisation, department))
    return Walls(
        home=site.home(),
        links=(site.home("files"),),
        runs=(
            site.organisation.base, *site.facts.linked,
            *(_elsewhere(site, department.name) if department and programs else ()),
        ),
        connects=(site.run(site.client, "link"),),
        programs=programs,
        etc=ETC_OF_PROGRAMS if programs else ETC,
        kept=(READ_ANY_FILE,) if site.facts.closed else (),
        limits={"data_bytes": bytes_, "processes": 1024} if programs else {"address_bytes": bytes_},
    )  # fmt: skip


def _mai(site: Site) -> Walls:
    """No network and no code of the users'; the sockets of her client, the watchdog's door, the embedder's."""
    embeds = bool(site.organisation.routing.embeddings)
    return Walls(
        home=site.home(),
        writes=(f"{site.facts.state}/spool/{site.client}",) if any(one.spool for one in site.organisation.channels) else (),
        binds=(site.run(site.client), site.run(site.client, "link")),
        connects=(site.run("door.d"), *([site.run("embedder.d")] if embeds else [])),
        modes=True,
        etc=ETC_OF_USERS,
        limits={"address_bytes": 16 * GIB},
    )


def _models(site: Site) -> Walls:
    """The network, and the keys of the models' providers."""
    facts, local = site.facts, "local-model" in site.organisation.engines()
    return Walls(
        home=site.home(),
        reads=(*facts.credentials, *facts.certificates, *([site.run("local-model.d")] if local else [])),
        writes=(facts.tape,) if facts.tape else (),
        connects=(site.run(site.client, "link"),),
        network=True,
        etc=ETC_OF_NETWORK,
        kept=(READ_ANY_FILE, *([USE_ANY_FILE] if facts.tape else [])),  # the tape is the operator's, one for all clients
        limits={"address_bytes": 16 * GIB},
    )


def _tools(site: Site) -> Walls:
    """The network, and the users' functions in children, each behind a guard of its own."""
    return Walls(
        home=site.home(),
        links=(site.home("files"),),
        reads=site.facts.certificates,
        runs=(site.organisation.base, *site.facts.linked),
        connects=(site.run(site.client, "link"),),
        network=True,
        programs=True,
        etc=ETC_OF_NETWORK,
        kept=(READ_ANY_FILE,) if site.facts.closed else (),
        limits={"data_bytes": 8 * GIB, "processes": 1024},
    )


def _embedder(site: Site) -> Walls:
    """No network; native code of others, which works with threads."""
    return Walls(home=site.home(), binds=(site.run("embedder.d"),), machine=True, compiles=True, modes=True)


def _local_model(site: Site) -> Walls:
    """It listens on loopback, and serves from a child."""
    return Walls(
        home=site.home(),
        writes=(site.run("local-model.d"),),
        reads=site.facts.weights,
        network=True,
        programs=True,
        machine=True,
        compiles=True,
        etc=ETC_OF_NETWORK,
        kept=(READ_ANY_FILE,),
        limits={"locked_bytes": 1 << 62, "file_bytes": GIB, "processes": 1024},
    )


def _metrics(site: Site) -> Walls:
    """All journals; it listens on loopback or on a socket. SQLite's readers share memory with the writer, so it has to write."""
    listen = site.organisation.metrics.listen
    return Walls(
        home=site.home(),
        writes=(f"{site.facts.state}/clients", f"{site.facts.state}/watchdog"),
        binds=(site.run("metrics.d"),),
        connects=(site.run("door.d"),),
        network=listen not in ("", "socket"),
        modes=True,
        etc=ETC_OF_NETWORK,
        kept=(USE_ANY_FILE,),
    )


def _bound(organisation: Organisation, department: Department | None) -> int:
    """The watchdog's bound on its memory: it comes first, with a word of warning."""
    watching = department.watchdog.over(organisation.watchdog) if department else organisation.watchdog
    return watching.memory_bytes


def _elsewhere(site: Site, department: str) -> tuple[str, ...]:
    return (*site.facts.commands, *site.facts.programs.get(department, ()))


def starts_programs(department: Department) -> bool:
    """Has it agents or tools that are programs, or servers of tools?"""
    tools = any(tool.command or isinstance(tool.asked_by, tuple) for tool in department.tools)
    return bool(department.servers) or tools or any(agent.command for agent in department.agents)


TABLE: Final[dict[str, Callable[[Site], Walls]]] = {  # all other processes are departments
    "mai": _mai,
    "models": _models,
    "tools": _tools,
    "embedder": _embedder,
    "local-model": _local_model,
    "metrics": _metrics,
}
