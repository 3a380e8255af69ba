"""From logits to links: what speaks for a link, and which ones stay. Imports neither spaCy nor torch."""

from typing import Mapping, NamedTuple, Sequence

import numpy as np

# What the log-odds of a link are made of, where the weights carry no calibration of their own.
WEIGHTS: Mapping[str, float] = {
    "bias": 0.5,
    "head": 0.15,  # a log-odds of the head's score
    "answer": 1.0,  # of the answer's support, when the head is asked
    "inverse": 0.5,  # of the head's support, when the answer is asked
    "distance": -0.25,  # log(1 + characters between head and answer)
    "tail": 0.15,  # of the tail's score, where it is an entity
    "free": 0.0,  # 1 where any words might answer, 0 where candidates did
    "other_relation": -0.5,  # by how much another relation of the head claims the tail, see `claims`
    "other_head": -0.25,  # the same of another head of the relation; heads share answers more often than relations do
}
THRESHOLD = 0.5  # the least probability of a link, where nothing says another
SURE = 9.0  # the largest log-odds that one part brings, and minus it the least
FLOOR = 0.01  # a candidate with less support is no answer, whatever else speaks for it
MAYBE = 0.05  # an answer with less support is not asked back
UNSAID = 0.3  # an option without a wording holds where each of the others is said with less presence
MARGIN = 1.0  # log-odds by which a pair must be ahead of its rivals so that they cost it nothing
NEAR = 8  # tokens on each side of a span in which its attribute is looked for; of 4 to all, 4 to 8 were best in words


class Pairs(NamedTuple):
    """Heads and tails that may be linked, one pair a place of the four arrays, (N,).

    heads, tails (ndarray): numbers in the lists of heads and of tails, int64.
    support (ndarray): of the tail when the head was asked, in [0, 1]. inverse (ndarray): the other
        way round; NaN where that was not asked.
    """

    heads: np.ndarray
    tails: np.ndarray
    support: np.ndarray
    inverse: np.ndarray


def presence(logits: np.ndarray) -> np.ndarray:
    """The probability that a token is inside an answer, (W, U), from the logits of B and I against O = 0, (W, U, 2)."""
    peak = np.maximum(logits.max(-1), 0)
    inside = np.exp(logits - peak[..., None]).sum(-1)
    return inside / (inside + np.exp(-peak))


