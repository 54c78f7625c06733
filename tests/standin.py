"""Stands in for the departments and Mai in the tests of the daemon: real processes that speak the protocol and do no work.

    standin.py daemon STATE RUN ORGANISATION_FILE     the real supervisor and watchdog, with stand-ins as their processes
    standin.py child STATE RUN PROCESS

What a stand-in does besides is in STATE/mode.CLIENT.PROCESS: `hold` opens the FIFO STATE/hold before it is ready; `crash`
ends before it is ready; `fall` ends right after; `config` ends with 78; `deaf` ends on SIGKILL only.
It notes what it goes through in STATE/events, one line each.
"""

import os
import select
import sys
import time

from mai.daemon import programs, supervisor
from mai.sandbox.life import EX_CONFIG, Signals, leave_traceback, stdin_ended, stdin_to_watch
from mai.sandbox.lock import Lock
from mai.sandbox.notify import Notifier
from mai.sandbox.place import WATCHDOG, Place


def command(place: Place, process: str) -> list[str]:
    """The real watchdog, and ourselves for the rest."""
    if process == WATCHDOG:
        return programs.command(place, process)
    return [sys.executable, "-P", __file__, "child", str(place.state), str(place.run), process]


class StandIn:
    """One process."""

    def __init__(self, place: Place, name: str) -> None:
        self.events = place.state / "events"
        self.name = name
        mode = place.state / f"mode.{name.replace('/', '.')}"
        self.mode = mode.read_text().strip() if mode.exists() else ""
        self.hold = place.state / "hold"
        self.notifier = Notifier()
        self.lock = Lock(place.home(name), wait_s=5)

    def note(self, what: str) -> None:
        """One line, whole even beside others'."""
        descriptor = os.open(self.events, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{self.name} {what} {os.getpid()}\n".encode())
        os.close(descriptor)

    def run(self) -> int:
        """Until it is told to stop, or the supervisor is gone."""
        self.note("begin")
        signals = Signals()
        self.notifier.beat("replaying", status="replaying 42 records")
        if self.mode == "config":
            print("mai: the ledger is of format 9, this version reads up to 1", file=sys.stderr)
            return EX_CONFIG
        if self.mode == "crash":
            raise RuntimeError("no luck")
        if self.mode == "hold":
            self.hold.open().close()
        self.note("ready")
        self.serve(signals)
        self.note("end")
        return 0

    def serve(self, signals: Signals) -> None:
        """The work loop: heartbeats."""
        poll, stdin = select.poll(), stdin_to_watch()
        poll.register(signals.fileno(), select.POLLIN)
        if stdin is not None:
            poll.register(stdin, select.POLLIN)
        while not signals.stop_asked or self.mode == "deaf":
            self.notifier.beat("ready", queue=3, done=7, progress_ms=time.time_ns() // 1_000_000, status="idle")
            if self.mode == "fall":
                os.abort()
            readable = [descriptor for descriptor, _ in poll.poll(self.notifier.interval_s * 1000)]
            signals.drain()
            if stdin in readable and stdin_ended() and self.mode != "deaf":
                return


def main(what: str, *arguments: str) -> int:
    """Either role."""
    if what == "daemon":
        return supervisor.main(list(arguments), command)
    leave_traceback()
    state, run, name = arguments
    return StandIn(Place(state, run), name).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
