"""The parent of every process: the `supervisor` package, embedded, with its configuration rendered in memory.

What stock supervisord 4.3 lacks, and where it is added (line by line in supervisord.py, options.py and process.py):
- it polls once a second and misses SIGCHLD: `Wake` puts a wake-up descriptor into its loop;
- it spawns before it reaps, so a respawn takes another turn: `Watch` starts the watchdog in the turn in which it died;
- its children outlive it: PR_SET_PDEATHSIG in `Options.execve`, the last thing before the exec;
- they see the whole host: `Options.fork` and `Options.execve` put up the outer half of their walls (sandbox/outer.py);
- a callback that raises ends it and orphans all: whatever of ours or of a child's state it calls is guarded;
- SIGHUP restarts everything: here it is only noted.

No ZeroMQ, no SQLite and no thread in this process: it forks, and PDEATHSIG follows the forking thread.

    python -P -m mai.daemon.supervisor STATE RUN ORGANISATION_FILE
"""

import contextlib
import functools
import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from supervisor import loggers, supervisord
from supervisor.medusa import asyncore_25 as asyncore
from supervisor.options import ProcessConfig, ServerOptions, decode_wait_status, signame
from supervisor.process import Subprocess
from supervisor.states import ProcessStates, SupervisorStates

from mai.agents import check
from mai.agents.organisation import Organisation
from mai.daemon import adopting
from mai.daemon.clientele import over
from mai.daemon.duties import Halt, Herald, Upward, Watch
from mai.daemon.programs import Command, command, environment, render, tell_supervisorctl
from mai.daemon.remote import named, process_name
from mai.daemon.settle import settle
from mai.daemon.walling import Walling
from mai.sandbox import outer
from mai.sandbox.cgroup import Groups, delegated
from mai.sandbox.confine import hide
from mai.sandbox.errors import USAGE, MaiError, UsageFault
from mai.sandbox.life import ABORTED, EX_OSERR, Signals, die_with_parent
from mai.sandbox.lock import Lock
from mai.sandbox.notify import Notifier
from mai.sandbox.place import WATCHDOG, Place
from mai.sandbox.points import SETTING as POINTS
from mai.sandbox.walls import SETTING, Walls

LONGEST_S = 1.0  # between two turns: the timeout in supervisord's runforever
F = TypeVar("F", bound=Callable[..., Any])


def guarded(method: F) -> F:
    """An exception inside supervisord's loop would end it, and with it the whole company: print it and go on."""

    @functools.wraps(method)
    def wrapper(*args: Any, **named: Any) -> Any:
        try:
            return method(*args, **named)
        except asyncore.ExitNow:
            raise
        except Exception:
            traceback.print_exc()
            return None

    return cast(F, wrapper)


class Child(Subprocess):  # type: ignore[misc]  # supervisor has no types
    """One process: counts its starts, and tells the watchdog of each start and end."""

    spawns = 0
    spawned_s = 0.0
    apart = False  # in a pid namespace of its own

    def spawn(self) -> int | None:
        self.config.options.spawning = process_name(self)
        pid = cast(int | None, super().spawn())
        if pid:
            self.apart = self.config.options.apart
            self.spawns, self.spawned_s = self.spawns + 1, time.monotonic()
            self.config.options.herald.tell("started", {"name": process_name(self), "pid": pid})
        return pid

    @guarded
    def transition(self) -> None:
        super().transition()

    @guarded
    def finish(self, pid: int, status: int) -> None:
        try:
            super().finish(pid, status)
        except Exception:  # whatever supervisord finds at odds with its own books: the process is gone
            traceback.print_exc()
            self.pid, self.state = 0, ProcessStates.EXITED
        sweep(pid)
        self.config.options.ended(self, pid, status)


