"""What can be promised of a share with a stated confidence."""

from typing import Sequence

import numpy as np

CUTS = 20  # that are tested, evenly spread over what is scored


def upper_bound(bad: int, n: int, confidence: float = 0.95) -> float:
    """The most that a share may be, of which `bad` in `n` were seen (Clopper and Pearson 1934, one-sided)."""
    from scipy.stats import beta

    return float(beta.ppf(confidence, bad + 1, n - bad)) if bad < n else 1.0


def is_at_most(share: float, bad: int, n: int, confidence: float = 0.95) -> bool:
    """Whether `upper_bound` is at most a share between 0 and 1; faster than to ask for the bound."""
    from scipy.stats import binom

    return bad < n and bool(binom.cdf(bad, n, share) <= 1 - confidence)


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
