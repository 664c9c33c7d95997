"""Variables that are probably misspelled settings.

A misspelled name sets nothing, which is reported in the log. If a key or a secret was probably
meant, the process does not start: the service would be open, or its traffic not encrypted.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files

SETTINGS = frozenset((files("schemas.settings") / "names.txt").read_text().split())
"""Names of the settings of all roles, whose models schemas must not import.

Written by `plate-detect settings --names`.
"""

SECURITY = {
    "API_KEYS": ("API_KEYS",),
    "WEBHOOK_SECRET": ("WEBHOOK_SECRET",),
    "REDIS_PASSWORD": ("REDIS_PASSWORD", "REDIS_URL"),
    "REDIS_SENTINEL_PASSWORD": ("REDIS_SENTINEL_PASSWORD",),
    "REDIS_TLS": ("REDIS_TLS", "REDIS_URL"),
}
"""Settings that close the service or encrypt its traffic, each with those that can replace it."""

# Read by docker-compose.yml and by make, not by a process.
_KNOWN = SETTINGS | {"REDIS_MAXMEMORY", "TORCH_CUDA_INDEX_URL", "TORCH_INDEX_URL"}
_FOREIGN = ("AWS_", "AZURE_", "COMPOSE_", "DOCKER_", "GOOGLE_")
# Set by Kubernetes for each Service of the namespace, and by Docker for each link.
_INJECTED = re.compile(r"_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)")
_ADDRESS = re.compile(r"(tcp|udp|sctp)://")

# Names of other words with the same meaning, perhaps with more words after them.
_SYNONYMS: tuple[tuple[str, str], ...] = (
    (r"API_(.*_)?KEYS?", "API_KEYS"),
    (r"WEBHOOKS?_(.*_)?(SECRETS?|KEYS?|TOKENS?)", "WEBHOOK_SECRET"),
    (r"REDIS_SENTINELS?_(.*_)?(PASS.*|PWD|AUTH|SECRET)", "REDIS_SENTINEL_PASSWORD"),
    (r"REDIS_(.*_)?(PASS.*|PWD|AUTH|SECRET)", "REDIS_PASSWORD"),
    (r"REDIS_(.*_)?(TLS|SSL)", "REDIS_TLS"),
)
# In the environment, such names are mostly another service's.
_SYNONYMS_IN_FILE = (
    (r"API_(.*_)?(TOKENS?|SECRETS?|PASS.*|AUTH)", "API_KEYS"),
    (r".*_API_?KEYS", "API_KEYS"),
)
_OUR_PREFIX = re.compile(r"PLATES?_(DETECT_)?|PLATEDETECT_|PRODUCER_")
_OUR_FIRST_WORDS = {name.partition("_")[0] for name in SETTINGS if "_" in name}
_OFF = ("0", "f", "false", "n", "no", "off")


@dataclass(frozen=True, slots=True)
class Misspelling:
    """A variable that no process reads, and the setting that is probably meant, if any."""

    name: str
    meant: str | None
    stops: bool

    def sentence(self, where: str) -> str:
        """Return one line for the log; `where` says where the variable is set."""
        hint = f"; did you mean {self.meant}?" if self.meant else ""
        return f"{where} sets {self.name}, which is not a setting{hint}"


def misspellings(
    variables: Mapping[str, str], *, all_set: Iterable[str], is_file: bool
) -> Iterator[Misspelling]:
    """Find the names that are probably meant to be settings.

    Args:
        variables: values by name.
        all_set: names in capitals that have a value in the environment or in `.env`.
        is_file: whether the variables are from `.env`. It is mostly for this service, so more
            names are reported than from the environment.
    """
    present = frozenset(all_set)
    for name, value in variables.items():
        if not value or _is_of_others(name.upper(), value):
            continue
        bare = _OUR_PREFIX.sub("", re.sub("[-.]", "_", name.upper()), count=1)
        meant = _meant(bare, is_file=is_file)
        is_off = meant == "REDIS_TLS" and value.strip().lower() in _OFF
        if meant in SECURITY and not is_off:
            yield Misspelling(name, meant, stops=present.isdisjoint(SECURITY[meant]))
        elif meant or (is_file and _begins_as_ours(name.upper())):
            yield Misspelling(name, meant or _nearest(bare, SETTINGS, 0.6), stops=False)


def _is_of_others(name: str, value: str) -> bool:
    if name in _KNOWN or name.startswith(_FOREIGN):
        return True
    return bool(_INJECTED.search(name) or (name.endswith("_PORT") and _ADDRESS.match(value)))


def _meant(bare: str, *, is_file: bool) -> str | None:
    """Return the setting that a name means, resembles or is a part of."""
    for pattern, setting in _SYNONYMS + (_SYNONYMS_IN_FILE if is_file else ()):
        if re.fullmatch(f"{pattern}(_.*)?", bare):
            return setting
    # HOST and PORT resemble too many variables of an environment.
    settings = SETTINGS if is_file else SETTINGS - {"HOST", "PORT"}
    nearest = _nearest(bare, SECURITY, 0.85)  # one or two wrong letters
    nearest = nearest or _nearest(bare, settings, 0.85 if is_file else 0.9)
    return nearest or _completed(bare, at_start=is_file)


def _nearest(name: str, settings: Iterable[str], min_ratio: float) -> str | None:
    # Without separators and in one alphabet: API-KEYS, ApiKeys and full-width letters are alike.
    by_letters = {_letters(setting): setting for setting in settings}
    nearest: list[str] = get_close_matches(_letters(name), by_letters, n=1, cutoff=min_ratio)
    return by_letters[nearest[0]] if nearest else None


def _letters(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", unicodedata.normalize("NFKC", name).upper())


def _completed(part: str, *, at_start: bool) -> str | None:
    """Return the setting whose last (or first) words are missing, as in UPLOAD_TIMEOUT."""
    if "_" not in part:
        return None
    matching = (
        setting
        for setting in sorted(SETTINGS)
        if setting.startswith(f"{part}_") or (at_start and setting.endswith(f"_{part}"))
    )
    return next(matching, None)


def _begins_as_ours(name: str) -> bool:
    first, more, _ = name.partition("_")
    return bool(_OUR_PREFIX.match(name)) or (bool(more) and first in _OUR_FIRST_WORDS)
