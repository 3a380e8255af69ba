"""The one book of what is read and what is dropped, and why."""

from collections import Counter
from typing import Any, NamedTuple

from .rows import Row, Span


class Sourced(NamedTuple):
    """An annotation row, the file it came from and its line there, counted from 1."""

    row: Row
    source_file: str
    line: int


class Ledger:
    """Counts what is read and keeps whatever is dropped: nothing leaves without an entry.

    entries (list[dict]): `{"id", "source_file", "line", "why", "detail"?}` and one of "row" (as it
        was when it was dropped), "span" or "raw" (a record that is no row).
    read (Counter): rows by file, broken ones included. rows, spans (Counter): dropped, by reason.
    """

    def __init__(self):
        self.entries: list[dict] = []
        self.read: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.spans: Counter[str] = Counter()

    def drop_row(self, item: Sourced, why: str, detail: Any = None) -> None:
        self.rows[why] += 1
        self._enter(item.row.get("id"), item.source_file, item.line, why, detail, "row", item.row)

    def drop_span(self, item: Sourced, span: Span, why: str, detail: Any = None) -> None:
        self.spans[why] += 1
        self._enter(item.row.get("id"), item.source_file, item.line, why, detail, "span", span)

    def drop_record(self, source_file: str, line: int | str, raw: Any, why: str, detail: str | None) -> None:
        """What is no row. line (int | str): where it stands, such as 3 or "task 3".

        raw (Any): as it came; bytes that are not UTF-8 are kept as backslash escapes.
        """
        self.rows[why] += 1
        content = raw.decode("utf8", "backslashreplace").rstrip("\r\n") if isinstance(raw, bytes) else raw
        self._enter(None, source_file, line, why, detail, "raw", content)

    def lose_spans(self, why: str, number: int) -> None:
        """Count spans that are left out of rows that stay, where the format keeps no more of them."""
        if number:
            self.spans[why] += number

    def _enter(
        self, id: str | None, source_file: str, line: int | str, why: str, detail: Any, kind: str, content: Any
    ) -> None:
        entry = {"id": id, "source_file": source_file, "line": line, "why": why}
        self.entries.append(entry | ({} if detail is None else {"detail": detail}) | {kind: content})
