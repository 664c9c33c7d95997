"""File names: cleaning of names that users choose, and names of results."""

import html
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote

MAX_NAME_BYTES = 200
"""Maximum UTF-8 bytes of a name; file systems allow 255, with prefix and suffix."""

# Explicit direction marks can make `gpj.exe` read as `exe.jpg`.
_BIDI_CONTROLS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)

# Delimiters and escapes of multipart headers, which receivers of uploads read differently (some
# read `%22` as a quote), and characters that Windows forbids in file names.
_MISREAD = frozenset('"\\/;%<>:|?*')
# Invisible characters, which some receivers drop, and spaces other than U+0020.
_INVISIBLE = ("Cf", "Co", "Zs")
# These two join emoji and separate letters.
_KEPT = frozenset(" \u200c\u200d")


def base_name(filename: str) -> str:
    """Return the last path component without control and direction characters, or `image`."""
    last = filename.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in unicodedata.normalize("NFC", last) if _printable(c)).strip()
    return _cut(kept, MAX_NAME_BYTES) if kept.strip(".") else "image"


def portable_name(name: str) -> str:
    """Replace characters of a base name that some receivers misread by `_`."""
    kept = "".join("_" if _is_misread(character) else character for character in name)
    # Django replaces HTML's character references.
    return kept if html.unescape(kept) == kept else kept.replace("&", "_")


def default_output_name(filename: str, index: int, total: int) -> str:
    """Return `covered_<stem>.webp`, with the index if the task has more than one image."""
    suffix = f"_{index}" if total > 1 else ""
    return f"covered_{_stem(filename)}{suffix}.webp"


def unique_output_names(filenames: Iterable[str]) -> list[str]:
    """Return `covered_<stem>.webp` for each file of a request; a repeated stem gets `_2`, `_3`, ….

    Names that differ only in case count as equal, as on some file systems.
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
    """Return `…_<index>.webp`, for an image whose `output` is another result's name."""
    suffix = f"_{index}.webp"
    return _cut(output.removesuffix(".webp"), MAX_NAME_BYTES - len(suffix)) + suffix


def result_url(task_id: str, output: str, public_url: str = "") -> str:
    """Return the URL of a result below PUBLIC_URL, or its path on the producer; percent-encoded."""
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
