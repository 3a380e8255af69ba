"""Annotation rows: what is read, what is refused, what is asked in training."""

import json
import random

import pytest
import spacy
from helpers import SENTENCES, annotated

from metaie_spacy.data.corpus import make_corpus
from metaie_spacy.data.items import Item, blank_tokenizer, read_items, split_dev
from metaie_spacy.data.rows import longest_first, read_rows
from metaie_spacy.model.pieces import MAX_PIECES, WordPieces, load_tokenizer, word_shape
from metaie_spacy.train.batches import LabelSpace, closed_batch, open_batch

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
    assert "1 do not align with the tokens and 1 overlap" in caplog.text


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


@pytest.fixture
def pieces(encoders):
    return WordPieces(load_tokenizer(encoders["bert"]))


def items_of(*annotations):
    return [Item(str(i), text.split(), spans, absent) for i, (text, spans, absent) in enumerate(annotations)]


def test_open_batch_asks_own_absent_and_sampled_labels(pieces):
    items = items_of(
        ("Ada flew to Rome", [(0, 1, "person"), (3, 4, "place")], ["drug"]),
        ("KLM flew", [(0, 1, "airline")], []),
    )
    batch = open_batch(items, pieces, LabelSpace(items), random.Random(0))
    assert batch.asked[0].sum() >= 4 or batch.asked.shape[1] == 4  # own two, absent one, the neighbour's
    assert batch.tags.shape == (6, 4) and batch.weights.shape == (6, 4)
    assert sorted(batch.tags[batch.tags > 0].tolist()) == [1, 1, 1]
    assert batch.weights[:4][:, batch.asked[0]].all()


def test_open_batch_never_asks_a_texts_unsampled_own_label_as_a_negative(pieces):
    spans = [(0, 1, f"label {i}") for i in range(30)]
    items = items_of(("Ada", spans, []), ("Rome", [(0, 1, "label 3")], []))
    for seed in range(10):
        batch = open_batch(items, pieces, LabelSpace(items), random.Random(seed))
        assert (batch.tags[0][batch.asked[0]] == 1).all()


def test_sampled_negative_too_like_an_annotated_label_does_not_count_there(pieces):
    import torch

    items = items_of(("Ada flew", [(0, 1, "politician")], []), ("Rome", [(0, 1, "person")], []))
    space = LabelSpace(items)
    space.vectors, space.limit = torch.tensor([[1.0, 0.0], [0.9, 0.1]]), 0.5
    batch = open_batch(items, pieces, space, random.Random(0))
    person = 1  # the labels stand in the order in which the texts bring them
    assert batch.weights[0, person] == 0 and batch.weights[1, person] == 1
    assert batch.weights[0, 0] == 1


def test_closed_batch_asks_all_of_all(pieces):
    from metaie_spacy.schema import parse_labels

    items = items_of(("Ada flew to Rome", [(0, 1, "PER")], []), ("KLM flew", [], []))
    batch = closed_batch(items, parse_labels({"PER": "person", "LOC": "place"}), pieces)
    assert batch.asked.all() and batch.weights.all() and int((batch.tags > 0).sum()) == 1


def test_words_are_cut_into_pieces_once_and_long_ones_are_reported(pieces, caplog):
    whole = pieces(["Ada", "a-" * 20, "\u200b"])
    assert len(whole[1]) == MAX_PIECES and whole[2] == () and pieces.cut_words == 1
    assert "more than 16 pieces" in caplog.text
    texts, scored = pieces.texts([["Ada", "\u200b", "flew"], []])
    assert scored == [[0, 2], []] and texts.words.tolist() == [2, 0] and texts.lengths[1] == 2


def test_shapes_tell_what_an_uncased_vocabulary_cannot():
    words = ["ada", "Ada", "ADA", "A", "iPhone", "1815", "B2B", "--"]
    assert [word_shape(word) for word in words] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_same_words_same_pieces_in_any_company(pieces):
    words = SENTENCES[0].split()
    together = pieces(words)
    fresh = WordPieces(pieces.tokenizer)
    assert [fresh([word])[0] for word in words] == together


def test_long_texts_are_trained_on_in_windows_that_cut_no_span(caplog):
    from metaie_spacy.model.windows import cut_items

    words = [f"w{i}" for i in range(100)]
    spans = [(0, 2, "a"), (27, 33, "b"), (55, 62, "a"), (98, 100, "c"), (40, 75, "too long")]
    short = Item("short", ["x"], [(0, 1, "a")], ["d"])
    parts = cut_items([Item("long", words, spans, ["d"]), short], lambda words: [(1,)] * len(words), 30, 10)
    assert parts[-1] is short and len(parts) > 4 and all(len(part.words) <= 30 for part in parts)
    shown = {(part.words[s], part.words[e - 1], label) for part in parts for s, e, label in part.spans}
    assert shown >= {("w0", "w1", "a"), ("w98", "w99", "c"), ("x", "x", "a")}
    assert ("w27", "w32", "b") in shown and "too long" not in {label for *_, label in shown}
    for part in parts[:-1]:  # no window shows a part of a span as if it were none
        inside = {int(word[1:]) for word in part.words}
        for start, end, label in spans:
            seen = inside & set(range(start, end))
            assert not seen or len(seen) == end - start
        assert "d" in part.absent
    assert "2 spans do not fit" in caplog.text  # the long one, and the one inside it


@pytest.mark.parametrize("architecture", ["LabelToSpan", "CrossEncoder"])
def test_texts_beyond_the_encoders_window_train_and_predict(make_nlp, architecture):
    nlp = make_nlp(["person", "place"], architecture=architecture, model={"window": 512, "overlap": 32})
    text = " ".join(SENTENCES * 12)
    example = annotated(nlp, text, [("Ada Lovelace", "person"), ("London", "place")])
    optimizer = nlp.initialize(lambda: [example])
    assert nlp.update([example], sgd=optimizer)["metaie"] > 0
    assert nlp(text).spans["metaie"].attrs["asked"] == ["person", "place"]
