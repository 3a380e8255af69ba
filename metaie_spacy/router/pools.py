"""Exemplar pools: texts of which it is known which model answers them right (OrchestraLLM, arXiv 2311.09758)."""

from itertools import combinations
from typing import Any, NamedTuple, Sequence

import numpy as np

from .outcomes import Outcomes, Spots
from .retriever import nearest, unit

WAYS = ("right", "errors")


class Pools(NamedTuple):
    """P exemplars in two pools.

    states (ndarray): float32 (P, width); width 0: the small model's weights give none. large (ndarray): whether each is
    in the large model's pool, bool (P,). of_set (ndarray): number of its label set, int64 (P,). projection (ndarray |
    None): float32 (width, width). k (int): neighbours that vote. rows (list[dict]): "id", "text" and "spans" of each.
    """

    states: np.ndarray
    large: np.ndarray
    of_set: np.ndarray
    projection: np.ndarray | None
    k: int
    rows: list[dict[str, Any]]

    def neighbours(self, states: np.ndarray | None, k: int | None = None) -> np.ndarray:
        """The nearest exemplars of N texts over both pools, int64 (N, k).

        RAISES (ValueError): there are no states, or no exemplars.
        """
        if states is None or not self.states.shape[1]:
            raise ValueError(
                "Neighbours need the pooled states of texts, which the small model's weights do not give: they see the "
                "labels when they read a text, or have no head pass. Take a policy that does not ask exemplars, such "
                "as 'metaie-spacy.errors.v1', or weights with text_sees_labels = false and a head pass."
            )
        if not len(self.states):
            raise ValueError("The pools are empty: no text is answered right by either model. Fit with more rows.")
        return nearest(unit(states, self.projection), unit(self.states, self.projection), self.k if k is None else k)


def assign(outcomes: Outcomes, way: str = "right") -> tuple[np.ndarray, np.ndarray]:
    """Which texts are exemplars, and which of them the large model's, int64 (P,) and bool (P,).

    way (str): "right": all right by the small model, or else all right by the large one; others are dropped, as in the
        paper. "errors": the model with fewer errors; a tie goes to the small one.
    RAISES (ValueError): there is no such way.
    """
    if way not in WAYS:
        raise ValueError(f"There is no way '{way}' of filling the pools, only {', '.join(WAYS)}.")
    errors = outcomes.errors
    kept = np.flatnonzero((errors == 0).any(1)) if way == "right" else np.arange(len(errors))
    return kept, errors[kept, 0] > errors[kept, 1]


def agreement_errors(answers: Sequence[Sequence[Spots]]) -> np.ndarray:
    """The error of every annotator on every text, as far as the others' answers tell it without gold, (A, N).

    Smoothie (arXiv 2412.04692): where errors of annotators are independent, the squared distance of two answers is the
    sum of their errors, so that three annotators give each one's error. The distance is 1 - F1 here.

    answers (Sequence): of A annotators on N texts, A >= 3.
    RAISES (ValueError): fewer than three annotators.
    """
    if len(answers) < 3:
        raise ValueError(f"Agreement tells errors of three annotators or more, not of {len(answers)}.")
    distance = {
        pair: np.array([_distance(a, b) for a, b in zip(answers[pair[0]], answers[pair[1]])])
        for pair in combinations(range(len(answers)), 2)
    }
    between = {**distance, **{(j, i): values for (i, j), values in distance.items()}}
    errors = []
    for i in range(len(answers)):
        others = combinations([j for j in range(len(answers)) if j != i], 2)
        errors.append(np.mean([(between[i, j] + between[i, k] - between[j, k]) / 2 for j, k in others], axis=0))
    return np.array(errors)


def _distance(one: Spots, other: Spots) -> float:
    return 1 - 2 * len(one & other) / (len(one) + len(other)) if one or other else 0.0