def support(inside: np.ndarray, tokens: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """How far each candidate is an answer: the mean presence of its tokens.

    inside (ndarray): presence of the W scored tokens for U questions, (W, U). tokens (ndarray): their
        indices in the text, rising, (W,). starts, ends (ndarray): of the C candidates, in tokens, end exclusive, (C,).
    RETURNS (ndarray): in [0, 1], (C, U); NaN for a candidate of which no token was scored.
    """
    sums = np.zeros((len(inside) + 1, inside.shape[1]))
    np.cumsum(inside, axis=0, out=sums[1:])
    first, last = np.searchsorted(tokens, starts), np.searchsorted(tokens, ends)
    with np.errstate(invalid="ignore"):
        return np.clip((sums[last] - sums[first]) / (last - first)[:, None], 0.0, 1.0)


def peak_near(inside: np.ndarray, tokens: np.ndarray, start: int, end: int) -> np.ndarray:
    """The highest presence of a token in a span or near it, (U,); what is said of it stands beside it as a rule."""
    first, last = np.searchsorted(tokens, [start - NEAR, end + NEAR])
    return inside[first:last].max(0) if first < last else np.zeros(inside.shape[1])


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Cut off at +-9."""
    least = 1 / (1 + np.exp(SURE))
    sure = np.clip(np.asarray(probability, dtype="float64"), least, 1 - least)
    return np.log(sure) - np.log1p(-sure)


def gaps(head_starts: np.ndarray, head_ends: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Characters between spans that do not overlap, (N,), from where they start and end."""
    return np.maximum(0, np.maximum(starts - head_ends, head_starts - ends))


def claims(groups: np.ndarray, sides: np.ndarray, starts: np.ndarray, ends: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """How far each span is claimed by its strongest rival: of its group, of another side, and sharing a token with it.

    groups, sides (ndarray): int, (N,). starts, ends (ndarray): of the spans, in tokens, end exclusive, (N,). odds
        (ndarray): log-odds of each, (N,).
    RETURNS (ndarray): the rival's log-odds less its own, plus 1; 0 where that is less or there is no rival, (N,).
    """
    if not len(odds):
        return np.zeros(0)
    sizes = ends - starts
    first = np.cumsum(sizes) - sizes
    spans = np.repeat(np.arange(len(sizes)), sizes)  # a line for each token of each span
    tokens = np.arange(len(spans)) - first[spans] + starts[spans]
    places = np.unique(groups[spans] * int(ends.max()) + tokens, return_inverse=True)[1]
    own, values = sides[spans], odds[spans]
    order = np.lexsort((-values, own, places))
    new = (np.diff(places[order], prepend=-1) != 0) | (np.diff(own[order], prepend=own[order[0]]) != 0)
    order = order[new]  # the strongest of each side at each token
    order = order[np.lexsort((-values[order], places[order]))]
    at = np.flatnonzero(np.diff(places[order], prepend=-1))  # where the strongest of each token is, the next after it
    best, counts = order[at], np.diff(at, append=len(order))
    second = np.where(counts > 1, values[order[np.minimum(at + 1, len(order) - 1)]], -np.inf)
    rival = np.where(own == own[best][places], second[places], values[best][places])
    return np.maximum(0.0, np.maximum.reduceat(rival, first) - odds + MARGIN)


def features(
    head_scores: np.ndarray,
    support: np.ndarray,
    inverse: np.ndarray,
    gap: np.ndarray,
    tail_scores: np.ndarray,
    is_free: np.ndarray,
) -> dict[str, np.ndarray]:
    """What a link's log-odds are made of, by its name in `WEIGHTS`, each (N,); what is not known is 0.

    What it has beside other links, "other_relation" and "other_head", is worked out by `claims`.

    inverse (ndarray): NaN where it was not asked. gap (ndarray): in characters. tail_scores (ndarray): NaN for a tail
        that is no entity. is_free (ndarray): whether any words might answer, bool.
    """
    return {
        "head": log_odds(head_scores),
        "answer": log_odds(support),
        "inverse": np.where(np.isnan(inverse), 0.0, log_odds(inverse)),
        "distance": np.log1p(gap),
        "tail": np.where(np.isnan(tail_scores), 0.0, log_odds(tail_scores)),
        "free": is_free.astype("float64"),
    }


def probability(parts: Mapping[str, np.ndarray], weights: Mapping[str, float] = WEIGHTS) -> np.ndarray:
    """That the whole link is right, (N,). parts (Mapping): see `features`. weights (Mapping): names as in `WEIGHTS`."""
    total = weights["bias"] + sum(weights[name] * values for name, values in parts.items())
    return 1 / (1 + np.exp(-np.clip(total, -500, 500)))


def chosen(
    pairs: Pairs, scores: np.ndarray, *, threshold: float, most: int | None = None, one_head: bool = False
) -> np.ndarray:
    """Which pairs are links: numbers of pairs, rising.

    First the threshold decides; then a tail goes to its best head, if it has but one; then a head keeps its best
    tails. Of pairs that score the same, the earlier one wins.

    scores (ndarray): probabilities of the pairs, (N,). threshold (float): the least one; at 1 there are no links.
    most (int | None): tails of a head; None: any number. one_head (bool): whether a tail belongs to one head only.
    """
    kept = np.flatnonzero(scores >= threshold) if threshold < 1 else np.zeros(0, dtype="int64")
    if one_head:
        kept = _best(kept, pairs.tails, pairs.heads, scores, 1)
    if most is not None:
        kept = _best(kept, pairs.heads, pairs.tails, scores, most)
    return np.sort(kept)


def _best(kept: np.ndarray, group: np.ndarray, other: np.ndarray, scores: np.ndarray, most: int) -> np.ndarray:
    """Of the pairs of each group the best ones."""
    if not len(kept):
        return kept
    kept = kept[np.lexsort((other[kept], -scores[kept], group[kept]))]
    first = np.flatnonzero(np.diff(group[kept], prepend=group[kept[0]] - 1))
    place = np.arange(len(kept)) - np.repeat(first, np.diff(np.append(first, len(kept))))
    return kept[place < most]


def shares(peaks: np.ndarray) -> np.ndarray:
    """Probabilities of options of which one holds, (N, O), from how far each is said, in [0, 1]."""
    odds = log_odds(peaks)
    raised = np.exp(odds - odds.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def threshold_of(own: float | None, call: float | None, calibration: Mapping[str, float] | None) -> float:
    """The least probability of a link: the relation's own, else the call's, else the calibrated one, else 0.5."""
    given: Sequence[float | None] = (own, call, (calibration or {}).get("threshold"))
    return next((value for value in given if value is not None), THRESHOLD)
