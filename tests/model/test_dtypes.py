"""Predicting in bfloat16 and int8: what changes, and what must not."""

import pytest
import spacy
import torch
from helpers import FLOAT32, SENTENCES, TRAIN, annotated, largest_change, logits_of, scored

from metaie_spacy.model.dtypes import COMPUTE_DTYPES, resolve_dtype

LABELS = ["date", "person", "place"]


def probabilities(nlp):
    """Of O, B and I, for every word and label, (W, U, 3)."""
    logits = logits_of(nlp, SENTENCES[:1], LABELS).values()
    logits = torch.stack([torch.from_numpy(part.copy()) for part in logits], 1)
    return torch.cat([torch.zeros(*logits.shape[:2], 1), logits], -1).softmax(-1)


@pytest.mark.parametrize("family", ["bert", "electra", "roberta"])
@pytest.mark.parametrize("architecture", ["LabelToSpan", "CrossEncoder"])
@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_scores_stay_near_those_of_float32(make_nlp, family, architecture, dtype):
    exact = make_nlp(family=family, architecture=architecture)
    other = make_nlp(family=family, architecture=architecture, model={"compute_dtype": dtype})
    change = (probabilities(exact) - probabilities(other)).abs()
    assert 0 < change.max() < 0.25 and change.mean() < 0.03  # it does compute otherwise
    before = {
        name: weight.dtype for name, weight in exact.get_pipe("metaie").model.shims[0].module.state_dict().items()
    }
    after = {name: weight.dtype for name, weight in other.get_pipe("metaie").model.shims[0].module.state_dict().items()}
    assert before == after


def test_saved_weights_are_those_of_training_whatever_predicts(make_nlp, tmp_path):
    nlp = make_nlp(model={"compute_dtype": "bfloat16"})
    nlp(SENTENCES[0])
    nlp.to_disk(tmp_path)
    exact = spacy.load(tmp_path, config=FLOAT32)
    assert torch.equal(probabilities(exact), probabilities(make_nlp()))
    assert torch.allclose(probabilities(spacy.load(tmp_path)), probabilities(nlp), atol=1e-5)


def test_training_is_seen_by_the_next_prediction(make_nlp, tmp_path):
    nlp = make_nlp(["person", "place"], model={"compute_dtype": "bfloat16"})
    example = annotated(nlp, *TRAIN[0])
    optimizer = nlp.initialize(lambda: [example])
    before = logits_of(nlp, SENTENCES[:1], LABELS)
    nlp.update([example], sgd=optimizer)
    after = logits_of(nlp, SENTENCES[:1], LABELS)
    nlp.to_disk(tmp_path)
    again = logits_of(spacy.load(tmp_path), SENTENCES[:1], LABELS)
    assert largest_change(after, again) < 1e-4 < largest_change(before, after)


def test_reduced_precision_works_in_worker_processes(make_nlp):
    nlp = make_nlp(threshold=0.05, model={"compute_dtype": "bfloat16"})
    expected = [scored(doc) for doc in nlp.pipe(SENTENCES)]
    assert [scored(doc).keys() for doc in nlp.pipe(SENTENCES, n_process=2, batch_size=2)] == [
        one.keys() for one in expected
    ]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_auto_is_float32_whatever_the_hardware_is_fast_at(device):
    assert resolve_dtype("auto", torch.device(device)) == "float32"
    assert [resolve_dtype(wanted, torch.device("cpu")) for wanted in COMPUTE_DTYPES[1:]] == list(COMPUTE_DTYPES[1:])


def test_single_calls_and_streams_give_the_same_answers_by_default(make_nlp):
    nlp = make_nlp(threshold=0.05, model={"compute_dtype": "auto"})
    singly, together = [scored(nlp(text)) for text in SENTENCES * 3], [scored(doc) for doc in nlp.pipe(SENTENCES * 3)]
    assert [one.keys() for one in singly] == [one.keys() for one in together]
    assert max(abs(a[key] - b[key]) for a, b in zip(singly, together) for key in a) < 1e-5


def test_formats_that_cannot_be_are_refused(make_nlp):
    with pytest.raises(ValueError, match="int8.* runs on CPUs only"):
        resolve_dtype("int8", torch.device("cuda"))
    with pytest.raises(ValueError, match="compute_dtype is 'float8'; use one of auto, float32"):
        make_nlp(model={"compute_dtype": "float8"})
