"""S3 through the proxy of the environment, which clusters set for traffic to the outside."""

import os
from pathlib import Path

import pytest

from schemas.storage.storage import Storage, StorageError
from tests.integration.dispatcher.forward_proxy import proxying
from tests.integration.schemas.test_buckets import bucket

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2-secret")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_the_proxy_gets_the_request(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bucket() as (url, keys), proxying() as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await Storage.open("s3://bucket").put("t1/output/a.webp", b"x")
    assert [head.splitlines()[0] for head in proxy.heads] == [
        f"PUT {url}/bucket/t1/output/a.webp HTTP/1.1"
    ]
    assert keys == ["AKID"]


@pytest.mark.parametrize("exempt", ["127.0.0.1", "127.0.0.0/8", ".svc, 127.0.0.1"])
async def test_what_is_exempt_is_reached_directly(
    exempt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bucket() as (url, keys), proxying() as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", exempt)
        await Storage.open("s3://bucket").put("t1/output/a.webp", b"x")
    assert proxy.heads == []
    assert keys == ["AKID"]


async def test_https_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is resolved by the proxy."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.invalid")
    async with proxying("no one") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{proxy.port}")
        with pytest.raises(StorageError, match="put") as raised:
            await Storage.open("s3://bucket").put("t1/output/a.webp", b"x")
    assert {head.splitlines()[0] for head in proxy.heads} == {"CONNECT s3.invalid:443 HTTP/1.1"}
    assert "hunter2" not in str(raised.value)


async def test_without_keys_the_role_of_a_service_account_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is exchanged for keys at the service of the cloud, here beyond the proxy."""
    token = tmp_path / "token"
    token.write_text("a JSON web token")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/plates")
    async with proxying("no one") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(StorageError, match="put"):
            await Storage.open("s3://bucket").put("t1/output/a.webp", b"x")
    asked = {head.split()[1] for head in proxy.heads}
    assert asked == {"sts.eu-central-1.amazonaws.com:443"}
