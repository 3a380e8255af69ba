"""What was found in a doc as plain data: scores of spans, rows, tables."""

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Iterable

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span, SpanGroup

KEY = "metaie"  # the default group


def rows(doc: "Doc", key: str = KEY) -> list[dict[str, Any]]:
    """The spans of a group: "start" and "end" (characters, end exclusive), "text", "label", "score" (None: no number).

    RAISES (ValueError): the doc has no such group.
    """
    group = _group(doc, key)
    scores = _scores(group)
    return [
        {
            "start": span.start_char,
            "end": span.end_char,
            "text": span.text,
            "label": span.label_,
            "score": round(score, 4) if score is not None and math.isfinite(score) else None,
        }
        for span, score in zip(group, scores)
    ]


def to_dataframe(docs: Iterable["Doc"], key: str = KEY) -> Any:
    """The spans of all docs as a pandas DataFrame, a row a span: "doc" (its number), then as `rows`.

    RAISES (ImportError): pandas is missing. (ValueError): a doc has no such group.
    """
    try:
        import pandas
    except ImportError:
        raise ImportError("to_dataframe needs pandas: pip install pandas.") from None
    columns = ["doc", "start", "end", "text", "label", "score"]
    return pandas.DataFrame(
        [{"doc": number, **row} for number, doc in enumerate(docs) for row in rows(doc, key)], columns=columns
    )


def score_of(span: "Span") -> float | None:
    """The score of a span, or of an entity that is one: from the first group that has it; None: none has.

    Registered as `span._.metaie_score`.
    """
    for group in span.doc.spans.values():
        scores = group.attrs.get("scores")
        if scores is None or len(scores) != len(group):
            continue
        at = bisect_left(group, span.start, key=lambda other: other.start)  # groups of ours are in order
        while at < len(group) and group[at].start == span.start:
            if group[at].end == span.end and group[at].label == span.label:
                return float(scores[at])
            at += 1
    return None


def _group(doc: "Doc", key: str) -> "SpanGroup":
    if key not in doc.spans:
        raise ValueError(
            f"The doc has no doc.spans['{key}'], only {sorted(doc.spans)}. Give the component's spans_key."
        )
    return doc.spans[key]


def _scores(group: "SpanGroup") -> list[float | None]:
    scores = group.attrs.get("scores")
    if scores is None or len(scores) != len(group):
        return [None] * len(group)
    return [float(score) for score in scores]
