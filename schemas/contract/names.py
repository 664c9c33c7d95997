"""File names: what is kept of a name that somebody else chose, and what a result is called."""

import html
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote

MAX_NAME_BYTES = 200
"""Most UTF-8 bytes of a name; file systems allow 255, of which prefix and suffix take some."""

# Explicit direction marks can make `gpj.exe` read as `exe.jpg`.
_BIDI_CONTROLS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)

# Delimiters and escapes of multipart headers, which receivers of uploads read differently or
# not at all (some read `%22` as a quote), and what file names on Windows cannot hold.
_MISREAD = frozenset('"\\/;%<>:|?*')
# Invisible characters, which some receivers drop, and spaces that are not U+0020.
_INVISIBLE = ("Cf", "Co", "Zs")
# These two join emoji and separate letters.
_KEPT = frozenset(" \u200c\u200d")


def base_name(filename: str) -> str:
    """The last path component without control and direction characters; `image` if none is left."""
    last = filename.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in unicodedata.normalize("NFC", last) if _printable(c)).strip()
    return _cut(kept, MAX_NAME_BYTES) if kept.strip(".") else "image"


def portable_name(name: str) -> str:
    """A base name that every receiver reads alike: characters that some misread become `_`."""
    kept = "".join("_" if _is_misread(character) else character for character in name)
    # Django reads HTML's character references.
    return kept if html.unescape(kept) == kept else kept.replace("&", "_")


def default_output_name(filename: str, index: int, total: int) -> str:
    """`covered_<stem>.webp`, with the index when the task has more than one image."""
    suffix = f"_{index}" if total > 1 else ""
    return f"covered_{_stem(filename)}{suffix}.webp"


def unique_output_names(filenames: Iterable[str]) -> list[str]:
    """`covered_<stem>.webp` for each file of one request; a repeated stem gets `_2`, `_3`, ….

    Names are compared without case: results may land on a file system that ignores it.
    """
    taken: set[str] = set()
    names = []
    for filename in filenames:
        stem, name, count = _stem(filename), f"covered_{_stem(filename)}.webp", 1
        while name.casefold() in taken:
            count += 1
            name = f"covered_{stem}_{count}.webp"
        taken.add(name.casefold())
        names.append(name)
    return names


def distinct_output_name(output: str, index: int) -> str:
    """`…_<index>.webp`, for an image whose own name, `output`, is another image's in its task."""
    suffix = f"_{index}.webp"
    return _cut(output.removesuffix(".webp"), MAX_NAME_BYTES - len(suffix)) + suffix


def result_url(task_id: str, output: str, public_url: str = "") -> str:
    """Address of a result below PUBLIC_URL, or its path on the producer; percent-encoded."""
    return f"{public_url}/tasks_storage/{task_id}/output/{quote(output, safe='')}"


def _stem(filename: str) -> str:
    name = portable_name(base_name(filename))
    return _cut(name.rsplit(".", 1)[0] or name, MAX_NAME_BYTES - 30)


def _printable(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") and (
        character not in _BIDI_CONTROLS
    )


def _is_misread(character: str) -> bool:
    return character in _MISREAD or (
        unicodedata.category(character) in _INVISIBLE and character not in _KEPT
    )


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode(errors="ignore")
