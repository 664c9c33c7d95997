"""Settings of the consumer processes, on top of what every process shares."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from standardwebhooks import Webhook

from consumer.addresses import HttpAddress, http_address, proxy_for, proxy_setting, webhook_url
from consumer.host import usable_cpus
from consumer.vision.cover.margins import DEFAULT_PADDING
from schemas.settings.base import Hours, NonNegativeSeconds, Seconds, Settings

_WAIT = re.compile(r"\d{1,8}(\.\d+)?")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}(\[[A-Za-z0-9_-]{0,63}\]){0,4}")


class ConsumerSettings(Settings):
    """What worker and dispatcher share."""

    metrics_port: int = Field(
        9101, ge=0, le=65535,
        description="Port of `/metrics` and `/health` of a consumer process, or the first free one "
        "of the 100 from there on; the log says which; 0 disables it",
    )  # fmt: skip
    drain_seconds: NonNegativeSeconds = Field(
        25, description="Maximum wait on SIGTERM for work in flight; the rest is redelivered"
    )
    lease_seconds: Seconds = Field(
        30, description="Idle time after which other processes take over the work of a dead one"
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
    """Settings of webhooks and of the sweeper."""

    metrics_port: int = Field(
        9102, ge=0, le=65535,
        description="Port of `/metrics` and `/health` of the dispatcher, chosen in the same way; "
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
        description="HTTP proxy of both webhooks, `http://[user:password@]host:port`; `env`: as "
        "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say in the environment (not in `.env`); "
        "empty: none",
    )
    webhook_secret: Annotated[SecretStr | None, AfterValidator(_secret_list)] = Field(
        None,
        description="`whsec_…`: both webhooks are signed (Standard Webhooks). During a rotation, "
        "several separated by commas, the new one first: each of them signs. Empty: unsigned",
    )
    webhook_timeout_seconds: Seconds = Field(
        30, description="Maximum idle time of a webhook's receiver, and maximum time of a callback"
    )
    webhook_upload_timeout_seconds: Seconds = Field(
        300, description="Maximum time of an upload of one task's images"
    )
    webhook_concurrency: int = Field(
        4, ge=1, description="Maximum number of webhooks in flight, for each of the two addresses"
    )
    webhook_retry_seconds: Annotated[str, AfterValidator(_waits)] = Field(
        "5,30,120,600,1800,3600",
        description="Waits between attempts of a webhook (0 counts as 1); the last repeats, for at "
        "most 24 hours or half of TASK_STORAGE_TTL_HOURS",
    )
    sweep_interval_seconds: Seconds = Field(
        60, description="Time between two sweeps, for any number of dispatchers"
    )
    upload_grace_seconds: NonNegativeSeconds = Field(
        900,
        description="Age at which files of no task, and partial writes, are deleted; keep it above "
        "UPLOAD_TIMEOUT_SECONDS",
    )
    task_timeout_seconds: Seconds = Field(
        3600, description="Inactivity after which the missing images of a task fail"
    )
    dead_letter_ttl_hours: Hours = Field(
        48, description="Time that a dead letter, and the original kept for it, is stored"
    )
    consumer_idle_seconds: Seconds = Field(
        600, description="Idle time after which a consumer that holds nothing leaves its group"
    )

    @model_validator(mode="after")
    def _proxies_are_usable(self) -> Self:
        for url in filter(None, (self.backend_upload_url, self.backend_callback_url)):
            self.proxy_of(url)
        return self

    def proxy_of(self, url: str) -> HttpAddress | None:
        """Return the proxy for a webhook's address, None without one."""
        setting = "" if self.webhook_proxy is None else self.webhook_proxy.get_secret_value()
        return proxy_for(http_address(url).url, setting)

    @property
    def signers(self) -> list[Webhook]:
        """A signer for each secret of `webhook_secret`."""
        return [Webhook(text) for text in _listed(self.webhook_secret)]

    @property
    def retry_schedule(self) -> tuple[float, ...]:
        """`webhook_retry_seconds` as numbers."""
        return tuple(map(float, self.webhook_retry_seconds.split(",")))


_PROJECT = Path(__file__).resolve().parent.parent


def _project_file(path: Path) -> Path:
    """Find a relative path in the working directory, else among the project's own files."""
    return path if path.is_absolute() or path.exists() else _PROJECT / path


def _optional_file(path: object) -> object:
    return None if path == "none" else path


MAX_FORWARD_PASSES = 4
"""At the same time: each needs its own memory."""
_BUDGET_MB_PER_THREAD, _LEAST_BUDGET_MB = 256, 512
"""An image of 12 megapixels takes up to 240 MiB."""

ProjectFile = Annotated[Path, AfterValidator(_project_file)]
OptionalProjectFile = Annotated[ProjectFile | None, BeforeValidator(_optional_file)]


