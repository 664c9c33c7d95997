"""Storage keys of a task's files. Originals and results never share a prefix."""

import re


def task_prefix(task_id: str) -> str:
    """Return the prefix of all files of a task."""
    return f"{task_id}/"


def input_prefix(task_id: str) -> str:
    """Return the prefix of originals, which are never served and deleted after processing."""
    return f"{task_id}/input/"


def input_key(task_id: str, index: int) -> str:
    """Return the key of one original. It has no file name of the user: such may be hostile."""
    return f"{task_id}/input/{index}"


def quarantine_prefix(task_id: str) -> str:
    """Return the prefix of originals that are kept to replay their dead letters."""
    return f"{task_id}/quarantine/"


def quarantine_key(task_id: str, entry: str) -> str:
    """Return the key of the original of a dead-lettered stream entry."""
    return f"{task_id}/quarantine/{entry}"


def output_prefix(task_id: str) -> str:
    """Return the prefix of results."""
    return f"{task_id}/output/"


def output_key(task_id: str, output: str) -> str:
    """Return the key of one result."""
    return f"{task_id}/output/{output}"


def version_name(index: int, version: int, token: str) -> str:
    """Return the file name of a corrected result. No other result has it: theirs end in `.webp`."""
    return f"{index}.v{version}-{token}"


def index_of_version(name: str) -> int | None:
    """Return the index of the image that a corrected result belongs to; None for another file."""
    found = re.fullmatch(r"([0-9]{1,6})\.v[0-9]+-[0-9a-f]+", name)
    return None if found is None else int(found[1])
