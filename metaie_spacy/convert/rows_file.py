"""Annotation rows from and to JSONL, bad rows left out."""

from pathlib import Path
from typing import Any, Iterable, Iterator

from ..data.documents import text_id
from ..data.jsonl import write_jsonl
from .records import Options, Tally
from .sources import as_object, check_keys, take_records

KNOWN = {"text": str, "spans": list, "absent": list, "asked": list, "unsure": list, "links": list}


def read_rows_file(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Annotation rows; a bad one is skipped, unlike in `rows.read_rows`."""

    def make(value: Any) -> dict:
        row = as_object(value)
        check_keys(row, KNOWN)
        id = row["id"] if row.get("id") is not None else text_id(row.get("text"))
        return row | {"id": str(id)} | ({"teacher": options.teacher} if options.teacher else {})

    return take_records(path, options, tally, make)


def write_rows_file(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    write_jsonl(output, rows)
