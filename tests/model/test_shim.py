"""The shim between thinc and torch: averaged weights."""

import pytest
import spacy
import torch
from helpers import TRAIN, annotated, scored
from thinc.api import Adam

TEXT = TRAIN[0][0]


@pytest.fixture
def trained(make_nlp):
    """A pipeline after some steps, and the optimizer that kept the averages of its weights."""
    nlp = make_nlp(["person", "place"], threshold=0.01)
    examples = [annotated(nlp, *TRAIN[0])]
    nlp.initialize(lambda: examples)
    optimizer = Adam(2e-3, use_averages=True)
    for _ in range(5):
        nlp.update(examples, sgd=optimizer)
    return nlp, optimizer


def test_averaged_weights_hold_within_their_context_only(trained, tmp_path):
    nlp, optimizer = trained
    before = scored(nlp(TEXT))
    with nlp.use_params(optimizer.averages):
        within = scored(nlp(TEXT))
        nlp.to_disk(tmp_path)
    assert scored(nlp(TEXT)) == before != within
    assert scored(spacy.load(tmp_path)(TEXT)) == within  # what a training saves as its best model


def test_all_averages_are_swapped_in(trained):
    nlp, optimizer = trained
    shim = nlp.get_pipe("metaie").model.shims[0]
    with nlp.use_params(optimizer.averages):
        for name, value in shim.module.named_parameters():
            if (shim.id, name) in optimizer.averages:
                assert torch.equal(value, torch.from_numpy(optimizer.averages[shim.id, name])), name
        assert any(name.startswith("encoder.") for id, name in optimizer.averages if id == shim.id)


def test_weights_come_back_after_an_error(trained):
    nlp, optimizer = trained
    before = scored(nlp(TEXT))
    with pytest.raises(KeyError), nlp.use_params(optimizer.averages):
        raise KeyError
    assert scored(nlp(TEXT)) == before
