"""Rows that are worth a second look, and why."""

import re
from collections import Counter, defaultdict
from typing import Any, Iterable, Iterator, NamedTuple, Sequence

from ..curate.names import origin_of
from ..data.known import known_of
from ..data.rows import Place, Row, places
from .traits import NOTHING

WEIGHTS = {
    "leak": 5.0,
    "odd for a name": 3.0,
    "contradiction": 2.0,
    "disagreement": 3.0,
    "hard to explain": 2.0,
    "low score": 2.0,
    "empty label": 2.0,
    "bad border": 1.5,
    "same label overlaps": 1.0,
    "coordination": 1.0,
    "empty row": 0.5,
}
MOST = 2  # of one reason count for a row
OFTEN = 3  # texts in which a name must be answered one way to speak against the other
SHARE = 0.75  # of its texts that must be answered one way
RARE = 0.05  # of the places at names, that a label may have to be odd there
PLACES = 50  # at names, that must be known to say so
BAD_START = re.compile(r"[\s,;:!?)\]}]|\.(?!\w)")
BAD_END = re.compile(r"[\s,;:(\[{]")
BOTH = re.compile(r"\s(?:and|or|as well as)\s", re.IGNORECASE)
PAIRS = (("(", ")"), ("[", "]"), ("{", "}"))


class Reason(NamedTuple):
    """Why a row is suspicious. row: its number. label, place: of the span, in characters. size: from 0 to 1."""

    row: int
    why: str
    label: str | None = None
    place: tuple[int, int] | None = None
    size: float = 1.0
    note: str | None = None


def borders(number: int, row: Row) -> Iterator[Reason]:
    """Spans that begin or end where none should, coordinations, and labels that say nothing."""
    text, own = row["text"], places(row)
    ends: dict[str, int] = {}
    for start, end, label in sorted(own):
        words = text[start:end]
        within = (start > 0 and text[start - 1].isalnum() and text[start].isalnum()) or (
            end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
        )
        unpaired = any(words.count(opens) != words.count(closes) for opens, closes in PAIRS)
        if within or unpaired or BAD_START.match(words) or BAD_END.match(words[-1]):
            yield Reason(number, "bad border", label, (start, end))
        if BOTH.search(words) and _is_list(words):
            yield Reason(number, "coordination", label, (start, end))
        if label.strip().lower() in NOTHING:
            yield Reason(number, "empty label", label, (start, end))
        if start < ends.get(label, 0):
            yield Reason(number, "same label overlaps", label, (start, end))
        ends[label] = max(end, ends.get(label, 0))
    if not own and not row.get("absent") and not row.get("asked"):
        yield Reason(number, "empty row")


def _is_list(words: str) -> bool:
    """Whether a span is a short list rather than a clause: its parts are of at most three words each."""
    parts = [part.split() for part in BOTH.split(words)]
    return all(0 < len(part) <= 3 for part in parts)


def contradictions(rows: Sequence[Row]) -> tuple[list[dict[str, Any]], list[Reason]]:
    """Words that have a label in most texts that were asked it, and have it not in others.

    Only rows that were asked the label, and whose annotation decides on the place, speak.
    RETURNS (tuple): per label and words "label", "with" and "without" (texts), "rows" (ids of the fewer), most
        evident first; and the reasons. Words are left out: they may be of texts that must not be published.
    """
    seen: dict[tuple[str, str], dict[bool, dict[int, tuple[int, int]]]] = defaultdict(lambda: {True: {}, False: {}})
    wanted = Counter((label, row["text"][start:end]) for row in rows for start, end, label in set(places(row)))
    wanted = {key for key, n in wanted.items() if n > 1 and len(key[1]) > 2}
    words_of: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for label, words in wanted:
        words_of[words.split()[0]][label].add(words)
    for number, row in enumerate(rows):
        known = known_of(row)
        for words, label, spot in _mentions(row, words_of, set(known.asked or ())):
            if known.decides((*spot, label)) and not _covered(known.spans, spot, label):
                seen[label, words][(*spot, label) in known.spans].setdefault(number, spot)
    found, reasons = [], []
    for (label, _), sides in seen.items():
        yes, no = len(sides[True]), len(sides[False])
        fewer = yes < no
        if not yes or not no or max(yes, no) < OFTEN or max(yes, no) / (yes + no) < SHARE:
            continue
        share = max(yes, no) / (yes + no)
        ids = [rows[number]["id"] for number in sides[fewer]]
        found.append({"label": label, "with": yes, "without": no, "rows": ids})
        note = f"{max(yes, no)} of {yes + no} texts say otherwise"
        reasons += [Reason(i, "contradiction", label, spot, share, note) for i, spot in sides[fewer].items()]
    return sorted(found, key=lambda one: (-abs(one["with"] - one["without"]), one["label"])), reasons


