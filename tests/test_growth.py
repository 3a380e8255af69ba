"""Choosing among spans, and cutting texts into windows, takes steps that grow with them."""

import random
from unittest import mock

import pytest
import spacy
from counting import assert_grows_evenly, peak
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy import spans
from metaie_spacy.data.items import Item
from metaie_spacy.model import windows
from metaie_spacy.model.predict import chunk_labels
from metaie_spacy.spans import Answer, Taken, flatten, write_ents

STEADY = settings(deadline=None, derandomize=True, max_examples=300)
PLACES = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 25), st.sampled_from([0.1, 0.5, 0.9]))
)


def flat_by_definition(answers):
    kept, taken = [], set()
    for answer in sorted(
        answers, key=lambda a: (-(a.score if a.rank is None else a.rank), -a.score, a.start - a.end, a.start, a.label)
    ):
        places = range(answer.start, answer.end)
        if taken.isdisjoint(places):
            taken.update(places)
            kept.append(answer)
    return sorted(kept, key=lambda a: (a.start, a.end))


@STEADY
@given(PLACES, st.sampled_from([2, 8, 1024]))
def test_flat_answers_are_as_defined(places, block):
    answers = [Answer(label, start, start + size, score) for label, start, size, score in places]
    with mock.patch.object(spans, "BLOCK", block):
        assert flatten(answers) == flat_by_definition(answers)


@STEADY
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30))), st.integers(0, 40), st.integers(0, 40))
def test_taken_tokens_are_found_by_blocks_too(places, start, size):
    with mock.patch.object(spans, "BLOCK", 8):
        taken, cells = Taken(80), set()
        for first, length in places:
            if cells.isdisjoint(range(first, first + length)):
                taken.add(first, first + length)
                cells.update(range(first, first + length))
        assert taken.is_free(start, start + size) == cells.isdisjoint(range(start, start + size))


# About n answers in a text of about n tokens.
ANSWERS = {
    "long, over one token": lambda n: [Answer("a", n - 1, n, 1.0), *(Answer("b", i, n, 0.5) for i in range(n))],
    "short": lambda n: [Answer("a", i, i + 1, (i * 7919 % n) / n) for i in range(n)],
    "all of it": lambda n: [Answer(f"label {i}", 0, n, i / n) for i in range(n)],
}


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("count", [None, peak], ids=["steps", "bytes"])
def test_flat_answers_are_found_in_steps_and_bytes_that_grow_with_their_number(kind, count):
    made = {n: ANSWERS[kind](n) for n in (500, 1000, 2000)}
    kwargs = {} if count is None else {"count": count}
    assert_grows_evenly(lambda n: flatten(made[n]), 500, **kwargs)


def test_entities_beside_answers_are_kept():
    doc = spacy.blank("en")("Ada met Bob in old London")
    doc.ents = [spacy.tokens.Span(doc, 0, 1, "X"), spacy.tokens.Span(doc, 4, 6, "X")]
    write_ents(doc, [Answer("place", 5, 6, 0.9), Answer("name", 2, 3, 0.8)])
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Ada", "X"), ("Bob", "name"), ("London", "place")]


def cut_by_definition(item, found):
    """The spans of each window, and their borders, as a sentence says it."""
    for window in found:
        start = max([window.start, *(e for s, e, _ in item.spans if s < window.start < e)])
        end = min([window.end, *(s for s, e, _ in item.spans if s < window.end < e)])
        inside = [span for span in item.spans if start <= span[0] and span[1] <= end]
        elsewhere = {label for _, _, label in item.spans} - {label for _, _, label in inside}
        if start < end:
            shifted = [(s - start, e - start, label) for s, e, label in inside]
            yield item._replace(words=item.words[start:end], spans=shifted, absent=sorted({*item.absent, *elsewhere}))


@STEADY
@given(PLACES, st.sets(st.sampled_from("abc")), st.randoms(use_true_random=False))
def test_windows_have_the_spans_that_lie_inside(places, absent, rng):
    item = Item(
        "1",
        [f"w{i}" for i in range(60)],
        [(start, start + size, label) for label, start, size, _ in places],
        sorted(absent),
    )
    sizes = [rng.choice([0, 1, 1, 3, 16]) for _ in item.words]
    found = windows.split_windows(sizes, 20, 8)
    cut = windows.cut_items([item], lambda words: [(0,) * size for size in sizes], 20, 8)
    assert cut == (list(cut_by_definition(item, found)) if len(found) > 1 else [item])


@pytest.mark.parametrize("label", ["a", "label {}"])
@pytest.mark.parametrize("count", [None, peak], ids=["steps", "bytes"])
def test_windows_are_cut_in_steps_and_bytes_that_grow_with_the_text(monkeypatch, label, count):
    monkeypatch.setattr(windows, "MAX_ABSENT", 50)

    def cut(n):
        rng = random.Random(0)
        places = [(i, i + rng.choice((1, 3, n - i)), label.format(i)) for i in range(0, n, 3)]
        return windows.cut_items([Item("1", ["w"] * n, places, [])], lambda words: [(0,)] * len(words), 40)

    kwargs = {} if count is None else {"count": count}
    assert_grows_evenly(cut, 500, **kwargs)


def test_a_window_is_asked_a_bounded_number_of_labels_in_vain(monkeypatch):
    monkeypatch.setattr(windows, "MAX_ABSENT", 10)
    item = Item("1", ["w"] * 200, [(i, i + 1, f"label {i:03}") for i in range(200)], [])
    cut = windows.cut_items([item], lambda words: [(0,)] * len(words), 40)
    assert all(0 < len(part.absent) <= 10 for part in cut)
    assert len({label for part in cut for label in part.absent}) > 30, "another part of them in each window"
    assert all(not set(part.absent) & {label for _, _, label in part.spans} for part in cut)


def test_labels_are_chunked_in_steps_that_grow_with_their_number():
    class Pieces:
        def label(self, label):
            return (0, 1, 2)

    sums = []
    with mock.patch("builtins.sum", side_effect=lambda values, *start: sums.append(1) or len(values)):
        assert_grows_evenly(lambda n: chunk_labels([f"label {i}" for i in range(n)], Pieces(), 60, 60), 100)
    assert len(sums) <= 6, "the sum of all is made once"
