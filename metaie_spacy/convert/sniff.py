"""Which format a file has, by what it holds."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any, Iterable

from .entities import as_record
from .hf import TAGS
from .label_studio import ANSWERS, is_json_min
from .records import KEPT, Options
from .sources import json_records, lines_of

SUFFIXES = {".conll": "conll", ".iob": "conll", ".bio": "conll", ".csv": "csv", ".ann": "brat"}
SAMPLE = 1000  # records that are looked at
INCEPTION = "Export it from INCEpTION or WebAnno as CoNLL 2002 instead, and read that with from_format 'conll'."
REFUSED = {
    ".xmi": f"'{{}}' is a UIMA CAS, which is not read. {INCEPTION}",
    ".parquet": "'{}' is Parquet. Save its rows as JSON lines, such as with `Dataset.to_json`.",
}


def guess_source(path: Path, options: Options, formats: Iterable[str]) -> str:
    """The format of a file, from what it holds; for columns, tables and DocBins from the suffix.

    formats (Iterable[str]): all that can be read, for the message.
    RAISES (ValueError): nothing tells, or the format is known and not read; the message says what the file holds.
    """
    if path.is_dir():
        if any(path.rglob("*.ann")):
            return "brat"
        raise ValueError(f"'{path}' is a folder without .ann files, which brat's have.")
    if path.suffix in REFUSED:
        raise ValueError(REFUSED[path.suffix].format(path))
    if path.suffix == ".spacy":
        return "spacy"
    first = next((line for _, line in lines_of(path, options) if line.strip()), b"")
    if first.startswith(b"#FORMAT=WebAnno"):
        raise ValueError(f"'{path}' is WebAnno TSV, which is not read. {INCEPTION}")
    if path.suffix == ".tsv":
        cells = {cell.strip() for cell in first.decode("utf8", "replace").split("\t")}
        return "csv" if options.text_field or {"text", "start", "end", "label"} <= cells else "conll"
    if path.suffix == ".txt" and path.with_suffix(".ann").is_file():
        return "brat"
    if path.suffix in SUFFIXES:
        return SUFFIXES[path.suffix]
    seen: Any = f"its suffix is '{path.suffix}'"
    if path.suffix in (".json", ".jsonl", ".ndjson"):
        records = [value for _, _, value in islice(json_records(path, options), SAMPLE)]
        told = Counter(found[0] for found in map(told_by, records) if found and found[1])
        weakly = Counter(found[0] for found in map(told_by, records) if found)
        if told or weakly:
            return (told or weakly).most_common(1)[0][0]
        seen = _seen(records)
    raise ValueError(
        f"The format of '{path}' cannot be told from what it holds: {seen}. "
        f"If it has one of these, pass from_format, one of {sorted(formats)}."
    )


def _seen(records: list) -> str:
    objects = [as_record(value) for value in records if isinstance(as_record(value), dict)]
    if not objects:
        return "it holds no JSON object"
    if any("paragraphs" in record for record in objects):
        return "it has the JSON of spaCy 2; `python -m spacy convert` makes a .spacy file of it, which can be read"
    keys = [key for record in objects[:10] for key in record]
    shown = json.dumps(objects[0], ensure_ascii=False)[:200]
    return f"its records have the keys {list(dict.fromkeys(keys))[:20]}; the first is {shown}"


def told_by(value: Any) -> tuple[str, bool] | None:
    """The format that a record shows by its keys and what stands under them, and whether it has annotations."""
    record = as_record(value)
    if not isinstance(record, dict):
        return None
    if isinstance(record.get("data"), dict) and any(isinstance(record.get(name), list) for name in ANSWERS):
        return "label-studio", True
    if isinstance(record.get("tokenized_text"), list) and isinstance(record.get("ner"), list):
        return "gliner", True
    for text, output in (("input", "output"), ("text", "schema")):
        if isinstance(record.get(text), str) and isinstance(record.get(output), dict):
            return "gliner2", True
    if isinstance(record.get("text"), str) and isinstance(record.get("entities"), dict):
        return "gliner2", True
    if _are(record.get("tokens"), str) and any(isinstance(record.get(name), list) for name in TAGS):
        return "hf", True
    if not isinstance(record.get("text"), str):
        return None
    return _told_by_text(record, value is record)


def _told_by_text(record: dict, is_object: bool) -> tuple[str, bool] | None:
    spans = record["spans"] if isinstance(record.get("spans"), list) else []
    on_tokens = any("token_start" in span for span in spans if isinstance(span, dict))
    if on_tokens or record.keys() & {"answer", "_input_hash", "_task_hash"}:
        return "prodigy", True
    if _are(record.get("tokens"), dict) or (KEPT in record and isinstance(record.get("spans"), list)):
        return "prodigy", True
    if "spans" in record:
        return "rows", isinstance(record["spans"], list)
    entities = record.get("entities")
    if _are(entities, dict) and all("start_offset" in entity for entity in entities):
        return "doccano", bool(entities)
    if isinstance(entities, list) and (not entities or _are_triples(entities) or _are_spans(entities)):
        is_doccano = not entities and is_object and record.keys() & {"relations", "Comments"}
        return "doccano" if is_doccano else "entities", bool(entities)
    for labels in (record.get(name) for name in ("label", "labels")):
        if isinstance(labels, list) and (not labels or _are_triples(labels)):
            return "doccano", bool(labels)
    return ("label-studio", True) if is_json_min(record) else None


def _are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(value, kind) for value in values)


def _are_triples(values: list) -> bool:
    return all(
        isinstance(item, list) and len(item) == 3 and type(item[0]) is type(item[1]) is int and type(item[2]) is str
        for item in values
    )


def _are_spans(values: list) -> bool:
    return all(isinstance(item, dict) and item.keys() >= {"start", "end", "label"} for item in values)
