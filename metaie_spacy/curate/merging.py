"""Several teachers' rows of one text, made one."""

from itertools import combinations
from typing import Iterable, Sequence

from ..data.ledger import Ledger, Sourced
from ..data.rows import asked_of, place
from ..measure.scores import PRF

MAX_COMPARED = 100  # teachers of one text; every two of them are compared


def merge_teachers(items: Iterable[Sourced], ledger: Ledger) -> list[Sourced]:
    """Rows of the same text by different teachers become one row, in the place of the first.

    It has the union of their spans and labels, and of the absent labels those that no teacher found;
    their names stand in `teacher`, joined with "+". Its `agreement` is the mean F1 of every two
    teachers' (start, end) sets, labels aside because their wording is free, or the least that a row
    brings, if that is lower. Other fields are the first row's. The rows that went into it are noted
    in the ledger as "merged", each with the id of the row that took it over. Where people, or a
    teacher asked again, have reviewed a text, their rows stand alone: what they took away stays away.
    """
    groups: dict[str, dict[str, Sourced]] = {}  # by text and teacher
    order: list[list[Sourced] | dict[str, Sourced]] = []
    for item in items:
        group = groups.setdefault(item.row["text"], {})
        if not group:
            order.append(group)
        if group.setdefault(item.row.get("teacher", ""), item) is not item:
            order.append([item])  # the same teacher twice: a duplicate, no second opinion
    merged = []
    for group in order:
        group = list(group.values()) if isinstance(group, dict) else group
        if any(is_reviewed(item.row) for item in group):
            group, others = (
                [item for item in group if is_reviewed(item.row)],
                [item for item in group if not is_reviewed(item.row)],
            )
            for item in others:
                ledger.drop_row(item, "reviewed since", group[0].row["id"])
        for item in group[1:]:
            ledger.drop_row(item, "merged", group[0].row["id"])
        first = group[0]
        merged.append(first if len(group) == 1 else first._replace(row=merge_rows([item.row for item in group])))
    return merged


def is_reviewed(row: dict) -> bool:
    """Whether people annotated the row, or `correct` changed it."""
    teacher = row.get("teacher", "")
    return teacher == "human" or teacher.startswith("human:") or "corrected" in row


def merge_rows(rows: Sequence[dict]) -> dict:
    """Rows of one text as one; see `merge_teachers`. What one leaves open stays open."""
    spans = {place(span): span for row in reversed(rows) for span in row["spans"]}
    found = {label for _, _, label in spans}
    asked = dict.fromkeys(label for row in rows for label in asked_of(row))
    absent = dict.fromkeys(label for row in rows for label in row.get("absent", []) if label not in found)
    names = dict.fromkeys(name for row in rows for name in row.get("teacher", "").split("+") if name)
    notes = [note for row in rows for note in row.get("dropped", [])]
    unsure = {(spot["start"], spot["end"], spot.get("label")): spot for row in rows for spot in row.get("unsure", [])}
    links = [link for row in rows for link in row.get("links", [])]
    result = {
        **rows[0],
        "spans": [spans[key] for key in sorted(spans)],
        "absent": list(absent),
        "teacher": "+".join(names),
    }
    own = [row["agreement"] for row in rows if row.get("agreement") is not None]
    result["agreement"] = round(min([teachers_agreement(rows), *own]), 4)
    if any("asked" in row for row in rows):
        result["asked"] = list(asked)
    if unsure:
        result["unsure"] = [spot for key, spot in sorted(unsure.items(), key=lambda p: (p[0][:2], p[0][2] or ""))]
    if links:
        result["links"] = merged_links(links)
    return result | ({"dropped": notes} if notes else {})


def merged_links(links: Iterable[dict]) -> list[dict]:
    """Links with the answers of those that ask the same of the same head united."""
    merged: dict[tuple, dict] = {}
    for link in links:
        own = merged.setdefault((*link["head"], link["label"]), {**link, "tails": []})
        own["tails"] += [tail for tail in link["tails"] if tail not in own["tails"]]
    return list(merged.values())


def teachers_agreement(rows: Sequence[dict]) -> float:
    """Mean F1 of every two rows' (start, end) sets, of the first hundred rows; two rows without spans agree."""
    places = [{(span["start"], span["end"]) for span in row["spans"]} for row in rows[:MAX_COMPARED]]
    scores = [PRF(len(a & b), len(b - a), len(a - b)).fscore if a or b else 1.0 for a, b in combinations(places, 2)]
    return sum(scores) / len(scores)
