"""What policies would have been worth on rows that both models have answered."""

from typing import Any, Mapping, Sequence

import numpy as np

from .fit import mixed_labels
from .fitted import Fitted, Table
from .outcomes import Outcomes, aiq, curve, f_at, fscore, mixed, oracle, outcomes_of, share_for
from .policies import Policy, cut_of
from .recorded import Answered

DRAWS = 1000  # of the bootstrap
KEPT = (0.9, 0.95, 0.99)  # shares of the large model's F
GRID = np.linspace(0, 1, 41)  # shares of calls that a result's curves are given at
HALF = 0.5  # of the texts: where policies are compared


def evaluate(
    answered: Answered,
    fitted: Fitted,
    policies: Sequence[Policy],
    *,
    asks: Sequence[Mapping[str, float]] = ({},),
    against: str | None = None,
    is_held: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Curves and what they amount to, on rows that the router was not fitted to.

    policies (Sequence[Policy]): what is compared. asks (Sequence[Mapping]): ways of deciding how much is asked, of
        which each policy's share of calls and F are given.
    against (str | None): the policy that others are compared with, on the same drawn texts; None: the first.
    is_held (bool): the rows are those that it was fitted to, and cross-fitted figures are taken.
    draws (int): of the bootstrap over texts; 0: no intervals.
    RETURNS (dict): "texts", "gold", F of "small" and "large" alone, "ceiling" (the oracle's best F),
        "random_at_half" and "policies": name -> "aiq", "f_at_half", "way_to_oracle" (of the way from chance to the
        oracle at half of the calls), "share_for" (share of calls that keeps a share of the large model's F), "curve",
        their 95 % intervals, "difference" (to `against`: low, middle, high) and "decisions". Policies that rank
        nothing have the last only.
    RAISES (ValueError): a policy needs what there is not.
    """
    outcomes = outcomes_of(answered.rows, answered.small, answered.large)
    table = fitted.held if is_held else Table(answered.facts, fitted)
    rng = np.random.default_rng(seed)
    n = len(answered.rows)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=draws) if n else np.zeros((0, 0))
    scores = {policy.name: policy.scores(table) for policy in policies}
    own = {policy.name: _own_outcomes(policy, outcomes, answered, fitted) for policy in policies}
    scores["oracle"], own["oracle"] = oracle(outcomes), outcomes
    goal = fscore(outcomes.large, outcomes.gold)
    ranking = [policy.name for policy in policies if policy.ranks] + ["oracle"]
    drawn = {name: np.array([_amounts(own[name], scores[name], w) for w in weights]) for name in ranking}
    chance, best = chance_at(outcomes, HALF), f_at(*curve(outcomes, scores["oracle"]), HALF)
    result: dict[str, Any] = {
        "texts": n,
        "gold": int(outcomes.gold.sum()),
        "small": fscore(outcomes.small, outcomes.gold),
        "large": goal,
        "ceiling": float(curve(outcomes, scores["oracle"])[1].max()),
        "random_at_half": chance,
        "policies": {},
    }
    first = against or ranking[0]
    for name in ranking:
        shares, f = curve(own[name], scores[name])
        at_half = f_at(shares, f, HALF)
        figures = {
            "aiq": aiq(shares, f),
            "f_at_half": at_half,
            "way_to_oracle": (at_half - chance) / max(1e-9, best - chance),
            "share_for": {str(kept): share_for(shares, f, kept * goal) for kept in KEPT},
            "curve": np.interp(GRID, shares, f).round(4).tolist(),
        }
        if draws:
            figures |= _bands(drawn[name]) | {"against": first, "difference": _difference(drawn[name], drawn[first])}
        result["policies"][name] = figures
    for policy in policies:
        ways = asks if policy.name in ranking else ({},)
        result["policies"].setdefault(policy.name, {})["decisions"] = [
            {"ask": dict(ask), **_decided(own[policy.name], scores[policy.name], cut_of(policy, ask, fitted))}
            for ask in ways
        ]
    return result


def chance_at(outcomes: Outcomes, share: float) -> float:
    """F where a share of the texts, drawn by chance, is asked: that of the expected counts."""
    counts = (1 - share) * outcomes.small.sum(0) + share * outcomes.large.sum(0)
    return float(2 * counts[0] / max(1.0, counts[1] + outcomes.gold.sum()))


def _own_outcomes(policy: Policy, outcomes: Outcomes, answered: Answered, fitted: Fitted) -> Outcomes:
    """The outcomes of asking as a policy asks. Weak labels alone are simulated: the answers cover all labels."""
    if not policy.only_weak:
        return outcomes
    at = fitted.places(answered.facts.labels)
    large = [
        spots if place < 0 else mixed_labels(small, spots, fitted.weak[place])
        for small, spots, place in zip(answered.small, answered.large, at)
    ]
    return outcomes_of(answered.rows, answered.small, large)


def _amounts(outcomes: Outcomes, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AIQ, F at half of the calls, and the curve on the grid."""
    shares, f = curve(outcomes, scores, weights)
    return np.concatenate([[aiq(shares, f), f_at(shares, f, HALF)], np.interp(GRID, shares, f)])


def _bands(drawn: np.ndarray) -> dict[str, Any]:
    """95 % intervals of what was drawn, (draws, 2 + grid)."""
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0).round(4).tolist()
    return {
        "aiq_interval": [low[0], high[0]],
        "f_at_half_interval": [low[1], high[1]],
        "curve_low": low[2:],
        "curve_high": high[2:],
    }


def _difference(drawn: np.ndarray, other: np.ndarray) -> dict[str, list[float]]:
    """Of AIQ and of F at half of the calls to those of another policy on the same draws: low, middle and high."""
    parts = np.quantile((drawn - other)[:, :2], (0.025, 0.5, 0.975), axis=0).round(4)
    return {"aiq": parts[:, 0].tolist(), "f_at_half": parts[:, 1].tolist()}


def _decided(outcomes: Outcomes, scores: np.ndarray, cut: float) -> dict[str, float]:
    """The share of calls above a cut, F there, and the share of the texts that stay small and are worse off for it."""
    asked = scores > cut
    errors = outcomes.errors[~asked]
    worse = float((errors[:, 0] > errors[:, 1]).mean()) if len(errors) else 0.0
    return {"share": float(asked.mean()), "f": fscore(mixed(outcomes, asked), outcomes.gold), "worse": worse}
