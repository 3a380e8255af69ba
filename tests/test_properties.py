"""Properties that hold for all input: decoding, windows, label chunks, alignment."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metaie_spacy.model.predict import chunk_labels
from metaie_spacy.model.windows import split_windows
from metaie_spacy.schema import parse_labels, plain
from metaie_spacy.spans import Answer, decode, flatten

STEADY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY, SOME = settings(STEADY, max_examples=300), settings(STEADY, max_examples=60)
logits = st.tuples(st.integers(0, 12), st.integers(1, 4)).flatmap(
    lambda shape: arrays("float32", (*shape, 2), elements=st.floats(-30, 30, width=32))
)
thresholds = st.floats(0.001, 0.999)


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


@MANY
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


@MANY
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.integers(1, 6), st.floats(0, 1))))
def test_flat_answers_do_not_overlap_and_lose_only_to_better_ones(raw):
    answers = [Answer(label, start, start + size, score) for label, start, size, score in raw]
    kept = flatten(answers)
    places = [i for a in kept for i in range(a.start, a.end)]
    assert len(places) == len(set(places)) and set(kept) <= set(answers)
    for lost in set(answers) - set(kept):
        assert any(k.score >= lost.score and k.start < lost.end and lost.start < k.end for k in kept)


@MANY
@given(st.lists(st.integers(0, 16), max_size=200), st.integers(16, 100), st.data())
def test_windows_hold_every_token_once_within_their_limit(sizes, limit, data):
    overlap = data.draw(st.integers(0, limit // 2 - 1))
    windows = split_windows(sizes, limit, overlap)
    owned = [i for w in windows for i in range(w.own_start, w.own_end)]
    assert owned == list(range(len(sizes)))
    for w in windows:
        assert w.start <= w.own_start <= w.own_end <= w.end
        assert sum(sizes[w.start : w.end]) + 2 == w.size <= limit + 2
    for left, right in zip(windows, windows[1:]):
        assert right.start <= left.end and left.start < right.start
        shared = sum(sizes[right.start : left.end])
        assert shared <= overlap + 16  # of whole tokens, about the overlap that was asked for


class Letters:
    """A piece per letter."""

    def label(self, label):
        return (0, *map(ord, label.replace(" ", "")))


@MANY
@given(st.lists(st.text("abcdefg ", min_size=1, max_size=20).filter(str.strip)), st.integers(5, 60))
def test_label_chunks_hold_every_label_once_in_order(labels, budget):
    chunks = chunk_labels(labels, Letters(), budget, 64)
    assert [label for chunk in chunks for label in chunk] == sorted(set(labels))
    sizes = [sum(len(Letters().label(label)) for label in chunk) for chunk in chunks]
    assert all(size <= budget + 2 * 21 for size in sizes)  # balanced: at most about a label beyond


@MANY
@given(st.dictionaries(st.text(min_size=1).filter(lambda t: t.strip() and t.isprintable()), st.one_of(
    st.just("query"), st.fixed_dictionaries({"query": st.just("q")}, optional={"threshold": thresholds, "description": st.text()}))))  # fmt: skip
def test_plain_labels_parse_to_themselves(labels):
    parsed = parse_labels(labels)
    assert parse_labels(plain(parsed)) == parsed and [label.name for label in parsed] == list(labels)


words = st.one_of(
    st.sampled_from(
        [
            "Ada",
            "London",
            "KLM",
            "1815",
            " ",
            "\n",
            ",",
            "e.g.",
            "don't",
            "\u00a0",
            "é",
            "e\u0301",
            "👩‍👩‍👧",
            "日本語",
            "שלום",
        ]
    ),
    st.text(max_size=8),
)


@pytest.fixture(scope="module")
def nlp(encoders):
    import spacy
    import torch
    from helpers import wake

    made = spacy.blank("en")
    torch.manual_seed(1)
    block = {
        "@architectures": "metaie-spacy.LabelToSpan.v1",
        "name": encoders["bert"],
        "window": 24,
        "overlap": 8,
        "compute_dtype": "float32",
    }
    pipe = made.add_pipe(
        "metaie", config={"labels": ["person", "date", "place"], "threshold": 0.05, "weights": None, "model": block}
    )
    pipe.model.initialize()
    wake(pipe.model.shims[0].module)
    return made


@SOME
@given(parts=st.lists(words, max_size=60), glue=st.sampled_from(["", " "]))
def test_spans_align_with_the_text(nlp, parts, glue):
    text = glue.join(parts).encode("utf8", "ignore").decode("utf8")
    doc = nlp(text)
    group = doc.spans["metaie"]
    scores = group.attrs["scores"]
    assert doc.text == text and len(scores) == len(group) and bool(np.all((scores >= 0) & (scores <= 1)))
    for span in group:
        assert span.text == text[span.start_char : span.end_char] and span.text.strip()
        assert not doc[span.start].is_space and not doc[span.end - 1].is_space


@SOME
@given(parts=st.lists(words, max_size=40))
def test_packed_pieces_align_with_their_words(nlp, parts):
    pieces = nlp.get_pipe("metaie").model.shims[0].pieces
    batch, (kept,) = pieces.texts([parts])
    ids = pieces(parts)
    assert kept == [i for i, found in enumerate(ids) if found]
    for place, i in zip(batch.first.tolist(), kept):
        assert tuple(batch.ids[place : place + len(ids[i])].tolist()) == ids[i] and len(ids[i]) <= 16
    assert batch.lengths.tolist() == [2 + sum(map(len, ids))] and batch.words.tolist() == [len(kept)]
    assert len(batch.shapes) == len(batch.ids)
