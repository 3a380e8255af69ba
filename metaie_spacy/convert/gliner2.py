"""Annotation rows from and to GLiNER2's training data."""

import re
from pathlib import Path
from typing import Any, Iterable, Iterator

from ..data.files import writing
from ..data.jsonl import json_line
from ..data.rows import labels_of
from .links import At, Pair, pairs_of, with_links
from .records import Options, Skipped, Tally, foreign_row
from .sources import as_object, check_keys, take_records

KNOWN = {"input": str, "output": dict, "text": str, "schema": dict}
TASKS = {
    "entities": dict,
    "relations": list,
    "classifications": list,
    "json_structures": list,
    "entity_descriptions": dict,
    "json_descriptions": dict,
}


def read_gliner2(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Rows of records `{"input", "output": {"entities": {label: [words]}, "relations"?}}`, or "text" and "schema",
    or "text" with the tasks beside it.

    Words stand wherever the text has them, as words of their own if it has them so. Where words are not in the text,
    their label is unsure throughout; labels without words are absent. A relation whose words stand in several places
    links none of them.
    """
    return take_records(path, options, tally, lambda value: _row(as_object(value), options, tally))


def _row(record: dict, options: Options, tally: Tally) -> dict:
    check_keys(record, KNOWN)
    text = record.get("input", record.get("text"))
    output = record.get("output", record.get("schema"))
    if output is None and isinstance(record.get("entities"), dict):
        output = {name: record[name] for name in TASKS if name in record}
    if not isinstance(text, str) or not isinstance(output, dict):
        raise Skipped("bad row", f'expected "input" and an object "output"; the record has {sorted(record)}.')
    for name, value in output.items():
        if name not in TASKS or not isinstance(value, TASKS[name]):
            raise Skipped("bad row", f'"output" has {name!r}: {str(value)[:80]}; it may have {sorted(TASKS)}.')
    for task in ("classifications", "json_structures"):
        tally.drop(task, len(output.get(task, [])))
    if "entities" not in output and "relations" not in output:
        raise Skipped("not annotated")
    spans, absent, unsure = [], [], []
    for label, mentions in output.get("entities", {}).items():
        if not text and mentions:
            raise Skipped("bad row", f"the text is empty, but {label!r} has words of it.")
        if not isinstance(mentions, list) or not all(isinstance(words, str) and words.strip() for words in mentions):
            raise Skipped("bad row", f'"entities" of {label!r} must be a list of words of the text, not {mentions!r}.')
        places = {words: places_of(words, text) for words in dict.fromkeys(mentions)}
        spans += [{"start": s, "end": e, "label": label} for found in places.values() for s, e in found]
        missing = sum(not found for found in places.values())
        tally.drop("not in text", missing)
        unsure += [{"start": 0, "end": len(text), "label": label}] if missing else []
        absent += [] if mentions else [label]
    pairs = [pair for relation in output.get("relations", []) for pair in _pair(relation, text, tally)]
    row = foreign_row(text, spans, source="gliner2", teacher=options.teacher or "unknown", id=record.get("id"))
    row |= ({"absent": absent} if absent else {}) | ({"unsure": unsure} if unsure else {})
    return with_links(row, pairs)


def places_of(words: str, text: str) -> list[At]:
    """Where a text has some words: whole words if it has them so anywhere, else any place."""
    found = [(match.start(), match.end()) for match in re.finditer(re.escape(words), text)]
    apart = [
        (start, end)
        for start, end in found
        if not (text[start].isalnum() and text[max(start - 1, 0) : start].isalnum())
        and not (text[end - 1].isalnum() and text[end : end + 1].isalnum())
    ]
    return apart or found


def _pair(relation: Any, text: str, tally: Tally) -> list[Pair]:
    """The one link of a relation, or none, which is counted."""
    if not isinstance(relation, dict) or not all(isinstance(fields, dict) for fields in relation.values()):
        raise Skipped("bad row", f'the relation {str(relation)[:200]} is no {{label: {{"head", "tail"}}}}.')
    pairs: list[Pair] = []
    for label, fields in relation.items():
        ends = [fields.get("head"), fields.get("tail")] if "head" in fields or "tail" in fields else [*fields.values()]
        places = [places_of(words, text) if isinstance(words, str) and words else [] for words in ends]
        if len(fields) == 2 and all(len(found) == 1 for found in places):
            pairs.append((places[0][0], label, places[1][0]))
        else:
            tally.drop("relation without one place", 1)
    return pairs


def write_gliner2(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    """JSON lines with the words of spans and links; absent labels have none.

    A row with unsure places is left out, since what has no label is negative there. A label is left out of a row, and
    its spans counted, where its words stand at other places of the text too, which would become spans.
    """
    with writing(output) as file:
        for row in rows:
            if row.get("unsure"):
                tally.leave_out(row, "unsure")
                continue
            text, entities = row["text"], {}
            for label in sorted(labels_of(row)):
                own = [(span["start"], span["end"]) for span in row["spans"] if span["label"] == label]
                words = list(dict.fromkeys(text[start:end] for start, end in own))
                if sorted(own) == sorted(at for word in words for at in places_of(word, text)):
                    entities[label] = words
                else:
                    tally.lose("elsewhere too", len(own))
            entities |= {label: [] for label in row.get("absent", [])}
            pairs = pairs_of(row)
            told = [
                {label: {"head": text[slice(*head)], "tail": text[slice(*tail)]}}
                for head, label, tail in pairs
                if all(places_of(text[slice(*at)], text) == [at] for at in (head, tail))
            ]
            tally.lose_links("elsewhere too", len(pairs) - len(told))
            made = {"entities": entities} | ({"relations": told} if told else {})
            file.write(json_line({"input": text, "output": made}))
