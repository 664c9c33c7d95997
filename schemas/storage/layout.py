"""Where a task's files lie in storage. Originals and results never share a prefix."""


def task_prefix(task_id: str) -> str:
    """All files of a task."""
    return f"{task_id}/"


def input_prefix(task_id: str) -> str:
    """Originals: never served, deleted as soon as their image is done."""
    return f"{task_id}/input/"


def input_key(task_id: str, index: int) -> str:
    """One original. The user's file name is no part of it: names may be long or hostile."""
    return f"{task_id}/input/{index}"


def quarantine_prefix(task_id: str) -> str:
    """Originals that are kept beyond their task's end, for a replay of their dead letters."""
    return f"{task_id}/quarantine/"


def quarantine_key(task_id: str, entry: str) -> str:
    """The original of one dead-lettered stream entry."""
    return f"{task_id}/quarantine/{entry}"


def output_prefix(task_id: str) -> str:
    """Results."""
    return f"{task_id}/output/"


def output_key(task_id: str, output: str) -> str:
    """One result."""
    return f"{task_id}/output/{output}"
