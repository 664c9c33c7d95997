"""Pictures that are odd, hostile, or both."""

from functools import cache

from tests.corpus.broken import damaged_exif, ends, foreign, inconsistent, polyglots
from tests.corpus.cases import Picture
from tests.corpus.cut import cut_pictures
from tests.corpus.kinds import frames, metadata, plain, png_kinds, profiles, transparent, turned
from tests.corpus.sizes import bombs, busy, sides, two_sizes


@cache
def pictures() -> tuple[Picture, ...]:
    """All of them, each under a name of its own."""
    made = (
        *plain(), *turned(), *damaged_exif(), *profiles(), *metadata(), *png_kinds(),
        *transparent(), *frames(), *foreign(), *polyglots(), *sides(), *bombs(), *busy(),
        *two_sizes(), *inconsistent(), *ends(), *cut_pictures(),
    )  # fmt: skip
    assert len({case.name for case in made}) == len(made)
    return made
