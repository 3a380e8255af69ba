"""Training batches: which labels are asked of which text, and what counts in the loss."""

import random
from collections import Counter

import pytest
import torch

from metaie_spacy.data.items import Item, Question
from metaie_spacy.model.pieces import WordPieces, load_tokenizer
from metaie_spacy.schema import parse_labels
from metaie_spacy.train.batches import LabelSpace, closed_batch, link_batch, open_batch, recased


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

    items = items_of(("Ada flew", [(0, 1, "politician")], []), ("Rome", [(0, 1, "person")], []))
    space = LabelSpace(items)
    space.vectors, space.limit = torch.tensor([[1.0, 0.0], [0.9, 0.1]]), 0.5
    batch = open_batch(items, pieces, space, random.Random(0))
    person = 1  # the labels stand in the order in which the texts bring them
    assert batch.weights[0, person] == 0 and batch.weights[1, person] == 1
    assert batch.weights[0, 0] == 1


def test_closed_batch_asks_all_of_all(pieces):

    items = items_of(("Ada flew to Rome", [(0, 1, "PER")], []), ("KLM flew", [], []))
    batch = closed_batch(items, parse_labels({"PER": "person", "LOC": "place"}), pieces)
    assert batch.asked.all() and batch.weights.all() and int((batch.tags > 0).sum()) == 1


def test_recased_texts_keep_their_spans():
    items = [Item(str(i), ["Ada", "flew"], [(0, 1, "person")], []) for i in range(400)]
    changed = recased(items, 0.4, random.Random(0))
    kinds = Counter(item.words[0] for item in changed)
    assert 90 < kinds["ada"] < 150 and 20 < kinds["ADA"] < 60 and kinds["Ada"] > 200
    assert all(item.spans == [(0, 1, "person")] and len(item.words) == 2 for item in changed)


def test_labels_are_asked_in_other_wordings_and_keep_their_spans(encoders):
    pieces = WordPieces(load_tokenizer(encoders["bert"]))
    items = [Item("1", ["Ada", "sleeps"], [(0, 1, "person")], ["place"])]
    space = LabelSpace(items, {"person": ["name of a person"]}, reword=1.0)
    plain = open_batch(items, pieces, LabelSpace(items), random.Random(0))
    found = {tuple(open_batch(items, pieces, space, random.Random(seed)).labels.ids.tolist()) for seed in range(20)}
    words = tuple(i for i in pieces.label("name of a person"))
    assert any(str(list(words))[1:-1] in str(list(ids)) for ids in found)
    assert tuple(plain.labels.ids.tolist()) not in found or len(found) > 1
    assert all(torch.equal(open_batch(items, pieces, space, random.Random(s)).tags, plain.tags) for s in range(5))


def test_synonyms_are_never_negatives_of_each_other(encoders):
    pieces = WordPieces(load_tokenizer(encoders["bert"]))
    items = [Item("1", ["Ada", "sleeps"], [(0, 1, "person")], []), Item("2", ["Bob", "rests"], [(0, 1, "human")], [])]
    batch = open_batch(items, pieces, LabelSpace(items, {"person": ["human"]}), random.Random(0))
    ones = batch.asked.all()
    assert ones  # each text is asked the other's label too
    assert (
        batch.weights[[0, 2]].sum() == 2 and batch.weights[[1, 3]].sum() == 4
    )  # but nothing is learned where it may be


def test_heads_are_asked_relations_of_other_texts_at_less_weight(pieces):
    ada = Item("1", "Ada runs Acme".split(), [], [], links=[Question(0, 1, "employer", ((2, 3),))])
    bob = Item("2", "Bob wed Eve".split(), [], [], links=[Question(0, 1, "spouse", ((2, 3),))])
    batch = link_batch([ada, bob], pieces, random.Random(0), space=LabelSpace([ada, bob]))
    assert batch.weights.tolist() == [[1, 0.5]] * 3 + [[0.5, 1]] * 3  # employer, spouse
    assert batch.tags.tolist() == [[0, 0], [0, 0], [1, 0], [0, 0], [0, 0], [0, 1]]
    alike = LabelSpace([ada, bob], {"employer": ["spouse"]})
    assert link_batch([ada, bob], pieces, random.Random(0), space=alike).weights.tolist() == [[1, 0]] * 3 + [[0, 1]] * 3
    assert link_batch([ada, bob], pieces).weights.tolist() == [[1, 0]] * 3 + [[0, 1]] * 3
