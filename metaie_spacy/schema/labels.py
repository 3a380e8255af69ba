"""Labels, their queries and thresholds; what they concede to each other."""

import math
import re
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from .codes import spelled_out

LABEL_KEYS = ("query", "threshold", "description", "pattern", "keep")
CHILDREN = "children"  # of a label among labels: those that are asked where it was found
MOST_LEVELS = 8  # of labels below each other
REGISTERED = "misc:"  # how `keep` names a function of spaCy's registry


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
    or "misc:NAME", a function of spaCy's registry `misc` that makes one from text to whether it stays. parent (str |
    None): the name of a label; this one is asked only of texts in which that one was found.
    """

    name: str
    query: str
    threshold: float | None = None
    description: str | None = None
    others: tuple[str, ...] = ()
    pattern: str | None = None
    keep: str | None = None
    parent: str | None = None

    @property
    def queries(self) -> tuple[str, ...]:
        """The wordings that the model is asked, each once, codes in full too; none where rules alone answer."""
        if self.pattern is not None and self.query == self.name and not self.others:
            return ()
        given = (self.query, *self.others)
        return tuple(dict.fromkeys((*given, *filter(None, map(spelled_out, given)))))


def parse_labels(labels: Iterable[str | Mapping[str, Any]] | Mapping[str, Any]) -> tuple[Label, ...]:
    """Read labels as users write them.

    labels: a list of names; or a mapping from name to query, to several queries, or to `{"query", "threshold",
        "description", "pattern", "keep", "children"}`; or a list of such mappings, each with its "name". "children" are
        labels in any of these forms, which are asked only of texts in which the label above them was found.
    RETURNS (tuple[Label, ...]): in the order given, children behind their parent, without repetitions.
    RAISES (ValueError): what was given is none of these, a name stands in two places, or labels stand below each other
        in more than 8 levels; the message names the place.
    """
    parsed: dict[str, Label] = {}
    _parse_level(labels, "labels", (), parsed)
    return tuple(parsed.values())


def _parse_level(labels: Any, place: str, parents: tuple[str, ...], parsed: dict[str, Label]) -> None:
    """Add the labels of one level, and those below them. parents (tuple): the names above them, the nearest last."""
    if isinstance(labels, (str, bytes)):
        names = [part.strip() for part in labels.split(",")] if isinstance(labels, str) else [labels]
        raise ValueError(f"{place} must be a list or a mapping, not the string {labels!r}. Write {names!r}.")
    if len(parents) >= MOST_LEVELS:
        raise ValueError(f"{place} is level {len(parents) + 1} of labels below each other; at most {MOST_LEVELS} are.")
    if isinstance(labels, Mapping):
        entries = [
            (f"{place}[{name!r}]", check_text(name, f"the label name {name!r}"), value)
            for name, value in labels.items()
        ]
    elif isinstance(labels, Iterable):
        entries = [(f"{place}[{i}]", *_list_entry(value, f"{place}[{i}]")) for i, value in enumerate(labels)]
    else:
        raise ValueError(f"{place} must be a list of strings or a mapping, not {type(labels).__name__}.")
    if parents and not entries:
        raise ValueError(f"{place} is empty. Give at least one label, or leave it out.")
    for where, name, value in entries:
        label = parse_label(where, name, value, (*LABEL_KEYS, CHILDREN))
        label = label._replace(parent=parents[-1] if parents else None)
        if parsed.setdefault(name, label) != label:
            is_moved = parsed[name].parent != label.parent
            raise ValueError(
                f"{where} names '{name}' a second time, "
                + ("below another label. A name has one place." if is_moved else "with another query or threshold.")
            )
        if isinstance(value, Mapping) and CHILDREN in value:
            _parse_level(value[CHILDREN], f"{where}[{CHILDREN!r}]", (*parents, name), parsed)


def _list_entry(value: Any, place: str) -> tuple[str, Any]:
    if not isinstance(value, Mapping):
        return (check_text(value, place),) * 2
    if "name" not in value:
        raise ValueError(f'{place} has no "name".')
    return check_text(value["name"], f"{place}['name']"), {key: entry for key, entry in value.items() if key != "name"}


def parse_label(place: str, name: str, value: Any, keys: Sequence[str] = LABEL_KEYS) -> Label:
    """One label by its name and what stands beside it. RAISES (ValueError): that is malformed, at this place.

    keys (Sequence[str]): what may stand there; labels below it are left to the caller.
    """
    if not isinstance(value, Mapping):
        first, *others = check_queries(value, place)
        return Label(name, first, others=tuple(others))
    unknown = set(value) - set(keys)
    if unknown:
        also = ", and in a schema 'attributes'" if "attributes" in unknown else ""
        raise ValueError(
            f"{place} has the unknown keys {sorted(map(str, unknown))}; known are {', '.join(keys)}{also}."
        )
    threshold, description = value.get("threshold"), value.get("description")
    if threshold is not None:
        threshold = check_threshold(threshold, f"{place}['threshold']")
    if description is not None and not isinstance(description, str):
        raise ValueError(f"{place}['description'] must be a string, not {type(description).__name__}.")
    first, *others = check_queries(value.get("query", name), f"{place}['query']")
    pattern, keep = (_check_pattern(value.get(key), f"{place}['{key}']") for key in ("pattern", "keep"))
    return Label(name, first, threshold, description, tuple(others), pattern, keep)


def check_queries(value: Any, place: str) -> list[str]:
    """One wording, or several. RAISES (ValueError): it is neither."""
    if not isinstance(value, (list, tuple)):
        return [check_text(value, place)]
    if not value:
        raise ValueError(f"{place} is an empty list. Give at least one wording, or leave it out.")
    return [check_text(query, f"{place}[{i}]") for i, query in enumerate(value)]


def _check_pattern(value: Any, place: str) -> str | None:
    if value is None:
        return None
    text = check_text(value, place)
    if not text.startswith(REGISTERED):
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{place} is no regular expression: {error} in {text!r}.") from None
    elif place.endswith("['pattern']"):
        raise ValueError(f"{place} must be a regular expression; only 'keep' takes a registered function.")
    return text


def check_text(value: Any, place: str) -> str:
    """RAISES (ValueError): it is no string, or an empty one."""
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
    """Labels in the form that JSON keeps: name -> query, or name -> mapping; a child without its parent is alone."""
    labels = list(labels)
    names = {label.name for label in labels}
    below: dict[str | None, list[Label]] = {}
    for label in labels:
        below.setdefault(label.parent if label.parent in names else None, []).append(label)

    def level(parent: str | None) -> dict[str, Any]:
        return {label.name: _plain(label, level(label.name)) for label in below.get(parent, ())}

    return level(None)


def _plain(label: Label, children: Mapping[str, Any]) -> Any:
    query = [label.query, *label.others] if label.others else label.query
    more = {key: getattr(label, key) for key in LABEL_KEYS[1:] if getattr(label, key) is not None}
    if children:
        more[CHILDREN] = dict(children)
    return {"query": query, **more} if more else query


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
