"""Texts of any source: lines, JSONL, Parquet, stdin."""

import codecs
import csv
import math
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, Iterator

from ..encodings import check_encoding, numbered_lines, utf8_lines
from .inert import for_terminal
from .jsonl import decoded, json_line, parse_json
from .rows import row_id

JSONL = (".jsonl", ".ndjson")
TABLES = {".csv": ",", ".tsv": "\t"}
LONGEST_CELL = 2**24  # characters of a CSV field; a quote that does not end would take in the rest of the file
OTHERS = (".txt", ".parquet", ".json", ".xml", ".html", ".pdf", ".docx", ".gz", ".zst", ".zip", ".spacy")
OF_FILES = (*OTHERS, *JSONL, *TABLES)  # endings that no text has


class TextReader:
    """The texts of one source, read lazily; bad lines are reported with their number and kept.

    source (str | None): a text, a file's path, or None or "-" for stdin. Lines are texts, or, in
        .jsonl files and where they open with '{"', objects with a "text"; a .parquet file has a
        column "text" (pyarrow reads it), and so has a .csv or .tsv file, in whose first line the columns are named.
    errors (BinaryIO | None): takes bad lines as they came, those of another encoding in UTF-8.
    encoding (str | None): of a file of lines, or stdin, without a byte order mark; None: UTF-8.
    text_field (str): the field or column that holds the text.
    RAISES (ValueError): the file is missing or in another encoding; of stdin, reading it says so.
    """

    def __init__(
        self,
        source: str | None,
        *,
        errors: BinaryIO | None = None,
        encoding: str | None = None,
        text_field: str = "text",
    ):
        self.text_field = text_field
        if encoding is not None:
            check_encoding(encoding)
        self.errors, self.bad, self.total, self.is_jsonl = errors, 0, None, False
        self.name = "stdin"
        if source is None or source == "-":
            self.lines = utf8_lines(sys.stdin.buffer, self.name, encoding)
        else:
            path = _as_file(source)
            if path is None:
                self.name, self.total, self.lines = "text", 1, [_flat(source).encode("utf8")]
            elif path.suffix == ".parquet":
                self.name, self.is_jsonl = str(path), True
                self.total, self.lines = parquet_lines(path, text_field)
            elif path.suffix in TABLES:
                self.name, self.is_jsonl = str(path), True
                self.lines = table_lines(path, text_field, encoding)
            else:
                self.name, self.is_jsonl = str(path), path.suffix in JSONL
                self.total = sum(1 for _, line in numbered_lines(path, encoding) if line.strip())
                self.lines = (line for _, line in numbered_lines(path, encoding))

    def __enter__(self) -> "TextReader":
        return self

    def __exit__(self, *_) -> None:
        if hasattr(self.lines, "close"):
            self.lines.close()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for number, row in self.rows():
            yield row_id(row.get("id")) or str(number), row["text"]

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line number and row, at least `{"text"}`, of every good line."""
        for number, line in enumerate(self.lines, 1):
            if not line.strip():
                continue
            try:
                yield number, self._parse(line)
            except ValueError as error:
                self.reject(f"line {number}: {error}", line)

    def reject(self, message: str, line: bytes) -> None:
        """Report a bad line, count it and keep it."""
        self.bad += 1
        sys.stderr.write(for_terminal(f"{self.name}, {message}\n"))
        if self.errors:
            self.errors.write(line.rstrip(b"\r\n") + b"\n")

    def _parse(self, line: bytes) -> dict[str, Any]:
        raw = line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
        if not self.is_jsonl and not raw.lstrip().startswith(b'{"'):
            return {"text": decoded(raw)}
        row = parse_json(raw)
        if not isinstance(row, dict) or not isinstance(row.get(self.text_field), str):
            raise ValueError(f'expected an object with a string "{self.text_field}"')
        row_id(row.get("id"))
        return {**row, "text": row[self.text_field]}


def table_lines(path: Path, text_field: str, encoding: str | None) -> Iterator[bytes]:
    """The rows of a CSV or TSV file as JSON lines; a record that is cut or has too few or too many fields is none.

    RAISES (ValueError): the file has no such column.
    """
    lines = (line for _, line in numbered_lines(path, encoding))
    head, records = table_records(lines, str(path), TABLES[path.suffix], text_field)
    for values in records:
        yield json_line(dict(zip(head, values)) if len(values) == len(head) else values)


def table_records(
    lines: Iterator[bytes], name: str, delimiter: str, text_field: str
) -> tuple[list[str], Iterator[list[str]]]:
    """The columns of a CSV or TSV file, and the values of each record that is not empty; bytes that are not UTF-8
    become halves of pairs.

    RAISES (ValueError): the file has no such column, or two of one name; of a later line, iterating says so.
    """
    reader = csv.reader((line.decode("utf8", "surrogateescape") for line in lines), delimiter=delimiter, strict=True)

    def record() -> list[str] | None:
        before = csv.field_size_limit(LONGEST_CELL)  # of the whole process, so that it is given back
        try:
            return next(reader, None)
        except csv.Error as error:
            raise ValueError(f"{name}, line {reader.line_num}: not CSV ({error}).") from None
        finally:
            csv.field_size_limit(before)

    found = filter(None, iter(record, None))
    head = next(found, [])
    check_columns(head, name, text_field, "; the first line must name the columns")
    return head, found


def check_columns(names: list[str], file: str, text_field: str, hint: str = "") -> None:
    """RAISES (ValueError): a table has no column of texts, or two of one name, of which one would be lost."""
    if text_field not in names:
        raise ValueError(
            f"'{file}' has no column \"{text_field}\", only {names[:20]}. "
            f"Say which holds the texts, by --text-field{hint}."
        )
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise ValueError(
            f"'{file}' has {names.count(twice)} columns \"{twice}\", of which one would be lost. Give each a name of "
            "its own."
        )


def parquet_lines(path: Path, text_field: str = "text") -> tuple[int, Iterator[bytes]]:
    """Number of rows of a Parquet file, and its rows as JSON lines, a batch at a time.

    RAISES (ValueError): pyarrow is missing, or the file has no such column, or two of one name.
    """
    try:
        import pyarrow.parquet as parquet
        from pyarrow import types
    except ImportError:
        raise ValueError(f"Reading '{path}' needs pyarrow: pip install 'metaie-spacy[parquet]'.") from None
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"'{path}' is no Parquet file: {error}") from None
    names = file.schema_arrow.names
    check_columns(names, str(path), text_field)
    kind = file.schema_arrow.field(text_field).type
    if not any(
        is_kind(kind) for is_kind in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    ):
        raise ValueError(f"The column \"{text_field}\" of '{path}' holds {kind}, not texts. Convert it to strings.")
    columns = [name for name in dict.fromkeys(("id", text_field, "meta", "source")) if name in names]

    def lines() -> Iterator[bytes]:
        for batch in file.iter_batches(columns=columns):
            for row in batch.to_pylist():
                yield json_line({name: plain_value(value) for name, value in row.items() if value is not None})

    return file.metadata.num_rows, lines()


def plain_value(value: Any) -> Any:
    """A value of a Parquet file as JSON has it; what is not UTF-8 becomes half a pair, and is refused."""
    if isinstance(value, bytes):
        return value.decode("utf8", "surrogateescape")
    if isinstance(value, dict):
        return {str(key): plain_value(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int, type(None))) else str(value)


def _flat(text: str) -> str:
    """A text argument on one line.

    RAISES (ValueError): it holds bytes that are not UTF-8.
    """
    try:
        text.encode("utf8")
    except UnicodeEncodeError:
        raise ValueError("The text is not UTF-8.") from None
    return " ".join(text.splitlines()) if "\n" in text or "\r" in text else text


def _as_file(source: str | None) -> Path | None:
    if source is None or "\n" in source or len(source) > 1000:
        return None
    path = Path(source)
    try:
        if path.is_file():
            return path
    except OSError:  # no name that a file can have
        return None
    is_path = not any(map(str.isspace, source)) and (path.suffix in OF_FILES or "/" in source or os.sep in source)
    if is_path or (path.suffix in OF_FILES and len(path.parts) > 1 and path.parent.is_dir()):
        what = f"'{source}' is a folder" if path.is_dir() else f"There is no file '{source}'"
        raise ValueError(f"{what}. If this is the text itself, pass it on stdin.")
    return None
