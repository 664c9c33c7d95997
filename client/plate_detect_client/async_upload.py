"""A verified upload for asyncio."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from plate_detect_client.webhooks import Upload, VerifiedImage


@dataclass(frozen=True, slots=True)
class AsyncUpload:
    """An upload whose files are read and written in threads."""

    upload: Upload

    @property
    def webhook_id(self) -> str:
        """The same if the service sends this webhook again."""
        return self.upload.webhook_id

    @property
    def task_id(self) -> str:
        """The task."""
        return self.upload.task_id

    @property
    def images(self) -> list[VerifiedImage]:
        """The images; their methods block."""
        return self.upload.images

    async def save(self, folder: str | Path) -> list[Path]:
        """Write all images into `folder/<task_id>/`, and return their paths: see `Upload.save`."""
        return await asyncio.to_thread(self.upload.save, folder)
