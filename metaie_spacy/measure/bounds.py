"""What can be promised of a share with a stated confidence."""

import math
from typing import Sequence

import numpy as np

CUTS = 20  # that are tested, evenly spread over what is scored


def upper_bound(bad: int, n: int, confidence: float = 0.95) -> float:
    """The most that a share may be, of which `bad` in `n` were seen (Clopper and Pearson 1934, one-sided)."""
    if bad >= n:
        return 1.0
    low, high = bad / n, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(bad, n, middle) > 1 - confidence else (low, middle)
    return high


def is_at_most(share: float, bad: int, n: int, confidence: float = 0.95) -> bool:
    """Whether `upper_bound` is at most a share between 0 and 1; faster than to ask for the bound."""
    return bad < n and _tail(bad, n, share) <= 1 - confidence


def _tail(bad: int, n: int, share: float) -> float:
    """The probability of at most `bad` in n draws, each with probability `share` in (0, 1)."""
    logs = [
        math.lgamma(n + 1)
        - math.lgamma(i + 1)
        - math.lgamma(n - i + 1)
        + i * math.log(share)
        + (n - i) * math.log1p(-share)
        for i in range(bad + 1)
    ]
    top = max(logs)
    return math.exp(top) * sum(math.exp(value - top) for value in logs)


def last_safe_cut(
    scores: np.ndarray, bad: Sequence[bool] | np.ndarray, risk: float, confidence: float = 0.95, *, least: int
) -> float:
    """The highest score up to which, with this confidence, at most a share `risk` is bad.

    Cuts are tested in a fixed order, from the lowest score on, and the first that fails ends it (fixed sequence
    testing, arXiv 2110.01052), so that the confidence is of the cut that is chosen.
    scores (ndarray): (N,). bad (ndarray): bool (N,). least (int): a cut below which fewer lie is no test.
    RETURNS (float): minus infinity where nothing can be promised.
    """
    bad = np.asarray(bad, dtype=bool)
    cut = -np.inf
    if not len(scores):
        return cut
    for candidate in np.unique(np.quantile(scores, np.linspace(0, 1, CUTS + 1)[1:], method="lower")):
        below = scores <= candidate
        if below.sum() < least:
            continue
        if not is_at_most(risk, int(bad[below].sum()), int(below.sum()), confidence):
            break
        cut = float(candidate)
    return cut
