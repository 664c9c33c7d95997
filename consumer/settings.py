"""Settings of the consumer processes, on top of what every process shares."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from standardwebhooks import Webhook

from consumer.addresses import HttpAddress, http_address, proxy_for, proxy_setting, webhook_url
from consumer.cpus import usable_cpus
from consumer.vision.margins import DEFAULT_PADDING
from schemas.settings.base import Hours, NonNegativeSeconds, Seconds, Settings

_WAIT = re.compile(r"\d{1,8}(\.\d+)?")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}(\[[A-Za-z0-9_-]{0,63}\]){0,4}")


class ConsumerSettings(Settings):
    """What worker and dispatcher share."""

    metrics_port: int = Field(
        9101, ge=0, le=65535,
        description="Port of `/metrics` and `/health` of a consumer process, or the first free one "
        "of the 100 from there on, which the log names; 0 disables it",
    )  # fmt: skip
    drain_seconds: NonNegativeSeconds = Field(
        25, description="Longest wait on SIGTERM for work in hand; the rest goes by its lease"
    )
    lease_seconds: Seconds = Field(
        30, description="Silence after which others take over what a dead process held"
    )


def _class_list(text: str) -> str:
    if text and not all(item.strip() for item in text.split(",")):
        raise ValueError("must be names or numbers of classes, separated by commas")
    return text


def _form_field(name: str) -> str:
    if not _FIELD.fullmatch(name) or name == "task_id":
        raise ValueError("must be letters, digits, _ or -, then perhaps []; not task_id")
    return name


def _secret_list(secrets: SecretStr | None) -> SecretStr | None:
    for text in _listed(secrets):
        try:
            Webhook(text)
            usable = text.startswith("whsec_")
        except Exception:  # noqa: BLE001 - the library's errors have no common root
            usable = False
        if not usable:
            raise ValueError("must be whsec_ followed by base64; several separated by commas")
    return secrets


def _waits(text: str) -> str:
    if not all(map(_WAIT.fullmatch, text.split(","))):
        raise ValueError("must be seconds, separated by commas")
    return text


def _listed(secrets: SecretStr | None) -> list[str]:
    if secrets is None:
        return []
    return [text.strip() for text in secrets.get_secret_value().split(",")]


WebhookUrl = Annotated[str | None, AfterValidator(webhook_url)]


class DispatcherSettings(ConsumerSettings):
    """Webhooks and sweeping."""

    metrics_port: int = Field(
        9102, ge=0, le=65535,
        description="Port of `/metrics` and `/health` of the dispatcher, found in the same way; "
        "0 disables it",
    )  # fmt: skip
    backend_upload_url: WebhookUrl = Field(
        None, description="Where the covered images of a completed task are POSTed; none if empty"
    )
    backend_callback_url: WebhookUrl = Field(
        None, description="Where the JSON status of a finished task is POSTed; none if empty"
    )
    webhook_images_field: Annotated[str, AfterValidator(_form_field)] = Field(
        "images",
        description="Form field of each image of an upload; `images[]` for PHP and Rails, which "
        "keep only the last of several fields with one name",
    )
    webhook_proxy: Annotated[SecretStr | None, AfterValidator(proxy_setting)] = Field(
        None,
        description="HTTP proxy of both webhooks, `http://[user:password@]host:port`; `env`: what "
        "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY in the environment (not in `.env`) say; "
        "empty: none",
    )
    webhook_secret: Annotated[SecretStr | None, AfterValidator(_secret_list)] = Field(
        None,
        description="`whsec_…`: both webhooks are signed (Standard Webhooks); several by commas, "
        "the new one first, while it is rotated: with each of them; empty: unsigned",
    )
    webhook_timeout_seconds: Seconds = Field(
        30, description="Longest silence of a webhook's receiver, and of a whole callback"
    )
    webhook_upload_timeout_seconds: Seconds = Field(
        300, description="Longest time for a whole upload of one task's images"
    )
    webhook_concurrency: int = Field(
        4, ge=1, description="Most webhooks under way at once, for each of the two addresses"
    )
    webhook_retry_seconds: Annotated[str, AfterValidator(_waits)] = Field(
        "5,30,120,600,1800,3600",
        description="Waits between tries of a webhook (0 counts as 1); the last repeats, at most "
        "for 24 hours or half of TASK_STORAGE_TTL_HOURS",
    )
    sweep_interval_seconds: Seconds = Field(
        60, description="Time between two rounds of cleaning up, however many dispatchers run"
    )
    upload_grace_seconds: NonNegativeSeconds = Field(
        900,
        description="Age at which files of no task, and writes that were cut off, are deleted; "
        "keep it above UPLOAD_TIMEOUT_SECONDS",
    )
    task_timeout_seconds: Seconds = Field(
        3600, description="Inactivity after which the missing images of a task are given up"
    )
    dead_letter_ttl_hours: Hours = Field(
        48, description="Life of a dead letter, and of the original that is kept for it"
    )
    consumer_idle_seconds: Seconds = Field(
        600, description="Silence after which a group forgets a consumer that holds nothing"
    )

    @model_validator(mode="after")
    def _proxies_are_usable(self) -> Self:
        for url in filter(None, (self.backend_upload_url, self.backend_callback_url)):
            self.proxy_of(url)
        return self

    def proxy_of(self, url: str) -> HttpAddress | None:
        """The proxy between here and a webhook's address; None: none."""
        setting = "" if self.webhook_proxy is None else self.webhook_proxy.get_secret_value()
        return proxy_for(http_address(url).url, setting)

    @property
    def webhook_secrets(self) -> tuple[SecretStr, ...]:
        """`webhook_secret` one by one."""
        return tuple(map(SecretStr, _listed(self.webhook_secret)))

    @property
    def retry_schedule(self) -> tuple[float, ...]:
        """`webhook_retry_seconds` as numbers."""
        return tuple(map(float, self.webhook_retry_seconds.split(",")))


