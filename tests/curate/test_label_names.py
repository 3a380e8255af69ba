"""Spelling of labels: what is respelled, what is a name and stays, what is merged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.curate.label_clusters import alike_labels, cluster_labels, names_a_type
from metaie_spacy.curate.label_names import WordCases, label_rows, normal_label, rename_labels, spelling
from metaie_spacy.data.ledger import Ledger, Sourced


@pytest.mark.parametrize(
    "label, expected",
    [
        ("Person", "person"),
        ("US state", "US state"),
        ("employer of Ada Lovelace", "employer of Ada Lovelace"),
        ("Ada Lovelace's employer", "Ada Lovelace's employer"),
        ("Adverse event  trigger.", "adverse event trigger"),
        ("date_of_birth", "date of birth"),
        ("DATE_OF_BIRTH", "date of birth"),
        ("dateOfBirth", "date of birth"),
        ("DateOfBirth", "date of birth"),
        ("userID", "user ID"),
        ("PERSON", "person"),
        ("ORG", "ORG"),
        ("iPhone model", "iPhone model"),
        ("mRNA", "mRNA"),
        ("PhD", "PhD"),
        ("“Drug name”,", "drug name"),
        ("'what'", "what"),
        ('"Hey Jude" composer', '"Hey Jude" composer'),
        ('"A" or "B"', '"A" or "B"'),
        ("city in the U.S.", "city in the U.S."),
        ("Who won?", "who won?"),
        ("A person", "a person"),
        ("C compiler", "C compiler"),
        ("X-ray finding", "X-ray finding"),
        ("ﬁrst\u00a0name", "first name"),
        ("COVID-19 case", "COVID-19 case"),
        ("地名", "地名"),
        ("...", "..."),
    ],
)
def test_label_gets_its_normal_spelling(label, expected):
    assert normal_label(label) == expected


def test_the_corpus_tells_names_from_words():
    texts = [
        "Today the US army and the UNESCO met Euclid in a French city, and a movie title gave the date.",
        "The Court of Justice in Luxembourg is a court unlike a court in Rome, and drugs such as Ibuprofen; Gordius was a king.",
    ]
    cases = WordCases(texts, ["type of movie", "title", "date"])
    expected = {
        "French city": "French city",
        "Gordius tutor": "Gordius tutor",
        "Movie Title": "movie title",
        "Movie Title won by Euclid": "Movie Title won by Euclid",
        "Court of Justice decided": "Court of Justice decided",
        "Court of appeal": "court of appeal",
        "DATE": "date",
        "UNESCO": "UNESCO",
        "TITLE OF EUCLID": "title of Euclid",
        "Person": "person",
    }
    assert {label: normal_label(label, cases) for label in expected} == expected


@given(st.text(alphabet="aAbBéÉ '\"._-?1ßİ“”人", min_size=1, max_size=12).filter(str.strip))
@settings(max_examples=300)
def test_normal_label_is_never_empty_and_stays_as_it_is(label):
    once = normal_label(label)
    assert once.strip() and normal_label(once) == once


def item(text, spans, absent=(), line=1):
    spans = [{"start": start, "end": end, "label": label} for start, end, label in spans]
    return Sourced({"id": str(line), "text": text, "spans": spans, "absent": list(absent)}, "a.jsonl", line)


def test_labels_that_become_equal_keep_the_contract():
    ledger = Ledger()
    spans = [(0, 12, "Person"), (0, 12, "person"), (0, 3, "PERSON"), (16, 20, "place")]
    items = [item("Ada Lovelace in Rome", spans, ["person", "Drug", "drug", "_place"])]
    (renamed,), counts = rename_labels(items, spelling(items), ledger)
    assert [(s["start"], s["end"], s["label"]) for s in renamed.row["spans"]] == [(0, 12, "person"), (16, 20, "place")]
    assert renamed.row["absent"] == ["drug"]
    assert counts == {"equal_spans": 1, "absent_but_found": 2}
    assert ledger.spans == {"overlap": 1} and ledger.entries[0]["span"] == {"start": 0, "end": 3, "label": "person"}
    assert items[0].row["spans"][0]["label"] == "Person"  # the rows given are left alone


def test_label_rows_counts_rows_not_spans():
    items = [
        item("Ada Ada", [(0, 3, "b"), (4, 7, "b"), (0, 3, "a")]),
        item("Ada", [(0, 3, "b")]),
        item("Rome", [(0, 4, "c")]),
    ]
    assert list(label_rows(items).items()) == [("b", 2), ("a", 1), ("c", 1)]


def test_cluster_takes_the_most_frequent_wording_and_makes_no_chains():
    angles = {"firm": 0.0, "company": 0.3, "business": 0.6, "river": 1.5}
    rows = {"firm": 2, "company": 9, "business": 3, "river": 1}
    vectors = np.array([[np.cos(a), np.sin(a)] for a in angles.values()], dtype="float32")
    assert cluster_labels(rows, vectors, 0.95) == {"firm": "company", "business": "company"}
    assert cluster_labels(rows | {"firm": 10}, vectors, 0.95) == {"company": "firm"}  # business is too far from firm


def test_only_labels_that_name_a_type_are_clustered(make_nlp):
    labels = ("drug", "employer of Ada", "top 10", "what the writer did there")
    assert [names_a_type(label) for label in labels] == [True, False, False, False]
    nlp = make_nlp()
    assert set(alike_labels({"person": 5, "date": 4, "drug 1": 3}, nlp, -1.1)) == {"date"}
