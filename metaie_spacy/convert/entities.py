"""Annotation rows from lists of texts with entities, as spaCy trained on before version 3."""

import json
from pathlib import Path
from typing import Any, Iterator

from .doccano import triple
from .records import Options, Skipped, Tally, foreign_row
from .sources import as_object, check_keys, listed, take_records, whole

KNOWN = {"text": str, "entities": list}


def read_entities(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Rows of records `{"text", "entities": [[start, end, label]]}` or `[text, {"entities"}]`.

    An entity may also be an object with "start", "end" and "label".
    """
    return take_records(path, options, tally, lambda value: _row(value, options))


def as_record(value: Any) -> Any:
    """`[text, {"entities"}]` as an object."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict):
        return {**value[1], "text": value[0]}
    return value


def _row(value: Any, options: Options) -> dict:
    record = as_object(as_record(value))
    check_keys(record, KNOWN)
    spans = [_span(item) for item in listed(record, "entities")]
    teacher = options.teacher or "unknown"
    return foreign_row(record.get("text"), spans, source="entities", teacher=teacher, id=record.get("id"))


def _span(item: Any) -> dict:
    if not isinstance(item, dict):
        return triple(item)
    if not isinstance(item.get("label"), str):
        raise Skipped("bad row", f'the entity {json.dumps(item)[:200]} has no "label".')
    start, end = (whole(item.get(name), f'an entity\'s "{name}"') for name in ("start", "end"))
    return {"start": start, "end": end, "label": item["label"]}
