""".env.example and docker-compose.yml name every setting, with its real default."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli import settings_table
from cli.main import app
from schemas.settings.base import Settings
from schemas.settings.misspelled import SETTINGS, misspellings
from schemas.storage.buckets import VARIABLES

PROJECT = Path(__file__).resolve().parents[2]
BUCKET_VARIABLES = {name for variables in VARIABLES.values() for name in variables}
REGENERATE = "regenerate it: plate-detect settings"

# Worker and dispatcher may run on one machine, so each has its own default.
MAY_DIFFER = {"METRICS_PORT"}
SEED_DEFAULTS = {
    "BACKEND_UPLOAD_URL": "",
    "BACKEND_CALLBACK_URL": "",
    "PROCESSING_DEVICE": "cpu",
    "TASK_STORAGE_TTL_HOURS": "48",
    "REDIS_HOST": "localhost",
    "REDIS_PORT": "6379",
    "PROCESSING_BATCH_SIZE": "16",
    "MAX_FILES_PER_REQUEST": "50",
    "MAX_FILE_SIZE_BYTES": "20971520",
}


def compose_environment(service: str) -> dict[str, str]:
    text = (PROJECT / "docker-compose.yml").read_text(encoding="utf-8")
    environment: dict[str, str] = yaml.safe_load(text)["services"][service]["environment"]
    return environment


def test_env_example_is_fresh() -> None:
    text = (PROJECT / ".env.example").read_text(encoding="utf-8")
    assert text == settings_table.dotenv(), f"{REGENERATE} --env > .env.example"


@pytest.mark.parametrize("service", ["producer", "worker", "worker-gpu", "dispatcher"])
def test_compose_passes_every_setting_on(service: str) -> None:
    model = settings_table.MODELS[service.removesuffix("-gpu")]
    missing = {name.upper() for name in model.model_fields} - set(compose_environment(service))
    assert not missing


@pytest.mark.parametrize("service", ["producer", "worker", "worker-gpu", "dispatcher"])
def test_compose_passes_on_what_reaches_a_bucket(service: str) -> None:
    environment = compose_environment(service)
    assert not [name for name in BUCKET_VARIABLES if environment.get(name, "") is not None]


@pytest.mark.parametrize("service", ["producer", "worker", "worker-gpu", "dispatcher"])
def test_a_misspelt_secret_reaches_a_container_and_stops_it(service: str) -> None:
    """A name that docker-compose.yml does not hold would be dropped without a word."""
    passed_on = {name for name in compose_environment(service) if not name.startswith("OTEL_")}
    misspelt = passed_on - SETTINGS - BUCKET_VARIABLES
    assert {"API_KEY", "WEBHOOK_SECRETS", "REDIS_PASS"} <= misspelt
    found = misspellings(dict.fromkeys(misspelt, "x"), all_set=misspelt, is_file=False)
    assert {one.name for one in found if one.stops} == misspelt


def test_every_setting_has_a_meaning() -> None:
    assert not [setting.name for setting in settings_table.settings() if not setting.meaning]


def test_a_name_means_the_same_to_every_process() -> None:
    defaults: dict[str, set[str]] = {}
    for setting in settings_table.settings():
        defaults.setdefault(setting.name, set()).add(setting.default)
    differing = {name for name, found in defaults.items() if len(found) > 1}
    assert differing <= MAY_DIFFER


def test_the_first_services_settings_keep_their_names_and_defaults() -> None:
    defaults = {setting.name: setting.default for setting in settings_table.settings()}
    assert {name: defaults[name] for name in SEED_DEFAULTS} == SEED_DEFAULTS


@pytest.mark.parametrize("model", settings_table.MODELS.values())
def test_the_example_is_accepted_when_uncommented(
    model: type[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uncommented = re.sub(r"^# ([A-Z_]+=)", r"\1", settings_table.dotenv(), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(uncommented, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert model.load()


@pytest.mark.parametrize("option", ["", "--markdown", "--env", "--names"])
def test_the_command_shows_them_all(option: str) -> None:
    shown = CliRunner().invoke(app, ["settings", *option.split()], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert all(setting.name in shown.stdout for setting in settings_table.settings())
