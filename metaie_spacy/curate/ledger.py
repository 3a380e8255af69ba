"""Rows with the place they came from, and the book of what was dropped and why."""
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any, Iterable, Iterator, NamedTuple

from ..data.rows import check_row

BROKEN = ("not JSON", "cut line", "not UTF-8", "half a character", "no annotation row")  # why a line is no row



class Sourced(NamedTuple):
    """An annotation row, the file it came from and its line there, counted from 1."""

    row: dict
    source_file: str
    line: int



class Ledger:
    """Counts what is read and keeps whatever is dropped: nothing leaves without an entry.

    entries (list[dict]): `{"id", "source_file", "line", "why", "detail"?}` and one of "row" (as it
        was when it was dropped), "span" or "raw" (a line that is no row).
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

    def drop_span(self, item: Sourced, span: dict, why: str, detail: Any = None) -> None:
        self.spans[why] += 1
        self._enter(item.row.get("id"), item.source_file, item.line, why, detail, "span", span)

    def drop_line(self, source_file: str, line: int, raw: bytes, why: str, detail: str) -> None:
        """A line that is no row; bytes that are not UTF-8 are kept as backslash escapes."""
        self.rows[why] += 1
        self._enter(None, source_file, line, why, detail, "raw", raw.decode("utf8", "backslashreplace"))

    def _enter(self, id: str | None, source_file: str, line: int, why: str, detail: Any, kind: str, content: Any) -> None:
        entry = {"id": id, "source_file": source_file, "line": line, "why": why}
        self.entries.append(entry | ({} if detail is None else {"detail": detail}) | {kind: content})



class BrokenRow(ValueError):
    """Why a line is no usable row (`args[0]`, one of BROKEN), and what exactly is wrong (`args[1]`)."""



def read_sources(sources: Iterable[str | Path], ledger: Ledger) -> Iterator[Sourced]:
    """The good rows of annotation files; bad ones go to the ledger with their line number.

    sources (Iterable): JSONL files. A row without an id gets one made of its text, so that it
        stays the same when rows are added.
    RAISES (ValueError): a file is missing.
    """
    for path in sources:
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"There is no annotations file '{path}'.")
        ledger.read[str(path)] += 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                raw = line.rstrip(b"\r\n").removeprefix(b"\xef\xbb\xbf" if number == 1 else b"")
                if not raw.strip():
                    continue
                ledger.read[str(path)] += 1
                try:
                    row = parse_row(raw, is_whole=line.endswith(b"\n"))
                except BrokenRow as error:
                    ledger.drop_line(str(path), number, raw, *error.args)
                    continue
                item = Sourced(row, str(path), number)
                if row.get("failed"):
                    ledger.drop_row(item, "failed", str(row["failed"])[:200])
                else:
                    yield item



def parse_row(raw: bytes, *, is_whole: bool = True) -> dict:
    """A line as a row with an id.

    is_whole (bool): whether the line has its end; a row without is cut rather than wrong.
    RAISES (BrokenRow): the line is none.
    """
    try:
        row = json.loads(raw.decode("utf8"))
    except UnicodeDecodeError as error:
        raise BrokenRow("not UTF-8", f"{error.reason} at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise BrokenRow("not JSON" if is_whole else "cut line", str(error)) from None
    try:
        json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf8")
    except UnicodeEncodeError:
        raise BrokenRow("half a character", "the row holds half of a surrogate pair, which is no character") from None
    except (ValueError, RecursionError):
        raise BrokenRow("not JSON", "the row holds NaN or infinity, which JSON has not, or is nested too deep") from None
    if isinstance(row, dict) and row.get("failed"):
        return row
    try:
        check_row(row)
        check_extras(row)
    except ValueError as error:
        raise BrokenRow("no annotation row", str(error)) from None
    made_up = hashlib.sha256(row["text"].encode("utf8")).hexdigest()[:12]
    return {**row, "id": made_up if row.get("id") in (None, "") else str(row["id"])}



def check_extras(row: dict) -> None:
    """RAISES (ValueError): a field beside text, spans and absent has a wrong type."""
    if isinstance(row.get("id"), bool) or not isinstance(row.get("id"), (str, int, type(None))):
        raise ValueError(f"the id {row['id']!r} must be a string.")
    if not isinstance(row.get("teacher", ""), str):
        raise ValueError(f"the teacher {row['teacher']!r} must be a string.")
    agreement = row.get("agreement")
    is_number = isinstance(agreement, (int, float)) and not isinstance(agreement, bool)
    if agreement is not None and not (is_number and 0 <= agreement <= 1):
        raise ValueError(f"the agreement {agreement!r} must be a number from 0 to 1.")
    if not isinstance(row.get("dropped", []), list):
        raise ValueError('"dropped" must be a list.')
