"""Errors of storage, and their causes in a few words for the log.

The storage client's messages quote paths, which may hold file names, addresses with signatures, and
whole responses. So only parts that are known to be harmless are taken from them.
"""

import errno
import os
import re

# The end of the first line of the client's message about the local file system.
_OS_ERROR = re.compile(r"\(os error (\d{1,5})\)$")
# Inside its description of a network error.
_SOCKET_ERROR = re.compile(r"\bcode: (\d{1,5}),\s+kind: \w+,\s+message:")
_STATUS = re.compile(r" status code: (\d{3} [A-Za-z ]{1,40})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)")

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_STATUS = " status code: 507 "
_NO_CREDENTIALS = re.compile(r"http://169\.254\.\d+\.\d+")  # requested only if none are set
_NETWORK = (
    ('"dns error"', "the name of the server cannot be resolved"),
    ("BadScheme", "an endpoint with http:// needs AWS_ALLOW_HTTP=true"),
    ("InvalidMessage(", "the server does not respond with TLS"),
    ("AlertReceived(", "the server refuses TLS"),
    ("IncompleteMessage", "the server closed the connection without a response"),
    ("IncompleteBody", "the server ended its response in the middle"),
    ("TimedOut", "the server did not respond in time"),
)


class StorageError(Exception):
    """A call to storage failed: it is full, unavailable or forbidden. Worth a retry."""


class StorageFullError(StorageError):
    """There is no room, or no quota, for an object. There may be some later."""


class StorageTimeoutError(StorageError):
    """Storage did not respond in time: all of it is unavailable, not only one object."""


class ObjectTooLargeError(Exception):
    """An object is larger than the reader allows; none of it was read."""


def storage_error(call: str, error: Exception) -> StorageError:
    """Return the StorageError for an error of the storage client or the file system."""
    kind = StorageError
    if isinstance(error, TimeoutError):
        kind = StorageTimeoutError
    elif _is_full(error):
        kind = StorageFullError
    cause = _cause(error)
    return kind(f"{call}: {type(error).__name__}" + (f": {cause}" if cause else ""))


def is_missing_bucket(error: Exception) -> bool:
    """Return whether the whole bucket is missing, not only one object."""
    code = _CODE.search(str(error))
    return code is not None and code[1] in ("NoSuchBucket", "ContainerNotFound")


def _is_full(error: Exception) -> bool:
    return _os_error(error) in _FULL or _FULL_STATUS in str(error)


def _cause(error: Exception) -> str | None:
    text = str(error)
    if isinstance(error, TimeoutError):
        return "no response in time"
    if number := _os_error(error):
        return os.strerror(number)
    if _NO_CREDENTIALS.search(text):
        return "no credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
    if status := _STATUS.search(text):
        code = _CODE.search(text)
        return f"{status[1]} ({code[1]})" if code else status[1]
    return _network_cause(text)


def _network_cause(text: str) -> str | None:
    if certificate := _CERTIFICATE.search(text):
        return f"the server's certificate is not accepted ({certificate[1]})"
    if found := _SOCKET_ERROR.search(text):
        return os.strerror(int(found[1]))
    return next((words for sign, words in _NETWORK if sign in text), None)


def _os_error(error: Exception) -> int | None:
    """Return the system's error number, which the storage client has only in its message."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = _OS_ERROR.search(str(error).partition("\n")[0])
    return int(found[1]) if found else None
