"""The texts of the pages: the same in each language, and one for every error code."""

import re
from pathlib import Path

import pytest

from producer.errors import ProducerError
from schemas.contract.errors import ImageErrorCode

UI = Path(__file__).parents[3] / "producer" / "assets" / "ui"
LANGUAGES = ("en", "ru")
# Not shown of an upload: it has files, and a key that belongs to it alone.
_NOT_FOR_PEOPLE = {
    "client-gone", "idempotency-key-in-use", "idempotency-key-reused", "internal",
    "malformed-request", "no-files", "precondition-failed", "too-many-files", "unknown-result",
    "unknown-task",
}  # fmt: skip


def texts(language: str) -> dict[str, str]:
    """Return the text of each key; of one with several forms, all of them."""
    module = (UI / "lang" / f"{language}.js").read_text(encoding="utf-8")
    entries = re.split(r'^  "?([\w.-]+)"?: ', module, flags=re.MULTILINE)[1:]
    found = dict(zip(entries[::2], entries[1::2], strict=True))
    assert len(found) > 100
    return found


def test_every_language_has_the_same_texts_with_the_same_places() -> None:
    english, russian = map(texts, LANGUAGES)
    assert list(english) == list(russian)
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", russian[key])), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_error_has_plain_words(language: str) -> None:
    kinds = {error.kind for error in ProducerError.__subclasses__()} - _NOT_FOR_PEOPLE
    wanted = {f"error.{code}" for code in (*ImageErrorCode, *kinds)}
    assert wanted - set(texts(language)) == set()


def test_every_text_is_used_and_every_used_text_exists() -> None:
    sources = [*UI.rglob("*.html"), *(UI / "js").rglob("*.js")]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    named = set(re.findall(r'(?:\bt\(|data-t(?:-label)?=)"([\w.]+)"', code))
    assert named <= set(texts("en"))
    unused = {key for key in texts("en") if f'"{key}"' not in code and "." not in key}
    assert not unused


def test_modules_stay_small_and_name_no_host() -> None:
    for path in UI.rglob("*"):
        if path.suffix in {".js", ".css", ".html"}:
            text = path.read_text(encoding="utf-8")
            assert len(text.splitlines()) <= 300, path
            assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text), path
