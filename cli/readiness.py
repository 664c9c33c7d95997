"""Asking the producer whether it can take work."""

import http.client
import json

_FULL = "the backlog is full"  # as the producer says it
_UNSPECIFIED = ("0.0.0.0", "::", "")


class ReadinessProbe:
    """`GET /ready` on this machine. Not through urllib, which would ask a proxy for localhost."""

    def __init__(self, host: str, port: int) -> None:
        self._host = "localhost" if host in _UNSPECIFIED else host
        self._port = port
        self.is_full = False
        """Whether the last answer was that nothing is missing but room in the backlog."""

    @property
    def url(self) -> str:
        """Address for a browser."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def reason_not_ready(self) -> str | None:
        """One line that says what is missing, or None when ready."""
        self.is_full = False
        connection = http.client.HTTPConnection(self._host, self._port, timeout=5)
        try:
            connection.request("GET", "/ready")
            response = connection.getresponse()
            body = response.read(10_000)
        except OSError:
            return "the producer does not answer yet"
        except http.client.HTTPException as error:
            return f"the producer's answer is not HTTP: {error!r}"
        finally:
            connection.close()
        if response.status == 200:
            return None
        detail = _detail(body)
        self.is_full = detail == _FULL
        return f"/ready says {response.status}: {detail}"


def _detail(body: bytes) -> str:
    text = body.decode(errors="replace").strip()
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, TypeError, KeyError):
        return " ".join(text.split())[:200] or "no reason given"
