"""The answers file: one annotation row a line, appended at once, never changed."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from ..curate.reviews import UNDO, is_answer, settled
from ..curate.sources import read_sources
from ..data.files import check_apart
from ..data.jsonl import json_line, read_jsonl, write_jsonl
from ..data.ledger import Ledger
from ..data.rows import Row, check_row

logger = logging.getLogger("metaie_spacy")
BEGINS = b'{"id": '  # a line of ours


class Answers:
    """The answers of all reviewers, in a file and in memory. Its methods may be called from any thread.

    path (Path): created with its folder; what a killed process left of its last line is cut off.
    standing (dict): text -> reviewer -> the reviewer's last answer to it. Skipped ones are among them, undone ones
        are not.
    RAISES (ValueError): another review has the file open, it cannot be written, or it holds something else.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.standing: dict[str, dict[str, Row]] = {}
        self._recent: dict[str, dict[str, None]] = {}  # reviewer -> texts, the last answered one last
        self._lock = Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise ValueError(
                f"Cannot write the answers to '{path}': {error}. Give another file by --answers."
            ) from None
        try:
            _take(self._file, self.path)
            for row in _read(self._file, self.path):
                self._note(row)
        except BaseException:
            self.close()
            raise

    def add(self, row: Row) -> None:
        """Append an answer; it is on the disk when this returns.

        RAISES (OSError): it is not, and the file is as it was.
        """
        line = json_line(row)
        with self._lock:
            size = os.fstat(self._file).st_size
            try:
                written = os.write(self._file, line)
                if written < len(line):
                    raise OSError(f"only {written} of {len(line)} bytes could be written")
                os.fsync(self._file)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self._file, size)
                raise
            self._note(row)

    def last_of(self, reviewer: str) -> Row | None:
        """The reviewer's latest answer that was not undone."""
        text = next(reversed(self._recent.get(reviewer, {})), None)
        return None if text is None else self.standing[text][reviewer]

    def close(self) -> None:
        os.close(self._file)

    def _note(self, row: Row) -> None:
        text, reviewer = row["text"], row["reviewer"]
        own, recent = self.standing.setdefault(text, {}), self._recent.setdefault(reviewer, {})
        own.pop(reviewer, None)
        recent.pop(text, None)
        if row["answer"] != UNDO:
            own[reviewer], recent[text] = row, None


def _take(file: int, path: Path) -> None:
    """Keep other processes off a file that is open. RAISES (ValueError): one has it."""
    try:
        import fcntl
    except ImportError:  # Windows has none
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ValueError(
            f"Another review has '{path}' open. Several people share one review: start it with --reviewer for each, "
            "and give them the addresses that it prints."
        ) from None


def _read(file: int, path: Path) -> list[Row]:
    """The answers of a file. What a killed process left of its last line is cut off: nobody was told that it was saved.

    RAISES (ValueError): a line is something else; the file is as it was.
    """
    rows: list[Row] = []
    lines = list(read_jsonl(path))
    with path.open("rb") as content:
        size = content.seek(0, os.SEEK_END)
        content.seek(max(0, size - 1))
        is_whole = content.read() in (b"", b"\n")
    for line in lines:
        try:
            if line.error:
                raise line.error
            check_row(line.value)
            if not is_answer(line.value) or not isinstance(line.value.get("time"), str):
                raise ValueError('it has no "reviewer", "answer" and "time".')
        except ValueError as error:
            is_cut = (
                not is_whole and line is lines[-1] and line.error and line.raw[: len(BEGINS)] == BEGINS[: len(line.raw)]
            )
            if not is_cut:
                raise ValueError(
                    f"'{path}', line {line.number} is no answer of a review: {error} Mend or remove the line, or give "
                    "another file by --answers."
                ) from None
            logger.warning("'%s' ended in a cut line of %d bytes, which is gone.", path, len(line.raw))
            os.ftruncate(file, size - len(line.raw))
            return rows
        rows.append(line.value)
    if not is_whole and lines:
        os.write(file, b"\n")
    return rows


def export(path: str | Path, output: str | Path) -> dict[str, Any]:
    """The answers that stand as annotation rows, one a text, in the order in which texts were first answered.

    RETURNS (dict): "rows" written, and what was left out by reason.
    RAISES (ValueError): there is no such file, it would be replaced, or no answer stands.
    """
    check_apart(output, path)
    if not Path(path).is_file():
        raise ValueError(f"There is no answers file '{path}': review some rows first, or name it by --answers.")
    ledger = Ledger()
    rows = [item.row for item in settled(read_sources([path], ledger), ledger)]
    if not rows:
        raise ValueError(f"'{path}' holds no answer that stands: {dict(ledger.rows) or 'it is empty'}.")
    write_jsonl(output, rows)
    return {"rows": len(rows), "left_out": dict(ledger.rows)}
