"""Conversion takes steps that grow with the rows."""

from pathlib import Path

import pytest
from counting import assert_grows_evenly, peak
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.training import iob_to_biluo
from spacy.training.iob_utils import tags_to_entities

from metaie_spacy.convert.label_studio_places import offsets
from metaie_spacy.convert.opinions import Opinion, united
from metaie_spacy.convert.records import OPINION, Skipped, Tally, restore
from metaie_spacy.convert.words import tagged, tokens_around

TAGS = st.lists(st.sampled_from(["O", *(f"{tag}-{label}" for tag in "BILU" for label in "xy")]), max_size=12)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(TAGS)
def test_entities_are_those_of_spacy(tags):
    assert list(tagged(tags)) == [(first, last, label) for label, first, last in tags_to_entities(iob_to_biluo(tags))]


@pytest.mark.parametrize("tag", ["O", "B-x", "I-x"])
def test_entities_are_found_in_steps_that_grow_with_the_tags(tag):
    assert_grows_evenly(lambda n: list(tagged([tag] * n)), 500)


def test_tokens_are_cut_around_spans_in_steps_that_grow_with_them():
    def cut(n):
        spans = [{"start": 5 * i + 1, "end": 5 * i + 7} for i in range(n - 2)]
        return tokens_around("word " * n, spans, lambda text: [(i, i + 4) for i in range(0, len(text), 5)])

    assert_grows_evenly(cut, 300)


def test_a_region_is_compared_with_its_words_only_where_they_may_be_its_own():
    text = "x" + " " * 50_000
    with pytest.raises(Skipped):
        offsets([{"start": 0, "end": 50_000, "text": "x"}], text)
    assert offsets([{"start": 0, "end": 900, "text": "x"}], text) == [(0, 900)]
    looked = []

    class Counting(str):
        def __getitem__(self, at):
            looked.append(len(range(*at.indices(len(self)))))
            return str.__getitem__(self, at)

    def place(n):
        regions = [{"start": 0, "end": 100 * n - i, "text": "y"} for i in range(n)]
        offsets(regions, Counting("x" * (100 * n)))

    with pytest.raises(Skipped):
        place(100)
    assert sum(looked) < 100_000


def test_regions_are_placed_in_bytes_that_grow_with_them():
    def place(n):
        return offsets([{"start": 5 * i, "end": 5 * i + 4, "text": "word"} for i in range(n)], "word " * n)

    assert_grows_evenly(place, 2000, count=peak)


def test_labels_that_were_asked_are_looked_for_in_steps_that_grow_with_them():
    compared = []

    class Label(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            compared.append(1)
            return str.__eq__(self, other)

    spans = [{"start": 0, "end": 1, "label": Label(f"label {i}")} for i in range(200)]
    kept = {"id": "1", "asked": [Label(f"label {i}") for i in range(100, 300)]}
    row = restore("text", spans, kept, reviewed=True, teacher=None)
    assert row["absent"] == [f"label {i}" for i in range(200, 300)] and len(compared) < 1000
    odd = restore("text", [{"label": ["a"]}, "b"], {"id": "1", "asked": [["a"], "b"]}, reviewed=True, teacher=None)
    assert odd["absent"] == [["a"], "b"], "left to the check of rows"


def answers_on_one_text(n):
    """Rows of n people who accepted or rejected each a span of its own."""
    rows = []
    for i in range(n):
        opinion = Opinion(str(i), False, frozenset([(2 * i, 2 * i + 1, "x")] if i % 2 else []))
        spans = [] if i % 2 else [{"start": 2 * i, "end": 2 * i + 1, "label": "x"}]
        rows.append({"id": "1", "text": "a " * n, "spans": spans, "absent": [], OPINION: opinion})
    return rows


def test_answers_on_one_text_are_united_in_steps_that_grow_with_them():
    def unite(n):
        (row,) = united(answers_on_one_text(n), "unsure", Tally(Path("file")))
        assert len(row["spans"]) == (n + 1) // 2

    assert_grows_evenly(unite, 300)


def test_spans_that_overlap_longer_ones_are_left_open_in_steps_that_grow_with_them():
    def check(n):
        spans = [{"start": 5 * i + 1, "end": 5 * i + 7, "label": "x"} for i in range(n - 2)]
        Tally(Path("file")).take("line 1", b"", lambda: {"id": "1", "text": "word " * n, "spans": spans})

    assert_grows_evenly(check, 300)
