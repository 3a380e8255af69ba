"""What is asked: labels, their queries and thresholds; parsing and validation."""
from typing import Any, Iterable, Mapping, NamedTuple


class Label(NamedTuple):
    """One label: the name spans get, the wording the model is asked, its threshold if it has its own."""

    name: str
    query: str
    threshold: float | None = None


def parse_labels(labels: Iterable[str] | Mapping[str, Any]) -> tuple[Label, ...]:
    """Read labels as users write them.

    labels: a list of names, or a mapping from name to query, or to `{"query", "threshold"}`.
    RETURNS (tuple[Label, ...]): in the order given, without repetitions.
    RAISES (ValueError): what was given is none of these; the message names the place.
    """
    if isinstance(labels, (str, bytes)):
        raise ValueError(f"labels must be a list or a mapping, not the string {labels!r}. Write [{labels!r}].")
    if isinstance(labels, Mapping):
        parsed = [_parse_entry(name, value) for name, value in labels.items()]
    elif isinstance(labels, Iterable):
        parsed = [Label(_text(label, f"labels[{i}]"), label) for i, label in enumerate(labels)]
    else:
        raise ValueError(f"labels must be a list of strings or a mapping, not {type(labels).__name__}.")
    return tuple({label.name: label for label in parsed}.values())


def _parse_entry(name: Any, value: Any) -> Label:
    place = f"labels[{name!r}]"
    _text(name, f"the label name {name!r}")
    if not isinstance(value, Mapping):
        return Label(name, _text(value, place))
    unknown = set(value) - {"query", "threshold"}
    if unknown:
        raise ValueError(f"{place} has the unknown keys {sorted(unknown)}; known are 'query' and 'threshold'.")
    threshold = value.get("threshold")
    if threshold is not None:
        threshold = check_threshold(threshold, f"{place}['threshold']")
    return Label(name, _text(value.get("query", name), f"{place}['query']"), threshold)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{place} must be a string, not {type(value).__name__} ({value!r}).")
    if not value.strip():
        raise ValueError(f"{place} is empty. A label is the wording of what you look for, such as 'date of birth'.")
    return value


def check_threshold(value: Any, place: str = "threshold") -> float:
    """RAISES (ValueError): the value is no number strictly between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"{place} must be a number between 0 and 1 (both exclusive), not {value!r}.")
    return float(value)


def read_labels(text: str) -> list[str]:
    """Labels of a command line: separated by commas.

    RAISES (ValueError): there are none, or one is empty.
    """
    labels = [label.strip() for label in text.split(",")]
    if not all(labels):
        raise ValueError(f"Empty label in {text!r}. Separate labels by single commas: \"person, date of birth\".")
    return labels


def plain(labels: Iterable[Label]) -> dict[str, Any]:
    """Labels in the form that JSON and configs keep."""
    return {
        label.name: label.query
        if label.threshold is None
        else {"query": label.query, "threshold": label.threshold}
        for label in labels
    }


