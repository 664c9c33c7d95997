"""Misspelled settings are reported; of a key or secret, they stop the start."""

from importlib.resources import files
from pathlib import Path

import pytest

from cli import settings_table
from cli.settings_table import MODELS
from producer.settings import ProducerSettings
from schemas.settings.base import Settings, SettingsError
from schemas.settings.misspelled import SECURITY, SETTINGS, Misspelling, misspellings

ORDINARY = (
    "HOSTNAME", "LOGNAME", "HOME", "PATH", "PWD", "OLDPWD", "LANG", "LC_ALL", "TERM", "USER",
    "SHELL", "HOSTTYPE", "TMPDIR", "TZ", "EDITOR", "PYTHONPATH", "PYTHONUNBUFFERED",
    "PYTHON_VERSION", "PYTHON_SHA256", "GPG_KEY", "HTTP_PROXY", "https_proxy", "NO_PROXY",
    "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "AWS_ROLE_ARN", "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_PORT", "KUBERNETES_PORT_443_TCP", "REDIS_SERVICE_HOST", "REDIS_SERVICE_PORT",
    "REDIS_SERVICE_PORT_REDIS", "REDIS_PORT_6379_TCP", "REDIS_PORT_6379_TCP_ADDR", "REDIS_NAME",
    "REDIS_PORT_6379_TCP_PORT", "REDIS_PORT_6379_TCP_PROTO", "METRICS_PORT_80_TCP", "METRIC_PORT",
    "REDIS_TLS_SERVICE_HOST", "REDIS_TLS_PORT", "REDIS_TLS_PORT_6379_TCP", "API_KEY_SERVICE_HOST",
    "OPENAI_API_KEY", "STRIPE_WEBHOOK_SECRET", "POSTGRES_PASSWORD", "REDISCLI_AUTH",
    "REDIS_VERSION", "REDIS_DOWNLOAD_URL", "WEB_CONCURRENCY", "SECRET_KEY", "DATABASE_URL",
    "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "NVIDIA_VISIBLE_DEVICES", "SSL_CERT_FILE", "CI",
    "GITHUB_TOKEN", "VIRTUAL_ENV", "COLUMNS", "MAKEFLAGS", "POD_NAME", "NODE_NAME",
    "INVOCATION_ID", "JOURNAL_STREAM", "SSH_AUTH_SOCK", "LOG_DIR", "HOSTS", "PORTS",
    "COMPOSE_PROJECT_NAME", "DOCKER_HOST", "TORCH_INDEX_URL", "REDIS_MAXMEMORY",
    "PLATE_DETECT_GUARD_PID",
)  # fmt: skip


def found(
    name: str, *, value: str = "x", is_file: bool, all_set: tuple[str, ...] = ()
) -> Misspelling | None:
    return next(misspellings({name: value}, all_set=all_set, is_file=is_file), None)


def test_the_list_of_names_is_fresh() -> None:
    text = (files("schemas.settings") / "names.txt").read_text()
    hint = "run: plate-detect settings --names > schemas/settings/names.txt"
    assert text == settings_table.names(), hint


