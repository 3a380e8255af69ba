"""The audit of a corpus finds what was planted, and nothing where nothing was."""

import json
import random

import numpy as np
import pytest
from planted import at_random, careless, row_of, rows_of_all, swap_labels, write

from metaie_spacy.audit.agreement import alpha_of
from metaie_spacy.audit.corpus import audit_corpus
from metaie_spacy.audit.corpus_page import corpus_page
from metaie_spacy.audit.traits import label_kind


@pytest.mark.parametrize("origin", ["Yoruba", "Korean"])
def test_labels_that_were_swapped_for_names_of_one_origin_are_ranked_first(tmp_path, origin):
    rows, changed = swap_labels(rows_of_all(720), origin, 0.1)
    report = audit_corpus([write(tmp_path / "rows.jsonl", rows)])
    first = report["findings"][0]
    assert (first["what"], first["origin"]) == ("label at names of an origin", origin)
    assert {one["label"] for one in report["findings"]} == {"person", "organization"}
    assert {one["id"] for one in report["suspicious"][: len(changed)]} == changed


def test_nothing_is_found_in_rows_without_a_fault(tmp_path):
    report = audit_corpus([write(tmp_path / "rows.jsonl", rows_of_all(720))])
    assert report["findings"] == [] and report["contradictions"] == []
    assert len(report["origins"]) >= 24  # they were tested


def test_a_teacher_at_random_is_named_among_three(tmp_path):
    rng = random.Random(1)
    rows = rows_of_all(60)
    files = [
        write(tmp_path / "one.jsonl", [careless(row, rng, "one") for row in rows]),
        write(tmp_path / "two.jsonl", [at_random(row, rng, "two") for row in rows]),
        write(tmp_path / "three.jsonl", [careless(row, rng, "three") for row in rows]),
    ]
    report = audit_corpus(files)
    assert report["findings"][0]["what"] == "teacher" and report["findings"][0]["teacher"] == "two"
    assert sum(one["what"] == "teacher" for one in report["findings"]) == 1
    pairs = {tuple(pair["teachers"]): pair["f"] for pair in report["agreement"]["pairs"]}
    assert max(pairs, key=pairs.get) == ("one", "three")
    alone = audit_corpus([files[0], files[2]])["agreement"]["labels"]
    both = {one["label"]: one["alpha"] for one in report["agreement"]["labels"]}
    assert alone and all(one["alpha_low"] > both[one["label"]] for one in alone)
    disputed = [
        row for row in report["suspicious"] if any(reason["why"] == "disagreement" for reason in row["reasons"])
    ]
    assert sum(row["id"].endswith("-two") for row in disputed) > len(rows) / 2


def test_a_leaking_test_text_is_found_with_its_row(tmp_path):
    rows = rows_of_all(30)
    test = tmp_path / "test.jsonl"
    test.write_text(json.dumps({"text": "Before. " + rows[17]["text"]}), encoding="utf8")
    report = audit_corpus([write(tmp_path / "rows.jsonl", rows)], against=[test])
    assert [leak["id"] for leak in report["leaks"]] == ["r17"]
    assert report["findings"][0]["what"] == "leak" and report["findings"][0]["row"] == "r17"
    assert report["suspicious"][0]["id"] == "r17"


