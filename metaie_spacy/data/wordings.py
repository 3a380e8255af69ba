"""Other wordings of labels, so that a model does not learn labels by heart."""

from pathlib import Path
from typing import Iterable, Mapping

from ..schema import same_label
from .jsonl import read_jsonl


def read_wordings(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Label (see `same_label`) -> its other wordings, the definition among them.

    path (Path): JSONL, {"label", "wordings": [...], "definition"?}.
    RAISES (ValueError): there is no such file, or a line is malformed; the message says which.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no file of wordings '{path}'.")
    found: dict[str, tuple[str, ...]] = {}
    for line in read_jsonl(path):
        entry, place = line.value, f"{path}, line {line.number}"
        if line.error:
            raise ValueError(f"{place}: {line.error}")
        given = entry.get("wordings") if isinstance(entry, dict) else None
        more = entry.get("definition", "") if isinstance(entry, dict) else ""
        if not isinstance(given, list) or not all(isinstance(one, str) and one.strip() for one in given):
            raise ValueError(f'{place}: expected {{"label", "wordings": [text, ...], "definition"?}}.')
        if not isinstance(entry.get("label"), str) or not isinstance(more, str):
            raise ValueError(f'{place}: "label" and "definition" must be strings.')
        own = found.get(same_label(entry["label"]), ())
        found[same_label(entry["label"])] = tuple(dict.fromkeys([*own, *given, *([more] if more.strip() else [])]))
    return found


def synonyms(wordings: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Label or wording -> number of its group: what may mean the same, directly or by way of others."""
    group: dict[str, str] = {}

    def root(name: str) -> str:
        while group.setdefault(name, name) != name:
            group[name] = group[group[name]]
            name = group[name]
        return name

    for label, others in wordings.items():
        for other in others:
            group[root(same_label(other))] = root(same_label(label))
    numbers: dict[str, int] = {}
    return {name: numbers.setdefault(root(name), len(numbers)) for name in list(group)}
