"""What is known of texts when the small model has read them: figures that policies score by."""

import hashlib
from typing import Callable, NamedTuple, Sequence

import numpy as np
from spacy.tokens import Doc

from ..notes import Note, states_of

Scored = Sequence[tuple[str, float]]  # label and score of spans


class Facts(NamedTuple):
    """What the small model says of N texts.

    texts (Sequence[str]): as they are. words (Sequence[int]): their tokens. labels (Sequence[tuple[str, ...]]): the
    names that each was asked, sorted. found, dropped (Sequence[Scored]): spans of each, and those that scored below
    their threshold. states (ndarray | None): see `notes.Note`, float32 (N, width); zeros where nothing was read.
    """

    texts: Sequence[str]
    words: Sequence[int]
    labels: Sequence[tuple[str, ...]]
    found: Sequence[Scored]
    dropped: Sequence[Scored]
    states: np.ndarray | None

    def take(self, at: Sequence[int]) -> "Facts":
        """Those of some texts."""
        parts = ([part[i] for i in at] for part in self[:-1])
        return Facts(*parts, None if self.states is None else self.states[np.asarray(at, dtype=np.int64)])


def facts_of(docs: Sequence[Doc], notes: Sequence[Note], key: str) -> Facts:
    """The facts of docs that a component has annotated, from its spans under a key and its notes."""
    asked = {note.ask.labels: tuple(sorted(label.name for label in note.ask.labels)) for note in notes}
    found = [
        [(span.label_, score) for span, score in note.strong_spans(doc.spans[key])] for doc, note in zip(docs, notes)
    ]
    return Facts(
        [doc.text for doc in docs],
        [len(doc) for doc in docs],
        [asked[note.ask.labels] for note in notes],
        found,
        [[(answer.label, answer.score) for answer in note.dropped] for note in notes],
        states_of(notes),
    )


def expected_errors(facts: Facts, only: Sequence[Sequence[str]] | None = None) -> np.ndarray:
    """How many spans of each text are wrong or missed if scores are probabilities, (N,).

    only (Sequence | None): labels of each text whose errors count; None: all.
    """
    if only is None:
        return _sums(facts.found, lambda score: 1 - score) + _sums(facts.dropped, lambda score: score)
    kept = [[[pair for pair in own if pair[0] in names] for own, names in zip(part, only)] for part in facts[3:5]]
    return expected_errors(facts._replace(found=kept[0], dropped=kept[1]))


def _sums(scored: Sequence[Scored], of: Callable[[float], float]) -> np.ndarray:
    return np.array([sum(of(score) for _, score in own) for own in scored], dtype=np.float64)


def _draw(text: str) -> float:
    """A number in [0, 1) that depends on nothing but the text."""
    return int.from_bytes(hashlib.sha256(text.encode("utf8", "surrogatepass")).digest()[:8], "big") / 2**64


def _numbers(values: Sequence[float]) -> np.ndarray:
    return np.array(values, dtype=np.float64)


# Scores of a text without spans count as 0, so that the column "none" says how much that is worth.
PLAIN: dict[str, Callable[[Facts], np.ndarray]] = {
    "least": lambda facts: _numbers([min((score for _, score in own), default=0.0) for own in facts.found]),
    "mean": lambda facts: _numbers([sum(score for _, score in own) / max(1, len(own)) for own in facts.found]),
    "spans": lambda facts: _numbers([len(own) for own in facts.found]),
    "none": lambda facts: _numbers([not own for own in facts.found]),
    "wrong": lambda facts: _sums(facts.found, lambda score: 1 - score),
    "missed": lambda facts: _sums(facts.dropped, lambda score: score),
    "errors": expected_errors,
    "words": lambda facts: np.log1p(_numbers(facts.words)),
    "labels": lambda facts: np.log1p(_numbers([len(own) for own in facts.labels])),
    "random": lambda facts: _numbers([_draw(text) for text in facts.texts]),
}
