"""All image cases."""

from functools import cache

from tests.corpus.cases import ImageCase
from tests.corpus.damaged import damaged_exif, ends, foreign, inconsistent, polyglots
from tests.corpus.formats import frames, metadata, plain, png_kinds, profiles, transparent, turned
from tests.corpus.sizes import bombs, busy, sides, two_sizes
from tests.corpus.truncated import truncated_images


@cache
def image_cases() -> tuple[ImageCase, ...]:
    """Return all cases, each with a unique name."""
    made = (
        *plain(), *turned(), *damaged_exif(), *profiles(), *metadata(), *png_kinds(),
        *transparent(), *frames(), *foreign(), *polyglots(), *sides(), *bombs(), *busy(),
        *two_sizes(), *inconsistent(), *ends(), *truncated_images(),
    )  # fmt: skip
    assert len({case.name for case in made}) == len(made)
    return made
