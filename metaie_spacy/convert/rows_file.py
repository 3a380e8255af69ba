"""Annotation rows from and to JSONL, bad rows left out."""

from pathlib import Path
from typing import Callable, Iterable, Iterator

from ..data.documents import text_id
from ..data.jsonl import numbered_lines, write_jsonl
from .records import Options, Tally, load_object


def read_lines(path: Path, tally: Tally, make: Callable[[dict], dict]) -> Iterator[dict]:
    """Rows that `make` makes of the objects of a JSONL file."""

    def parse(line: bytes) -> dict:
        return make(load_object(line))

    for number, line in numbered_lines(path):
        if line.strip():
            yield from tally.take(f"line {number}", line, parse, line)


def read_rows_file(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Annotation rows; a bad one is skipped, unlike in `rows.read_rows`."""

    def make(row: dict) -> dict:
        id = row["id"] if row.get("id") is not None else text_id(row.get("text"))
        return row | {"id": str(id)} | ({"teacher": options.teacher} if options.teacher else {})

    return read_lines(path, tally, make)


def write_rows_file(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    write_jsonl(output, rows)
