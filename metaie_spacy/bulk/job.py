"""What is made of a chunk: a shard, with every row of the chunk in its order."""

import io
import os
from typing import Any, Callable, Collection, Mapping, NamedTuple

from ..data.jsonl import BadLine, decoded, json_line, json_text, parse_json
from ..data.texts import plain_value
from .chunks import Chunk
from .extractor import Answer, Extractor
from .places import Folder
from .tables import Column, with_columns

STEP = 256  # rows between two reports
FORMATS = ("jsonl", "parquet")
DIED = "the process that read this text died each time"
Report = Callable[[str, int], None]


class Unread(NamedTuple):
    """A line that holds no row.

    id (str): file and line. raw (str): what it says, bytes that are not UTF-8 as escapes. why (str): it is none.
    """

    id: str
    raw: str
    why: str


class Job(NamedTuple):
    """What is asked of all chunks, and where their shards go; it travels to processes and machines.

    output (str): the folder. format (str): one of FORMATS.
    """

    extractor: Extractor
    output: str
    format: str

    def make(
        self, chunk: Chunk, report: Report, *, dead: Collection[int] = (), careful: bool = False
    ) -> dict[str, Any]:
        """Write the shard of a chunk.

        report (Callable): is told ("rows", n) when n more rows are done; if careful ("at", i) before each row i.
        dead (Collection[int]): rows that are not read: each killed the process before.
        RETURNS (dict): "shard" (its name), "rows", "errors", "spans": their numbers.
        RAISES (ValueError): the rows have a field where a new one would go, or none has a text. (OSError): no room.
        """
        rows = chunk.data if chunk.columns is None and not isinstance(chunk.data, list) else self._rows(chunk)
        texts, own = self._asked(rows, chunk)
        answers: list[Answer] = []
        step = 1 if careful else STEP
        for start in range(0, len(texts), step):
            if careful:
                report("at", start)
            if start in dead:
                answers.append(Answer(None, None, DIED))
            else:
                answers += self.extractor.answers(texts[start : start + step], own[start : start + step])
            report("rows", min(step, len(texts) - start))
        if isinstance(rows, list):
            answers = [
                Answer(None, None, row.why) if isinstance(row, Unread) else answer for row, answer in zip(rows, answers)
            ]
        content = self._shard(chunk, rows, answers)
        name = f"{chunk.name}.{self.format}"
        Folder(self.output).write(name, content)
        errors = sum(answer.error is not None for answer in answers)
        spans = sum(len(answer.spans or ()) for answer in answers)
        return {"shard": name, "rows": len(answers), "errors": errors, "spans": spans}

    def _rows(self, chunk: Chunk) -> list[dict[str, Any] | Unread]:
        """RAISES (ValueError): none of the first rows of a file has a text, or the field that labels come from."""
        rows = [self._row(chunk, number, raw) for number, raw in chunk.data]
        good = [row for row in rows if isinstance(row, dict)]
        needed = {self.extractor.text: "texts, by --text-field", self.extractor.labels_from: "labels, by --labels-from"}
        for name, what in needed.items():
            if name is not None and chunk.index == 0 and good and not any(name in row for row in good):
                raise ValueError(
                    f"'{chunk.path}': no row has a field \"{name}\", only {list(good[0])[:20]}. Say which holds the "
                    f"{what}."
                )
        return rows

    def _row(self, chunk: Chunk, number: int, raw: Any) -> dict[str, Any] | Unread:
        where = f"{chunk.path}, {'line' if chunk.columns is None else 'record'} {number}"
        id = f"{os.path.basename(chunk.path)}:{number}"
        if chunk.columns is not None:
            try:
                "".join(raw).encode("utf8")
            except UnicodeEncodeError:
                shown = ",".join(raw).encode("utf8", "surrogateescape").decode("utf8", "backslashreplace")
                return Unread(id, shown, f"{where}: not UTF-8")
            if len(raw) != len(chunk.columns):
                return Unread(id, ",".join(raw), f"{where}: {len(raw)} fields in place of {len(chunk.columns)}")
            return dict(zip(chunk.columns, raw))
        raw = raw.rstrip(b"\r\n")
        try:
            is_json = chunk.is_json or raw.lstrip().startswith(b'{"')
            row = parse_json(raw) if is_json else {self.extractor.text: decoded(raw)}
            if not isinstance(row, dict):
                raise BadLine("not JSON", "it holds no object")
        except BadLine as error:
            return Unread(id, raw.decode("utf8", "backslashreplace"), f"{where}: {error}")
        if taken := [name for name in self.extractor.columns if name in row]:
            raise ValueError(
                f'{where}: the row has a field "{taken[0]}" already, which would be lost. Give another name for the '
                "new ones, by --spans-field."
            )
        return row if row.get("id") is not None else {"id": id, **row}

    def _asked(self, rows: Any, chunk: Chunk) -> tuple[list[Any], list[Any]]:
        """Texts, and what each row asks itself."""
        text, labels = self.extractor.text, self.extractor.labels_from
        if not isinstance(rows, list):
            self.extractor.check_names(rows.column_names)
            own = rows.column(labels).to_pylist() if labels else [None] * len(rows)
            return rows.column(text).to_pylist(), own
        if chunk.columns is not None:
            self.extractor.check_names(chunk.columns)
        given = [row if isinstance(row, dict) else {text: None} for row in rows]
        return [row.get(text) for row in given], [row.get(labels) if labels else None for row in given]

    def _shard(self, chunk: Chunk, rows: Any, answers: list[Answer]) -> bytes:
        columns = self.extractor.columns_of(answers)
        if self.format == "parquet":
            return _parquet_bytes(with_columns(self._table(chunk, rows), columns))
        if not isinstance(rows, list):
            rows = [{name: plain_value(value) for name, value in row.items()} for row in rows.to_pylist()]
        text = self.extractor.text
        rows = [{"id": row.id, text: row.raw} if isinstance(row, Unread) else row for row in rows]
        return b"".join(json_line(row) for row in _filled(rows, columns))

    def _table(self, chunk: Chunk, rows: Any) -> Any:
        """Rows as an Arrow table whose columns do not depend on what stands in them.

        Those of a CSV file as text; of lines "id", the text, and "fields": all others as JSON.
        """
        import pyarrow as pa

        if not isinstance(rows, list):
            return rows
        text = self.extractor.text
        if chunk.columns is not None:
            names = chunk.columns
            cells = [row if isinstance(row, dict) else {text: row.raw} for row in rows]
            return pa.table({name: pa.array([row.get(name) for row in cells], pa.string()) for name in names})
        kept = [_kept(row, text) for row in rows]
        names = ("id", text, "fields")
        return pa.table({name: pa.array(values, pa.string()) for name, values in zip(names, zip(*kept))})


def _kept(row: Mapping[str, Any] | Unread, text: str) -> tuple[str, str | None, str | None]:
    """The id, the text, and all else as JSON."""
    if isinstance(row, Unread):
        return row.id, row.raw, None
    words = row.get(text)
    rest = {name: value for name, value in row.items() if name != "id" and (name != text or not _is_text(words))}
    if not isinstance(row["id"], str):
        rest["id"] = row["id"]
    return str(row["id"]), words if _is_text(words) else None, json_text(rest) if rest else None


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _filled(rows: list[dict[str, Any]], columns: list[Column]) -> list[dict[str, Any]]:
    """Rows with the new cells; links, what was asked and an error only where they tell something."""
    filled = []
    for i, row in enumerate(rows):
        cells = {c.name: c.values[i] for c in columns if c.kind == "spans" or c.values[i] is not None}
        filled.append({**row, **cells})
    return filled


def _parquet_bytes(table: Any) -> bytes:
    import pyarrow.parquet as parquet

    held = io.BytesIO()
    parquet.write_table(table, held)
    return held.getvalue()
