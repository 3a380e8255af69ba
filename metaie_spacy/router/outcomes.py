"""What it is worth to ask the large model: counts of both models, curves of F by calls, and what they amount to.

Curves and AIQ (area under the non-decreasing convex hull of quality by cost) follow RouterBench (arXiv 2403.12031).
"""

from typing import NamedTuple, Sequence

import numpy as np

from ..data.known import known_of
from ..data.rows import Row
from ..measure.bounds import last_safe_cut

MIN_STAY = 30  # texts; fewer are no test
Spots = set[tuple[int, int, str]]


class Outcomes(NamedTuple):
    """How both models did on N texts.

    small, large (ndarray): right spans and found spans, int64 (N, 2). gold (ndarray): spans to find, int64 (N,).
    """

    small: np.ndarray
    large: np.ndarray
    gold: np.ndarray

    def take(self, at: np.ndarray) -> "Outcomes":
        """Those of some texts."""
        return Outcomes(*(part[at] for part in self))

    @property
    def errors(self) -> np.ndarray:
        """Wrong and missed spans of the small and of the large model, int64 (N, 2)."""
        return np.stack([found - 2 * right + self.gold for right, found in (self.small.T, self.large.T)], 1)


def outcomes_of(rows: Sequence[Row], small: Sequence[Spots], large: Sequence[Spots]) -> Outcomes:
    """Counts against the gold spans of rows; what a row leaves open is not counted.

    small, large (Sequence[set]): the spans that each model found in each text.
    """
    counts: list[list[tuple[int, int]]] = [[], []]
    known = [known_of(row) for row in rows]
    for side, answers in zip(counts, (small, large)):
        for given, spots in zip(known, answers):
            found = given.counted(spots)
            side.append((len(found & given.spans), len(found)))
    gold = np.array([len(given.spans) for given in known], dtype=np.int64)
    return Outcomes(*(np.array(side, dtype=np.int64).reshape(-1, 2) for side in counts), gold)


def mixed(outcomes: Outcomes, asked: np.ndarray) -> np.ndarray:
    """Right and found spans where some texts are answered by the large model, (N, 2). asked (ndarray): bool (N,)."""
    return np.where(asked[:, None], outcomes.large, outcomes.small)


def fscore(counts: np.ndarray, gold: np.ndarray) -> float:
    """Micro F of right and found spans, (N, 2), against numbers of gold spans, (N,)."""
    right, found = counts.sum(0)
    return float(2 * right / max(1, found + gold.sum()))


def gains(outcomes: Outcomes, f: float) -> np.ndarray:
    """What asking about each text adds to F near F = f, up to a constant factor, (N,).

    F = 2 right / (found + gold), so that it rises where 2 more right spans outweigh f times the further found ones.
    """
    more = outcomes.large - outcomes.small
    return 2.0 * more[:, 0] - f * more[:, 1]


def oracle(outcomes: Outcomes) -> np.ndarray:
    """Scores that ask where it pays most, known from the gold spans, (N,)."""
    f = fscore(outcomes.small, outcomes.gold)
    for _ in range(20):  # Dinkelbach: the gain depends on the F that it leads to
        scores = gains(outcomes, f)
        new = fscore(mixed(outcomes, scores > 0), outcomes.gold)
        if abs(new - f) < 1e-9:
            break
        f = new
    return scores


def curve(outcomes: Outcomes, scores: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """F by share of calls, where texts are asked in falling order of their scores; equal scores in a fixed mixed order.

    weights (ndarray | None): how often each text counts, (N,). RETURNS (tuple): shares and F, each (N + 1,).
    """
    weights = np.ones(len(scores)) if weights is None else weights
    order = np.lexsort((np.random.default_rng(0).permutation(len(scores)), -scores))
    start = (outcomes.small * weights[:, None]).sum(0)
    steps = ((outcomes.large - outcomes.small) * weights[:, None])[order].cumsum(0)
    right, found = np.concatenate([start[None], start + steps]).T
    shares = np.concatenate([[0.0], weights[order].cumsum()]) / max(1.0, weights.sum())
    return shares, 2 * right / np.maximum(1, found + (outcomes.gold * weights).sum())


def f_at(shares: np.ndarray, f: np.ndarray, share: float) -> float:
    """F of a curve at a share of calls, straight between its points."""
    return float(np.interp(share, shares, f))


def hull(shares: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points of the non-decreasing upper hull of a curve."""
    points: list[tuple[float, float]] = []
    for x, y in zip(shares.tolist(), np.maximum.accumulate(f).tolist()):
        while len(points) > 1 and _turns_up(points[-2], points[-1], (x, y)):
            points.pop()
        points.append((x, y))
    xs, ys = np.array(points).T
    return xs, ys


def aiq(shares: np.ndarray, f: np.ndarray) -> float:
    """The area under the hull of a curve from no call to all: RouterBench's AIQ."""
    x, y = hull(shares, f)
    return float((np.diff(x) * (y[1:] + y[:-1])).sum() / 2)


def _turns_up(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])


def share_for(shares: np.ndarray, f: np.ndarray, wanted: float) -> float | None:
    """The least share of calls with which a curve reaches an F; None: it never does."""
    reached = np.flatnonzero(f >= wanted - 1e-12)
    return float(shares[reached[0]]) if len(reached) else None


def safe_cut(scores: np.ndarray, outcomes: Outcomes, risk: float, confidence: float = 0.95) -> float:
    """The score above which texts must be asked, so that few of those that stay small are worse off for it.

    Of these at most a share `risk` has more errors than with the large model, with this confidence: cuts are tested in
    a fixed order, from asking everything on, and the first that fails ends it (arXiv 2110.01052, fixed sequence).
    scores (ndarray): of texts that neither model nor policy was fitted to.
    RETURNS (float): minus infinity where nothing may stay small.
    """
    errors = outcomes.errors
    return last_safe_cut(scores, errors[:, 0] > errors[:, 1], risk, confidence, least=MIN_STAY)
