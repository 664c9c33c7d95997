"""Why storage failed, in a few words for the log.

The storage client's own texts quote paths, which may hold names of files, addresses with
signatures, and whole answers. So only what is known to be harmless is taken from them.
"""

import errno
import os
import re

# The end of the first line of what the client says of the local file system.
_OS_ERROR = re.compile(r"\(os error (\d{1,5})\)$")
# Inside its description of an error of the network.
_SOCKET_ERROR = re.compile(r"\bcode: (\d{1,5}),\s+kind: \w+,\s+message:")
_STATUS = re.compile(r" status code: (\d{3} [A-Za-z ]{1,40})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)")

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_STATUS = "507"
_NO_CREDENTIALS = re.compile(r"http://169\.254\.\d+\.\d+")  # asked only where none are set
_NETWORK = (
    ('"dns error"', "the name of the server cannot be resolved"),
    ("BadScheme", "an endpoint with http:// needs AWS_ALLOW_HTTP=true"),
    ("InvalidMessage(", "the server does not answer with TLS"),
    ("AlertReceived(", "the server refuses TLS"),
    ("IncompleteMessage", "the server closed the connection without an answer"),
    ("TimedOut", "the server did not answer in time"),
)


def cause(error: Exception) -> str:
    """The kind of an error, and its cause if that is known: without paths and addresses."""
    known = _known_cause(error)
    return f"{type(error).__name__}: {known}" if known else type(error).__name__


def is_full(error: Exception) -> bool:
    """Whether there was no room, or no quota, for what was to be written."""
    status = _STATUS.search(str(error))
    return _os_error(error) in _FULL or bool(status and status[1].startswith(_FULL_STATUS))


def is_missing_bucket(error: Exception) -> bool:
    """Whether what is missing is not one object but everything."""
    code = _CODE.search(str(error))
    return code is not None and code[1] == "NoSuchBucket"


def _known_cause(error: Exception) -> str | None:
    text = str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
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
    """The number of the system's error, which the storage client gives only within its text."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = _OS_ERROR.search(str(error).partition("\n")[0])
    return int(found[1]) if found else None
