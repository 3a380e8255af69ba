"""A training that cannot go well is stopped, and nothing of it counts as good."""

import json
import math

import pytest
import torch

from metaie_spacy.data.items import blank_tokenizer
from metaie_spacy.fewshot import Settings, adapt
from metaie_spacy.train.distill import distill
from metaie_spacy.train.optim import check_loss, check_weights
from metaie_spacy.train.settings import DistillSettings

TEXT = "Ada Lovelace met Charles Babbage in London on Monday."
SPANS = [{"start": 0, "end": 12, "label": "person"}]


def rows(n=8, **more):
    return [{"id": str(i), "text": TEXT, "spans": SPANS, "absent": ["drug"], **more} for i in range(n)]


def corpus(folder, found):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf8")
    return path


def train(folder, encoders, found, weight=1.0, **settings):
    settings = DistillSettings(encoders["bert"], **{"steps": 2, "batch_size": 2, "dev_share": 0, **settings})
    return distill({corpus(folder, found): weight}, folder / "run", settings, tokenize=blank_tokenizer())


def poisoned(monkeypatch, at):
    """Make the loss of one step NaN, in whichever loop."""
    import metaie_spacy.fewshot
    import metaie_spacy.train.distill
    from metaie_spacy.train.optim import tagging_loss

    steps = []

    def loss(*args):
        steps.append(1)
        return tagging_loss(*args) * (math.nan if len(steps) == at else 1)

    for module in (metaie_spacy.fewshot, metaie_spacy.train.distill):
        monkeypatch.setattr(module, "tagging_loss", loss)


def test_a_loss_that_is_no_number_ends_a_distillation_with_the_step(tmp_path, encoders, monkeypatch):
    poisoned(monkeypatch, at=2)
    with pytest.raises(ValueError, match="loss of step 2 is nan. Lower the learning rate, which is 0.0002"):
        train(tmp_path, encoders, rows(), steps=4)
    assert not (tmp_path / "run" / "model").exists() and not (tmp_path / "run" / "checkpoint").exists()


def test_a_loss_that_is_no_number_ends_an_adaptation_and_puts_everything_back(make_nlp, monkeypatch):
    nlp = make_nlp(["person"])
    module = nlp.get_pipe("metaie").model.shims[0].module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    poisoned(monkeypatch, at=3)
    with pytest.raises(ValueError, match="loss of step 3 is nan"):
        adapt(nlp, rows(), settings=Settings(steps=5, rehearsal=0), progress=False)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_loss_that_is_no_number_ends_an_update(make_nlp, monkeypatch):
    from spacy.training import Example

    import metaie_spacy.train.optim as optim

    nlp = make_nlp(["person"])
    monkeypatch.setattr(optim, "loss_gradient", lambda logits, batch: (math.inf, logits))
    doc = nlp.make_doc(TEXT)
    doc.spans["metaie"] = [doc.char_span(0, 12, label="person")]
    with pytest.raises(ValueError, match="loss of step 1 is inf"):
        nlp.get_pipe("metaie").update([Example(nlp.make_doc(TEXT), doc)])


def test_weights_that_are_no_numbers_are_not_saved():
    module = torch.nn.Linear(2, 2)
    check_weights(module)
    assert check_loss(0.5, 1) == 0.5
    with torch.no_grad():
        module.bias[0] = math.inf
    with pytest.raises(ValueError, match="'bias' are no numbers"):
        check_weights(module)


@pytest.mark.parametrize(
    "found, message",
    [
        ([], "nothing to train on: 0 texts"),
        (rows(spans=[]), "nothing to train on: 8 texts"),
        (rows(spans=[{"start": 1, "end": 3, "label": "person"}]), "nothing to train on"),
        (rows(absent=["drug " * 600]), "The label 'drug drug .*has 601 pieces, but the encoder's window has room"),
        (rows(spans=[{"start": 0, "end": 12, "label": "drug " * 600}]), "The label 'drug drug .*has 601 pieces"),
    ],
)
def test_a_corpus_that_nothing_can_be_learned_from_is_refused(tmp_path, encoders, found, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path, encoders, found)
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf])
def test_a_corpus_is_seen_more_than_never(tmp_path, encoders, weight):
    with pytest.raises(ValueError, match="rows.jsonl' is seen .* times an epoch"):
        train(tmp_path, encoders, rows(), weight)


def test_a_label_that_is_too_long_is_named_by_an_adaptation_as_by_a_prediction(make_nlp):
    nlp = make_nlp(["person"])
    for labels, found in (({"person": "name " * 600}, rows()), (None, rows(absent=["name " * 600]))):
        with pytest.raises(ValueError, match="The label 'name name .* has 601 pieces"):
            adapt(
                nlp, found, labels, open_labels=labels is None, settings=Settings(steps=1, rehearsal=0), progress=False
            )
