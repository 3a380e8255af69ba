"""Annotation rows from and to Prodigy."""

from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Callable, Iterable, Iterator

from ..data.files import writing
from ..data.items import blank_tokenizer
from ..data.jsonl import json_line
from .opinions import Opinion
from .records import (
    KEPT,
    OPINION,
    Options,
    Skipped,
    Tally,
    foreign_row,
    keep,
    kept_in,
    places_in,
    plain_span,
    restore,
)
from .rows_file import read_lines

SUGGESTED = ("ner", "spans")  # views that ask about suggestions, which a person cannot change


def read_prodigy(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Rows of a Prodigy dataset: its answers, and tasks that have none yet.

    An accepted task of a view that shows suggestions ("ner", "spans") says only that its spans are there, a rejected
    one that they are not; elsewhere an accepted task is complete, and a rejected one is left out.
    """
    return read_lines(path, tally, lambda task: _prodigy_row(task, options.teacher))


def _prodigy_row(task: dict, teacher: str | None) -> dict:
    answer, view = task.get("answer"), task.get("_view_id")
    if answer == "ignore":
        raise Skipped(answer)
    if answer not in ("accept", "reject", None):
        raise Skipped("bad row", f'"answer" is {answer!r}, which is none of accept, reject, ignore.')
    text, spans = task.get("text"), task.get("spans") or []
    if not isinstance(spans, list):
        raise Skipped("bad row", '"spans" must be a list of {"start", "end", "label"}.')
    spans = [plain_span(span, score=answer is None) for span in spans]
    if answer == "reject" and (len(spans) != 1 if view is None else view not in SUGGESTED):
        raise Skipped(answer)
    rejected = frozenset(places_in(text, spans) if answer == "reject" else ())
    spans = [] if answer == "reject" else spans
    kept = kept_in(task.get(KEPT))
    if kept:
        row = restore(text, spans, kept, reviewed=answer is not None, teacher=teacher)
    else:
        meta = dict(task["meta"]) if isinstance(task.get("meta"), dict) else {}
        maker = teacher or ("unknown" if answer is None else "human")
        row = foreign_row(text, spans, source="prodigy", teacher=maker, id=meta.pop("id", task.get("id")))
        row |= {"meta": meta} if meta else {}
    if answer is None:
        return row
    complete = False if view in SUGGESTED else None if view is None else True
    annotator = str(task.get("_annotator_id") or task.get("_session_id") or "")
    return row | {OPINION: Opinion(annotator, complete, rejected, kept.get("id"))}


def write_prodigy(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    """Tasks for `prodigy spans.manual`, with tokens that end wherever a span does."""
    tokenize = blank_tokenizer(options.lang)
    with writing(output) as file:
        for row in rows:
            tokens = _tokens_around(row["text"], row["spans"], tokenize)
            first = {token["start"]: token["id"] for token in tokens}
            last = {token["end"]: token["id"] for token in tokens}
            spans = [
                {**span, "token_start": first[span["start"]], "token_end": last[span["end"]]} for span in row["spans"]
            ]
            file.write(
                json_line(
                    {"text": row["text"], "tokens": tokens, "spans": spans, "meta": {"id": row["id"]}, KEPT: keep(row)}
                )
            )


def _tokens_around(text: str, spans: list[dict], tokenize: Callable[[str], list[tuple[int, int]]]) -> list[dict]:
    """Prodigy's tokens: those of spaCy, cut at the ends of the spans, since Prodigy drops a span that does not align.

    The space behind a token is a token only if a span starts with it or ends after it.
    """
    words = tokenize(text)
    ends = sorted({place for span in spans for place in (span["start"], span["end"])})
    starts, stops = {span["start"] for span in spans}, {span["end"] for span in spans}
    tokens: list[dict] = []
    for i, (start, end) in enumerate(words):
        follows = words[i + 1][0] if i + 1 < len(words) else len(text)
        cuts = [start, *ends[bisect_right(ends, start) : bisect_left(ends, end)], end]
        pieces = [(a, b, False) for a, b in zip(cuts, cuts[1:])]
        if follows > end and (end in starts or follows in stops):
            pieces.append((end, follows, False))
        elif follows > end:
            pieces[-1] = (*pieces[-1][:2], True)
        tokens += [
            {"text": text[a:b], "start": a, "end": b, "id": len(tokens) + n, "ws": ws}
            for n, (a, b, ws) in enumerate(pieces)
        ]
    return tokens
