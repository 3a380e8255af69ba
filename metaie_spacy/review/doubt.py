"""In which order entries are shown: those that are most likely to be wrong first."""

from typing import Any, Iterator, Sequence

from ..audit.agreement import disputes, shared_texts
from ..audit.corpus import disputed
from ..audit.suspicion import Reason, borders, contradictions, name_places, odd_at_names, ranked
from ..data.ledger import Sourced
from ..data.rows import Row
from .entries import Entry

SURE = 0.9  # score from which on a span gives no reason to look


def by_doubt(entries: Sequence[Entry], items: Sequence[Sourced], entry_of: Sequence[int]) -> list[int]:
    """Note at each entry why it is doubtful, and give their numbers, the most doubtful first, then as in the file.

    The reasons are those of `audit corpus` that need no other file and no model, and low scores of predictions.
    """
    rows, files = [item.row for item in items], [str(at) for at in range(len(items))]
    texts, _ = shared_texts(items)
    reasons = [*contradictions(rows)[1], *odd_at_names(name_places(rows)), *disputed(rows, disputes(texts))]
    for number, row in enumerate(rows):
        reasons += [reason for reason in borders(number, row) if reason.why != "empty row"]
        reasons += _unsure_scores(number, row)
    told: dict[int, list[dict[str, Any]]] = {}
    doubt: dict[int, float] = {}
    for one in ranked(rows, files, reasons, len(rows)):
        number = entry_of[int(one["file"])]
        doubt[number] = max(doubt.get(number, 0.0), one["score"])
        known = told.setdefault(number, [])
        known += [reason for reason in one["reasons"] if reason not in known]
    for entry in entries:
        entry.doubt, entry.reasons = doubt.get(entry.number, 0.0), told.get(entry.number, [])
    return sorted(range(len(entries)), key=lambda number: (-entries[number].doubt, number))


def _unsure_scores(number: int, row: Row) -> Iterator[Reason]:
    for span in row["spans"]:
        score = span.get("score")
        if isinstance(score, (int, float)) and score < SURE:
            spot = (span["start"], span["end"])
            yield Reason(number, "low score", span["label"], spot, 1 - score, f"score {score:.2f}")
