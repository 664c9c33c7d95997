"""Steps of tasks on a real Redis Cluster, while the slot of their keys is being moved."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import NoPermissionError

from schemas.contract.tasks import TaskStatus
from schemas.redis.client import check_kind, connect, connect_blocking
from schemas.redis.keys import DISPATCHER_GROUP, WORKERS_GROUP
from schemas.redis.results import FinishResult, SubmitResult
from schemas.redis.scripts import Scripts, ensure_group
from schemas.redis.task_store import Binding, TaskStore
from schemas.settings.base import Settings, SettingsError
from tests.integration.schemas.steps import KEYS, TTL_MS, messages, result, take
from tests.support.access import PASSWORD, USER, documented_rules
from tests.support.redis_cluster import ClusterNode, RedisCluster, running_cluster
from tests.support.redis_server import RedisServer, server_binaries

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(60)]

BINDING = Binding("record", "token", "digest")


@pytest.fixture(params=sorted(server_binaries()))
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisCluster]:
    with running_cluster(server_binaries()[request.param], tmp_path, 3) as cluster:
        cluster.share(3)
        yield cluster


def settings_of(cluster: RedisCluster) -> Settings:
    return Settings(_env_file=None, redis_cluster_nodes=cluster.addresses)


def ends(cluster: RedisCluster) -> tuple[ClusterNode, ClusterNode]:
    """The node that has the slot, and one that does not."""
    owner = cluster.owner
    return owner, next(node for node in cluster.nodes if node is not owner)


async def test_steps_wait_while_the_slot_is_moved_and_go_on_after_it(
    cluster: RedisCluster,
) -> None:
    source, target = ends(cluster)
    settings = settings_of(cluster)
    await check_kind(settings)
    async with connect(settings) as redis, connect_blocking(settings, 5) as reader:
        store = TaskStore(redis, KEYS, task_ttl_ms=TTL_MS)
        assert await store.submit("t1", messages("t1", 2), max_backlog=9) is SubmitResult.ACCEPTED
        await ensure_group(redis, KEYS.images, WORKERS_GROUP)
        streams = {KEYS.images: ">"}
        await reader.xreadgroup(WORKERS_GROUP, "one", streams, count=9)
        blocked = asyncio.create_task(reader.xreadgroup(WORKERS_GROUP, "one", streams, block=5000))
        await asyncio.sleep(0.2)
        cluster.begin_move(source, target)
        source.run("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", KEYS.images)
        with pytest.raises(LostConnectionError, match="moving our keys"):
            await blocked
        for _ in range(2):
            with pytest.raises(LostConnectionError, match="moving our keys"):
                await store.submit("t2", messages("t2", 1), max_backlog=9)
        cluster.end_move(source, target)
        assert await store.submit("t2", messages("t2", 1), max_backlog=9) is SubmitResult.ACCEPTED
        with pytest.raises(LostConnectionError, match="moving our keys"):
            await reader.xreadgroup(WORKERS_GROUP, "one", streams, block=5000)  # never repeats
        found = await reader.xreadgroup(WORKERS_GROUP, "one", streams, block=5000)
        assert len(found[0][1]) == 1
        pending = await redis.xpending(KEYS.images, WORKERS_GROUP)
        assert pending["pending"] == 3
    assert cluster.owner is target


async def test_a_deleted_task_leaves_its_tombstone_during_a_move(cluster: RedisCluster) -> None:
    async with connect(settings_of(cluster)) as redis:
        store = TaskStore(redis, KEYS, task_ttl_ms=TTL_MS)
        await store.submit("t1", messages("t1", 2), max_backlog=9)
        await redis.xadd(KEYS.events, {"a": 1})
        await redis.zadd(KEYS.reviews, {"other:0": 1})
        source, target = ends(cluster)
        cluster.begin_move(source, target)
        assert await store.delete("t1")
        cluster.end_move(source, target)
        state = await store.state("t1")
        assert state is not None
        assert state.status is TaskStatus.FAILED
        assert {failure.code for failure in state.errors} == {"deleted"}
        assert await redis.pttl(KEYS.task("t1")) > 0
        assert await store.open_tasks() == 0


async def test_a_task_ends_whole_while_its_idempotency_record_is_elsewhere(
    cluster: RedisCluster,
) -> None:
    source, target = ends(cluster)
    async with connect(settings_of(cluster)) as redis:
        store = TaskStore(redis, KEYS, task_ttl_ms=TTL_MS)
        await store.reserve(BINDING.record, BINDING.token, lease_ms=60_000)
        message = messages("t1", 1)[0]
        await store.submit("t1", [message], max_backlog=9, binding=BINDING)
        await ensure_group(redis, KEYS.images, WORKERS_GROUP)
        [(entry, _)] = await take(redis)
        await store.begin(entry, message)
        await redis.xadd(KEYS.events, {"a": 1})
        await redis.zadd(KEYS.reviews, {"other:0": 1})
        cluster.begin_move(source, target)
        record = KEYS.idempotency(BINDING.record)
        source.run("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", record)
        doubtful = result(message).model_copy(update={"needs_review": True})
        assert await store.finish(entry, message, doubtful, {}) is FinishResult.COMPLETED
        cluster.end_move(source, target)
        assert await store.open_tasks() == 0
        assert await redis.zscore(KEYS.reviews, "t1:0") is not None
        assert await redis.hget(record, "task_id") == b"t1"


async def test_an_event_whose_task_is_elsewhere_does_not_count_as_reported(
    cluster: RedisCluster,
) -> None:
    source, target = ends(cluster)
    async with connect(settings_of(cluster)) as redis:
        store = TaskStore(redis, KEYS, task_ttl_ms=TTL_MS)
        await store.submit("t1", messages("t1", 1), max_backlog=9)
        await store.delete("t1")
        await ensure_group(redis, KEYS.events, DISPATCHER_GROUP)
        await redis.xreadgroup(DISPATCHER_GROUP, "gone", {KEYS.events: ">"})
        await redis.xgroup_delconsumer(KEYS.events, DISPATCHER_GROUP, "gone")
        cluster.begin_move(source, target)
        task = KEYS.task("t1")
        source.run("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", task)
        scripts = Scripts(redis, KEYS)
        with pytest.raises(LostConnectionError, match="moving our keys"):
            await scripts.adopt_events(idle_ms=1000, start="-", page=10)
        cluster.end_move(source, target)
        _, _, adopted = await scripts.adopt_events(idle_ms=1000, start="-", page=10)
        assert adopted == 1


async def test_a_user_of_its_own_needs_one_more_right(cluster: RedisCluster) -> None:
    _, *rule = documented_rules()[USER]
    settings = Settings(
        _env_file=None, redis_cluster_nodes=cluster.addresses,
        redis_username=USER, redis_password=PASSWORD,
    )  # fmt: skip
    async with connect(settings) as redis:
        for node in cluster.nodes:
            node.run("ACL", "SETUSER", USER, *rule)
        with pytest.raises(NoPermissionError, match=r"cluster\|slots"):
            await redis.exists(KEYS.images)
        for node in cluster.nodes:
            node.run("ACL", "SETUSER", USER, "+cluster|slots")
        store = TaskStore(redis, KEYS, task_ttl_ms=TTL_MS)
        assert await store.submit("t1", messages("t1", 1), max_backlog=9) is SubmitResult.ACCEPTED


async def test_a_server_that_is_no_node_is_reported(own_redis: RedisServer) -> None:
    settings = Settings(_env_file=None, redis_cluster_nodes=f"127.0.0.1:{own_redis.port}")
    with pytest.raises(SettingsError, match="no node of a Redis Cluster: use REDIS_URL"):
        await check_kind(settings)
