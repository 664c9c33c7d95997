"""Contract v1 of an entry in the work stream: one entry is one image."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.contract.names import (
    base_name,
    default_output_name,
    distinct_output_name,
    portable_name,
)

TASK_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"

MAX_TOTAL = 1000
"""Maximum number of images in a task, whatever MAX_FILES_PER_REQUEST is."""

TaskId = Annotated[str, Field(pattern=TASK_ID_PATTERN, description="Groups the images of a task")]


@dataclass(frozen=True, slots=True)
class ContractLimits:
    """Limits of a deployment, beyond the fields' own rules.

    `max_total` applies to new tasks only, so that tasks which were accepted under a higher limit
    go on. It is checked by TaskStore.begin, since an entry does not say whether its task is new.
    """

    max_total: int
    inline_max_bytes: int


class ContractError(Exception):
    """An entry breaks the contract; the message says how, without the entry's content."""


class ImageMessage(BaseModel):
    """One image to cover, as it lies in the stream: flat fields, UTF-8, `image` raw bytes.

    Unknown fields are ignored; an unknown `v` is dead-lettered.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", title="ImageMessage v1")

    v: Literal[1] = Field(1, description="Version of this contract")
    task_id: TaskId
    index: int = Field(0, ge=0, description="Place of the image in its task, from 0")
    total: int | None = Field(
        None, ge=1, description="Images of the task; the first total seen holds, absent means 1"
    )
    filename: str = Field("image", description="Original name; only its base name is used")
    output: str | None = Field(
        None,
        description="Name of the result; default `covered_<stem>[_<index>].webp`. Characters that "
        """webhook receivers misread (`" ; % < > : | ? *`, invisible ones) become `_`; if another"""
        " image of the task then has that name, `_<index>` is added to it",
    )
    object: str | None = Field(
        None, description="Storage key under `<task_id>/input/`; this or `image`"
    )
    image: bytes | None = Field(
        None, description="Raw bytes of the file, at most INLINE_MAX_BYTES; this or `object`"
    )
    traceparent: str | None = Field(
        None,
        max_length=128,
        description="W3C trace context, which the event of the task and its webhooks continue",
    )

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        if (self.object is None) == (self.image is None):
            raise ValueError("exactly one of object and image is needed")
        if self.total is not None and self.index >= self.total:
            raise ValueError("index must be below total")
        if self.object is not None:
            _check_object_key(self.object, self.task_id)
        if self.output is not None:
            _check_output_name(self.output)
        return self

    @property
    def asked_output(self) -> str:
        """Requested name of the result; unique in its task."""
        return self.output or default_output_name(self.filename, self.index, self.total or 1)

    @property
    def output_name(self) -> str:
        """Name under which the result is stored."""
        return portable_name(self.asked_output)

    @property
    def distinct_output_name(self) -> str:
        """Name of the result if another image of the task has `output_name` already."""
        return distinct_output_name(self.output_name, self.index)

    @property
    def identity(self) -> str:
        """Equal for repeated messages, different for another image with the same index."""
        if self.object is not None:
            return f"object:{self.object}"
        return f"sha256:{hashlib.sha256(self.image or b'').hexdigest()}"

    @property
    def attempts_name(self) -> str:
        """Name under which the task counts its failed attempts."""
        return str(self.index)

    def to_fields(self) -> dict[str, str | bytes]:
        """Return the flat fields for XADD."""
        values = self.model_dump(exclude_none=True)
        return {k: v if isinstance(v, bytes) else str(v) for k, v in values.items()}

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes], limits: ContractLimits) -> Self:
        """Read an entry as Redis returns it.

        Raises:
            ContractError: the entry breaks the contract.
        """
        image = fields.get(b"image")
        if image is not None and len(image) > limits.inline_max_bytes:
            raise ContractError(f"image: more than {limits.inline_max_bytes} bytes inline")
        if b"v" not in fields:
            raise ContractError("v: missing")
        message = cls._parse(fields, image)
        if message.total is not None and message.total > MAX_TOTAL:
            raise ContractError(f"total: more than {MAX_TOTAL}")
        return message

    @classmethod
    def _parse(cls, fields: Mapping[bytes, bytes], image: bytes | None) -> Self:
        known = {k: fields[k.encode()] for k in cls.model_fields if k.encode() in fields}
        for name in ("index", "total"):
            if name in known and _count(known[name]) is None:
                raise ContractError(f"{name}: not a number of at most six digits")
        try:
            values: dict[str, object] = {k: v.decode() for k, v in known.items() if k != "image"}
            if "v" in values:
                values["v"] = _version(str(values["v"]))
            if "filename" in values:
                values["filename"] = base_name(str(values["filename"]))
            return cls.model_validate({**values, **({} if image is None else {"image": image})})
        except UnicodeDecodeError:
            raise ContractError("a field is not UTF-8") from None
        except ValidationError as error:
            # pydantic's own message would repeat the publisher's data.
            where = [".".join(map(str, e["loc"])) or "message" for e in error.errors()]
            what = [e["msg"].removeprefix("Value error, ") for e in error.errors()]
            raise ContractError(
                "; ".join(f"{w}: {t}" for w, t in zip(where, what, strict=True))
            ) from None


@dataclass(frozen=True, slots=True)
class ErrorTarget:
    """The image of a task that an invalid entry fails."""

    task_id: str
    index: int
    total: int | None


def error_target(fields: Mapping[bytes, bytes]) -> ErrorTarget | None:
    """Return the image that an invalid entry fails; None unless all parts are valid."""
    task_id = fields.get(b"task_id", b"").decode(errors="replace")
    index = _count(fields.get(b"index", b"0"))
    total = _count(fields[b"total"]) if b"total" in fields else None
    if fields.get(b"v") != b"1" or not re.fullmatch(TASK_ID_PATTERN, task_id) or index is None:
        return None
    if b"total" in fields and (total is None or not index < total <= MAX_TOTAL):
        return None
    return ErrorTarget(task_id, index, total)


def _count(text: bytes) -> int | None:
    return int(text) if re.fullmatch(rb"[0-9]{1,6}", text) else None


def _version(text: str) -> int:
    if text != "1":
        raise ContractError("v: unknown version")
    return 1


def is_own_object(key: str, task_id: str) -> bool:
    """Return whether a message of this task may have a storage key as its `object`."""
    try:
        _check_object_key(key, task_id)
    except ValueError:
        return False
    return re.fullmatch(TASK_ID_PATTERN, task_id) is not None


def _check_object_key(key: str, task_id: str) -> None:
    # Any other key would let a publisher read and delete another task's files.
    head = f"{task_id}/input/"
    tail = key.removeprefix(head)
    if not key.startswith(head) or not tail or "/" in tail or tail in (".", ".."):
        raise ValueError("object must be a file directly under <task_id>/input/")
    # A local folder cannot hold names that end in `#<number>`: they mark unfinished writes.
    if not tail.isprintable() or len(tail.encode()) > 255 or re.search(r"#[0-9]+$", tail):
        raise ValueError("object has an unusable name")


def _check_output_name(name: str) -> None:
    if name != base_name(name) or not name.endswith(".webp"):
        raise ValueError("output must be a plain file name that ends in .webp")
