"""What is asked: labels, their queries and thresholds; schemas; parsing and validation."""

import json
import math
from pathlib import Path
from typing import Any, Iterable, Mapping, NamedTuple

from .encodings import read_text

LABEL_KEYS = ("query", "threshold", "description")
SCHEMA_KEYS = ("labels", "threshold", "flat", "set_ents")


# What a label concedes of its log frequency, where so many are asked at most; chosen on the corpus's dev split, see
# docs/benchmark.md.
GIVES_WAY, AMONG = 0.5, 40


def same_label(label: str) -> str:
    """The form under which two wordings count as one label."""
    return " ".join(label.lower().split())


def generality(
    queries: Iterable[str], counts: Mapping[str, int], asked: int = 1, weight: float = GIVES_WAY
) -> list[float]:
    """By how much each label gives way where spans of several labels overlap and only one may stay, in log-odds.

    "person" and "politician" may both be right of one span, and the rarer label says more. Among
    hundreds of labels, though, some rare one is found by chance almost everywhere.

    counts (Mapping): how often the training corpus had each frequent label, by `same_label`; others
        give way to none. asked (int): how many labels the text is asked in all. weight (float): of
        the logarithm of the count, if at most 40 are asked; it falls as 40 / asked.
    """
    weight *= min(1.0, AMONG / max(1, asked))
    return [weight * math.log1p(counts.get(same_label(query), 0) / 10) for query in queries]


class Label(NamedTuple):
    """One label: the name spans get, the wording the model is asked, its threshold if it has its own.

    description (str | None): a note for people; the model does not read it.
    """

    name: str
    query: str
    threshold: float | None = None
    description: str | None = None


def parse_labels(labels: Iterable[str | Mapping[str, Any]] | Mapping[str, Any]) -> tuple[Label, ...]:
    """Read labels as users write them.

    labels: a list of names; or a mapping from name to query, or to `{"query", "threshold",
        "description"}`; or a list of such mappings, each with its "name".
    RETURNS (tuple[Label, ...]): in the order given, without repetitions.
    RAISES (ValueError): what was given is none of these; the message names the place.
    """
    if isinstance(labels, (str, bytes)):
        raise ValueError(f"labels must be a list or a mapping, not the string {labels!r}. Write [{labels!r}].")
    if isinstance(labels, Mapping):
        entries = [
            (f"labels[{name!r}]", _check_text(name, f"the label name {name!r}"), value)
            for name, value in labels.items()
        ]
    elif isinstance(labels, Iterable):
        entries = [(f"labels[{i}]", *_list_entry(value, f"labels[{i}]")) for i, value in enumerate(labels)]
    else:
        raise ValueError(f"labels must be a list of strings or a mapping, not {type(labels).__name__}.")
    parsed: dict[str, Label] = {}
    for place, name, value in entries:
        label = _parse_entry(place, name, value)
        if parsed.setdefault(name, label) != label:
            raise ValueError(f"{place} names '{name}' a second time, with another query or threshold.")
    return tuple(parsed.values())


def _list_entry(value: Any, place: str) -> tuple[str, Any]:
    if not isinstance(value, Mapping):
        return (_check_text(value, place),) * 2
    if "name" not in value:
        raise ValueError(f'{place} has no "name".')
    return _check_text(value["name"], f"{place}['name']"), {key: entry for key, entry in value.items() if key != "name"}


def _parse_entry(place: str, name: str, value: Any) -> Label:
    if not isinstance(value, Mapping):
        return Label(name, _check_text(value, place))
    unknown = set(value) - set(LABEL_KEYS)
    if unknown:
        raise ValueError(
            f"{place} has the unknown keys {sorted(map(str, unknown))}; known are {', '.join(LABEL_KEYS)}."
        )
    threshold, description = value.get("threshold"), value.get("description")
    if threshold is not None:
        threshold = check_threshold(threshold, f"{place}['threshold']")
    if description is not None and not isinstance(description, str):
        raise ValueError(f"{place}['description'] must be a string, not {type(description).__name__}.")
    return Label(name, _check_text(value.get("query", name), f"{place}['query']"), threshold, description)


