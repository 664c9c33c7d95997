"""The field name and the file name of a form's part, from its Content-Disposition header.

Clients write the header in different ways. All of these are read:

- RFC 7578 with the escapes of browsers, curl and Python (`%22`, `%0D`, `%0A`), or with those of
  RFC 9110 (Go, Ruby, older curl: a backslash before a quote or a backslash);
- values without quotes, of any characters except `;` (.NET, scripts);
- quoted values with unescaped quotes in them (older clients), or without a closing quote;
- names in UTF-8 or, if they are not valid UTF-8, in Latin-1;
- `filename*` of RFC 5987 (.NET, requests, Rust), continuations of RFC 2231 (Python's email),
  encoded words of RFC 2047 (Spring, .NET, JavaMail).
"""

import re
from email.errors import HeaderParseError
from email.header import decode_header
from urllib.parse import unquote_to_bytes

# A quote ends a value only before a `;` or the end; at the end even after a backslash, as in
# `C:\photos\`. Possessive repeats and atomic groups do not backtrack, so a hostile header costs
# linear time. Groups are atomic, not possessive: Python before 3.11.5 matches those wrongly.
_PARAMETER = re.compile(
    r"""
    (?:^|;) \s*+ (?P<key>[^\s=;"]++) \s*+ = \s*+
    (?:
        " (?P<quoted> (?> (?: \\(?:\\|"(?!\s*+\Z)) | [^"] | "(?!\s*+(?:;|\Z)) )* ) ) (?: " | \Z )
        | (?P<bare>[^;]*+)
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {r"\"": '"', r"\\": "\\", "%22": '"', "%0D": "\r", "%0A": "\n"}
_ESCAPE = re.compile("|".join(map(re.escape, _ESCAPES)))
_ENCODED_WORDS = re.compile(r"(?>(?:=\?[\w-]++\?[bBqQ]\?[^?]*+\?=\s*+)+)")
# Python's other codecs are no character sets, are slow, or decode to lone surrogates.
_CHARSET = re.compile(
    r"(?ai)utf-?8|us-ascii|iso-8859-\d+|windows-\d+|koi8-[ru]|gbk|gb2312|gb18030|big5"
    r"|shift_jis|euc-(?:jp|kr)"
)

Parameters = dict[str, list[str]]


def parse_disposition(header: bytes) -> tuple[str | None, str | None]:
    """Return the field name and the file name in a header, whatever its value is.

    The field name is None if the header has none, an empty one, or two different ones. The file
    name is None if the header has none, and empty if the header has an empty one.
    """
    parameters = header_parameters(header)
    field = _text(parameters, "name")
    ambiguous = len(set(parameters.get("name", []))) > 1
    return None if ambiguous else field or None, _text(parameters, "filename")


def header_parameters(header: bytes) -> Parameters:
    """Return the values of each parameter of a header, in their order, by its lower-case name."""
    parameters: Parameters = {}
    for match in _PARAMETER.finditer(_decoded_raw(header)):
        quoted, bare = match["quoted"], match["bare"]
        value = bare.strip() if quoted is None else _unescaped(quoted)
        parameters.setdefault(match["key"].lower(), []).append(value)
    return parameters


def _decoded_raw(header: bytes) -> str:
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


def _unescaped(quoted: str) -> str:
    r"""Undo the escapes that clients use, and no others: `C:\car.jpg` stays as it is."""
    return _ESCAPE.sub(lambda match: _ESCAPES[match[0]], quoted)


def _text(parameters: Parameters, key: str) -> str | None:
    """Return a parameter's extended form, else the continued, else the plain one; None if none."""
    plain = parameters.get(key, [None])[0]
    undecoded = parameters.get(f"{key}*", [None])[0]
    forms = (
        None if undecoded is None else _extended(undecoded),
        _continued(parameters, key),
        None if plain is None else _without_encoded_words(plain),
        undecoded,  # a wrong name, but the part stays a file
    )
    return next(filter(None, forms), None if all(form is None for form in forms) else "")


def _extended(value: str) -> str | None:
    """Decode `charset'language'percent-encoded`; None if it is not that."""
    charset, quote, rest = value.partition("'")
    _, second_quote, encoded = rest.partition("'")
    if not (quote and second_quote):
        return None
    return _decoded(unquote_to_bytes(encoded), charset)


def _continued(parameters: Parameters, key: str) -> str | None:
    """Join `key*0`, `key*1*`, …; those with a `*` at their end are percent-encoded."""
    charset, joined, number = "utf-8", b"", 0
    while True:
        if (values := parameters.get(f"{key}*{number}")) is not None:
            joined += values[0].encode()
        elif (values := parameters.get(f"{key}*{number}*")) is not None:
            encoded = values[0]
            if number == 0 and encoded.count("'") >= 2:
                charset, _, encoded = encoded.split("'", 2)
            joined += unquote_to_bytes(encoded)
        else:
            return _decoded(joined, charset) if number else None
        number += 1


def _without_encoded_words(value: str) -> str:
    if _ENCODED_WORDS.fullmatch(value) is None:
        return value
    try:
        words = decode_header(value)
    except HeaderParseError:
        return value
    decoded = [
        word if isinstance(word, str) else _decoded(word, charset or "us-ascii")
        for word, charset in words
    ]
    return value if None in decoded else "".join(filter(None, decoded))


def _decoded(data: bytes, charset: str) -> str | None:
    if _CHARSET.fullmatch(charset) is None:
        return None
    try:
        return data.decode(charset)
    except (UnicodeDecodeError, LookupError):
        return None
