"""The configuration that supervisor gets."""

import configparser
import shlex
import sys
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from cli import supervision


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(inline_comment_prefixes=(";", "#"), interpolation=None)
    parser.read_string(text)
    return parser


def test_each_consumer_process_gets_its_own_metrics_port() -> None:
    roles = supervision.roles(workers=3, metrics_port=9101)
    ports = {role.name: role.metrics_port for role in roles}
    assert ports == {
        "producer": None,
        "worker": 9101,
        "dispatcher": 9102,
        "worker-2": 9103,
        "worker-3": 9104,
    }


def test_metrics_leave_the_ports_of_the_others_alone() -> None:
    roles = supervision.roles(workers=2, metrics_port=9101, others={9101, 9103})
    assert [role.metrics_port for role in roles] == [None, 9102, 9104, 9105]


def test_zero_switches_off_the_metrics_of_all() -> None:
    roles = supervision.roles(workers=2, metrics_port=0)
    assert [role.metrics_port for role in roles] == [None, 0, 0, 0]


def test_further_workers_are_workers() -> None:
    commands = [role.command[1:] for role in supervision.roles(workers=2, metrics_port=0)]
    assert commands == [
        ["-m", "producer"],
        ["-m", "consumer", "worker"],
        ["-m", "consumer", "dispatcher"],
        ["-m", "consumer", "worker"],
    ]


@pytest.fixture
def config() -> configparser.ConfigParser:
    roles = supervision.roles(workers=1, metrics_port=9101)
    return parsed(supervision.config(roles, ["/bin/server"], 25))


def test_the_server_outlives_the_roles(config: configparser.ConfigParser) -> None:
    # Supervisor stops the highest number first and waits for it.
    assert config.getint("group:roles", "priority") > config.getint("program:redis", "priority")


def test_all_roles_are_stopped_together(config: configparser.ConfigParser) -> None:
    assert config["group:roles"]["programs"] == "producer,worker,dispatcher"


def test_a_role_has_its_drain_and_a_margin_to_stop(config: configparser.ConfigParser) -> None:
    for name in ("producer", "worker", "dispatcher"):
        assert config[f"program:{name}"]["stopsignal"] == "TERM"
        assert config.getint(f"program:{name}", "stopwaitsecs") == 30


def test_nothing_listens_for_supervisorctl(config: configparser.ConfigParser) -> None:
    assert not {"inet_http_server", "unix_http_server"} & set(config.sections())


@pytest.mark.parametrize(
    "name", ["100% mine", "a #1", "a ; b", "#1", "it's #2 \" ;", "%(here)s", "a\t#", "plain"]
)
def test_supervisor_reads_what_was_meant(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    server = [f"/srv/{name}/server", name, f"{folder}/valkey.conf"]
    file = folder / "supervisord.conf"
    file.write_text(supervision.config(supervision.roles(1, 0), server, 25), encoding="utf-8")
    options = ServerOptions()
    options.realize(["-c", str(file)])
    assert (options.logfile, options.pidfile, options.childlogdir) == (
        str(folder / "supervisord.log"), str(folder / "supervisord.pid"), str(folder),
    )  # fmt: skip
    [command] = [
        program.command
        for group in options.process_group_configs
        for program in group.process_configs
        if program.name == "redis"
    ]
    assert shlex.split(command) == supervision.guarded(server, "SIGKILL")


def test_no_server_of_ours_when_redis_is_elsewhere() -> None:
    config = parsed(supervision.config(supervision.roles(1, 0), None, 25))
    assert "program:redis" not in config


def test_a_guarded_command_keeps_its_arguments() -> None:
    command = supervision.guarded(["echo", "a b"], "SIGTERM")
    assert command[0] == sys.executable
    assert command[-3:] == ["SIGTERM", "echo", "a b"]
