"""Supervisor's configuration: which processes `plate-detect run` starts, and how they stop."""

import os
import re
import shlex
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import count

from cli import guard, listener

SERVER = "redis"
STOP_MARGIN_SECONDS = 5


@dataclass(frozen=True)
class Role:
    """One supervised process, and the port that it is to try first for its metrics, if any."""

    name: str
    command: list[str]
    metrics_port: int | None = None


def roles(workers: int, metrics_port: int, others: Collection[int] = ()) -> list[Role]:
    """The service's own processes. ``metrics_port`` is the first of consecutive ones; 0: none.

    Each would find a free one by itself. With a start of its own it has the same one every time,
    and none of the ``others``, which it could take before who is to listen there does.
    """
    python = [sys.executable, "-m"]
    names = ["worker", "dispatcher", *(f"worker-{n}" for n in range(2, workers + 1))]
    ports = (port for port in count(metrics_port) if port not in others)
    consumers = [
        Role(
            name,
            [*python, "consumer", name.partition("-")[0]],
            next(ports) if metrics_port else 0,
        )
        for name in names
    ]
    return [Role("producer", [*python, "producer"]), *consumers]


def config(roles: list[Role], server_command: list[str] | None, drain_seconds: float) -> str:
    """Text of supervisord.conf, which supervisor's own files will lie beside.

    Supervisor stops group after group, highest priority first, and the members of a group
    together: so all roles drain at once, and the server goes only when they are gone.
    """
    stop_seconds = int(drain_seconds) + STOP_MARGIN_SECONDS
    names = ",".join(role.name for role in roles)
    sections = [
        _supervisord(),
        _listener(),
        *(_program(role, stop_seconds) for role in roles),
        _section("group:roles", {"programs": names, "priority": "20"}),
    ]
    if server_command is not None:
        server = Role(SERVER, server_command)
        sections.append(_program(server, stop_seconds, priority="10", startsecs="1"))
    return "\n".join(sections)


def guarded(command: list[str], death_signal: str) -> list[str]:
    """The command, made to end with the process that starts it."""
    return [sys.executable, "-S", guard.__file__, death_signal, *command]


def _supervisord() -> str:
    # Supervisor puts the configuration's folder in, when comments are gone: see _command.
    options = {
        "nodaemon": "true",
        "silent": "true",  # the listener says what an operator needs; the log holds the rest
        "logfile": "%(here)s/supervisord.log",
        "logfile_maxbytes": "1MB",
        "logfile_backups": "1",
        "pidfile": "%(here)s/supervisord.pid",
        "childlogdir": "%(here)s",
    }
    if os.getuid() == 0:
        options["user"] = "root"  # said on purpose, as in a container: no warning about it
    return _section("supervisord", options)


def _program(role: Role, stop_seconds: int, **options: str) -> str:
    port = role.metrics_port
    environment = {} if port is None else {"environment": f"METRICS_PORT={port}"}
    return _section(
        f"program:{role.name}",
        {
            # Killed if supervisor itself is killed: what a role has in flight is not lost by that,
            # a role without a supervisor would be a surprise.
            "command": _command(guarded(role.command, "SIGKILL")),
            "autorestart": "true",
            # One that ends within this time counts as not started; five in a row are given up.
            "startsecs": "10",
            "startretries": "5",
            "stopsignal": "TERM",
            "stopwaitsecs": str(stop_seconds),
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": "/dev/stdout",
            "stdout_logfile_maxbytes": "0",
            **environment,
            **options,
        },
    )


def _listener() -> str:
    command = guarded([sys.executable, "-m", listener.__name__], "SIGKILL")
    return _section(
        "eventlistener:listener",
        {
            "command": _command(command),
            "events": ",".join(listener.EVENTS),
            "autorestart": "true",
            "stderr_logfile": "/dev/stdout",
            "stderr_logfile_maxbytes": "0",
        },
    )


def _command(arguments: list[str]) -> str:
    """One line that supervisor takes apart again, whatever the folders' names are.

    For its parser a blank before `#` or `;` begins a comment, and it expands %(name)s. Such a blank
    is always quoted here: ending the quotes and beginning them anew keeps it off the sign.
    """
    return re.sub(r"(?<=\s)(?=[#;])", "''", shlex.join(arguments)).replace("%", "%%")


def _section(name: str, options: Mapping[str, str]) -> str:
    lines = (f"{key}={value}" for key, value in options.items())
    return "\n".join((f"[{name}]", *lines, ""))