def test_labels_that_a_teacher_was_not_asked_are_no_disagreement(tmp_path):
    rows = rows_of_all(20)
    only = [
        row | {"spans": row["spans"][:1], "asked": ["person"], "teacher": "other", "id": row["id"] + "o"}
        for row in rows
    ]
    report = audit_corpus([write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", only)])
    assert report["agreement"]["pairs"][0]["f"] == 1.0
    assert [one["label"] for one in report["agreement"]["labels"]] == ["person"]
    assert not any(reason["why"] == "disagreement" for row in report["suspicious"] for reason in row["reasons"])


def test_words_are_contradicted_only_by_rows_that_were_asked_the_label(tmp_path):
    rows = [row_of(7 * i, "English") for i in range(6)]  # all name one city
    without = rows[5] | {"spans": rows[5]["spans"][:2]}
    asked = audit_corpus([write(tmp_path / "rows.jsonl", [*rows[:5], without])])
    assert [(one["label"], one["with"], one["rows"]) for one in asked["contradictions"]] == [("city", 5, ["r35"])]
    silent = audit_corpus([write(tmp_path / "rows.jsonl", [*rows[:5], without | {"asked": ["person"]}])])
    assert silent["contradictions"] == []


@pytest.mark.parametrize(
    "words, label, why",
    [
        ("Ada Lovelac", "person", "bad border"),
        ("(Ada Lovelace", "person", "bad border"),
        ("Ada Lovelace and Mary Somerville", "person", "coordination"),
        ("Ada Lovelace", "entity", "empty label"),
    ],
)
def test_spans_that_look_wrong_are_told_with_label_and_place(tmp_path, words, label, why):
    text = "There were (Ada Lovelace and Mary Somerville) in London, and nobody else."
    start = text.index(words)
    span = {"start": start, "end": start + len(words), "label": label}
    good = {"start": text.index("London"), "end": text.index("London") + 6, "label": "city"}
    rows = [{"id": "bad", "text": text, "spans": [span, good]}, {"id": "good", "text": text, "spans": [good]}]
    report = audit_corpus([write(tmp_path / "rows.jsonl", rows)])
    assert [row["id"] for row in report["suspicious"]] == ["bad"]
    told = {reason["why"]: reason for reason in report["suspicious"][0]["reasons"]}[why]
    assert told["label"] == label and told["place"] == [start, start + len(words)]


def test_a_share_that_differs_from_the_reference_is_found_and_others_are_not(tmp_path):
    rows = rows_of_all(300)
    reference = [row | {"source": "news" if i % 2 else "mail"} for i, row in enumerate(rows)]
    own = [row | {"source": "news" if i % 10 else "mail"} for i, row in enumerate(rows)]
    report = audit_corpus(
        [write(tmp_path / "own.jsonl", own)], reference=[write(tmp_path / "reference.jsonl", reference)]
    )
    assert {(one["trait"], one["value"]) for one in report["representation"]} == {
        ("domains", "news"),
        ("domains", "mail"),
    }


def test_alpha_is_that_of_krippendorffs_own_example():
    # Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: four observers, some values missing.
    observers = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    table = np.array(
        [[[one[unit] for one in observers].count(str(value)) for value in range(1, 6)] for unit in range(12)]
    )
    value, low, high = alpha_of([unit[None] for unit in table])
    assert round(value, 3) == 0.743 and low < value < high
    same = alpha_of([np.array([[3, 0], [0, 3]])])
    assert same[0] == 1.0
    assert alpha_of([np.array([[3, 0], [3, 0]])]) == (None, None, None)


def test_labels_are_told_apart_by_kind():
    kinds = {
        "who won?": "question",
        "what may change": "question",
        "cause of the change": "relation",
        "WORK_OF_ART": "code",
    }
    assert {label: label_kind(label) for label in [*kinds, "drug name"]} == kinds | {"drug name": "noun phrase"}


def test_the_report_holds_no_words_of_texts_and_the_page_asks_no_network(tmp_path, call):
    rows, _ = swap_labels(rows_of_all(240), "Hindi", 0.2)
    rows[3]["spans"][0]["label"] = "<b>person</b>"
    rows[3]["spans"][0]["end"] -= 1
    path = write(tmp_path / "rows.jsonl", rows)
    result = call("audit", "corpus", path, "--output", tmp_path / "out")
    assert result.code == 0 and "Hindi" in result.out, result.err
    told = (tmp_path / "out" / "report.json").read_text(encoding="utf8")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf8")
    for words in (*(row["text"] for row in rows), "moved to"):
        assert words not in told and words not in page
    assert "<b>person" not in page and "http" not in page and "<script" not in page
    assert json.loads(told)["findings"][0]["origin"] == "Hindi"
    report = audit_corpus([path])
    assert rows[3]["text"] in corpus_page(report, {row["id"]: row["text"] for row in rows})


def test_files_without_rows_are_refused_with_a_cure(tmp_path):
    (tmp_path / "empty.jsonl").write_text("", encoding="utf8")
    with pytest.raises(ValueError, match="empty.jsonl.*convert"):
        audit_corpus([tmp_path / "empty.jsonl"])
