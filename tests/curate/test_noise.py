"""Ratios of losses with and without a label."""

import numpy as np
import pytest
import torch
from helpers import SENTENCES, annotated, overfit, row

from metaie_spacy.curate.noise import blank_query, drop_noise, label_ratios, tag_losses
from metaie_spacy.data.ledger import Ledger, Sourced
from metaie_spacy.train.batches import Batch
from metaie_spacy.train.optim import tagging_loss

GOLD = [("Ada Lovelace", "person"), ("London", "place")]


TRAIN = [
    (SENTENCES[0], GOLD),
    (SENTENCES[1], [("KLM", "airline"), ("Amsterdam", "place"), ("Lagos", "place")]),
    (SENTENCES[3], [("Marie Curie", "person")]),
]


@pytest.fixture(scope="module")
def trained(make_nlp):
    """A pipeline that tells persons, places and airlines apart, and to whom a blank means nothing."""
    # Label-blind, so that what it learned of all labels together holds for any of them alone.
    nlp = make_nlp(["person", "place", "airline", "[MASK]"], model={"text_sees_labels": False})
    assert overfit(nlp, [annotated(nlp, text, spans) for text, spans in TRAIN])["metaie"] < 0.05
    return nlp


def test_swapped_labels_have_the_higher_ratios(trained):
    good = row(SENTENCES[0], GOLD)
    swapped = row(SENTENCES[0], [("Ada Lovelace", "place"), ("London", "person")])
    (right,), (wrong,) = label_ratios([good], trained), label_ratios([swapped], trained)
    assert max(right.values()) < min(1, *wrong.values())


def test_noisy_labels_lose_their_spans_and_rows_without_any_left_go(trained):
    mixed = row(SENTENCES[0], [("Ada Lovelace", "person"), ("London", "airline")], dropped=[{"label": "old"}])
    wrong = row(SENTENCES[0], [("London", "person")])
    silent = row(SENTENCES[1], [])
    ledger = Ledger()
    items = [Sourced({"id": "1", **part}, "a.jsonl", n) for n, part in enumerate((mixed, wrong, silent), 1)]
    (rated, bad, _) = label_ratios([mixed, wrong, silent], trained)
    bound = (rated["person"] + min(rated["airline"], bad["person"])) / 2
    first, last = drop_noise(items, trained, bound, ledger)
    assert [s["label"] for s in first.row["spans"]] == ["person"] and last.row == {"id": "1", **silent}
    assert first.row["dropped"] == [{"label": "old"}, {"label": "airline", "span": "London", "why": "noise"}]
    assert ledger.spans == {"noise": 1} and ledger.rows == {"noise": 1}
    assert [(entry["line"], "span" in entry) for entry in ledger.entries] == [(1, True), (2, False)]
    assert drop_noise(items, trained, 1e9, Ledger()) == items


def test_labels_that_cannot_be_rated_are_left_out(trained):
    odd = row(SENTENCES[0], [("Ada Lovelace", "person"), ("ovelac", "part of a word"), ("London", "place " * 600)])
    (ratios,) = label_ratios([odd], trained)
    assert set(ratios) == {"person"}
    (long,) = label_ratios([row(" ".join(SENTENCES * 12), GOLD)], trained)  # several windows
    assert set(long) == {"person", "place"}


def test_ratios_do_not_depend_on_the_company(trained):
    rows = [
        row(SENTENCES[0], GOLD),
        row(SENTENCES[1], [("KLM", "airline")]),
        row(SENTENCES[2], [("Ibuprofen", "drug")]),
    ]
    together = list(label_ratios(rows, trained))
    alone = [next(label_ratios([one], trained)) for one in rows]
    for a, b in zip(together, alone):
        assert a.keys() == b.keys() and all(a[label] == pytest.approx(b[label], rel=1e-3) for label in a)


def test_loss_is_the_training_loss():
    rng = np.random.default_rng(0)
    logits, tags = rng.normal(size=(9, 1, 2)), rng.integers(0, 3, (9, 1))
    batch = Batch(None, None, None, torch.tensor(tags), torch.ones(9, 1), None)
    assert tag_losses(logits, tags)[0] == pytest.approx(float(tagging_loss(torch.tensor(logits), batch)), rel=1e-5)


@pytest.mark.parametrize("family, mask", [("bert", "[MASK]"), ("roberta", "<mask>")])
def test_blank_query_is_the_mask(make_nlp, family, mask):
    pipe = make_nlp(family=family).get_pipe("metaie")
    assert blank_query(pipe) == mask
    pipe.model.shims[0].pieces.tokenizer.mask_token = None
    assert blank_query(pipe) == "thing"
