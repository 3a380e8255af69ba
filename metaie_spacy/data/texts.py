"""Texts of any source: lines, JSONL, Parquet, stdin."""

import codecs
import math
import sys
from pathlib import Path
from typing import Any, BinaryIO, Iterator

from ..encodings import check_encoding, numbered_lines, utf8_lines
from .inert import for_terminal
from .jsonl import decoded, json_line, parse_json
from .rows import row_id

JSONL = (".jsonl", ".ndjson")


class TextReader:
    """The texts of one source, read lazily; bad lines are reported with their number and kept.

    source (str | None): a text, a file's path, or None or "-" for stdin. Lines are texts, or, in
        .jsonl files and where they open with '{"', objects with a "text"; a .parquet file has a
        column "text" (pyarrow reads it).
    errors (BinaryIO | None): takes bad lines as they came, those of another encoding in UTF-8.
    encoding (str | None): of a file of lines, or stdin, without a byte order mark; None: UTF-8.
    RAISES (ValueError): the file is missing or in another encoding; of stdin, reading it says so.
    """

    def __init__(self, source: str | None, *, errors: BinaryIO | None = None, encoding: str | None = None):
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
                self.total, self.lines = parquet_lines(path)
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
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise ValueError('expected an object with a string "text"')
        row_id(row.get("id"))
        return row


def parquet_lines(path: Path) -> tuple[int, Iterator[bytes]]:
    """Number of rows of a Parquet file, and its rows as JSON lines, a batch at a time.

    RAISES (ValueError): pyarrow is missing, or the file has no column "text".
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
    if "text" not in names:
        raise ValueError(f"'{path}' has no column \"text\", only {names}. Rename the column that holds the texts.")
    kind = file.schema_arrow.field("text").type
    if not any(
        is_kind(kind) for is_kind in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    ):
        raise ValueError(f"The column \"text\" of '{path}' holds {kind}, not texts. Convert it to strings.")
    columns = [name for name in ("id", "text", "meta", "source") if name in names]

    def lines() -> Iterator[bytes]:
        for batch in file.iter_batches(columns=columns):
            for row in batch.to_pylist():
                yield json_line({name: _plain(value) for name, value in row.items() if value is not None})

    return file.metadata.num_rows, lines()


def _plain(value: Any) -> Any:
    """A value of a Parquet file as JSON has it; what is not UTF-8 becomes half a pair, and is refused."""
    if isinstance(value, bytes):
        return value.decode("utf8", "surrogateescape")
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
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
    if path.suffix in (".txt", ".parquet", *JSONL) and " " not in source:
        raise ValueError(f"There is no file '{source}'.")
    return None
