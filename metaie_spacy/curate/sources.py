"""The rows of annotation files, each with the place it came from."""

from pathlib import Path
from typing import Any, Iterable, Iterator

from ..data.documents import text_id
from ..data.jsonl import UNREADABLE, read_jsonl
from ..data.ledger import Ledger, Sourced
from ..data.rows import check_row, row_id, trimmed

NO_ROW = "no annotation row"
BROKEN = (*UNREADABLE, NO_ROW)  # why a line is no row


def read_sources(sources: Iterable[str | Path], ledger: Ledger) -> Iterator[Sourced]:
    """The good rows of annotation files; bad ones go to the ledger with their line number.

    sources (Iterable): JSONL files. A row without an id gets one made of its text, so that it
        stays the same when rows are added.
    RAISES (ValueError): a file is missing.
    """
    for path in map(Path, sources):
        if not path.is_file():
            raise ValueError(f"There is no annotations file '{path}'.")
        ledger.read[str(path)] += 0
        for line in read_jsonl(path):
            ledger.read[str(path)] += 1
            row = line.value
            if isinstance(row, dict) and row.get("failed"):
                ledger.drop_row(Sourced(row, str(path), line.number), "failed", str(row["failed"])[:200])
                continue
            reason, detail = (line.error.reason, line.error.detail) if line.error else _fault(row)
            if reason:
                ledger.drop_record(str(path), line.number, line.raw, reason, detail)
            else:
                row = trimmed({**row, "id": row_id(row.get("id")) or text_id(row["text"])})
                yield Sourced(row, str(path), line.number)


def _fault(row: Any) -> tuple[str, str]:
    """Why a value is no row, and what exactly is wrong; ("", "") if it is one."""
    try:
        check_row(row)
        check_extras(row)
    except ValueError as error:
        return NO_ROW, str(error)
    return "", ""


def check_extras(row: dict) -> None:
    """RAISES (ValueError): a field beside text, spans and absent has a wrong type."""
    row_id(row.get("id"))
    if not isinstance(row.get("teacher", ""), str):
        raise ValueError(f"the teacher {row['teacher']!r} must be a string.")
    agreement = row.get("agreement")
    is_number = isinstance(agreement, (int, float)) and not isinstance(agreement, bool)
    if agreement is not None and not (is_number and 0 <= agreement <= 1):
        raise ValueError(f"the agreement {agreement!r} must be a number from 0 to 1.")
    if not isinstance(row.get("dropped", []), list):
        raise ValueError('"dropped" must be a list.')
