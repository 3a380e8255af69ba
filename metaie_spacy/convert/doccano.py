"""Annotation rows from and to doccano."""

import json
from pathlib import Path
from typing import Any, Iterable, Iterator

from ..data.files import writing
from ..data.jsonl import json_line
from .links import At, Pair, linked_ids, pairs_of, with_links
from .opinions import Opinion
from .records import KEPT, OPINION, Options, Skipped, Tally, foreign_row, keep, kept_in, places_in, restore
from .sources import as_object, check_keys, listed, take_records, whole

KNOWN = {"text": str, "label": list, "labels": list, "entities": list, "relations": list}


def read_doccano(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Rows of an export: "label" or "labels" as [start, end, label], or "entities" and "relations"; in code points.

    A row of ours that has an id of doccano's was there, and is a human's now.
    """
    return take_records(path, options, tally, lambda value: _row(as_object(value), options))


def _row(record: dict, options: Options) -> dict:
    check_keys(record, {name: kind for name, kind in KNOWN.items() if name not in ("label", "labels")})
    text, (spans, pairs) = record.get("text"), _annotations(record)
    if not isinstance(text, str):
        raise Skipped("bad row", f'expected a string "text"; the record has {sorted(record)}.')
    kept, is_reviewed = kept_in(record.get(KEPT)), record.get("id") is not None
    if kept:
        row = restore(text, spans, kept, reviewed=is_reviewed, teacher=options.teacher)
        row = with_links(row, pairs, kept) if is_reviewed else row
    else:
        row = foreign_row(text, spans, source="doccano", teacher=options.teacher or "human", id=record.get("id"))
        row = with_links(row, pairs)
    if kept and not is_reviewed:
        return row
    return row | {OPINION: Opinion(str(record.get("user", "")), kept=kept.get("id"))}


def _annotations(record: dict) -> tuple[list[dict], list[Pair]]:
    name = next((name for name in ("label", "labels", "entities") if name in record), None)
    if name is None:
        raise Skipped("bad row", f'expected "label", "labels" or "entities"; the record has {sorted(record)}.')
    if name != "entities":
        if "relations" in record:
            raise Skipped("bad row", 'it has "relations" and no "entities" that they are between.')
        return [triple(item) for item in listed(record, name)], []
    spans = [_entity(item) for item in listed(record, name)]
    places_in(str(record.get("text")), spans)
    at: dict[Any, At] = {
        item["id"]: (span["start"], span["end"])
        for item, span in zip(record["entities"], spans)
        if isinstance(item.get("id"), (int, str))
    }
    relations = listed(record, "relations") if "relations" in record else []
    return spans, [_pair(as_object(item), at) for item in relations]


def triple(item: Any) -> dict:
    """A span of [start, end, label]. RAISES (Skipped): it is none."""
    if not isinstance(item, list) or len(item) != 3 or not isinstance(item[2], str):
        raise Skipped("bad row", f"the span {json.dumps(item)[:200]} is no [start, end, label].")
    return {"start": whole(item[0], "a span's start"), "end": whole(item[1], "a span's end"), "label": item[2]}


def _entity(item: Any) -> dict:
    item = as_object(item)
    if not isinstance(item.get("label"), str):
        raise Skipped("bad row", f'the entity {json.dumps(item)[:200]} has no "label".')
    start, end = (whole(item.get(name), f'an entity\'s "{name}"') for name in ("start_offset", "end_offset"))
    return {"start": start, "end": end, "label": item["label"]}


def _pair(item: dict, at: dict[Any, At]) -> Pair:
    ends = [item.get("from_id"), item.get("to_id")]
    if not all(isinstance(id, (int, str)) and id in at for id in ends) or not isinstance(item.get("type"), str):
        raise Skipped(
            "bad row", f'the relation {json.dumps(item)[:200]} has no "type", "from_id" and "to_id" of entities.'
        )
    return at[ends[0]], item["type"], at[ends[1]]


def write_doccano(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    """JSON lines to import: spans as "label", with links as "entities" and "relations"."""
    with writing(output) as file:
        for row in rows:
            made: dict[str, Any] = {"text": row["text"]}
            if pairs_of(row):
                ids = list(range(1, len(row["spans"]) + 1))
                made["entities"] = [
                    {"id": id, "label": span["label"], "start_offset": span["start"], "end_offset": span["end"]}
                    for id, span in zip(ids, row["spans"])
                ]
                made["relations"] = [
                    {"id": n, "from_id": head, "to_id": tail, "type": label}
                    for n, (head, label, tail) in enumerate(linked_ids(row, ids, tally), 1)
                ]
            else:
                made["label"] = [[span["start"], span["end"], span["label"]] for span in row["spans"]]
            file.write(json_line(made | {KEPT: keep(row)}))
