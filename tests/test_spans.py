"""Decoding and overlap, on numbers alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metaie_spacy.spans import Answer, decode, flatten, tidied

logits = st.tuples(st.integers(0, 12), st.integers(1, 4)).flatmap(
    lambda shape: arrays("float32", (*shape, 2), elements=st.floats(-30, 30, width=32))
)
thresholds = st.floats(0.001, 0.999)


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


def test_general_labels_give_way_to_specific_ones():
    logits = np.array([[[3.0, 0.0], [1.5, 0.0]]], dtype="float32")  # "person" is the surer one
    person, politician = decode(logits, ["person", "politician"], np.full(2, 0.5), [0], generality=np.array([3.0, 0.0]))
    assert person.score > politician.score and flatten([person, politician]) == [politician]
    a, b = decode(logits, ["person", "politician"], np.full(2, 0.5), [0])
    assert flatten([a, b]) == [a] and flatten([b]) == [b]


def slow_decode(logits, label, threshold):
    """The rule as a sentence says it: shift O, take the best tag, read B I* runs."""
    shift, spans, run = np.log(threshold / (1 - threshold)), [], None
    for i, (b, inside) in enumerate(logits):
        if max(b, inside) <= shift:
            run = None
            continue
        if b >= inside or run is None:
            run = [i, i, 0.0]
            spans.append(run)
        peak = max(b, inside, 0.0)
        total = np.exp(-peak) + np.exp(float(b) - peak) + np.exp(float(inside) - peak)
        run[1], run[2] = i + 1, run[2] + np.exp(max(b, inside) - peak) / total
    return [(label, start, end, score / (end - start)) for start, end, score in spans]


@settings(max_examples=300)
@given(logits, st.data())
def test_decode_agrees_with_its_definition(values, data):
    n_words, n_labels, _ = values.shape
    names = [f"label {u}" for u in range(n_labels)]
    limits = np.array([data.draw(thresholds) for _ in names])
    tokens = sorted(data.draw(st.sets(st.integers(0, 40), min_size=n_words, max_size=n_words)))
    found = decode(values, names, limits, tokens)
    expected = [span for u, name in enumerate(names) for span in slow_decode(values[:, u], name, limits[u])]
    assert [(a.label, a.start, a.end) for a in found] == [
        (label, tokens[start], tokens[end - 1] + 1) for label, start, end, _ in expected
    ]
    assert np.allclose([a.score for a in found], [score for *_, score in expected], atol=1e-6)
    assert all(0 <= a.score <= 1 for a in found)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.integers(1, 6), st.floats(0, 1))))
def test_flat_answers_do_not_overlap_and_lose_only_to_better_ones(raw):
    answers = [Answer(label, start, start + size, score) for label, start, size, score in raw]
    kept = flatten(answers)
    places = [i for a in kept for i in range(a.start, a.end)]
    assert len(places) == len(set(places)) and set(kept) <= set(answers)
    for lost in set(answers) - set(kept):
        assert any(k.score >= lost.score and k.start < lost.end and lost.start < k.end for k in kept)


def test_least_score_drops_spans_and_trims_none():
    rng = np.random.default_rng(0)
    values, names = rng.normal(0, 3, (200, 1, 2)).astype("float32"), ["x"]
    every = decode(values, names, np.array([0.3]), range(200))
    kept = decode(values, names, np.array([0.3]), range(200), least=np.array([0.8]))
    assert kept == [answer for answer in every if answer.score >= 0.8] and 0 < len(kept) < len(every)
    assert decode(values * 100, names, np.array([0.3]), range(200), least=np.array([1.0])) == []


WORDS = ["Ada", ",", "Lovelace", "\n\n", "(", "London", ")", ";", " \n ", "Rome", "."]


@pytest.mark.parametrize(
    "place, found",
    [
        ((0, 3), [(0, 3)]),
        ((0, 2), [(0, 1)]),
        ((1, 3), [(2, 3)]),
        ((0, 6), [(0, 3), (4, 6)]),
        ((2, 5), [(2, 3)]),
        ((6, 8), []),
        ((5, 10), [(5, 10)]),
        ((9, 11), [(9, 11)]),
        ((3, 4), []),
    ],
)
def test_answers_cross_no_blank_line_and_end_with_no_stray_sign(place, found):
    answers = tidied(WORDS, [Answer("x", *place, 0.5)])
    assert [(answer.start, answer.end) for answer in answers] == found
    assert all(answer.score == 0.5 and answer.label == "x" for answer in answers)
