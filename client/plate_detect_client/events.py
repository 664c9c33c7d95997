"""The progress stream of a task: server-sent events."""

from collections.abc import Callable

from plate_detect_client.errors import PlateDetectError
from plate_detect_client.models import TaskState

MAX_EVENT_BYTES = 16 << 20


class EventReader:
    """Reads server-sent events from chunks of bytes; unknown kinds of events are ignored.

    `see` gets the state of each event. Lines end with LF or CRLF, as the service sends them.
    """

    def __init__(self, see: Callable[[TaskState], None]) -> None:
        self._see = see
        self._rest = b""
        self._kind = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> None:
        """Read more of the stream; raises PlateDetectError if it is no stream of a task."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            raise PlateDetectError("an event of the progress stream is too long")
        try:
            for line in lines:
                self._line(line.removesuffix(b"\r").decode())
        except ValueError as error:  # not UTF-8, or not the state of a task
            raise PlateDetectError("not a progress stream of plate-detect") from error

    def _line(self, line: str) -> None:
        if not line:
            kind, data = self._kind, "\n".join(self._data)
            self._kind, self._data = "", []
            if data and kind in ("progress", "end"):
                self._see(TaskState.model_validate_json(data))
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
