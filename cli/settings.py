"""Settings of the command line itself."""

import os

from pydantic import Field

from schemas.settings.addresses import SERVICE_ADDRESS
from schemas.settings.base import Settings


class RunSettings(Settings):
    """What only `plate-detect run` reads."""

    embedded_redis_port: int = Field(
        0, ge=0, le=65535, description="Port of the embedded server of `make run`; 0: a free one"
    )

    @property
    def names_redis(self) -> bool:
        """Whether the operator named a server, in the environment or in `.env`."""
        named = self.model_fields_set & {"redis_host", "redis_url", "redis_sentinels"}
        # The usual port alone stands in many a `.env`; another one was chosen.
        usual = [type(self).model_fields["redis_port"].default]
        if injected := SERVICE_ADDRESS.fullmatch(os.environ.get("REDIS_PORT", "")):
            usual.append(int(injected["port"]))  # but not by Kubernetes
        return bool(named) or self.redis_port not in usual
