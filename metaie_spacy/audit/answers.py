"""What a pipeline answers to annotated rows, span by span, beside what is known of them."""

from collections import defaultdict
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np
from spacy.language import Language
from tqdm import tqdm

from ..data.documents import document_of
from ..data.known import Known, known_of
from ..data.rows import Place, Row, asked_of
from ..measure.scores import exact_matches
from ..pipelines import active_pipe
from ..streams import pipe_with_labels


class Answered(NamedTuple):
    """A row, what is known of it, and the spans that the pipeline found and of which it is known whether they are
    right, each with its score."""

    row: Row
    known: Known
    found: dict[Place, float]


def answer(
    nlp: Language, rows: Sequence[Row], *, name: str = "metaie", asks: Sequence[Any] | None = None, note: str = ""
) -> list[Answered]:
    """Ask a pipeline every row's own and absent labels. asks (Sequence | None): what each is asked instead.

    note (str): of the bar; "" shows none. RAISES (ValueError): the pipeline has no such component.
    """
    key = active_pipe(nlp, name).spans_key
    pairs = list(zip((row["text"] for row in rows), map(asked_of, rows) if asks is None else asks, strict=True))
    docs = pipe_with_labels(nlp, pairs, name=name)
    found = []
    for row, doc in zip(rows, tqdm(docs, total=len(rows), desc=note, mininterval=5, disable=not note)):
        known, group = known_of(row), doc.spans[key]
        spots = {
            (span.start_char, span.end_char, span.label_): float(score)
            for span, score in zip(group, group.attrs["scores"])
        }
        found.append(Answered(row, known, {spot: score for spot, score in spots.items() if known.decides(spot)}))
    return found


def by_document(answered: Sequence[Answered], of: Callable[[Row, Place], Any]) -> dict[Any, np.ndarray]:
    """Counts of each value of a trait of spans: true and false positives and false negatives, (documents, 3)."""
    documents = {name: i for i, name in enumerate(dict.fromkeys(document_of(one.row) for one in answered))}
    counts: dict[Any, np.ndarray] = defaultdict(lambda: np.zeros((len(documents), 3), dtype="int64"))
    for one in answered:
        at, found = documents[document_of(one.row)], set(one.found)
        for column, spots in enumerate((one.known.spans & found, found - one.known.spans, one.known.spans - found)):
            for spot in spots:
                counts[of(one.row, spot)][at, column] += 1
    return dict(counts)


def scored(answered: Sequence[Answered]) -> tuple[np.ndarray, np.ndarray]:
    """Score of each found span, and whether it is right, float64 (N,) and bool (N,)."""
    pairs = [(score, spot in one.known.spans) for one in answered for spot, score in one.found.items()]
    scores, correct = np.array(pairs, dtype="float64").reshape(-1, 2).T
    return scores, correct.astype(bool)


def fscore(answered: Sequence[Answered]) -> float:
    """Micro F."""
    return exact_matches([one.known.spans for one in answered], [set(one.found) for one in answered]).fscore
