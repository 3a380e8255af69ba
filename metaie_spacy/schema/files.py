"""Schemas: what is asked, and how answers are kept, as JSON files and mappings."""

import json
from pathlib import Path
from typing import Any, Mapping

from ..encodings import read_text
from .labels import check_switch, check_threshold, plain
from .links import LINK_KEYS, asks_links, parse_schema, plain_links
from .short_forms import SHORT_FORMS

SCHEMA_KEYS = ("labels", "threshold", "flat", "set_ents", "link_threshold", *LINK_KEYS, *SHORT_FORMS)
LABELLING = ("events", "roles", "aspects")  # short forms that bring labels
KEEP = "keep"  # what `set_ents` may be beside true and false


def read_schema(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """A schema: what is asked, and how answers are kept.

    source: a JSON file, or its content, `{"labels", "threshold"?, "flat"?, "set_ents"?, "link_threshold"?}` and what
        `parse_links` takes.
    RETURNS (dict): the settings that it holds, checked; "labels" as `plain` gives them, "links", "attributes" and
        "records" as `plain_links` does: short forms are written out, and their labels stand among the others.
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
    if not isinstance(schema, Mapping) or not any(key in schema for key in ("labels", *LABELLING)):
        raise ValueError('a schema is an object with "labels", such as {"labels": {"ORG": "company"}}.')
    unknown = set(schema) - set(SCHEMA_KEYS)
    if unknown:
        raise ValueError(
            f"the schema has the unknown keys {sorted(map(str, unknown))}; known are {', '.join(SCHEMA_KEYS)}."
        )
    labels, links = parse_schema(schema)
    checked: dict[str, Any] = {"labels": plain(labels)}
    for key in ("threshold", "link_threshold"):
        if key in schema:
            checked[key] = None if schema[key] is None else check_threshold(schema[key], key)
    if "flat" in schema:
        checked["flat"] = check_switch(schema["flat"], "flat")
    if "set_ents" in schema:
        checked["set_ents"] = check_set_ents(schema["set_ents"])
    return checked | ({"links": {}} if asks_links(schema) else {}) | plain_links(links)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice in one object.")
    return found


def check_set_ents(value: Any) -> bool | str:
    """RAISES (ValueError): the value is neither true nor false nor "keep"."""
    if value != KEEP and not isinstance(value, bool):
        raise ValueError(f'set_ents must be true, false or "{KEEP}", not {value!r}.')
    return value
