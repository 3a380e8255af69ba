"""Annotation rows: what one is, and reading files of them."""

from pathlib import Path
from typing import Any, Collection, Iterable, Iterator, TypedDict

from .jsonl import read_jsonl

WIDTHLESS = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
Place = tuple[int, int, str]  # start, end (exclusive), label: of characters or of tokens


class _Marked(TypedDict):
    start: int
    end: int
    label: str


class Span(_Marked, total=False):
    """A labelled passage of a row's text, in characters, end exclusive; a model's also has a score."""

    score: float


class _Between(TypedDict):
    start: int
    end: int


class Unsure(_Between, total=False):
    """A place of which nothing is known, for one label or, without one, for all."""

    label: str


class Link(TypedDict):
    """What was asked of a head, and its answers: none, one or several. Places are [start, end] in characters."""

    head: list[int]
    label: str
    tails: list[list[int]]


class _Annotated(TypedDict):
    id: str
    text: str
    spans: list[Span]


class Row(_Annotated, total=False):
    """One annotated text.

    absent: labels that were asked and have no answer in the text. asked: labels that are annotated completely; without
    it those of the spans and the absent ones (in a closed set: all). unsure: places of which nothing is known.
    links: answers about a head; heads and relations that are not listed were not asked. source: where the text is from.
    teacher: who annotated it. kind: of the annotation, such as "open" or "entity". prompt_sha: of the teacher's
    prompt. agreement: of several teachers or samples, 0 to 1. dropped: answers that could not be used,
    `{"label", "span", "why"}`. corrected: what `correct` changed. usage: tokens that the answer cost.
    meta: anything else; "doc" names the document that the text is a passage of.
    """

    absent: list[str]
    asked: list[str]
    unsure: list[Unsure]
    links: list[Link]
    source: str
    teacher: str
    kind: str
    prompt_sha: str
    agreement: float
    dropped: list[dict]
    corrected: list[dict]
    usage: dict
    meta: dict


def place(span: Span) -> Place:
    """Start, end and label of a span."""
    return span["start"], span["end"], span["label"]


def places(row: Row, names: Collection[str] | None = None) -> list[Place]:
    """Start, end and label of a row's spans, in their order. names: only spans of these labels; None: all."""
    return [place(span) for span in row["spans"] if names is None or span["label"] in names]


def labels_at(spots: Iterable[Place]) -> dict[tuple[int, int], list[str]]:
    """Start and end -> the labels that stand there."""
    found: dict[tuple[int, int], list[str]] = {}
    for start, end, label in spots:
        found.setdefault((start, end), []).append(label)
    return found


def spans_at(found: Iterable[Place]) -> list[Span]:
    """Places as the spans of a row."""
    return [{"start": start, "end": end, "label": label} for start, end, label in found]


def labels_of(row: Row) -> set[str]:
    """The labels that a row has spans of."""
    return {span["label"] for span in row["spans"]}


def asked_of(row: Row) -> list[str]:
    """The labels that a row answers: those it says, else those of its spans, then those noted as absent, each once."""
    own = row["asked"] if "asked" in row else (span["label"] for span in row["spans"])
    return list(dict.fromkeys([*own, *row.get("absent", [])]))


def longest_first(found: Iterable[Place]) -> list[Place]:
    """The places without those that overlap a longer (then earlier) one of their own label, in order."""
    by_label: dict[str, list[Place]] = {}
    for spot in dict.fromkeys(found):
        by_label.setdefault(spot[2], []).append(spot)
    kept: list[Place] = []
    for spots in by_label.values():
        # Only cells count where a place begins or ends: what is kept is no shorter than what comes after it, so it
        # overlaps that only by covering its first cell or its last.
        cells = {
            cell: i for i, cell in enumerate(sorted({cell for start, end, _ in spots for cell in (start, end - 1)}))
        }
        taken = bytearray(len(cells))
        for spot in sorted(spots, key=lambda s: (s[0] - s[1], s)):
            first, last = cells[spot[0]], cells[spot[1] - 1]
            if not taken[first] and not taken[last]:
                taken[first : last + 1] = b"\1" * (last + 1 - first)
                kept.append(spot)
    return sorted(kept)


def read_rows(path: str | Path) -> Iterator[Row]:
    """Annotation rows of a JSONL file, checked one by one.

    path (str | Path): rows `{"id"?, "text", "spans": [{"start", "end", "label"}], "absent"?}`,
        offsets in characters, end exclusive.
    YIELDS (Row): the rows, `trimmed`; one without an id has the number of its line.
    RAISES (ValueError): a line is no such row; the message says which line and what is wrong.
    """
    for _, row in numbered_rows(path):
        yield row


