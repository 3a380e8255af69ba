"""What speaks for a link, and which links stay."""

import subprocess
import sys

import numpy as np
import pytest
from counting import peak, steps
from hypothesis import given
from hypothesis import strategies as st

from metaie_spacy.linking import decode
from metaie_spacy.linking.decode import (
    WEIGHTS,
    Pairs,
    chosen,
    features,
    gaps,
    peak_near,
    presence,
    probability,
    shares,
    support,
)
from metaie_spacy.model.defaults import LINK_PARTS

UNKNOWN = np.array([np.nan])


def test_weights_may_carry_a_number_for_each_part_of_a_score():
    assert tuple(WEIGHTS) == LINK_PARTS


def test_presence_is_the_probability_of_B_or_I_whatever_the_size_of_the_logits():
    logits = np.array([[[0.0, 0.0]], [[1.0, -2.0]], [[900.0, 3.0]], [[-900.0, -900.0]]], dtype="float32")
    found = presence(logits)[:, 0]
    tags = np.exp([1.0, -2.0])
    assert np.allclose(found, [2 / 3, tags.sum() / (1 + tags.sum()), 1, 0]) and found.dtype == np.float32


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(0, 22), st.integers(1, 6)), max_size=8),
)
def test_support_is_the_mean_over_the_scored_tokens_of_a_candidate(words, places):
    tokens = np.array([i for i, (is_scored, _) in enumerate(words) if is_scored], dtype="int64")
    inside = np.array([[value, value / 2] for is_scored, value in words if is_scored]).reshape(-1, 2)
    starts, ends = (np.array(part, dtype=int) for part in ([p[0] for p in places], [sum(p) for p in places]))
    found = support(inside, tokens, starts, ends)
    for (start, size), row in zip(places, found):
        own = [value for i, (is_scored, value) in enumerate(words) if is_scored and start <= i < start + size]
        assert np.isnan(row).all() if not own else np.allclose(row, [np.mean(own), np.mean(own) / 2])


def test_the_peak_is_that_of_tokens_near_a_span():
    tokens = np.arange(200)
    inside = np.zeros((200, 1))
    inside[[10, 100 - decode.NEAR, 103 + decode.NEAR, 104 + decode.NEAR], 0] = [1, 0.5, 0.7, 1]
    assert peak_near(inside, tokens, 100, 104) == [0.7] and peak_near(inside[:1], tokens[:1], 100, 104) == [0]


def test_distance_is_in_characters_between_the_spans_on_either_side():
    heads, ends = np.array([10, 10, 10, 10]), np.array([15, 15, 15, 15])
    assert gaps(heads, ends, np.array([20, 2, 15, 12]), np.array([22, 5, 16, 13])).tolist() == [5, 5, 0, 0]


def test_every_part_moves_the_probability_its_way_and_what_is_unknown_does_not():
    def of(head=0.7, answer=0.6, inverse=np.nan, gap=10, tail=np.nan, free=0.0):
        parts = features(*(np.array([value], dtype=float) for value in (head, answer, inverse, gap, tail, free)))
        return probability(parts)[0]

    assert of(head=0.9) > of() > of(answer=0.5) and of(gap=11) < of() < of(inverse=0.9) and of(tail=0.9) > of()
    assert of(inverse=0.5) == of() == of(tail=0.5)  # log-odds of 0
    assert of(answer=1.0, head=1.0) < 1 and of(answer=0.0, head=0.0) > 0
    assert of(answer=1.0) == of(answer=1 - 1e-9)  # beyond 9 log-odds all are as sure


def test_a_calibration_changes_the_weights_by_name():
    parts = features(np.array([0.5]), np.array([0.9]), UNKNOWN, np.array([0.0]), UNKNOWN, np.array([True]))
    weights = dict.fromkeys(decode.WEIGHTS, 0.0)
    assert probability(parts, weights) == [0.5]
    assert probability(parts, weights | {"answer": 1.0}) == pytest.approx([0.9])
    assert probability(parts, weights | {"free": 2.0}) == pytest.approx([1 / (1 + np.exp(-2))])


