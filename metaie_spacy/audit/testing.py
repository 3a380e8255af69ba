"""Many comparisons at once: p-values that are corrected, and gaps with intervals from texts drawn anew."""

from typing import Any, Sequence

import numpy as np

from ..measure.scores import bootstrap_sums, f_of

FALSE = 0.05  # share of the gaps that are called so and are none


def corrected(found: list[dict[str, Any]], key: str = "p") -> list[dict[str, Any]]:
    """The same entries with "p_corrected" by Benjamini and Yekutieli (2001), and "is_found" where it is at most 0.05.

    The correction holds for figures that depend on each other. Entries whose p is None were not tested.
    """
    from scipy.stats import false_discovery_control

    tested = [entry for entry in found if entry.get(key) is not None]
    values = false_discovery_control([entry[key] for entry in tested], method="by") if tested else []
    for entry, value in zip(tested, values):
        entry |= {"p_corrected": float(value), "is_found": bool(value <= FALSE)}
    return found


def recall_of(sums: np.ndarray) -> np.ndarray:
    """Recall of counts as `f_of` takes them."""
    tp, _, fn = np.moveaxis(np.asarray(sums, dtype="float64"), -1, 0)
    return tp / np.maximum(1, tp + fn)


def gap(
    part: Sequence[Sequence[int]], rest: Sequence[Sequence[int]], figure: Any = f_of, *, draws: int = 1000
) -> dict[str, Any]:
    """By how much a part is worse or better than the rest, over the same documents drawn with replacement.

    part, rest (Sequence): counts of every document, (N, 3) each. figure: of summed counts, such as `f_of`.
    RETURNS (dict): "gap" (negative: the part is worse), "low" and "high" (95 %), and "p" of no gap, by a normal
        distribution with the bootstrap's standard error (Efron and Tibshirani 1993, chapter 13).
    """
    from scipy.stats import norm

    drawn = figure(bootstrap_sums(part, draws=draws)) - figure(bootstrap_sums(rest, draws=draws))
    value = float(figure(np.sum(part, axis=0)) - figure(np.sum(rest, axis=0)))
    low, high = np.quantile(drawn, (0.025, 0.975))
    error = float(drawn.std())
    p = 2 * float(norm.sf(abs(value) / error)) if error else float(value == 0)
    return {"gap": value, "low": float(low), "high": float(high), "p": p}
