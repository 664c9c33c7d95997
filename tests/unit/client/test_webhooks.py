"""Which webhooks the client accepts; real ones are in tests/integration/dispatcher."""

import hashlib
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from plate_detect_client import WebhookError, Webhooks
from plate_detect_client.targets import PartFile

OLD, NEW, FOREIGN = "whsec_b2xkIHNlY3JldA==", "whsec_bmV3IHNlY3JldA==", "whsec_c29tZWJvZHkncw=="
IMAGES = {"a.webp": b"first", "ж b.webp": b""}
MANIFEST = "\n".join(
    ["t1", *(f"{name} {hashlib.sha256(data).hexdigest()}" for name, data in IMAGES.items())]
)


def signed(text: str, secret: str = NEW, at: datetime | None = None) -> dict[str, str]:
    at = at or datetime.now(UTC)
    return {
        "Webhook-Id": "evt_1", "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", at, text),
    }  # fmt: skip


def files(images: dict[str, bytes]) -> list[tuple[str, io.BytesIO]]:
    return [(name, io.BytesIO(data)) for name, data in images.items()]


@pytest.mark.parametrize("secret", [NEW, f" {OLD} , {NEW}", f"{NEW},{OLD},"])
def test_an_upload_is_verified_and_saved(secret: str, tmp_path: Path) -> None:
    upload = Webhooks(secret).upload(signed(MANIFEST), "t1", files(IMAGES))
    assert (upload.webhook_id, upload.task_id) == ("evt_1", "t1")
    for _ in range(2):  # the service may send it again
        paths = upload.save(tmp_path)
    assert {path.name: path.read_bytes() for path in paths} == IMAGES
    assert sorted((tmp_path / "t1").iterdir()) == sorted(paths)
    assert [image.read() for image in upload.images] == list(IMAGES.values())


@pytest.mark.parametrize(
    ("task_id", "images"),
    [
        ("t2", IMAGES),
        ("t1", {"a.webp": b"First", "ж b.webp": b""}),
        ("t1", {"b.webp": b"first", "ж b.webp": b""}),
        ("t1", {"a.webp": b"first"}),
        ("t1", dict(reversed(IMAGES.items()))),
        ("t1", {}),
    ],
    ids=["task", "content", "name", "fewer", "order", "none"],
)
def test_an_upload_that_was_changed_is_refused(task_id: str, images: dict[str, bytes]) -> None:
    with pytest.raises(WebhookError):
        Webhooks(NEW).upload(signed(MANIFEST), task_id, files(images))


def test_line_breaks_cannot_hide_an_image() -> None:
    """Ids and names with line breaks that give the same manifest with fewer images."""
    first, last = MANIFEST.split("\n")[1:]
    webhooks, headers = Webhooks(NEW), signed(MANIFEST)
    with pytest.raises(WebhookError, match="does not send"):
        webhooks.upload(headers, f"t1\n{first}", files({"ж b.webp": b""}))
    with pytest.raises(WebhookError, match="does not send"):
        webhooks.upload(headers, "t1", files({f"{first}\n{last.rpartition(' ')[0]}": b""}))


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", "a\\b", "a\0b"])
def test_a_name_that_leaves_the_folder_is_refused_though_it_is_signed(name: str) -> None:
    text = f"t1\n{name} {hashlib.sha256(b'').hexdigest()}"
    with pytest.raises(WebhookError, match="does not send"):
        Webhooks(NEW).upload(signed(text), "t1", [(name, io.BytesIO())])


def test_two_images_of_one_name_are_refused_though_they_are_signed() -> None:
    digest = hashlib.sha256(b"").hexdigest()
    text = f"t1\na {digest}\na {digest}"
    with pytest.raises(WebhookError, match="same name"):
        Webhooks(NEW).upload(signed(text), "t1", [("a", io.BytesIO()), ("a", io.BytesIO())])


BODY = (
    b'{"task_id": "t1", "status": "failed", "results": [], "errors": [], "new": 1,'
    b' "progress": {"done": 1, "total": 1}}'
)


def test_a_callback_is_verified() -> None:
    assert Webhooks(NEW).callback(signed(BODY.decode()), BODY).status == "failed"


@pytest.mark.parametrize(
    "headers",
    [
        signed(BODY.decode(), FOREIGN),
        signed(BODY.decode(), at=datetime.now(UTC) - timedelta(hours=1)),
        signed(BODY.decode(), at=datetime.now(UTC) + timedelta(hours=1)),
        signed(BODY.decode()) | {"Webhook-Id": "evt_2"},
        signed(BODY.decode()) | {"webhook-signature": "v1"},
        signed(BODY.decode()) | {"webhook-signature": "v1,%"},
        signed(BODY.decode()) | {"webhook-timestamp": "now"},
        {"Webhook-Id": "evt_1"},
    ],
    ids=["secret", "old", "future", "id", "no version", "no base64", "no time", "no signature"],
)
def test_a_callback_with_other_headers_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(WebhookError):
        Webhooks(NEW).callback(headers, BODY)


@pytest.mark.parametrize("body", [b"t1", b"\xff", b"{}"])
def test_a_signed_text_that_is_no_state_is_no_callback(body: bytes) -> None:
    with pytest.raises(WebhookError):
        Webhooks(NEW).callback(signed(body.decode(errors="replace")), body)


@pytest.mark.parametrize("secret", ["", " ", ",", "whsec_"])
def test_an_empty_secret_is_refused_at_the_start(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        Webhooks(secret)


def test_a_file_that_is_not_complete_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "a.webp").write_bytes(b"old")
    with PartFile(tmp_path / "a.webp") as part:
        part.write(b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.webp", b"old")]
