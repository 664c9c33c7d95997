"""The environment as a source of settings, apart from what Kubernetes adds to it.

For each Service of a namespace, every container gets <SERVICE>_PORT=tcp://10.0.0.1:80, whether or
not anybody asked: of a Service named `metrics`, METRICS_PORT; of one named `redis`, REDIS_PORT.
"""

from collections.abc import Mapping

from pydantic_settings import EnvSettingsSource

from schemas.settings.addresses import SERVICE_ADDRESS


class ChosenEnvironment(EnvSettingsSource):
    """What somebody set: the variables without such addresses."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        variables = super()._load_env_vars()
        return {name: text for name, text in variables.items() if not _is_injected(name, text)}


class InjectedEnvironment(EnvSettingsSource):
    """REDIS_PORT, if it is such an address: it tells the port of a Redis that REDIS_HOST names."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        text = super()._load_env_vars().get("redis_port")
        return {"redis_port": text} if _is_injected("redis_port", text) else {}


def _is_injected(name: str, text: str | None) -> bool:
    return name.endswith("port") and bool(SERVICE_ADDRESS.fullmatch(text or ""))