def _mentions(row: Row, words_of: Any, asked: set[str]) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Where words that are labelled somewhere stand in a row that was asked the label."""
    text = row["text"]
    for first in set(text.split()) | {text[span["start"] : span["end"]].split()[0] for span in row["spans"]}:
        first = first if first in words_of else first.strip(".,;:!?()[]\"'")
        for label in words_of.get(first, {}).keys() & asked:
            for words in words_of[first][label]:
                at = text.find(words)
                end = at + len(words)
                is_whole = at >= 0 and not text[at - 1 : at].isalnum() and not text[end : end + 1].isalnum()
                if is_whole:
                    yield words, label, (at, end)


def _covered(spans: Iterable[Place], spot: tuple[int, int], label: str) -> bool:
    """Whether a longer or shorter span of the label overlaps a place: the words are answered another way there."""
    return any(s < spot[1] and spot[0] < e and (s, e) != spot for s, e, own in spans if own == label)


def name_places(rows: Sequence[Row]) -> list[tuple[int, str, tuple[int, int], str, bool]]:
    """What is known at names of people: number of the row, origin of the name, its place, a label that the row was
    asked, and whether the name has it."""
    found = []
    for number, row in enumerate(rows):
        known = known_of(row)
        spots = {(span["start"], span["end"]) for span in row["spans"]}
        for spot in sorted(spots):
            origin = origin_of(row["text"][spot[0] : spot[1]])
            if origin is None:
                continue
            for label in sorted(known.asked or ()):
                if known.decides((*spot, label)):
                    found.append((number, origin, spot, label, (*spot, label) in known.spans))
    return found


def odd_at_names(at_names: Sequence[tuple[int, str, tuple[int, int], str, bool]]) -> Iterator[Reason]:
    """Labels of names that hardly any other name has."""
    total: Counter[str] = Counter()
    has: Counter[str] = Counter()
    for _, _, _, label, is_so in at_names:
        total[label] += 1
        has[label] += is_so
    for number, origin, spot, label, is_so in at_names:
        if is_so and total[label] >= PLACES and has[label] / total[label] <= RARE:
            yield Reason(number, "odd for a name", label, spot, note=origin)


def ranked(rows: Sequence[Row], files: Sequence[str], reasons: Iterable[Reason], most: int) -> list[dict[str, Any]]:
    """The rows with the most weight of reasons, each reason counted twice at most."""
    by_row: dict[int, list[Reason]] = defaultdict(list)
    for reason in reasons:
        by_row[reason.row].append(reason)
    scored = []
    for number, own in by_row.items():
        counts: dict[str, list[float]] = defaultdict(list)
        for reason in own:
            counts[reason.why].append(reason.size)
        score = sum(WEIGHTS[why] * sum(sorted(sizes, reverse=True)[:MOST]) for why, sizes in counts.items())
        scored.append((-score, rows[number]["id"], number))
    return [
        {
            "id": id,
            "file": files[number],
            "score": round(-score, 3),
            "reasons": [_told(reason) for reason in sorted(by_row[number], key=lambda r: -WEIGHTS[r.why] * r.size)],
        }
        for score, id, number in sorted(scored)[:most]
    ]


def _told(reason: Reason) -> dict[str, Any]:
    told = {"why": reason.why, "label": reason.label, "place": reason.place and list(reason.place)}
    told |= {"size": round(reason.size, 3), "note": reason.note}
    return {key: value for key, value in told.items() if value is not None}