_PROJECT = Path(__file__).resolve().parent.parent


def _project_file(path: Path) -> Path:
    """A relative path means the working directory's file, else the one shipped with the project."""
    return path if path.is_absolute() or path.exists() else _PROJECT / path


MOST_FORWARD_PASSES = 4
"""At the same time: each takes memory of its own."""

ProjectFile = Annotated[Path, AfterValidator(_project_file)]


class WorkerSettings(ConsumerSettings):
    """Detection, covering, and how much of it at once."""

    processing_device: str = Field(
        "cpu", pattern=r"^(cpu|cuda(:[0-9]+)?)$", description="`cpu`, `cuda` or `cuda:N`"
    )
    inference_precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Numbers of the forward pass: `float32`, `bfloat16`, or `auto`, what "
        "the device is fastest at: float16 on CUDA, bfloat16 on CPUs with AMX or AVX-512"
        " BF16, else float32",
    )  # fmt: skip
    processing_batch_size: int = Field(
        16, ge=1, le=256, description="Most images of one forward pass"
    )
    batch_max_wait_ms: float = Field(
        10, ge=0, description="On a GPU: how long the first image of a batch may wait for more"
    )
    processing_threads: int = Field(
        0, ge=0, description="Threads that decode, cover and encode; 0: one per usable CPU"
    )
    inference_threads: int = Field(
        0,
        ge=0,
        description="Threads of one forward pass on the CPU; 0: a quarter of the usable CPUs",
    )
    inference_timeout_seconds: Seconds = Field(
        120, description="Time of one forward pass after which the process counts as hung "
        "and ends itself, so that others take its images",
    )  # fmt: skip
    max_images_in_hand: int = Field(
        0, ge=0, description="Most images claimed at once; 0: by threads and batch size"
    )
    memory_budget_mb: int = Field(
        768, ge=1, description="Memory for decoded images; a single larger image runs alone"
    )
    model_path: ProjectFile = Field(
        Path("models/plate-obb.pt"), validate_default=True, description="Checkpoint of the detector"
    )
    detect_imgsz: int = Field(
        640, ge=64, le=4096, multiple_of=32, description="Long side of the detector's input, pixels"
    )
    detect_tiling: Literal["auto", "off", "on"] = Field(
        "auto", description="Closer looks at large images. `auto`: at 2 MP and more, for at most "
        "about as much time again; `on`: at everything in full resolution; `off`: none",
    )  # fmt: skip
    detect_confidence: float = Field(
        0.3, gt=0, lt=1, description="Least score of a detection that is covered"
    )
    review_confidence: float = Field(
        0.5, ge=0, le=1,
        description="An image is `needs_review` if one of its covers has a lower score, or if "
        "something with this score or a higher one was found and not covered; DETECT_CONFIDENCE "
        "decides what is covered",
    )  # fmt: skip
    detections: bool = Field(
        default=False,
        description="`true`: task-status tells quads and scores of each image's covers",
    )
    cover_classes: Annotated[str, AfterValidator(_class_list)] = Field(
        "", description="Names or numbers of the model's classes to cover, by commas; empty: all"
    )
    cover_mode: Literal["image", "fill"] = Field(
        "image", description="`image`: the stub image; `fill`: one opaque colour"
    )
    cover_image_path: ProjectFile = Field(
        Path("static/cover.png"), validate_default=True,
        description="The stub image, warped onto each plate",
    )  # fmt: skip
    cover_padding: float = Field(
        DEFAULT_PADDING, ge=0, le=1,
        description="Margin of a cover, as part of the plate's height, beyond what the detector is"
        " unsure of; more where it is tilted",
    )  # fmt: skip
    webp_quality: int = Field(90, ge=1, le=100, description="Quality of the results")
    webp_method: Annotated[int, Field(ge=0, le=6)] | Literal["auto"] = Field(
        "auto",
        description="Encoder effort: 0 fastest, 6 smallest files; `auto`: 2, and 0 for images up to"
        " 14 MP while others wait, if WEBP_QUALITY is at least 89 (a third less time, 0-5 % more"
        " bytes, 7 % for grainy images). With a number the same image becomes the same file, but"
        " for what the last bit of a sum may change",
    )
    max_image_pixels: int = Field(
        100_000_000, ge=1, description="Most pixels of one image, checked before it is decoded"
    )
    max_deliveries: int = Field(
        4,
        ge=1,
        description="An image is dead-lettered after so many deliveries if it ended its worker, or "
        "failed, in each one that it had alone in a process: in all but the first two, or with 2 in"
        " the second; after four times as many in any case",
    )
    dead_letter_keep_inputs: bool = Field(
        default=False,
        description="Whether originals of dead letters are kept, for DEAD_LETTER_TTL_HOURS, so "
        "that they can be replayed",
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """`cover_classes` one by one."""
        return tuple(item.strip() for item in self.cover_classes.split(",") if item.strip())

    @property
    def threads(self) -> int:
        """Threads that decode, cover and encode."""
        return self.processing_threads or usable_cpus()

    @property
    def forward_threads(self) -> int:
        """Threads of one forward pass on the CPU."""
        return self.inference_threads or max(1, usable_cpus() // 4)

    @property
    def forward_passes(self) -> int:
        """Forward passes at the same time: several narrow ones use a CPU better than a wide one."""
        if self.processing_device != "cpu":
            return 1
        return max(1, min(MOST_FORWARD_PASSES, usable_cpus() // self.forward_threads))

    @property
    def slots(self) -> int:
        """Most images claimed at once: enough to keep every thread busy and a GPU's batches full.

        No more than that: what one worker holds, another cannot take.
        """
        on_cpu = self.processing_device == "cpu"
        enough = 2 * self.threads if on_cpu else 3 * self.processing_batch_size
        return self.max_images_in_hand or 2 * self.threads + enough
