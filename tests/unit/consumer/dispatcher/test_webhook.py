"""What a webhook signs, what a response means, and what its settings accept."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from consumer.dispatcher.webhook import DeliveryState, manifest, result_of, webhook_headers
from consumer.settings import DispatcherSettings
from schemas.settings.base import SettingsError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (200, DeliveryState.DELIVERED),
        (204, DeliveryState.DELIVERED),
        (299, DeliveryState.DELIVERED),
        (300, DeliveryState.DUE),
        (301, DeliveryState.DUE),
        (307, DeliveryState.DUE),
        (400, DeliveryState.DUE),
        (404, DeliveryState.DUE),
        (409, DeliveryState.DUE),
        (410, DeliveryState.DEAD),
        (429, DeliveryState.DUE),
        (500, DeliveryState.DUE),
        (503, DeliveryState.DUE),
    ],
)
def test_only_2xx_is_a_success_and_only_410_is_final(status: int, state: DeliveryState) -> None:
    assert result_of(status, None, NOW).state is state


def test_retry_after_is_taken_from_a_failure() -> None:
    assert result_of(503, "7", NOW).retry_after_seconds == 7
    assert result_of(200, "7", NOW).retry_after_seconds is None


def test_the_manifest_is_the_task_and_a_line_per_file() -> None:
    assert (
        manifest("t1", [("a b.webp", "00ff"), ("ж.webp", "11")]) == "t1\na b.webp 00ff\nж.webp 11"
    )


def test_headers_without_a_secret_are_the_id_alone() -> None:
    assert webhook_headers((), "evt_1_upload", "x", NOW) == {"webhook-id": "evt_1_upload"}


NEW, OLD, FOREIGN = "whsec_bmV3IHNlY3JldA==", "whsec_b2xkIHNlY3JldA", "whsec_c29tZWJvZHkncw=="


@pytest.mark.parametrize("secrets", [[NEW], [OLD], [NEW, OLD]])
def test_every_secret_verifies_and_no_other_does(
    secrets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", " , ".join(secrets))
    signers = DispatcherSettings.load().signers
    headers = webhook_headers(signers, "evt_1_upload", "жx", datetime.now(UTC))
    assert len(headers["webhook-signature"].split(" ")) == len(secrets)
    for secret in secrets:
        Webhook(secret).verify("жx", headers, json_parse=False)
    for secret in {NEW, OLD, FOREIGN}.difference(secrets):
        with pytest.raises(WebhookVerificationError, match="No matching"):
            Webhook(secret).verify("жx", headers, json_parse=False)


def test_secrets_are_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", f"{NEW},{OLD}")
    settings = DispatcherSettings.load()
    shown = f"{settings!r} {settings} {settings.signers} {settings.model_dump()}"
    assert "whsec_" not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBHOOK_SECRET", "hunter2"),
        ("WEBHOOK_SECRET", "whsec_"),
        ("WEBHOOK_SECRET", "whsec_кириллица-hunter2"),
        ("WEBHOOK_SECRET", f"{NEW},hunter2"),
        ("WEBHOOK_SECRET", f"hunter2,{NEW}"),
        ("WEBHOOK_SECRET", f"{NEW},"),
        ("WEBHOOK_SECRET", f"{NEW},,{OLD}"),
        ("BACKEND_UPLOAD_URL", "ftp://user:hunter2@host/x"),
        ("BACKEND_CALLBACK_URL", "http://user:hunter2@host:99999/x"),
        ("BACKEND_CALLBACK_URL", "hunter2"),
        ("WEBHOOK_RETRY_SECONDS", "5,soon"),
        ("WEBHOOK_RETRY_SECONDS", "5,"),
        ("WEBHOOK_CONCURRENCY", "0"),
        ("WEBHOOK_IMAGES_FIELD", "task_id"),
        ("WEBHOOK_IMAGES_FIELD", 'im"ages'),
        ("WEBHOOK_IMAGES_FIELD", "im ages"),
        ("WEBHOOK_IMAGES_FIELD", "images[]\r\nX: y"),
        ("WEBHOOK_IMAGES_FIELD", "images["),
        ("WEBHOOK_IMAGES_FIELD", "[]"),
        ("WEBHOOK_IMAGES_FIELD", "images[];"),
        ("WEBHOOK_IMAGES_FIELD", "фото"),
        ("WEBHOOK_IMAGES_FIELD", "i" * 65),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_is_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as raised:
        DispatcherSettings.load()
    assert "hunter2" not in str(raised.value)
    assert not any(secret in str(raised.value) for secret in (NEW, OLD))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "field", ["images", "images[]", "files", "upload[images][]", "photo-list_2", "images[0]"]
)
def test_the_field_of_images_may_have_another_name(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_IMAGES_FIELD", field)
    assert DispatcherSettings.load().webhook_images_field == field


def test_the_field_of_images_is_as_it_always_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_IMAGES_FIELD", "")
    assert DispatcherSettings.load().webhook_images_field == "images"


def test_addresses_are_kept_as_they_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "http://host.docker.internal:8001/api/images/upload"
    monkeypatch.setenv("BACKEND_UPLOAD_URL", address)
    monkeypatch.setenv("BACKEND_CALLBACK_URL", "")
    settings = DispatcherSettings.load()
    assert settings.backend_upload_url == address
    assert settings.backend_callback_url is None
