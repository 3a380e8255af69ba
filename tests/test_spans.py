"""Decoding, overlap and windows, on numbers alone."""

import numpy as np
import pytest

from metaie_spacy.measure.scores import exact_matches
from metaie_spacy.model.windows import split_windows
from metaie_spacy.schema import generality
from metaie_spacy.spans import Answer, decode, flatten


def logits_of(tags, strength=4.0):
    """Logits (W, 1, 2) whose best tags are the given string of O, B and I."""
    table = {"O": (-strength, -strength), "B": (strength, -strength), "I": (-strength, strength)}
    return np.array([[table[tag]] for tag in tags], dtype="float32")


def places(tags, threshold=0.5, tokens=None):
    found = decode(logits_of(tags), ["x"], np.array([threshold]), tokens or list(range(len(tags))))
    return [(a.start, a.end) for a in found]


@pytest.mark.parametrize(
    "tags, expected",
    [
        ("OOO", []),
        ("BII", [(0, 3)]),
        ("OBIOBO", [(1, 3), (4, 5)]),
        ("BB", [(0, 1), (1, 2)]),
        ("BIBI", [(0, 2), (2, 4)]),
        ("OII", [(1, 3)]),
        ("IOI", [(0, 1), (2, 3)]),
        ("OOB", [(2, 3)]),
    ],
)
def test_runs_of_tags_are_spans(tags, expected):
    assert places(tags) == expected


def test_span_runs_over_tokens_without_pieces():
    assert places("BIO", tokens=[0, 2, 3]) == [(0, 3)]


@pytest.mark.filterwarnings("error")
def test_threshold_0_tags_every_token_and_1_none():
    logits = np.random.default_rng(0).normal(scale=9, size=(50, 1, 2)).astype("float32")
    covered = sum(a.end - a.start for a in decode(logits, ["x"], np.array([0.0]), range(50)))
    assert covered == 50
    assert decode(logits, ["x"], np.array([1.0]), range(50)) == []


def test_threshold_trades_recall_for_precision():
    rng = np.random.default_rng(0)
    logits = rng.normal(-1, 2, (200, 3, 2)).astype("float32")
    counts = [
        sum(a.end - a.start for a in decode(logits, list("abc"), np.full(3, t), range(200)))
        for t in (0.01, 0.3, 0.5, 0.7, 0.99)
    ]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[2] > counts[-1]
    thresholds = np.array([0.01, 0.5, 0.99])
    mixed = decode(logits, list("abc"), thresholds, range(200))
    for label, threshold in zip("abc", thresholds):
        alone = decode(logits, list("abc"), np.full(3, threshold), range(200))
        assert [a for a in mixed if a.label == label] == [a for a in alone if a.label == label]


def test_score_is_the_mean_probability_of_the_tags():
    logits = np.array([[[1.0, 0.0]], [[-1.0, 2.0]]], dtype="float32")
    (answer,) = decode(logits, ["x"], np.array([0.5]), [0, 1])
    first = np.exp(1) / (1 + np.exp(1) + 1)
    second = np.exp(2) / (1 + np.exp(-1) + np.exp(2))
    assert answer.score == pytest.approx((first + second) / 2)
    (sure,) = decode(logits * 1000, ["x"], np.array([0.5]), [0, 1])
    assert sure.score == 1.0
    shifted = decode(logits, ["x"], np.array([0.1]), [0, 1])
    assert shifted[0].score == pytest.approx(answer.score)  # the threshold decides, it does not score


def test_flatten_keeps_the_best_and_breaks_ties_by_length_place_and_name():
    a, b, c = Answer("b", 0, 2, 0.9), Answer("a", 1, 3, 0.8), Answer("a", 3, 4, 0.1)
    assert flatten([b, c, a]) == [a, c]
    tie = [Answer("b", 0, 1, 0.5), Answer("a", 0, 1, 0.5), Answer("a", 0, 2, 0.5)]
    assert flatten(tie) == flatten(tie[::-1]) == [tie[2]]
    assert flatten(tie[:2]) == [tie[1]]


def test_exact_matches_counts_by_text():
    counts = exact_matches([{(0, 1, "a")}, {(0, 1, "a"), (2, 3, "b")}], [set(), {(0, 1, "a"), (2, 4, "b")}])
    assert counts == (1, 1, 2)
    assert (counts.precision, counts.recall) == (1 / 2, 1 / 3)


@pytest.mark.parametrize("seed", range(20))
def test_windows_own_every_token_once_and_show_its_surroundings(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 17, rng.integers(1, 400)).tolist()
    limit, overlap = int(rng.integers(40, 120)), int(rng.integers(0, 19))
    windows = split_windows(sizes, limit, overlap)
    owned = [i for w in windows for i in range(w.own_start, w.own_end)]
    assert owned == list(range(len(sizes)))
    sums = np.concatenate([[0], np.cumsum(sizes)])
    for w in windows:
        assert w.start <= w.own_start and w.own_end <= w.end
        assert w.size == sums[w.end] - sums[w.start] + 2 <= limit + 2
        if w.own_start > 0 and w.own_end > w.own_start:
            # a token is 16 pieces at most: that much may be lost to its boundary
            assert sums[w.own_start] - sums[w.start] >= overlap // 2 - 17
    assert all(a.end >= b.start for a, b in zip(windows, windows[1:]))


def test_short_text_is_one_window():
    assert len(split_windows([1, 2, 3], 6, 2)) == 1
    assert len(split_windows([], 6, 2)) == 1


def test_general_labels_give_way_to_specific_ones():
    logits = np.array([[[3.0, 0.0], [1.5, 0.0]]], dtype="float32")  # "person" is the surer one
    person, politician = decode(logits, ["person", "politician"], np.full(2, 0.5), [0], generality=np.array([3.0, 0.0]))
    assert person.score > politician.score and flatten([person, politician]) == [politician]
    a, b = decode(logits, ["person", "politician"], np.full(2, 0.5), [0])
    assert flatten([a, b]) == [a] and flatten([b]) == [b]


def test_labels_give_way_less_the_more_are_asked():
    counts = {"person": 5000}
    few, many = generality(["Person", "politician"], counts, 40), generality(["Person", "politician"], counts, 400)
    assert few == generality(["person", "politician"], counts, 2) and few[0] > 3 and few[1] == 0
    assert many == [pytest.approx(few[0] / 10), 0]
