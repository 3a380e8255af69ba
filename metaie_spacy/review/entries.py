"""What is reviewed: one entry a text, from corpus rows, predictions or bare texts."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Sequence

from ..audit import traits
from ..curate.merging import merge_rows
from ..curate.reviews import is_answer
from ..data.documents import text_id
from ..data.jsonl import read_jsonl
from ..data.ledger import Sourced
from ..data.rows import Place, Row, asked_of, check_row, labels_of, place, row_id, trimmed

logger = logging.getLogger("metaie_spacy")
SHOWN = 3  # faults that are told one by one
SLICES = {
    "source": traits.domain,
    "length": traits.length,
    "casing": traits.casing,
    "dialect": traits.dialect,
}
KEPT = ("source", "kind", "meta")  # of a row, that its reviewed row keeps


@dataclass
class Entry:
    """One text, with all that its rows propose.

    number (int): its place in the file. row (Row): the rows of the text as one. by (dict): place of a span -> teachers
        that gave it, where not all did. teachers (tuple): of its rows. slices (frozenset): "name: value".
    doubt (float): what it is ranked by, most first. reasons (list[dict]): "why", "label"?, "place"?, "note"?.
    """

    number: int
    row: Row
    by: dict[Place, list[str]]
    teachers: tuple[str, ...]
    slices: frozenset[str]
    doubt: float = 0.0
    reasons: list[dict[str, Any]] = field(default_factory=list)

    @property
    def labels(self) -> set[str]:
        """The labels that it has spans of, or was asked."""
        return {*labels_of(self.row), *asked_of(self.row), *(link["label"] for link in self.row.get("links", []))}

    @property
    def kept(self) -> dict[str, Any]:
        """What its reviewed row takes over: id, where it is from, and whose proposal it was."""
        kept = {name: self.row[name] for name in KEPT if name in self.row}
        proposed = "+".join(name for name in self.teachers if name)
        return {"id": self.row["id"], "text": self.row["text"]} | kept | ({"proposed_by": proposed} if proposed else {})


def read_entries(paths: Sequence[str | Path]) -> tuple[list[Entry], list[Sourced], list[int]]:
    """The entries of files, their rows, and for each row the number of its entry.

    paths (Sequence): annotation rows, what `extract --format jsonl` writes, or objects with a "text" alone (JSONL).
        Rows of one text, by several teachers or models, make one entry.
    RAISES (ValueError): a file is missing, or none holds a usable row; others are counted and told.
    """
    items: list[Sourced] = []
    bad = 0
    for path in map(Path, paths):
        if not path.is_file():
            raise ValueError(f"There is no file '{path}'. Give annotation rows, predictions or texts (JSONL).")
        for line in read_jsonl(path):
            try:
                if line.error:
                    raise line.error
                row = as_row(line.value, path.stem if len(paths) > 1 else "")
            except ValueError as error:
                bad += 1
                if bad <= SHOWN:
                    logger.warning("%s, line %d is left out: %s", path, line.number, error)
                continue
            items.append(Sourced(row, str(path), line.number))
    if bad > SHOWN:
        logger.warning("%d lines in all are left out.", bad)
    if not items:
        raise ValueError(
            f'{", ".join(map(str, paths))}: there is no row to review. A line must be an object with a "text", such as '
            '{"id": "1", "text": "Ada flew to Rome.", "spans": [{"start": 0, "end": 3, "label": "person"}]}.'
        )
    groups: dict[str, list[int]] = {}
    for at, item in enumerate(items):
        groups.setdefault(item.row["text"], []).append(at)
    entry_of = [0] * len(items)
    entries = []
    for number, group in enumerate(groups.values()):
        for at in group:
            entry_of[at] = number
        entries.append(entry_of_rows(number, [items[at].row for at in group]))
    return entries, items, entry_of


def as_row(value: Any, teacher: str = "") -> Row:
    """A line of a file as an annotation row.

    value (Any): a row, a prediction, whose links name spans by number, or a text. teacher (str): of a row without one.
    RAISES (ValueError): it is none of these.
    """
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, not {type(value).__name__}.")
    if value.get("failed"):
        raise ValueError("it failed, and holds nothing to review.")
    if is_answer(value):
        raise ValueError("it is an answer of a review: give the file that was reviewed, and this one by --answers.")
    row = {"spans": [], **value}
    spans, links = row["spans"], row.get("links")
    if isinstance(spans, list) and isinstance(links, list) and all(_names_spans(link, spans) for link in links):
        row["links"] = _as_row_links(links, spans)
    if isinstance(spans, list):
        row["spans"] = [span for span in spans if not (isinstance(span, dict) and span.get("answer"))]
    if row.get("links") is None:
        row.pop("links", None)
    check_row(row)
    if not isinstance(row.get("teacher", ""), str):
        raise ValueError(f"the teacher {row['teacher']!r} must be a string.")
    row["id"] = row_id(row.get("id")) or text_id(row["text"])
    return trimmed(row if row.get("teacher") or not teacher else {**row, "teacher": teacher})


def _names_spans(link: Any, spans: list) -> bool:
    if not isinstance(link, dict) or not isinstance(link.get("label"), str):
        return False
    at = [link.get("head"), link.get("tail")]
    ends = [spans[i] if type(i) is int and 0 <= i < len(spans) else None for i in at]
    return all(isinstance(span, dict) and all(type(span.get(key)) is int for key in ("start", "end")) for span in ends)


def _as_row_links(links: Iterable[dict], spans: list[dict]) -> list[dict]:
    """Links of a prediction as rows have them; which questions had no answer is not known."""
    found: dict[tuple, dict] = {}
    for link in links:
        head, tail = ([spans[link[end]].get(key) for key in ("start", "end")] for end in ("head", "tail"))
        own = found.setdefault((*head, link["label"]), {"head": head, "label": link["label"], "tails": []})
        own["tails"] += [tail] if tail not in own["tails"] else []
    return list(found.values())


def entry_of_rows(number: int, rows: Sequence[Row]) -> Entry:
    """The entry of rows of one text."""
    row = rows[0] if len(rows) == 1 else merge_rows(rows)
    teachers = tuple(dict.fromkeys(one.get("teacher", "") for one in rows))
    by: dict[Place, list[str]] = {}
    if len(rows) > 1:
        for one in rows:
            for spot in dict.fromkeys(place(span) for span in one["spans"]):
                by.setdefault(spot, []).append(one.get("teacher", ""))
        by = {spot: names for spot, names in by.items() if len(names) < len(rows)}
    slices = frozenset(f"{name}: {of(row)}" for name, of in SLICES.items())
    return Entry(number, row, by, teachers, slices)
