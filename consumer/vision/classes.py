"""Which of a model's classes are wanted."""

from collections.abc import Mapping, Sequence

from consumer.errors import ModelError


def chosen_classes(wanted: Sequence[str], names: Mapping[int, str]) -> list[int]:
    """Return the ids, ascending, of the classes that ``wanted`` gives by name or by id.

    A name counts before an id, and its case does not matter; none wanted means all of ``names``.
    Raises ModelError, with all classes there are, if there is no such class.
    """
    if not wanted:
        return sorted(names)
    return sorted({index for text in wanted for index in _matching(text, names)})


def _matching(text: str, names: Mapping[int, str]) -> list[int]:
    matching = [index for index, name in names.items() if name.casefold() == text.casefold()]
    if not matching and text.isdecimal() and int(text) in names:
        matching = [int(text)]
    if not matching:
        known = ", ".join(f"{index} {name}" for index, name in sorted(names.items()))
        raise ModelError(f"the model has no class {text!r}, but: {known}")
    return matching
