"""What is asked: labels, their queries and thresholds; schemas; parsing and validation."""

import json
import math
import re
from pathlib import Path
from typing import Any, Iterable, Mapping, NamedTuple

from .encodings import read_text

LABEL_KEYS = ("query", "threshold", "description", "pattern", "keep")
SCHEMA_KEYS = ("labels", "threshold", "flat", "set_ents")
ASK_KEYS = ("labels", "threshold", "flat")  # of a schema for one call or one text
REGISTERED = "misc:"  # how `keep` names a function of spaCy's registry
KEEP = "keep"  # what `set_ents` may be beside true and false


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

    description (str | None): a note for people; the model does not read it. others (tuple[str, ...]): further wordings.
    pattern (str | None): a regular expression whose matches are answers with score 1; without a query of its own, the
    label is not asked of the model then. keep (str | None): a regular expression that an answer must match as a whole,
    or "misc:NAME", a function of spaCy's registry `misc` that makes one from text to whether it stays.
    """

    name: str
    query: str
    threshold: float | None = None
    description: str | None = None
    others: tuple[str, ...] = ()
    pattern: str | None = None
    keep: str | None = None

    @property
    def queries(self) -> tuple[str, ...]:
        """The wordings that the model is asked, each once; none where rules alone answer."""
        if self.pattern is not None and self.query == self.name and not self.others:
            return ()
        return tuple(dict.fromkeys((self.query, *self.others)))


class Ask(NamedTuple):
    """What is asked of one text: labels, and how answers are kept; None: as the component says."""

    labels: tuple[Label, ...]
    threshold: float | None = None
    flat: bool | None = None


def parse_labels(labels: Iterable[str | Mapping[str, Any]] | Mapping[str, Any]) -> tuple[Label, ...]:
    """Read labels as users write them.

    labels: a list of names; or a mapping from name to query, to several queries, or to `{"query", "threshold",
        "description", "pattern", "keep"}`; or a list of such mappings, each with its "name".
    RETURNS (tuple[Label, ...]): in the order given, without repetitions.
    RAISES (ValueError): what was given is none of these; the message names the place.
    """
    if isinstance(labels, (str, bytes)):
        names = [part.strip() for part in labels.split(",")] if isinstance(labels, str) else [labels]
        raise ValueError(f"labels must be a list or a mapping, not the string {labels!r}. Write {names!r}.")
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
        first, *others = _check_queries(value, place)
        return Label(name, first, others=tuple(others))
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
    first, *others = _check_queries(value.get("query", name), f"{place}['query']")
    pattern, keep = (_check_pattern(value.get(key), f"{place}['{key}']") for key in ("pattern", "keep"))
    return Label(name, first, threshold, description, tuple(others), pattern, keep)


def _check_queries(value: Any, place: str) -> list[str]:
    """One wording, or several."""
    if not isinstance(value, (list, tuple)):
        return [_check_text(value, place)]
    if not value:
        raise ValueError(f"{place} is an empty list. Give at least one wording, or leave it out.")
    return [_check_text(query, f"{place}[{i}]") for i, query in enumerate(value)]


def _check_pattern(value: Any, place: str) -> str | None:
    if value is None:
        return None
    text = _check_text(value, place)
    if not text.startswith(REGISTERED):
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{place} is no regular expression: {error} in {text!r}.") from None
    elif place.endswith("['pattern']"):
        raise ValueError(f"{place} must be a regular expression; only 'keep' takes a registered function.")
    return text


def parse_ask(value: Any) -> Ask:
    """What is asked of a text: labels as `parse_labels` takes them, or a mapping with "labels", "threshold", "flat".

    RAISES (ValueError): it is neither.
    """
    if not _is_ask(value):
        return Ask(parse_labels(value))
    threshold, flat = value.get("threshold"), value.get("flat")
    return Ask(
        parse_labels(value["labels"]),
        None if threshold is None else check_threshold(threshold),
        None if flat is None else check_switch(flat, "flat"),
    )


def plain_ask(ask: Ask) -> dict[str, Any]:
    """In the form that JSON keeps, and that `parse_ask` takes."""
    labels = plain(ask.labels)
    if ask.threshold is None and ask.flat is None and not _is_ask(labels):
        return labels
    return {"labels": labels, "threshold": ask.threshold, "flat": ask.flat}


def ask_names(value: Any) -> list[str] | None:
    """The names of the labels that a text brings; None: it brings none."""
    return None if value is None else [label.name for label in parse_ask(value).labels]


def _is_ask(value: Any) -> bool:
    """Whether this is a mapping of settings, and not one of labels of which one is called "labels"."""
    if not isinstance(value, Mapping) or "labels" not in value or not set(value) <= set(ASK_KEYS):
        return False
    own = value["labels"]
    return isinstance(own, (list, tuple)) or (isinstance(own, Mapping) and not (own and set(own) <= set(LABEL_KEYS)))


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


def check_set_ents(value: Any) -> bool | str:
    """RAISES (ValueError): the value is neither true nor false nor "keep"."""
    if value != KEEP and not isinstance(value, bool):
        raise ValueError(f'set_ents must be true, false or "{KEEP}", not {value!r}.')
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
    return {label.name: _plain(label) for label in labels}


def _plain(label: Label) -> Any:
    query = [label.query, *label.others] if label.others else label.query
    more = {key: getattr(label, key) for key in LABEL_KEYS[1:] if getattr(label, key) is not None}
    return {"query": query, **more} if more else query


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
    if "flat" in schema:
        checked["flat"] = check_switch(schema["flat"], "flat")
    if "set_ents" in schema:
        checked["set_ents"] = check_set_ents(schema["set_ents"])
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
