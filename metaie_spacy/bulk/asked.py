"""What is asked of a batch, and of a row that brings labels of its own."""

import json
from pathlib import Path
from typing import Any, Mapping

from ..schema import (
    LINK_KEYS,
    SCHEMA_KEYS,
    SHORT_FORMS,
    check_threshold,
    parse_ask,
    plain_ask,
    read_labels,
    read_schema,
)
from ..schema.files import LABELLING
from .tables import is_null


def asked_of_all(value: Any, threshold: float | None = None) -> Any:
    """What is asked of every text, in the plain form that travels to other processes; None: what the pipeline asks.

    value: labels as `MetaIE.labels` takes them, "person, city", a schema as `read_schema` takes it, or the path of one
        (it ends with .json).
    threshold (float | None): the least score of a span, in place of the schema's.
    RAISES (ValueError): it is none of these, or the threshold is not from 0 to 1.
    """
    if threshold is not None:
        threshold = check_threshold(threshold)
    if value is None:
        return None
    if isinstance(value, Path) or (isinstance(value, str) and value.endswith(".json")) or _is_schema(value):
        value = {key: part for key, part in read_schema(value).items() if key != "set_ents"}  # of docs, not of rows
    elif isinstance(value, str):
        value = read_labels(value)
    ask = parse_ask(value)
    return plain_ask(ask if threshold is None else ask._replace(threshold=threshold))


def asked_of_row(value: Any, threshold: float | None = None) -> Any:
    """What a row's cell asks of its text: "person, city", JSON of labels or of a schema, or a list of labels.

    RETURNS: in plain form; None: the cell is empty (null, blank, a list of nothing), and asks nothing of its own.
    RAISES (ValueError): it is none of these.
    """
    if is_null(value):
        return None
    if hasattr(value, "tolist"):  # of numpy
        value = value.tolist()
    if isinstance(value, str):
        if not value.strip():
            return None
        value = _json_of(value) if value.lstrip().startswith(("[", "{")) else read_labels(value)
    if value in ([], (), {}):
        return None
    if isinstance(value, list) and value and all(isinstance(part, tuple) for part in value):
        value = dict(value)  # of Arrow's maps
    return asked_of_all(value, threshold)


def asks_nothing(ask: Any) -> bool:
    """Whether what is asked, in plain form, has no labels."""
    return not ask or (isinstance(ask, Mapping) and not ask.get("labels", True))


def asks_links_of(ask: Any) -> bool:
    """Whether answers have links or attributes beside their spans."""
    return isinstance(ask, Mapping) and any(ask.get(key) for key in LINK_KEYS) and "labels" in ask


def asks_children_of(ask: Any) -> bool:
    """Whether labels stand below others, so that not every text is asked all of them."""
    return any(label.parent is not None for label in parse_ask(ask).labels)


def _json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f'labels that are not JSON ({error}). Write "person, city" or ["person", "city"].') from None


def _is_schema(value: Any) -> bool:
    """Whether this is a schema, and not a mapping of labels one of which is called "labels" or "events"."""
    if not isinstance(value, Mapping) or not value or not set(value) <= set(SCHEMA_KEYS):
        return False
    if not any(key in value for key in ("labels", *LABELLING)):
        return False
    more = any(isinstance(value.get(key), (dict, list)) for key in (*LINK_KEYS, *SHORT_FORMS))
    return more or isinstance(value.get("labels"), (list, tuple, Mapping))
