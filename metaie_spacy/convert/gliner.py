"""Annotation rows from and to GLiNER's training data."""

import json
from pathlib import Path
from typing import Any, Iterable, Iterator

from ..data.files import writing
from ..data.jsonl import json_text
from .links import pairs_of
from .records import Options, Skipped, Tally, foreign_row
from .sources import as_object, check_keys, listed, take_records, whole
from .words import joined, spans_on, tokenizer, words_of

KNOWN = {"tokenized_text": list, "ner": list, "ner_negatives": list}


def read_gliner(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Rows of records `{"tokenized_text": [word], "ner": [[first, last, label]]}`, both words inclusive.

    The text is the words with a space between them; "ner_negatives" are absent labels.
    """

    def make(value: Any) -> dict:
        record = as_object(value)
        check_keys(record, KNOWN)
        text, places = joined(listed(record, "tokenized_text"))
        found = [_entity(entity, len(places)) for entity in listed(record, "ner")]
        row = foreign_row(
            text,
            spans_on(places, iter(found)),
            source="gliner",
            teacher=options.teacher or "unknown",
            id=record.get("id"),
        )
        labels = {label for _, _, label in found}
        negatives = listed(record, "ner_negatives") if "ner_negatives" in record else []
        tally.drop("relation", len(record["relations"]) if isinstance(record.get("relations"), list) else 0)
        return row | ({"absent": [label for label in negatives if label not in labels]} if negatives else {})

    return take_records(path, options, tally, make)


def _entity(value: Any, size: int) -> tuple[int, int, str]:
    if not isinstance(value, list) or len(value) != 3 or not isinstance(value[2], str):
        raise Skipped("bad row", f"the entity {json.dumps(value)[:200]} is no [first word, last word, label].")
    first, last = whole(value[0], "an entity's first word"), whole(value[1], "an entity's last word")
    if not 0 <= first <= last < size:
        raise Skipped("bad row", f"the entity {value} lies outside its text of {size} words, counted from 0.")
    return first, last, value[2]


def write_gliner(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    """A JSON list. A row with unsure places is left out: for GLiNER what has no label is negative."""
    tokenize = tokenizer(options.lang)
    with writing(output) as file:
        start = b"[\n"
        for row in rows:
            if row.get("unsure"):
                tally.leave_out(row, "unsure")
                continue
            tally.lose_links("link", len(pairs_of(row)))
            words, found = words_of(row, tokenize)
            record = {"tokenized_text": words, "ner": found} | (
                {"ner_negatives": row["absent"]} if row.get("absent") else {}
            )
            file.write(start + json_text(record).encode("utf8"))
            start = b",\n"
        file.write(b"\n]\n" if start != b"[\n" else b"[]\n")
