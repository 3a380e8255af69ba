"""Links of annotated rows -> what a link's score is made of, so that it is a probability, and the threshold with it."""

import random
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np
from spacy.tokens import Doc

from ..data.documents import document_of
from ..data.known_links import known_links
from ..data.rows import Row
from ..links import decode
from ..schema import parse_links
from .asking import ask, decided, found_spans
from .scores import PRF

NAMES = tuple(decode.WEIGHTS)  # "bias" first
MIN_LINKS = 50  # pairs that are right, in each half
TAGS = (0.15, 0.3, 0.5)  # boundaries for the tokens of free answers that are tried
CUTS = np.arange(2, 99) / 100  # thresholds that are tried
PRIOR = 1.0  # how many pairs' worth the constants of `decode.WEIGHTS` weigh
BINS = 15  # bins of the expected calibration error


class Pairs(NamedTuple):
    """What speaks for N pairs, and which of them are gold links.

    parts (ndarray): a column a name of `decode.WEIGHTS`, the first all ones, float64 (N, 6). right (ndarray): (N,).
    scores (ndarray): as they are now, (N,). gold (int): links that are to be found.
    """

    parts: np.ndarray
    right: np.ndarray
    scores: np.ndarray
    gold: int


def calibrate_links(pipe: Any, rows: Sequence[Row], docs: Sequence[Doc], *, seed: int = 0) -> dict | None:
    """Make the score of a link the probability that all of it is right, and find the threshold of the best F.

    A logistic regression on what speaks for a link (see `decode.features`), held near the constants of `decode.WEIGHTS`
    where the rows say little, is fitted to the links about the spans that the component finds in half of the
    documents. The weights carry it as `link_calibration`, with "threshold" and "tag", the boundary of free answers.

    pipe: the component, which is changed. docs (Sequence[Doc]): of the rows, with the spans that it found.
    RETURNS (dict | None): the coefficients, "threshold", "tag", `texts`, and `before` and `after` on the other half
        (`p`, `r`, `f`, `found`, `ece`, `brier`). None: there are fewer than 50 right pairs in one of the halves.
    """
    halves = halved(rows, seed)
    shim = pipe.model.shims[0]
    old = shim.link_calibration or {}
    now = float(decode.threshold_of(None, pipe.link_threshold, old))
    held = weigh(pipe, rows, docs, halves[1], old)
    before = measure(held, held.scores, now)
    best, best_f = None, -1.0
    for tag in TAGS:
        fitted = weigh(pipe, rows, docs, halves[0], {**old, "tag": tag})
        if fitted.right.sum() < MIN_LINKS or held.right.sum() < MIN_LINKS:
            continue
        weights = fit(fitted)
        cut, f = best_cut(fitted, scores_with(fitted, weights))
        if f > best_f:
            best, best_f = (weights, cut, tag), f
    if best is None:
        return None
    weights, cut, tag = best
    new = {**dict(zip(NAMES, weights.tolist())), "threshold": cut, "tag": tag}
    after = weigh(pipe, rows, docs, halves[1], new)
    shim.link_calibration = new
    pipe.link_threshold = None
    return {**new, "texts": len(rows), "before": before, "after": measure(after, after.scores, cut)}


def halved(rows: Sequence[Row], seed: int) -> tuple[list[int], list[int]]:
    """The numbers of the rows of two halves; passages of one document stay together."""
    documents = sorted({document_of(row) for row in rows})
    random.Random(seed).shuffle(documents)
    first = set(documents[: len(documents) // 2])
    sides: tuple[list[int], list[int]] = ([], [])
    for i, row in enumerate(rows):
        sides[document_of(row) not in first].append(i)
    return sides


def weigh(
    pipe: Any, rows: Sequence[Row], docs: Sequence[Doc], chosen: Sequence[int], calibration: Mapping[str, float]
) -> Pairs:
    """The pairs about the spans that were found in the chosen rows, of which it is known whether they are right."""
    own = parse_links({"links": pipe.links})
    asked = [found_spans(docs[i], rows[i], own, pipe.spans_key) for i in chosen]
    known = [known_links(rows[i]) for i in chosen]
    weighed: list = []
    for _ in ask(pipe, asked, calibration=calibration, weighed=weighed):
        pass
    right = decided(known, asked, weighed)
    kept = [(pair, bool(is_right)) for pair, is_right in zip(weighed, right) if is_right is not None]
    parts = [[1.0, *(pair.parts[name] for name in NAMES[1:])] for pair, _ in kept]
    return Pairs(
        np.array(parts).reshape(-1, len(NAMES)),
        np.array([is_right for _, is_right in kept], dtype=bool),
        np.array([pair.score for pair, _ in kept]),
        sum(len(one.links) for one in known),
    )


def fit(pairs: Pairs) -> np.ndarray:
    """Coefficients of the least log loss, by Newton's method, (6,); a weak prior holds them near the constants."""
    start = np.array([decode.WEIGHTS[name] for name in NAMES])
    x, y, at = pairs.parts, pairs.right.astype("float64"), start.copy()
    prior = PRIOR * np.ones(len(NAMES))
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(x @ at, -500, 500)))
        gradient = x.T @ (chance - y) + prior * (at - start)
        information = (x * (chance * (1 - chance))[:, None]).T @ x + np.diag(prior)
        step = np.linalg.solve(information, gradient)
        size = 1.0
        while size > 1e-6 and loss(x, y, at - size * step, start) > loss(x, y, at, start):
            size /= 2
        at = at - size * step
        if np.abs(size * step).max() < 1e-8:
            break
    return at


def loss(x: np.ndarray, y: np.ndarray, at: np.ndarray, start: np.ndarray) -> float:
    z = x @ at
    return float((np.logaddexp(0, z) - y * z).sum() + PRIOR * ((at - start) ** 2).sum() / 2)


def scores_with(pairs: Pairs, weights: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(pairs.parts @ weights, -500, 500)))


def best_cut(pairs: Pairs, scores: np.ndarray) -> tuple[float, float]:
    """The threshold of the best F, and that F."""
    kept = scores >= CUTS[:, None]
    right = (kept & pairs.right).sum(1)
    f = 2 * right / np.maximum(1, kept.sum(1) + pairs.gold)
    return float(CUTS[f.argmax()]), float(f.max())


def measure(pairs: Pairs, scores: np.ndarray, threshold: float) -> dict:
    """Exact-match scores at a threshold, and how far the scores of all pairs are from probabilities."""
    kept = scores >= threshold
    right = int((kept & pairs.right).sum())
    counts = PRF(right, int(kept.sum()) - right, pairs.gold - right)
    parts = [part for part in np.array_split(np.argsort(scores, kind="stable"), BINS) if len(part)]
    gaps = [len(part) * abs(scores[part].mean() - pairs.right[part].mean()) for part in parts]
    return {
        "threshold": threshold, "p": counts.precision, "r": counts.recall, "f": counts.fscore, "found": int(kept.sum()),
        "pairs": len(scores), "ece": float(sum(gaps) / max(1, len(scores))),
        "brier": float(((scores - pairs.right) ** 2).mean()) if len(scores) else 0.0,
    }  # fmt: skip
