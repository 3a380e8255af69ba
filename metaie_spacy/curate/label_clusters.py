"""Labels that mean the same, found by the vectors that a model gives them."""

from collections import Counter
from typing import TYPE_CHECKING, Mapping, Sequence

import numpy as np

from ..pipelines import metaie_of

if TYPE_CHECKING:
    from spacy.language import Language


MAX_WORDS = 4
BLOCK = 512


def names_a_type(label: str) -> bool:
    """Whether a label may be merged with another: no capitals, no digits, at most four words.

    What names a thing ("employer of Ada Lovelace") or a number asks for something else than its
    neighbours, however close their vectors are.
    """
    return label == label.lower() and not any(c.isdigit() for c in label) and len(label.split()) <= MAX_WORDS


def cluster_labels(rows: Mapping[str, int], vectors: np.ndarray, threshold: float) -> dict[str, str]:
    """Every label that stands close enough to a more frequent one -> that one.

    The most frequent label opens a cluster; each further one joins the cluster whose first label is
    nearest, or opens its own. So no chain of small steps joins labels that are far apart.

    rows (Mapping): label -> its frequency. vectors (ndarray): unit vectors in the same order, float32 (U, D).
    threshold (float): least cosine.
    """
    names = list(rows)
    order = sorted(range(len(names)), key=lambda i: (-rows[names[i]], names[i]))
    vectors = vectors[order]
    is_first = np.zeros(len(order), dtype=bool)
    joined = {}
    for start in range(0, len(order), BLOCK):
        stop = min(start + BLOCK, len(order))
        cosines = vectors[start:stop] @ vectors[:stop].T
        for i in range(start, stop):
            row = np.where(is_first[:i], cosines[i - start, :i], -2.0)
            best = int(row.argmax()) if i else -1
            if i and row[best] >= threshold:
                joined[names[order[i]]] = names[order[best]]
            else:
                is_first[i] = True
    return joined


def label_vectors(labels: Sequence[str], nlp: "Language") -> np.ndarray:
    """The mean of each label's states in the encoder, centred, as unit vectors, float32 (U, hidden).

    That is how training tells labels too alike to be each other's negatives. The vectors of the
    label head are worse for this: they say which tokens a label fits, so "singer" stands beside
    "filmmaker" and "date" beside "duration".

    nlp (Language): a pipeline with a `metaie` component.
    """
    import torch

    from ..model.encoder import label_means

    shim = metaie_of(nlp).model.shims[0]
    shim.module.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(labels), BLOCK):
            packed = shim.pieces.labels(labels[start : start + BLOCK])
            parts.append(
                label_means(shim.module, type(packed)(*(t.to(shim.device) for t in packed))).float().cpu().numpy()
            )
    vectors = np.concatenate(parts)
    vectors -= vectors.mean(0)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def alike_labels(rows: Counter[str], nlp: "Language", threshold: float) -> dict[str, str]:
    """`cluster_labels` for those labels of a corpus that name a type."""
    types = {label: n for label, n in rows.items() if names_a_type(label)}
    return cluster_labels(types, label_vectors(list(types), nlp), threshold) if len(types) > 1 else {}
