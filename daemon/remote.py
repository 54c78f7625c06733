"""The supervisor's namespace `mai` for XML-RPC, beside supervisord's own: what the watchdog needs, and nothing for others."""

import os
import time
from typing import TYPE_CHECKING, Any, cast

from supervisor.options import split_namespec
from supervisor.states import RUNNING_STATES, getProcessStateDescription
from supervisor.xmlrpc import Faults, RPCError

from mai.daemon import adopting
from mai.daemon.door import refusal
from mai.sandbox.errors import MaiError, UsageFault

if TYPE_CHECKING:
    from mai.daemon.supervisor import Supervisor


def process_name(process: Any) -> str:
    """`acme/support`, or `watchdog` for what stands in a group of its own."""
    return named(process.group.config.name, process.config.name)


def named(group: str, name: str) -> str:
    """The same, of the names in supervisord's configuration."""
    return name if group == name else f"{group}/{name}"


class Remote:
    """Every public method is one of the namespace. The socket lets in only the daemon's own user."""

    def __init__(self, supervisor: "Supervisor") -> None:
        self._supervisor = supervisor

    def _process(self, name: str) -> Any:
        group, process = split_namespec(name.replace("/", ":"))
        try:
            return self._supervisor.process_groups[group].processes[process]
        except KeyError:
            raise RPCError(Faults.BAD_NAME, name) from None

    def processes(self) -> dict[str, Any]:
        """All processes; see mai.daemon.control.Facts. To ask is the watchdog's sign of life."""
        self._supervisor.watch.heard()
        groups = self._supervisor.process_groups.values()
        return {
            "pid": os.getpid(),
            "boot": self._supervisor.boot,
            "stopping": self._supervisor.halt.asked,
            "processes": [_fact(process) for group in groups for process in group.processes.values()],
        }

    def start(self, name: str) -> int:
        """Spawn it, unless it runs; its pid."""
        process = self._process(name)
        if not process.pid:
            process.spawn()
            process.transition()  # STARTING -> RUNNING, or BACKOFF -> FATAL, in this turn of the loop
        if not process.pid:
            raise RPCError(Faults.SPAWN_ERROR, f"{name}: {process.spawnerr}")
        return int(process.pid)

    def stop(self, name: str) -> bool:
        """SIGTERM, later SIGKILL."""
        process = self._process(name)
        return process.get_state() not in RUNNING_STATES or process.stop() is None

    def signal(self, name: str, number: int) -> bool:
        """Any signal, to it alone."""
        return self._process(name).signal(number) is None

    def try_out(self) -> dict[str, Any]:
        """Read the organisation file again and lay down what it says; an `error`, as a door says it, if it has faults."""
        try:
            adopting.try_out(self._supervisor.options.place, self._supervisor.file)
        except MaiError as error:
            return refusal(error)
        except OSError as error:
            return refusal(UsageFault(str(error)))
        return {}

    def adopt(self, stage: str) -> bool:
        """Run the organisation of this stage from now on; "" puts away what has stopped and is no part of it."""
        supervisor, place = self._supervisor, self._supervisor.options.place
        if stage:
            adopting.take_over(place, adopting.staged(place, cast(adopting.Stage, stage)))
        supervisor.adopt(adopting.current(place))
        return True

    def report(self, ready: bool, status: str) -> bool:
        """How the whole is, for systemd."""
        self._supervisor.upward.report(ready, status)
        self._supervisor.halt.acknowledged = self._supervisor.halt.asked
        return True

    def down(self) -> bool:
        """Begin the ordered stop."""
        self._supervisor.halt.ask()
        return True

    def finish(self) -> bool:
        """Everything else is stopped: stop the watchdog, and end."""
        self._supervisor.halt.finish()
        return True


def _fact(process: Any) -> dict[str, Any]:
    return {
        "name": process_name(process),
        "pid": process.pid,
        "state": getProcessStateDescription(process.state),
        "spawns": process.spawns,
        "age_s": time.monotonic() - process.spawned_s,
    }


def make(supervisor: "Supervisor", **config: Any) -> Remote:
    """supervisord's factory for `[rpcinterface:mai]`."""
    return Remote(supervisor)
