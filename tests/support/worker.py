"""A worker process with the stand-in detector: ``python -m tests.support.worker``.

All but the detector is as in ``python -m consumer worker``. Files that the environment variable
PLATE_DETECT_TEST_POISON names end the process that is to decode them.
"""

import sys
from typing import Any

from consumer import __main__ as consumer_process
from consumer.settings import WorkerSettings
from consumer.vision import finding
from consumer.vision.image.decoder import DecodedImage, decode
from consumer.vision.networks import Networks
from tests.support.stand_in import chosen_stand_in, die_of_poison


def decode_or_die(data: bytes, **options: Any) -> DecodedImage:
    """Decode an image file, or end the process if it is poison."""
    die_of_poison(data)
    return decode(data, **options)


async def worker(settings: WorkerSettings) -> None:
    """Run a worker with the stand-in that MODEL_PATH names."""
    detector = chosen_stand_in(settings.model_path)
    await consumer_process.worker(settings, None if detector is None else Networks(detector))


if __name__ == "__main__":
    finding.decode = decode_or_die  # type: ignore[attr-defined]
    sys.argv[1:] = ["worker"]
    consumer_process.run(worker)
