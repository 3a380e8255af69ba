"""Curves, cuts and guarantees on outcomes that are made up."""

import math

import numpy as np
import pytest

from metaie_spacy.measure.bounds import upper_bound
from metaie_spacy.router.outcomes import (
    Outcomes,
    aiq,
    curve,
    f_at,
    fscore,
    mixed,
    oracle,
    outcomes_of,
    safe_cut,
    share_for,
)
from metaie_spacy.router.policies import MAKERS, check_ask, cut_of, make_cascade, make_errors, make_random, worth_share


def made_up(n=400, seed=0):
    """Outcomes where texts with a high figure profit from the large model, and that figure."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 5, n)
    hard = rng.random(n)
    right = rng.binomial(gold, 1 - 0.8 * hard)
    found = right + rng.binomial(2, 0.4 * hard)
    large = rng.binomial(gold, 0.9)
    return Outcomes(np.stack([right, found], 1), np.stack([large, large + rng.binomial(1, 0.1, n)], 1), gold), hard


class Fake:
    """What cuts need of a fitted router."""

    def __init__(self, outcomes, hard):
        self.outcomes = outcomes
        random = np.random.default_rng(1).random(len(hard))
        self.held = {"random": random, "none": random < 0.2, "least": 1 - hard, "errors": 2 * hard}


def test_the_ends_of_a_curve_are_the_two_models():
    outcomes, hard = made_up()
    shares, f = curve(outcomes, hard)
    assert (f[0], f[-1]) == (fscore(outcomes.small, outcomes.gold), fscore(outcomes.large, outcomes.gold))
    asked = hard > np.sort(hard)[-101]
    assert f[100] == pytest.approx(fscore(mixed(outcomes, asked), outcomes.gold)) and shares[100] == 0.25


def test_the_oracle_is_above_every_policy_at_every_share():
    outcomes, hard = made_up()
    _, best = curve(outcomes, oracle(outcomes))
    for scores in (hard, -hard, np.random.default_rng(0).random(len(hard)), outcomes.gold, outcomes.errors[:, 0]):
        _, f = curve(outcomes, scores)
        # It asks where the last bit of F is gained, so that at other shares counts may differ by a span.
        assert (best >= f - 0.003).all() and best.max() >= f.max()


def test_a_curve_of_drawn_texts_is_that_of_the_texts_repeated():
    outcomes, hard = made_up(50)
    weights = np.random.default_rng(0).multinomial(50, np.full(50, 1 / 50))
    again = np.repeat(np.arange(50), weights)
    _, f = curve(outcomes, hard, weights)
    shares, expected = curve(outcomes.take(again), hard[again])
    assert f[-1] == pytest.approx(expected[-1]) and f[0] == pytest.approx(expected[0])
    assert aiq(*curve(outcomes, hard, weights)) == pytest.approx(aiq(shares, expected), abs=0.005)


def test_aiq_of_a_line_is_its_mean_and_dents_do_not_lower_it():
    x = np.linspace(0, 1, 11)
    assert aiq(x, 0.4 + 0.4 * x) == pytest.approx(0.6)
    dented = 0.4 + 0.4 * x
    dented[5] -= 0.3
    assert aiq(x, dented) == pytest.approx(0.6)
    assert share_for(x, 0.4 + 0.4 * x, 0.6) == pytest.approx(0.5) and share_for(x, x, 2.0) is None
    assert f_at(x, x, 0.25) == pytest.approx(0.25)


def test_what_a_row_leaves_open_is_not_counted():
    row = {"text": "a b c", "spans": [{"start": 0, "end": 1, "label": "x"}], "asked": ["x"], "id": "1"}
    row["unsure"] = [{"start": 4, "end": 5}]
    outcomes = outcomes_of([row], [{(0, 1, "x"), (4, 5, "x"), (2, 3, "y")}], [{(2, 3, "x")}])
    assert outcomes.small.tolist() == [[1, 1]] and outcomes.large.tolist() == [[0, 1]] and outcomes.gold.tolist() == [1]
    assert outcomes.errors.tolist() == [[0, 2]]


def test_the_bound_is_that_of_clopper_and_pearson():
    for bad, n in ((0, 30), (3, 50), (100, 1000), (29, 30), (30, 30)):
        share = upper_bound(bad, n)
        seen = sum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(bad + 1))
        assert share == 1.0 if bad == n else seen == pytest.approx(0.05, abs=1e-6)


def test_the_guarantee_holds_on_texts_that_it_was_not_calibrated_on():
    risk, broken, kept = 0.15, 0, []
    for seed in range(200):
        outcomes, hard = made_up(600, seed)
        cut = safe_cut(hard, outcomes, risk)
        fresh, other = made_up(4000, 10_000 + seed)
        stay = other <= cut
        errors = fresh.errors[stay]
        broken += bool(len(errors)) and (errors[:, 0] > errors[:, 1]).mean() > risk
        kept.append(stay.mean())
    assert broken <= 0.05 * 200 + 7  # three standard errors of a twentieth
    assert np.mean(kept) > 0.05  # and it is not held by asking everything


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 0.5, 1.0])
@pytest.mark.parametrize("make", [make_cascade, make_errors, make_random])
def test_a_target_share_is_met_also_where_scores_are_equal(make, share):
    fake = Fake(*made_up())
    policy = make()
    scores = policy.scores(fake.held)
    assert (scores > cut_of(policy, {"share": share}, fake)).mean() == pytest.approx(share, abs=1 / 400)
    assert len(set(scores)) == len(scores)


def test_the_more_a_call_must_be_worth_the_fewer_are_asked():
    fake = Fake(*made_up())
    policy = make_errors()
    scores = policy.scores(fake.held)
    asked = [(scores > cut_of(policy, {"worth": worth}, fake)).mean() for worth in (-1.0, 0.1, 0.3, 0.6, 5.0)]
    assert asked == sorted(asked, reverse=True) and asked[0] > 0.9 and asked[-1] == 0
    x = np.linspace(0, 1, 101)
    assert worth_share(x, np.minimum(x, 0.5), 0.5) == pytest.approx(0.5)


def test_a_policy_decides_itself_where_nothing_is_said():
    fake = Fake(*made_up())
    for name, share in (("small", 0.0), ("large", 1.0)):
        policy = MAKERS[name]()
        assert (policy.scores(fake.held) > cut_of(policy, {}, None)).mean() == share
    assert cut_of(make_cascade(cut=0.7), {}, None) == 0.7 and cut_of(make_cascade(), {"above": 0.2}, None) == 0.2


def test_a_text_without_spans_has_a_score_of_its_own():
    held = {"random": np.zeros(2), "none": np.array([1.0, 0.0]), "least": np.array([0.0, 0.9])}
    assert make_cascade(empty=0.3).scores(held) == pytest.approx([0.3, 0.1])


def test_what_cannot_be_decided_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match="metaie route fit"):
        cut_of(make_errors(), {"share": 0.5}, None)
    for wrong in (
        {"shares": 0.5},
        {"share": "x"},
        {"share": True},
        {"confidence": 0.9},
        [1],
        {"risk": 0.1, "share": 0.1},
    ):
        with pytest.raises(ValueError, match="ask"):
            check_ask(wrong)
