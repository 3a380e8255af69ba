"""Annotation rows: what is read, what is refused, what is asked in training."""

import json
import random

import pytest
import spacy

from metaie_spacy.data.corpus import make_corpus
from metaie_spacy.data.items import Item, blank_tokenizer, read_items, split_dev
from metaie_spacy.data.rows import longest_first, read_rows

GOOD = {
    "id": "1",
    "text": "Ada flew to Rome.",
    "spans": [{"start": 0, "end": 3, "label": "person"}],
    "absent": ["drug"],
}


def write(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf8")
    return path


@pytest.mark.parametrize(
    "row, message",
    [
        (
            {**GOOD, "spans": [{"start": 12, "end": 99, "label": "place"}]},
            "12:99 .'place'. lies outside its text of 17",
        ),
        ({**GOOD, "spans": [{"start": -1, "end": 3, "label": "place"}]}, "outside"),
        ({**GOOD, "spans": [{"start": 3, "end": 3, "label": "place"}]}, "is empty"),
        ({**GOOD, "spans": [{"start": "0", "end": 3, "label": "place"}]}, "whole numbers"),
        ({**GOOD, "spans": [{"start": 0, "end": 3, "label": " "}]}, "non-empty string"),
        ({**GOOD, "spans": None}, '"spans" must be a list'),
        ({**GOOD, "text": 7}, 'string "text"'),
        ({**GOOD, "absent": "drug"}, '"absent" must be a list'),
        ('{"text": "cut', "Unterminated string"),
        ("[]", "expected an object"),
    ],
)
def test_bad_row_is_refused_with_its_line(tmp_path, row, message):
    with pytest.raises(ValueError, match=rf"rows.jsonl, line 2: .*{message}"):
        list(read_rows(write(tmp_path, GOOD, row)))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="no corpus file"):
        list(read_rows(tmp_path / "none.jsonl"))


def test_misaligned_and_overlapping_spans_are_counted(tmp_path, caplog):
    spans = [
        {"start": 0, "end": 2, "label": "person"},
        {"start": 0, "end": 3, "label": "person"},
        {"start": 0, "end": 8, "label": "person"},
    ]
    (item,) = read_items(write(tmp_path, {**GOOD, "spans": spans}), blank_tokenizer())
    assert item.spans == [(0, 2, "person")]
    assert "of 3 spans, 1 do not begin and end with a token, such as 'person' 'Ad' of '1'" in caplog.text
    assert "and 1 overlap a longer span" in caplog.text
    assert list(item.unsure) == [(0, 1, "person"), (0, 1, "person")]


def test_longest_span_of_a_label_wins():
    assert longest_first([(0, 1, "a"), (0, 3, "a"), (2, 4, "a"), (2, 4, "b")]) == [(0, 3, "a"), (2, 4, "b")]


def test_reader_gives_examples_with_their_own_or_a_closed_set_of_labels(tmp_path):
    nlp = spacy.blank("en")
    path = write(tmp_path, GOOD, {**GOOD, "text": "No one flew.", "spans": []})
    first, second = make_corpus(path)(nlp)
    assert [span.text for span in first.reference.spans["metaie"]] == ["Ada"]
    assert first.reference._.metaie_labels == first.predicted._.metaie_labels == ["person", "drug"]
    assert "metaie" in second.reference.spans and len(second.reference.spans["metaie"]) == 0
    closed = list(make_corpus(path, closed=True)(nlp))
    assert closed[0].reference._.metaie_labels is None and len(closed[0].reference.spans["metaie"]) == 1


def test_dev_split_is_by_id_and_independent_of_order():
    items = [Item(f"doc{i}#{part}", ["x"], [], []) for i in range(300) for part in range(2)]
    train, dev = split_dev(items, 0.1, 0)
    assert 0.05 < len(dev) / len(items) < 0.15
    assert not {i.id.split("#")[0] for i in train} & {i.id.split("#")[0] for i in dev}
    shuffled = random.Random(1).sample(items, len(items))
    assert {i.id for i in split_dev(shuffled, 0.1, 0)[1]} == {i.id for i in dev}
