"""`plate-detect config`: the settings that are in effect, and where each comes from."""

import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from cli import settings_table
from cli.masking import HIDDEN, masked_address
from cli.output import fail, print_json, print_table
from schemas.settings.base import Settings, SettingsError
from schemas.settings.sources import Environment, read_env_file
from schemas.storage.buckets import SECRET_VARIABLES, bucket_variables


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as processes use it; ``value`` without what is secret in it."""

    name: str
    value: str
    source: str
    roles: tuple[str, ...]


def config(
    changed: Annotated[
        bool, typer.Option("--changed", help="Only those that are not at their default.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Show the settings that are in effect here, and where each comes from.

    Of secrets it shows only that they are set, of addresses neither passwords nor, for webhooks,
    paths.
    """
    try:
        rows = [row for row in effective() if not changed or row.source != "default"]
        warnings = settings_table.MODELS["producer"].load().misspelled
    except (SettingsError, ValueError) as error:
        fail(str(error))
    if as_json:
        for row in rows:
            print_json(asdict(row))
    else:
        readers = ("all" if len(row.roles) == len(settings_table.MODELS) else ", ".join(row.roles)
                   for row in rows)  # fmt: skip
        print_table(
            ("variable", "value", "from", "read by"),
            [(row.name, row.value, row.source, read_by)
             for row, read_by in zip(rows, readers, strict=True)],
        )  # fmt: skip
    for warning in warnings:
        typer.echo(f"plate-detect: {warning}", err=True)


def effective() -> list[Effective]:
    """Return all settings of all roles. Raises SettingsError, ValueError: one of them is wrong."""
    merged: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for role, model in settings_table.MODELS.items():
        settings = model.load()
        sources = dict(_sources(model))
        for name in model.model_fields:
            value = getattr(settings, name)
            key = name.upper(), masked(name, value), sources.get(name, "default")
            merged[key] = (*merged.get(key, ()), role)
    rows = [Effective(*key, roles=roles) for key, roles in merged.items()]
    rows += _bucket_rows(settings_table.MODELS["producer"].load().storage_url)
    return sorted(rows, key=lambda row: -len(row.roles))


def masked(name: str, value: Any) -> str:
    """Return the value of a setting as text, without what is secret in it."""
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        if name == "webhook_proxy":
            return text if text == "env" else masked_address(text)
        return HIDDEN
    if name == "api_keys":
        return f"{HIDDEN} ({len(value)})" if value else ""
    if name == "redis_url" and value is not None:
        return masked_address(value, with_path=True)
    if name.startswith("backend_") and value is not None:
        return masked_address(value)
    text = settings_table.value_text(value)
    return masked_address(text, with_path=True) if re.search(r"://.*@", text) else text


def _sources(model: type[Settings]) -> Iterator[tuple[str, str]]:
    """Yield the name of each field that is set somewhere, and where; the last one counts."""
    file = read_env_file()
    set_somewhere = model.load().model_fields_set
    in_environment = Environment(model)()
    for name in set_somewhere:
        assignment = file.get(name.upper())
        if name in in_environment:
            yield name, "environment"
        elif assignment is not None and assignment.value:
            yield name, f".env line {assignment.line}"
        else:
            yield name, "Kubernetes"  # the port of REDIS_PORT=tcp://…


def _bucket_rows(url: str) -> Iterator[Effective]:
    file = read_env_file()
    for name, value in sorted(bucket_variables(url).items()):
        shown = HIDDEN if name in SECRET_VARIABLES else value
        if "://" in shown:
            shown = masked_address(shown, with_path=True)
        source = "environment" if os.environ.get(name) else f".env line {file[name].line}"
        yield Effective(name, shown, source, tuple(settings_table.MODELS))
