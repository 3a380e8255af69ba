"""Rows with gold spans and both models' answers -> a fitted router; every figure it is judged by comes cross-fitted."""

from typing import Any, Iterable, Sequence

import numpy as np

from ..data.known import known_of
from ..data.rows import Place, places
from .features import PLAIN
from .fitted import Fitted, LabelSet, Table
from .outcomes import Outcomes, Spots, aiq, curve, fscore, gains, outcomes_of
from .pools import Pools, agreement_errors, assign
from .recorded import Answered
from .retriever import state_of, train_projection

FOLDS = 5  # of the rows, each judged by what the others teach
KS = (3, 5, 10, 20, 40)  # numbers of neighbours that are tried
PRIOR = 10  # texts that the mean of all rows counts as in the effect of a label set
ALPHA = 10.0  # of the ridge regression, on standardised figures
FEATURES = ("least", "none", "mean", "spans", "wrong", "missed", "words", "labels", "effect")


def worth_of_asking(outcomes: Outcomes) -> np.ndarray:
    """What asking about each text adds near the mean of both models' F: points of F by calls per 100 texts, (N,)."""
    middle = (fscore(outcomes.small, outcomes.gold) + fscore(outcomes.large, outcomes.gold)) / 2
    found = (outcomes.small[:, 1] + outcomes.large[:, 1]).mean() / 2 if len(outcomes.gold) else 0.0
    return gains(outcomes, middle) / max(1e-9, found + (outcomes.gold.mean() if len(outcomes.gold) else 0.0))


def fit(
    answered: Answered,
    weights: str,
    llm: str,
    *,
    k: int | None = None,
    way: str = "errors",
    projection: str = "plain",
    free: tuple[Answered, np.ndarray] | None = None,
    seed: int = 0,
) -> Fitted:
    """A router for a small and a large model.

    answered (Answered): rows with gold spans. weights (str): hash of the small model's. llm (str): name of the large
        one. k (int | None): neighbours that vote; None: what gives the best curve, cross-fitted.
    way (str): see `pools.assign`. projection (str): see `retriever.train_projection`.
    free (tuple | None): rows without gold spans, for the pools only, and whether each is the large model's, as
        `by_agreement` tells.
    RAISES (ValueError): there is no such way or projection.
    """
    outcomes = outcomes_of(answered.rows, answered.small, answered.large)
    sets = sorted({*answered.facts.labels, *(free[0].facts.labels if free else ())})
    n = len(answered.rows)
    fold = np.random.default_rng(seed).permutation(n) % FOLDS
    has_votes = answered.facts.states is not None
    held = {name: Table(answered.facts)[name] for name in PLAIN} | {"effect": np.zeros(n), "weak": np.zeros(n)}
    votes = {number: np.zeros(n) for number in ((k,) if k else KS)}
    exemplar = np.full(n, -1)  # pool of each row: 1 the large model's, -1 none

    def learn(at: np.ndarray, extra: Any) -> Fitted:
        return _learn(answered.take(at), outcomes.take(at), sets, way, projection, extra, seed)

    for number in range(FOLDS):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        part = learn(train, free)
        table = Table(answered.facts.take(test), part)
        for name in ("effect", "weak"):
            held[name][test] = table[name]
        has_votes = has_votes and len(part.pools.states) > 0
        if has_votes:
            near = part.pools.neighbours(answered.facts.states[test], max(votes))
            for count, column in votes.items():
                column[test] = part.pools.large[near[:, :count]].mean(1)
    whole = learn(np.arange(n), free)
    kept, large = assign(outcomes, way)
    exemplar[kept] = large
    place = whole.places(answered.facts.labels)
    base = _base(place, exemplar, len(sets))
    if has_votes:
        best = max(votes, key=lambda count: (aiq(*curve(outcomes, votes[count] - 1e-9 * held["random"])), -count))
        held["vote"] = held["any_vote"] = votes[best]
        whole = whole._replace(pools=whole.pools._replace(k=best))
        held["reliable"] = np.zeros(n)
        for number in range(FOLDS):
            mine, seen = fold == number, np.where(fold == number, -1, exemplar)
            own = _base(place, seen, len(sets))
            tells = _tells(held["vote"], place, seen, own)
            held["reliable"][mine] = np.where(tells[place], held["vote"], own[place])[mine]
        whole = whole._replace(reliable=_tells(held["vote"], place, exemplar, base))
    features = [*FEATURES, *(["any_vote"] if has_votes else [])]
    learned, held["learned"] = _regression(
        np.stack([held[name] for name in features], 1), outcomes, fold, held["random"]
    )
    return whole._replace(
        weights=weights, llm=llm, base=base, learned={"features": features, **learned}, held=held, outcomes=outcomes
    )


