"""Connections to the primary of a Redis Cluster that has our slot: all keys share one hash tag.

So commands, scripts, pipelines and blocking reads need no other client than that of one server.
"""

import random
from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import TimeoutError as LateError

NODE_TIMEOUT_SECONDS = 2.0
"""For each node; after it, the next one is queried for the owner of the slot."""

Address = tuple[str, int]

_MOVES = (AskError, ClusterDownError, TryAgainError)  # MovedError is an AskError
_MOVES_TEXTS = (
    # A script needed a key that is not in its KEYS, and is already on the other node.
    "ttempted to access a non local key",
    # A blocked read, as its stream left the node; of Redis 7.0.
    "UNBLOCKED",
)


class NoClusterError(RedisError):
    """The server is no node of a Redis Cluster."""


class SlotOwner:
    """Knows the primary of a slot, and finds it again after a move or a failover.

    Args:
        seeds: some nodes of the cluster; the others are read from them.
        slot: the slot of all our keys.
        options: of connections to a node: user, password, TLS.
    """

    def __init__(self, seeds: Sequence[Address], slot: int, **options: Any) -> None:
        self._seeds = seeds
        self._slot = slot
        self._options = options
        self._nodes = list(seeds)
        self._owner: Address | None = None

    async def address(self) -> Address:
        """Return the owner's address.

        Raises:
            NoClusterError: the server is no node of a cluster.
            redis.exceptions.ConnectionError: no node responds, or none has the slot.
        """
        if self._owner is None:
            self._owner = await self._find()
        return self._owner

    def forget(self, address: Address) -> None:
        """Find the owner again: this server cannot be reached, or is not the owner any more."""
        if self._owner == address:
            self._owner = None

    async def _find(self) -> Address:
        reasons = []
        for node in list(self._nodes):
            try:
                slots = await self._slots(node)
            except (LostConnectionError, LateError, OSError) as error:
                reasons.append(type(error).__name__)
                continue
            named = {_address(one, node) for _, _, *servers in slots for one in servers}
            others = [*{*named, *self._seeds} - {node}]
            random.shuffle(others)
            # Last the one that responded: if what it says is out of date, another is queried next.
            self._nodes = [*others, node]
            for first, last, primary, *_ in slots:
                if first <= self._slot <= last:
                    return _address(primary, node)
            reasons.append(f"no node has slot {self._slot}")
        raise LostConnectionError(f"no primary in the Redis Cluster: {', '.join(reasons)}")

    async def _slots(self, node: Address) -> list[Any]:
        host, port = node
        client: Any = Redis(
            host=host, port=port, socket_timeout=NODE_TIMEOUT_SECONDS,
            socket_connect_timeout=NODE_TIMEOUT_SECONDS, retry=Retry(NoBackoff(), 0),
            **self._options,
        )  # fmt: skip
        async with client:
            try:
                found: list[Any] = await client.execute_command("CLUSTER", "SLOTS")
            except ResponseError as error:
                if "cluster support disabled" not in str(error):
                    raise
                raise NoClusterError(
                    "REDIS_CLUSTER_NODES names a server that is no node of a Redis Cluster:"
                    " use REDIS_URL or REDIS_HOST"
                ) from None
        return found


def _is_of_move(error: ResponseError) -> bool:
    if isinstance(error, _MOVES):
        return not isinstance(error, MasterDownError)  # redis-py derives it from ClusterDownError
    return any(text in str(error) for text in _MOVES_TEXTS)


def _address(server: Sequence[Any], queried: Address) -> Address:
    """Return the address of a server in CLUSTER SLOTS; without a name it is the node's own."""
    name = server[0].decode() if isinstance(server[0], bytes) else server[0]
    return (queried[0] if name in (None, "", "?") else name), int(server[1])


class ClusterConnection(Connection):
    """A connection to the owner of a slot; a redirection counts as a lost connection."""

    def __init__(self, *, owner: SlotOwner, **options: Any) -> None:
        self._slot_owner = owner
        super().__init__(**options)

    async def connect_check_health(self, *args: Any, **options: Any) -> None:
        """Connect to the present owner."""
        if self.is_connected:
            return
        self.host, self.port = await self._slot_owner.address()
        try:
            await super().connect_check_health(*args, **options)
        except (LostConnectionError, LateError):
            self._slot_owner.forget((self.host, self.port))
            raise

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a response.

        While a slot is being moved, a node has only some of its keys, and nearly all steps need
        several: they are repeated after the move, as after an outage.
        """
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            if not _is_of_move(error):
                raise
            if isinstance(error, (MovedError, ClusterDownError)):
                self._slot_owner.forget((self.host, self.port))
            await self.disconnect(nowait=True)
            word = type(error).__name__.removesuffix("Error").upper()
            raise LostConnectionError(
                f"the Redis Cluster is moving our keys, or has no primary for them: {word}"
            ) from error


class ClusterSSLConnection(ClusterConnection, SSLConnection):
    """The same over TLS."""


def cluster_pool(owner: SlotOwner, *, uses_tls: bool, **options: Any) -> BlockingConnectionPool:
    """Return a pool of connections to the owner of the slot."""
    kind = ClusterSSLConnection if uses_tls else ClusterConnection
    return BlockingConnectionPool(connection_class=kind, owner=owner, **options)