def _check_text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{place} must be a string, not {type(value).__name__} ({value!r}).")
    if not value.strip():
        raise ValueError(f"{place} is empty. A label is the wording of what you look for, such as 'date of birth'.")
    try:
        value.encode("utf8")
    except UnicodeEncodeError:
        raise ValueError(f"{place} holds half of a surrogate pair, which is no character: {value!r}.") from None
    return value


def check_threshold(value: Any, place: str = "threshold") -> float:
    """0 tags every token, 1 none. RAISES (ValueError): the value is no number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{place} must be a number between 0 and 1, not {value!r}.")
    return float(value)


def check_switch(value: Any, place: str) -> bool:
    """RAISES (ValueError): the value is neither true nor false."""
    if not isinstance(value, bool):
        raise ValueError(f"{place} must be true or false, not {value!r}.")
    return value


def move_threshold(threshold: float, temperature: float, bias: float) -> float:
    """The threshold that decides on logits `x / temperature + bias` as `threshold` does on x."""
    if threshold in (0, 1):
        return float(threshold)
    x = (math.log(threshold) - math.log1p(-threshold)) / temperature + bias
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def read_labels(text: str) -> list[str]:
    """Labels of a command line: separated by commas.

    RAISES (ValueError): there are none, or one is empty.
    """
    labels = [label.strip() for label in text.split(",")]
    if not all(labels):
        raise ValueError(f'Empty label in {text!r}. Separate labels by single commas: "person, date of birth".')
    return labels


def plain(labels: Iterable[Label]) -> dict[str, Any]:
    """Labels in the form that JSON keeps: name -> query, or name -> mapping."""
    return {
        label.name: {key: value for key, value in label._asdict().items() if key != "name" and value is not None}
        if label.threshold is not None or label.description is not None
        else label.query
        for label in labels
    }


def read_schema(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """A schema: what is asked, and how answers are kept.

    source: a JSON file, or its content, `{"labels", "threshold"?, "flat"?, "set_ents"?}`.
    RETURNS (dict): the settings that it holds, checked; "labels" as `plain` gives them.
    RAISES (ValueError): it is no such file or mapping; the message names the file and the place.
    """
    if isinstance(source, Mapping):
        return _check_schema(source)
    path = Path(source)
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise ValueError(f"There is no schema file '{path}'.") from None
    except OSError as error:
        raise ValueError(f"{path}: {error}") from None
    try:
        return _check_schema(json.loads(text, object_pairs_hook=_no_repeats))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}).") from None
    except RecursionError:
        raise ValueError(f"{path}: not JSON (it is nested too deep).") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_schema(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, Mapping) or "labels" not in schema:
        raise ValueError('a schema is an object with "labels", such as {"labels": {"ORG": "company"}}.')
    unknown = set(schema) - set(SCHEMA_KEYS)
    if unknown:
        raise ValueError(
            f"the schema has the unknown keys {sorted(map(str, unknown))}; known are {', '.join(SCHEMA_KEYS)}."
        )
    checked: dict[str, Any] = {"labels": plain(parse_labels(schema["labels"]))}
    if "threshold" in schema:
        value = schema["threshold"]
        checked["threshold"] = None if value is None else check_threshold(value)
    for key in ("flat", "set_ents"):
        if key in schema:
            checked[key] = check_switch(schema[key], key)
    return checked


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice in one object.")
    return found


def check_config_labels(labels: Any) -> None:
    """RAISES (ValueError): these labels would not survive in a config file, where dots and the like are syntax."""
    from thinc.api import Config

    try:
        same = Config().from_str(Config({"section": {"labels": labels}}).to_str())["section"]["labels"] == labels
    except ValueError:  # confection's errors are
        same = False
    if not same:
        raise ValueError(
            f"A config file cannot hold these labels as they are: {labels!r}. "
            "Write names with dots, colons or the like "
            'in the form [{"name": "U.S. state", "query": "state of the USA"}], '
            'leave out "${", or set them at run time: '
            'nlp.get_pipe("metaie").labels = ...'
        )
