"""Certificates for one test, made by the openssl program."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import needed_program

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
LOOPBACK = "DNS:localhost,IP:127.0.0.1"
_CA = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]


@dataclass(frozen=True)
class Certificates:
    """PEM files of an authority, and of a server and a client that it has signed."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path, names: str = LOOPBACK) -> Certificates:
    """Create all files in `folder`, valid for two days, for these alternative names."""
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    extensions = [part for text in _CA for part in ("-addext", text)]
    _openssl(
        "req", "-x509", *_KEY, "-keyout", ca_key, "-out", ca, "-days", "2",
        "-subj", "/CN=a test's authority", *extensions,
    )  # fmt: skip
    for name in ("server", "client"):
        request, extra = folder / f"{name}.csr", folder / f"{name}.ext"
        _openssl("req", *_KEY, "-keyout", folder / f"{name}.key", "-out", request,
                 "-subj", f"/CN={name}")  # fmt: skip
        extra.write_text(f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\n")
        _openssl(
            "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
            "-days", "2", "-extfile", extra, "-out", folder / f"{name}.pem",
        )  # fmt: skip
    return Certificates(
        ca, folder / "server.pem", folder / "server.key",
        folder / "client.pem", folder / "client.key",
    )  # fmt: skip


def index_certificates(folder: Path) -> None:
    """Let OpenSSL find the certificates of a folder, as an administrator does for the system's."""
    _openssl("rehash", folder)


def _openssl(*arguments: str | Path) -> None:
    program = needed_program("openssl")
    subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, timeout=60)
