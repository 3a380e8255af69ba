"""Curation takes steps that grow with labels, texts and rows."""

from unittest import mock

import pytest
from counting import assert_grows_evenly

from metaie_spacy.curate import duplicates, merging
from metaie_spacy.curate.contamination import runs_of
from metaie_spacy.curate.duplicates import drop_near_texts, shingles_of
from metaie_spacy.curate.label_names import LONGEST, WordCases, normal_label
from metaie_spacy.curate.merging import merge_teachers
from metaie_spacy.curate.splits import link_documents
from metaie_spacy.data.ledger import Ledger, Sourced


@pytest.mark.parametrize(
    "label, normal",
    [("dateOfBirth12", "date of birth 12"), ("aa1", "aa 1"), ("iPhone", "iPhone"), ("PhD", "PhD"), ("U.S.", "U.S."), ("city.", "city"), ("e.g.", "e.g.")],
)  # fmt: skip
def test_humps_and_abbreviations_are_told_as_ever(label, normal):
    assert normal_label(label) == normal


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


def form(i, words=40):
    """A row of a form: most of its words are those of every other."""
    text = " ".join(f"word{k}" for k in range(words)) + f" {i} a b c d {i} e f g h"
    return Sourced({"id": str(i), "text": text, "spans": [], "teacher": f"t{i}"}, "file", i)


@pytest.mark.parametrize("find", [lambda rows: link_documents(rows, 0.6), lambda rows: drop_near_texts(rows, 0.8, Ledger())])  # fmt: skip
def test_rows_of_one_form_are_compared_as_often_as_there_are_rows_and_not_pairs(monkeypatch, find):
    monkeypatch.setattr(duplicates, "MAX_ALIKE", 5)

    def comparisons(run, n):
        with mock.patch.object(duplicates, "similarity", wraps=duplicates.similarity) as compare:
            run([form(i) for i in range(n)])
        return compare.call_count

    assert_grows_evenly(find, 100, count=comparisons, most=3)


def test_rows_of_one_form_are_linked_and_its_near_duplicates_dropped(monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_ALIKE", 5)
    rows = [form(i) for i in range(40)]
    assert len(set(link_documents(rows, 0.6).values())) == 1
    again = rows[30]._replace(row={**rows[30].row, "id": "again", "text": rows[30].row["text"] + " i"})
    kept = drop_near_texts([*rows, again], 0.95, Ledger())
    assert [item.row["id"] for item in kept] == [str(i) for i in range(40)], "what is rare in a form tells its rows"


def test_many_teachers_of_one_text_are_merged_in_steps_that_grow_with_them(monkeypatch):
    monkeypatch.setattr(merging, "MAX_COMPARED", 5)

    def merge(n):
        rows = [form(i)._replace(row={"id": str(i), "text": "a b", "teacher": f"t{i}",
                "spans": [{"start": 0, "end": 1 + i % 3, "label": "x"}]}) for i in range(n)]  # fmt: skip
        assert len(merge_teachers(rows, Ledger())) == 1

    assert_grows_evenly(merge, 100)
