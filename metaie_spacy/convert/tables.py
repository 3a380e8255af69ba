"""Annotation rows from and to tables: CSV and TSV with a span on each line."""

import csv
import io
from pathlib import Path
from typing import Iterable, Iterator

from ..data.files import writing
from .links import pairs_of
from .records import Options, Skipped, Tally, foreign_row
from .sources import text_of

FIELDS = ("id", "text", "start", "end", "label", "span")
NEEDED = ("start", "end", "label")


class Table:
    """The header of a table and its lines.

    RAISES (ValueError): it has no such columns or one of them twice, or its quotes do not end.
    """

    def __init__(self, path: Path, options: Options):
        text = text_of(path, options)
        self.path, self.field, self.is_cut = path, options.text_field or "text", not text.endswith(("\n", "\r"))
        header = text.split("\n", 1)[0]
        marks = "\t" if path.suffix == ".tsv" else max(",;\t", key=header.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=marks, strict=True)
        self.lines: list[tuple[int, list[str]]] = []
        before = csv.field_size_limit(max(len(text), 131072))
        try:
            for cells in reader:
                self.lines += [(reader.line_num, cells)] if cells else []
        except csv.Error as error:
            raise ValueError(f"'{path}', line {reader.line_num}: {error}. Its quotes must come in pairs.") from None
        finally:
            csv.field_size_limit(before)
        self.header = [name.strip() for name in self.lines[0][1]] if self.lines else []
        if self.field not in self.header:
            raise ValueError(
                f"'{path}' has no column '{self.field}', only {self.header}. "
                "Pass text_field (--text-field), the name of the column of texts."
            )
        if twice := [name for name in (*FIELDS, self.field) if self.header.count(name) > 1]:
            raise ValueError(
                f"'{path}' has {self.header.count(twice[0])} columns '{twice[0]}', of which one would be lost. Give "
                "each a name of its own."
            )
        if missing := [name for name in NEEDED if name not in self.header]:
            raise ValueError(
                f"'{path}' holds texts without annotations: it has columns {self.header}, and none named {missing}. "
                "Give columns start, end and label, with a span on each line, or annotate the texts first."
            )

    def cell(self, cells: list[str], name: str) -> str | None:
        at = self.header.index(name) if name in self.header else len(cells)
        return cells[at] if at < len(cells) else None


def read_table(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Rows of a table with a header and columns of a text, and start, end and label of one span.

    Lines of one text, and of one id if there is such a column, are one row; empty cells instead of a span say that
    it has none. A column "span" with the span's words is compared with its place. A text with a bad line is left out.
    """
    table = Table(path, options)
    groups: dict[tuple, list[tuple[int, list[str]]]] = {}
    before: tuple = ("", None)
    for number, cells in table.lines[1:]:
        key = (table.cell(cells, table.field), table.cell(cells, "id"))
        if len(cells) < len(table.header) and _is_rest(key, before):
            key = before  # what is left of a line of the text above
        before = key if key[0] is not None else before
        groups.setdefault(key, []).append((number, cells))
    for (text, id), lines in groups.items():
        yield from tally.take(
            f"line {lines[0][0]}", [cells for _, cells in lines], _row, text, id, lines, table, options
        )


def _is_rest(key: tuple, before: tuple) -> bool:
    """Whether text and id of a short line may be what is left of those before."""
    return before[0].startswith(key[0] or "") and (before[1] or "").startswith(key[1] or "")


def _row(text: str | None, id: str | None, lines: list[tuple[int, list[str]]], table: Table, options: Options) -> dict:
    spans = []
    for number, cells in lines:
        if len(cells) != len(table.header):
            raise Skipped("bad columns", f"line {number} has {len(cells)} columns, not {len(table.header)}: {cells}.")
        start, end, label = (table.cell(cells, name) for name in NEEDED)
        words = table.cell(cells, "span")
        if table.is_cut and number == table.lines[-1][0] and not words and (start or end or label):
            raise Skipped("cut line", f"line {number} has no end: {cells}. End it if it is whole.")
        if not (start or end or label):
            continue
        if not (start.strip().isdecimal() and end.strip().isdecimal() and label.strip()):
            raise Skipped("bad row", f"line {number} has no whole numbers start and end, or no label: {cells}.")
        spans.append({"start": int(start), "end": int(end), "label": label})
        if words is not None and text[int(start) : int(end)] != words:
            raise Skipped("bad offsets", f"line {number}: {text[int(start) : int(end)]!r} stands there, not {words!r}.")
    return foreign_row(text, spans, source="csv", teacher=options.teacher or "unknown", id=id or None)


def write_table(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    """A table with columns id, text, start, end, label and span: a span on each line, and a line for a text without."""
    with writing(output) as file:
        lines = io.StringIO(newline="")
        writer = csv.writer(
            lines, delimiter="\t" if output.suffix == ".tsv" else ",", lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
        )
        writer.writerow(FIELDS)
        for row in rows:
            spots = [(s["start"], s["end"], s["label"], row["text"][s["start"] : s["end"]]) for s in row["spans"]]
            writer.writerows([row["id"], row["text"], *spot] for spot in spots or [("", "", "", "")])
            tally.lose_links("link", len(pairs_of(row)))
            file.write(lines.getvalue().encode("utf8"))
            lines.seek(0)
            lines.truncate()
