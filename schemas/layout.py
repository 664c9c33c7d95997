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


def output_prefix(task_id: str) -> str:
    """Results."""
    return f"{task_id}/output/"


def output_key(task_id: str, output: str) -> str:
    """One result."""
    return f"{task_id}/output/{output}"