def claims_by_definition(groups, sides, starts, ends, odds):
    found = []
    for i in range(len(odds)):
        rivals = [
            odds[j] for j in range(len(odds))
            if groups[j] == groups[i] and sides[j] != sides[i] and starts[j] < ends[i] and starts[i] < ends[j]
        ]  # fmt: skip
        found.append(max(0.0, max(rivals, default=-np.inf) - odds[i] + decode.MARGIN))
    return found


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 3), st.integers(0, 12), st.integers(1, 5), st.integers(-9, 9).map(float)
        ),
        max_size=40,
    )
)
def test_claims_are_those_of_overlapping_spans_of_another_side(spans):
    groups, sides, starts, sizes, odds = (np.array(part) for part in zip(*spans)) if spans else [np.zeros(0, int)] * 5
    found = decode.claims(groups, sides, starts, starts + sizes, odds)
    assert found.tolist() == pytest.approx(claims_by_definition(groups, sides, starts, starts + sizes, odds))


def test_what_others_claim_too_is_less_likely_a_link():
    parts = features(np.array([0.5]), np.array([0.9]), UNKNOWN, np.array([0.0]), UNKNOWN, np.array([True]))
    alone = probability(parts | {"other_relation": np.zeros(1), "other_head": np.zeros(1)})
    assert alone == probability(parts)
    for name in ("other_relation", "other_head"):
        assert probability(parts | {name: np.array([2.0])}) < probability(parts | {name: np.array([1.0])}) < alone


def chosen_by_definition(pairs, scores, threshold, most, one_head):
    kept = [i for i in range(len(scores)) if scores[i] >= threshold and threshold < 1]
    for is_wanted, group, other, limit in (
        (one_head, pairs.tails, pairs.heads, 1),
        (most is not None, pairs.heads, pairs.tails, most),
    ):
        if is_wanted:
            groups = {}
            for i in sorted(kept, key=lambda i: (-scores[i], other[i])):
                groups.setdefault(group[i], []).append(i)
            kept = [i for own in groups.values() for i in own[:limit]]
    return sorted(kept)


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(0, 4)), st.sampled_from([0.1, 0.4, 0.5, 0.8, 1.0]), max_size=20
    ),
    st.sampled_from([0, 0.3, 0.5, 1]),
    st.sampled_from([None, 1, 2, 9]),
    st.booleans(),
)
def test_links_are_chosen_as_defined(cells, threshold, most, one_head):
    scores = np.array([*cells.values()])
    heads, tails = (np.array([cell[side] for cell in cells], dtype=int) for side in (0, 1))
    pairs = Pairs(heads, tails, scores, scores)
    found = chosen(pairs, scores, threshold=threshold, most=most, one_head=one_head).tolist()
    assert found == chosen_by_definition(pairs, scores, threshold, most, one_head)


def test_options_share_one_probability():
    found = shares(np.array([[0.9, 0.5, 0.5], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]]))
    assert np.allclose(found.sum(1), 1) and np.allclose(found[0], [9 / 11, 1 / 11, 1 / 11])
    assert np.allclose(found[1], 1 / 3) and np.allclose(found[2], [0.5, 0.5, 0], atol=1e-3)


def test_the_nearest_threshold_decides():
    assert decode.threshold_of(0.2, 0.3, {"threshold": 0.4}) == 0.2 and decode.threshold_of(None, 0.3, None) == 0.3
    assert decode.threshold_of(None, None, {"threshold": 0.4}) == 0.4 and decode.threshold_of(0.0, 0.3, {}) == 0.0
    assert decode.threshold_of(None, None, {}) == decode.threshold_of(None, None, None) == decode.THRESHOLD


def test_choosing_takes_no_step_a_pair_and_no_square_of_memory():
    def run(size):
        heads, tails = np.repeat(np.arange(size), size), np.tile(np.arange(size), size)
        scores = (heads * 7919 % 1009 + tails) % 1000 / 1000
        chosen(Pairs(heads, tails, scores, scores), scores, threshold=0.2, most=3, one_head=True)

    assert steps(run, 200) == steps(run, 50)
    assert peak(run, 200) < 200 * 200 * 8 * 25


def test_decoding_needs_neither_spacy_nor_torch():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['spacy', 'torch', 'thinc'])); "
        "import metaie_spacy.linking.decode as d; print(d.THRESHOLD)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "0.5\n"