def _learn(
    answered: Answered, outcomes: Outcomes, sets: list[LabelSet], way: str, projection: str, free: Any, seed: int
) -> Fitted:
    """What rows say directly: effects, weak labels and pools; what rests on held-out figures is left empty."""
    number = {names: at for at, names in enumerate(sets)}
    place = np.array([number[names] for names in answered.facts.labels], dtype=np.int64)
    worth = worth_of_asking(outcomes)
    mean = worth.mean() if len(worth) else 0.0
    counts = np.bincount(place, minlength=len(sets))
    effects = (np.bincount(place, worth, len(sets)) + PRIOR * mean) / (counts + PRIOR)
    at, large = assign(outcomes, way)
    exemplars, of_set = answered.take(at), place[at]
    parts = [(exemplars, of_set, large)]
    if free is not None:
        own = np.array([number[names] for names in free[0].facts.labels], dtype=np.int64)
        parts.append((free[0], own, free[1]))
    pools = _pools(parts, projection, seed)
    weak = [_weak_labels(answered.take(np.flatnonzero(place == one)), names) for one, names in enumerate(sets)]
    empty = np.zeros(len(sets))
    nothing = Outcomes(np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64), np.zeros(0, np.int64))
    return Fitted("", "", sets, effects, weak, empty > 0, empty, {}, pools, {}, nothing)


def _pools(parts: Sequence[tuple[Answered, np.ndarray, np.ndarray]], projection: str, seed: int) -> Pools:
    large, of_set = (np.concatenate([part[i] for part in parts]) for i in (2, 1))
    rows = [row for part, _, _ in parts for row in part.rows]
    # Without gold spans the answers of the model that its pool believes stand for them.
    believed = [
        places(row) if row["spans"] or not is_free else sorted(part.large[i] if own[i] else part.small[i])
        for is_free, (part, _, own) in enumerate(parts)
        for i, row in enumerate(part.rows)
    ]
    states = [part.facts.states for part, _, _ in parts]
    if any(own is None for own in states):
        states = [np.zeros((len(part.rows), 0), np.float32) for part, _, _ in parts]
    joined = np.concatenate(states)
    tasks = [state_of(row["text"], set(spots)) for row, spots in zip(rows, believed)]
    matrix = train_projection(projection, joined, tasks, large, seed=seed) if joined.shape[1] else None
    kept = [
        {"id": row["id"], "text": row["text"], "spans": [list(spot) for spot in spots]}
        for row, spots in zip(rows, believed)
    ]
    return Pools(joined, large.astype(bool), of_set, matrix, 10, kept)


def by_agreement(answered: Answered, others: Sequence[Sequence[Spots]]) -> np.ndarray:
    """Whether the large model errs less on each row than the small one, as far as three annotators and more tell, (N,).

    others (Sequence): answers of further annotators to each row, of one or more.
    """
    rows = zip(answered.small, answered.large, others)
    errors = [agreement_errors([[small], [large], *([spots] for spots in own)])[:2, 0] for small, large, own in rows]
    small, large = np.array(errors).reshape(-1, 2).T
    return small > large + 1e-9


def mixed_labels(small: Iterable[Place], large: Iterable[Place], weak: Iterable[str]) -> Spots:
    """The large model's spans of weak labels, and the small model's of others, but for those that overlap them."""
    weak = set(weak)
    asked = {spot for spot in large if spot[2] in weak}
    kept = {
        spot
        for spot in small
        if spot[2] not in weak and not any(spot[0] < end and start < spot[1] for start, end, _ in asked)
    }
    return asked | kept


