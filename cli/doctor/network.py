"""Ports that the roles listen on, and the receivers of webhooks."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator

import aiohttp

from cli.doctor.findings import Finding, Installation, ok, problem, skipped
from cli.masking import masked_address
from cli.readiness import ReadinessProbe
from consumer.addresses import HttpAddress, http_address
from consumer.settings import DispatcherSettings
from schemas.listening import check_bindable

CONNECT_SECONDS = 5.0
_METRICS_PORTS = 100


async def check_ports(installation: Installation) -> AsyncIterator[Finding]:
    """Check that each role can listen, or that it is the service that does."""
    producer = installation.producer
    yield await _producer_port(producer.host, producer.port)
    ports = {"worker": installation.worker.metrics_port,
             "dispatcher": installation.dispatcher.metrics_port}  # fmt: skip
    for role, first in ports.items():
        if first:
            yield await asyncio.to_thread(_metrics_port, role, first)
        else:
            yield skipped(f"METRICS_PORT of the {role} is 0: no metrics")


async def check_webhooks(installation: Installation) -> AsyncIterator[Finding]:
    """Connect to the receivers of webhooks; nothing is sent to them."""
    settings = installation.dispatcher
    addresses = {"BACKEND_UPLOAD_URL": settings.backend_upload_url,
                 "BACKEND_CALLBACK_URL": settings.backend_callback_url}  # fmt: skip
    for name, url in addresses.items():
        if url is None:
            yield skipped(f"{name} is not set")
        else:
            yield await _receiver(name, url, settings)


async def _producer_port(host: str, port: int) -> Finding:
    try:
        await asyncio.to_thread(check_bindable, host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            reason = error.strerror or str(error)
            return problem(f"HOST={host} PORT={port}: {reason}", "set HOST and PORT")
        if await _is_producer(ReadinessProbe(host, port).url):
            return ok(f"port {port}: a producer runs there")
        return problem(
            f"port {port} is taken by another program",
            f"stop what listens there, or choose another one, e.g. PORT={port + 1}",
        )
    return ok(f"port {port} is free")


async def _is_producer(url: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=CONNECT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url}/health") as response,
        ):
            return response.headers.get("Server") == "plate-detect"
    except (aiohttp.ClientError, TimeoutError):
        return False


def _metrics_port(role: str, first: int) -> Finding:
    last = min(first + _METRICS_PORTS - 1, 65_535)
    for port in range(first, last + 1):
        try:
            check_bindable("", port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            reason = error.strerror or str(error)
            return problem(f"METRICS_PORT of the {role}: {port}: {reason}", "set METRICS_PORT")
        used = f"; {first} to {port - 1} are in use" if port > first else ""
        return ok(f"metrics of the next {role}: port {port}{used}")
    return problem(f"METRICS_PORT: no port from {first} to {last} is free", "set METRICS_PORT")


async def _receiver(name: str, url: str, settings: DispatcherSettings) -> Finding:
    proxy = settings.proxy_of(url)
    target: HttpAddress = proxy or http_address(url)
    where = f"{name}={masked_address(url)}"
    through = f", through the proxy {target.url.host}:{target.url.port}" if proxy else ""
    fault = await _connection_fault(target)
    if fault is None:
        is_signed = "signed" if settings.webhook_secret else "unsigned: no WEBHOOK_SECRET"
        return ok(f"{where} can be reached{through} ({is_signed})")
    who = "WEBHOOK_PROXY" if proxy else name
    return problem(
        f"{where}: {fault}{through}", f"correct {who}, or start what listens there;"
        " webhooks are repeated for 24 hours"
    )  # fmt: skip


async def _connection_fault(target: HttpAddress) -> str | None:
    """Connect, with TLS if that is used; return what is wrong."""
    context = ssl.create_default_context() if target.url.scheme == "https" else None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(
                target.url.raw_host, target.url.port, ssl=context
            )
    except socket.gaierror:
        return "its name cannot be resolved"
    except TimeoutError:
        return f"no connection within {CONNECT_SECONDS:g} s"
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not accepted: {error.verify_message}"
    except ssl.SSLError as error:
        return f"it does not speak TLS: {error.reason}"
    except OSError as error:
        return os.strerror(error.errno) if error.errno else type(error).__name__
    writer.close()
    return None
