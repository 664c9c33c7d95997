"""Settings of a dispatcher that sends to a test's receiver."""

from consumer.settings import DispatcherSettings
from tests.integration.dispatcher.conftest import World
from tests.integration.dispatcher.receiver import Receiver


def both(world: World, receiver: Receiver, **values: object) -> DispatcherSettings:
    return world.settings(
        backend_upload_url=f"http://127.0.0.1:{receiver.port}/upload",
        backend_callback_url=f"http://127.0.0.1:{receiver.port}/callback",
        **values,
    )


def callback(world: World, receiver: Receiver, **values: object) -> DispatcherSettings:
    return world.settings(backend_callback_url=receiver.url, **values)
