"""What stands of the answers of `metaie review`: each reviewer's last one on a text, and what several agree on."""

from typing import Any, Iterable, Sequence

from ..data.known import Known, Stretches, as_unsure, common_spans, known_of, unsure_of
from ..data.ledger import Ledger, Sourced
from ..data.rows import Link, Row, asked_of, place
from ..measure.scores import exact_matches

SKIP, UNDO = "skip", "undo"  # answers that say nothing of a text
OF_ONE = ("unsure", "links", "answer", "complete", "seconds")  # of a row, that say nothing of several answers
LEFT_OUT = {SKIP: "skipped by its reviewer", UNDO: "answer undone"}


def is_answer(row: Any) -> bool:
    """Whether a row is a line of an answers file."""
    return isinstance(row.get("reviewer"), str) and isinstance(row.get("answer"), str)


def settled(items: Iterable[Sourced], ledger: Ledger) -> list[Sourced]:
    """Rows of which those that are answers of reviewers have become one row a text; other rows as they are.

    Of one reviewer's answers to a text the last one stands; one that was skipped or undone, or decides nothing, is left
    out. That is noted in the ledger.
    """
    items = list(items)
    last: dict[str, dict[str, Sourced]] = {}
    for item in items:
        if is_answer(item.row):
            own = last.setdefault(item.row["text"], {})
            if (earlier := own.pop(item.row["reviewer"], None)) is not None:
                ledger.drop_row(earlier, "answered again")
            own[item.row["reviewer"]] = item
    found = []
    for item in items:
        if not is_answer(item.row):
            found.append(item)
            continue
        answers = list(last.pop(item.row["text"], {}).values())
        for one in answers:
            if why := _says_nothing(one.row):
                ledger.drop_row(one, why)
        standing = [one for one in answers if not _says_nothing(one.row)]
        for one in standing[1:]:
            ledger.drop_row(one, "merged", standing[0].row["id"])
        if standing:
            found.append(standing[0]._replace(row=united([one.row for one in standing])))
    return found


def _says_nothing(row: Row) -> str | None:
    """Why an answer leaves all open; such a row would teach silence."""
    if row["answer"] in LEFT_OUT:
        return LEFT_OUT[row["answer"]]
    return None if row.get("asked") or row.get("links") else "nothing was decided"


def united(rows: Sequence[Row]) -> Row:
    """The answers of several reviewers to one text as one row.

    A span stands that somebody gave and nobody denies; where one gives it and another denies it, its place is unsure.
    What none of them decides stays unsure. Links on which those who answered them differ are left out.
    """
    if len(rows) == 1:
        return rows[0]
    known, size = [known_of(row) for row in rows], len(rows[0]["text"])
    found = {place(span): span for row in reversed(rows) for span in row["spans"]}
    spans, open_ = [], []
    for spot in sorted(found):
        says = {spot in one.spans for one in known if one.decides(spot)}
        if says == {True}:
            spans.append(found[spot])
        else:
            open_.append(spot)
    asked = list(dict.fromkeys(label for row in rows for label in asked_of(row)))
    for label in asked:
        decided = [gap for row, one in zip(rows, known) for gap in _decided(row, one, label, size)]
        open_ += [(*gap, label) for gap in Stretches(decided).gaps(size)]
    labels = {span["label"] for span in spans} | {label for *_, label in open_}
    result = {name: value for name, value in rows[0].items() if name not in OF_ONE}
    result |= {"spans": spans, "asked": asked, "absent": [label for label in asked if label not in labels]}
    result |= {"reviewer": "+".join(row["reviewer"] for row in rows), "time": max(row["time"] for row in rows)}
    result |= {"agreement": _agreement(known)}
    if open_:
        result["unsure"] = as_unsure(sorted(set(open_)))
    if links := _united_links(rows):
        result["links"] = links
    return result


def _decided(row: Row, known: Known, label: str, size: int) -> list[tuple[int, int]]:
    """The stretches of a text in which a row says all of a label."""
    if label not in (known.asked or ()):
        return []
    own = Stretches((start, end) for start, end, name in unsure_of(row) if name in (label, None))
    spans = [(start, end) for start, end, name in known.spans if name == label]
    return [*own.gaps(size), *spans]


def _agreement(known: Sequence[Known]) -> float:
    """The least F of two answers; of two that find nothing it is 1."""
    pairs = [common_spans([a, b]) for n, a in enumerate(known) for b in known[n + 1 :]]
    return round(min(exact_matches([a], [b]).fscore if a or b else 1.0 for a, b in pairs), 4)


def _united_links(rows: Iterable[Row]) -> list[Link]:
    answers: dict[tuple, list[Link]] = {}
    for row in rows:
        for link in row.get("links", []):
            answers.setdefault((*link["head"], link["label"]), []).append(link)
    return [own[0] for own in answers.values() if len({frozenset(map(tuple, link["tails"])) for link in own}) == 1]
