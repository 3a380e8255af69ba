"""Scores of two runs side by side."""

import numpy as np
from spacy.tokens import Doc

Span = tuple[int, int, str]  # start and end in characters, label


def scored_spans(doc: Doc, key: str = "metaie") -> dict[Span, float]:
    """The spans that a doc holds under a key, with their scores."""
    group = doc.spans[key]
    return {(s.start_char, s.end_char, s.label_): float(x) for s, x in zip(group, group.attrs["scores"], strict=True)}


def score_changes(a: list[dict[Span, float]], b: list[dict[Span, float]]) -> list[float]:
    """How far the scores lie apart of the spans that are in both answers to a text, of all texts."""
    return [abs(one[span] - other[span]) for one, other in zip(a, b, strict=True) for span in one.keys() & other.keys()]


def largest_probability_change(a: dict, b: dict) -> float:
    """The same of two runs' logits, {any key: array (..., 2)}: the largest change of a probability of B or I."""
    return max(float(np.abs(probabilities(a[key]) - probabilities(b[key])).max()) for key in a)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Probabilities of B and I from their logits, beside O with a logit of 0."""
    full = np.concatenate([np.zeros((*logits.shape[:-1], 1)), logits.astype("float64")], -1)
    full = np.exp(full - full.max(-1, keepdims=True))
    return (full / full.sum(-1, keepdims=True))[..., 1:]