def _weak_labels(answered: Answered, names: LabelSet) -> list[str]:
    """Labels whose answers raise F if they are the large model's, half way between both models' F."""
    sides: list[dict[str, np.ndarray]] = [{name: np.zeros(2) for name in names} for _ in range(2)]
    total = np.zeros((2, 2))
    gold = 0
    for row, *both in zip(answered.rows, answered.small, answered.large):
        known = known_of(row)
        gold += len(known.spans)
        for side, (counts, spots) in enumerate(zip(sides, both)):
            for spot in known.counted(spots):
                count = np.array([spot in known.spans, 1])
                total[side] += count
                if spot[2] in counts:
                    counts[spot[2]] += count
    middle = np.mean([2 * right / max(1, found + gold) for right, found in total])
    more = {name: sides[1][name] - sides[0][name] for name in names}
    return [name for name in names if 2 * more[name][0] - middle * more[name][1] > 0]


def _base(place: np.ndarray, exemplar: np.ndarray, n_sets: int) -> np.ndarray:
    """The share of each set's exemplars that are the large model's; all exemplars' where a set has none."""
    kept = exemplar >= 0
    counts = np.bincount(place[kept], minlength=n_sets)
    large = np.bincount(place[kept], exemplar[kept], n_sets)
    every = exemplar[kept].mean() if kept.any() else 0.5
    return np.where(counts > 0, large / np.maximum(counts, 1), every)


def _tells(votes: np.ndarray, place: np.ndarray, exemplar: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Whether the votes on a set's exemplars are nearer to the truth than its base rate (squared error), bool (S,)."""
    kept = exemplar >= 0
    better = (base[place] - exemplar) ** 2 - (votes - exemplar) ** 2
    return np.bincount(place[kept], better[kept], len(base)) > 0


def _regression(
    columns: np.ndarray, outcomes: Outcomes, fold: np.ndarray, random: np.ndarray
) -> tuple[dict[str, Any], np.ndarray]:
    """What asking gains, from figures: ridge on the gain or logistic on whether there is one, which ranks better.

    RETURNS (tuple): its numbers as JSON has them, and the cross-fitted scores of the rows.
    """
    worth = worth_of_asking(outcomes)
    tried = []
    for kind in ("ridge", "logistic"):
        scores = np.zeros(len(worth))
        for number in range(FOLDS):
            train, test = fold != number, fold == number
            own = _line(kind, columns[train], worth[train])
            scores[test] = (columns[test] - own["mean"]) / own["scale"] @ np.array(own["coef"]) + own["intercept"]
        tried.append((aiq(*curve(outcomes, scores - 1e-9 * random)), kind, scores))
    _, kind, scores = max(tried, key=lambda one: one[0])
    return _line(kind, columns, worth), scores


def _line(kind: str, columns: np.ndarray, worth: np.ndarray) -> dict[str, Any]:
    """RAISES (ImportError): scikit-learn is missing."""
    try:
        from sklearn.linear_model import LogisticRegression, Ridge
    except ImportError:
        raise ImportError("Fitting a router needs scikit-learn: pip install 'metaie-spacy[router]'.") from None
    pays = worth > 0
    if not len(worth) or (kind == "logistic" and pays.all() == pays.any()):
        nothing = [0.0] * columns.shape[1]
        return {"kind": kind, "mean": nothing, "scale": [1.0] * columns.shape[1], "coef": nothing, "intercept": 0.0}
    mean, scale = columns.mean(0), columns.std(0)
    scale[scale < 1e-9] = 1.0
    model = Ridge(alpha=ALPHA) if kind == "ridge" else LogisticRegression(max_iter=1000)
    model.fit((columns - mean) / scale, worth if kind == "ridge" else pays)
    numbers = {"mean": mean, "scale": scale, "coef": np.ravel(model.coef_)}
    return {
        "kind": kind,
        **{name: values.tolist() for name, values in numbers.items()},
        "intercept": float(np.ravel(model.intercept_)[0]),
    }