def sweep(group: int) -> None:
    """Kill what a process left behind in its process group: handlers and tools that it had started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


class Program(ProcessConfig):  # type: ignore[misc]  # supervisor has no types
    """The configuration of a `Child`."""

    def make_process(self, group: Any = None) -> Child:
        process = Child(self)
        process.group = group
        return process


class Options(ServerOptions):  # type: ignore[misc]  # supervisor has no types
    """supervisord's options without a file and without a command line; the last step of a child before exec is ours."""

    def __init__(self, place: Place, text: str, children: Callable[[str], dict[str, str]]) -> None:
        super().__init__()
        self.place = place
        self.children = children  # the last word of a command, which names the process -> its environment
        self.parent = os.getpid()
        self.configfile = io.StringIO(text)
        self.herald = Herald(place.notify)
        self.groups: Groups | None = None
        self.walling: Walling
        self.walls: Walls | None = None  # of the process that is just being started
        self.spawning = ""  # the process that is just being started
        self.on_end: Callable[[Child, str, int], None] = lambda process, how, code: None

    def read_config(self, fp: io.StringIO) -> Any:
        fp.seek(0)  # `supervisorctl reread` reads it again
        return super().read_config(fp)

    def processes_from_section(self, parser: Any, section: str, group_name: str, klass: Any = None) -> Any:
        return super().processes_from_section(parser, section, group_name, Program)

    def cleanup_fds(self) -> None:
        """Would close our locks."""

    def fork(self) -> int:
        """Into namespaces of its own, unless it is the watchdog, which is trusted as we are. Raises OSError."""
        self.walls = None if self.spawning == WATCHDOG else self.walling.walls(self.spawning)
        return outer.fork(self.walling.given(self.spawning), network=self.walls.network) if self.walls else os.fork()

    @property
    def apart(self) -> bool:
        """Is the process that is just being started in namespaces of its own?"""
        return self.walls is not None and "namespaces" in self.walling.given(self.spawning)

    def execve(self, filename: str, argv: list[str], env: dict[str, str]) -> None:
        self.enter_group(env)
        given = self.children(argv[-1])
        if self.walls is None:
            die_with_parent(self.parent)
        else:
            given |= self.enter_walls(self.walls)
        super().execve(filename, argv, given)

    def enter_walls(self, walls: Walls) -> dict[str, str]:
        """In the child: the outer half of its walls, or its end. What of its environment depends on them."""
        layers = self.walling.given(self.spawning)
        try:
            told = outer.enter(walls, layers, self.parent)
        except OSError as error:
            self.write(2, f"mai: the walls that this host gives cannot be put up now: {error}\n")
            self._exit(EX_OSERR)
        rooms = {"HOME": walls.home, "TMPDIR": "/tmp" if "namespaces" in layers else walls.home}
        return {**rooms, SETTING: msgspec.json.encode(told).decode()}

    def enter_group(self, env: dict[str, str]) -> None:
        """In the child: its cgroup, if there are any. It runs without one rather than not at all, and its log says so."""
        try:
            if self.groups:
                self.groups.enter(named(env["SUPERVISOR_GROUP_NAME"], env["SUPERVISOR_PROCESS_NAME"]))
        except OSError as error:
            self.write(2, f"no cgroup: {error}\n")

    def ended(self, process: Child, pid: int, status: int) -> None:
        """A child was reaped."""
        if self.groups:
            self.groups.kill(process_name(process))
        code, how = decode_wait_status(status)
        if process.apart and code == ABORTED:
            code, how = -1, "terminated by SIGABRT"  # as it would be without a namespace, see sandbox/life.py
        asked = process.state == ProcessStates.STOPPED
        down = self.mood < SupervisorStates.RUNNING
        self.herald.tell(
            "ended", {"name": process_name(process), "pid": pid, "code": code, "how": how, "asked": asked, "down": down}
        )
        self.on_end(process, how, code)


class Wake:
    """Ends supervisord's poll when a descriptor of ours is readable, such as that of signals: an entry of its asyncore map."""

    server = None  # asyncore asks each entry

    def __init__(self, descriptor: int, turn: Callable[[], object]) -> None:
        self.turn = turn
        asyncore.socket_map[descriptor] = self

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        self.turn()

    def handle_error(self) -> None:
        traceback.print_exc()


