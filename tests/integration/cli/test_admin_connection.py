"""Admin commands find their server by a setting, or beside a running `plate-detect run`."""

import re
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.integration.cli.conftest import Bench
from tests.support.ports import free_port

pytestmark = pytest.mark.integration


async def test_no_server_is_one_line_without_the_password(bench: Bench, tmp_path: Path) -> None:
    port = free_port()
    done = await bench.cli("dead-letters", "list", REDIS_URL=f"redis://:hunter2@127.0.0.1:{port}/0")
    assert done.exit_code == 1
    assert done.stderr == f"plate-detect: Redis cannot be reached at 127.0.0.1:{port}\n"


async def test_embedded_server_is_found(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder of a `plate-detect run`, without any setting."""
    await bench.redis.xadd(bench.keys.dead_letters, {"reason": "found"})
    (tmp_path / "var" / "redis").mkdir(parents=True)
    port = Redis.from_url(bench.url).connection_pool.connection_kwargs["port"]
    (tmp_path / "var" / "redis" / "port").write_text(f"{port}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDIS_HOST", raising=False)
    done = await bench.cli("dead-letters", "list", "--json", REDIS_URL="")
    assert '"reason":"found"' in done.stdout


@pytest.mark.parametrize("content", [b"1234567", b"abc", b"0", b"-1", b"", b"\xff"])
async def test_a_damaged_port_file_is_one_line(
    bench: Bench, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "var" / "redis").mkdir(parents=True)
    (tmp_path / "var" / "redis" / "port").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDIS_HOST", raising=False)
    done = await bench.cli("dead-letters", "list", REDIS_URL="")
    assert done.exit_code == 1
    assert re.fullmatch("plate-detect: .*/var/redis/port names no port; .*\n", done.stderr)