class WorkerSettings(ConsumerSettings):
    """Settings of detection and covering, and of how many images are processed at once."""

    processing_device: str = Field(
        "cpu", pattern=r"^(cpu|cuda(:[0-9]+)?)$", description="`cpu`, `cuda` or `cuda:N`"
    )
    inference_precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Number format of the detector: `float32`, `bfloat16`, or `auto`: float16 on "
        "CUDA; on a CPU bfloat16 if it has AMX, else INT8 if there is such an export, else "
        "float32",
    )  # fmt: skip
    processing_batch_size: int = Field(
        16, ge=1, le=256, description="Maximum number of images in one forward pass"
    )
    batch_max_wait_ms: float = Field(
        10, ge=0,
        description="On a GPU: maximum time that the first image of a batch waits for more",
    )  # fmt: skip
    processing_threads: int = Field(
        0, ge=0, description="Threads that decode, cover and encode; 0: one per usable CPU"
    )
    inference_threads: int = Field(
        0, ge=0,
        description="Threads of one forward pass on the CPU; 0: a quarter of the usable CPUs",
    )  # fmt: skip
    inference_timeout_seconds: Seconds = Field(
        120, description="Maximum time of one forward pass; after that, the process ends as hung"
    )
    max_images_in_hand: int = Field(
        0, ge=0, description="Maximum number of images in flight; 0: by threads and batch size"
    )
    memory_budget_mb: int = Field(
        0, ge=0,
        description="Memory for decoded images; a larger single image is processed alone. 0: 256 "
        "for each thread, at least 512",
    )  # fmt: skip
    model_path: ProjectFile = Field(
        Path("models/plate-obb.pt"), validate_default=True,
        description="Checkpoint of the detector; a CPU runs the file that `plate-detect export` "
        "wrote beside it, if there is one. Or such a file itself",
    )  # fmt: skip
    corners_model_path: OptionalProjectFile = Field(
        Path("models/plate-corners.xml"), validate_default=True,
        description="The second stage, which finds the corners of each plate and rejects what is "
        "none; `none`: the detector's own boxes are covered, for a MODEL_PATH of other objects",
    )  # fmt: skip
    detect_imgsz: int = Field(
        640, ge=64, le=4096, multiple_of=32, description="Long side of the detector's input, pixels"
    )
    detect_tiling: Literal["auto", "off", "on"] = Field(
        "auto", description="Additional views of parts of large images. `auto`: from 2 MP on, at "
        "most about doubling the time; `on`: of everything in full resolution; `off`: none",
    )  # fmt: skip
    detect_confidence: float = Field(
        0.3, gt=0, lt=1,
        description="Minimum score of what is covered, the probability that it is a plate",
    )  # fmt: skip
    review_confidence: float = Field(
        0.5, ge=0, le=1,
        description="An image is `needs_review` if one of its covers has a lower score, or if "
        "a detection with at least this score was not; DETECT_CONFIDENCE decides what is covered",
    )  # fmt: skip
    detections: bool = Field(
        default=True,
        description="Whether task-status contains quads and scores of each image's covers",
    )
    cover_classes: Annotated[str, AfterValidator(_class_list)] = Field(
        "", description="Names or numbers of the classes to cover, separated by commas; empty: all"
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
        description="Margin of a cover on all sides, as a fraction of the plate's height",
    )  # fmt: skip
    webp_quality: int = Field(90, ge=1, le=100, description="Quality of the results")
    webp_method: Annotated[int, Field(ge=0, le=6)] | Literal["auto"] = Field(
        "auto",
        description="Encoder effort: 0 fastest, 6 smallest files; `auto`: 2, and 0 for images up to"
        " 14 MP while others wait, if WEBP_QUALITY is at least 89 (a third less time, 0-5 % more"
        " bytes, 7 % for grainy images). With a number the same image always becomes the same"
        " file, apart from rounding",
    )
    max_image_pixels: int = Field(
        100_000_000, ge=1,
        description="Maximum number of pixels of one image, checked before it is decoded",
    )  # fmt: skip
    max_deliveries: int = Field(
        4, ge=1,
        description="An image is dead-lettered after this number of deliveries if it ended its "
        "worker, or failed, in each one in which it was alone in its process: all but the first "
        "two, or with 2 the second; after four times this number in any case",
    )  # fmt: skip
    dead_letter_keep_inputs: bool = Field(
        default=False,
        description="`true`: originals of dead letters are kept for DEAD_LETTER_TTL_HOURS, so that "
        "they can be replayed",
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of `cover_classes`."""
        return tuple(item.strip() for item in self.cover_classes.split(",") if item.strip())

    @property
    def threads(self) -> int:
        """Threads that decode, cover and encode."""
        return self.processing_threads or usable_cpus()

    @property
    def memory_budget_bytes(self) -> int:
        """Memory for decoded images."""
        by_threads = max(_LEAST_BUDGET_MB, _BUDGET_MB_PER_THREAD * self.threads)
        return (self.memory_budget_mb or by_threads) << 20

    @property
    def forward_threads(self) -> int:
        """Threads of one forward pass on the CPU."""
        return self.inference_threads or max(1, usable_cpus() // 4)

    @property
    def forward_passes(self) -> int:
        """Forward passes at the same time: a CPU is faster with several that have few threads."""
        if self.processing_device != "cpu":
            return 1
        return max(1, min(MAX_FORWARD_PASSES, usable_cpus() // self.forward_threads))

    @property
    def slots(self) -> int:
        """Maximum number of images in flight: for every thread and a GPU's batches, not more."""
        on_cpu = self.processing_device == "cpu"
        enough = 2 * self.threads if on_cpu else 3 * self.processing_batch_size
        return self.max_images_in_hand or 2 * self.threads + enough
