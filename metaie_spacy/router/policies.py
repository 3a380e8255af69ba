"""Whom to ask: policies that score texts, registered by name, and the score above which the large model is asked."""

from functools import partial
from typing import Any, Callable, Mapping, NamedTuple

import numpy as np

from .fitted import Fitted, need
from .outcomes import curve, hull, safe_cut

Columns = Mapping[str, np.ndarray]
WAYS = ("above", "share", "worth", "risk")
HALF = 0.5  # of the texts, where nothing says how many
TIE = 1e-9  # equal scores are told apart by the text, so that any share of them can be asked


class Policy(NamedTuple):
    """How texts are scored.

    name (str): as results call it. score (Callable): columns of N texts -> how much it is worth to ask about each,
    float (N,). cut (float | None): texts that score more are asked, unless something else decides; None: more than half
    of the rows that the router was fitted to. only_weak (bool): only labels that the large model answers better are
    asked; the small model's other answers stay.
    """

    name: str
    score: Callable[[Columns], np.ndarray]
    cut: float | None
    only_weak: bool = False

    @property
    def ranks(self) -> bool:
        """Whether it tells texts apart, and does not ask about all or none."""
        return self.cut is None or bool(np.isfinite(self.cut))

    def scores(self, columns: Columns) -> np.ndarray:
        """The scores of N texts, no two of them equal, float64 (N,)."""
        return self.score(columns) - TIE * columns["random"]


def _nothing(columns: Columns) -> np.ndarray:
    return np.zeros(len(columns["random"]))


def _column(columns: Columns, name: str) -> np.ndarray:
    return columns[name]


def _unsure(columns: Columns, empty: float) -> np.ndarray:
    return np.where(columns["none"] > 0, empty, 1 - columns["least"])


def make_small() -> Policy:
    """`metaie-spacy.small.v1`: the large model is never asked."""
    return Policy("small", _nothing, np.inf)


def make_large() -> Policy:
    """`metaie-spacy.large.v1`: it is always asked."""
    return Policy("large", _nothing, -np.inf)


def make_random() -> Policy:
    """`metaie-spacy.random.v1`: a share of the texts is asked, half of them where nothing is said."""
    return Policy("random", partial(_column, name="random"), HALF)


def make_cascade(empty: float = 0.5, cut: float = 0.5) -> Policy:
    """`metaie-spacy.cascade.v1`: the less sure, the more is it worth: 1 - the least score of a text's spans.

    empty (float): the score of a text without spans. cut (float): see `Policy`.
    """
    return Policy("cascade", partial(_unsure, empty=empty), cut)


def make_errors(cut: float = 1.0) -> Policy:
    """`metaie-spacy.errors.v1`: how many spans are wrong or missed, if scores are probabilities."""
    return Policy("errors", partial(_column, name="errors"), cut)


def make_knn(any_labels: bool = False) -> Policy:
    """`metaie-spacy.knn.v1`: the share of the nearest exemplars that are the large model's; a tie stays small.

    any_labels (bool): exemplars speak for texts of label sets that the pools do not hold, too.
    """
    return Policy("knn", partial(_column, name="any_vote" if any_labels else "vote"), 0.5)


def make_reliable_knn() -> Policy:
    """`metaie-spacy.reliable_knn.v1`: the same, but where neighbours told nothing about a label set, its exemplars."""
    return Policy("reliable_knn", partial(_column, name="reliable"), 0.5)


def make_learned(cut: float | None = None) -> Policy:
    """`metaie-spacy.learned.v1`: a regression on all figures, fitted to what asking has gained."""
    return Policy("learned", partial(_column, name="learned"), cut)


def make_per_label(cut: float = 1.0) -> Policy:
    """`metaie-spacy.per_label.v1`: as errors, of weak labels only, and only these are asked."""
    return Policy("per_label", partial(_column, name="weak"), cut, only_weak=True)


MAKERS = {
    "small": make_small,
    "large": make_large,
    "random": make_random,
    "cascade": make_cascade,
    "errors": make_errors,
    "knn": make_knn,
    "reliable_knn": make_reliable_knn,
    "learned": make_learned,
    "per_label": make_per_label,
}


def check_ask(ask: Any) -> dict[str, float]:
    """RAISES (ValueError): this says not in one way how much is asked."""
    given = set(ask) if isinstance(ask, Mapping) else {"?"}
    ways = given & set(WAYS)
    if given - {*WAYS, "confidence"} or len(ways) > 1 or ("confidence" in given and ways != {"risk"}):
        raise ValueError(
            f"'ask' is {ask!r}; give one of above (a score), share (of the texts, 0 to 1), worth (points of F per "
            "call) and risk (0 to 1, with its confidence), or nothing, so that the policy decides itself."
        )
    for name, value in ask.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or (name in ("share", "risk", "confidence") and not 0 <= value <= 1):
            raise ValueError(
                f"'ask' has {name} = {value!r}; give a number" + ("." if is_number is False else ", 0 to 1.")
            )
    return dict(ask)


def cut_of(policy: Policy, ask: Mapping[str, float], fitted: Fitted | None) -> float:
    """The score above which texts are asked.

    ask (Mapping): at most one of "above": that score. "share": of texts, as the fitted rows have them. "worth": points
        of F that one call in every hundred texts must add. "risk": "of the texts that stay small, at most this share
        has more errors than with the large model", said with a "confidence" of 0.95 unless it is given.
    RAISES (ValueError): the way needs fitted rows, and there are none.
    """
    ask = check_ask(ask) or ({"share": HALF} if policy.cut is None else {})
    if not ask:
        return float(policy.cut)
    if "above" in ask:
        return float(ask["above"])
    way = next(name for name in WAYS if name in ask)
    fitted = need(fitted, f"ask = {ask}")
    scores = policy.scores(fitted.held)
    if way == "risk":
        return safe_cut(scores, fitted.outcomes, ask["risk"], ask.get("confidence", 0.95))
    share = ask["share"] if way == "share" else worth_share(*curve(fitted.outcomes, scores), ask["worth"])
    falling = np.sort(scores)[::-1]
    n = round(share * len(scores))
    return float(falling[n]) if n < len(scores) else -np.inf


def worth_share(shares: np.ndarray, f: np.ndarray, worth: float) -> float:
    """The share of calls up to which each adds as much, in points of F by calls per 100 texts: a slope of the hull."""
    x, y = hull(shares, f)
    pays = np.diff(y) / np.maximum(np.diff(x), 1e-12) >= worth
    return float(x[1:][pays].max(initial=0.0))