def numbered_rows(path: str | Path) -> Iterator[tuple[int, Row]]:
    """As `read_rows`, each row with the number of its line."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"There is no corpus file '{path}'.")
    for line in read_jsonl(path):
        try:
            if line.error:
                raise line.error
            check_row(line.value)
            row_id(line.value.get("id"))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, line {line.number}: {error}") from None
        yield line.number, trimmed({**line.value, "id": row_id(line.value.get("id")) or str(line.number)})


def read_chosen(path: str | Path, only: str | Path | None) -> list[Row]:
    """The rows of a file, or those of them whose ids stand in the JSONL file `only`.

    RAISES (ValueError): as `read_rows`, and for a line of `only` that has no id.
    """
    rows = list(read_rows(path))
    if only is None:
        return rows
    chosen = set(_ids(Path(only)))
    return [row for row in rows if row["id"] in chosen]


def _ids(path: Path) -> Iterator[Any]:
    for line in read_jsonl(path):
        if not isinstance(line.value, dict) or "id" not in line.value:
            raise ValueError(f"{path}, line {line.number}: {line.error or 'expected an object with an id'}.")
        yield row_id(line.value["id"])


def row_id(value: Any) -> str | None:
    """The id that a row brings as a string; None: it brings none.

    RAISES (ValueError): it is neither a string nor a whole number.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"the id {value!r} must be a string or a whole number.")
    return str(value)


def check_row(row: Any) -> None:
    """RAISES (ValueError): the row breaks the annotation contract."""
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ValueError('expected an object with a string "text".')
    size = len(row["text"])
    if not isinstance(row.get("spans"), list):
        raise ValueError('"spans" must be a list of {"start", "end", "label"}.')
    for span in row["spans"]:
        _check_span(span, size, "span")
        if not isinstance(span.get("label"), str) or not span["label"].strip():
            raise ValueError(f'the span {span} must have a non-empty string "label".')
    for name in ("absent", "asked"):
        labels = row.get(name, [])
        if not isinstance(labels, list) or not all(isinstance(label, str) and label.strip() for label in labels):
            raise ValueError(f'"{name}" must be a list of non-empty strings.')
    if not isinstance(row.get("unsure", []), list):
        raise ValueError('"unsure" must be a list of {"start", "end", "label"?}.')
    for span in row.get("unsure", []):
        _check_span(span, size, "unsure place")
        if "label" in span and not (isinstance(span["label"], str) and span["label"].strip()):
            raise ValueError(f'the unsure place {span} must have a non-empty string "label", or none.')
    if not isinstance(row.get("links", []), list):
        raise ValueError('"links" must be a list of {"head", "label", "tails"}.')
    for link in row.get("links", []):
        _check_link(link, size)


def _check_span(span: Any, size: int, what: str) -> None:
    if not isinstance(span, dict) or not all(type(span.get(key)) is int for key in ("start", "end")):
        raise ValueError(f'the {what} {span} must have whole numbers "start" and "end".')
    if not 0 <= span["start"] < span["end"] <= size:
        label = f" ({span['label']!r})" if "label" in span else ""
        raise ValueError(
            f"the {what} {span['start']}:{span['end']}{label} lies outside its text of {size} characters or is empty."
        )


def _check_link(link: Any, size: int) -> None:
    if not isinstance(link, dict) or not isinstance(link.get("label"), str) or not link["label"].strip():
        raise ValueError(f'the link {link} must have a non-empty string "label".')
    if not isinstance(link.get("tails"), list):
        raise ValueError(f'the link {link} must have a list "tails" of [start, end]; an empty one: it has no answer.')
    for spot in (link.get("head"), *link["tails"]):
        is_pair = isinstance(spot, list) and len(spot) == 2 and all(type(end) is int for end in spot)
        if not is_pair or not 0 <= spot[0] < spot[1] <= size:
            raise ValueError(f"the link {link} must have places [start, end] inside its text of {size} characters.")


def trimmed(row: Row) -> Row:
    """The row with spans that neither begin nor end with white space or a sign without width.

    Annotators select a blank too many; no token begins or ends with it. Of a span of nothing else the place is unsure.
    Spans that become equal are one; links go along, and those of nothing else are gone. A row without links and such
    spans is given back as it is.
    """
    text = row["text"]
    if row.get("links"):
        row = {**row, "links": _trimmed_links(text, row["links"])}
    spots = [trim(text, span["start"], span["end"]) for span in row["spans"]]
    if all(spot == (span["start"], span["end"]) for spot, span in zip(spots, row["spans"])):
        return row
    spans: dict[Place, Span] = {}
    unsure = list(row.get("unsure", []))
    for (start, end), span in zip(spots, row["spans"]):
        if start < end:
            spans.setdefault((start, end, span["label"]), {**span, "start": start, "end": end})
        else:
            unsure.append({"start": span["start"], "end": span["end"], "label": span["label"]})
    return {**row, "spans": list(spans.values()), **({"unsure": unsure} if unsure else {})}


def _trimmed_links(text: str, links: list[Link]) -> list[Link]:
    found: list[Link] = []
    for link in links:
        head, *tails = [list(trim(text, *spot)) for spot in (link["head"], *link["tails"])]
        kept = [tail for tail in tails if tail[0] < tail[1]]
        if head[0] < head[1] and (kept or not tails):  # without tails it would say that there is no answer
            found.append({**link, "head": head, "tails": kept})
    return found


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """A place without white space and signs without width at its ends."""
    while start < end and (text[start].isspace() or text[start] in WIDTHLESS):
        start += 1
    while start < end and (text[end - 1].isspace() or text[end - 1] in WIDTHLESS):
        end -= 1
    return start, end
