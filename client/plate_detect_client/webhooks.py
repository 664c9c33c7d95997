"""Verification of both webhooks, for any framework."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from plate_detect_client.errors import WebhookError
from plate_detect_client.models import TaskState
from plate_detect_client.names import is_plain_name, is_task_id
from plate_detect_client.targets import PartFile

_CHUNK_BYTES = 1 << 16
_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


@dataclass(frozen=True, slots=True)
class VerifiedImage:
    """A covered image of an upload, with the file that the framework keeps until the response."""

    name: str
    file: BinaryIO

    def read(self) -> bytes:
        """Return the whole image."""
        self.file.seek(0)
        return self.file.read()

    def save(self, folder: str | Path) -> Path:
        """Write the image into a folder under its name, and return its path."""
        self.file.seek(0)
        with PartFile(Path(folder) / self.name) as part:
            while chunk := self.file.read(_CHUNK_BYTES):
                part.write(chunk)
            return part.complete()


@dataclass(frozen=True, slots=True)
class Upload:
    """A verified upload. `webhook_id` is the same if the service sends it again."""

    webhook_id: str
    task_id: str
    images: list[VerifiedImage]

    def save(self, folder: str | Path) -> list[Path]:
        """Write all images into `folder/<task_id>/`, and return their paths.

        To do so again is harmless: files of the same name are replaced.
        """
        return [image.save(Path(folder) / self.task_id) for image in self.images]


class Webhooks:
    """Verifies webhooks with the service's WEBHOOK_SECRET.

    Args:
        secret: one, or several separated by commas while the secret is changed; any of them counts.
    """

    def __init__(self, secret: str) -> None:
        texts = [text.strip() for text in secret.split(",") if text.strip()]
        if not texts or "whsec_" in texts:
            raise ValueError("the webhook secret is empty")
        self._verifiers = [Webhook(text) for text in texts]

    def callback(self, headers: Mapping[str, str], body: bytes) -> TaskState:
        """Return the task of a callback; raises WebhookError if it is not genuine."""
        self._verify(headers, body)
        try:
            return TaskState.model_validate_json(body)
        except ValidationError as error:
            raise WebhookError("the callback is not the state of a task") from error

    def upload(
        self, headers: Mapping[str, str], task_id: str, images: Iterable[tuple[str, BinaryIO]]
    ) -> Upload:
        """Return an upload whose files are those that were sent; raises WebhookError if not.

        Args:
            images: name and file of each part of the form, in the order of the form.
        """
        found = [VerifiedImage(name, file) for name, file in images]
        names = [image.name for image in found]
        # The manifest is text: an id or a name with a line break could pass for other lines of it.
        if not is_task_id(task_id) or not all(map(is_plain_name, names)):
            raise WebhookError("a task id or a file name that the service does not send")
        if not names or len(set(names)) < len(names):
            raise WebhookError("no images, or two of the same name")
        lines = [f"{image.name} {_sha256(image.file)}" for image in found]
        webhook_id = self._verify(headers, "\n".join([task_id, *lines]))
        return Upload(webhook_id, task_id, found)

    def _verify(self, headers: Mapping[str, str], signed: str | bytes) -> str:
        check_headers(headers)
        plain = {name.lower(): value for name, value in headers.items()}
        failure: Exception | None = None
        for verifier in self._verifiers:
            try:
                verifier.verify(signed, plain, json_parse=False)
            except (WebhookVerificationError, ValueError) as error:  # ValueError: not base64
                failure = error
            else:
                return plain["webhook-id"]
        raise WebhookError(f"not a webhook of the service: {failure}") from failure


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise WebhookError if a request is not signed at all: then its body need not be read."""
    names = {name.lower() for name in headers}
    if missing := [name for name in _HEADERS if name not in names]:
        raise WebhookError(f"the request has no {missing[0]}")


def _sha256(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
