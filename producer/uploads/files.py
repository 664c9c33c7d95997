"""One file of a form: what makes a part one, its type, its size, its content."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

from producer.errors import FileTooLargeError, MalformedRequestError, UnsupportedTypeError
from producer.uploads.formats import ACCEPTED, binary_format, is_image, text_format
from producer.uploads.multipart import BodyPart
from schemas.contract.names import base_name

_CHUNK_BYTES = 262_144
_ENCODED_AS_TEXT = {"base64", "quoted-printable"}


def is_file(part: BodyPart, head: bytes) -> bool:
    """Tell whether a part is a file, by its headers and its first bytes.

    A part with a file name is a file, even if its field should hold text. So is a part without one
    whose content or type is an image's. Browsers send a file field in which nothing was chosen with
    an empty name and without content; that is no file.
    """
    filename = part.disposition.filename
    if filename is None:
        image = is_image(head) or binary_format(head) is not None
        return image or part.content_type.startswith("image/")
    return bool(filename or head)


def place_and_name(kind: str, place: int, filename: str | None) -> str:
    """Return `File 2 (“car.jpg”)`; `place` counts from 1, and the name is without its path."""
    return f"{kind} {place} (“{base_name(filename)}”)" if filename else f"{kind} {place}"


class FilePart:
    """One file, read once from start to end. `head`: its first bytes, which are read already.

    Errors name the file by its place among the files, and by its base name.
    """

    def __init__(
        self,
        part: BodyPart,
        head: bytes,
        read: Callable[[BodyPart], Awaitable[bytes]],
        *,
        place: int,
        max_bytes: int,
        hashing: bool,
    ) -> None:
        self._part = part
        self._head = head
        self._read = read
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256(head) if hashing else None
        self.filename = part.disposition.filename or ""
        self.size = len(head)
        self._label = place_and_name("File", place, self.filename)

    @property
    def sha256(self) -> str:
        """Digest in hex of what was read; empty if it is not wanted."""
        return "" if self._digest is None else self._digest.hexdigest()

    def check(self) -> None:
        """Check the first bytes; the declared type and the name's ending do not count.

        Raises:
            MalformedRequestError: the content is encoded as text.
            UnsupportedTypeError: it is not one of the accepted formats.
            FileTooLargeError: it is too large already.
        """
        encoding = self._part.transfer_encoding
        if encoding in _ENCODED_AS_TEXT:
            raise MalformedRequestError(
                f"{self._label} has the Content-Transfer-Encoding {encoding}; send its bytes as "
                "they are."
            )
        if not is_image(self._head):
            raise UnsupportedTypeError(f"{self._label} is {self._found()}.")
        self._check_size()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield pieces of about 256 KiB: each costs storage a hop between threads."""
        gathered = bytearray(self._head)
        while chunk := await self._read(self._part):
            self.size += len(chunk)
            self._check_size()
            if self._digest is not None:
                self._digest.update(chunk)
            gathered += chunk
            if len(gathered) >= _CHUNK_BYTES:
                yield bytes(gathered)
                gathered.clear()
        if gathered:
            yield bytes(gathered)

    def _check_size(self) -> None:
        if self.size > self._max_bytes:
            raise FileTooLargeError(f"{self._label} has more than {self._max_bytes} bytes.")

    def _found(self) -> str:
        found = binary_format(self._head) or text_format(self._head)
        if found is None:
            found = "of an unknown format" if self._head else "empty"
        return f"{found}; only {ACCEPTED} images are accepted"