class Supervisor(supervisord.Supervisor):  # type: ignore[misc]  # supervisor has no types
    """supervisord's loop with our duties in it."""

    def __init__(self, options: Options, upward: Upward, file: Path, how: Command) -> None:
        """`file`: the organisation file; `how` its processes are started."""
        super().__init__(options)
        self.file, self.how = file, how
        self.boot = os.urandom(6).hex()
        self.upward = upward
        self.watch = Watch(self, time.monotonic)
        self.halt = Halt(self, time.monotonic)
        self.gave_up = ""
        options.on_end = self.on_end

    @property
    def watchdog(self) -> Child:
        """The one child that is ours to keep."""
        return cast(Child, self.process_groups[WATCHDOG].processes[WATCHDOG])

    @property
    def is_running(self) -> bool:
        """Not yet shutting down, and not reloading."""
        return bool(self.options.mood >= SupervisorStates.RUNNING)

    def adopt(self, organisation: Organisation) -> None:
        """Run this one from now on; what runs already goes on."""
        place = self.options.place
        self.options.walling.take_up(organisation)
        self.options.children = functools.partial(environment, place, organisation.limits.heartbeat_s, dict(os.environ))
        adopting.adopt(self, render(organisation, place, self.how))

    def log(self, text: str) -> None:
        self.options.logger.info(text)

    def runforever(self) -> None:
        self.signals = Signals(signal.SIGALRM, signal.SIGCHLD)
        self.options.setsignals()  # its handlers, our descriptor
        Wake(self.signals.fileno(), self.signals.drain)
        if points := os.environ.get(POINTS):
            from mai.sandbox.traps import Striker

            striker = Striker(Path(points))
            Wake(striker.fileno(), striker.turn)
        self.signals.wake()  # the first turn spawns the watchdog; supervisord would sleep before it
        try:
            super().runforever()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)  # Python resets its handlers before it ends: the next would kill it

    def reap(self, once: bool = False, recursionguard: int = 0) -> None:
        """Not supervisord's own, which recurses and is not guarded."""
        while (found := self.options.waitpid())[0]:
            pid, status = found
            process = self.options.pidhistory.pop(pid, None)
            if process:
                process.finish(pid, status)

    def on_end(self, process: Child, how: str, code: int) -> None:
        if process.config.name == WATCHDOG and process.state != ProcessStates.STOPPED:
            self.watch.ended(process, how, code)

    @guarded
    def handle_signal(self) -> None:
        """All that came, where supervisord handles one a turn."""
        while number := self.options.get_signal():
            if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                self.log(f"{signame(number)}: stopping")
                self.halt.ask()
            elif number == signal.SIGHUP:
                self.log("SIGHUP: nothing to do")
            elif number == signal.SIGUSR2:
                self.options.reopenlogs()
                for group in self.process_groups.values():
                    group.reopenlogs()

    @guarded
    def tick(self, now: float | None = None) -> None:
        now_s = time.monotonic()
        due_s = min(duty.turn(now_s) for duty in (self.upward, self.watch, self.halt, self.options.herald))
        if due_s < now_s + LONGEST_S:
            signal.setitimer(signal.ITIMER_REAL, max(due_s - now_s, 0.001))  # ends the poll through the descriptor

    def ordered_stop_groups_phase_2(self) -> None:
        """Leave behind all groups that have stopped, and stop the next in this very turn; supervisord leaves one a second."""
        while self.stop_groups and not self.stop_groups[-1].get_unstopped_processes():
            self.stop_groups.pop()
            self.signals.wake()

    def kill_all(self) -> None:
        """No patience left."""
        for group in self.process_groups.values():
            for process in group.processes.values():
                if process.pid:
                    process.kill(signal.SIGKILL)

    def give_up(self, why: str) -> None:
        """End with an error: a restart will not make it better."""
        self.gave_up = why
        self.halt.finish()


def serve(place: Place, file: Path, how: Command) -> None:
    """Run the company of an organisation file until it is told to stop. Raises MaiError, for example if the place is in use."""
    organisation = settle(check.load(file))
    place.prepare()
    upward = Upward(Notifier())
    for directory in dict.fromkeys((place.state, place.run)):  # both, or two daemons could share the sockets
        Lock(directory, "daemon")
    organisation, clientele = over(organisation, adopting.decided(place))
    adopting.take_over(place, adopting.Staged(organisation, file.read_bytes(), clientele))
    walling = Walling(place, organisation)
    supervisor = Supervisor(_options(place, organisation, how), upward, file, how)
    supervisor.options.walling = walling
    supervisor.options.groups = grouped()
    with contextlib.suppress(asyncore.ExitNow):
        supervisor.main()
    if supervisor.options.mood == SupervisorStates.RESTARTING:  # `supervisorctl reload`: all is stopped, begin anew
        os.execv(sys.executable, sys.orig_argv)
    if supervisor.gave_up:
        raise MaiError(supervisor.gave_up, f"more in {place.log(WATCHDOG)}")


def grouped() -> Groups | None:
    """A cgroup for each process, if the host has delegated a tree to us; in one that cannot be used there are none."""
    groups = delegated()
    try:
        if groups:
            groups.prepare()
    except OSError as error:
        print(f"no cgroups: {error}", file=sys.stderr, flush=True)
        return None
    return groups


def _options(place: Place, organisation: Organisation, how: Command) -> Options:
    """supervisord's options, realized; from here on our own environment is what the children get."""
    children = functools.partial(environment, place, organisation.limits.heartbeat_s, dict(os.environ))
    place.supervisor_socket.unlink(missing_ok=True)  # we hold the lock: it is stale, and supervisord would wait 0.3 s
    loggers.Handler.handleError = lambda handler: None  # a line that no disk takes is lost: a traceback would want room too
    options = Options(place, render(organisation, place, how), children)
    tell_supervisorctl(place)
    options.realize([], doc=__doc__)
    options.first, options.test = True, False
    return options


def main(arguments: list[str], how: Command = command) -> int:
    """The exit status: 0 stopped as asked, 2 cannot start like this."""
    os.umask(0o077)
    hide()
    try:
        if len(arguments) != 3:
            raise UsageFault("the supervisor takes three arguments: STATE RUN ORGANISATION_FILE", "try: mai up --help")
        state, run, file = arguments
        serve(Place(state, run), Path(file).absolute(), how)
    except MaiError as error:
        print(f"mai: {error.sentence}" + (f"\nhint: {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.code
    except OSError as error:
        print(f"mai: {error}", file=sys.stderr)
        return USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
