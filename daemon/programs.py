"""The organisation as supervisord reads it: groups are the clients, programs the processes; rendered in memory.

No program restarts by itself (`autorestart=false`, and a failed spawn is FATAL at once): that is the watchdog's business,
who is the only one to start by himself.
"""

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from mai.agents.organisation import Organisation
from mai.sandbox import durable
from mai.sandbox.errors import UsageFault
from mai.sandbox.place import WATCHDOG, Place, short
from mai.sandbox.points import SETTING as POINTS
from mai.sandbox.proof import shown

SUPERVISOR = "supervisor"
STOP_S = 10  # from SIGTERM to SIGKILL
PID_BYTES = 8  # supervisord binds its socket under a name with its pid behind it, then links it
MODULES = {  # process, or the last part of its name -> the module that it runs; all others are departments
    WATCHDOG: "mai.daemon.watchdog",
    "local-model": "mai.daemon.local",
    "embedder": "mai.daemon.embedder",
    "metrics": "mai.daemon.exporter",
    "mai": "mai.daemon.gateway",
    "models": "mai.daemon.models",
    "tools": "mai.daemon.tools",
}
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", POINTS)  # of the environment; the rest is not the company's business
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
WAYS_OUT = (*PROXIES, *map(str.upper, PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR")
OF_SERVICE = {  # what only a client's service finds in its environment
    "models": (*WAYS_OUT, "MAI_CREDENTIALS", "CREDENTIALS_DIRECTORY", "MAI_TAPE"),
    "tools": WAYS_OUT,
}

Command = Callable[[Place, str], list[str]]  # place, process -> how it is started

SUPERVISORD = """\
[supervisord]
nodaemon=true
silent=true
nocleanup=true
identifier=mai
logfile={log}
logfile_maxbytes=10MB
logfile_backups=3
pidfile={pid}
childlogdir={logs}
minfds=64
minprocs=1
{user}
[unix_http_server]
file={socket}
chmod=0600
username=mai
password={proof}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[rpcinterface:mai]
supervisor.rpcinterface_factory=mai.daemon.remote:make
"""
SUPERVISORCTL = """\
[supervisorctl]
serverurl=unix://{socket}
username=mai
password={proof}
"""
PROGRAM = """\
[program:{section}]
process_name={name}
command={command}
priority={priority}
autostart={autostart}
autorestart=false
startsecs=0
startretries=0
stopwaitsecs={stop_s}
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""
GROUP = """\
[group:{client}]
programs={programs}
priority=10
"""


def command(place: Place, process: str) -> list[str]:
    """How a process is started: a module of ours for each kind."""
    module = MODULES.get(process.rpartition("/")[2], "mai.agents.process")
    start = [sys.executable, "-P", "-m", module, str(place.state), str(place.run)]
    return [*start, process] if "/" in process else start


def is_mai(process: str) -> bool:
    """Is it the gateway of a client?"""
    return process.endswith("/mai")


def environment(place: Place, heartbeat_s: float, ours: Mapping[str, str], process: str = "") -> dict[str, str]:
    """What a process of the company finds in its environment. systemd's own sockets and secrets of a shell are not in it."""
    kept = (*KEPT, *(OF_SERVICE.get(process.partition("/")[2], ())))
    paths = [os.path.abspath(path) for path in ours.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {
        **{name: ours[name] for name in kept if name in ours},
        **({"PYTHONPATH": os.pathsep.join(paths)} if paths else {}),
        "PYTHONUNBUFFERED": "1",
        "MAI_STATE": str(place.state),
        "MAI_RUN": str(place.run),
        "NOTIFY_SOCKET": str(place.notice(process)),
        "WATCHDOG_USEC": str(int(heartbeat_s * 1e6)),
    }


def render(organisation: Organisation, place: Place, how: Command = command) -> str:
    """supervisord's configuration. Raises UsageFault for a path that its format cannot hold."""
    parts = [
        SUPERVISORD.format(
            log=_value(place.log(SUPERVISOR)),
            pid=_value(place.supervisor / "pid"),
            logs=_value(place.logs),
            socket=_value(short(place.supervisor_socket, spare=PID_BYTES)),
            proof=shown(place.run),
            user=f"user={os.geteuid()}" if os.geteuid() == 0 else "",
        ),
        _program(place, WATCHDOG, how, priority=1),
        *(_program(place, engine, how, priority=5) for engine in organisation.engines()),
    ]
    for client in organisation.clients:
        processes = [process for process in organisation.processes() if process.split("/")[0] == client]
        parts += [_program(place, process, how, priority=20 if is_mai(process) else 30) for process in processes]
        parts.append(GROUP.format(client=client, programs=",".join(_section(process) for process in processes)))
    return "".join(parts)


def tell_supervisorctl(place: Place) -> None:
    """Lay out what lets `supervisorctl -c` in: where the supervisor listens, and the proof. Raises OSError."""
    said = SUPERVISORCTL.format(socket=_value(place.supervisor_socket), proof=shown(place.run))
    durable.write(place.supervisorctl, said.encode())


def _program(place: Place, process: str, how: Command, priority: int) -> str:
    return PROGRAM.format(
        section=_section(process),
        name=process.rpartition("/")[2],
        command=_value(shlex.join(how(place, process))),
        priority=priority,
        autostart="true" if process == WATCHDOG else "false",
        stop_s=STOP_S,
        log=_value(_value(place.log(process))),  # expanded twice, options.py
    )


def _section(process: str) -> str:
    """A name of its own among all programs; the part before the dot is the client."""
    return process.replace("/", ".")


def _value(value: str | Path) -> str:
    """A value as the file can hold it: `%` is doubled, because supervisord expands; comments and line breaks have no escape."""
    text = str(value)
    if text != text.strip() or not text.isprintable() or any(f" {mark}" in text for mark in ";#"):
        raise UsageFault(
            f"supervisord cannot hold the path {text!r}", "choose one without ' ;', ' #', line breaks or outer blanks"
        )
    return text.replace("%", "%%")
