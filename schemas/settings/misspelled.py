"""Names of all settings, and names that are probably meant to be one of them.

A misspelt name sets nothing. For most settings that is reported in the log. For one that closes
the service, or encrypts its traffic, the start is refused: it would run open without a sign of it.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

SETTINGS = frozenset((
    "ALLOWED_ORIGINS", "API_KEYS", "BACKEND_CALLBACK_URL", "BACKEND_UPLOAD_URL",
    "BATCH_MAX_WAIT_MS", "CONSUMER_IDLE_SECONDS", "COVER_CLASSES", "COVER_IMAGE_PATH",
    "COVER_MODE", "COVER_PADDING", "DEAD_LETTER_KEEP_INPUTS", "DEAD_LETTER_TTL_HOURS",
    "DETECTIONS", "DETECT_CONFIDENCE", "DETECT_IMGSZ", "DETECT_TILING", "DRAIN_SECONDS",
    "EMBEDDED_REDIS_PORT", "HOST", "IDEMPOTENCY_LEASE_SECONDS", "INFERENCE_PRECISION",
    "INFERENCE_THREADS", "INFERENCE_TIMEOUT_SECONDS", "INLINE_MAX_BYTES", "KEY_PREFIX",
    "LEASE_SECONDS", "LOG_FILENAMES", "LOG_FORMAT", "LOG_LEVEL", "MAX_BACKLOG_IMAGES",
    "MAX_CONCURRENT_UPLOADS", "MAX_DELIVERIES", "MAX_EVENT_STREAMS", "MAX_FILES_PER_REQUEST",
    "MAX_FILE_SIZE_BYTES", "MAX_IMAGES_IN_HAND", "MAX_IMAGE_PIXELS", "MAX_REQUEST_SIZE_MB",
    "MEMORY_BUDGET_MB", "METRICS_PORT", "MODEL_PATH", "PORT", "PROCESSING_BATCH_SIZE",
    "PROCESSING_DEVICE", "PROCESSING_THREADS", "PUBLIC_URL", "REDIS_CA_FILE", "REDIS_CERT_FILE",
    "REDIS_HOST", "REDIS_KEY_FILE", "REDIS_PASSWORD", "REDIS_PORT", "REDIS_SENTINELS",
    "REDIS_SENTINEL_MASTER", "REDIS_SENTINEL_PASSWORD", "REDIS_TLS", "REDIS_URL",
    "REDIS_USERNAME", "REVIEW_CONFIDENCE", "SWEEP_INTERVAL_SECONDS", "TASKS_STORAGE_URL",
    "TASK_STORAGE_TTL_HOURS", "TASK_TIMEOUT_SECONDS", "TRUST_FORWARDED_PREFIX",
    "UPLOAD_GRACE_SECONDS", "UPLOAD_IDLE_TIMEOUT_SECONDS", "UPLOAD_TIMEOUT_SECONDS",
    "WEBHOOK_CONCURRENCY", "WEBHOOK_IMAGES_FIELD", "WEBHOOK_PROXY", "WEBHOOK_RETRY_SECONDS",
    "WEBHOOK_SECRET", "WEBHOOK_TIMEOUT_SECONDS", "WEBHOOK_UPLOAD_TIMEOUT_SECONDS",
    "WEBP_METHOD", "WEBP_QUALITY",
))  # fmt: skip
"""Of all roles. schemas may not import their models, so a test compares this list with them."""

S3_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "Key of the bucket's user",
    "AWS_SECRET_ACCESS_KEY": "Its secret",
    "AWS_SESSION_TOKEN": "Token of temporary keys",
    "AWS_REGION": "Region of the bucket; empty: us-east-1",
    "AWS_ENDPOINT_URL": "Address of a server other than Amazon's, `https://…` or `http://…`",
    "AWS_ALLOW_HTTP": "`true`: without TLS; an AWS_ENDPOINT_URL with `http://` implies it",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "`true`: the bucket is part of the host name",
}
"""Read by the storage client where TASKS_STORAGE_URL is `s3://…`, from environment and `.env`."""

COMPOSE_VARIABLES = frozenset(("REDIS_MAXMEMORY", "TORCH_CUDA_INDEX_URL", "TORCH_INDEX_URL"))
"""Read by docker-compose.yml and by make, not by a process."""

# Settings that close the service or encrypt its traffic, each with those that replace it.
SECURITY = {
    "API_KEYS": ("API_KEYS",),
    "WEBHOOK_SECRET": ("WEBHOOK_SECRET",),
    "REDIS_PASSWORD": ("REDIS_PASSWORD", "REDIS_URL"),
    "REDIS_SENTINEL_PASSWORD": ("REDIS_SENTINEL_PASSWORD",),
    "REDIS_TLS": ("REDIS_TLS", "REDIS_URL"),
}

# Least likeness (difflib's ratio) of a misspelling: one or two letters, or two exchanged.
_ALIKE = 0.85
_MORE_ALIKE = 0.9
_ROUGHLY_ALIKE = 0.6

# Kubernetes sets these for each Service of the namespace, and Docker for each link.
_INJECTED = re.compile(r"_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)")
_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
_FOREIGN = ("AWS_", "COMPOSE_", "DOCKER_")
_KNOWN = SETTINGS | COMPOSE_VARIABLES | {"PLATE_DETECT_GUARD_PID", "PLATE_DETECT_TEST_POISON"}
_OFF = ("0", "f", "false", "n", "no", "off")

# Names that are not close to a setting's, but made of words that mean the same.
_WORDS: tuple[tuple[str, str], ...] = (
    (r"API_(.*_)?KEYS?", "API_KEYS"),
    (r"WEBHOOKS?_(.*_)?(SECRETS?|KEYS?|TOKENS?)", "WEBHOOK_SECRET"),
    (r"REDIS_SENTINELS?_(.*_)?(PASS.*|PWD|AUTH|SECRET)", "REDIS_SENTINEL_PASSWORD"),
    (r"REDIS_(.*_)?(PASS.*|PWD|AUTH|SECRET)", "REDIS_PASSWORD"),
    (r"REDIS_(.*_)?(TLS|SSL)", "REDIS_TLS"),
)
_WORDS_OF_A_FILE: tuple[tuple[str, str], ...] = (
    (r"API_(.*_)?(TOKENS?|SECRETS?|PASS.*|AUTH)", "API_KEYS"),
    (r".*_API_?KEYS", "API_KEYS"),  # one key under such a name is mostly another service's
)
_OURS = re.compile(r"PLATES?_(DETECT_)?|PLATEDETECT_|PRODUCER_")


@dataclass(frozen=True, slots=True)
class Doubt:
    """A variable that nothing reads, and the setting that is probably meant, if any."""

    name: str
    meant: str | None
    stops: bool

    def sentence(self, where: str) -> str:
        """One line; `where` says where the variable is set."""
        likely = f"; did you mean {self.meant}?" if self.meant else ""
        return f"{where} sets {self.name}, which is not a setting{likely}"


def doubts(
    variables: Mapping[str, str], *, all_set: Iterable[str], is_file: bool
) -> Iterator[Doubt]:
    """Find the names that are probably meant to be settings.

    Args:
        variables: values by name.
        all_set: names in capitals that have a value anywhere.
        is_file: the variables are from `.env`, most of which is for this service; otherwise from
            the environment, most of which is not.
    """
    present = frozenset(all_set)
    for name, value in variables.items():
        if not value or _is_known(name.upper(), value):
            continue
        close = _by_words(name, is_file=is_file) or _close(name, is_file=is_file)
        meant = close if close in SECURITY else None
        if meant is not None and not (meant == "REDIS_TLS" and value.strip().lower() in _OFF):
            yield Doubt(name, meant, stops=present.isdisjoint(SECURITY[meant]))
        elif close or (is_file and _begins_as_ours(name)):
            yield Doubt(name, close or _nearest(name, SETTINGS, _ROUGHLY_ALIKE), stops=False)


def _is_known(name: str, value: str) -> bool:
    if name in _KNOWN or name.startswith(_FOREIGN):
        return True
    return bool(_INJECTED.search(name) or (name.endswith("_PORT") and _ADDRESS.match(value)))


def _by_words(name: str, *, is_file: bool) -> str | None:
    """The setting that is about the same thing: REDIS_PASS, WEBHOOK_KEY, API_KEYS_FILE."""
    for words, meant in (*_WORDS, *(_WORDS_OF_A_FILE if is_file else ())):
        if re.fullmatch(f"{words}(_.*)?", _bare(name)):
            return meant
    return None


def _close(name: str, *, is_file: bool) -> str | None:
    """The setting that a name differs little from, or is a part of."""
    bare = _bare(name)
    if is_file:
        return _nearest(bare, SETTINGS, _ALIKE) or _whole(bare, either_end=True)
    # HOST and PORT differ little from too many variables that an environment may hold.
    longer = SETTINGS - {"HOST", "PORT"}
    meant = _nearest(bare, SECURITY, _ALIKE) or _nearest(bare, longer, _MORE_ALIKE)
    return meant or _whole(bare, either_end=False)


def _whole(part: str, *, either_end: bool) -> str | None:
    """The setting of which some words are missing: UPLOAD_TIMEOUT, CALLBACK_URL."""
    if "_" not in part:
        return None
    found = (
        setting
        for setting in sorted(SETTINGS)
        if setting.startswith(f"{part}_") or (either_end and setting.endswith(f"_{part}"))
    )
    return next(found, None)


def _nearest(name: str, settings: Iterable[str], likeness: float) -> str | None:
    # Without separators and in one alphabet: API-KEYS, ApiKeys and full-width letters are alike.
    by_letters = {_letters(setting): setting for setting in settings}
    nearest: list[str] = get_close_matches(_letters(name), by_letters, n=1, cutoff=likeness)
    return by_letters[nearest[0]] if nearest else None


def _letters(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", unicodedata.normalize("NFKC", name).upper())


def _bare(name: str) -> str:
    """The name in capitals, without a prefix that only names this service or its HTTP side."""
    return _OURS.sub("", name.upper().replace("-", "_").replace(".", "_"), count=1)


def _begins_as_ours(name: str) -> bool:
    first, more, _ = name.upper().partition("_")
    return bool(_OURS.match(name.upper())) or (bool(more) and first in _FIRST_WORDS)


_FIRST_WORDS = {name.partition("_")[0] for name in SETTINGS if "_" in name}
