"""Links of annotated rows -> what a link's score is made of, so that it is a probability, and the threshold with it."""

import random
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np
from spacy.tokens import Doc

from ..data.documents import document_of
from ..data.known_links import known_links
from ..data.rows import Row
from ..linking import decode
from ..linking.words import calibration_of
from ..schema import parse_links
from .asking import ask, decided, found_spans, gold_spans, row_schema, with_candidates
from .scores import PRF

NAMES = tuple(decode.WEIGHTS)  # "bias" first
MIN_LINKS = 50  # pairs that are right, in each half
TAGS = (0.15, 0.3, 0.5)  # boundaries for the tokens of free answers that are tried
CUTS = np.arange(2, 99) / 100  # thresholds that are tried
PRIOR = 1.0  # how many pairs' worth the constants of `decode.WEIGHTS` weigh
FOR = ("head", "answer", "inverse", "tail")  # what speaks for a link
AGAINST = ("other_relation", "other_head")  # what speaks against it
SPANS = ("head", "tail", "inverse")  # of which rows of links say little
SURE_PRIOR = 100.0  # the same of the scores of spans, of which rows of links say little
BINS = 15  # bins of the expected calibration error


class Pairs(NamedTuple):
    """What speaks for N pairs, and which of them are gold links.

    parts (ndarray): a column a name of `decode.WEIGHTS`, the first all ones, float64 (N, 9). right (ndarray): (N,).
    scores (ndarray): as they are now, (N,). gold (int): links that are to be found.
    """

    parts: np.ndarray
    right: np.ndarray
    scores: np.ndarray
    gold: int


def calibrate_links(pipe: Any, rows: Sequence[Row], docs: Sequence[Doc], *, seed: int = 0) -> dict | None:
    """Make the score of a link the probability that all of it is right, and find the threshold of the best F.

    A logistic regression on what speaks for a link (see `decode.features`), held near the constants of `decode.WEIGHTS`
    where the rows say little, is fitted to the links of half of the documents: about the spans that the component
    finds and about those of the rows, each once where any words may answer and once where the answers to all questions
    of a row and these spans are the candidates. Fitted to found spans alone, it asks too little of links between spans
    that are given.

    The weights carry it as `link_calibration`, with "threshold" and "tag", the boundary of free answers.

    pipe: the component, which is changed. docs (Sequence[Doc]): of the rows, with the spans that it found.
    RETURNS (dict | None): the coefficients, "threshold", "tag", `texts`, and `before` and `after` on the other half
        (`p`, `r`, `f`, `found`, `ece`, `brier`). None: there are fewer than 50 right pairs in one of the halves.
    """
    halves = halved(rows, seed)
    shim = pipe.model.shims[0]
    old = calibration_of(pipe) or {}
    now = float(decode.threshold_of(None, pipe.link_threshold, old))
    held = weigh(pipe, rows, docs, halves[1], old)
    before = measure(held, held.scores, now)
    best, best_f = None, -1.0
    for tag in TAGS:
        tried = {**old, "tag": tag}
        fitted = weigh(pipe, rows, docs, halves[0], tried)
        if fitted.right.sum() < MIN_LINKS or held.right.sum() < MIN_LINKS:
            continue
        ways = [{"typed": True}, {"given": True}, {"typed": True, "given": True}]
        parts = [fitted, *(weigh(pipe, rows, docs, halves[0], tried, **way) for way in ways)]
        weights = fit(joined(parts))
        cut, f = best_cut(parts, weights)
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
    pipe: Any,
    rows: Sequence[Row],
    docs: Sequence[Doc],
    chosen: Sequence[int],
    calibration: Mapping[str, float],
    *,
    typed: bool = False,
    given: bool = False,
) -> Pairs:
    """The pairs about spans of the chosen rows, of which it is known whether they are right.

    typed (bool): the answers to all questions of a row and the spans are candidates; else any words may answer.
    given (bool): the spans are those of the rows; else those that were found.
    """
    own = parse_links({"links": pipe.links})
    if given:
        asked = [gold_spans(docs[i], rows[i], own) for i in chosen]
    else:
        asked = [found_spans(pipe, docs[i], row_schema(rows[i], own)) for i in chosen]
    if typed:
        asked = [with_candidates(one, rows[i]) for one, i in zip(asked, chosen)]
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
    """Coefficients of the least log loss, (9,); a weak prior holds them near the constants.

    What speaks for a link never speaks against it, nor the other way round: where the rows would have it so, the
    coefficient is 0.
    """
    fixed = np.zeros(len(NAMES), dtype=bool)
    while True:
        at = newton(pairs, fixed)
        turned = (at < 0) & np.isin(NAMES, FOR) | (at > 0) & np.isin(NAMES, AGAINST)
        if not turned.any():
            break
        fixed |= turned
    answer, inverse = NAMES.index("answer"), NAMES.index("inverse")
    if not pairs.parts[:, inverse].any():  # nothing was asked back: it weighs against the answer as before
        at[inverse] = at[answer] * decode.WEIGHTS["inverse"] / decode.WEIGHTS["answer"]
    return at


def newton(pairs: Pairs, fixed: np.ndarray) -> np.ndarray:
    """The fit by Newton's method. fixed (ndarray): coefficients that are 0, bool (9,)."""
    start = np.where(fixed, 0.0, [decode.WEIGHTS[name] for name in NAMES])
    x, y, at = pairs.parts * ~fixed, pairs.right.astype("float64"), start.copy()
    prior = np.array([SURE_PRIOR if name in SPANS else PRIOR for name in NAMES])
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(x @ at, -500, 500)))
        gradient = x.T @ (chance - y) + prior * (at - start)
        information = (x * (chance * (1 - chance))[:, None]).T @ x + np.diag(prior)
        step = np.linalg.solve(information, gradient)
        size = 1.0
        while size > 1e-6 and loss(x, y, at - size * step, start, prior) > loss(x, y, at, start, prior):
            size /= 2
        at = at - size * step
        if np.abs(size * step).max() < 1e-8:
            break
    return at


def loss(x: np.ndarray, y: np.ndarray, at: np.ndarray, start: np.ndarray, prior: np.ndarray) -> float:
    z = x @ at
    return float((np.logaddexp(0, z) - y * z).sum() + (prior * (at - start) ** 2).sum() / 2)


def scores_with(pairs: Pairs, weights: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(pairs.parts @ weights, -500, 500)))


def joined(parts: Sequence[Pairs]) -> Pairs:
    """The pairs of all."""
    columns = (np.concatenate(column) for column in zip(*(part[:3] for part in parts)))
    return Pairs(*columns, sum(part.gold for part in parts))


def best_cut(parts: Sequence[Pairs], weights: np.ndarray) -> tuple[float, float]:
    """The threshold of the best mean F of several sets of pairs, and that F."""
    total = np.zeros(len(CUTS))
    for pairs in parts:
        kept = scores_with(pairs, weights) >= CUTS[:, None]
        right = (kept & pairs.right).sum(1)
        total += 2 * right / np.maximum(1, kept.sum(1) + pairs.gold) / len(parts)
    return float(CUTS[total.argmax()]), float(total.max())


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
