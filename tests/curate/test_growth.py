"""Curation takes steps that grow with labels, texts and rows."""

import time

import pytest
from counting import assert_grows_evenly
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.curate.contamination import runs_of
from metaie_spacy.curate.duplicates import shingles_of
from metaie_spacy.curate.label_names import LONGEST, WordCases, normal_label
from metaie_spacy.curate.merging import merge_teachers
from metaie_spacy.data.ledger import Ledger, Sourced


@pytest.mark.parametrize(
    "label, normal",
    [("dateOfBirth12", "date of birth 12"), ("aa1", "aa 1"), ("iPhone", "iPhone"), ("PhD", "PhD"), ("U.S.", "U.S."), ("city.", "city"), ("e.g.", "e.g.")],
)  # fmt: skip
def test_humps_and_abbreviations_are_told_as_ever(label, normal):
    assert normal_label(label) == normal


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.text("aB1.'\"", max_size=30))
def test_no_label_is_tried_in_every_way_it_can_be_divided(part):
    began = time.process_time()
    normal_label("aa" + "1" * 60 + part + "!")
    normal_label("aa" + "A1a" * 20 + part + "!")
    assert time.process_time() - began < 5, "two to the sixtieth would be years"


def test_what_is_too_long_to_be_a_label_stays():
    for label in ("a\u0301\u0323" * LONGEST, "x" * (LONGEST + 1)):
        assert normal_label(label) == label
    assert normal_label("X" * LONGEST) == "x" * LONGEST


@pytest.mark.parametrize("part", ["Court of Justice ", "A", "a.", "A. ", "- Aa"])
def test_words_and_runs_are_read_in_steps_that_grow_with_the_text(part):
    assert_grows_evenly(lambda n: WordCases([(part * n)[:n]]), 4000)
    assert_grows_evenly(lambda n: (runs_of((part * n)[:n].split()), shingles_of((part * n)[:n])), 4000)


def test_rows_of_one_text_by_one_teacher_are_merged_in_steps_that_grow_with_them():
    def merge(n):
        rows = [{"id": str(i), "text": "a", "spans": [], "teacher": "x"} for i in range(n)]
        merge_teachers([Sourced(row, "file", i) for i, row in enumerate(rows)], Ledger())

    assert_grows_evenly(merge, 200)