@pytest.mark.parametrize("name", [*ORDINARY, *sorted(SETTINGS)])
def test_other_variables_are_not_reported(name: str) -> None:
    value = "tcp://10.43.0.5:6379" if name.endswith("_PORT") else "x"
    assert found(name, value=value, is_file=False) is None


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("API_KEY", "API_KEYS"), ("APIKEYS", "API_KEYS"), ("APIKEY", "API_KEYS"),
        ("api_key", "API_KEYS"), ("Api-Keys", "API_KEYS"), ("API_KYES", "API_KEYS"),
        ("X_API_KEY", "API_KEYS"), ("API_KEYS_FILE", "API_KEYS"), ("PLATE_API_KEYS", "API_KEYS"),
        ("PLATE_DETECT_API_KEY", "API_KEYS"), ("PLATEDETECT_API_KEYS", "API_KEYS"),
        ("PRODUCER_API_KEY", "API_KEYS"), ("WEBHOOK_SECRETS", "WEBHOOK_SECRET"),
        ("WEBHOOKSECRET", "WEBHOOK_SECRET"), ("WEBHOOK_KEY", "WEBHOOK_SECRET"),
        ("WEBHOOK_SIGNING_SECRET", "WEBHOOK_SECRET"), ("WEBHOOK_SECRT", "WEBHOOK_SECRET"),
        ("REDIS_PASS", "REDIS_PASSWORD"), ("REDIS_PWD", "REDIS_PASSWORD"),
        ("REDIS_PASSWORD_FILE", "REDIS_PASSWORD"), ("REDISPASSWORD", "REDIS_PASSWORD"),
        ("REDIS_SENTINEL_PASS", "REDIS_SENTINEL_PASSWORD"), ("REDIS_SSL", "REDIS_TLS"),
    ],
)  # fmt: skip
def test_a_misspelled_secret_stops_the_start(name: str, meant: str, is_file: bool) -> None:
    assert found(name, is_file=is_file) == Misspelling(name, meant, stops=True)
    for alternative in SECURITY[meant]:
        assert found(name, is_file=is_file, all_set=(alternative,)) == Misspelling(
            name, meant, stops=False
        )
    assert found(name, value="", is_file=is_file) is None


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LOGLEVEL", "LOG_LEVEL"), ("COVER_MODES", "COVER_MODE"), ("COVERMODE", "COVER_MODE"),
        ("TASK_STORAGE_URL", "TASKS_STORAGE_URL"), ("UPLOAD_TIMEOUT", "UPLOAD_TIMEOUT_SECONDS"),
        ("MAX_FILE_SIZE", "MAX_FILE_SIZE_BYTES"), ("BACKEND_UPLOAD_URI", "BACKEND_UPLOAD_URL"),
    ],
)  # fmt: skip
def test_another_misspelled_name_is_reported(name: str, meant: str, is_file: bool) -> None:
    assert found(name, is_file=is_file) == Misspelling(name, meant, stops=False)


@pytest.mark.parametrize("name", ["REDIS_DB", "DETECT_FOO", "PLATE_MODE", "HOSTS", "CALLBACK_URL"])
def test_in_the_file_our_prefixes_are_reported_too(name: str) -> None:
    misspelling = found(name, is_file=True)
    assert misspelling is not None
    assert not misspelling.stops


@pytest.mark.parametrize("name", ["API_TOKEN", "API_TOKENS", "API_SECRET"])
def test_in_the_file_a_token_is_a_key(name: str) -> None:
    assert found(name, is_file=True) == Misspelling(name, "API_KEYS", stops=True)


@pytest.mark.parametrize(
    "name",
    ["HTTP_API_KEYS", "APP_API_KEYS", "ALLOWED_API_KEYS", "VALID-APIKEYS", "service_api_keys"],
)
def test_in_the_file_a_prefix_does_not_hide_a_key(name: str) -> None:
    assert found(name, is_file=True) == Misspelling(name, "API_KEYS", stops=True)


@pytest.mark.parametrize("value", ["false", "0", "no"])
def test_a_misspelled_setting_that_turns_tls_off_is_harmless(value: str) -> None:
    misspelling = found("REDIS_SSL", value=value, is_file=False)
    assert misspelling is None or not misspelling.stops


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("model", MODELS.values())
def test_every_role_refuses_to_start(
    model: type[Settings], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text("LOG_LEVEL=info\nAPI_KEY=hunter2-hunter2-hunter2\n")
    with pytest.raises(SettingsError) as caught:
        model.load()
    assert str(caught.value) == (
        ".env line 2 sets API_KEY, which is not a setting; did you mean API_KEYS?"
    )
    (folder / ".env").unlink()
    monkeypatch.setenv("WEBHOOK_SECRETS", "whsec_hunter2")
    with pytest.raises(SettingsError) as caught:
        model.load()
    assert str(caught.value) == (
        "the environment sets WEBHOOK_SECRETS, which is not a setting; did you mean WEBHOOK_SECRET?"
    )


def test_the_real_name_may_be_set_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("API_KEY=x\n")
    monkeypatch.setenv("API_KEYS", "k" * 20)
    [sentence] = ProducerSettings.load().misspelled
    assert sentence == ".env line 1 sets API_KEY, which is not a setting; did you mean API_KEYS?"
